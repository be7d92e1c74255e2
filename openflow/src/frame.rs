//! Cutting a byte stream into messages (OpenFlow 1.3.5 §7.1). Pure.

use crate::types::{Version, Xid};

/// The length of the header.
pub const HEADER: usize = 8;

/// The common header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Wire version.
    pub version: Version,
    /// OFPT_* of that version.
    pub kind: u8,
    /// Length of the message in bytes, header included.
    pub length: u16,
    /// Transaction id.
    pub xid: Xid,
}

/// A stream that cannot be cut any further: the connection is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("message length {0} is below the header's 8 bytes")]
pub struct FrameError(pub u16);

/// The length of the first whole message in `buffer`, or `None` if more bytes are needed.
///
/// # Errors
/// [`FrameError`] for a length below that of the header. There is no other limit than that of the
/// 16-bit length: a message has at most 65,535 bytes.
pub fn next_frame(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(length) = buffer.get(2..4) else { return Ok(None) };
    let length = u16::from_be_bytes([length[0], length[1]]);
    if usize::from(length) < HEADER {
        return Err(FrameError(length));
    }
    Ok((buffer.len() >= usize::from(length)).then_some(length.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_when_it_is_whole() {
        let stream = [4, 0, 0, 10, 0, 0, 0, 1, 7, 7, 4, 0];
        for end in 0..10 {
            assert_eq!(next_frame(&stream[..end]), Ok(None), "{end}");
        }
        assert_eq!(next_frame(&stream), Ok(Some(10)));
        assert_eq!(next_frame(&[4, 0, 0, 7]), Err(FrameError(7)));
    }
}
