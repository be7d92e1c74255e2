//! Instructions per operation of the codec, counted by callgrind: they do not depend on the machine's
//! mood.
//!
//! `cargo bench -p umlaut-openflow --bench instructions` prints all of them, and needs valgrind. One
//! case for a profile: `valgrind --tool=callgrind target/release/deps/instructions-… run CASE COUNT`.

#[path = "support/mod.rs"]
mod support;

use std::process::{Command, Stdio};

use support::Case;

/// Two runs of these lengths, so that what starts and ends a run does not count.
const SHORT: u64 = 1_000;
const LONG: u64 = 11_000;

fn cases() -> Vec<Case> {
    let mut cases = support::decode_cases();
    cases.extend(support::packet_cases());
    cases.extend(support::encode_cases());
    cases
}

fn run(name: &str, count: u64) {
    let mut cases = cases();
    let (_, operation) = cases.iter_mut().find(|(case, _)| *case == name).expect("a case's name");
    (0..count).for_each(|_| operation());
}

/// Instructions of a whole run, as callgrind sums them up.
fn instructions(name: &str, count: u64) -> Option<u64> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", name, &count.to_string()])
        .stdout(Stdio::null())
        .output()
        .ok()?;
    let told = String::from_utf8(output.stderr).ok()?;
    told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [run_, name, count] if run_ == "run" => run(name, count.parse().expect("a count")),
        // A test run, or a build whose numbers mean nothing: every case works.
        args if !args.iter().any(|arg| arg == "--bench") || cfg!(debug_assertions) => {
            cases().iter().for_each(|(name, _)| run(name, 1));
        }
        args => {
            let wanted = args.iter().find(|arg| !arg.starts_with('-'));
            for (name, _) in cases() {
                if wanted.is_some_and(|part| !name.contains(part.as_str())) {
                    continue;
                }
                match (instructions(name, SHORT), instructions(name, LONG)) {
                    (Some(short), Some(long)) => {
                        println!("{:>6}  {name}", (long - short) / (LONG - SHORT));
                    }
                    _ => println!("     ?  {name}: valgrind did not count"),
                }
            }
        }
    }
}
