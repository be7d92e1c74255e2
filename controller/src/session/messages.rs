//! What the switch tells: messages in order, each to whom it concerns. Pure but for the shared tables.

use std::time::Instant;

use umlaut_openflow::packet::{Field, Headers};
use umlaut_openflow::{
    DecodeError, ErrorCode, ErrorMessage, Header, Message, Opaque, PacketIn, Port, PortNo,
    PortStatus, PortStatusReason, Xid, decode, ended_entry, next_frame,
};

use super::ahead::Ahead;
use super::{
    BROKEN_MESSAGES, CleaningStep, HANDSHAKE_TIMEOUT, MESSAGES_PER_TURN, OUTPUT_HIGH_WATER, Phase,
    Session, adopt, view,
};
use crate::app::{Policy, SwitchError};
use crate::command::Command;
use crate::path::{LLDP_TYPE, of_app};
use crate::request::{Answer, Asker, RequestError, is_stats};
use crate::shared::Shared;
use crate::switch::{Ended, Switch};
use crate::view::Event;

const BAD_REQUEST_BAD_TYPE: ErrorCode = ErrorCode::new(1, 1);
const BAD_REQUEST_BAD_VERSION: ErrorCode = ErrorCode::new(1, 0);

impl<P: Policy> Session<P> {
    /// Handles a bounded number of messages. Returns whether there may be more, and whether all were
    /// packet-ins of known paths or pairs (`Sends::is_again`), after which
    /// nothing is to be done.
    pub(super) fn run_messages(&mut self, now: Instant, shared: &Shared<P>) -> (bool, bool) {
        let before = self.switch.as_ref().map(Switch::sends);
        self.join_cut();
        let mut input = std::mem::take(&mut self.input);
        let bytes = input.bytes();
        let (mut handled, mut at) = (0, 0);
        let mut ahead = Ahead::default();
        while handled < MESSAGES_PER_TURN && self.closed().is_none() {
            let rest = &bytes[at..];
            let length = match next_frame(rest) {
                Ok(Some(length)) => length,
                Ok(None) => break,
                Err(error) => {
                    self.close(&error.to_string());
                    break;
                }
            };
            if let Some(switch) = &self.switch {
                ahead.look(bytes, (handled, at + length), switch);
            }
            self.heard = now;
            self.echo_sent = false;
            let message = &rest[..length];
            if !self.path_ended(message, now, shared) {
                match decode(message) {
                    // Packet-ins are most: they are not moved about as messages of any kind.
                    Ok((header, Message::PacketIn(packet)))
                        if self.is_active() && header.version == self.version =>
                    {
                        self.packet_in(&packet, now, shared);
                    }
                    Ok((header, message)) => self.message(header, message, now, shared),
                    Err(error) => self.broken(message, &error, now),
                }
            }
            at += length;
            handled += 1;
        }
        input.take(at);
        self.input = input;
        let after = self.switch.as_ref().map(Switch::sends);
        let nothing_new = match (before, after) {
            (Some(before), Some(after)) => after.is_again(before, handled),
            _ => false,
        };
        (handled == MESSAGES_PER_TURN, nothing_new)
    }

    /// Handles a message if it tells that an entry of a path has ended, as it does for every path. Such
    /// an entry is known by its cookie; the rest of the message is not read.
    fn path_ended(&mut self, message: &[u8], now: Instant, shared: &Shared<P>) -> bool {
        let Some((version, cookie, in_port)) = ended_entry(message) else { return false };
        if !self.is_active() || version != self.version || of_app(cookie).is_some() {
            return false;
        }
        let Some(switch) = &mut self.switch else { return false };
        switch.flow_removed(&view(shared, &self.world, now), cookie, in_port);
        true
    }

    /// A message that does not decode: the switch is told, and left if it does it again and again.
    fn broken(&mut self, bytes: &[u8], error: &DecodeError, now: Instant) {
        self.broken += 1;
        if matches!(self.phase, Phase::Reading { .. }) && self.broken < BROKEN_MESSAGES {
            // Entries that cannot be read are deleted with the others.
            return self.read_nothing(now);
        }
        if let Some(code) = error.error_code(self.version) {
            let xid = Xid(u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]));
            let data = bytes[..bytes.len().min(64)].into();
            self.early_send_as(xid, &Message::Error(ErrorMessage { code, data }));
        }
        if self.broken >= BROKEN_MESSAGES || !self.is_active() {
            self.close(&error.to_string());
        }
    }

    fn message(&mut self, header: Header, message: Message<'_>, now: Instant, shared: &Shared<P>) {
        match (&self.phase, &message) {
            (Phase::Hello { .. }, Message::Hello(hello)) => {
                return self.negotiate(header.version, hello, now, shared);
            }
            (Phase::Hello { .. }, Message::Error(_)) => {
                return self.close("the switch refused our hello");
            }
            (Phase::Hello { .. }, _) => return self.close("no hello as the first message"),
            (Phase::Closed { .. }, _) => return,
            _ => {}
        }
        if header.version != self.version {
            let data = Vec::new().into();
            let error = Message::Error(ErrorMessage { code: BAD_REQUEST_BAD_VERSION, data });
            self.early_send_as(header.xid, &error);
            let reason = format!(
                "a message of version {} after agreeing on {}",
                header.version, self.version
            );
            return self.close(&reason);
        }
        match message {
            Message::EchoRequest(payload) => {
                return self.early_send_as(header.xid, &Message::EchoReply(payload));
            }
            Message::EchoReply(_) => {
                for asker in self.askers.drain(..) {
                    asker.insist(Command::Proved);
                }
            }
            Message::Hello(_) => return,
            _ => {}
        }
        if self.is_active() {
            return self.active_message(header, message, now, shared);
        }
        match (&mut self.phase, message) {
            (Phase::Features { .. }, Message::FeaturesReply(features)) => {
                self.features(features, now, shared);
            }
            (Phase::Ports { ports, .. }, Message::PortDescriptionReply { ports: part, more }) => {
                ports.extend(part);
                if !more
                    && let Phase::Ports { features, ports, .. } =
                        std::mem::replace(&mut self.phase, Phase::Active)
                {
                    self.join(features, ports, now, shared);
                }
            }
            (Phase::Reading { until, request }, Message::FlowStatsReply { flows, more })
                if *request == header.xid =>
            {
                *until = now + HANDSHAKE_TIMEOUT;
                self.note_entries(flows, more, now);
            }
            (Phase::Reading { request, .. }, Message::Error(_)) if *request == header.xid => {
                self.read_nothing(now);
            }
            (Phase::Cleaning { step, barrier, .. }, Message::BarrierReply)
                if *barrier == header.xid =>
            {
                match *step {
                    CleaningStep::Deleting => self.install(now),
                    CleaningStep::Installing => self.ready(now, shared),
                }
            }
            (Phase::Reading { .. } | Phase::Cleaning { .. }, Message::PortStatus(status)) => {
                if let Some(switch) = &mut self.switch {
                    apply_port_status(switch, &status);
                }
            }
            (Phase::Features { .. } | Phase::Ports { .. }, Message::Error(error)) => {
                self.close(&format!("the switch answered with error {}", error.code));
            }
            // Packet-ins before the table is clean, late replies, what we did not ask for.
            _ => {}
        }
    }

    fn active_message(
        &mut self,
        header: Header,
        message: Message<'_>,
        now: Instant,
        shared: &Shared<P>,
    ) {
        match message {
            Message::PacketIn(packet) => return self.packet_in(&packet, now, shared),
            Message::PortStatus(status) => return self.port_status(&status, now, shared),
            _ => {}
        }
        let Some(switch) = &mut self.switch else { return };
        let (view, policy) = (view(shared, &self.world, now), &*self.world.policy);
        match message {
            Message::FlowRemoved(mut removed) => match switch.ended(&mut removed) {
                Ended::Path => {
                    let in_port = removed.matches.ingress().unwrap_or(PortNo::ANY);
                    switch.flow_removed(&view, removed.cookie, in_port);
                }
                Ended::App(app) => {
                    shared.apps.one_on(app, switch, view, policy, |app, switch, cx| {
                        app.flow_removed(switch, cx, &removed);
                    });
                }
                Ended::Unasked => {}
            },
            Message::BarrierReply if switch.barrier_reply(&view, header.xid) => {}
            Message::Opaque(unknown) => self.refuse_type(header, &unknown),
            message if switch.audited(&view, header.xid, &message) => {}
            Message::Error(error) => {
                switch.error(&view, header.xid);
                let (dpid, code) = (switch.dpid(), error.code);
                shared.net.observer.event(&Event::SwitchError { dpid, code });
                self.error(&error, header.xid, now, shared);
            }
            Message::Experimenter { experimenter, body } => {
                shared.apps.each_on(switch, view, policy, |app, switch, cx| {
                    app.experimenter(switch, cx, experimenter, &body);
                });
            }
            // What nobody asked for is nobody's.
            message => {
                let xid = header.xid;
                match switch.answered(xid, message, header.length.into()) {
                    Answer::Nothing => {}
                    Answer::Whole(Asker::Code(app, reply), message) => {
                        shared.apps.guarded(app, &shared.net, || reply(Ok(message)));
                    }
                    Answer::GivenUp(Asker::Code(app, reply)) => {
                        let too_large = Err(RequestError::TooLarge);
                        shared.apps.guarded(app, &shared.net, || reply(too_large));
                    }
                    Answer::GivenUp(Asker::App(app)) => {
                        shared.apps.one_on(app, switch, view, policy, |app, switch, cx| {
                            app.no_reply(switch, cx, xid);
                        });
                    }
                    Answer::Whole(Asker::App(no), mut message) => {
                        switch.show_own_cookies(no, &mut message);
                        shared.apps.one_on(no, switch, view, policy, |app, switch, cx| {
                            match &message {
                                Message::BarrierReply => app.barrier_reply(switch, cx, xid),
                                Message::RoleReply(role) => app.role_reply(switch, cx, xid, role),
                                reply if is_stats(reply) => app.stats_reply(switch, cx, xid, reply),
                                reply => app.reply(switch, cx, xid, reply),
                            }
                        });
                    }
                }
            }
        }
    }

    /// A type that this version does not have (§7.5.4.3): told with the message's first 64 bytes.
    fn refuse_type(&mut self, header: Header, unknown: &Opaque<'_>) {
        let mut data = vec![header.version.0, unknown.kind];
        data.extend_from_slice(&header.length.to_be_bytes());
        data.extend_from_slice(&header.xid.0.to_be_bytes());
        data.extend_from_slice(&unknown.body);
        data.truncate(64);
        let code = BAD_REQUEST_BAD_TYPE;
        self.early_send_as(header.xid, &Message::Error(ErrorMessage { code, data: data.into() }));
    }

    /// Tells whoever sent something that the switch refused it.
    fn error(&mut self, error: &ErrorMessage<'_>, xid: Xid, now: Instant, shared: &Shared<P>) {
        let Some(switch) = &mut self.switch else { return };
        let sent = switch.sent_by_app(xid);
        let app = match (switch.refused(xid), &sent) {
            (Some(Asker::Code(app, reply)), _) => {
                let refused = Err(RequestError::Refused(error.code));
                shared.apps.guarded(app, &shared.net, || reply(refused));
                return;
            }
            (Some(Asker::App(app)), _) => app,
            (None, Some((app, _))) => *app,
            (None, None) => {
                // Sent too long ago to be remembered. An entry is known by its cookie all the same.
                switch.app_refused(&error.data);
                return;
            }
        };
        let bytes = sent.and_then(|(_, bytes)| bytes);
        // Switches send at least 64 bytes of what they refuse; that may be all of it.
        let bytes = bytes.as_deref().unwrap_or(&error.data);
        let mut request = decode(bytes).ok().map(|(_, message)| message);
        if let Some(request) = &mut request {
            switch.show_own_cookies(app, request);
        }
        switch.app_refused(bytes);
        let error = SwitchError { code: error.code, xid, request };
        let view = view(shared, &self.world, now);
        shared.apps.one_on(app, switch, view, &self.world.policy, |app, switch, cx| {
            app.error(switch, cx, &error);
        });
    }

    pub(super) fn packet_in(&mut self, packet: &PacketIn<'_>, now: Instant, shared: &Shared<P>) {
        let Some(switch) = &mut self.switch else { return };
        if switch.output().len() > OUTPUT_HIGH_WATER {
            switch.counters.shed += 1;
            return;
        }
        switch.counters.packet_ins += 1;
        if is_lldp(&packet.data) {
            if self.lldp.take(now) {
                let dpid = switch.dpid();
                shared.lldp(dpid, packet.in_port, &packet.data, now);
                self.note_world(shared);
            }
            return;
        }
        match self.adopting.as_mut().map_or(adopt::Held::No, |adopting| adopting.hold(packet)) {
            adopt::Held::No => {}
            adopt::Held::Yes => return,
            adopt::Held::Full => {
                switch.counters.shed += 1;
                return;
            }
        }
        let view = view(shared, &self.world, now);
        shared.apps.packet_in(switch, view, &self.world.policy, &self.hosts, packet);
    }

    /// The World knows of a port's change before the next message is handled.
    fn port_status(&mut self, status: &PortStatus, now: Instant, shared: &Shared<P>) {
        let Some(switch) = &mut self.switch else { return };
        let (dpid, port) = (switch.dpid(), &status.port);
        let was = switch.ports.get(&port.port_no).is_some_and(Port::is_up);
        apply_port_status(switch, status);
        let is = switch.ports.get(&port.port_no).is_some_and(Port::is_up);
        let known = (status.reason != PortStatusReason::DELETE).then(|| port.clone());
        shared.port_changed(dpid, port.port_no, known, now);
        if was != is {
            let port = port.port_no;
            let event =
                if is { Event::PortUp { dpid, port } } else { Event::PortDown { dpid, port } };
            shared.net.observer.event(&event);
        }
        self.note_world(shared);
        let view = view(shared, &self.world, now);
        let Some(switch) = &mut self.switch else { return };
        shared.apps.each_on(switch, view, &self.world.policy, |app, switch, cx| {
            match status.reason {
                PortStatusReason::ADD => app.port_added(switch, cx, port),
                PortStatusReason::DELETE => app.port_removed(switch, cx, port),
                _ => app.port_changed(switch, cx, port),
            }
        });
    }
}

/// Whether a frame is LLDP, under a tag or not.
fn is_lldp(frame: &[u8]) -> bool {
    let Some(&[high, low]) = frame.get(12..14) else { return false };
    match u16::from_be_bytes([high, low]) {
        LLDP_TYPE => true,
        // What may stand before the EtherType.
        0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => {
            Headers::parse(frame).eth_type == Field::Is(LLDP_TYPE)
        }
        _ => false,
    }
}

fn apply_port_status(switch: &mut Switch, status: &PortStatus) {
    if status.reason == PortStatusReason::DELETE {
        switch.ports.remove(&status.port.port_no);
    } else {
        switch.ports.insert(status.port.port_no, status.port.clone());
    }
}
