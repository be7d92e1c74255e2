//! What applications say most, one method each: messages of [`Switch::send`] with sane defaults. Pure.
//!
//! Each returns the transaction id under which an answer or an error comes to the application's
//! handlers, and fails as [`Switch::send`] does, with nothing sent.

use umlaut_openflow::{
    Action, Actions, AsyncConfig, Bucket, ConfigFlags, FlowMod, FlowStatsRequest, GroupCommand,
    GroupId, GroupMod, GroupType, Match, Message, MeterBand, MeterCommand, MeterFlags, MeterId,
    MeterMod, PacketIn, PacketOut, PortConfig, PortMod, PortNo, Role, RoleMessage, SwitchConfig,
    TableId, TableMod, Xid,
};

use super::{SendError, Switch};

/// All queues of a port, in statistics requests (OFPQ_ALL).
pub const ALL_QUEUES: u32 = 0xffff_ffff;

type Sent = Result<Xid, SendError>;

#[expect(clippy::missing_errors_doc, reason = "the module says it once for all")]
impl Switch {
    // ---- flow entries ----

    /// Adds an entry of priority 0x8000 without time-outs; no actions: it drops. For the rest there is
    /// [`FlowMod::add`] and [`Switch::flow_mod`].
    pub fn add_flow(&mut self, matches: Match, actions: Vec<Action>) -> Sent {
        self.flow_mod(FlowMod::add(matches).apply(actions))
    }

    /// Gives all own entries that the match covers these actions. Nothing is added.
    pub fn modify_flows(&mut self, matches: Match, actions: Vec<Action>) -> Sent {
        self.flow_mod(FlowMod::modify(matches).apply(actions))
    }

    /// Gives the own entry with exactly this match and priority these actions. Nothing is added.
    pub fn modify_flow(&mut self, matches: Match, priority: u16, actions: Vec<Action>) -> Sent {
        self.flow_mod(FlowMod::modify_strict(matches, priority).apply(actions))
    }

    /// Deletes all own entries that the match covers.
    pub fn delete_flows(&mut self, matches: Match) -> Sent {
        self.flow_mod(FlowMod::delete(matches))
    }

    /// Deletes the own entry with exactly this match and priority.
    pub fn delete_flow(&mut self, matches: Match, priority: u16) -> Sent {
        self.flow_mod(FlowMod::delete_strict(matches, priority))
    }

    // ---- packets ----

    /// Sends a frame that came from nowhere out of a port. Short frames are padded.
    pub fn send_out(&mut self, port: PortNo, frame: &[u8]) -> Sent {
        self.packet_out(PortNo::ANY, vec![Action::output(port)], frame)
    }

    /// Sends the packet of a packet-in on: the switch's own copy, if it kept one.
    pub fn send_packet(&mut self, packet: &PacketIn<'_>, actions: impl Into<Actions>) -> Sent {
        let Some(buffer_id) = packet.buffer_id else {
            return self.packet_out(packet.in_port, actions, &packet.data);
        };
        self.own_packet_out(&PacketOut {
            buffer_id: Some(buffer_id),
            in_port: packet.in_port,
            actions: actions.into(),
            data: (&[][..]).into(),
        })
    }

    // ---- groups and meters: from 1.3 on, numbered by all applications together ----

    /// Adds a group.
    pub fn add_group(&mut self, id: GroupId, kind: GroupType, buckets: Vec<Bucket>) -> Sent {
        self.group_mod(GroupCommand::ADD, id, kind, buckets)
    }

    /// Changes a group.
    pub fn modify_group(&mut self, id: GroupId, kind: GroupType, buckets: Vec<Bucket>) -> Sent {
        self.group_mod(GroupCommand::MODIFY, id, kind, buckets)
    }

    /// Deletes a group and all entries that use it; with `ALL` all groups.
    pub fn delete_group(&mut self, id: GroupId) -> Sent {
        self.group_mod(GroupCommand::DELETE, id, GroupType::ALL, Vec::new())
    }

    fn group_mod(
        &mut self,
        command: GroupCommand,
        group_id: GroupId,
        kind: GroupType,
        buckets: Vec<Bucket>,
    ) -> Sent {
        self.send(&Message::GroupMod(GroupMod { command, kind, group_id, buckets }))
    }

    /// Adds a meter.
    pub fn add_meter(&mut self, id: MeterId, flags: MeterFlags, bands: Vec<MeterBand>) -> Sent {
        self.meter_mod(MeterCommand::ADD, id, flags, bands)
    }

    /// Changes a meter.
    pub fn modify_meter(&mut self, id: MeterId, flags: MeterFlags, bands: Vec<MeterBand>) -> Sent {
        self.meter_mod(MeterCommand::MODIFY, id, flags, bands)
    }

    /// Deletes a meter and all entries that use it; with `ALL` all meters.
    pub fn delete_meter(&mut self, id: MeterId) -> Sent {
        self.meter_mod(MeterCommand::DELETE, id, MeterFlags::default(), Vec::new())
    }

    fn meter_mod(
        &mut self,
        command: MeterCommand,
        meter_id: MeterId,
        flags: MeterFlags,
        bands: Vec<MeterBand>,
    ) -> Sent {
        self.send(&Message::MeterMod(MeterMod { command, flags, meter_id, bands }))
    }

    // ---- the switch itself ----

    /// Changes those configuration bits of a port that are in `mask`.
    pub fn configure_port(
        &mut self,
        port_no: PortNo,
        config: PortConfig,
        mask: PortConfig,
    ) -> Sent {
        let port = self.ports.get(&port_no).ok_or(SendError::NoSuchPort(port_no))?;
        let hw_addr = port.hw_addr;
        self.send(&Message::PortMod(PortMod { port_no, hw_addr, config, mask, advertise: 0 }))
    }

    /// Takes a port into service, or out of it.
    pub fn set_port_up(&mut self, port: PortNo, up: bool) -> Sent {
        let config = if up { PortConfig(0) } else { PortConfig::PORT_DOWN };
        self.configure_port(port, config, PortConfig::PORT_DOWN)
    }

    /// Configures a table (from 1.3 on).
    pub fn configure_table(&mut self, table_id: TableId, config: u32) -> Sent {
        self.send(&Message::TableMod(TableMod { table_id, config }))
    }

    /// Says how fragments are treated. Packet-ins stay whole.
    pub fn set_fragments(&mut self, flags: ConfigFlags) -> Sent {
        self.send(&Message::SetConfig(SwitchConfig { flags, miss_send_len: 0xffff }))
    }

    /// Says which asynchronous messages come here (from 1.3 on).
    pub fn set_async(&mut self, config: AsyncConfig) -> Sent {
        self.send(&Message::SetAsync(config))
    }

    /// Sends an experimenter's message.
    pub fn experimenter(&mut self, experimenter: u32, body: &[u8]) -> Sent {
        self.send(&Message::Experimenter { experimenter, body: body.into() })
    }

    // ---- requests ----

    /// Answered when everything sent before is done ([`crate::App::barrier_reply`]).
    pub fn barrier(&mut self) -> Sent {
        self.send(&Message::BarrierRequest)
    }

    /// Answered with the payload ([`crate::App::echo_reply`]).
    pub fn echo(&mut self, payload: &[u8]) -> Sent {
        self.send(&Message::EchoRequest(payload.into()))
    }

    /// Asks for a role ([`crate::App::role_reply`]); in 1.0 as Nicira does, without a generation.
    pub fn request_role(&mut self, role: Role, generation_id: u64) -> Sent {
        self.send(&Message::RoleRequest(RoleMessage { role, generation_id }))
    }

    /// Answered by [`crate::App::features_reply`].
    pub fn request_features(&mut self) -> Sent {
        self.send(&Message::FeaturesRequest)
    }

    /// Answered by [`crate::App::config_reply`].
    pub fn request_config(&mut self) -> Sent {
        self.send(&Message::GetConfigRequest)
    }

    /// Answered by [`crate::App::async_reply`] (from 1.3 on).
    pub fn request_async(&mut self) -> Sent {
        self.send(&Message::GetAsyncRequest)
    }

    /// The queues of a port; answered by [`crate::App::queues_reply`].
    pub fn request_queues(&mut self, port: PortNo) -> Sent {
        self.send(&Message::QueueGetConfigRequest { port })
    }

    /// Answered by [`crate::App::description_reply`].
    pub fn request_description(&mut self) -> Sent {
        self.send(&Message::DescriptionRequest)
    }

    /// Answered by [`crate::App::ports_reply`], in both versions.
    pub fn request_ports(&mut self) -> Sent {
        self.send(&Message::PortDescriptionRequest)
    }

    /// The entries that the match covers, whosever they are; answered by
    /// [`crate::App::flow_stats_reply`].
    pub fn request_flow_stats(&mut self, matches: Match) -> Sent {
        self.send(&Message::FlowStatsRequest(FlowStatsRequest::of(matches)))
    }

    /// The sum over the entries that the match covers; answered by
    /// [`crate::App::aggregate_stats_reply`].
    pub fn request_aggregate_stats(&mut self, matches: Match) -> Sent {
        self.send(&Message::AggregateStatsRequest(FlowStatsRequest::of(matches)))
    }

    /// Answered by [`crate::App::table_stats_reply`].
    pub fn request_table_stats(&mut self) -> Sent {
        self.send(&Message::TableStatsRequest)
    }

    /// One port, or `ANY`; answered by [`crate::App::port_stats_reply`].
    pub fn request_port_stats(&mut self, port: PortNo) -> Sent {
        self.send(&Message::PortStatsRequest { port })
    }

    /// One port, or `ANY`, and one queue, or [`ALL_QUEUES`]; answered by
    /// [`crate::App::queue_stats_reply`].
    pub fn request_queue_stats(&mut self, port: PortNo, queue_id: u32) -> Sent {
        self.send(&Message::QueueStatsRequest { port, queue_id })
    }

    /// One group, or `ALL` (from 1.3 on); answered by [`crate::App::group_stats_reply`].
    pub fn request_group_stats(&mut self, group_id: GroupId) -> Sent {
        self.send(&Message::GroupStatsRequest { group_id })
    }

    /// What the groups are (from 1.3 on); answered by [`crate::App::groups_reply`].
    pub fn request_groups(&mut self) -> Sent {
        self.send(&Message::GroupDescriptionRequest)
    }

    /// Answered by [`crate::App::group_features_reply`] (from 1.3 on).
    pub fn request_group_features(&mut self) -> Sent {
        self.send(&Message::GroupFeaturesRequest)
    }

    /// One meter, or `ALL` (from 1.3 on); answered by [`crate::App::meter_stats_reply`].
    pub fn request_meter_stats(&mut self, meter_id: MeterId) -> Sent {
        self.send(&Message::MeterStatsRequest { meter_id })
    }

    /// What one meter, or `ALL`, is (from 1.3 on); answered by [`crate::App::meters_reply`].
    pub fn request_meters(&mut self, meter_id: MeterId) -> Sent {
        self.send(&Message::MeterConfigRequest { meter_id })
    }

    /// Answered by [`crate::App::meter_features_reply`] (from 1.3 on).
    pub fn request_meter_features(&mut self) -> Sent {
        self.send(&Message::MeterFeaturesRequest)
    }

    /// Answered by [`crate::App::table_features_reply`] (from 1.3 on).
    pub fn request_table_features(&mut self) -> Sent {
        self.send(&Message::TableFeaturesRequest { tables: Vec::new(), more: false })
    }

    /// An experimenter's statistics; answered by [`crate::App::experimenter_stats_reply`].
    pub fn request_experimenter_stats(&mut self, experimenter: u32, body: &[u8]) -> Sent {
        let body = body.into();
        self.send(&Message::ExperimenterStatsRequest { experimenter, body, more: false })
    }
}
