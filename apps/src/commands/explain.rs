//! `umlaut explain`: the decision on one frame, with its grounds.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{DatapathId, MacAddr, PortNo, VlanId};
use umlaut_slice_db::{Ingress, OfflineNetwork, Policy, explain};

use super::{EX_CONFIG, complain, load};

/// Arguments of `umlaut explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the frame comes in: SWITCH/PORT
    #[arg(long = "in", value_name = "SWITCH/PORT")]
    ingress: String,
    /// Its VLAN tag
    #[arg(long, value_name = "VID")]
    vlan: Option<u16>,
    /// Its sender
    #[arg(long, value_name = "MAC|HOST")]
    src: String,
    /// Its destination; broadcast if not given
    #[arg(long, value_name = "MAC|HOST")]
    dst: Option<String>,
    /// EtherType (a number, ipv4, ipv6 or arp)
    #[arg(long, value_name = "TYPE")]
    eth_type: Option<String>,
    /// IP protocol (a number, tcp, udp or icmp)
    #[arg(long, value_name = "PROTOCOL")]
    ip_proto: Option<String>,
    /// IPv4 or IPv6 source
    #[arg(long, value_name = "ADDRESS")]
    ip_src: Option<std::net::IpAddr>,
    /// IPv4 or IPv6 destination
    #[arg(long, value_name = "ADDRESS")]
    ip_dst: Option<std::net::IpAddr>,
    /// TCP source port
    #[arg(long, value_name = "N", conflicts_with_all = ["udp_src", "udp_dst"])]
    tcp_src: Option<u16>,
    /// TCP destination port
    #[arg(long, value_name = "N", conflicts_with_all = ["udp_src", "udp_dst"])]
    tcp_dst: Option<u16>,
    /// UDP source port
    #[arg(long, value_name = "N")]
    udp_src: Option<u16>,
    /// UDP destination port
    #[arg(long, value_name = "N")]
    udp_dst: Option<u16>,
    /// Nobody has spoken yet; otherwise every host of the policy has, where `at` says it is
    #[arg(long)]
    silent: bool,
    /// For programs
    #[arg(long)]
    json: bool,
    /// The policy file
    file: PathBuf,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let policy = match load(&args.file)? {
        Ok((policy, _)) => policy,
        Err(mistakes) => {
            complain(&mistakes);
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    let (dpid, port) = place(&policy, &args.ingress)?;
    let headers = headers(args, &policy)?;
    let mut network = match args.silent {
        true => OfflineNetwork::silent(&policy),
        false => OfflineNetwork::from_policy(&policy),
    };
    network.add_port(dpid, port);
    let told = explain(&policy, &network, Ingress { dpid, port, headers: &headers });
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&told)?),
        false => println!("{told}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn place(policy: &Policy, text: &str) -> anyhow::Result<(DatapathId, PortNo)> {
    let (switch, port) =
        text.split_once('/').with_context(|| format!("--in {text}: not SWITCH/PORT"))?;
    let named = policy.switches().find(|(name, _)| *name == switch).map(|(_, dpid)| dpid);
    let dpid = match named {
        Some(dpid) => dpid,
        None => switch.parse().with_context(|| format!("--in {text}: unknown switch"))?,
    };
    Ok((dpid, port.parse().with_context(|| format!("--in {text}"))?))
}

fn mac(policy: &Policy, text: &str) -> anyhow::Result<MacAddr> {
    match policy.host(text) {
        Some(host) => Ok(host.mac),
        None => text.parse().with_context(|| format!("{text}: no host of the policy either")),
    }
}

fn headers(args: &Args, policy: &Policy) -> anyhow::Result<Headers> {
    let mut h = Headers {
        eth_src: mac(policy, &args.src)?,
        eth_dst: match &args.dst {
            Some(dst) => mac(policy, dst)?,
            None => MacAddr::BROADCAST,
        },
        eth_type: Field::Is(0x0800),
        ..Headers::default()
    };
    if let Some(vid) = args.vlan {
        h.tag = match (vid, VlanId::new(vid)) {
            (_, Some(vid)) => Tag::Vlan { vid, pcp: 0 },
            (0, None) => Tag::Priority { pcp: 0 },
            (4095, None) => Tag::Reserved,
            _ => bail!("--vlan {vid}: a VLAN id is at most 4095"),
        };
    }
    use std::net::IpAddr::{V4, V6};
    for address in [args.ip_src, args.ip_dst].into_iter().flatten() {
        h.eth_type = Field::Is(if address.is_ipv4() { 0x0800 } else { 0x86dd });
    }
    match (args.ip_src, args.ip_dst) {
        (Some(V4(_)), Some(V6(_))) | (Some(V6(_)), Some(V4(_))) => {
            bail!("--ip-src and --ip-dst are of different IP versions");
        }
        _ => {}
    }
    if let Some(text) = &args.eth_type {
        let given = match text.as_str() {
            "ipv4" => 0x0800,
            "ipv6" => 0x86dd,
            "arp" => 0x0806,
            text => number(text).with_context(|| format!("--eth-type {text}"))?,
        };
        let addressed = args.ip_src.is_some() || args.ip_dst.is_some();
        if addressed && h.eth_type != Field::Is(given) {
            bail!("--eth-type {text} contradicts the IP addresses");
        }
        h.eth_type = Field::Is(given);
    }
    match args.ip_src {
        Some(V4(address)) => h.ipv4_src = Field::Is(address),
        Some(V6(address)) => h.ipv6_src = Field::Is(address),
        None => {}
    }
    match args.ip_dst {
        Some(V4(address)) => h.ipv4_dst = Field::Is(address),
        Some(V6(address)) => h.ipv6_dst = Field::Is(address),
        None => {}
    }
    let tcp = args.tcp_src.is_some() || args.tcp_dst.is_some();
    let udp = args.udp_src.is_some() || args.udp_dst.is_some();
    if tcp || udp {
        h.ip_proto = Field::Is(if tcp { 6 } else { 17 });
        let field = |port: Option<u16>| port.map_or(Field::Unknown, Field::Is);
        h.tp_src = field(args.tcp_src.or(args.udp_src));
        h.tp_dst = field(args.tcp_dst.or(args.udp_dst));
    }
    if let Some(text) = &args.ip_proto {
        let given = match text.as_str() {
            "tcp" => 6,
            "udp" => 17,
            "icmp" => 1,
            text => u8::try_from(number(text).with_context(|| format!("--ip-proto {text}"))?)?,
        };
        if (tcp || udp) && h.ip_proto != Field::Is(given) {
            bail!("--ip-proto {text} contradicts the transport ports");
        }
        h.ip_proto = Field::Is(given);
    }
    Ok(h)
}

fn number(text: &str) -> anyhow::Result<u16> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.with_context(|| format!("{text} is not a number"))
}
