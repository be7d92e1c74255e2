//! The controller's role at this switch and what it is told by itself (1.3.5 §6.3.5, §6.3.6). Pure.

use umlaut_openflow::{AsyncConfig, Message, Role, RoleMessage, Version};

use super::error::Refusal;

/// The reasons that there are: of packet-ins, port changes, removed entries.
const REASONS: [u32; 3] = [0x07, 0x07, 0x3f];

/// Before the controller says anything: everything but packets whose time to live ran out, and to a
/// slave port changes only.
const DEFAULT: AsyncConfig =
    AsyncConfig { packet_in: [0x3, 0], port_status: [0x7, 0x7], flow_removed: [0xf, 0] };

/// Role and asynchronous messages of one connection.
#[derive(Debug)]
pub(super) struct Roles {
    role: Role,
    /// The highest generation that was heard, by any connection.
    generation: Option<u64>,
    config: AsyncConfig,
}

impl Default for Roles {
    fn default() -> Roles {
        Roles { role: Role::EQUAL, generation: None, config: DEFAULT }
    }
}

impl Roles {
    /// A new connection: equal, with the default. The generation is the switch's and stays.
    pub(super) fn reconnect(&mut self) {
        *self = Roles { generation: self.generation, ..Roles::default() };
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// Takes a role; what the switch answers.
    pub(super) fn request(
        &mut self,
        version: Version,
        request: RoleMessage,
    ) -> Result<RoleMessage, Refusal> {
        let old = version == Version::V1_0;
        match request.role {
            Role::NOCHANGE if !old => {}
            Role::EQUAL => self.role = Role::EQUAL,
            Role::MASTER | Role::SLAVE => {
                // Nicira's role request of 1.0 has no generation.
                if !old {
                    let older = |heard: u64| (request.generation_id.wrapping_sub(heard) as i64) < 0;
                    if self.generation.is_some_and(older) {
                        return Err(Refusal::ROLE_STALE);
                    }
                    self.generation = Some(request.generation_id);
                }
                self.role = request.role;
            }
            _ => return Err(Refusal::ROLE_BAD),
        }
        let generation_id = if old { 0 } else { self.generation.unwrap_or(u64::MAX) };
        Ok(RoleMessage { role: self.role, generation_id })
    }

    pub(super) fn async_config(&self) -> AsyncConfig {
        self.config
    }

    /// Takes the reasons that there are and forgets others.
    pub(super) fn set_async(&mut self, config: AsyncConfig) {
        let known = |words: [u32; 2], reasons: u32| words.map(|word| word & reasons);
        self.config = AsyncConfig {
            packet_in: known(config.packet_in, REASONS[0]),
            port_status: known(config.port_status, REASONS[1]),
            flow_removed: known(config.flow_removed, REASONS[2]),
        };
    }

    /// Whether the controller is told this by itself.
    pub(super) fn wants(&self, message: &Message<'_>) -> bool {
        let (words, reason) = match message {
            Message::PacketIn(packet) => (self.config.packet_in, packet.reason.0),
            Message::PortStatus(status) => (self.config.port_status, status.reason.0),
            Message::FlowRemoved(removed) => (self.config.flow_removed, removed.reason.0),
            _ => return true,
        };
        let word = if self.role == Role::SLAVE { words[1] } else { words[0] };
        word.checked_shr(reason.into()).is_some_and(|bits| bits & 1 != 0)
    }

    /// Whether a slave may not send this (OFPBRC_IS_SLAVE).
    pub(super) fn refuses(&self, message: &Message<'_>) -> bool {
        self.role == Role::SLAVE
            && matches!(
                message,
                Message::FlowMod(_)
                    | Message::GroupMod(_)
                    | Message::MeterMod(_)
                    | Message::PortMod(_)
                    | Message::TableMod(_)
                    | Message::PacketOut(_)
            )
    }
}
