//! The frame that is asked about: bytes, or what is said of it. Pure.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid, VlanId};
use umlaut_slice_db::{Policy, nearest, protocols};

/// The bytes of addresses and EtherType, which every frame has (IEEE 802.3 §3.2).
pub const ETHERNET_HEADER: usize = 14;

/// A frame in words, as given on the command line and over the control socket. Hosts are named as in
/// the policy, or by MAC address.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::Args)]
pub struct Described {
    /// Its VLAN tag
    #[arg(long, value_name = "VID")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Its sender
    #[arg(long, value_name = "MAC|HOST")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
    /// Its destination; broadcast if not given
    #[arg(long, value_name = "MAC|HOST")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst: Option<String>,
    /// EtherType (a number, ipv4, ipv6 or arp)
    #[arg(long, value_name = "TYPE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eth_type: Option<String>,
    /// IP protocol (a number, tcp, udp, icmp, icmpv6 or sctp)
    #[arg(long, value_name = "PROTOCOL")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_proto: Option<String>,
    /// IPv4 or IPv6 source
    #[arg(long, value_name = "ADDRESS")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_src: Option<IpAddr>,
    /// IPv4 or IPv6 destination
    #[arg(long, value_name = "ADDRESS")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_dst: Option<IpAddr>,
    /// TCP source port
    #[arg(long, value_name = "N", conflicts_with_all = ["udp_src", "udp_dst"])]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_src: Option<u16>,
    /// TCP destination port
    #[arg(long, value_name = "N", conflicts_with_all = ["udp_src", "udp_dst"])]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_dst: Option<u16>,
    /// UDP source port
    #[arg(long, value_name = "N")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_src: Option<u16>,
    /// UDP destination port
    #[arg(long, value_name = "N")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_dst: Option<u16>,
}

/// What is wrong with a description.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Mistaken(pub String);

fn mistaken<T>(text: impl Into<String>) -> Result<T, Mistaken> {
    Err(Mistaken(text.into()))
}

/// ` (did you mean lab?)`, or what is known.
fn hint<'a>(given: &str, known: impl Iterator<Item = &'a str> + Clone, what: &str) -> String {
    const LISTED: usize = 8;
    if let Some(near) = nearest(given, known.clone()) {
        return format!("did you mean {near}?");
    }
    let listed: Vec<&str> = known.clone().take(LISTED).collect();
    match (listed.is_empty(), known.count() > LISTED) {
        (true, _) => format!("the policy names no {what}"),
        (false, false) => format!("{what} of the policy: {}", listed.join(", ")),
        (false, true) => format!("{what} of the policy: {}, …", listed.join(", ")),
    }
}

/// `SWITCH/PORT`, SWITCH a name of the policy or a datapath id.
///
/// # Errors
/// What is wrong with it, and what is near.
pub fn port(policy: &Policy, text: &str) -> Result<(DatapathId, PortNo), Mistaken> {
    let Some((switch, port)) = text.split_once('/') else {
        return mistaken(format!("{text}: not SWITCH/PORT, as in s1/3"));
    };
    let named = policy.switches().find(|(name, _)| *name == switch).map(|(_, dpid)| dpid);
    let Some(dpid) = named.or_else(|| switch.parse().ok()) else {
        let known: Vec<&str> = policy.switches().map(|(name, _)| name).collect();
        let hint = hint(switch, known.iter().copied(), "switches");
        return mistaken(format!("{text}: there is no switch {switch}; {hint}"));
    };
    match port.parse() {
        Ok(port) => Ok((dpid, port)),
        Err(_) => mistaken(format!("{text}: {port:?} is no port number (from 1, or local)")),
    }
}

/// A place as answers write it: `s1/3` or `s1/3 vlan 20`.
///
/// # Errors
/// What is wrong with it.
pub fn place(policy: &Policy, text: &str) -> Result<Attachment, Mistaken> {
    let (end, vid) = match text.split_once(" vlan ") {
        None => (text, Vid::Untagged),
        Some((end, vid)) => match vid.trim().parse().ok().and_then(VlanId::new) {
            Some(vid) => (end, Vid::Tagged(vid)),
            None => return mistaken(format!("{text}: {vid:?} is no VLAN id (1 to 4094)")),
        },
    };
    port(policy, end).map(|(dpid, port)| Attachment { dpid, port, vid })
}

fn mac(policy: &Policy, text: &str) -> Result<MacAddr, Mistaken> {
    if let Some(host) = policy.host(text) {
        return Ok(host.mac);
    }
    text.parse().or_else(|_| {
        let known: Vec<&str> = policy.hosts().map(|host| host.name.as_str()).collect();
        let hint = hint(text, known.iter().copied(), "hosts");
        mistaken(format!("{text}: no host of the policy and no MAC address; {hint}"))
    })
}

impl Described {
    /// The headers of such a frame: IPv4 unless something else is said. Fields that are not given are
    /// absent, but for the other transport port, which cannot be known.
    ///
    /// # Errors
    /// Unknown names, numbers out of range, options that contradict each other.
    pub fn headers(&self, policy: &Policy) -> Result<Headers, Mistaken> {
        use IpAddr::{V4, V6};
        let Some(src) = &self.src else {
            return mistaken("--src is missing: who sends the frame?");
        };
        let said = protocols(policy, &self.fields()).map_err(Mistaken)?;
        let mut h = Headers {
            eth_src: mac(policy, src)?,
            eth_dst: self.dst.as_ref().map_or(Ok(MacAddr::BROADCAST), |dst| mac(policy, dst))?,
            tag: self.tag()?,
            eth_type: Field::Is(eth_type(said.eth_type.unwrap_or(0x0800))?),
            ip_proto: said.ip_proto.map_or(Field::Absent, Field::Is),
            ..Headers::default()
        };
        match self.ip_src {
            Some(V4(address)) => h.ipv4_src = Field::Is(address),
            Some(V6(address)) => h.ipv6_src = Field::Is(address),
            None => {}
        }
        match self.ip_dst {
            Some(V4(address)) => h.ipv4_dst = Field::Is(address),
            Some(V6(address)) => h.ipv6_dst = Field::Is(address),
            None => {}
        }
        let (from, to) = (self.tcp_src.or(self.udp_src), self.tcp_dst.or(self.udp_dst));
        if from.is_some() || to.is_some() {
            let field = |port: Option<u16>| port.map_or(Field::Unknown, Field::Is);
            (h.tp_src, h.tp_dst) = (field(from), field(to));
        }
        Ok(h)
    }

    /// What is said of the protocols, in the words of a filter.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let ip = |v4, v6, address: Option<IpAddr>| {
            address.map(|ip| (if ip.is_ipv4() { v4 } else { v6 }, ip.to_string()))
        };
        let word = |name, text: &Option<String>| text.clone().map(|text| (name, text));
        let port = |name, port: Option<u16>| port.map(|port| (name, port.to_string()));
        let given = [
            word("eth_type", &self.eth_type),
            ip("ipv4_src", "ipv6_src", self.ip_src),
            ip("ipv4_dst", "ipv6_dst", self.ip_dst),
            word("ip_proto", &self.ip_proto),
            port("tcp_src", self.tcp_src),
            port("tcp_dst", self.tcp_dst),
            port("udp_src", self.udp_src),
            port("udp_dst", self.udp_dst),
        ];
        given.into_iter().flatten().collect()
    }

    fn tag(&self) -> Result<Tag, Mistaken> {
        let Some(vid) = self.vlan else { return Ok(Tag::None) };
        Ok(match (vid, VlanId::new(vid)) {
            (_, Some(vid)) => Tag::Vlan { vid, pcp: 0 },
            (0, None) => Tag::Priority { pcp: 0 },
            (4095, None) => Tag::Reserved,
            _ => return mistaken(format!("--vlan {vid}: a VLAN id is at most 4095")),
        })
    }
}

/// An EtherType that a frame can have behind its tags.
fn eth_type(number: u16) -> Result<u16, Mistaken> {
    // A frame of the type of a tag is one whose tag is cut short.
    let frame = [&[0; 12][..], &number.to_be_bytes(), &[0]].concat();
    match Headers::parse(&frame) {
        Headers { stacked: true, .. } => mistaken(format!(
            "eth_type {number:#06x} is that of a VLAN tag, not of what is behind it: --vlan gives the \
             frame a tag, --frame takes the bytes of one with another tag"
        )),
        Headers { eth_type: Field::Is(is), .. } if is != number => mistaken(format!(
            "eth_type {number:#06x} is a length: frames without an EtherType have {is:#06x}"
        )),
        _ => Ok(number),
    }
}

/// What of a frame is told beside its addresses: `tcp 1000 > 22`, `arp request`, `vlan 20`.
pub fn kind(headers: &Headers) -> String {
    let mut words = Vec::new();
    match headers.tag {
        Tag::None => {}
        Tag::Priority { .. } => words.push("priority tag".to_owned()),
        Tag::Vlan { vid, .. } => words.push(format!("vlan {vid}")),
        Tag::Reserved => words.push("vlan 4095".to_owned()),
    }
    if headers.stacked {
        words.push("stacked tags".to_owned());
    }
    let proto = headers.ip_proto.value();
    words.push(match (headers.eth_type, proto) {
        (Field::Is(0x0806), _) => match headers.arp_op {
            Field::Is(1) => "arp request".to_owned(),
            Field::Is(2) => "arp reply".to_owned(),
            _ => "arp".to_owned(),
        },
        (Field::Is(0x0800 | 0x86dd), Some(6)) => "tcp".to_owned(),
        (Field::Is(0x0800 | 0x86dd), Some(17)) => "udp".to_owned(),
        (Field::Is(0x0800), Some(1)) => "icmp".to_owned(),
        (Field::Is(0x86dd), Some(58)) => "icmpv6".to_owned(),
        (Field::Is(0x0800), _) => "ipv4".to_owned(),
        (Field::Is(0x86dd), _) => "ipv6".to_owned(),
        (Field::Is(other), _) => format!("{other:#06x}"),
        _ => "cut short".to_owned(),
    });
    if let (Field::Is(source), Field::Is(destination)) = (headers.tp_src, headers.tp_dst) {
        words.push(format!("{source} > {destination}"));
    }
    words.join(" ")
}
