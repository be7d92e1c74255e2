//! What happens to control channels, switches and the controller as wholes. Pure.

use umlaut_openflow::DatapathId;

use super::lanes::{Item, LaneId};
use super::{Network, Plug};
use crate::control::{ChannelId, Controller};

impl<C: Controller> Network<C> {
    /// Breaks a switch's control channel: both ends notice at once, and the switch connects again
    /// after its back-off. `None`: no such switch.
    pub fn reset_channel(&mut self, dpid: DatapathId) -> Option<()> {
        let index = self.switch_index(dpid)?;
        self.break_channel(index);
        Some(())
    }

    /// Cuts a switch off from the controller: bytes are held back in both directions, as TCP does,
    /// and connecting fails, until [`Network::join`]. `None`: no such switch.
    pub fn cut_off(&mut self, dpid: DatapathId) -> Option<()> {
        let index = self.switch_index(dpid)?;
        self.switches[index].cut_off = true;
        self.lanes.hold(LaneId::ToController(index));
        self.lanes.hold(LaneId::ToSwitch(index));
        Some(())
    }

    /// Ends [`Network::cut_off`]: what was held back arrives.
    pub fn join(&mut self, dpid: DatapathId) -> Option<()> {
        let index = self.switch_index(dpid)?;
        self.switches[index].cut_off = false;
        self.lanes.release(LaneId::ToController(index), self.now);
        self.lanes.release(LaneId::ToSwitch(index), self.now);
        Some(())
    }

    /// Switches a switch off: entries and channel are gone, the ports at the other ends of its links
    /// go down, frames to it are lost. `None`: no such switch.
    pub fn power_off(&mut self, dpid: DatapathId) -> Option<()> {
        let index = self.switch_index(dpid)?;
        self.switches[index].switch.restart();
        self.take_from_switch(index);
        self.switches[index].off = true;
        self.switches[index].connect_at = None;
        self.set_neighbours(index, false);
        Some(())
    }

    /// Switches a switch on again: it connects at once.
    pub fn power_on(&mut self, dpid: DatapathId) -> Option<()> {
        let index = self.switch_index(dpid)?;
        let node = &mut self.switches[index];
        node.off = false;
        node.backoff = self.options.backoff.0;
        if node.channel.is_none() {
            node.connect_at = Some(self.now);
        }
        self.set_neighbours(index, true);
        Some(())
    }

    fn set_neighbours(&mut self, index: usize, up: bool) {
        for cable in 0..self.cables.len() {
            if !self.cables[cable].whole {
                continue;
            }
            let [a, b] = self.cables[cable].ends;
            let of = |plug: Plug| matches!(plug, Plug::Port(switch, _) if switch == index);
            if of(a) || of(b) {
                if !up {
                    self.empty_cable(cable);
                }
                self.set_link(if of(a) { b } else { a }, up);
            }
        }
    }

    /// Kills the controller and puts another in its place, at once reachable or (`None`) not until
    /// the next call. All channels break. Returns the old controller, if a new one is given.
    pub fn replace_controller(&mut self, controller: Option<C>) -> Option<C> {
        for index in 0..self.switches.len() {
            self.lanes.clear(LaneId::ToController(index));
            self.lanes.clear(LaneId::ToSwitch(index));
            if self.switches[index].channel.take().is_some() {
                self.switches[index].switch.disconnected(self.now);
                self.connect_later(index);
            }
        }
        self.open.clear();
        self.reachable = controller.is_some();
        self.last_controller_poll = None;
        controller.map(|new| std::mem::replace(&mut self.controller, new))
    }

    fn break_channel(&mut self, index: usize) {
        self.lanes.clear(LaneId::ToController(index));
        self.lanes.clear(LaneId::ToSwitch(index));
        let gone: Vec<ChannelId> =
            self.open.iter().filter(|(_, at)| **at == index).map(|(id, _)| *id).collect();
        for id in gone {
            self.open.remove(&id);
            self.controller.disconnected(id, self.now);
        }
        if self.switches[index].channel.take().is_some() {
            self.switches[index].switch.disconnected(self.now);
            self.connect_later(index);
        }
        self.take_from_controller();
    }

    pub(super) fn connect_later(&mut self, index: usize) {
        let node = &mut self.switches[index];
        if !node.off {
            node.connect_at = Some(self.now + node.backoff);
            node.backoff = (node.backoff * 2).min(self.options.backoff.1);
        }
    }

    pub(super) fn connect(&mut self, index: usize) {
        let node = &mut self.switches[index];
        node.connect_at = None;
        if !self.reachable || node.cut_off {
            return self.connect_later(index);
        }
        let id = ChannelId(self.next_channel);
        self.next_channel += 1;
        node.channel = Some(id);
        self.push(LaneId::ToController(index), self.options.control_delay, Item::Open(id));
        self.switches[index].switch.connected(self.now);
        self.take_from_switch(index);
    }
}
