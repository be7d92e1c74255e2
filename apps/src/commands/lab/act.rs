//! What can be done with a running lab: the commands of `umlaut lab` and of its shell. Pure: from
//! words to a request.

use clap::{ArgGroup, Subcommand};
use umlaut_openflow::PortNo;
use umlaut_testbed::lab::LONGEST;

use super::super::Failure;
use super::protocol::{Kind, Sending, What};

/// Frames in a second, unless said otherwise.
const PACE: u32 = 100;
/// The most frames in a second.
const FASTEST: u32 = 1_000_000;

/// A command that a running lab answers.
#[derive(Debug, Subcommand)]
pub(super) enum Act {
    /// How the network stands: switches, hosts, links
    Status {
        /// JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Let a host send frames to another
    #[command(alias = "send_packets", group = ArgGroup::new("what"))]
    SendPackets(Box<SendArgs>),
    /// What hosts have sent and received
    #[command(alias = "show_stats")]
    ShowStats {
        /// Only what was sent
        #[arg(long, short, conflicts_with = "rx")]
        tx: bool,
        /// Only what was received
        #[arg(long, short)]
        rx: bool,
        /// JSON, for programs
        #[arg(long)]
        json: bool,
        /// The hosts [default: all]
        hosts: Vec<String>,
    },
    /// Count anew
    #[command(alias = "reset_stats")]
    ResetStats {
        /// The hosts [default: all]
        hosts: Vec<String>,
    },
    /// Let a host count what is for others as if it were for it
    Promiscuous {
        /// The host
        host: String,
        /// No longer
        #[arg(long)]
        off: bool,
    },
    /// The flow entries of switches
    #[command(alias = "dump_flows")]
    DumpFlows {
        /// JSON, for programs
        #[arg(long)]
        json: bool,
        /// The switches [default: all]
        switches: Vec<String>,
    },
    /// Set a port up
    #[command(alias = "port_up")]
    PortUp(PortArgs),
    /// Set a port down
    #[command(alias = "port_down")]
    PortDown(PortArgs),
    /// Plug a cable in again
    #[command(alias = "link_up")]
    LinkUp {
        /// Its ends, as in s1/24-s2/24, s1-s2 or alice-s1
        #[arg(value_name = "A-B")]
        link: String,
    },
    /// Pull a cable out
    #[command(alias = "link_down", alias = "delete_link")]
    LinkDown {
        /// Its ends, as in s1/24-s2/24, s1-s2 or alice-s1
        #[arg(value_name = "A-B")]
        link: String,
    },
    /// Switch a switch or a host on
    Start {
        /// The switch or host
        #[arg(value_name = "NAME")]
        machine: String,
    },
    /// Switch a switch or a host off
    Stop {
        /// The switch or host
        #[arg(value_name = "NAME")]
        machine: String,
    },
    /// Plug a host into another port
    Move {
        /// The host
        host: String,
        /// Where to
        #[arg(value_name = "SWITCH/PORT", value_parser = place)]
        to: String,
    },
    /// Run a command where a host is, or a shell (Open vSwitch only)
    Netns {
        /// The host
        host: String,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// Arguments of `send-packets`.
#[derive(Debug, clap::Args)]
pub(super) struct SendArgs {
    /// Who sends
    #[arg(long, short, value_name = "HOST")]
    source: String,
    /// Who is to receive
    #[arg(long, short, value_name = "HOST", required_unless_present = "broadcast")]
    dest: Option<String>,
    /// How many [default: 1]
    #[arg(long = "n-pkts", alias = "n_pkts", alias = "npackets", short, value_name = "N")]
    n: Option<u64>,
    /// For how long, instead of how many
    #[arg(long, value_name = "SECONDS", conflicts_with = "n", value_parser = seconds)]
    duration: Option<f64>,
    /// Frames in a second
    #[arg(long, value_name = "N", default_value_t = PACE,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(FASTEST)))]
    pps: u32,
    /// Bytes of payload
    #[arg(long, value_name = "N", default_value_t = 22, conflicts_with = "arp",
          value_parser = clap::value_parser!(u16).range(..=i64::from(LONGEST)))]
    length: u16,
    /// The sender's port
    #[arg(long, alias = "tp_src", value_name = "N", default_value_t = 1, conflicts_with = "arp")]
    tp_src: u16,
    /// The receiver's port
    #[arg(long, alias = "tp_dst", value_name = "N", default_value_t = 1,
          conflicts_with_all = ["arp", "icmp"])]
    tp_dst: u16,
    /// From N IP addresses in turn, the sender's own first
    #[arg(long, alias = "inc_ip_src", value_name = "N", default_value_t = 0)]
    inc_ip_src: u32,
    /// To N IP addresses in turn, the receiver's own first
    #[arg(
        long,
        alias = "inc_ip_dst",
        value_name = "N",
        default_value_t = 0,
        conflicts_with = "broadcast"
    )]
    inc_ip_dst: u32,
    /// From N ports in turn
    #[arg(
        long,
        alias = "inc_tp_src",
        value_name = "N",
        default_value_t = 0,
        conflicts_with = "arp"
    )]
    inc_tp_src: u32,
    /// To N ports in turn
    #[arg(long, alias = "inc_tp_dst", value_name = "N", default_value_t = 0,
          conflicts_with_all = ["arp", "icmp"])]
    inc_tp_dst: u32,
    /// N payloads in turn: they begin with a number
    #[arg(
        long,
        alias = "inc_payload",
        value_name = "N",
        default_value_t = 0,
        conflicts_with = "arp"
    )]
    inc_payload: u32,
    /// The VLAN of the frames, 0 for none [default: the sender's]
    #[arg(long, value_name = "VID", value_parser = clap::value_parser!(u16).range(0..=4094))]
    vlan: Option<u16>,
    /// UDP datagrams (the default)
    #[arg(long, group = "what")]
    udp: bool,
    /// TCP segments that ask for a connection
    #[arg(long, group = "what")]
    tcp: bool,
    /// ICMP echo requests
    #[arg(long, group = "what")]
    icmp: bool,
    /// ARP requests
    #[arg(long, group = "what")]
    arp: bool,
    /// UDP datagrams to everybody
    #[arg(long, group = "what", conflicts_with = "dest")]
    broadcast: bool,
}

/// A port.
#[derive(Debug, clap::Args)]
pub(super) struct PortArgs {
    /// The switch, or SWITCH/PORT
    switch: String,
    /// The port
    port: Option<String>,
}

impl PortArgs {
    /// As `SWITCH/PORT`.
    ///
    /// # Errors
    /// [`Failure::Usage`]: it is none.
    fn text(self) -> Result<String, Failure> {
        let text = match self.port {
            Some(port) => format!("{}/{port}", self.switch),
            None => self.switch,
        };
        place(&text).map_err(Failure::Usage)
    }
}

/// A place as it is written; whether it is there the lab knows.
fn place(text: &str) -> Result<String, String> {
    let Some((_, port)) = text.split_once('/') else {
        return Err(format!("{text:?} is not SWITCH/PORT, as in s1/3"));
    };
    match port.parse::<PortNo>() {
        Ok(port) if (1..=PortNo::MAX.0).contains(&port.0) => Ok(text.to_owned()),
        _ => Err(format!("{port:?} is not the number of a port (from 1)")),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("a number of seconds, at most a day".to_owned()),
    }
}

impl SendArgs {
    /// What is to be sent.
    ///
    /// # Errors
    /// [`Failure::Usage`]: a host is to send to itself.
    fn sending(self) -> Result<Sending, Failure> {
        if self.dest.as_ref() == Some(&self.source) {
            let host = self.source;
            return Err(Failure::Usage(format!("{host} cannot send to itself (--dest)")));
        }
        let count = match (self.n, self.duration) {
            (Some(n), _) => n,
            // At least one: a duration below the pace's is not for nothing.
            (None, Some(seconds)) => (seconds * f64::from(self.pps)).ceil() as u64,
            (None, None) => 1,
        };
        let kinds = [
            (self.udp, Kind::Udp),
            (self.tcp, Kind::Tcp),
            (self.icmp, Kind::Icmp),
            (self.arp, Kind::Arp),
            (self.broadcast, Kind::Broadcast),
        ];
        Ok(Sending {
            from: self.source,
            to: self.dest,
            kind: kinds.into_iter().find(|(chosen, _)| *chosen).map(|(_, kind)| kind),
            count,
            pace: self.pps,
            length: self.length,
            tp_src: self.tp_src,
            tp_dst: self.tp_dst,
            inc_ip_src: self.inc_ip_src,
            inc_ip_dst: self.inc_ip_dst,
            inc_tp_src: self.inc_tp_src,
            inc_tp_dst: self.inc_tp_dst,
            inc_payload: self.inc_payload,
            vlan: self.vlan,
        })
    }
}

/// How an answer is shown.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Show {
    /// As the kind of answer is shown.
    Plain,
    /// JSON.
    Json,
    /// What was sent, what was received, or both.
    Stats { tx: bool, rx: bool },
    /// `A -> B`: who was to receive what is sent.
    Sent(String),
    /// A command is run in the namespace that the answer names.
    Run(Vec<String>),
}

impl Act {
    /// The request, and how its answer is shown.
    ///
    /// # Errors
    /// [`Failure::Usage`]: arguments that make no sense together.
    pub(super) fn request(self) -> Result<(What, Show), Failure> {
        let plain = |json| if json { Show::Json } else { Show::Plain };
        Ok(match self {
            Act::Status { json } => (What::Status, plain(json)),
            Act::SendPackets(args) => {
                let sending = args.sending()?;
                let to = sending.to.as_deref().unwrap_or("everybody");
                let shown = format!("{} to {to}", sending.from);
                (What::Send(Box::new(sending)), Show::Sent(shown))
            }
            Act::ShowStats { json: true, hosts, .. } => (What::Stats { hosts }, Show::Json),
            Act::ShowStats { tx, rx, hosts, .. } => {
                (What::Stats { hosts }, Show::Stats { tx: tx || !rx, rx: rx || !tx })
            }
            Act::ResetStats { hosts } => (What::Reset { hosts }, Show::Plain),
            Act::Promiscuous { host, off } => (What::Promiscuous { host, on: !off }, Show::Plain),
            Act::DumpFlows { json, switches } => (What::Flows { switches }, plain(json)),
            Act::PortUp(port) => (What::Port { port: port.text()?, up: true }, Show::Plain),
            Act::PortDown(port) => (What::Port { port: port.text()?, up: false }, Show::Plain),
            Act::LinkUp { link } => (What::Link { link, up: true }, Show::Plain),
            Act::LinkDown { link } => (What::Link { link, up: false }, Show::Plain),
            Act::Start { machine } => (What::Machine { name: machine, on: true }, Show::Plain),
            Act::Stop { machine } => (What::Machine { name: machine, on: false }, Show::Plain),
            Act::Move { host, to } => (What::Move { host, to }, Show::Plain),
            Act::Netns { host, command } => (What::Namespace { host }, Show::Run(command)),
        })
    }
}
