//! Where a test on Open vSwitch takes place: under the name of a lab that nobody else has, with its
//! lock, its mark and its directory. Runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::fail;
use crate::lab::{Claim, LabName, labs_found, sweep};
use crate::scenario::GroundError;

/// How many tests take place at once under the names of [`Site::free`].
const SITES: usize = 16;

/// A name, and whether what takes place there is to end. Dropped: what is left under it is removed.
#[derive(Debug)]
pub struct Site {
    claim: Claim,
    ending: AtomicBool,
}

impl Site {
    /// The first of the names `umt0` to `umt15` that nobody has. What tests that were killed have left
    /// under any of them is removed.
    ///
    /// # Errors
    /// All are taken; something cannot be removed.
    pub fn free() -> Result<Arc<Site>, GroundError> {
        let found = labs_found();
        let mut site = None;
        for number in 0..SITES {
            let lab = format!("umt{number}").parse::<LabName>();
            let lab = lab.map_err(|error| GroundError(error.to_string()))?;
            let is_used = found.contains(&lab) || Claim::directory_of(&lab).exists();
            if site.is_some() && !is_used {
                continue;
            }
            let Some(claim) = Claim::take(&lab, Duration::ZERO)? else { continue };
            if site.is_none() {
                sweep(&claim)?;
                site = Some(claim);
            } else {
                // What cannot be removed is in nobody's way but who takes that name.
                let _ = sweep(&claim);
            }
        }
        match site {
            Some(claim) => Ok(Site::new(claim)),
            None => fail(format!(
                "{SITES} tests on Open vSwitch run already (umt0 to umt{}), and no more can",
                SITES - 1
            )),
        }
    }

    /// The site of this name. What a test that was killed has left there is removed.
    ///
    /// # Errors
    /// Another process has the name; something cannot be removed.
    pub fn named(lab: &LabName) -> Result<Arc<Site>, GroundError> {
        let Some(claim) = Claim::take(lab, Duration::ZERO)? else {
            return fail(format!("another process has the name {lab} on Open vSwitch"));
        };
        sweep(&claim)?;
        Ok(Site::new(claim))
    }

    fn new(claim: Claim) -> Arc<Site> {
        Arc::new(Site { claim, ending: AtomicBool::new(false) })
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Ends what takes place here: nothing is begun or waited for any more. May be called anywhere.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// It is to end.
    pub(crate) fn check(&self) -> Result<(), GroundError> {
        match self.ending.load(Ordering::Acquire) {
            true => fail("interrupted"),
            false => Ok(()),
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Err(problem) = sweep(&self.claim) {
            eprintln!("umlaut: {problem}");
        }
    }
}
