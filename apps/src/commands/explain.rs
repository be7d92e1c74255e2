//! `umlaut explain`: the decision on frames, with its grounds. Runtime.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{DatapathId, PortNo, Version};
use umlaut_slice_db::{Ingress, Policy};

use super::ask::Asking;
use super::decode::capture::{Capture, Packet};
use super::decode::{capture, hex};
use super::input::{self, CAPTURE_BYTES};
use super::{EX_CONFIG, Failure, complain, load};
use crate::control::answer::explain::FRAME_DIGITS;
use crate::control::protocol::{Problem, Question};
use crate::explain::frame::{self, Described, ETHERNET_HEADER, Mistaken};
use crate::explain::offline::Offline;
use crate::explain::{Explained, Ground, reasons};
use crate::sliceable::{Domains, SlicePolicy};

/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;
/// A frame in hex on standard input: of 65,535 bytes, with room between the digits.
const FRAME_BYTES: u64 = 1 << 20;

/// Arguments of `umlaut explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umlaut explain --in s1/6 --src eve --dst alice policy.yaml
  umlaut explain --in s1/6 --frame - policy.yaml < frame.hex
  umlaut explain --in s1/6 --pcap trace.pcap policy.yaml
  umlaut explain NoBinding")]
pub(super) struct Args {
    /// Where the frame comes in: SWITCH/PORT
    #[arg(long = "in", value_name = "SWITCH/PORT")]
    ingress: Option<String>,
    #[command(flatten)]
    described: Described,
    /// The frame itself in hex, from its destination on, spaces and colons ignored; - reads it from
    /// standard input
    #[arg(long, value_name = "HEX", conflicts_with_all = DESCRIBED)]
    frame: Option<String>,
    /// The frames of a capture (pcap or pcapng), one line each; - reads it from standard input
    #[arg(long, value_name = "FILE", conflicts_with = "frame", conflicts_with_all = DESCRIBED)]
    pcap: Option<PathBuf>,
    /// Only this frame of the capture, from 1, in full
    #[arg(long, value_name = "N", requires = "pcap")]
    frame_number: Option<usize>,
    /// Nobody has spoken yet; otherwise every host of the policy has, where `at` says it is
    #[arg(long)]
    silent: bool,
    /// The sender was here a moment ago: SWITCH/PORT, or 'SWITCH/PORT vlan VID'
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["silent", "pcap"])]
    just_seen: Option<String>,
    /// Tell entries in this OpenFlow version [default: 1.3; with --json both]
    #[arg(long, value_name = "VERSION", value_parser = ["1.0", "1.3"])]
    openflow: Option<String>,
    /// Ask the running controller: where the hosts are now, and which entries the frame meets. Without
    /// --in, the frame comes in where its sender is
    #[arg(long, conflicts_with_all = ["silent", "just_seen", "openflow", "file"])]
    live: bool,
    #[command(flatten)]
    asking: Asking,
    /// List the reasons for which frames are dropped
    #[arg(long, exclusive = true)]
    reasons: bool,
    /// The policy file; or, alone, the name of a reason
    #[arg(value_name = "FILE|REASON", required_unless_present_any = ["reasons", "live"])]
    file: Option<PathBuf>,
}

const DESCRIBED: [&str; 11] = [
    "vlan", "src", "dst", "eth_type", "ip_proto", "ip_src", "ip_dst", "tcp_src", "tcp_dst",
    "udp_src", "udp_dst",
];

impl From<Mistaken> for Failure {
    fn from(mistaken: Mistaken) -> Failure {
        Failure::Usage(mistaken.0)
    }
}

fn usage<T>(text: impl Into<String>) -> anyhow::Result<T> {
    Err(Failure::Usage(text.into()).into())
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let mut output = std::io::stdout().lock();
    let done = told(args, &mut output);
    match done {
        // Whoever reads the output has seen enough.
        Err(error)
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) =>
        {
            Ok(ExitCode::SUCCESS)
        }
        done => done,
    }
}

fn told(args: &Args, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    if args.reasons {
        let width = reasons::pages().map(|page| page.code.len()).max().unwrap_or(0);
        for page in reasons::pages() {
            writeln!(output, "{:<width$}  {}", page.code, page.title)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    // The parser of arguments does not see to it where something else excludes --pcap.
    if args.frame_number.is_some() && args.pcap.is_none() {
        return usage("--frame-number is that of a frame of a capture: --pcap is missing");
    }
    if args.live {
        ask(args, output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = args.file.clone().unwrap_or_default();
    let Some(ingress) = &args.ingress else {
        let name = file.display().to_string();
        return match reasons::page(&name) {
            Ok(page) => {
                writeln!(output, "{}: {}\n\n{}", page.code, page.title, page.text)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(_) if file.exists() => usage("--in is missing: where does the frame come in?"),
            Err(_) if name.contains(['.', '/']) => usage(format!("there is no file {name}")),
            Err(text) => usage(text),
        };
    };
    let policy = match load(&file)? {
        Ok((policy, _)) => policy,
        Err(mistakes) => {
            complain(&mistakes);
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    let slices = Domains::default().adopt(policy);
    let place = frame::port(&slices.policy, ingress).map_err(Failure::from)?;
    let mut network = Offline::new(&slices.policy, args.silent);
    network.add_port(place);
    let mut explainer = Explainer { args, slices: &slices, network, place };
    if let Some(path) = &args.pcap {
        explainer.capture(path, output)?;
    } else {
        let headers = match &args.frame {
            Some(text) => Headers::parse(&bytes(text)?),
            None => args.described.headers(&slices.policy).map_err(Failure::from)?,
        };
        if let Some(text) = &args.just_seen {
            let at = frame::place(&slices.policy, text).map_err(Failure::from)?;
            explainer.network.just_seen(&slices.policy, headers.eth_src, at);
        }
        explainer.whole(&headers, output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the running controller.
fn ask(args: &Args, output: &mut impl Write) -> anyhow::Result<()> {
    let mut connection = args.asking.connect()?;
    let mut ask = |frame: Option<&[u8]>| {
        let described = Box::new(args.described.clone());
        let frame = frame.map(|bytes| hex::digits(&bytes[..bytes.len().min(FRAME_DIGITS / 2)]));
        let question = Question::Explain { at: args.ingress.clone(), frame, described };
        let (mut rows, _) = connection.all(question).map_err(|error| {
            match error.downcast_ref::<Problem>().filter(|problem| problem.code == "bad-frame") {
                Some(problem) => Failure::Usage(problem.text.clone()).into(),
                None => error,
            }
        })?;
        rows.pop().context("not a controller's answer")
    };
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let mut show = |row: Value| match args.asking.is_json() {
        true => {
            let mut row = row;
            if let Value::Object(row) = &mut row {
                row.remove("text");
            }
            Ok(writeln!(output, "{}", serde_json::to_string_pretty(&row)?)?)
        }
        false => anyhow::Ok(writeln!(output, "{}", text(&row, "text"))?),
    };
    let Some(path) = &args.pcap else {
        let bytes = args.frame.as_deref().map(bytes).transpose()?;
        return show(ask(bytes.as_deref())?);
    };
    let (name, file) = read(path)?;
    let capture = capture::read(&file).with_context(|| name.clone())?;
    if let Some(number) = args.frame_number {
        return show(ask(Some(chosen(&name, &capture, number)?))?);
    }
    each(&name, &capture, args.asking.is_json(), output, |number, frame| {
        let mut row = ask(Some(frame))?;
        Ok(match args.asking.is_json() {
            true => {
                row["number"] = number.into();
                row.to_string()
            }
            false => {
                let (line, now) = (text(&row, "line"), text(&row["live"], "outcome"));
                format!("{line}; now {now}")
            }
        })
    })
}

/// The name of a capture file and its bytes, from standard input for `-`.
fn read(path: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    if path.as_os_str() == "-" {
        let name = "standard input".to_owned();
        let file = input::standard(CAPTURE_BYTES).with_context(|| name.clone())?;
        return Ok((name, file));
    }
    let name = path.display().to_string();
    let file = input::file(path, CAPTURE_BYTES).with_context(|| name.clone())?;
    Ok((name, file))
}

/// Tells every frame of a capture, in a line or as a row of JSON, and then what there is to say of the
/// capture itself.
fn each(
    name: &str,
    capture: &Capture<'_>,
    is_json: bool,
    output: &mut impl Write,
    mut tell: impl FnMut(usize, &[u8]) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    for (index, packet) in capture.packets.iter().enumerate() {
        let number = index + 1;
        let told = match ethernet(packet) {
            Ok(frame) => tell(number, frame)?,
            Err(none) if is_json => json!({"number": number, "none": none}).to_string(),
            Err(none) => none,
        };
        match is_json {
            true => writeln!(output, "{told}")?,
            false => writeln!(output, "{number:>5}  {told}")?,
        }
    }
    match &capture.fault {
        Some(fault) => Err(anyhow::Error::new(fault.clone()).context(name.to_owned())),
        None if capture.packets.is_empty() => {
            eprintln!("umlaut: {name}: no frames");
            Ok(())
        }
        None => Ok(()),
    }
}

/// A frame of a capture, from 1.
fn chosen<'p>(name: &str, capture: &Capture<'p>, number: usize) -> anyhow::Result<&'p [u8]> {
    let Some(packet) = number.checked_sub(1).and_then(|index| capture.packets.get(index)) else {
        let there = match capture.packets.len() {
            0 => "no frames".to_owned(),
            count => format!("frames 1 to {count}, no {number}"),
        };
        return match &capture.fault {
            Some(fault) => Err(anyhow::anyhow!("{name}: {there}: {fault}")),
            None => usage(format!("{name}: {there}")),
        };
    };
    ethernet(packet).map_err(|none| anyhow::anyhow!("{name}: frame {number}: {none}"))
}

/// The bytes of a packet that is an Ethernet frame.
fn ethernet<'p>(packet: &Packet<'p>) -> Result<&'p [u8], String> {
    match (packet.link, packet.data.len()) {
        (ETHERNET, ETHERNET_HEADER..) => Ok(packet.data),
        (ETHERNET, bytes) => Err(format!("no Ethernet frame: {bytes} bytes")),
        (link, _) => Err(format!("no Ethernet frame: captured with link type {link}")),
    }
}

/// The bytes of a frame in hex, from standard input for `-`.
fn bytes(text: &str) -> anyhow::Result<Vec<u8>> {
    let read;
    let text = match text {
        "-" => {
            read = input::standard(FRAME_BYTES).context("--frame")?;
            &read[..]
        }
        text => text.as_bytes(),
    };
    match hex::bytes(text) {
        Ok(bytes) if bytes.len() < ETHERNET_HEADER => {
            usage(format!("--frame: {} bytes are no Ethernet frame", bytes.len()))
        }
        Ok(bytes) => Ok(bytes),
        Err(error) => usage(format!("--frame: {error}")),
    }
}

struct Explainer<'a> {
    args: &'a Args,
    slices: &'a SlicePolicy,
    network: Offline,
    place: (DatapathId, PortNo),
}

impl Explainer<'_> {
    fn explained(&self, headers: &Headers) -> Explained {
        let versions = match self.args.openflow.as_deref() {
            Some("1.0") => vec![Version::V1_0],
            Some(_) => vec![Version::V1_3],
            None if self.args.asking.is_json() => vec![Version::V1_3, Version::V1_0],
            None => vec![Version::V1_3],
        };
        let ground = Ground {
            slices: self.slices,
            network: &self.network,
            topology: self.network.topology(),
            ways_known: self.network.ways_known(),
            versions: &|_| versions.clone(),
        };
        let (dpid, port) = self.place;
        Explained::new(ground, Ingress { dpid, port, headers })
    }

    fn whole(&self, headers: &Headers, output: &mut impl Write) -> anyhow::Result<()> {
        let (dpid, port) = self.place;
        let network = |policy: &Policy| {
            let mut network = Offline::new(policy, self.args.silent);
            network.add_port(self.place);
            network
        };
        let ingress = Ingress { dpid, port, headers };
        let told = self.explained(headers).with_cure(&self.slices.policy, network, ingress);
        match self.args.asking.is_json() {
            true => writeln!(output, "{}", serde_json::to_string_pretty(&told)?)?,
            false => writeln!(output, "{told}")?,
        }
        Ok(())
    }

    /// All frames of a capture, a line each; one in full.
    fn capture(&self, path: &Path, output: &mut impl Write) -> anyhow::Result<()> {
        let (name, file) = read(path)?;
        let capture = capture::read(&file).with_context(|| name.clone())?;
        if let Some(number) = self.args.frame_number {
            return self.whole(&Headers::parse(chosen(&name, &capture, number)?), output);
        }
        let is_json = self.args.asking.is_json();
        each(&name, &capture, is_json, output, |number, frame| {
            let told = self.explained(&Headers::parse(frame));
            if !is_json {
                return Ok(told.line());
            }
            let mut row = json!({"number": number});
            if let (Value::Object(row), Value::Object(told)) =
                (&mut row, serde_json::to_value(&told)?)
            {
                row.extend(told);
            }
            Ok(row.to_string())
        })
    }
}
