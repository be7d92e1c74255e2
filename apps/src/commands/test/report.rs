//! What came out of cases: for people, as JUnit XML, as JSON. Pure.

use std::fmt::Write;

use serde::Serialize;
use umlaut_slice_db::{Explanation, Wrong};

/// What became of one case.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// Its line in the file, from 1.
    pub(super) line: usize,
    /// What it says.
    pub(super) name: String,
    /// How long it took.
    pub(super) seconds: f64,
    /// What happens instead.
    pub(super) wrong: Option<Wrong>,
}

#[derive(Clone, Debug)]
struct Suite {
    file: String,
    outcomes: Vec<Outcome>,
}

/// The outcomes of all files.
#[derive(Clone, Debug, Default)]
pub(super) struct Report(Vec<Suite>);

#[derive(Serialize)]
struct JsonCase<'a> {
    file: &'a str,
    line: usize,
    case: &'a str,
    passed: bool,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<&'a Explanation>,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    passed: usize,
    failed: usize,
    cases: Vec<JsonCase<'a>>,
}

impl Report {
    pub(super) fn begin(&mut self, file: &str) {
        self.0.push(Suite { file: file.to_owned(), outcomes: Vec::new() });
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        if let Some(suite) = self.0.last_mut() {
            suite.outcomes.push(outcome);
        }
    }

    fn all(&self) -> impl Iterator<Item = (&str, &Outcome)> {
        self.0
            .iter()
            .flat_map(|suite| suite.outcomes.iter().map(|outcome| (suite.file.as_str(), outcome)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    pub(super) fn failures(&self) -> usize {
        self.all().filter(|(_, outcome)| outcome.wrong.is_some()).count()
    }

    /// For people: what failed and why, then a line for each file.
    pub(super) fn text(&self, verbose: bool) -> String {
        let mut out = String::new();
        for (file, outcome) in self.all() {
            let Outcome { line, name, .. } = outcome;
            match &outcome.wrong {
                None if verbose => line_to(&mut out, format_args!("ok     {file}:{line}: {name}")),
                None => {}
                Some(wrong) => {
                    line_to(&mut out, format_args!("FAILED {file}:{line}: {name}"));
                    for line in details(wrong).lines() {
                        line_to(&mut out, format_args!("       {line}"));
                    }
                }
            }
        }
        for suite in &self.0 {
            let failed = suite.outcomes.iter().filter(|outcome| outcome.wrong.is_some()).count();
            let all = suite.outcomes.len();
            let Suite { file, .. } = suite;
            match (all, failed) {
                (0, _) => line_to(&mut out, format_args!("{file}: no cases")),
                (_, 0) => line_to(&mut out, format_args!("{file}: {all} cases hold")),
                _ => line_to(&mut out, format_args!("{file}: {failed} of {all} cases failed")),
            }
        }
        out
    }

    /// JUnit's XML as continuous integration reads it: a suite for each file.
    pub(super) fn junit(&self) -> String {
        let seconds = |outcomes: &mut dyn Iterator<Item = &Outcome>| -> f64 {
            outcomes.map(|outcome| outcome.seconds).sum()
        };
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let (all, failed) = (self.all().count(), self.failures());
        let time = seconds(&mut self.all().map(|(_, outcome)| outcome));
        line_to(
            &mut out,
            format_args!("<testsuites tests=\"{all}\" failures=\"{failed}\" time=\"{time:.6}\">"),
        );
        for suite in &self.0 {
            let (file, all) = (escaped(&suite.file), suite.outcomes.len());
            let failed = suite.outcomes.iter().filter(|outcome| outcome.wrong.is_some()).count();
            let time = seconds(&mut suite.outcomes.iter());
            line_to(
                &mut out,
                format_args!(
                    "  <testsuite name=\"{file}\" tests=\"{all}\" failures=\"{failed}\" errors=\"0\" \
                     skipped=\"0\" time=\"{time:.6}\">"
                ),
            );
            for outcome in &suite.outcomes {
                let Outcome { line, seconds, .. } = outcome;
                let name = escaped(&outcome.name);
                let head = format!(
                    "    <testcase name=\"{name}\" classname=\"{file}\" file=\"{file}\" \
                     line=\"{line}\" time=\"{seconds:.6}\""
                );
                match &outcome.wrong {
                    None => line_to(&mut out, format_args!("{head}/>")),
                    Some(wrong) => {
                        let (what, details) = (escaped(&wrong.what), escaped(&details(wrong)));
                        line_to(&mut out, format_args!("{head}>"));
                        line_to(
                            &mut out,
                            format_args!("      <failure message=\"{what}\">{details}</failure>"),
                        );
                        line_to(&mut out, format_args!("    </testcase>"));
                    }
                }
            }
            line_to(&mut out, format_args!("  </testsuite>"));
        }
        line_to(&mut out, format_args!("</testsuites>"));
        out
    }

    pub(super) fn json(&self) -> String {
        let failed = self.failures();
        let cases: Vec<JsonCase<'_>> = self
            .all()
            .map(|(file, outcome)| JsonCase {
                file,
                line: outcome.line,
                case: &outcome.name,
                passed: outcome.wrong.is_none(),
                seconds: outcome.seconds,
                instead: outcome.wrong.as_ref().map(|wrong| wrong.what.as_str()),
                explanation: outcome.wrong.as_ref().and_then(|wrong| wrong.explanation.as_deref()),
            })
            .collect();
        let report = JsonReport { passed: cases.len() - failed, failed, cases };
        // Names, numbers and texts only: it can always be written.
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        format!("{text}\n")
    }
}

fn details(wrong: &Wrong) -> String {
    match &wrong.explanation {
        Some(told) => format!("{}\n{told}", wrong.what),
        None => wrong.what.clone(),
    }
}

fn line_to(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

/// For XML 1.0 §2.2 and §2.4: markup escaped, characters that no document may have replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push(c),
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
