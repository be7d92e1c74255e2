//! Walking a tree and noting every mistake with its place. Pure.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Excerpt, Label, Severity, nearest, shortened};
use crate::layout::Layout;
use crate::values;
use crate::yaml::{Hop, Node, Place, Position, Unreadable};

/// How many diagnostics are located and shown; the rest is counted.
const SHOWN: usize = 50;

/// A node and where it is.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    pub(super) node: &'a Node,
    pub(super) place: Place,
}

/// A mistake or doubt, not yet located.
#[derive(Clone, Debug)]
struct Finding {
    code: &'static str,
    severity: Severity,
    place: Place,
    other: Option<(Place, String)>,
    message: String,
    help: Option<String>,
}

/// Notes findings.
#[derive(Debug, Default)]
pub(super) struct Reader {
    findings: Vec<Finding>,
}

/// What is said of a place; add the other side of a conflict or a help to it.
pub(super) struct Note<'r>(&'r mut Finding);

impl Note<'_> {
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    pub(super) fn other(self, place: &Place, text: impl Into<String>) -> Self {
        self.0.other = Some((place.clone(), text.into()));
        self
    }
}

impl Reader {
    fn note(
        &mut self,
        severity: Severity,
        code: &'static str,
        place: &Place,
        message: String,
    ) -> Note<'_> {
        let finding =
            Finding { code, severity, place: place.clone(), other: None, message, help: None };
        self.findings.push(finding);
        let last = self.findings.len() - 1;
        Note(&mut self.findings[last])
    }

    pub(super) fn error(
        &mut self,
        code: &'static str,
        place: &Place,
        message: impl Into<String>,
    ) -> Note<'_> {
        self.note(Severity::Error, code, place, message.into())
    }

    pub(super) fn warn(
        &mut self,
        code: &'static str,
        place: &Place,
        message: impl Into<String>,
    ) -> Note<'_> {
        self.note(Severity::Warning, code, place, message.into())
    }

    pub(super) fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// What is said of the first finding.
    pub(super) fn first_message(self) -> String {
        self.findings.into_iter().next().map_or(String::new(), |finding| finding.message)
    }

    /// Not what was wanted.
    pub(super) fn wrong(&mut self, at: &At<'_>, wanted: &str) {
        let found = match at.node.scalar() {
            Some(text) => format!("{text:?} is not {wanted}"),
            None => format!("{} stands where {wanted} is wanted", at.node.kind()),
        };
        self.error("wrong-value", &at.place, found);
    }

    /// The entries of a map; repeated and non-text keys are mistakes. `None` if it is no map.
    pub(super) fn entries<'a>(
        &mut self,
        at: &At<'a>,
        wanted: &str,
    ) -> Option<Vec<(String, Place, At<'a>)>> {
        let Node::Map(entries) = at.node else {
            self.wrong(at, wanted);
            return None;
        };
        let mut seen: HashMap<String, Place> = HashMap::with_capacity(entries.len());
        let mut found = Vec::with_capacity(entries.len());
        for (index, (key, value)) in entries.iter().enumerate() {
            let key_place = at.place.then(Hop::Key(index as u32));
            let Some(name) = key.scalar() else {
                let message = format!("{} stands where a name is wanted", key.kind());
                self.error("wrong-key", &key_place, message);
                continue;
            };
            if let Some(first) = seen.get(&name) {
                let message = format!("{name} is given twice");
                self.error("repeated-key", &key_place, message).other(first, "first here");
                continue;
            }
            seen.insert(name.clone(), key_place.clone());
            let value = At { node: value, place: at.place.then(Hop::Value(index as u32)) };
            found.push((name, key_place, value));
        }
        Some(found)
    }

    /// The entries of a map with known keys only.
    pub(super) fn fields<'a>(
        &mut self,
        at: &At<'a>,
        wanted: &str,
        known: &[&'static str],
    ) -> Option<Fields<'a>> {
        let mut fields = Vec::new();
        for (name, key, value) in self.entries(at, wanted)? {
            match known.iter().find(|known| **known == name) {
                Some(name) => fields.push((*name, value)),
                None => {
                    let help = match nearest(&name, known.iter().copied()) {
                        Some(near) => format!("did you mean {near}?"),
                        None => format!("known here: {}", known.join(", ")),
                    };
                    self.error("unknown-key", &key, format!("unknown key {name}")).help(help);
                }
            }
        }
        Some(Fields(fields))
    }

    /// The items of a list. `None` if it is no list.
    pub(super) fn items<'a>(&mut self, at: &At<'a>, wanted: &str) -> Option<Vec<At<'a>>> {
        let Node::List(items) = at.node else {
            self.wrong(at, wanted);
            return None;
        };
        let place = |index: usize| at.place.then(Hop::Item(index as u32));
        let items = items.iter().enumerate();
        Some(items.map(|(index, node)| At { node, place: place(index) }).collect())
    }

    pub(super) fn bool(&mut self, at: &At<'_>) -> Option<bool> {
        match at.node {
            Node::Bool(value) => Some(*value),
            _ => {
                self.wrong(at, "true or false");
                None
            }
        }
    }

    pub(super) fn text(&mut self, at: &At<'_>, wanted: &str) -> Option<String> {
        let text = at.node.scalar();
        if text.is_none() {
            self.wrong(at, wanted);
        }
        text
    }

    /// A value that `read` takes, or a mistake.
    pub(super) fn value<T>(
        &mut self,
        at: &At<'_>,
        wanted: &str,
        read: impl FnOnce(&Node) -> Option<T>,
    ) -> Option<T> {
        let value = read(at.node);
        if value.is_none() {
            self.wrong(at, wanted);
        }
        value
    }

    /// A name as people give to slices, hosts and switches.
    pub(super) fn name(&mut self, name: &str, place: &Place, what: &str) -> bool {
        let good = values::is_name(name);
        if !good {
            let message = format!("{name:?} cannot be the name of a {what}");
            self.error("bad-name", place, message)
                .help("up to 63 letters, digits and - _ . :, no - first");
        }
        good
    }

    /// The findings as diagnostics, in the order of the file.
    pub(super) fn diagnose(self, file: &str, text: &str, layout: &Layout) -> Vec<Diagnostic> {
        if self.findings.is_empty() {
            return Vec::new();
        }
        let mut findings = self.findings;
        findings.sort_by(|a, b| a.place.cmp(&b.place));
        // Mistakes first where not all can be shown.
        let total = findings.len();
        if total > SHOWN {
            findings.sort_by_key(|finding| finding.severity);
            findings.truncate(SHOWN);
        }
        let lines: Vec<&str> = text.lines().collect();
        let mut diagnostics: Vec<Diagnostic> = findings
            .into_iter()
            .map(|finding| {
                let mut labels = Vec::new();
                let mut excerpts = Vec::new();
                let other = finding.other.into_iter();
                let places = std::iter::once((finding.place, String::new())).chain(other);
                for (place, text_there) in places {
                    if let Some(position) = layout.locate(text, &place) {
                        mark(&lines, position, text_there, &mut labels, &mut excerpts);
                    }
                }
                Diagnostic {
                    code: finding.code,
                    severity: finding.severity,
                    file: file.to_owned(),
                    message: shortened(finding.message),
                    labels,
                    help: finding.help,
                    excerpts,
                }
            })
            .collect();
        diagnostics.sort_by_key(|d| (d.labels.first().map(|l| (l.line, l.column)), d.code));
        if total > SHOWN {
            diagnostics.push(Diagnostic {
                code: "more",
                severity: Severity::Error,
                file: file.to_owned(),
                message: format!("{} more mistakes or warnings", total - SHOWN),
                labels: Vec::new(),
                help: None,
                excerpts: Vec::new(),
            });
        }
        diagnostics
    }
}

/// The diagnostic of a text that is not YAML.
pub(super) fn unreadable(file: &str, text: &str, error: Unreadable) -> Diagnostic {
    let lines: Vec<&str> = text.lines().collect();
    let (mut labels, mut excerpts) = (Vec::new(), Vec::new());
    if let Some(position) = error.at {
        mark(&lines, position, String::new(), &mut labels, &mut excerpts);
    }
    Diagnostic {
        code: "not-yaml",
        severity: Severity::Error,
        file: file.to_owned(),
        message: shortened(error.message),
        labels,
        help: None,
        excerpts,
    }
}

fn mark(
    lines: &[&str],
    position: Position,
    text: String,
    labels: &mut Vec<Label>,
    excerpts: &mut Vec<Excerpt>,
) {
    let line = lines.get(position.line - 1).copied().unwrap_or("");
    let (at, _) = line.char_indices().nth(position.column - 1).unwrap_or((line.len(), ' '));
    let length = token(&line[at..]);
    labels.push(Label { line: position.line, column: position.column, length, text });
    if !excerpts.iter().any(|excerpt| excerpt.has(position.line, position.column)) {
        excerpts.push(Excerpt::of(position.line, line, position.column));
    }
}

/// How much of the rest of a line a mark covers: a bracketed value, a quoted text, a word.
fn token(rest: &str) -> usize {
    let count = |end: usize| rest[..end].chars().count().max(1);
    match rest.chars().next() {
        Some('{' | '[') => {
            let mut depth = 0;
            for (at, c) in rest.char_indices() {
                match c {
                    '{' | '[' => depth += 1,
                    '}' | ']' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return count(at + 1);
                }
            }
            count(rest.trim_end().len())
        }
        Some(quote @ ('"' | '\'')) => match rest[1..].find(quote) {
            Some(end) => count(end + 2),
            None => count(rest.len()),
        },
        _ => {
            let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
            let end = rest[..end].find(": ").unwrap_or(end);
            let end = rest[..end].find(" #").unwrap_or(end);
            count(rest[..end].trim_end().trim_end_matches(':').len())
        }
    }
}

/// The known entries of a map.
#[derive(Debug)]
pub(super) struct Fields<'a>(Vec<(&'static str, At<'a>)>);

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&At<'a>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, at)| at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &At<'a>)> {
        self.0.iter().map(|(name, at)| (*name, at))
    }
}
