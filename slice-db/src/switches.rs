//! Which switches may join: known datapaths, and the certificates that they must show. Pure.

use std::fmt;
use std::str::FromStr;

use umlaut_openflow::DatapathId;

use crate::policy::Policy;

/// The SHA-256 of a certificate's DER encoding. Written `sha256:` and 64 hex digits; read with or
/// without colons between the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not sha256: and 64 hex digits")]
pub struct NoFingerprint;

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, NoFingerprint> {
        let hex = text.strip_prefix("sha256:").ok_or(NoFingerprint)?;
        let digits: Option<Vec<u8>> = hex
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).map(|digit| digit as u8))
            .collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(NoFingerprint)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Fingerprint(bytes))
    }
}

/// What a switch's certificate must be. Either way the certificate was issued by the CA that the
/// controller trusts; this says whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CertificateOf {
    /// This very certificate.
    Fingerprint(Fingerprint),
    /// Any with this DNS name (subjectAltName, RFC 5280 §4.2.1.6), in lower case. The common name
    /// is not looked at (RFC 9525 §2).
    Name(Box<str>),
}

impl fmt::Display for CertificateOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateOf::Fingerprint(fingerprint) => fingerprint.fmt(f),
            CertificateOf::Name(name) => f.write_str(name),
        }
    }
}

/// The certificate that a switch showed, verified against the CA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown<'a> {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its DNS names.
    pub names: &'a [String],
}

impl CertificateOf {
    fn is(&self, shown: Shown<'_>) -> bool {
        match self {
            CertificateOf::Fingerprint(wanted) => *wanted == shown.fingerprint,
            CertificateOf::Name(wanted) => {
                shown.names.iter().any(|name| name.eq_ignore_ascii_case(wanted))
            }
        }
    }
}

/// Why a switch may not join.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SwitchRefusal {
    /// `options.unknown_switches` is `refuse` and the policy does not name it.
    #[error("datapath {0} is not under switches in the policy")]
    Unknown(DatapathId),
    /// It must show a certificate and connected without TLS.
    #[error("switch {switch} must show the certificate {wanted} and connected without TLS")]
    NoCertificate {
        /// The switch, as the policy names it.
        switch: String,
        /// What it must show.
        wanted: CertificateOf,
    },
    /// It showed another certificate.
    #[error("switch {switch} must show the certificate {wanted} and showed {shown}")]
    OtherCertificate {
        /// The switch, as the policy names it.
        switch: String,
        /// What it must show.
        wanted: CertificateOf,
        /// What it showed: its names and fingerprint.
        shown: String,
    },
}

/// Whether a datapath may join with the certificate that it showed, if it showed one.
///
/// # Errors
/// The refusal.
pub fn admit_switch(
    policy: &Policy,
    dpid: DatapathId,
    shown: Option<Shown<'_>>,
) -> Result<(), SwitchRefusal> {
    if policy.options.refuse_unknown_switches && !policy.switch_names.contains_key(&dpid) {
        return Err(SwitchRefusal::Unknown(dpid));
    }
    let Some(wanted) = policy.certificates.get(&dpid) else { return Ok(()) };
    let (switch, wanted) = (policy.switch_name(dpid), wanted.clone());
    match shown {
        None => Err(SwitchRefusal::NoCertificate { switch, wanted }),
        Some(shown) if wanted.is(shown) => Ok(()),
        Some(shown) => {
            let names = shown.names.join(", ");
            let shown = match names.is_empty() {
                true => shown.fingerprint.to_string(),
                false => format!("{names} ({})", shown.fingerprint),
            };
            Err(SwitchRefusal::OtherCertificate { switch, wanted, shown })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Fingerprint = Fingerprint([0xa1; 32]);
    const B: Fingerprint = Fingerprint([0xb2; 32]);

    fn policy(options: &str) -> Policy {
        let text = format!(
            "umlaut: 1\nswitches:\n  s1: 0x1\n  s2: {{dpid: 0x2, cert: S2.lab}}\n  s3: {{dpid: 0x3, cert: \"{A}\"}}\nslices: {{a: {{members: [{{port: s1/1}}]}}}}\noptions: {{{options}}}\n"
        );
        Policy::parse("p", &text).unwrap_or_else(|m| panic!("{}", m[0])).0
    }

    #[test]
    fn a_switch_joins_if_it_is_known_and_shows_its_certificate() {
        let s2 = ["other".to_owned(), "s2.LAB".to_owned()];
        let as_s2 = Some(Shown { fingerprint: B, names: &s2 });
        let nameless = |fingerprint| Some(Shown { fingerprint, names: &[] });
        let open = policy("unknown_switches: accept");
        let closed = policy("unknown_switches: refuse");
        let rows = [
            // dpid, shown, open to unknown switches, why not
            (1, None, true, None),
            (1, as_s2, true, None),
            (1, None, false, None),
            (2, as_s2, true, None),
            (2, nameless(A), true, Some("must show the certificate s2.lab and showed sha256:a1a1")),
            (2, None, false, Some("s2 must show the certificate s2.lab and connected without TLS")),
            (3, nameless(A), true, None),
            (3, as_s2, true, Some("sha256:a1")),
            (9, None, true, None),
            (9, as_s2, false, Some("datapath 0x9 is not under switches")),
        ];
        for (dpid, shown, accept, why) in rows {
            let policy = if accept { &open } else { &closed };
            let told = admit_switch(policy, DatapathId(dpid), shown).err().map(|e| e.to_string());
            match (&told, why) {
                (None, None) => {}
                (Some(told), Some(why)) if told.contains(why) => {}
                _ => panic!("{dpid} {shown:?}: {told:?}, not {why:?}"),
            }
        }
    }

    #[test]
    fn fingerprints_are_read_as_they_are_written_and_as_openssl_prints_them() {
        assert_eq!(A.to_string().parse(), Ok(A));
        let colons = vec!["A1"; 32].join(":");
        assert_eq!(format!("sha256:{colons}").parse(), Ok(A));
        for bad in [colons.as_str(), "sha256:", "sha256:a1", &format!("{A}00"), "sha256:zz"] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(NoFingerprint), "{bad}");
        }
    }
}
