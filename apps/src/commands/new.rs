//! `umlaut new`: a crate with an application of one's own, and a test. Runtime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

const MAIN: &str = include_str!("../../templates/app/main.rs");
const TESTS: &str = include_str!("../../templates/app/tests.rs");

/// What the crate depends on, and where in a checkout of umlaut it is.
const DEPENDENCIES: [(&str, &str); 2] =
    [("umlaut-controller", "controller"), ("umlaut-openflow", "openflow")];
const DEV_DEPENDENCIES: [(&str, &str); 2] = [("umlaut", "apps"), ("umlaut-testbed", "test")];

/// Arguments of `umlaut new`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory to make; its last part is the name of the crate
    path: PathBuf,
    /// A checkout of umlaut to depend on [default: the one around the new crate or the one that this
    /// command was built from; without any, the version of this command]
    #[arg(long, value_name = "DIRECTORY")]
    umlaut: Option<PathBuf>,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let name = args.path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    if let Err(why) = check_name(&name) {
        eprintln!("umlaut new: {name:?} {why}");
        return Ok(ExitCode::from(2));
    }
    let source = match &args.umlaut {
        Some(given) => {
            anyhow::ensure!(is_checkout(given), "{}: no checkout of umlaut", given.display());
            Some(given.canonicalize()?)
        }
        None => find_checkout(&args.path),
    };
    // Fails if it is there: nothing is overwritten.
    if let Some(parent) = args.path.parent() {
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    fs::create_dir(&args.path).with_context(|| args.path.display().to_string())?;
    let src = args.path.join("src");
    fs::create_dir(&src)?;
    fs::write(args.path.join("Cargo.toml"), manifest(&name, source.as_deref()))?;
    fs::write(args.path.join(".gitignore"), "/target\n")?;
    fs::write(src.join("main.rs"), format!("{MAIN}\n#[cfg(test)]\nmod tests;\n"))?;
    fs::write(src.join("tests.rs"), TESTS)?;
    let path = args.path.display();
    println!("{path}: a learning switch. Try it:");
    println!("  cd {path}");
    println!("  cargo test   # on an emulated network");
    println!("  cargo run    # for switches that connect to port 6653");
    Ok(ExitCode::SUCCESS)
}

/// What cargo takes for the name of a program.
fn check_name(name: &str) -> Result<(), &'static str> {
    const TAKEN: [&str; 8] =
        ["test", "core", "std", "alloc", "build", "deps", "examples", "incremental"];
    const KEYWORDS: [&str; 16] = [
        "as", "async", "await", "crate", "dyn", "fn", "for", "if", "impl", "in", "let", "loop",
        "match", "mod", "move", "self",
    ];
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
        return Err(
            "is no name of a crate: a letter, then letters, digits, - and _, all lower case",
        );
    }
    let depended = DEPENDENCIES.iter().chain(&DEV_DEPENDENCIES).any(|(taken, _)| *taken == name);
    if TAKEN.contains(&name) || KEYWORDS.contains(&name) || depended {
        return Err("has a meaning of its own");
    }
    Ok(())
}

fn is_checkout(directory: &Path) -> bool {
    let parts = DEPENDENCIES.iter().chain(&DEV_DEPENDENCIES);
    parts.into_iter().all(|(name, part)| {
        let manifest = fs::read_to_string(directory.join(part).join("Cargo.toml"));
        manifest.is_ok_and(|text| text.contains(&format!("name = \"{name}\"")))
    })
}

/// The checkout around a path, or the one that this command was built from.
fn find_checkout(path: &Path) -> Option<PathBuf> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let absolute = std::path::absolute(path).ok()?;
    let around = absolute.ancestors().skip(1).chain(built_from);
    let found = around.into_iter().find(|directory| is_checkout(directory))?;
    found.canonicalize().ok()
}

fn manifest(name: &str, source: Option<&Path>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let line = |(package, part): &(&str, &str)| match source {
        Some(source) => {
            format!("{package} = {{ path = {:?} }}\n", source.join(part).display().to_string())
        }
        None => format!("{package} = \"{version}\"\n"),
    };
    let (dependencies, dev): (String, String) =
        (DEPENDENCIES.iter().map(line).collect(), DEV_DEPENDENCIES.iter().map(line).collect());
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         # A workspace of its own, wherever it lies.\n[workspace]\n\n\
         [dependencies]\ntracing-subscriber = \"0.3\"\n{dependencies}\n[dev-dependencies]\n{dev}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_cargo_takes() {
        for name in ["my-app", "a", "switch_2"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "My-App", "2switch", "-a", "my app", "ä", "test", "match", "umlaut"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn without_a_checkout_the_version_is_depended_on() {
        let manifest = manifest("my-app", None);
        let version = env!("CARGO_PKG_VERSION");
        assert!(manifest.contains(&format!("umlaut-controller = \"{version}\"")), "{manifest}");
        assert!(!is_checkout(Path::new("/")));
    }
}
