//! How a connection becomes a served switch: versions, features, ports, its place in the directory,
//! its first messages. Pure but for the shared tables.

use std::time::Instant;

use umlaut_openflow::{
    ConfigFlags, ErrorCode, ErrorMessage, Features, FlowStatsRequest, Hello, Match, Message,
    Opaque, Port, SwitchConfig, Version,
};

use super::{CleaningStep, HANDSHAKE_TIMEOUT, PROOF_TIMEOUT, Phase, Session, view};
use crate::app::Policy;
use crate::command::Command;
use crate::directory::Peer;
use crate::shared::Shared;
use crate::switch::Switch;
use crate::view::Event;

const HELLO_FAILED_INCOMPATIBLE: ErrorCode = ErrorCode::new(0, 0);
/// OFPT_GROUP_MOD: delete, all groups (1.3.5 §7.3.4.2).
const DELETE_ALL_GROUPS: (u8, &[u8]) = (15, &[0, 2, 0, 0, 0xff, 0xff, 0xff, 0xfc]);
/// OFPT_METER_MOD: delete, all meters (1.3.5 §7.3.4.4).
const DELETE_ALL_METERS: (u8, &[u8]) = (29, &[0, 2, 0, 0, 0xff, 0xff, 0xff, 0xff]);

impl<P: Policy> Session<P> {
    /// Agrees on the highest version that both offer (§6.3.1).
    pub(super) fn negotiate(
        &mut self,
        version: Version,
        hello: &Hello,
        now: Instant,
        shared: &Shared<P>,
    ) {
        let offered = shared.versions();
        let own = offered.iter().copied().max().unwrap_or_default();
        let agreed = match &hello.versions {
            Some(bitmaps) => {
                let has = |v: &Version| {
                    bitmaps.get(usize::from(v.0 / 32)).is_some_and(|w| w >> (v.0 % 32) & 1 == 1)
                };
                offered.iter().copied().filter(has).max()
            }
            None => Some(own.min(version)).filter(|v| offered.contains(v)),
        };
        let Some(agreed) = agreed else {
            let data = b"versions offered: 1.0 and 1.3"[..].into();
            let error = Message::Error(ErrorMessage { code: HELLO_FAILED_INCOMPATIBLE, data });
            self.version = own.min(version).max(Version::V1_0);
            if self.version != Version::V1_0 {
                self.version = own;
            }
            self.early_send(&error);
            return self.close(&format!("no common OpenFlow version (it offers {version})"));
        };
        self.version = agreed;
        self.phase = Phase::Features { until: now + HANDSHAKE_TIMEOUT };
        self.early_send(&Message::FeaturesRequest);
    }

    pub(super) fn features(&mut self, mut features: Features, now: Instant, shared: &Shared<P>) {
        if features.auxiliary_id != 0 {
            return self.close("auxiliary connections are not served");
        }
        let ports = std::mem::take(&mut features.ports);
        if self.version == Version::V1_0 {
            return self.join(features, ports, now, shared);
        }
        self.phase = Phase::Ports { until: now + HANDSHAKE_TIMEOUT, features, ports: Vec::new() };
        self.early_send(&Message::PortDescriptionRequest);
    }

    /// Takes the datapath's place in the directory, or asks the holder to prove that it is alive.
    pub(super) fn join(
        &mut self,
        features: Features,
        ports: Vec<Port>,
        now: Instant,
        shared: &Shared<P>,
    ) {
        let policy = &self.world.policy;
        if let Err(reason) = shared.apps.admits_switch(policy, features.dpid, &self.origin) {
            return self.close(&reason);
        }
        let peer = Peer {
            session: self.no,
            mailbox: self.mailbox.clone(),
            version: self.version,
            origin: self.origin.clone(),
        };
        match shared.net.directory.join(features.dpid, peer) {
            Ok(()) => self.read(features, ports, now),
            Err(holder) => {
                let asker = self.mailbox.clone();
                holder.mailbox.insist(Command::Prove { asker, from: self.origin.clone() });
                let until = now + PROOF_TIMEOUT;
                self.phase = Phase::Duplicate { until, features, ports, superseding: false };
            }
        }
    }

    /// Asks for everything that is in the switch.
    pub(super) fn read(&mut self, features: Features, ports: Vec<Port>, now: Instant) {
        let mut switch = Switch::new(self.no, features.dpid, self.version, ports, now);
        let config = SwitchConfig { flags: ConfigFlags::FRAG_NORMAL, miss_send_len: 0xffff };
        let _ = switch.send(&Message::SetConfig(config));
        if self.version != Version::V1_0 {
            for body in [DELETE_ALL_GROUPS, DELETE_ALL_METERS] {
                let (kind, body) = (body.0, body.1.into());
                let _ = switch.send(&Message::Opaque(Opaque { kind, body }));
            }
        }
        let request = switch.send(&Message::FlowStatsRequest(FlowStatsRequest::of(Match::new())));
        let until = now + HANDSHAKE_TIMEOUT;
        self.switch = Some(switch);
        self.phase = Phase::Reading { until, request: request.unwrap_or_default() };
    }

    pub(super) fn install(&mut self, now: Instant) {
        let Some(switch) = &mut self.switch else { return };
        switch.install_standing();
        let barrier = switch.send(&Message::BarrierRequest).unwrap_or_default();
        let until = now + HANDSHAKE_TIMEOUT;
        self.phase = Phase::Cleaning { until, step: CleaningStep::Installing, barrier };
    }

    pub(super) fn ready(&mut self, now: Instant, shared: &Shared<P>) {
        self.phase = Phase::Active;
        let Some(switch) = &self.switch else { return };
        let ports: Vec<Port> = switch.ports().cloned().collect();
        let (dpid, version) = (switch.dpid(), switch.version());
        let count = ports.len();
        shared.net.observer.event(&Event::SwitchReady { dpid, version, ports: count });
        let returned = shared.switch_up(dpid, &ports, now);
        self.note_world(shared);
        self.start_adopting(returned, now, shared);
        let view = view(shared, &self.world, now);
        if self.is_active()
            && let Some(switch) = &mut self.switch
        {
            shared.apps.each_on(switch, view, &self.world.policy, |app, switch, cx| {
                app.switch_ready(switch, cx);
            });
        }
    }

    pub(super) fn retry_join(&mut self, now: Instant, shared: &Shared<P>) {
        let Phase::Duplicate { until, features, ports, superseding } =
            std::mem::replace(&mut self.phase, Phase::Active)
        else {
            return;
        };
        let peer = Peer {
            session: self.no,
            mailbox: self.mailbox.clone(),
            version: self.version,
            origin: self.origin.clone(),
        };
        match shared.net.directory.join(features.dpid, peer) {
            Ok(()) => self.read(features, ports, now),
            Err(_) if now >= until && superseding => {
                self.close("the older connection of the same datapath does not end");
            }
            Err(holder) => {
                let (until, superseding) = if now >= until {
                    holder.mailbox.insist(Command::Superseded);
                    (now + PROOF_TIMEOUT, true)
                } else {
                    (until, superseding)
                };
                self.phase = Phase::Duplicate { until, features, ports, superseding };
            }
        }
    }

    /// Leaves a switch that the new policy refuses, with an empty table: nothing would be decided
    /// there again.
    pub(super) fn admit_again(&mut self, shared: &Shared<P>) {
        let dpid = match (&self.phase, &self.switch) {
            (Phase::Closed { .. }, _) => return,
            (Phase::Duplicate { features, .. }, _) => features.dpid,
            (_, Some(switch)) => switch.dpid(),
            // It is asked when it joins.
            (_, None) => return,
        };
        if let Err(reason) = shared.apps.admits_switch(&self.world.policy, dpid, &self.origin) {
            if let Some(switch) = &mut self.switch {
                switch.delete_all();
            }
            self.refused = true;
            self.sweep = None;
            self.close(&reason);
        }
    }
}
