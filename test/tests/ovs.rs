//! The scenarios on real switches, in both versions: Open vSwitch, or with `UMLAUT_GROUND=mininet`
//! Mininet. Runs where `UMLAUT_OVS` is set, as `test/on-open-vswitch` and `test/on-mininet` do;
//! arguments choose scenarios by name.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use umlaut_openflow::Version;
use umlaut_testbed::lab::LabName;
use umlaut_testbed::mininet::{self, Mininet};
use umlaut_testbed::ovs::{self, OpenVSwitch, Site};
use umlaut_testbed::scenario::{App, Scenario, StreamCount, run_on};

/// Bridges, namespaces and interfaces begin with this and a `-`, unless `UMLAUT_PREFIX` is set.
const PREFIX: &str = "uma";
const LISTEN: &str = "26664";

fn main() -> ExitCode {
    let required = std::env::var("UMLAUT_OVS").ok();
    let Some(required) = required else {
        println!("Open vSwitch scenarios are run by test/on-open-vswitch");
        return ExitCode::SUCCESS;
    };
    let set = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let mininet = match set("UMLAUT_GROUND", "ovs").as_str() {
        "ovs" => false,
        "mininet" => true,
        other => {
            println!("no ground {other:?}: there are ovs and mininet");
            return ExitCode::FAILURE;
        }
    };
    let name: LabName = set("UMLAUT_PREFIX", PREFIX).parse().expect("UMLAUT_PREFIX is a name");
    let listen: u16 = set("UMLAUT_LISTEN", LISTEN).parse().expect("UMLAUT_LISTEN is a port");
    let unusable = if mininet { mininet::unusable() } else { ovs::unusable() };
    if let Some(why) = unusable {
        println!("this ground cannot be used here: {why}");
        return if required == "required" { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let binary = std::env::var_os("UMLAUT_BIN").map(PathBuf::from);
    let Some(binary) = binary else {
        println!("UMLAUT_BIN does not say where the umlaut command is");
        return ExitCode::FAILURE;
    };
    let site = match Site::named(&name) {
        Ok(site) => site,
        Err(why) => {
            println!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let whole = Instant::now();
    let (mut passed, mut failed) = (0, 0);
    for (file, scenario) in scenarios() {
        if !wanted.is_empty() && !wanted.iter().any(|part| file.contains(part.as_str())) {
            continue;
        }
        let apps = scenario.apps.iter();
        let both = [Version::V1_0, Version::V1_3];
        for (version, app) in apps.flat_map(|app| both.map(|version| (version, *app))) {
            let begun = Instant::now();
            let done = match mininet {
                true => run_on(&scenario, app, |_, text| {
                    Mininet::start(app, &site, version, text, &binary, listen)
                }),
                false => run_on(&scenario, app, |policy, text| {
                    let (site, binary) = (&site, &binary);
                    OpenVSwitch::start_app(app, site, version, policy, text, binary, listen)
                }),
            };
            let seconds = begun.elapsed().as_secs_f64();
            let file = match app {
                App::SliceableSwitch => file.clone(),
                app => format!("{file} on {}", app.name()),
            };
            match done {
                Ok(streams) => {
                    passed += 1;
                    println!("ok      {seconds:6.1} s  {version}  {file}: {}", scenario.name);
                    for StreamCount { name, sent, lost } in streams {
                        println!("{:18}{name}: {lost} of {sent} frames lost", "");
                    }
                }
                Err(failure) => {
                    failed += 1;
                    println!(
                        "FAILED  {seconds:6.1} s  {version}  {file}: {}\n{failure}",
                        scenario.name
                    );
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed in {:.0} s", whole.elapsed().as_secs_f64());
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
