//! The simplest controller: every packet-in goes out of all other ports. Pure.
//!
//! It tests networks and shows how [`Controller`] is implemented. On a network with a loop its frames
//! circulate for ever.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use bytes::BytesMut;
use umlaut_openflow::{
    Action, ConfigFlags, FlowMod, Hello, Match, Message, PacketOut, PortNo, SwitchConfig, Version,
    Xid, decode, encode, next_frame,
};

use crate::control::{ChannelId, ControlOutput, Controller};

/// A hub for OpenFlow 1.0 and 1.3.
#[derive(Debug, Default)]
pub struct Hub {
    sessions: BTreeMap<ChannelId, Session>,
    outputs: Vec<(ChannelId, ControlOutput)>,
    packet_ins: u64,
}

#[derive(Debug, Default)]
struct Session {
    version: Option<Version>,
    received: Vec<u8>,
}

impl Hub {
    /// A hub without switches.
    pub fn new() -> Hub {
        Hub::default()
    }

    /// How many switches are connected and have said hello.
    pub fn switches(&self) -> usize {
        self.sessions.values().filter(|session| session.version.is_some()).count()
    }

    /// How many packet-ins it has flooded.
    pub fn packet_ins(&self) -> u64 {
        self.packet_ins
    }

    fn send(&mut self, channel: ChannelId, version: Version, xid: Xid, message: &Message<'_>) {
        let mut bytes = BytesMut::new();
        if encode(version, xid, message, &mut bytes).is_ok() {
            self.outputs.push((channel, ControlOutput::Bytes(bytes.to_vec())));
        }
    }

    fn close(&mut self, channel: ChannelId) {
        self.sessions.remove(&channel);
        self.outputs.push((channel, ControlOutput::Close));
    }

    fn message(&mut self, channel: ChannelId, bytes: &[u8]) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let Ok((header, message)) = decode(bytes) else { return self.close(channel) };
        let Some(version) = session.version else {
            let common = match header.version {
                Version::V1_0 | Version::V1_1 | Version::V1_2 => Version::V1_0,
                _ => Version::V1_3,
            };
            session.version = Some(common);
            return self.greet(channel, common);
        };
        match message {
            Message::EchoRequest(data) => {
                self.send(channel, version, header.xid, &Message::EchoReply(data));
            }
            Message::PacketIn(packet) => {
                self.packet_ins += 1;
                let data = match packet.buffer_id {
                    Some(_) => Cow::Borrowed(&[][..]),
                    None => packet.data,
                };
                let out = PacketOut {
                    buffer_id: packet.buffer_id,
                    in_port: packet.in_port,
                    actions: [Action::output(PortNo::FLOOD)].into(),
                    data,
                };
                self.send(channel, version, Xid(0), &Message::PacketOut(out));
            }
            _ => {}
        }
    }

    fn greet(&mut self, channel: ChannelId, version: Version) {
        let config = SwitchConfig { flags: ConfigFlags::FRAG_NORMAL, miss_send_len: 0xffff };
        self.send(channel, version, Xid(1), &Message::SetConfig(config));
        if version != Version::V1_0 {
            let miss = FlowMod::add(Match::new())
                .priority(0)
                .apply(vec![Action::output(PortNo::CONTROLLER)]);
            self.send(channel, version, Xid(2), &Message::FlowMod(miss));
        }
    }
}

impl Controller for Hub {
    fn connected(&mut self, channel: ChannelId, _: Instant) {
        self.sessions.insert(channel, Session::default());
        let hello = Hello::offering(&[Version::V1_0, Version::V1_3]);
        self.send(channel, Version::V1_3, Xid(0), &Message::Hello(hello));
    }

    fn input(&mut self, channel: ChannelId, bytes: &[u8], _: Instant) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let mut received = std::mem::take(&mut session.received);
        received.extend_from_slice(bytes);
        let mut rest = &received[..];
        loop {
            match next_frame(rest) {
                Ok(Some(length)) => {
                    self.message(channel, &rest[..length]);
                    rest = &rest[length..];
                }
                Ok(None) => break,
                Err(_) => return self.close(channel),
            }
        }
        if let Some(session) = self.sessions.get_mut(&channel) {
            session.received = rest.to_vec();
        }
    }

    fn disconnected(&mut self, channel: ChannelId, _: Instant) {
        self.sessions.remove(&channel);
    }

    fn poll(&mut self, _: Instant) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn drain(&mut self, out: &mut Vec<(ChannelId, ControlOutput)>) {
        out.append(&mut self.outputs);
    }
}
