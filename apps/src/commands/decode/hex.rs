//! Hex as people and programs write it. Pure.

/// Why a text is not hex.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::commands) struct NotHex {
    /// What is wrong.
    what: String,
    /// The byte that the digits so far lead to.
    pub(super) offset: usize,
}

impl std::fmt::Display for NotHex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for NotHex {}

/// The bytes of a text of hex digits in either case. White space and colons may stand anywhere, `0x`
/// at the beginning.
pub(in crate::commands) fn bytes(text: &[u8]) -> Result<Vec<u8>, NotHex> {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    let digits = text.iter().filter(|c| !c.is_ascii_whitespace() && **c != b':');
    for (place, c) in digits.enumerate() {
        let c = char::from(*c);
        let Some(digit) = c.to_digit(16) else {
            let what = format!("{c:?} at digit {place} is not hex");
            return Err(NotHex { what, offset: bytes.len() });
        };
        match high.take() {
            None => high = Some(digit as u8),
            Some(first) => bytes.push(first << 4 | digit as u8),
        }
    }
    match high {
        Some(_) => Err(NotHex { what: "an odd number of hex digits".into(), offset: bytes.len() }),
        None => Ok(bytes),
    }
}

/// Bytes as hex digits.
pub(in crate::commands) fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_may_be_of_either_case_and_apart() {
        for text in ["0aff", "0AFF", "0x0aff", " 0a:ff \r\n", "0 a f\tf", "0X0A ff"] {
            assert_eq!(bytes(text.as_bytes()), Ok(vec![0x0a, 0xff]), "{text:?}");
        }
        assert_eq!(bytes(b""), Ok(vec![]));
        assert_eq!(digits(&[0x0a, 0xff]), "0aff");
    }

    #[test]
    fn what_is_not_hex_is_named_with_its_place() {
        for (text, what, offset) in [
            (&b"0aff0"[..], "an odd number of hex digits", 2),
            (b"0af,", "',' at digit 3 is not hex", 1),
            (b"0a0x", "'x' at digit 3 is not hex", 1),
            (b"\xff", "'ÿ' at digit 0 is not hex", 0),
        ] {
            assert_eq!(bytes(text), Err(NotHex { what: what.to_owned(), offset }));
        }
    }
}
