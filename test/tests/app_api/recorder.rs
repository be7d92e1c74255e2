//! An application that writes down every event, and does what its script says at each.

use std::sync::{Arc, Mutex};

use umlaut_controller::hosts::Domain;
use umlaut_controller::notice::HostAt;
use umlaut_controller::topology::Link;
use umlaut_controller::{App, Apps, Context, Switch, SwitchError, Told};
use umlaut_openflow::*;

/// What all recorders heard, in order: `name event values`.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    /// Takes what was heard since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// As `take`, but only events that begin with one of these.
    pub(crate) fn take_only(&self, events: &[&str]) -> Vec<String> {
        let of = |line: &String| {
            let event = line.split(' ').nth(1).unwrap_or_default();
            events.iter().any(|wanted| event.starts_with(wanted))
        };
        self.take().into_iter().filter(of).collect()
    }
}

/// Called at each event with its name, its values and, if it is one of a switch, the switch.
pub(crate) type Script = Box<dyn Fn(&str, &str, Option<&mut Switch>, &Context<'_>) + Send + Sync>;

pub(crate) struct Recorder {
    name: &'static str,
    log: Log,
    script: Script,
}

impl Recorder {
    pub(crate) fn new(
        name: &'static str,
        log: &Log,
        script: impl Fn(&str, &str, Option<&mut Switch>, &Context<'_>) + Send + Sync + 'static,
    ) -> Recorder {
        Recorder { name, log: log.clone(), script: Box::new(script) }
    }

    /// One that does nothing.
    pub(crate) fn silent(name: &'static str, log: &Log) -> Recorder {
        Recorder::new(name, log, |_, _, _, _| {})
    }

    fn hear(&self, event: &str, values: String, sw: Option<&mut Switch>, cx: &Context<'_>) {
        let line = format!("{} {event} {values}", self.name);
        self.log.add(line.trim_end().to_owned());
        (self.script)(event, &values, sw, cx);
    }
}

/// Two recorders with one script.
pub(crate) fn two(
    log: &Log,
    script: impl Fn(&str, &str, Option<&mut Switch>, &Context<'_>) + Send + Sync + Clone + 'static,
) -> Apps<()> {
    let second = script.clone();
    Apps::new().with(Recorder::new("a", log, script)).with(Recorder::new("b", log, second))
}

/// Handlers of a switch whose values are its xid and something that can be shown.
macro_rules! replies {
    ($($name:ident($($arg:ident: $ty:ty),*) => $values:expr;)*) => {
        $(fn $name(&self, sw: &mut Switch, cx: &Context<'_>, _: Xid, $($arg: $ty),*) {
            self.hear(stringify!($name), $values, Some(sw), cx);
        })*
    };
}

impl App for Recorder {
    fn name(&self) -> &str {
        self.name
    }

    fn start(&self, cx: &Context<'_>) {
        self.hear("start", String::new(), None, cx);
    }

    fn shutdown(&self, cx: &Context<'_>) {
        self.hear("shutdown", String::new(), None, cx);
    }

    fn timer(&self, cx: &Context<'_>, name: &str) {
        self.hear("timer", name.to_owned(), None, cx);
    }

    fn told(&self, cx: &Context<'_>, message: Told) {
        let text = message.downcast::<&str>().map_or("something", |text| *text);
        self.hear("told", text.to_owned(), None, cx);
    }

    fn switch_ready(&self, sw: &mut Switch, cx: &Context<'_>) {
        self.hear("switch_ready", sw.dpid().to_string(), Some(sw), cx);
    }

    fn switch_gone(&self, dpid: DatapathId, cx: &Context<'_>) {
        self.hear("switch_gone", dpid.to_string(), None, cx);
    }

    fn packet_in(&self, sw: &mut Switch, cx: &Context<'_>, packet: &PacketIn<'_>) {
        let values = format!("{}/{} {} bytes", sw.dpid(), packet.in_port, packet.data.len());
        self.hear("packet_in", values, Some(sw), cx);
    }

    fn port_added(&self, sw: &mut Switch, cx: &Context<'_>, port: &Port) {
        let known = cx.topology.port(sw.dpid(), port.port_no).is_some();
        self.hear("port_added", format!("{} known={known}", port.port_no), Some(sw), cx);
    }

    fn port_changed(&self, sw: &mut Switch, cx: &Context<'_>, port: &Port) {
        let up = cx.topology.is_up(sw.dpid(), port.port_no);
        self.hear("port_changed", format!("{} up={up}", port.port_no), Some(sw), cx);
    }

    fn port_removed(&self, sw: &mut Switch, cx: &Context<'_>, port: &Port) {
        let known = cx.topology.port(sw.dpid(), port.port_no).is_some();
        self.hear("port_removed", format!("{} known={known}", port.port_no), Some(sw), cx);
    }

    fn flow_removed(&self, sw: &mut Switch, cx: &Context<'_>, removed: &FlowRemoved) {
        let values = format!("cookie={} {:?}", removed.cookie, removed.reason);
        self.hear("flow_removed", values, Some(sw), cx);
    }

    fn error(&self, sw: &mut Switch, cx: &Context<'_>, error: &SwitchError<'_>) {
        let request = match &error.request {
            Some(Message::FlowMod(flow_mod)) => format!("flow_mod cookie={}", flow_mod.cookie),
            Some(Message::GroupMod(group)) => format!("group_mod {}", group.group_id),
            Some(Message::RoleRequest(role)) => format!("role_request {}", role.role),
            other => format!("{other:?}"),
        };
        let code = (error.code.kind(), error.code.code());
        self.hear("error", format!("{code:?} of {request}"), Some(sw), cx);
    }

    fn no_reply(&self, sw: &mut Switch, cx: &Context<'_>, _: Xid) {
        self.hear("no_reply", String::new(), Some(sw), cx);
    }

    fn experimenter(&self, sw: &mut Switch, cx: &Context<'_>, experimenter: u32, body: &[u8]) {
        self.hear("experimenter", format!("{experimenter:#x} {body:?}"), Some(sw), cx);
    }

    replies! {
        barrier_reply() => String::new();
        role_reply(role: &RoleMessage) => format!("{} {}", role.role, role.generation_id);
        echo_reply(payload: &[u8]) => format!("{payload:?}");
        features_reply(features: &Features) => features.dpid.to_string();
        config_reply(config: &SwitchConfig) => config.miss_send_len.to_string();
        async_reply(config: &AsyncConfig) => format!("{:?}", config.packet_in);
        queues_reply(port: PortNo, queues: &[QueueConfig]) => format!("{port} {}", queues.len());
        description_reply(description: &SwitchDescription) => {
            format!("{}", description.serial_number[0])
        };
        ports_reply(ports: &[Port]) => {
            format!("{:?}", ports.iter().map(|port| port.port_no).collect::<Vec<_>>())
        };
        flow_stats_reply(flows: &[FlowStats]) => {
            format!("{:?}", flows.iter().map(|flow| flow.cookie).collect::<Vec<_>>())
        };
        aggregate_stats_reply(sum: &AggregateStats) => sum.flow_count.to_string();
        table_stats_reply(tables: &[TableStats]) => {
            format!("{:?}", tables.iter().map(|table| table.active_count).collect::<Vec<_>>())
        };
        port_stats_reply(ports: &[PortStats]) => {
            format!("{:?}", ports.iter().map(|port| port.port_no).collect::<Vec<_>>())
        };
        queue_stats_reply(queues: &[QueueStats]) => {
            format!("{:?}", queues.iter().map(|queue| queue.queue_id).collect::<Vec<_>>())
        };
        group_stats_reply(groups: &[GroupStats]) => {
            format!("{:?}", groups.iter().map(|group| group.group_id).collect::<Vec<_>>())
        };
        groups_reply(groups: &[GroupDescription]) => {
            format!("{:?}", groups.iter().map(|group| group.group_id).collect::<Vec<_>>())
        };
        group_features_reply(features: &GroupFeatures) => features.types.to_string();
        meter_stats_reply(meters: &[MeterStats]) => {
            format!("{:?}", meters.iter().map(|meter| meter.meter_id).collect::<Vec<_>>())
        };
        meters_reply(meters: &[MeterConfig]) => {
            format!("{:?}", meters.iter().map(|meter| meter.meter_id).collect::<Vec<_>>())
        };
        meter_features_reply(features: &MeterFeatures) => features.max_meter.to_string();
        table_features_reply(tables: &[TableFeatures]) => {
            format!("{:?}", tables.iter().map(|table| table.table_id).collect::<Vec<_>>())
        };
        experimenter_stats_reply(experimenter: u32, body: &[u8]) => {
            format!("{experimenter:#x} {body:?}")
        };
    }

    fn link_up(&self, cx: &Context<'_>, link: &Link) {
        self.hear("link_up", format!("{}->{}", link.from.0, link.to.0), None, cx);
    }

    fn link_down(&self, cx: &Context<'_>, link: &Link) {
        self.hear("link_down", format!("{}->{}", link.from.0, link.to.0), None, cx);
    }

    fn host_located(&self, cx: &Context<'_>, host: &HostAt) {
        self.hear("host_located", format!("{} at {}", host.mac, host.at), None, cx);
    }

    fn host_moved(&self, cx: &Context<'_>, host: &HostAt, from: Attachment) {
        self.hear("host_moved", format!("{} from {from} to {}", host.mac, host.at), None, cx);
    }

    fn host_gone(&self, cx: &Context<'_>, _: Domain, mac: MacAddr) {
        self.hear("host_gone", mac.to_string(), None, cx);
    }
}
