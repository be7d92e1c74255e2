//! Labs of emulated switches and hosts. Runtime: a thread that counts what arrives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use umlaut_openflow::{DatapathId, Version};

use super::{Counters, Done, Flows, Ground, LabProblem, Plan, Standing};
use crate::emulated::EmulatedLab;
use crate::topology::Endpoint;

/// How long the counting thread waits for frames before it waits again.
const WAIT: Duration = Duration::from_secs(3600);

/// A network of emulated switches.
pub(super) struct Emulated {
    counting: Arc<Counting>,
    thread: Option<JoinHandle<()>>,
}

struct Counting {
    lab: EmulatedLab,
    counters: Arc<Counters>,
    stop: AtomicBool,
}

impl Counting {
    /// Takes from the hosts what they have seen, so that they keep nothing for long.
    fn count(&self) {
        self.lab.with_network(|network| {
            for host in 0..network.hosts().len() {
                let name = network.hosts()[host].name().to_owned();
                let seen = network.with_host(&name, |host, _| host.take_sniffed());
                for sniffed in seen.into_iter().flatten() {
                    self.counters.received(host, &sniffed.frame);
                }
            }
        });
    }
}

impl Emulated {
    pub(super) fn start(
        plan: &Plan,
        controller: SocketAddr,
        version: Version,
        counters: Arc<Counters>,
    ) -> Result<Emulated, LabProblem> {
        if let Some((at, name)) = plan.interfaces.first() {
            return Err(LabProblem::Refused(format!(
                "{} is linked to the interface {name} of this machine: an emulated lab has no way to \
                 it, one with --on ovs has",
                plan.port_name(*at)
            )));
        }
        let lab = EmulatedLab::start(&plan.topology, controller, version)
            .map_err(|error| LabProblem::Refused(error.to_string()))?;
        let counting = Arc::new(Counting { lab, counters, stop: AtomicBool::new(false) });
        let in_thread = Arc::clone(&counting);
        let thread = std::thread::Builder::new().name("lab counters".to_owned()).spawn(move || {
            loop {
                in_thread.lab.wait_until(WAIT, |network| {
                    in_thread.stop.load(Ordering::Acquire)
                        || network.hosts().iter().any(|host| host.sniffed().len() > 0)
                });
                if in_thread.stop.load(Ordering::Acquire) {
                    return;
                }
                in_thread.count();
            }
        });
        let thread = thread.map_err(|error| LabProblem::System(error.to_string()))?;
        Ok(Emulated { counting, thread: Some(thread) })
    }

    fn lab(&self) -> &EmulatedLab {
        &self.counting.lab
    }

    fn name(&self, host: usize) -> String {
        self.lab().with_network(|network| {
            network.hosts().get(host).map(|host| host.name().to_owned()).unwrap_or_default()
        })
    }
}

/// What cannot be, since the lab has looked before.
fn impossible<T>() -> Result<T, LabProblem> {
    Err(LabProblem::Refused("the emulated network refuses".to_owned()))
}

impl Ground for Emulated {
    fn transmit(&self, host: usize, frame: &[u8]) -> Done {
        let name = self.name(host);
        let sent = self.lab().with_host(&name, |host, _| host.send_raw(frame.to_vec()));
        sent.map_or_else(impossible, Ok)
    }

    fn count(&self) {
        self.counting.count();
    }

    fn flows(&self, dpid: DatapathId) -> Result<Flows, LabProblem> {
        let flows = self.lab().with_network(|network| {
            let now = network.now();
            network.switch(dpid).map(|switch| switch.flows(now))
        });
        flows.map_or_else(impossible, |flows| Ok(Flows::Entries(flows)))
    }

    fn connected(&self, switches: &[DatapathId]) -> Vec<bool> {
        self.lab().with_network(|network| {
            let is = |dpid: &DatapathId| {
                network.switch(*dpid).is_some_and(|switch| switch.version().is_some())
            };
            switches.iter().map(is).collect()
        })
    }

    fn set_port(&self, at: Endpoint, up: bool, _: &Standing) -> Done {
        let set = self.lab().with_network(|network| {
            network.with_switch(at.dpid, |switch, now| switch.set_admin(at.port, up, now))
        });
        set.map_or_else(impossible, Ok)
    }

    fn set_link(&self, link: usize, up: bool) -> Done {
        let set = self.lab().with_network(|network| match up {
            true => network.heal(link),
            false => network.cut(link),
        });
        if set { Ok(()) } else { impossible() }
    }

    fn set_host(&self, host: usize, at: Endpoint, up: bool) -> Done {
        let name = self.name(host);
        let set = self.lab().with_network(|network| match up {
            true => network.plug(&name, at),
            false => network.unplug(&name),
        });
        set.map_or_else(impossible, Ok)
    }

    fn move_host(&self, host: usize, before: &Standing, to: Endpoint) -> Done {
        if before.hosts_off[host] {
            return Ok(());
        }
        let name = self.name(host);
        let moved = self.lab().with_network(|network| network.plug(&name, to));
        moved.map_or_else(impossible, Ok)
    }

    fn set_switch(&self, dpid: DatapathId, on: bool, _: &Standing) -> Done {
        let set = self.lab().with_network(|network| match on {
            true => network.power_on(dpid),
            false => network.power_off(dpid),
        });
        set.map_or_else(impossible, Ok)
    }

    fn namespace(&self, _: usize) -> Option<String> {
        None
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        self.counting.stop.store(true, Ordering::Release);
        // A turn of the network's thread makes the counting one look.
        self.lab().with_network(|_| ());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}
