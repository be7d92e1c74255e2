//! What other sessions and the runtime tell a session: its mailbox, in order. Pure but for the shared
//! tables.

use std::time::Instant;

use umlaut_openflow::{Action, Message, PortNo};

use super::{COMMANDS_PER_TURN, OUTPUT_HIGH_WATER, Phase, Session, view};
use crate::app::Policy;
use crate::command::{Command, HopFailure};
use crate::mailbox::MAILBOX_COMMANDS;
use crate::shared::Shared;
use crate::view::Event;

impl<P: Policy> Session<P> {
    /// Whether there are commands, or one was lost.
    pub(super) fn is_told(&self) -> bool {
        !(self.commands.is_empty() && self.mailbox.is_empty()) || self.overrun
    }

    pub(super) fn run_commands(&mut self, now: Instant, shared: &Shared<P>) -> bool {
        // What was lost may take back what still waits: all of it comes before the new start.
        self.overrun |= self.mailbox.take_overrun();
        let most = if self.overrun { MAILBOX_COMMANDS } else { COMMANDS_PER_TURN };
        let mut commands = std::mem::take(&mut self.commands);
        if commands.len() < MAILBOX_COMMANDS {
            self.mailbox.take(most, &mut commands);
        }
        if !self.is_active() {
            // What others want of the switch waits until it is ready; no more of it than a mailbox
            // takes, and a second mailbox behind it.
            commands.retain(|command| self.connection_command(command));
            self.commands = commands;
            return self.commands.len() < MAILBOX_COMMANDS && !self.mailbox.is_empty();
        }
        for command in commands.drain(..) {
            if self.connection_command(&command) {
                self.command(command, now, shared);
            }
        }
        self.commands = commands;
        self.decide_changed(now, shared);
        if std::mem::take(&mut self.overrun) {
            self.resync(now, shared);
        }
        !self.mailbox.is_empty()
    }

    /// Handles a command that is about the connection. Returns whether it is about the switch.
    fn connection_command(&mut self, command: &Command) -> bool {
        match command {
            Command::Prove { asker, from } => {
                self.askers.push(asker.clone());
                if from.succeeds(&self.origin) {
                    self.close("a newer connection of the same switch");
                } else {
                    self.early_send(&Message::EchoRequest(b"umlaut"[..].into()));
                }
            }
            Command::Proved => {
                if let Phase::Duplicate { features, .. } = &self.phase {
                    let reason = format!("datapath {} is connected and alive", features.dpid);
                    self.close(&reason);
                }
            }
            Command::Superseded => self.close("a newer connection of the same datapath"),
            Command::Shutdown => self.close("the controller ends"),
            _ => return true,
        }
        false
    }

    /// Runs a command for the switch.
    fn command(&mut self, command: Command, now: Instant, shared: &Shared<P>) {
        let active = self.is_active();
        let Some(switch) = &mut self.switch else { return };
        let view = &view(shared, &self.world, now);
        match command {
            Command::Run(job) if active => shared.apps.run(job, switch, view),
            Command::AppGone(app) => {
                let paths: Vec<_> = switch.paths().filter(|(_, path)| path.app == app).collect();
                let names: Vec<_> = paths.into_iter().map(|(name, _)| name).collect();
                names.into_iter().for_each(|name| switch.remove(view, name));
                switch.delete_of_app(app);
            }
            Command::AddHop(entry) => {
                let (hop, dpid) = (entry.name(), switch.dpid());
                let added =
                    if active { switch.add_hop(view, *entry) } else { Err(HopFailure::Gone) };
                if let Err(failure) = added {
                    let command = Command::HopFailed { hop, dpid, failure };
                    shared.net.directory.insist_session(hop.path.session, command);
                }
            }
            Command::RemoveHop(hop) => switch.remove_hop(view, hop),
            Command::HopConfirmed { hop, dpid } => switch.hop_confirmed(view, hop, dpid),
            Command::HopFailed { hop, dpid, failure } => {
                switch.hop_failed(view, hop, dpid, failure);
            }
            Command::HopGone { hop, dpid } => switch.hop_gone(view, hop, dpid),
            Command::Renew { hop, dpid } => switch.renew(view, hop, dpid),
            Command::Disown(refused) => switch.disown(&refused),
            Command::PacketOut { .. } if switch.output().len() > OUTPUT_HIGH_WATER => {
                switch.counters.shed += 1;
            }
            Command::PacketOut { tag, outputs, frame } if active => {
                let actions =
                    crate::program::flood_actions(switch.version(), PortNo::ANY, tag, &outputs);
                let _ = switch.send_frame(PortNo::ANY, actions, &frame);
            }
            Command::Probe { port, frame } if active => {
                let _ = switch.send_frame(PortNo::ANY, vec![Action::output(port)], &frame);
            }
            Command::HostChanged { domain, mac } => self.changed.push((domain, mac)),
            Command::Run(_)
            | Command::PacketOut { .. }
            | Command::Probe { .. }
            | Command::Prove { .. }
            | Command::Proved
            | Command::Superseded
            | Command::Shutdown => {}
        }
    }

    /// Decides the paths again of all hosts that have changed: to look for them takes as long for many
    /// hosts as for one.
    fn decide_changed(&mut self, now: Instant, shared: &Shared<P>) {
        let Some(switch) = self.switch.as_mut().filter(|_| !self.changed.is_empty()) else {
            return;
        };
        let view = view(shared, &self.world, now);
        for name in switch.paths_of(&self.changed) {
            let Some(path) = switch.path(name) else { continue };
            let (app, key) = (path.app, path.key);
            let again = shared.apps.decide_again(app, switch, view, &self.world.policy, &key);
            switch.settle(&view, name, again);
        }
        self.changed.clear();
    }

    /// A command that must not be lost was lost: start from an empty flow table.
    fn resync(&mut self, now: Instant, shared: &Shared<P>) {
        if !self.is_active() {
            return;
        }
        let Some(switch) = &mut self.switch else { return };
        switch.counters.resyncs += 1;
        let mut remains = switch.take_remains();
        switch.delete_all();
        switch.install_standing();
        let dpid = switch.dpid();
        self.stop_adopting(&mut remains, now, shared);
        let Some(switch) = &mut self.switch else { return };
        shared.release(&remains, dpid);
        shared.net.observer.event(&Event::Resync { dpid });
        let view = view(shared, &self.world, now);
        shared.apps.each_on(switch, view, &self.world.policy, |app, switch, cx| {
            app.switch_ready(switch, cx);
        });
    }
}
