//! Ports. Pure.

use crate::types::{MacAddr, PortNo, newtype};

newtype! {
    /// How a port is configured (OFPPC_*, 1.3.5 §7.2.1).
    PortConfig(u32) "{:#x}" {
        /// Administratively down.
        PORT_DOWN = 1,
        /// Drop all packets received.
        NO_RECV = 4,
        /// Drop all packets to be sent.
        NO_FWD = 32,
        /// Send no packet-ins.
        NO_PACKET_IN = 64,
    }
}

newtype! {
    /// The physical state of a port (OFPPS_*).
    PortState(u32) "{:#x}" {
        /// No link.
        LINK_DOWN = 1,
        /// 1.3: blocked by a protocol of the switch.
        BLOCKED = 2,
        /// 1.3: live for fast failover.
        LIVE = 4,
    }
}

/// A port of a switch (`ofp_port`, 1.0: `ofp_phy_port`). Feature words are verbatim per version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Its number.
    pub port_no: PortNo,
    /// Its hardware address.
    pub hw_addr: MacAddr,
    /// Its name: 16 bytes, zero-padded, as on the wire.
    pub name: [u8; 16],
    /// Configuration bits.
    pub config: PortConfig,
    /// State bits.
    pub state: PortState,
    /// Current features.
    pub curr: u32,
    /// Advertised features.
    pub advertised: u32,
    /// Supported features.
    pub supported: u32,
    /// Features advertised by the peer.
    pub peer: u32,
    /// Current bit rate in kb/s; 0 in 1.0.
    pub curr_speed: u32,
    /// Highest bit rate in kb/s; 0 in 1.0.
    pub max_speed: u32,
}

impl Port {
    /// Whether frames can pass: not administratively down and the link not down.
    pub const fn is_up(&self) -> bool {
        self.config.0 & PortConfig::PORT_DOWN.0 == 0 && self.state.0 & PortState::LINK_DOWN.0 == 0
    }

    /// The name up to the first zero byte, lossy where it is not UTF-8.
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        let end = self.name.iter().position(|b| *b == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(&self.name[..end])
    }
}

newtype! {
    /// What happened to a port (1.3.5 §7.4.3).
    PortStatusReason(u8) "reason {}" {
        /// It was added.
        ADD = 0,
        /// It was removed.
        DELETE = 1,
        /// It changed.
        MODIFY = 2,
    }
}

/// A port was added, removed or changed (OFPT_PORT_STATUS).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortStatusReason,
    /// The port as it is now.
    pub port: Port,
}
