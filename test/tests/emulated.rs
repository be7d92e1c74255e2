//! The scenarios on emulated networks in virtual time, in both versions: seconds, and no root.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use common::VERSIONS;
use umlaut::emulated_ground::EmulatedGround;
use umlaut_testbed::scenario::{Scenario, StreamCount, run_on};

#[test]
fn every_scenario_comes_out_the_same_in_emulation() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() > 30, "the scenarios are there");
    // Each is a network of its own, so there are as many at once as there are processors.
    let (left, failures) = (Mutex::new(files.into_iter()), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap().next();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(path) = next() {
                    let failed = failures_of(&path);
                    failures.lock().unwrap().extend(failed);
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs a scenario in both versions, with several seeds.
fn failures_of(path: &Path) -> Vec<String> {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    if std::env::var("UMLAUT_SCENARIO").is_ok_and(|wanted| !name.contains(&wanted)) {
        return Vec::new();
    }
    let mut failures = Vec::new();
    let scenario = Scenario::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    // Reading 65,535 slices takes a while without optimisation.
    let seeds = if scenario.mac_slices > 0 { 1..2 } else { 1..4 };
    let apps = scenario.apps.iter();
    for (version, app) in apps.flat_map(|app| VERSIONS.map(|version| (version, *app))) {
        let name = format!("{name} on {}", app.name());
        for seed in seeds.clone() {
            let done = run_on(&scenario, app, |policy, text| {
                EmulatedGround::start_app(app, version, seed, policy, text)
            });
            match done {
                Ok(streams) => {
                    streams.iter().for_each(|StreamCount { name: stream, sent, lost }| {
                        println!("{name} {version} seed {seed}: {stream}: {lost} of {sent} lost");
                    })
                }
                Err(failure) => failures.push(format!("{name} {version} seed {seed}: {failure}")),
            }
        }
    }
    failures
}
