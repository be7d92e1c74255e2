//! A switch that says what the test says, at the other end of a controller in virtual time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use umlaut_controller::view::Unobserved;
use umlaut_controller::virtual_time::{Output, VirtualController};
use umlaut_controller::{Apps, Seed, Shared};
use umlaut_openflow::*;

const CHANNEL: u64 = 1;

pub(crate) struct ScriptedSwitch {
    pub(crate) controller: VirtualController<()>,
    pub(crate) closed: bool,
    version: Version,
    now: Instant,
    received: BytesMut,
}

impl ScriptedSwitch {
    /// A switch with datapath id 1 and no ports, served.
    pub(crate) fn new(apps: Apps<()>, version: Version) -> ScriptedSwitch {
        let now = Instant::now();
        let seed = Seed { lldp_key: [1; 16], epoch: 1 };
        let shared = Shared::new(apps, (), seed, Box::new(Unobserved), now);
        let controller = VirtualController::new(Arc::new(shared), 1, now);
        let received = BytesMut::new();
        let mut switch = ScriptedSwitch { controller, closed: false, version, now, received };
        switch.controller.connected(CHANNEL, now);
        switch.say(Xid(0), &Message::Hello(Hello::offering(&[version])));
        while !switch.controller.active().any(|dpid| dpid == DatapathId(1)) {
            assert!(!switch.received.is_empty(), "the handshake stands still");
            for (xid, request) in switch.heard() {
                switch.answer_handshake(xid, &request);
            }
        }
        switch
    }

    fn answer_handshake(&mut self, xid: Xid, request: &Message<'_>) {
        let reply = match request {
            Message::FeaturesRequest => Message::FeaturesReply(Features {
                dpid: DatapathId(1),
                n_buffers: 0,
                n_tables: 1,
                auxiliary_id: 0,
                capabilities: 0,
                actions: 0,
                ports: Vec::new(),
            }),
            Message::PortDescriptionRequest => {
                Message::PortDescriptionReply { ports: Vec::new(), more: false }
            }
            Message::FlowStatsRequest(_) => {
                Message::FlowStatsReply { flows: Vec::new(), more: false }
            }
            Message::BarrierRequest => Message::BarrierReply,
            _ => return,
        };
        self.say(xid, &reply);
    }

    /// Says something to the controller.
    pub(crate) fn say(&mut self, xid: Xid, message: &Message<'_>) {
        let mut bytes = BytesMut::new();
        encode(self.version, xid, message, &mut bytes).unwrap();
        self.controller.input(CHANNEL, &bytes);
        self.wait(Duration::ZERO);
    }

    /// Lets time pass; echo requests are answered.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.controller.poll(self.now);
            for (_, output) in self.controller.drain() {
                match output {
                    Output::Bytes(bytes) => self.received.extend_from_slice(&bytes),
                    Output::Close => self.closed = true,
                }
            }
            if self.now >= end {
                return;
            }
            self.now = self.controller.deadline().clamp(self.now + Duration::from_micros(1), end);
            let mut echo = BytesMut::new();
            let message = Message::EchoReply(Vec::new().into());
            encode(self.version, Xid(0), &message, &mut echo).unwrap();
            self.controller.input(CHANNEL, &echo);
        }
    }

    /// What the controller said since the last time.
    pub(crate) fn heard(&mut self) -> Vec<(Xid, Message<'static>)> {
        let received = std::mem::take(&mut self.received);
        let mut rest = &received[..];
        let mut messages = Vec::new();
        while let Ok(Some(length)) = next_frame(rest) {
            let (header, message) = decode(&rest[..length]).unwrap();
            messages.push((header.xid, message.into_owned()));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        messages
    }
}
