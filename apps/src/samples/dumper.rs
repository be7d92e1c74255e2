//! A dumper: prints every event. Pure.

use umlaut_controller::hosts::Domain;
use umlaut_controller::notice::HostAt;
use umlaut_controller::topology::Link;
use umlaut_controller::{App, Context, Policy, Switch, SwitchError};
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Attachment, DatapathId, FlowRemoved, MacAddr, Message, PacketIn, Port, Xid};

use super::Print;

/// The application. Put it before others: it keeps nothing from them.
pub struct Dumper {
    print: Print,
}

impl Dumper {
    /// One that prints there.
    pub fn new(print: Print) -> Dumper {
        Dumper { print }
    }
}

impl<P: Policy> App<P> for Dumper {
    fn start(&self, _: &Context<'_, P>) {
        (self.print)("start");
    }

    fn shutdown(&self, _: &Context<'_, P>) {
        (self.print)("shutdown");
    }

    /// Asks what the switch says of itself, to have replies to print.
    fn switch_ready(&self, sw: &mut Switch, _: &Context<'_, P>) {
        (self.print)(&format!("{} ready: OpenFlow {}", sw.dpid(), sw.version()));
        for port in sw.ports() {
            (self.print)(&format!("{} port {} {:?}", sw.dpid(), port.port_no, port.name()));
        }
        let _ = sw.request_features();
        let _ = sw.request_config();
    }

    fn switch_gone(&self, dpid: DatapathId, _: &Context<'_, P>) {
        (self.print)(&format!("{dpid} gone"));
    }

    fn packet_in(&self, sw: &mut Switch, _: &Context<'_, P>, packet: &PacketIn<'_>) {
        let (dpid, port, length) = (sw.dpid(), packet.in_port, packet.total_len);
        let Headers { eth_src, eth_dst, tag, eth_type, .. } = Headers::parse(&packet.data);
        let frame = format!("{eth_src} to {eth_dst}, {tag:?}, EtherType {eth_type:x?}");
        (self.print)(&format!("{dpid} packet in at port {port}: {frame}, {length} bytes"));
    }

    fn port_added(&self, sw: &mut Switch, _: &Context<'_, P>, port: &Port) {
        (self.print)(&format!("{} port added: {port:?}", sw.dpid()));
    }

    fn port_changed(&self, sw: &mut Switch, _: &Context<'_, P>, port: &Port) {
        (self.print)(&format!("{} port changed: {port:?}", sw.dpid()));
    }

    fn port_removed(&self, sw: &mut Switch, _: &Context<'_, P>, port: &Port) {
        (self.print)(&format!("{} port removed: {port:?}", sw.dpid()));
    }

    fn flow_removed(&self, sw: &mut Switch, _: &Context<'_, P>, removed: &FlowRemoved) {
        (self.print)(&format!("{} flow removed: {removed:?}", sw.dpid()));
    }

    fn error(&self, sw: &mut Switch, _: &Context<'_, P>, error: &SwitchError<'_>) {
        (self.print)(&format!("{} error: {error:?}", sw.dpid()));
    }

    fn no_reply(&self, sw: &mut Switch, _: &Context<'_, P>, xid: Xid) {
        (self.print)(&format!("{} no reply to {xid}", sw.dpid()));
    }

    fn stats_reply(&self, sw: &mut Switch, _: &Context<'_, P>, xid: Xid, reply: &Message<'_>) {
        (self.print)(&format!("{} statistics to {xid}: {reply:?}", sw.dpid()));
    }

    fn reply(&self, sw: &mut Switch, _: &Context<'_, P>, xid: Xid, reply: &Message<'_>) {
        (self.print)(&format!("{} reply to {xid}: {reply:?}", sw.dpid()));
    }

    fn experimenter(&self, sw: &mut Switch, _: &Context<'_, P>, experimenter: u32, body: &[u8]) {
        (self.print)(&format!("{} experimenter {experimenter:#x}: {body:02x?}", sw.dpid()));
    }

    fn link_up(&self, _: &Context<'_, P>, link: &Link) {
        (self.print)(&format!("link up: {link:?}"));
    }

    fn link_down(&self, _: &Context<'_, P>, link: &Link) {
        (self.print)(&format!("link down: {link:?}"));
    }

    fn host_located(&self, _: &Context<'_, P>, host: &HostAt) {
        (self.print)(&format!("host {} located at {}", host.mac, host.at));
    }

    fn host_moved(&self, _: &Context<'_, P>, host: &HostAt, from: Attachment) {
        (self.print)(&format!("host {} moved from {from} to {}", host.mac, host.at));
    }

    fn host_gone(&self, _: &Context<'_, P>, _: Domain, mac: MacAddr) {
        (self.print)(&format!("host {mac} gone"));
    }
}
