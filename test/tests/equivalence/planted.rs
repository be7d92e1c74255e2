//! Differences planted on purpose: they are found, made small, and the files printed show them again.

use umlaut_slice_db::{Policy, PolicyFiles, judge};
use umlaut_testbed::scenario::{Scenario, run as play};

use super::drive::{Between, Difference, Oracle, run};
use super::naive::{Fate, Reading};
use super::plan::*;
use super::{generate, report, shrink};
use umlaut::emulated_ground::EmulatedGround;

/// The first difference of this kind that plans show, made small.
fn find(between: Between, oracle: Oracle, spoil: impl Fn(&mut Plan)) -> (Plan, Difference) {
    for seed in 1..200 {
        let mut plan = generate::plan(seed);
        spoil(&mut plan);
        if let Err(found) = run(&plan, oracle)
            && found.between == between
            && report::case_files(&plan, &found).is_some()
        {
            return shrink::shrink(&plan, *found, oracle);
        }
    }
    panic!("nothing of 200 plans shows it");
}

/// Reads the policy as if nobody received group frames.
fn deaf(
    reading: &mut Reading,
    rules: &Rules,
    wires: &Wires,
    end: End,
    frame: &Frame,
    sender: Mac,
) -> Fate {
    let fate = reading.frame(rules, wires, end, frame, sender);
    match fate {
        Fate::All(_) if is_group(frame.dst) => Fate::Lost,
        fate => fate,
    }
}

#[test]
fn a_planted_error_of_reading_gives_a_case_that_fails_by_decision() {
    let (plan, found) = find(Between::Reading, deaf, |_| {});
    let files = report::case_files(&plan, &found).expect("the frame can be said");
    let mut read = files.iter().map(|(name, text)| match Policy::parse(name, text) {
        Ok((policy, _)) => (name.clone(), policy),
        Err(mistakes) => panic!("{text}\n{}", mistakes[0].render(false)),
    });
    let (_, policy) = read.next().expect("there is the policy");
    let others: PolicyFiles = read.collect();
    let [case] = policy.cases() else { panic!("one case: {}", files[0].1) };
    let wrong = judge(&policy, case, &others).wrong;
    let said = wrong.unwrap_or_else(|| panic!("the case holds: {}", files[0].1)).what;
    assert!(said.contains("is flooded to"), "{said}");
    // Two members and a frame are enough to show it.
    assert!(plan.steps.len() == 1 && plan.rules.len() == 1, "{plan:?}");
    assert!(plan.rules[0].slices.iter().map(|s| s.members.len()).sum::<usize>() <= 2, "{plan:?}");
}

#[test]
fn a_port_that_goes_down_secretly_gives_a_scenario_that_fails_on_the_network() {
    let spoil = |plan: &mut Plan| {
        let end = plan.stations[0].at.end;
        plan.steps.insert(plan.steps.len() / 2, Step::Secretly { end });
    };
    let (plan, found) = find(Between::Network, Reading::frame, spoil);
    let text = report::scenario(&plan, &found);
    let play = |text: &str| {
        let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        play(&scenario, |policy, text| EmulatedGround::start(plan.version, plan.seed, policy, text))
    };
    let failure = play(&text).expect_err(&text);
    assert!(failure.message.contains("frames to arrive"), "{failure}");
    // It is the port that does it.
    let end = plan.stations.iter().map(|station| format!("port: {} down", station.at.end.name()));
    let secret = |line: &&str| !end.clone().any(|port| line.contains(&port));
    let innocent: String = text.lines().filter(secret).map(|line| format!("{line}\n")).collect();
    assert_ne!(innocent, text);
    play(&innocent).expect(&text);
}
