//! The emulated switch beside Open vSwitch: both get the same random flow-mods, packet-outs and
//! frames, and must answer and send the same.
//!
//! Where the two differ on purpose, the generator says so and keeps away: Open vSwitch reads one tag
//! of a frame, lets the action set of a dropped packet out, and has faults with more than two tags.
//!
//! Needs the programs of Open vSwitch, but no root: it runs on the dummy datapath. Without them the
//! test says so and passes. `UMLAUT_DIFFERENTIAL_STEPS` sets the number of steps per version,
//! `UMLAUT_DIFFERENTIAL_SEED` the seed.

mod generate;
mod real;
mod requests;
mod sides;

use std::time::Instant;

use generate::{PORTS, Random};
use real::OpenVswitch;
use sides::{Deed, Emulated, Real, Switch, bytes, greeting};
use umlaut_openflow::{
    Cookie, DatapathId, FlowMod, FlowModFlags, FlowStatsRequest, GroupId, Match, Message, PortNo,
    TableId, Version,
};
use umlaut_testbed::{EmulatedSwitch, SwitchOptions};

/// One step of the test.
#[derive(Debug)]
enum Step {
    Message(Message<'static>),
    Frame(u32, Vec<u8>),
}

fn step(random: &mut Random, version: Version) -> Step {
    match random.below(20) {
        0..8 => Step::Message(Message::FlowMod(generate::flow_mod(random, version))),
        8..11 => Step::Message(Message::PacketOut(generate::packet_out(random, version))),
        11 if random.one_in(12) => {
            let mut all = FlowMod::delete(Match::new()).flags(FlowModFlags(0));
            if version == Version::V1_0 {
                all.table_id = TableId(0);
            }
            Step::Message(Message::FlowMod(all))
        }
        _ => Step::Frame(PORTS[random.below(PORTS.len())], generate::frame(random, version)),
    }
}

/// Asks for all entries.
fn everything() -> Message<'static> {
    Message::FlowStatsRequest(FlowStatsRequest {
        table_id: TableId::ALL,
        out_port: PortNo::ANY,
        out_group: GroupId::ANY,
        cookie: Cookie(0),
        cookie_mask: 0,
        matches: Match::new(),
    })
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Both switches, greeted. `None`: there is no Open vSwitch here.
fn both(version: Version) -> Option<(Real, Emulated)> {
    if let Some(missing) = real::missing() {
        println!("skipped: {missing} is not installed, nothing to compare with");
        return None;
    }
    let ovs = OpenVswitch::start(version, &PORTS).unwrap();
    let now = Instant::now();
    let mut options = SwitchOptions::new("br0", DatapathId(0x1234));
    options.versions = vec![version];
    options.probe_interval = None;
    let mut switch = EmulatedSwitch::new(options);
    for port in PORTS {
        switch.add_port(PortNo(port), now);
    }
    switch.connected(now);
    let mut real = Real { ovs, removals: Vec::new() };
    let mut emulated = Emulated { switch, now, removals: Vec::new() };
    let greeting = greeting(version);
    // What each says to the greeting is its own matter.
    let deed = Deed { version, number: 0, message: Some(&greeting), frame: None, quiet: false };
    real.step(deed);
    emulated.step(deed);
    Some((real, emulated))
}

fn compare(version: Version) {
    let Some((real, emulated)) = both(version) else { return };
    let mut switches: [Box<dyn Switch>; 2] = [Box::new(real), Box::new(emulated)];
    let seed = number("UMLAUT_DIFFERENTIAL_SEED", 1);
    let mut random = Random(seed);
    let mut history: Vec<String> = Vec::new();
    let mut entries = String::new();
    let steps = number("UMLAUT_DIFFERENTIAL_STEPS", 1500) as u32;
    for number in 1..=steps {
        let step = step(&mut random, version);
        let (message, frame) = match &step {
            Step::Frame(port, frame) => (None, Some((*port, &frame[..]))),
            Step::Message(message) => match bytes(version, 1_000_000 + number, message) {
                Some(mut message_bytes) => {
                    if matches!(message, Message::FlowMod(_)) {
                        message_bytes.extend(bytes(version, 0, &everything()).unwrap());
                    }
                    (Some(message_bytes), None)
                }
                // Not expressible in this version: nothing to compare.
                None => continue,
            },
        };
        history.push(format!("{step:02x?}"));
        let deed = Deed { version, number, message: message.as_deref(), frame, quiet: false };
        let outcomes = switches.each_mut().map(|switch| switch.step(deed));
        if outcomes[0] != outcomes[1] {
            let recent = &history[history.len().saturating_sub(3)..];
            panic!(
                "version {version} seed {seed} step {number}\nlast steps:\n{}\n\
                 entries:\n{entries}\nOpen vSwitch:\n{}\nemulated:\n{}",
                recent.join("\n"),
                outcomes[0],
                outcomes[1]
            );
        }
        if let Some(flows) = outcomes[0].messages.iter().find(|text| text.starts_with("flows")) {
            entries = flows.clone();
        }
    }
    let [real, emulated] = &mut switches;
    let expected = emulated.removals(0);
    assert_eq!(real.removals(expected.len()), expected, "flow-removed");
    println!("version {version} seed {seed}: {steps} steps, {} flow-removed", expected.len());
}

/// Sends each request to both; all that is answered differently.
fn answers_differ(version: Version) -> Vec<String> {
    let Some((mut real, mut emulated)) = both(version) else { return Vec::new() };
    let mut differences = Vec::new();
    for (number, (name, message)) in (1..).zip(requests::requests(version)) {
        // To a slave nothing is sent.
        let quiet = name.starts_with("quiet");
        let deed = Deed { version, number, message: Some(&message), frame: None, quiet };
        let outcomes = (real.step(deed), emulated.step(deed));
        if std::env::var_os("UMLAUT_DIFFERENTIAL_SHOW").is_some() {
            println!("{name}\n   {}", outcomes.0);
        }
        // Into how many parts a long answer is cut is each one's own matter.
        if outcomes.0.to_string() != outcomes.1.to_string() {
            differences.push(format!(
                "{version} {name}\nOpen vSwitch:\n{}emulated:\n{}",
                outcomes.0, outcomes.1
            ));
        }
    }
    differences
}

#[test]
fn every_request_and_mistake_is_answered_as_by_open_vswitch() {
    let differences: Vec<String> =
        [Version::V1_0, Version::V1_3].into_iter().flat_map(answers_differ).collect();
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn the_emulated_switch_of_1_0_is_like_open_vswitch() {
    compare(Version::V1_0);
}

#[test]
fn the_emulated_switch_of_1_3_is_like_open_vswitch() {
    compare(Version::V1_3);
}
