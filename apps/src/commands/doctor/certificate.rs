//! From when until when a certificate is good (X.509, RFC 5280 §4.1). Pure: no signature is
//! checked, nothing else is read.

use std::time::SystemTime;

use crate::calendar::moment;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The validity of the first certificate of a PEM file; `None` if there is none that can be read.
pub(super) fn validity(pem: &str) -> Option<(SystemTime, SystemTime)> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let der = base64(body)?;
    let (certificate, _) = value(&der, SEQUENCE)?;
    let (to_be_signed, _) = value(certificate, SEQUENCE)?;
    let mut rest = to_be_signed;
    if rest.first() == Some(&VERSION) {
        rest = skip(rest)?;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = skip(rest)?;
    }
    let (validity, _) = value(rest, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    let (until, _) = time(rest)?;
    Some((from, until))
}

/// Tag, content and what follows of the first element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        // Indefinite lengths are not DER.
        0x80 | 0x85.. => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

fn skip(der: &[u8]) -> Option<&[u8]> {
    element(der).map(|(_, _, rest)| rest)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(der: &[u8]) -> Option<(SystemTime, &[u8])> {
    let (tag, content, rest) = element(der)?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let (year, text) = text.split_at_checked(if tag == GENERALIZED_TIME { 4 } else { 2 })?;
    let year: i64 = year.parse().ok()?;
    let year = match tag {
        GENERALIZED_TIME => year,
        // Two digits from 50 on are of the twentieth century.
        UTC_TIME if year >= 50 => 1900 + year,
        UTC_TIME => 2000 + year,
        _ => return None,
    };
    let two = |at: usize| text.get(at..at + 2)?.parse::<u32>().ok();
    let month = two(0).filter(|month| (1..=12).contains(month))?;
    let at = moment((year, month, two(2)?), (two(4)?, two(6)?, two(8)?))?;
    Some((at, rest))
}

/// Base64 with line breaks (RFC 4648 §4).
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for c in text.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'=') {
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(digit)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// A self-signed certificate, good from 2001 to 2060.
    pub(in super::super) const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBAzCBqgIBATAKBggqhkjOPQQDAjANMQswCQYDVQQDDAJzMTAgFw0wMTAyMDMw
NDA1MDZaGA8yMDYwMDIwMzA0MDUwNlowDTELMAkGA1UEAwwCczEwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAAQY6RmwFS3sPbwumvfCr8u5gaeq1nDeBz7FKnEhRye4
u4ZVbphYaD+LocsWbGVMdAeq0Gy83uVMMOsr4FCr4mb5MAoGCCqGSM49BAMCA0gA
MEUCIQD+a+RDU7BX2UjRbiUE7mhzS35Sqec0+mlDnWqed5LOMwIgBbN3v6NQnSwY
uYueSVnYsOXQXEpi2JoJ0TO7fjFXthw=
-----END CERTIFICATE-----";

    #[test]
    fn the_dates_of_a_certificate_are_read() {
        let (from, until) = validity(CERTIFICATE).unwrap();
        // 2001-02-03 04:05:06 and 2060-02-03 04:05:06: a time of each form.
        assert_eq!(from, UNIX_EPOCH + Duration::from_secs(981_173_106));
        assert_eq!(until, UNIX_EPOCH + Duration::from_secs(2_843_006_706));
    }

    #[test]
    fn whatever_is_cut_or_broken_has_no_dates_and_does_no_harm() {
        let lines: Vec<&str> = CERTIFICATE.lines().collect();
        for keep in 1..lines.len() - 1 {
            let cut = format!("{}\n-----END CERTIFICATE-----", lines[..keep].join("\n"));
            let _ = validity(&cut);
        }
        for (index, _) in CERTIFICATE.char_indices() {
            let mut broken = CERTIFICATE.to_owned();
            broken.replace_range(index..=index, "A");
            let _ = validity(&broken);
        }
        assert_eq!(validity(""), None);
    }
}
