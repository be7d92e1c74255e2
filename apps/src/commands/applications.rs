//! The applications that `umlaut run` knows, by name. Runtime.

use umlaut_controller::{App, Apps, Policy};

use crate::samples::{
    Config, Dumper, Firewall, FlowDumper, Hub, LearningSwitch, PatchPanel, RoutingSwitch,
    SimpleRouter, SwitchMonitor, TrafficMonitor, standard_output,
};
use crate::sliceable::{SlicePolicy, SliceableSwitch};

/// An application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Application {
    /// Isolated slices, as the policy says
    SliceableSwitch,
    /// All switches as one, with shortest paths
    RoutingSwitch,
    /// Each switch learns for itself
    LearningSwitch,
    /// Every frame out of every port
    Hub,
    /// Pairs of ports wired to each other
    PatchPanel,
    /// IPv4 between the ports of a switch
    SimpleRouter,
    /// Allows and denies frames before another application
    Firewall,
    /// Counts what each host sends
    TrafficMonitor,
    /// Prints switches that come and go
    SwitchMonitor,
    /// Prints flow entries
    FlowDumper,
    /// Prints every event
    Dumper,
}

impl Application {
    /// Whether it installs paths, which have the highest priority there is.
    fn has_paths(self) -> bool {
        matches!(self, Application::SliceableSwitch | Application::RoutingSwitch)
    }

    /// Whether it sends frames on by rules of its own, which no slice bounds.
    fn forwards(self) -> bool {
        use Application::{Hub, LearningSwitch, PatchPanel, RoutingSwitch, SimpleRouter};
        matches!(self, Hub | LearningSwitch | PatchPanel | RoutingSwitch | SimpleRouter)
    }

    /// A sample; `None` for the sliceable switch, which is none.
    fn sample<P: Policy>(self, config: &Config) -> Option<Box<dyn App<P>>> {
        let print = standard_output;
        Some(match self {
            Application::SliceableSwitch => return None,
            Application::RoutingSwitch => Box::new(RoutingSwitch),
            Application::LearningSwitch => Box::new(LearningSwitch),
            Application::Hub => Box::new(Hub),
            Application::PatchPanel => Box::new(PatchPanel::new(config.patch_panel.clone())),
            Application::SimpleRouter => Box::new(SimpleRouter::new(config.simple_router.clone())),
            Application::Firewall => Box::new(Firewall::new(config.firewall.clone())),
            Application::TrafficMonitor => {
                Box::new(TrafficMonitor::new(config.traffic_monitor, print()))
            }
            Application::SwitchMonitor => {
                Box::new(SwitchMonitor::new(config.switch_monitor, print()))
            }
            Application::FlowDumper => Box::new(FlowDumper::new(config.flow_dumper, print())),
            Application::Dumper => Box::new(Dumper::new(print())),
        })
    }
}

/// What cannot run together, if anything.
pub(super) fn conflict(names: &[Application]) -> Option<String> {
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            return Some(format!("{name:?} is given twice"));
        }
    }
    if names.contains(&Application::SliceableSwitch)
        && let Some(other) = names.iter().find(|name| name.forwards())
    {
        return Some(format!("{other:?} beside it would forward from slice to slice"));
    }
    let firewall = names.iter().position(|name| *name == Application::Firewall);
    let forwarder = names.iter().position(|name| name.forwards());
    if let (Some(firewall), Some(forwarder)) = (firewall, forwarder)
        && forwarder < firewall
    {
        return Some(format!("{:?} stands before the firewall", names[forwarder]));
    }
    let paths = names.iter().find(|name| name.has_paths());
    match paths {
        Some(paths) if names.contains(&Application::Firewall) => {
            Some(format!("the paths of {paths:?} would pass the firewall by"))
        }
        _ => None,
    }
}

/// Samples only, in their order. The sliceable switch is left out.
pub(super) fn samples(names: &[Application], config: &Config) -> Apps<()> {
    let apps = names.iter().filter_map(|name| name.sample(config));
    apps.fold(Apps::new(), Apps::with_boxed)
}

/// The sliceable switch and samples beside it, in their order.
pub(super) fn with_slices(names: &[Application], config: &Config) -> Apps<SlicePolicy> {
    let apps = names
        .iter()
        .map(|name| name.sample(config).unwrap_or_else(|| Box::new(SliceableSwitch::default())));
    apps.fold(Apps::new(), Apps::with_boxed)
}

#[cfg(test)]
mod tests {
    use super::Application::*;
    use super::conflict;

    #[test]
    fn what_would_undo_another_is_refused() {
        for (names, allowed) in [
            (&[SliceableSwitch][..], true),
            (&[Dumper, SliceableSwitch, TrafficMonitor, SwitchMonitor, FlowDumper], true),
            (&[SliceableSwitch, Hub], false),
            (&[LearningSwitch, SliceableSwitch], false),
            (&[SliceableSwitch, RoutingSwitch], false),
            (&[PatchPanel, SliceableSwitch], false),
            (&[SimpleRouter, SliceableSwitch], false),
            (&[Firewall, SliceableSwitch], false),
            (&[Firewall, RoutingSwitch], false),
            (&[Firewall, LearningSwitch], true),
            (&[LearningSwitch, Firewall], false),
            (&[Hub, Hub], false),
        ] {
            assert_eq!(conflict(names).is_none(), allowed, "{names:?}: {:?}", conflict(names));
        }
    }
}
