//! Who is at the other end of a control connection. Pure.

use std::net::IpAddr;

/// A certificate that the other end showed, verified against the CA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// The SHA-256 of its DER encoding.
    pub fingerprint: [u8; 32],
    /// Its DNS names (subjectAltName), in their order.
    pub names: Vec<String>,
}

impl Certificate {
    /// Whether both were issued to the same switch: the same certificate, or one that was renewed
    /// and has the same names.
    pub fn is_of_same(&self, other: &Certificate) -> bool {
        self.fingerprint == other.fingerprint
            || (!self.names.is_empty() && self.names == other.names)
    }
}

/// Where a control connection comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Its name in reports: address and port.
    pub peer: String,
    /// Its address, if it is by IP.
    pub address: Option<IpAddr>,
    /// Its certificate, if it is by TLS.
    pub certificate: Option<Certificate>,
}

impl Origin {
    /// A connection of which only a name for reports is known.
    pub fn named(peer: impl Into<String>) -> Origin {
        Origin { peer: peer.into(), address: None, certificate: None }
    }

    /// Whether it is surely the same switch as an older connection, which then gives way at once. A
    /// certificate says more than an address, which many may share: where the older one showed a
    /// certificate, only that counts.
    pub fn succeeds(&self, older: &Origin) -> bool {
        match (&self.certificate, &older.certificate) {
            (Some(new), Some(old)) => new.is_of_same(old),
            (None, Some(_)) => false,
            (_, None) => self.address.is_some() && self.address == older.address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_connection_gives_way_to_its_own_switch_only() {
        let certificate = |byte, names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            Some(Certificate { fingerprint: [byte; 32], names })
        };
        let origin = |last, certificate| Origin {
            peer: "p".to_owned(),
            address: Some(IpAddr::from([10, 0, 0, last])),
            certificate,
        };
        let rows = [
            // the newer one, the older one
            (origin(1, None), origin(1, None), true),
            (origin(2, None), origin(1, None), false),
            (Origin::named("a"), Origin::named("a"), false),
            (origin(1, certificate(1, &["s1"])), origin(1, None), true),
            (origin(1, None), origin(1, certificate(1, &["s1"])), false),
            (origin(1, certificate(1, &["s1"])), origin(2, certificate(1, &["s1"])), true),
            (origin(1, certificate(2, &["s1"])), origin(2, certificate(1, &["s1"])), true),
            (origin(1, certificate(2, &["s2"])), origin(1, certificate(1, &["s1"])), false),
            (origin(1, certificate(1, &[])), origin(2, certificate(1, &[])), true),
            (origin(1, certificate(2, &[])), origin(1, certificate(1, &[])), false),
        ];
        for (newer, older, expected) in rows {
            assert_eq!(newer.succeeds(&older), expected, "{newer:?} after {older:?}");
        }
    }
}
