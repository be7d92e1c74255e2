//! What a running lab is asked and what it answers: one line of JSON each. Pure.

use serde::{Deserialize, Serialize};

/// The version of this language. A lab and a command of different versions do not speak.
pub(super) const VERSION: u32 = 1;

/// A request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) umlaut_lab: u32,
    #[serde(flatten)]
    pub(super) what: What,
}

/// What is to be done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(super) enum What {
    /// Whether it is there.
    Hello,
    /// How the network stands.
    Status,
    /// A host sends.
    Send(Box<Sending>),
    /// What hosts have sent and received; all hosts if none is named.
    Stats { hosts: Vec<String> },
    /// Count anew; all hosts if none is named.
    Reset { hosts: Vec<String> },
    /// A host counts what is for others, or no longer does.
    Promiscuous { host: String, on: bool },
    /// The flow entries of switches.
    Flows { switches: Vec<String> },
    /// Sets a port up or down.
    Port { port: String, up: bool },
    /// Plugs a cable in or out.
    Link { link: String, up: bool },
    /// Switches a switch or a host on or off.
    Machine { name: String, on: bool },
    /// Moves a host.
    Move { host: String, to: String },
    /// The network namespace of a host.
    Namespace { host: String },
    /// The end of it.
    Down,
}

/// What a host is to send.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sending {
    pub(super) from: String,
    pub(super) to: Option<String>,
    pub(super) kind: Option<Kind>,
    pub(super) count: u64,
    /// Frames in a second.
    pub(super) pace: u32,
    pub(super) length: u16,
    pub(super) tp_src: u16,
    pub(super) tp_dst: u16,
    pub(super) inc_ip_src: u32,
    pub(super) inc_ip_dst: u32,
    pub(super) inc_tp_src: u32,
    pub(super) inc_tp_dst: u32,
    pub(super) inc_payload: u32,
    /// Not the host's own; 0: none.
    pub(super) vlan: Option<u16>,
}

/// What kind of frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Udp,
    Tcp,
    Icmp,
    Arp,
    Broadcast,
}

/// An answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    Status(Box<Status>),
    Sent(u64),
    Stats(Vec<HostStats>),
    Flows(Vec<SwitchFlows>),
    Namespace(String),
    Done,
    Problem(String),
}

/// How a lab stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) name: String,
    /// `emulated` or `ovs`.
    pub(super) ground: String,
    pub(super) controller: String,
    pub(super) openflow: String,
    /// The policy file.
    pub(super) policy: String,
    pub(super) pid: u32,
    pub(super) switches: Vec<SwitchRow>,
    pub(super) hosts: Vec<HostRow>,
    pub(super) links: Vec<LinkRow>,
    pub(super) interfaces: Vec<InterfaceRow>,
    /// Ports that are down.
    pub(super) ports_down: Vec<String>,
    /// What does not work as it should on this machine.
    pub(super) notes: Vec<String>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct SwitchRow {
    pub(super) name: String,
    pub(super) dpid: String,
    /// `connected`, `not connected`, `stopped`.
    pub(super) state: String,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct HostRow {
    pub(super) name: String,
    pub(super) mac: String,
    pub(super) ip: Option<String>,
    pub(super) vlan: Option<u16>,
    /// Where its plug is, or was before it was pulled.
    pub(super) at: Option<String>,
    /// `running`, `stopped`, `link down`, `unplugged`.
    pub(super) state: String,
    pub(super) namespace: Option<String>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct LinkRow {
    pub(super) name: String,
    pub(super) up: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct InterfaceRow {
    pub(super) interface: String,
    pub(super) at: String,
}

/// What a host has sent and received.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct HostStats {
    pub(super) host: String,
    pub(super) sent: Vec<TalkRow>,
    pub(super) received: Vec<TalkRow>,
    /// Frames that arrived for somebody else.
    pub(super) others: u64,
    /// Frames of conversations beyond those that are counted apart.
    pub(super) uncounted: u64,
    /// Whether what arrives is not counted any more.
    pub(super) deaf: bool,
}

/// A direction of a conversation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct TalkRow {
    pub(super) protocol: String,
    pub(super) src: String,
    pub(super) tp_src: u16,
    pub(super) dst: String,
    pub(super) tp_dst: u16,
    pub(super) packets: u64,
    /// Of the network layer.
    pub(super) bytes: u64,
}

/// The flow entries of a switch, a line each.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct SwitchFlows {
    pub(super) switch: String,
    pub(super) flows: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let sending = Sending { from: "a".into(), kind: Some(Kind::Icmp), ..Sending::default() };
        for what in [
            What::Status,
            What::Send(Box::new(sending)),
            What::Port { port: "s1/1".into(), up: false },
            What::Down,
        ] {
            let request = Request { umlaut_lab: VERSION, what };
            let line = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request, "{line}");
        }
        let line = r#"{"umlaut_lab":1,"do":"move","host":"a","to":"s1/3"}"#;
        let moved = What::Move { host: "a".into(), to: "s1/3".into() };
        assert_eq!(serde_json::from_str::<Request>(line).unwrap().what, moved);
        for bad in ["", "{}", r#"{"umlaut_lab":1,"do":"fly"}"#, r#"{"do":"status"}"#] {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
    }
}
