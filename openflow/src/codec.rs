//! Bytes to messages and back: what the versions share. Pure.

use bytes::{BufMut, BytesMut};

use crate::error::{Broken, DecodeError, EncodeError, Problem};
use crate::frame::{HEADER, Header};
use crate::model::{ErrorCode, ErrorMessage, FlowMod, Hello, Message, Opaque, PacketOut};
use crate::names::name;
use crate::types::{Cookie, PortNo, Version, Xid};
use crate::wire::{Decoded, Put, entry, fixed, pad8, round8, stop, with_length};
use crate::{v10, v13};

fixed! {
    /// `ofp_header` (1.3.5 §7.1).
    OfpHeader { version: Version, kind: u8, length: u16, xid: Xid, }
    /// `ofp_error_msg` (§7.4.4).
    OfpError { kind: u16, code: u16, }
    /// `ofp_hello_elem_header` (§7.5.1).
    OfpHelloElement { kind: u16, length: u16, }
}

/// Decodes exactly one message, as [`crate::next_frame`] cuts it. Total: any bytes give a message or
/// an error. A type that is not modelled for the version, and every body of a version other than 1.0
/// and 1.3 but hello, error and echo, is kept as [`Message::Opaque`].
///
/// # Errors
/// [`DecodeError`] names message, field and offset.
pub fn decode(bytes: &[u8]) -> Result<(Header, Message<'_>), DecodeError> {
    let (body, head) = match OfpHeader::parse(bytes) {
        Ok(parsed) => parsed,
        Err(error) => return Err(refusal(bytes, None, error)),
    };
    let OfpHeader { version, kind, length, xid } = head;
    let header = Header { version, kind, length, xid };
    if usize::from(length) != bytes.len() {
        let error = stop(&bytes[2..], "length", Problem::Length(length.into()));
        return Err(refusal(bytes, Some((header, "message")), error));
    }
    // Packet-ins are what a controller reads most, and where paths come and go, flow-removeds: they go
    // the shortest way.
    let decoded = match (version, kind) {
        (Version::V1_0, PACKET_IN) => match v10::packet_in(body) {
            Ok(packet) => return Ok((header, Message::PacketIn(packet))),
            Err(error) => Err(error),
        },
        (Version::V1_3, PACKET_IN) => match v13::packet_in(body) {
            Ok(packet) => return Ok((header, Message::PacketIn(packet))),
            Err(error) => Err(error),
        },
        (Version::V1_0, FLOW_REMOVED) => match v10::flow_removed(body) {
            Ok(flow) => return Ok((header, Message::FlowRemoved(flow))),
            Err(error) => Err(error),
        },
        (Version::V1_3, FLOW_REMOVED) => match v13::flow_removed(body) {
            Ok(flow) => return Ok((header, Message::FlowRemoved(flow))),
            Err(error) => Err(error),
        },
        _ => body_of(header, body),
    };
    match decoded {
        Ok(message) => Ok((header, message)),
        Err(error) => Err(refusal(bytes, Some((header, name(version, kind))), error)),
    }
}

/// Which entry a whole flow-removed tells of: the version of the message, the entry's cookie and the
/// port where its frames came in, each read from its place. Who knows an entry by its cookie need not
/// have its match decoded, which is most of the work.
///
/// `None` for anything else, and where [`decode`] must look: the port is not matched, is none of the
/// ordinary ones or does not stand first. What follows it in the match is not looked at.
///
/// ```
/// use umlaut_openflow::ended_entry;
///
/// assert_eq!(ended_entry(&[1, 10, 0, 8, 0, 0, 0, 0]), None);
/// ```
#[inline]
pub fn ended_entry(bytes: &[u8]) -> Option<(Version, Cookie, PortNo)> {
    let [version, FLOW_REMOVED, length @ .., _, _, _, _] = bytes.first_chunk::<HEADER>()? else {
        return None;
    };
    if usize::from(u16::from_be_bytes(*length)) != bytes.len() {
        return None;
    }
    let (version, body) = (Version(*version), &bytes[HEADER..]);
    let (cookie, in_port) = match version {
        Version::V1_0 => v10::ended_entry(body)?,
        Version::V1_3 => v13::ended_entry(body)?,
        _ => return None,
    };
    let ordinary = in_port.0 > 0 && in_port <= PortNo::MAX;
    ordinary.then_some((version, cookie, in_port))
}

/// OFPT_PACKET_IN, in all versions.
const PACKET_IN: u8 = 10;
/// OFPT_FLOW_REMOVED, in all versions.
const FLOW_REMOVED: u8 = 11;

/// The error of a message: with its name and header, if that was whole.
#[cold]
fn refusal(
    bytes: &[u8],
    header: Option<(Header, &'static str)>,
    error: nom::Err<Broken>,
) -> DecodeError {
    let broken = match error {
        nom::Err::Error(broken) | nom::Err::Failure(broken) => broken,
        // Complete parsers never ask for more.
        nom::Err::Incomplete(_) => Broken::new(bytes, "message", Problem::Truncated),
    };
    DecodeError {
        message: header.map_or("message", |(_, name)| name),
        version: header
            .map_or(Version(bytes.first().copied().unwrap_or(0)), |(header, _)| header.version),
        xid: header.map(|(header, _)| header.xid),
        field: broken.field,
        offset: broken.at.saturating_sub(bytes.as_ptr() as usize),
        problem: broken.problem,
        part: broken.part,
    }
}

fn body_of(header: Header, body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    Ok(match header.kind {
        0 => Message::Hello(hello(header.version, body)?),
        1 => {
            let (data, error) = OfpError::parse(body)?;
            let code = ErrorCode::new(error.kind, error.code);
            Message::Error(ErrorMessage { code, data: data.into() })
        }
        2 => Message::EchoRequest(body.into()),
        3 => Message::EchoReply(body.into()),
        kind => match header.version {
            Version::V1_0 => v10::decode_body(kind, body)?,
            Version::V1_3 => v13::decode_body(kind, body)?,
            _ => Message::Opaque(Opaque { kind, body: body.into() }),
        },
    })
}

/// OFPHET_VERSIONBITMAP.
const VERSION_BITMAP: u16 = 1;

/// A hello with its elements. Elements came with 1.3.1; what an older peer sends in a hello is to be
/// ignored (1.0 §5.5.1), so there nothing is an error.
fn hello(version: Version, body: &[u8]) -> Decoded<Hello> {
    let mut hello = Hello::default();
    match elements(body, &mut hello) {
        Ok(()) => {}
        Err(error) if version >= Version::V1_3 => return Err(error),
        Err(_) => hello = Hello::default(),
    }
    let mut again = BytesMut::new();
    if put_hello(&hello, &mut again).is_err() || again != body {
        hello.wire = Some(body.to_vec());
    }
    Ok(hello)
}

fn elements(body: &[u8], hello: &mut Hello) -> Decoded<()> {
    let mut rest = body;
    while !rest.is_empty() {
        let (_, head) = OfpHelloElement::parse(rest)?;
        let (_, whole) = entry(rest, 2, OfpHelloElement::SIZE, "element.length")?;
        let element = &whole[OfpHelloElement::SIZE..];
        // The last element may lack its padding.
        rest = rest.get(round8(whole.len())..).unwrap_or_default();
        if head.kind == VERSION_BITMAP
            && hello.versions.is_none()
            && element.len().is_multiple_of(4)
        {
            let words = element.chunks_exact(4);
            let words = words.map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
            hello.versions = Some(words.collect());
        } else {
            hello.others.push((head.kind, element.to_vec()));
        }
    }
    Ok(())
}

/// Appends a message to `out`. On an error `out` is as it was.
///
/// # Errors
/// What the version cannot express, never silently dropped.
pub fn encode(
    version: Version,
    xid: Xid,
    message: &Message<'_>,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    put_message(version, xid, out, |out| match (version, message) {
        // What a controller sends most goes the shortest way, as what it reads most.
        (Version::V1_0, Message::FlowMod(flow)) => v10::put_flow_mod(flow, out),
        (Version::V1_3, Message::FlowMod(flow)) => v13::put_flow_mod(flow, out),
        (Version::V1_0, Message::PacketOut(packet)) => v10::put_packet_out(packet, out),
        (Version::V1_3, Message::PacketOut(packet)) => v13::put_packet_out(packet, out),
        _ => encode_body(version, message, out),
    })
}

/// Appends a flow-mod, as [`encode`] does, without a [`Message`] to put it into.
///
/// # Errors
/// What the version cannot express.
pub fn encode_flow_mod(
    version: Version,
    xid: Xid,
    flow: &FlowMod,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    put_message(version, xid, out, |out| match version {
        Version::V1_0 => v10::put_flow_mod(flow, out),
        Version::V1_3 => v13::put_flow_mod(flow, out),
        other => Err(EncodeError::Version(other)),
    })
}

/// Appends a packet-out, as [`encode`] does, without a [`Message`] to put it into.
///
/// # Errors
/// What the version cannot express.
pub fn encode_packet_out(
    version: Version,
    xid: Xid,
    packet: &PacketOut<'_>,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    put_message(version, xid, out, |out| match version {
        Version::V1_0 => v10::put_packet_out(packet, out),
        Version::V1_3 => v13::put_packet_out(packet, out),
        other => Err(EncodeError::Version(other)),
    })
}

/// Header and body, whose type is told when it is written; nothing, on an error.
#[inline(always)]
fn put_message(
    version: Version,
    xid: Xid,
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut) -> Result<u8, EncodeError>,
) -> Put {
    let start = out.len();
    let written =
        OfpHeader { version, kind: 0, length: 0, xid }.write(out).and_then(|()| body(out));
    let length = u16::try_from(out.len() - start);
    let refused = match (written, length) {
        (Ok(kind), Ok(length)) => {
            let [high, low] = length.to_be_bytes();
            out[start + 1..start + 4].copy_from_slice(&[kind, high, low]);
            return Ok(());
        }
        (Ok(_), Err(_)) => EncodeError::TooLong { what: "message" },
        (Err(error), _) => error,
    };
    out.truncate(start);
    Err(refused)
}

#[inline(never)]
fn encode_body(
    version: Version,
    message: &Message<'_>,
    out: &mut BytesMut,
) -> Result<u8, EncodeError> {
    Ok(match message {
        Message::Hello(hello) => {
            put_hello(hello, out)?;
            0
        }
        Message::Error(error) => {
            OfpError { kind: error.code.kind(), code: error.code.code() }.write(out)?;
            out.put_slice(&error.data);
            1
        }
        Message::EchoRequest(data) => {
            out.put_slice(data);
            2
        }
        Message::EchoReply(data) => {
            out.put_slice(data);
            3
        }
        Message::Opaque(opaque) => {
            out.put_slice(&opaque.body);
            opaque.kind
        }
        message => match version {
            Version::V1_0 => v10::encode_body(message, out)?,
            Version::V1_3 => v13::encode_body(message, out)?,
            other => return Err(EncodeError::Version(other)),
        },
    })
}

fn put_hello(hello: &Hello, out: &mut BytesMut) -> Put {
    if let Some(wire) = &hello.wire {
        out.put_slice(wire);
        return Ok(());
    }
    if let Some(words) = &hello.versions {
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        put_element(VERSION_BITMAP, &body, out)?;
    }
    hello.others.iter().try_for_each(|(kind, body)| put_element(*kind, body, out))
}

fn put_element(kind: u16, body: &[u8], out: &mut BytesMut) -> Put {
    let start = out.len();
    with_length(out, 2, "hello element", |out| {
        OfpHelloElement { kind, length: 0 }.write(out)?;
        out.put_slice(body);
        Ok(())
    })?;
    pad8(out, start);
    Ok(())
}
