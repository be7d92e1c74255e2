//! The message and its smaller kinds. Pure.

use std::borrow::Cow;

use super::flow::{FlowMod, FlowRemoved, FlowStats, FlowStatsRequest};
use super::packet::{PacketIn, PacketOut};
use super::port::{Port, PortStatus};
use crate::types::{DatapathId, Version, newtype};

/// A message without its header. Version and xid are said at encode and told at decode.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Message<'a> {
    /// OFPT_HELLO.
    Hello(Hello),
    /// OFPT_ERROR.
    Error(ErrorMessage<'a>),
    /// OFPT_ECHO_REQUEST: arbitrary payload, to be sent back.
    EchoRequest(Cow<'a, [u8]>),
    /// OFPT_ECHO_REPLY: the payload of the request.
    EchoReply(Cow<'a, [u8]>),
    /// OFPT_EXPERIMENTER (1.0: OFPT_VENDOR).
    Experimenter {
        /// The experimenter's id.
        experimenter: u32,
        /// What follows the id.
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
    /// A message of a type that is not modelled, verbatim.
    Opaque(Opaque<'a>),
}

impl Message<'_> {
    /// The same message with its payload copied, free of the bytes that it was decoded from.
    pub fn into_owned(self) -> Message<'static> {
        fn own(bytes: Cow<'_, [u8]>) -> Cow<'static, [u8]> {
            Cow::Owned(bytes.into_owned())
        }
        match self {
            Message::Hello(hello) => Message::Hello(hello),
            Message::Error(error) => {
                Message::Error(ErrorMessage { code: error.code, data: own(error.data) })
            }
            Message::EchoRequest(data) => Message::EchoRequest(own(data)),
            Message::EchoReply(data) => Message::EchoReply(own(data)),
            Message::Experimenter { experimenter, body } => {
                Message::Experimenter { experimenter, body: own(body) }
            }
            Message::FeaturesRequest => Message::FeaturesRequest,
            Message::FeaturesReply(features) => Message::FeaturesReply(features),
            Message::GetConfigRequest => Message::GetConfigRequest,
            Message::GetConfigReply(config) => Message::GetConfigReply(config),
            Message::SetConfig(config) => Message::SetConfig(config),
            Message::PacketIn(packet) => Message::PacketIn(PacketIn {
                pipeline: own(packet.pipeline),
                data: own(packet.data),
                ..packet
            }),
            Message::FlowRemoved(removed) => Message::FlowRemoved(removed),
            Message::PortStatus(status) => Message::PortStatus(status),
            Message::PacketOut(packet) => {
                Message::PacketOut(PacketOut { data: own(packet.data), ..packet })
            }
            Message::FlowMod(flow_mod) => Message::FlowMod(flow_mod),
            Message::BarrierRequest => Message::BarrierRequest,
            Message::BarrierReply => Message::BarrierReply,
            Message::DescriptionRequest => Message::DescriptionRequest,
            Message::DescriptionReply(description) => Message::DescriptionReply(description),
            Message::PortDescriptionRequest => Message::PortDescriptionRequest,
            Message::PortDescriptionReply { ports, more } => {
                Message::PortDescriptionReply { ports, more }
            }
            Message::FlowStatsRequest(request) => Message::FlowStatsRequest(request),
            Message::FlowStatsReply { flows, more } => Message::FlowStatsReply { flows, more },
            Message::Opaque(opaque) => {
                Message::Opaque(Opaque { kind: opaque.kind, body: own(opaque.body) })
            }
        }
    }
}

/// A message kept as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opaque<'a> {
    /// OFPT_* of its version.
    pub kind: u8,
    /// What follows the 8-byte header.
    pub body: Cow<'a, [u8]>,
}

/// Version negotiation (1.3.5 §7.5.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hello {
    /// The version bitmaps, lowest versions first: bit n of word k stands for version 32 k + n.
    /// `None`: no such element, the header's version is the highest.
    pub versions: Option<Vec<u32>>,
    /// Other elements, verbatim: type and body.
    pub others: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// A hello that offers exactly these versions.
    pub fn offering(versions: &[Version]) -> Hello {
        let bits = versions.iter().fold(0, |bits, v| bits | 1u32 << v.0);
        Hello { versions: Some(vec![bits]), others: Vec::new() }
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
pub struct ErrorMessage<'a> {
    /// What.
    pub code: ErrorCode,
    /// At least 64 bytes of the offending message, or a text for hello failures.
    pub data: Cow<'a, [u8]>,
}

/// What a switch is and can (OFPT_FEATURES_REPLY).
#[derive(Clone, PartialEq, Eq, Debug)]
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
pub struct SwitchConfig {
    /// Treatment of fragments.
    pub flags: ConfigFlags,
    /// Bytes of each packet sent to the controller by a table miss.
    pub miss_send_len: u16,
}

/// What a switch says of itself (OFPMP_DESC): fixed, zero-padded texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwitchDescription {
    /// Manufacturer.
    pub manufacturer: [u8; 256],
    /// Hardware.
    pub hardware: [u8; 256],
    /// Software.
    pub software: [u8; 256],
    /// Serial number.
    pub serial_number: [u8; 32],
    /// A name for people.
    pub datapath: [u8; 256],
}
