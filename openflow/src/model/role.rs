//! Roles of controllers and what a switch tells each (1.3.5 §6.3, §7.3.9, §7.3.10). Pure.

use crate::types::newtype;

newtype! {
    /// The role of a controller, numbered as in 1.2 and later.
    Role(u32) "role {}" {
        /// Leaves the role as it is. Not in 1.0.
        NOCHANGE = 0,
        /// Full access, like every other equal controller.
        EQUAL = 1,
        /// Full access; the former master becomes slave.
        MASTER = 2,
        /// Read only.
        SLAVE = 3,
    }
}

/// A role, asked for or told (OFPT_ROLE_REQUEST and _REPLY). In 1.0: Nicira's NXT_ROLE_REQUEST and
/// _REPLY.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RoleMessage {
    /// The role.
    pub role: Role,
    /// Count of mastership elections, so that a late request is refused; 0 in 1.0.
    pub generation_id: u64,
}

/// Which asynchronous messages a controller gets (OFPT_GET_ASYNC_REPLY, OFPT_SET_ASYNC). Bit n stands
/// for reason n; the first word is for the roles master and equal, the second for slave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AsyncConfig {
    /// Reasons of packet-ins.
    pub packet_in: [u32; 2],
    /// Reasons of port-status messages.
    pub port_status: [u32; 2],
    /// Reasons of flow-removed messages.
    pub flow_removed: [u32; 2],
}
