//! A routing switch: all switches together are one learning switch, with shortest paths between the
//! hosts and no trouble with loops. Pure.

use umlaut_controller::hosts::{Domain, Seen};
use umlaut_controller::topology::PortRole;
use umlaut_controller::{
    Again, App, Context, DropClass, FlowKey, Frame, Outcome, Policy, Route, Switch,
};
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Attachment, DatapathId, FieldSet, MacAddr, PacketIn, PortNo, Vid};

/// Seconds without traffic until a path ends.
const IDLE_TIMEOUT: u16 = 60;

/// The application. Frames of each VLAN stay in it.
pub struct RoutingSwitch;

/// Hosts are known per VLAN.
fn domain(vid: Vid) -> Domain {
    match vid {
        Vid::Untagged => Domain(0),
        Vid::Tagged(vid) => Domain(vid.number().into()),
    }
}

/// Where frames with these headers go, if that is known and not where they come from.
fn route<P: Policy>(
    cx: &Context<'_, P>,
    ingress: (DatapathId, PortNo),
    headers: &Headers,
) -> Option<Route> {
    let vid = headers.tag.vid().filter(|_| !headers.eth_dst.is_group())?;
    let egress = cx.net.hosts.locate((domain(vid), headers.eth_dst))?.at;
    ((egress.dpid, egress.port) != ingress).then_some(Route {
        domain: domain(vid),
        egress,
        width: FieldSet::LAYER_2,
        idle_timeout: IDLE_TIMEOUT,
        hard_timeout: 0,
        reverse: false,
    })
}

impl<P: Policy> App<P> for RoutingSwitch {
    fn packet_in(&self, sw: &mut Switch, cx: &Context<'_, P>, packet: &PacketIn<'_>) {
        let headers = Headers::parse(&packet.data);
        let (in_port, here) = (packet.in_port, (sw.dpid(), packet.in_port));
        let (Some(vid), false) = (headers.tag.vid(), headers.stacked) else { return };
        if headers.eth_dst.is_bridge_reserved() || headers.eth_src.is_group() {
            return;
        }
        let frame = Frame {
            data: &packet.data,
            tag: headers.tag,
            buffer_id: packet.buffer_id,
            whole: packet.data.len() >= usize::from(packet.total_len),
        };
        let route = route(cx, here, &headers);
        let role = cx.topology.port(here.0, in_port).map(|info| info.role);
        let settled = match role {
            None | Some(PortRole::Down) => return,
            // A frame in mid-path whose entry is not there: alone to its end.
            Some(PortRole::Link { .. }) => {
                if let Some(route) = route {
                    sw.one_by_one(&cx.view, (in_port, route.domain), frame, route.egress);
                }
                return;
            }
            Some(PortRole::Probing) => false,
            Some(PortRole::Edge { settled }) => settled,
        };
        let at = Attachment { dpid: here.0, port: in_port, vid };
        let seen = Seen { provisional: !settled, ..Seen::default() };
        cx.see_host(domain(vid), headers.eth_src, at, seen);
        match route {
            Some(route) => {
                if sw.forward(&cx.view, in_port, &headers, frame, route) == Outcome::NoPath {
                    let class = DropClass::NoPath;
                    sw.drop_flow(&cx.view, in_port, &headers, FieldSet::LAYER_2, class);
                }
            }
            None if cx.net.hosts.locate((domain(vid), headers.eth_dst)).is_some() => {}
            None => {
                let edges = cx.topology.settled_edge_ports().filter(|edge| *edge != here);
                let reached = edges.filter(|(dpid, _)| cx.topology.reachable(here.0, *dpid));
                let outputs: Vec<_> =
                    reached.map(|(dpid, port)| Attachment { dpid, port, vid }).collect();
                sw.flood(&cx.view, in_port, frame, &outputs);
            }
        }
    }

    fn recall(&self, cx: &Context<'_, P>, at: Attachment, mac: MacAddr) {
        let role = cx.topology.port(at.dpid, at.port).map(|info| info.role);
        let settled = role == Some(PortRole::Edge { settled: true });
        let seen = Seen { provisional: !settled, ..Seen::default() };
        cx.see_host(domain(at.vid), mac, at, seen);
    }

    fn decide_again(&self, sw: &Switch, cx: &Context<'_, P>, key: &FlowKey) -> Again {
        let here = (sw.dpid(), key.in_port);
        let Some(vid) = key.headers.tag.vid() else { return Again::Nothing };
        let source = cx.net.hosts.locate((domain(vid), key.headers.eth_src));
        // A sender that has gone elsewhere has no path here.
        if source.is_none_or(|host| (host.at.dpid, host.at.port) != here) {
            return Again::Nothing;
        }
        match route(cx, here, &key.headers) {
            Some(route) => Again::Route(route),
            None => Again::Nothing,
        }
    }
}
