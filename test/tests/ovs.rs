//! The scenarios on real switches, in both versions: Open vSwitch, or with `UMLAUT_GROUND=mininet`
//! Mininet. Runs where `UMLAUT_OVS` is set, as `test/on-open-vswitch` and `test/on-mininet` do;
//! arguments choose scenarios by name.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use umlaut_openflow::Version;
use umlaut_testbed::lab::LabName;
use umlaut_testbed::mininet::{self, Mininet};
use umlaut_testbed::ovs::{self, OpenVSwitch, Site};
use umlaut_testbed::scenario::{App, Scenario, StreamCount, run_on};

/// Bridges, namespaces and interfaces begin with this and a `-`, unless `UMLAUT_PREFIX` is set; those
/// of further lanes with a number behind it.
const PREFIX: &str = "uma";
const LISTEN: &str = "26664";
/// Scenarios at once on Open vSwitch, unless `UMLAUT_LANES` is set: most of the time they wait. Those
/// that want to be alone are, after the others.
const LANES: &str = "3";

/// Where a scenario is run at a time.
struct Lane {
    mininet: bool,
    site: Arc<Site>,
    binary: PathBuf,
    listen: u16,
}

/// A scenario with a version and an application.
struct Run {
    file: String,
    scenario: Arc<Scenario>,
    version: Version,
    app: App,
}

fn main() -> ExitCode {
    let required = std::env::var("UMLAUT_OVS").ok();
    let Some(required) = required else {
        println!("Open vSwitch scenarios are run by test/on-open-vswitch");
        return ExitCode::SUCCESS;
    };
    let mininet = match set("UMLAUT_GROUND", "ovs").as_str() {
        "ovs" => false,
        "mininet" => true,
        other => {
            println!("no ground {other:?}: there are ovs and mininet");
            return ExitCode::FAILURE;
        }
    };
    let unusable = if mininet { mininet::unusable() } else { ovs::unusable() };
    if let Some(why) = unusable {
        println!("this ground cannot be used here: {why}");
        return if required == "required" { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let lanes = match lanes(mininet) {
        Ok(lanes) => lanes,
        Err(why) => {
            println!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let whole = Instant::now();
    let alone = |run: &Run| run.scenario.wants_to_be_alone();
    let (alone, together) = runs(&wanted).into_iter().partition(alone);
    let mut outcomes = at_once(&lanes, together);
    outcomes.extend(at_once(&lanes[..1], alone));
    let passed = outcomes.iter().filter(|passed| **passed).count();
    let failed = outcomes.len() - passed;
    println!("{passed} passed, {failed} failed in {:.0} s", whole.elapsed().as_secs_f64());
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs them, each lane one at a time. Returns of each whether it has passed.
fn at_once(lanes: &[Lane], runs: Vec<Run>) -> Vec<bool> {
    let left = Mutex::new(runs.into_iter());
    let next = || left.lock().expect("no lane fails with it").next();
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for lane in lanes {
            scope.spawn(|| {
                while let Some(run) = next() {
                    let passed = lane.run(&run);
                    outcomes.lock().expect("no lane fails with it").push(passed);
                }
            });
        }
    });
    outcomes.into_inner().expect("no lane fails with it")
}

fn set(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or(default.to_owned())
}

/// What the environment asks for. Mininet has one lane: it cleans up after all that is Mininet's.
fn lanes(mininet: bool) -> Result<Vec<Lane>, String> {
    let prefix = set("UMLAUT_PREFIX", PREFIX);
    let number = |name: &str, default: &str| {
        let number = set(name, default).parse::<u16>();
        number.ok().filter(|number| *number > 0).ok_or_else(|| format!("{name} is no number"))
    };
    let listen = number("UMLAUT_LISTEN", LISTEN)?;
    let lanes = if mininet { 1 } else { number("UMLAUT_LANES", LANES)? };
    let binary = std::env::var_os("UMLAUT_BIN").map(PathBuf::from);
    let binary = binary.ok_or("UMLAUT_BIN does not say where the umlaut command is")?;
    let first: LabName = prefix.parse().map_err(|error| format!("UMLAUT_PREFIX: {error}"))?;
    let lane = |n: u16| {
        // A number takes the place of the last letter of a long name.
        let name: LabName = match n {
            0 => first.clone(),
            _ => {
                format!("{prefix:.5}{}", n + 1).parse().map_err(|_| "there are 9 lanes at most")?
            }
        };
        let listen = listen.checked_add(n).ok_or("UMLAUT_LISTEN is too high")?;
        let site = Site::named(&name).map_err(|why| why.to_string())?;
        Ok(Lane { mininet, site, binary: binary.clone(), listen })
    };
    (0..lanes).map(lane).collect()
}

impl Lane {
    /// Runs it, prints how it has gone, and tells whether it has passed.
    fn run(&self, Run { file, scenario, version, app }: &Run) -> bool {
        let Lane { mininet, site, binary, listen } = self;
        let (version, app, listen) = (*version, *app, *listen);
        let begun = Instant::now();
        let done = match mininet {
            true => run_on(scenario, app, |_, text| {
                Mininet::start(app, site, version, text, binary, listen)
            }),
            false => run_on(scenario, app, |policy, text| {
                OpenVSwitch::start_app(app, site, version, policy, text, binary, listen)
            }),
        };
        let seconds = begun.elapsed().as_secs_f64();
        let file = match app {
            App::SliceableSwitch => file.clone(),
            app => format!("{file} on {}", app.name()),
        };
        let what = format!("{seconds:6.1} s  {version}  {file}: {}", scenario.name);
        match &done {
            Ok(streams) => {
                let streams = streams.iter().map(|StreamCount { name, sent, lost }| {
                    format!("\n{:18}{name}: {lost} of {sent} frames lost", "")
                });
                println!("ok      {what}{}", streams.collect::<String>());
            }
            Err(failure) => println!("FAILED  {what}\n{failure}"),
        }
        done.is_ok()
    }
}

/// All of the scenarios whose files have one of these in their names, or all.
fn runs(wanted: &[String]) -> Vec<Run> {
    let mut runs = Vec::new();
    for (file, scenario) in scenarios() {
        if !wanted.is_empty() && !wanted.iter().any(|part| file.contains(part.as_str())) {
            continue;
        }
        let scenario = Arc::new(scenario);
        for app in &scenario.apps {
            for version in [Version::V1_0, Version::V1_3] {
                let (file, scenario) = (file.clone(), scenario.clone());
                runs.push(Run { file, scenario, version, app: *app });
            }
        }
    }
    runs
}

/// All scenario files, in order of their names.
fn scenarios() -> Vec<(String, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder of scenarios")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("a readable file");
            let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, scenario)
        })
        .collect()
}
