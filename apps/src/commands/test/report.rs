//! What came out of cases: for people, as JUnit XML, as JSON. Pure.

use std::fmt::Write;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event as XmlEvent};
use serde::Serialize;
use umlaut_slice_db::{Diagnostic, Explanation, Wrong};

/// What came of a case.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It holds.
    Holds,
    /// Something else happens.
    Wrong(Wrong),
    /// It cannot be tried where it was to be tried.
    #[cfg_attr(not(feature = "lab"), expect(dead_code))]
    NotTried(String),
}

/// One case.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// Its line in the file, from 1.
    pub(super) line: usize,
    /// What it says.
    pub(super) name: String,
    /// How long it took.
    pub(super) seconds: f64,
    /// What came of it.
    pub(super) verdict: Verdict,
}

impl Outcome {
    fn wrong(&self) -> Option<&Wrong> {
        match &self.verdict {
            Verdict::Wrong(wrong) => Some(wrong),
            Verdict::Holds | Verdict::NotTried(_) => None,
        }
    }

    fn not_tried(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::NotTried(why) => Some(why),
            Verdict::Holds | Verdict::Wrong(_) => None,
        }
    }
}

/// Why a file could not be tested.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Mistake {
    /// The line that is wrong, from 1; `None`: the whole file is.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// In one line, with its place.
    what: String,
    /// For people, in several.
    #[serde(skip)]
    whole: String,
}

impl Mistake {
    /// Of a whole file, or in a line of it.
    pub(super) fn new(line: Option<usize>, what: String) -> Mistake {
        Mistake { line, whole: what.clone(), what }
    }
}

impl From<&Diagnostic> for Mistake {
    fn from(told: &Diagnostic) -> Mistake {
        Mistake { line: told.line(), what: told.to_string(), whole: told.render(false) }
    }
}

#[derive(Clone, Debug)]
struct Suite {
    file: String,
    outcomes: Vec<Outcome>,
    /// None, or there is nothing else to tell of it.
    mistakes: Vec<Mistake>,
}

/// The outcomes of all files.
#[derive(Clone, Debug)]
pub(super) struct Report {
    suites: Vec<Suite>,
    /// The text by which cases were chosen.
    only: Option<String>,
}

#[derive(Serialize)]
struct JsonCase<'a> {
    file: &'a str,
    line: usize,
    case: &'a str,
    passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_tried: Option<&'a str>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<&'a Explanation>,
}

#[derive(Serialize)]
struct JsonError<'a> {
    file: &'a str,
    #[serde(flatten)]
    mistake: &'a Mistake,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    passed: usize,
    failed: usize,
    not_tried: usize,
    errors: Vec<JsonError<'a>>,
    cases: Vec<JsonCase<'a>>,
}

impl Report {
    /// Of no file yet; `only`: the text by which cases are chosen.
    pub(super) fn new(only: Option<String>) -> Report {
        Report { suites: Vec::new(), only }
    }

    pub(super) fn begin(&mut self, file: &str) {
        let (outcomes, mistakes) = (Vec::new(), Vec::new());
        self.suites.push(Suite { file: file.to_owned(), outcomes, mistakes });
    }

    /// A file whose cases cannot be tried.
    pub(super) fn unreadable(&mut self, file: &str, mistakes: Vec<Mistake>) {
        self.suites.retain(|suite| suite.file != file);
        self.suites.push(Suite { file: file.to_owned(), outcomes: Vec::new(), mistakes });
    }

    /// Whether there are such files.
    pub(super) fn is_broken(&self) -> bool {
        self.suites.iter().any(|suite| !suite.mistakes.is_empty())
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        if let Some(suite) = self.suites.last_mut() {
            suite.outcomes.push(outcome);
        }
    }

    fn all(&self) -> impl Iterator<Item = (&str, &Outcome)> {
        self.suites
            .iter()
            .flat_map(|suite| suite.outcomes.iter().map(|outcome| (suite.file.as_str(), outcome)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    pub(super) fn failures(&self) -> usize {
        self.all().filter(|(_, outcome)| outcome.wrong().is_some()).count()
    }

    /// For people: what failed and why, then a line for each file.
    pub(super) fn text(&self, verbose: bool) -> String {
        let mut out = String::new();
        for (file, outcome) in self.all() {
            let Outcome { line, name, .. } = outcome;
            match &outcome.verdict {
                Verdict::Holds if verbose => {
                    line_to(&mut out, format_args!("ok     {file}:{line}: {name}"));
                }
                Verdict::Holds => {}
                Verdict::NotTried(why) => {
                    line_to(&mut out, format_args!("--     {file}:{line}: {name}: {why}"));
                }
                Verdict::Wrong(wrong) => {
                    line_to(&mut out, format_args!("FAILED {file}:{line}: {name}"));
                    for line in details(wrong).lines() {
                        line_to(&mut out, format_args!("       {line}"));
                    }
                }
            }
        }
        for suite in &self.suites {
            let failed = suite.outcomes.iter().filter(|outcome| outcome.wrong().is_some()).count();
            let all = suite.outcomes.len();
            let left =
                suite.outcomes.iter().filter(|outcome| outcome.not_tried().is_some()).count();
            let Suite { file, .. } = suite;
            let rest = match left {
                0 => String::new(),
                left => format!(", {left} not tried"),
            };
            match (all, failed) {
                (0, _) if let Some(part) = &self.only => {
                    line_to(&mut out, format_args!("{file}: no case has {part:?} in its name"))
                }
                (0, _) => line_to(&mut out, format_args!("{file}: no cases")),
                (_, 0) => {
                    line_to(&mut out, format_args!("{file}: {} cases hold{rest}", all - left))
                }
                _ => {
                    line_to(&mut out, format_args!("{file}: {failed} of {all} cases failed{rest}"))
                }
            }
        }
        out
    }

    /// JUnit's XML as continuous integration reads it: a suite for each file.
    pub(super) fn junit(&self) -> String {
        let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
        let written = self.write_junit(&mut xml);
        // Writing to memory cannot fail, and what is written is text.
        written.ok().and_then(|()| String::from_utf8(xml.into_inner()).ok()).unwrap_or_default()
    }

    fn write_junit(&self, xml: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        xml.write_event(XmlEvent::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let all: Vec<&Outcome> = self.all().map(|(_, outcome)| outcome).collect();
        let broken = self.suites.iter().filter(|suite| !suite.mistakes.is_empty()).count();
        let sums = Sums::of(all.iter().copied(), broken).attributes();
        let root = xml.create_element("testsuites");
        root.with_attributes(pairs(&sums)).write_inner_content(|xml| {
            for suite in &self.suites {
                let file = printable(&suite.file);
                let mut attributes = vec![("name", file.clone())];
                let broken = usize::from(!suite.mistakes.is_empty());
                attributes.extend(Sums::of(suite.outcomes.iter(), broken).attributes());
                let element = xml.create_element("testsuite");
                element.with_attributes(pairs(&attributes)).write_inner_content(|xml| {
                    if broken > 0 {
                        write_error(xml, &file, &suite.mistakes)?;
                    }
                    suite.outcomes.iter().try_for_each(|outcome| write_case(xml, &file, outcome))
                })?;
            }
            Ok(())
        })?;
        xml.get_mut().push(b'\n');
        Ok(())
    }

    pub(super) fn json(&self) -> String {
        let failed = self.failures();
        let cases: Vec<JsonCase<'_>> = self
            .all()
            .map(|(file, outcome)| JsonCase {
                file,
                line: outcome.line,
                case: &outcome.name,
                passed: matches!(outcome.verdict, Verdict::Holds),
                not_tried: outcome.not_tried(),
                seconds: outcome.seconds,
                instead: outcome.wrong().map(|wrong| wrong.what.as_str()),
                explanation: outcome.wrong().and_then(|wrong| wrong.explanation.as_deref()),
            })
            .collect();
        let passed = cases.iter().filter(|case| case.passed).count();
        let not_tried = cases.len() - passed - failed;
        let errors = self.suites.iter().flat_map(|Suite { file, mistakes, .. }| {
            mistakes.iter().map(move |mistake| JsonError { file, mistake })
        });
        let errors = errors.collect();
        let report = JsonReport { passed, failed, not_tried, errors, cases };
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

/// What JUnit says of several cases together.
struct Sums {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
    seconds: f64,
}

impl Sums {
    /// `broken`: how many files could not be tested; each is a case of its own here.
    fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>, broken: usize) -> Sums {
        let none = Sums { tests: broken, failures: 0, errors: broken, skipped: 0, seconds: 0.0 };
        outcomes.fold(none, |sums, outcome| Sums {
            tests: sums.tests + 1,
            failures: sums.failures + usize::from(outcome.wrong().is_some()),
            skipped: sums.skipped + usize::from(outcome.not_tried().is_some()),
            seconds: sums.seconds + outcome.seconds,
            ..sums
        })
    }

    fn attributes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("tests", self.tests.to_string()),
            ("failures", self.failures.to_string()),
            ("errors", self.errors.to_string()),
            ("skipped", self.skipped.to_string()),
            ("time", format!("{:.6}", self.seconds)),
        ]
    }
}

fn pairs<'a>(attributes: &'a [(&'static str, String)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    attributes.iter().map(|(name, value)| (*name, value.as_str()))
}

/// A file that could not be tested, as a case that says so.
fn write_error(xml: &mut Writer<Vec<u8>>, file: &str, mistakes: &[Mistake]) -> std::io::Result<()> {
    let line = mistakes.iter().find_map(|mistake| mistake.line).unwrap_or(1).to_string();
    let name = format!("{file} can be tested");
    let attributes = [("name", &*name), ("classname", file), ("file", file), ("line", &*line)];
    let whole: Vec<&str> = mistakes.iter().map(|mistake| mistake.whole.as_str()).collect();
    let whole = printable(&whole.join("\n\n"));
    let message = mistakes.first().map(|mistake| printable(&mistake.what)).unwrap_or_default();
    let element = xml.create_element("testcase").with_attributes(attributes);
    let written = element.write_inner_content(|xml| {
        let error = xml.create_element("error").with_attribute(("message", message.as_str()));
        error.write_text_content(BytesText::new(&whole)).map(|_| ())
    });
    written.map(|_| ())
}

fn write_case(xml: &mut Writer<Vec<u8>>, file: &str, outcome: &Outcome) -> std::io::Result<()> {
    let attributes = [
        ("name", printable(&outcome.name)),
        ("classname", file.to_owned()),
        ("file", file.to_owned()),
        ("line", outcome.line.to_string()),
        ("time", format!("{:.6}", outcome.seconds)),
    ];
    let element = xml.create_element("testcase").with_attributes(pairs(&attributes));
    let written = element.write_inner_content(|xml| {
        if let Some(why) = outcome.not_tried() {
            let why = printable(why);
            let skipped = xml.create_element("skipped").with_attribute(("message", why.as_str()));
            skipped.write_empty()?;
        }
        let Some(wrong) = outcome.wrong() else { return Ok(()) };
        let what = printable(&wrong.what);
        let failure = xml.create_element("failure").with_attribute(("message", what.as_str()));
        failure.write_text_content(BytesText::new(&printable(&details(wrong)))).map(|_| ())
    });
    written.map(|_| ())
}

/// Without the characters that no document may have (XML 1.0 §2.2).
fn printable(text: &str) -> String {
    let allowed = |c: char| !(c < ' ' && !"\t\n\r".contains(c) || "\u{fffe}\u{ffff}".contains(c));
    text.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}
