//! A plan that shows a difference, made smaller while it still shows one of its kind. Pure but for the
//! runs.

use super::drive::{Difference, Oracle, run};
use super::plan::*;
use super::write::is_good;

/// Runs at most: a smaller plan would be nice, an end is needed.
const RUNS: usize = 1_500;

/// The smaller plan and what it shows.
pub fn shrink(plan: &Plan, found: Difference, oracle: Oracle) -> (Plan, Difference) {
    let mut best = Shrinking { plan: plan.clone(), found, oracle, runs: 0 };
    while best.pass() && best.runs < RUNS {}
    (best.plan, best.found)
}

struct Shrinking {
    plan: Plan,
    found: Difference,
    oracle: Oracle,
    runs: usize,
}

impl Shrinking {
    /// Takes a plan over if it shows a difference as well.
    fn try_plan(&mut self, plan: Plan) -> bool {
        if plan == self.plan || self.runs >= RUNS || !is_good(&plan) {
            return false;
        }
        self.runs += 1;
        match run(&plan, self.oracle) {
            Err(found) if found.between == self.found.between => {
                (self.plan, self.found) = (plan, *found);
                true
            }
            _ => false,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.plan.clone();
        change(&mut plan);
        self.try_plan(plan)
    }

    /// Tries everything once. Whether anything helped.
    fn pass(&mut self) -> bool {
        let steps = self.steps();
        let rules = self.rules();
        let network = self.network();
        let frames = self.frames();
        steps || rules || network || frames
    }

    fn steps(&mut self) -> bool {
        let mut helped = false;
        let mut size = self.plan.steps.len();
        while size > 0 {
            let mut at = self.plan.steps.len();
            while at > 0 {
                at = at.saturating_sub(size);
                let end = (at + size).min(self.plan.steps.len());
                helped |= at < end
                    && self.change(|plan| {
                        plan.steps.drain(at..end);
                    });
            }
            size /= 2;
        }
        helped
    }

    fn rules(&mut self) -> bool {
        let mut helped = false;
        let used = |plan: &Plan, n: usize| plan.steps.contains(&Step::Revise { rules: n });
        while self.plan.rules.len() > 1 && !used(&self.plan, self.plan.rules.len() - 1) {
            self.plan.rules.pop();
        }
        for n in 0..self.plan.rules.len() {
            for filter in (0..self.plan.rules[n].filters.len()).rev() {
                helped |= self.change(|plan| {
                    plan.rules[n].filters.remove(filter);
                });
            }
            for filter in 0..self.plan.rules[n].filters.len() {
                for criterion in (0..self.plan.rules[n].filters[filter].criteria.len()).rev() {
                    helped |= self.change(|plan| {
                        plan.rules[n].filters[filter].criteria.remove(criterion);
                    });
                }
                helped |= self.change(|plan| plan.rules[n].filters[filter].slice = None);
            }
            for slice in (0..self.plan.rules[n].slices.len()).rev() {
                for member in (0..self.plan.rules[n].slices[slice].members.len()).rev() {
                    helped |= self.change(|plan| {
                        plan.rules[n].slices[slice].members.remove(member);
                    });
                }
                helped |= self.change(|plan| plan.rules[n].slices[slice].restricted = false);
                let name = self.plan.rules[n].slices[slice].name;
                let named = self.plan.rules[n].filters.iter().any(|f| f.slice == Some(name));
                helped |= !named
                    && self.change(|plan| {
                        plan.rules[n].slices.remove(slice);
                    });
            }
            let off: [fn(&mut Options); 8] = [
                |o| o.restrict_hosts = false,
                |o| o.loose = false,
                |o| o.reverse_flow = false,
                |o| o.arp_packet_out = false,
                |o| o.deny = false,
                |o| o.exact = false,
                |o| o.refuse_foreign = false,
                |o| o.declared_links = false,
            ];
            for off in off {
                helped |= self.change(|plan| off(&mut plan.rules[n].options));
            }
        }
        helped
    }

    fn network(&mut self) -> bool {
        let mut helped = false;
        for link in (0..self.plan.links.len()).rev() {
            // Without any link a policy says that all switches are connected.
            helped |= self.plan.links.len() > 1 && self.change(|plan| without_link(plan, link));
        }
        for station in (0..self.plan.stations.len()).rev() {
            helped |=
                self.plan.stations.len() > 1 && self.change(|plan| without_station(plan, station));
        }
        helped |= self.change(|plan| {
            let last = plan.switches;
            let there = |end: End| end.switch == last;
            if last > 1
                && !plan.stations.iter().any(|s| there(s.at.end))
                && !plan.rules.iter().flat_map(Rules::places).any(|place| there(place.end))
            {
                plan.switches -= 1;
                let gone: Vec<usize> = (0..plan.links.len())
                    .filter(|n| plan.links[*n].iter().any(|e| there(*e)))
                    .collect();
                gone.into_iter().rev().for_each(|link| without_link(plan, link));
                plan.steps.retain(|step| match step {
                    Step::Switch { switch, .. }
                    | Step::Restart { switch }
                    | Step::Channel { switch } => *switch != last,
                    Step::Move { to, .. } => !there(*to),
                    _ => true,
                });
            }
        });
        for station in 0..self.plan.stations.len() {
            helped |= self.change(|plan| plan.stations[station].mac = station as u64 + 1);
        }
        helped
    }

    fn frames(&mut self) -> bool {
        let mut helped = false;
        for step in 0..self.plan.steps.len() {
            let simpler: [fn(&mut Frame); 3] = [
                |frame| frame.tags.clear(),
                |frame| frame.tags.truncate(1),
                |frame| {
                    if !matches!(frame.kind, Kind::Lldp) {
                        frame.kind = Kind::Plain;
                    }
                },
            ];
            for simpler in simpler {
                helped |= self.change(|plan| {
                    if let Step::Say(frame) = &mut plan.steps[step] {
                        simpler(frame);
                    }
                });
            }
        }
        helped
    }
}

fn without_link(plan: &mut Plan, link: usize) {
    plan.links.remove(link);
    plan.steps.retain(|step| !matches!(step, Step::Link { link: l, .. } if *l == link));
    for step in &mut plan.steps {
        if let Step::Link { link: l, .. } = step
            && *l > link
        {
            *l -= 1;
        }
    }
}

fn without_station(plan: &mut Plan, station: usize) {
    plan.stations.remove(station);
    plan.steps.retain(|step| match step {
        Step::Say(frame) => frame.station != station,
        Step::Move { station: s, .. } => *s != station,
        _ => true,
    });
    for step in &mut plan.steps {
        let used = match step {
            Step::Say(frame) => &mut frame.station,
            Step::Move { station, .. } => station,
            _ => continue,
        };
        *used -= usize::from(*used > station);
    }
}
