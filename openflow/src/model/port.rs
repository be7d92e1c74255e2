//! Ports. Pure.

use std::time::Duration;

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
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Port {
    /// Its number.
    pub port_no: PortNo,
    /// Its hardware address.
    pub hw_addr: MacAddr,
    /// Its name: 16 bytes, zero-padded, as on the wire.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::text"))]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PortStatus {
    /// What happened.
    pub reason: PortStatusReason,
    /// The port as it is now.
    pub port: Port,
}

/// Changes a port (OFPT_PORT_MOD, 1.3.5 §7.3.4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PortMod {
    /// The port.
    pub port_no: PortNo,
    /// Its hardware address, which must be the right one.
    pub hw_addr: MacAddr,
    /// The new configuration bits.
    pub config: PortConfig,
    /// Which of them to change.
    pub mask: PortConfig,
    /// Features to advertise, verbatim per version; 0 changes nothing.
    pub advertise: u32,
}

/// Counters of a port (OFPMP_PORT_STATS, 1.3.5 §7.3.5.6). All ones: not counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PortStats {
    /// The port.
    pub port_no: PortNo,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets dropped at reception.
    pub rx_dropped: u64,
    /// Packets dropped at transmission.
    pub tx_dropped: u64,
    /// Errors at reception; at least the sum of the three below.
    pub rx_errors: u64,
    /// Errors at transmission.
    pub tx_errors: u64,
    /// Alignment errors.
    pub rx_frame_err: u64,
    /// Overruns.
    pub rx_over_err: u64,
    /// Check sequence errors.
    pub rx_crc_err: u64,
    /// Collisions.
    pub collisions: u64,
    /// How long it has existed; zero in 1.0.
    pub duration: Duration,
}
