//! The message and its smaller kinds. Pure.

use std::borrow::Cow;

use super::flow::{AggregateStats, FlowMod, FlowRemoved, FlowStats, FlowStatsRequest};
use super::group::{GroupDescription, GroupFeatures, GroupMod, GroupStats};
use super::meter::{MeterConfig, MeterFeatures, MeterId, MeterMod, MeterStats};
use super::packet::{PacketIn, PacketOut};
use super::port::{Port, PortMod, PortStats, PortStatus};
use super::queue::{QueueConfig, QueueStats};
use super::role::{AsyncConfig, RoleMessage};
use super::table::{TableFeatures, TableMod, TableStats};
use crate::types::{DatapathId, GroupId, PortNo, Version, newtype};

/// A message without its header. Version and xid are said at encode and told at decode.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "kind", content = "content", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Message<'a> {
    /// OFPT_HELLO.
    Hello(Hello),
    /// OFPT_ERROR.
    Error(ErrorMessage<'a>),
    /// OFPT_ECHO_REQUEST: arbitrary payload, to be sent back.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
    EchoRequest(Cow<'a, [u8]>),
    /// OFPT_ECHO_REPLY: the payload of the request.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
    EchoReply(Cow<'a, [u8]>),
    /// OFPT_EXPERIMENTER (1.0: OFPT_VENDOR).
    Experimenter {
        /// The experimenter's id.
        experimenter: u32,
        /// What follows the id.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
        body: Cow<'a, [u8]>,
    },
    /// OFPT_FEATURES_REQUEST.
    FeaturesRequest,
    /// OFPT_FEATURES_REPLY.
    FeaturesReply(Features),
    /// OFPT_GET_CONFIG_REQUEST.
    GetConfigRequest,
    /// OFPT_GET_CONFIG_REPLY.
    GetConfigReply(SwitchConfig),
    /// OFPT_SET_CONFIG.
    SetConfig(SwitchConfig),
    /// OFPT_PACKET_IN.
    PacketIn(PacketIn<'a>),
    /// OFPT_FLOW_REMOVED.
    FlowRemoved(FlowRemoved),
    /// OFPT_PORT_STATUS.
    PortStatus(PortStatus),
    /// OFPT_PACKET_OUT.
    PacketOut(PacketOut<'a>),
    /// OFPT_FLOW_MOD.
    FlowMod(FlowMod),
    /// OFPT_BARRIER_REQUEST.
    BarrierRequest,
    /// OFPT_BARRIER_REPLY.
    BarrierReply,
    /// OFPMP_DESC request.
    DescriptionRequest,
    /// OFPMP_DESC reply.
    DescriptionReply(Box<SwitchDescription>),
    /// OFPMP_PORT_DESC request. 1.3 and later (1.0 lists ports in the features reply).
    PortDescriptionRequest,
    /// OFPMP_PORT_DESC reply, one part.
    PortDescriptionReply {
        /// The ports of this part.
        ports: Vec<Port>,
        /// Whether more parts follow.
        more: bool,
    },
    /// OFPMP_FLOW request.
    FlowStatsRequest(FlowStatsRequest),
    /// OFPMP_FLOW reply, one part.
    FlowStatsReply {
        /// The entries of this part.
        flows: Vec<FlowStats>,
        /// Whether more parts follow.
        more: bool,
    },
    /// OFPT_PORT_MOD.
    PortMod(PortMod),
    /// OFPT_GROUP_MOD. 1.1 and later.
    GroupMod(GroupMod),
    /// OFPT_TABLE_MOD. 1.1 and later.
    TableMod(TableMod),
    /// OFPT_METER_MOD. 1.3 and later.
    MeterMod(MeterMod),
    /// OFPT_QUEUE_GET_CONFIG_REQUEST.
    QueueGetConfigRequest {
        /// The port, or `ANY`.
        port: PortNo,
    },
    /// OFPT_QUEUE_GET_CONFIG_REPLY.
    QueueGetConfigReply {
        /// The port of the request.
        port: PortNo,
        /// The queues.
        queues: Vec<QueueConfig>,
    },
    /// OFPT_ROLE_REQUEST; in 1.0 Nicira's.
    RoleRequest(RoleMessage),
    /// OFPT_ROLE_REPLY; in 1.0 Nicira's.
    RoleReply(RoleMessage),
    /// OFPT_GET_ASYNC_REQUEST. 1.3 and later.
    GetAsyncRequest,
    /// OFPT_GET_ASYNC_REPLY. 1.3 and later.
    GetAsyncReply(AsyncConfig),
    /// OFPT_SET_ASYNC. 1.3 and later.
    SetAsync(AsyncConfig),
    /// OFPMP_AGGREGATE request.
    AggregateStatsRequest(FlowStatsRequest),
    /// OFPMP_AGGREGATE reply.
    AggregateStatsReply(AggregateStats),
    /// OFPMP_TABLE request.
    TableStatsRequest,
    /// OFPMP_TABLE reply, one part.
    TableStatsReply {
        /// The tables of this part.
        tables: Vec<TableStats>,
        /// Whether more parts follow.
        more: bool,
    },
    /// OFPMP_PORT_STATS request.
    PortStatsRequest {
        /// The port, or `ANY`.
        port: PortNo,
    },
    /// OFPMP_PORT_STATS reply, one part.
    PortStatsReply {
        /// The ports of this part.
        ports: Vec<PortStats>,
        /// Whether more parts follow.
        more: bool,
    },
    /// OFPMP_QUEUE request.
    QueueStatsRequest {
        /// The port, or `ANY` (1.0: `ALL`).
        port: PortNo,
        /// The queue, or 0xffffffff for all.
        queue_id: u32,
    },
    /// OFPMP_QUEUE reply, one part.
    QueueStatsReply {
        /// The queues of this part.
        queues: Vec<QueueStats>,
        /// Whether more parts follow.
        more: bool,
    },
    /// OFPMP_GROUP request. 1.1 and later.
    GroupStatsRequest {
        /// The group, or `ALL`.
        group_id: GroupId,
    },
    /// OFPMP_GROUP reply, one part. 1.1 and later.
    GroupStatsReply {
        /// The groups of this part.
        groups: Vec<GroupStats>,
        /// Whether more parts follow.
        more: bool,
    },
    /// OFPMP_GROUP_DESC request. 1.1 and later.
    GroupDescriptionRequest,
    /// OFPMP_GROUP_DESC reply, one part. 1.1 and later.
    GroupDescriptionReply {
        /// The groups of this part.
        groups: Vec<GroupDescription>,
        /// Whether more parts follow.
        more: bool,
    },
    /// OFPMP_GROUP_FEATURES request. 1.2 and later.
    GroupFeaturesRequest,
    /// OFPMP_GROUP_FEATURES reply. 1.2 and later.
    GroupFeaturesReply(GroupFeatures),
    /// OFPMP_METER request. 1.3 and later.
    MeterStatsRequest {
        /// The meter, or `ALL`.
        meter_id: MeterId,
    },
    /// OFPMP_METER reply, one part. 1.3 and later.
    MeterStatsReply {
        /// The meters of this part.
        meters: Vec<MeterStats>,
        /// Whether more parts follow.
        more: bool,
    },
    /// OFPMP_METER_CONFIG request. 1.3 and later.
    MeterConfigRequest {
        /// The meter, or `ALL`.
        meter_id: MeterId,
    },
    /// OFPMP_METER_CONFIG reply, one part. 1.3 and later.
    MeterConfigReply {
        /// The meters of this part.
        meters: Vec<MeterConfig>,
        /// Whether more parts follow.
        more: bool,
    },
    /// OFPMP_METER_FEATURES request. 1.3 and later.
    MeterFeaturesRequest,
    /// OFPMP_METER_FEATURES reply. 1.3 and later.
    MeterFeaturesReply(MeterFeatures),
    /// OFPMP_TABLE_FEATURES request, one part: empty asks, otherwise it configures. 1.3 and later.
    TableFeaturesRequest {
        /// The tables of this part.
        tables: Vec<TableFeatures>,
        /// Whether more parts follow.
        more: bool,
    },
    /// OFPMP_TABLE_FEATURES reply, one part. 1.3 and later.
    TableFeaturesReply {
        /// The tables of this part.
        tables: Vec<TableFeatures>,
        /// Whether more parts follow.
        more: bool,
    },
    /// OFPMP_EXPERIMENTER request (1.0: OFPST_VENDOR), one part.
    ExperimenterStatsRequest {
        /// The experimenter's id.
        experimenter: u32,
        /// What follows the id.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
        body: Cow<'a, [u8]>,
        /// Whether more parts follow. Not in 1.0.
        more: bool,
    },
    /// OFPMP_EXPERIMENTER reply (1.0: OFPST_VENDOR), one part.
    ExperimenterStatsReply {
        /// The experimenter's id.
        experimenter: u32,
        /// What follows the id.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
        body: Cow<'a, [u8]>,
        /// Whether more parts follow.
        more: bool,
    },
    /// A message of a type that is not modelled, verbatim; also a multipart message of an unknown
    /// kind or with unknown flags.
    Opaque(Opaque<'a>),
}

impl Message<'_> {
    /// The same message with its payload copied, free of the bytes that it was decoded from.
    pub fn into_owned(self) -> Message<'static> {
        fn own(bytes: Cow<'_, [u8]>) -> Cow<'static, [u8]> {
            Cow::Owned(bytes.into_owned())
        }
        match self {
            Message::Error(ErrorMessage { code, data }) => {
                Message::Error(ErrorMessage { code, data: own(data) })
            }
            Message::EchoRequest(data) => Message::EchoRequest(own(data)),
            Message::EchoReply(data) => Message::EchoReply(own(data)),
            Message::Experimenter { experimenter, body } => {
                Message::Experimenter { experimenter, body: own(body) }
            }
            Message::PacketIn(packet) => Message::PacketIn(PacketIn {
                pipeline: own(packet.pipeline),
                data: own(packet.data),
                ..packet
            }),
            Message::PacketOut(packet) => {
                Message::PacketOut(PacketOut { data: own(packet.data), ..packet })
            }
            Message::ExperimenterStatsRequest { experimenter, body, more } => {
                Message::ExperimenterStatsRequest { experimenter, body: own(body), more }
            }
            Message::ExperimenterStatsReply { experimenter, body, more } => {
                Message::ExperimenterStatsReply { experimenter, body: own(body), more }
            }
            Message::Opaque(Opaque { kind, body }) => {
                Message::Opaque(Opaque { kind, body: own(body) })
            }
            Message::Hello(v) => Message::Hello(v),
            Message::FeaturesRequest => Message::FeaturesRequest,
            Message::FeaturesReply(v) => Message::FeaturesReply(v),
            Message::GetConfigRequest => Message::GetConfigRequest,
            Message::GetConfigReply(v) => Message::GetConfigReply(v),
            Message::SetConfig(v) => Message::SetConfig(v),
            Message::FlowRemoved(v) => Message::FlowRemoved(v),
            Message::PortStatus(v) => Message::PortStatus(v),
            Message::FlowMod(v) => Message::FlowMod(v),
            Message::BarrierRequest => Message::BarrierRequest,
            Message::BarrierReply => Message::BarrierReply,
            Message::DescriptionRequest => Message::DescriptionRequest,
            Message::DescriptionReply(v) => Message::DescriptionReply(v),
            Message::PortDescriptionRequest => Message::PortDescriptionRequest,
            Message::PortDescriptionReply { ports, more } => {
                Message::PortDescriptionReply { ports, more }
            }
            Message::FlowStatsRequest(v) => Message::FlowStatsRequest(v),
            Message::FlowStatsReply { flows, more } => Message::FlowStatsReply { flows, more },
            Message::PortMod(v) => Message::PortMod(v),
            Message::GroupMod(v) => Message::GroupMod(v),
            Message::TableMod(v) => Message::TableMod(v),
            Message::MeterMod(v) => Message::MeterMod(v),
            Message::QueueGetConfigRequest { port } => Message::QueueGetConfigRequest { port },
            Message::QueueGetConfigReply { port, queues } => {
                Message::QueueGetConfigReply { port, queues }
            }
            Message::RoleRequest(v) => Message::RoleRequest(v),
            Message::RoleReply(v) => Message::RoleReply(v),
            Message::GetAsyncRequest => Message::GetAsyncRequest,
            Message::GetAsyncReply(v) => Message::GetAsyncReply(v),
            Message::SetAsync(v) => Message::SetAsync(v),
            Message::AggregateStatsRequest(v) => Message::AggregateStatsRequest(v),
            Message::AggregateStatsReply(v) => Message::AggregateStatsReply(v),
            Message::TableStatsRequest => Message::TableStatsRequest,
            Message::TableStatsReply { tables, more } => Message::TableStatsReply { tables, more },
            Message::PortStatsRequest { port } => Message::PortStatsRequest { port },
            Message::PortStatsReply { ports, more } => Message::PortStatsReply { ports, more },
            Message::QueueStatsRequest { port, queue_id } => {
                Message::QueueStatsRequest { port, queue_id }
            }
            Message::QueueStatsReply { queues, more } => Message::QueueStatsReply { queues, more },
            Message::GroupStatsRequest { group_id } => Message::GroupStatsRequest { group_id },
            Message::GroupStatsReply { groups, more } => Message::GroupStatsReply { groups, more },
            Message::GroupDescriptionRequest => Message::GroupDescriptionRequest,
            Message::GroupDescriptionReply { groups, more } => {
                Message::GroupDescriptionReply { groups, more }
            }
            Message::GroupFeaturesRequest => Message::GroupFeaturesRequest,
            Message::GroupFeaturesReply(v) => Message::GroupFeaturesReply(v),
            Message::MeterStatsRequest { meter_id } => Message::MeterStatsRequest { meter_id },
            Message::MeterStatsReply { meters, more } => Message::MeterStatsReply { meters, more },
            Message::MeterConfigRequest { meter_id } => Message::MeterConfigRequest { meter_id },
            Message::MeterConfigReply { meters, more } => {
                Message::MeterConfigReply { meters, more }
            }
            Message::MeterFeaturesRequest => Message::MeterFeaturesRequest,
            Message::MeterFeaturesReply(v) => Message::MeterFeaturesReply(v),
            Message::TableFeaturesRequest { tables, more } => {
                Message::TableFeaturesRequest { tables, more }
            }
            Message::TableFeaturesReply { tables, more } => {
                Message::TableFeaturesReply { tables, more }
            }
        }
    }
}

/// A message kept as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Opaque<'a> {
    /// OFPT_* of its version.
    pub kind: u8,
    /// What follows the 8-byte header.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
    pub body: Cow<'a, [u8]>,
}

/// Version negotiation (1.3.5 §7.5.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Hello {
    /// The version bitmaps, lowest versions first: bit n of word k stands for version 32 k + n.
    /// `None`: no such element, the header's version is the highest.
    pub versions: Option<Vec<u32>>,
    /// Other elements, verbatim: type and body.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::elements"))]
    pub others: Vec<(u16, Vec<u8>)>,
    /// The whole body as it came, kept only where the elements would not encode to it again: padding
    /// left out, the bitmap not first or repeated, anything in a 1.0 hello that is no element. It goes
    /// before the elements at encode, so clear it when you change them.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex_option"))]
    pub wire: Option<Vec<u8>>,
}

impl Hello {
    /// A hello that offers exactly these versions, all below 32.
    pub fn offering(versions: &[Version]) -> Hello {
        let bits =
            versions.iter().fold(0, |bits, v| bits | 1u32.checked_shl(v.0.into()).unwrap_or(0));
        Hello { versions: Some(vec![bits]), others: Vec::new(), wire: None }
    }
}

newtype! {
    /// Error type and code as one number, type in the upper half, numbered as in the message's version.
    ErrorCode(u32) "{:#010x}"
}

impl ErrorCode {
    /// The code of an error type and code.
    pub const fn new(kind: u16, code: u16) -> ErrorCode {
        ErrorCode((kind as u32) << 16 | code as u32)
    }

    /// OFPET_*.
    pub const fn kind(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The code within its type.
    pub const fn code(self) -> u16 {
        self.0 as u16
    }
}

/// Something failed (OFPT_ERROR).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ErrorMessage<'a> {
    /// What.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::error_code"))]
    pub code: ErrorCode,
    /// At least 64 bytes of the offending message, or a text for hello failures.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
    pub data: Cow<'a, [u8]>,
}

/// What a switch is and can (OFPT_FEATURES_REPLY).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Features {
    /// Its identity.
    pub dpid: DatapathId,
    /// How many packets it can keep.
    pub n_buffers: u32,
    /// How many tables it has.
    pub n_tables: u8,
    /// 1.3: which auxiliary connection this is; 0 is the main one.
    pub auxiliary_id: u8,
    /// Capability bits, numbered as in the message's version.
    pub capabilities: u32,
    /// 1.0: supported actions; 1.3: reserved.
    pub actions: u32,
    /// 1.0: its ports; empty in 1.3 (ask for the port description).
    pub ports: Vec<Port>,
}

newtype! {
    /// How a switch treats fragments (OFPC_FRAG_*).
    ConfigFlags(u16) "{:#x}" {
        /// No special treatment.
        FRAG_NORMAL = 0,
        /// Drop fragments.
        FRAG_DROP = 1,
        /// Reassemble.
        FRAG_REASM = 2,
    }
}

/// Switch configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SwitchConfig {
    /// Treatment of fragments.
    pub flags: ConfigFlags,
    /// Bytes of each packet sent to the controller by a table miss.
    pub miss_send_len: u16,
}

/// What a switch says of itself (OFPMP_DESC): fixed, zero-padded texts.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SwitchDescription {
    /// Manufacturer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::text"))]
    pub manufacturer: [u8; 256],
    /// Hardware.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::text"))]
    pub hardware: [u8; 256],
    /// Software.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::text"))]
    pub software: [u8; 256],
    /// Serial number.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::text"))]
    pub serial_number: [u8; 32],
    /// A name for people.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::text"))]
    pub datapath: [u8; 256],
}
