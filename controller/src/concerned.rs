//! Whom the step from one policy to the next concerns, so that all others need not be asked again. Pure.

use std::collections::BTreeSet;

use umlaut_openflow::MacAddr;

use crate::app::End;

/// Whom the step from one policy to the next concerns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Concerned {
    /// Anybody.
    All,
    /// Nobody but these hosts, by address, and whoever is on these ports. Of all others an application
    /// says the same under both policies: whether the table keeps a host
    /// ([`keeps_host`](crate::App::keeps_host)), whether a port is bound
    /// ([`fabric`](crate::App::fabric)), and what the frames do that enter and leave by other ports
    /// between other hosts ([`decide_again`](crate::App::decide_again)), as long as the links are the
    /// same.
    Only {
        /// The addresses.
        macs: BTreeSet<MacAddr>,
        /// The ports.
        ports: BTreeSet<End>,
    },
}

impl Concerned {
    /// Nobody.
    pub fn nobody() -> Concerned {
        Concerned::Only { macs: BTreeSet::new(), ports: BTreeSet::new() }
    }

    /// Whom this or another concerns.
    #[must_use]
    pub fn or(self, other: Concerned) -> Concerned {
        match (self, other) {
            (
                Concerned::Only { mut macs, mut ports },
                Concerned::Only { macs: more_macs, ports: more_ports },
            ) => {
                macs.extend(more_macs);
                ports.extend(more_ports);
                Concerned::Only { macs, ports }
            }
            _ => Concerned::All,
        }
    }

    pub(crate) fn has_mac(&self, mac: MacAddr) -> bool {
        match self {
            Concerned::All => true,
            Concerned::Only { macs, .. } => macs.contains(&mac),
        }
    }

    pub(crate) fn has_port(&self, end: End) -> bool {
        match self {
            Concerned::All => true,
            Concerned::Only { ports, .. } => ports.contains(&end),
        }
    }
}
