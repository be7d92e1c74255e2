//! Configuration of the samples: one YAML document with a key per application. Pure.
//!
//! ```yaml
//! patch-panel: {patches: [[0x1/1, 0x1/2]]}
//! switch-monitor: {period: 5}
//! ```

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use umlaut_openflow::{DatapathId, Masked, PortNo};

use super::{firewall, patch_panel, simple_router};

/// What can be said of the samples. What is left out has its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// Pairs of ports.
    pub patch_panel: patch_panel::Patches,
    /// Rules.
    pub firewall: firewall::Rules,
    /// Interfaces and routes.
    pub simple_router: simple_router::Config,
    /// How often to print.
    pub traffic_monitor: Period,
    /// How often to print.
    pub switch_monitor: Period,
    /// How often to print.
    pub flow_dumper: Period,
}

impl Config {
    /// Reads a document; an empty one says nothing.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub fn parse(text: &str) -> Result<Config, serde_yaml::Error> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#')) {
            return Ok(Config::default());
        }
        serde_yaml::from_str(text)
    }
}

/// How often something is printed: `{period: SECONDS}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    #[serde(deserialize_with = "seconds")]
    period: Duration,
}

impl Default for Period {
    /// As Trema's monitors: every ten seconds.
    fn default() -> Period {
        Period { period: Duration::from_secs(10) }
    }
}

impl Period {
    /// From one time to the next.
    pub fn duration(self) -> Duration {
        self.period
    }
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    match u32::deserialize(from)? {
        0 => Err(serde::de::Error::custom("a period is at least 1 second")),
        seconds => Ok(Duration::from_secs(seconds.into())),
    }
}

/// A port of a switch: `SWITCH/PORT`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// The switch.
    pub dpid: DatapathId,
    /// The port.
    pub port: PortNo,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.dpid, self.port)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let (dpid, port) =
            text.split_once('/').ok_or_else(|| format!("{text:?} is not SWITCH/PORT"))?;
        let dpid = dpid.parse().map_err(|error| format!("{error}"))?;
        Ok(Place { dpid, port: port.parse().map_err(|error| format!("{error}"))? })
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Place, D::Error> {
        parsed(from)
    }
}

/// An IPv4 address and how many of its first bits are the network's: `ADDRESS/PREFIX`, or an address
/// alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network {
    /// The address, host part included.
    pub address: Ipv4Addr,
    /// 0 to 32.
    pub prefix: u8,
}

impl Network {
    /// Whether an address is in the network.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let network = |address| Masked::network(address, self.prefix).value;
        network(address) == network(self.address)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        match (address.parse(), prefix.parse()) {
            (Ok(address), Ok(prefix @ 0..=32)) => Ok(Network { address, prefix }),
            _ => Err(format!("{text:?} is not ADDRESS/PREFIX")),
        }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Network, D::Error> {
        parsed(from)
    }
}

/// A value that is written as text.
pub(super) fn parsed<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    /// `0x1` is a number to YAML.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Number(u64),
    }
    let text = match Written::deserialize(from)? {
        Written::Text(text) => text,
        Written::Number(number) => number.to_string(),
    };
    text.parse().map_err(serde::de::Error::custom)
}

/// The same, where it may be left out.
pub(super) fn parsed_if_given<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    parsed(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let table = [
            ("hub: {}", "unknown field `hub`", "line 2"),
            (
                "patch-panel: {patches: [[0x1/1, 0x2/2]]}",
                "patch-panel: 0x1/1 and 0x2/2 are on different switches",
                "",
            ),
            ("patch-panel: {patches: [[0x1/1, 0x1/1]]}", "patch-panel: 0x1/1 is patched twice", ""),
            (
                "patch-panel: {patches: [[0x1/1, 0x1/x]]}",
                "patch-panel.patches[0]: \"x\" is not a port",
                "line 2",
            ),
            ("traffic-monitor: {period: 0}", "at least 1 second", "line 2"),
            ("firewall: {rules: [{allow: {}, deny: {}}]}", "firewall: rule 1 must say either", ""),
            ("firewall: {rules: [{deny: {tcp_dst: 99999}}]}", "firewall.rules[0]", "99999"),
            (
                "simple-router:\n  interfaces:\n  - {port: 1, mac: 'x', address: 10.0.0.1/8}",
                "simple-router.interfaces[0]: \"x\" is not a MAC address",
                "line 4",
            ),
            (
                "simple-router: {interfaces: [], routes: [{to: 0.0.0.0/0, via: 10.0.0.1}]}",
                "simple-router: 10.0.0.1 is in no network",
                "",
            ),
        ];
        for (text, what, place) in table {
            let error = Config::parse(&format!("# A comment.\n{text}\n")).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains(place), "{text}: {error}");
        }
        let router = "simple-router: {switch: 0x1, interfaces: []}";
        for text in ["", "# nothing\n\n", "switch-monitor: {period: 3}", router] {
            assert!(Config::parse(text).is_ok(), "{text}");
        }
    }
}
