//! What is wrong with a policy, as a compiler would say it. Pure.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// It can, but surely something else was meant.
    Warning,
}

/// A place in the file that a diagnostic speaks of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Label {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Length in characters, at least 1.
    pub length: usize,
    /// What is there; empty at the main place.
    pub text: String,
}

/// A mistake or a doubt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Diagnostic {
    /// A stable name of the kind: `unknown-key`, `mac-in-two-slices`.
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// What is wrong.
    pub message: String,
    /// Where: the main place first, then the other side of a conflict. Empty if it concerns the
    /// whole file.
    pub labels: Vec<Label>,
    /// How to mend it.
    pub help: Option<String>,
    /// The lines that the labels speak of, for rendering: number of the first one and text.
    #[serde(skip)]
    pub(crate) excerpts: Vec<(usize, String)>,
}

impl Diagnostic {
    /// The line of the main place.
    pub fn line(&self) -> Option<usize> {
        self.labels.first().map(|label| label.line)
    }

    /// With excerpt, marks and help, for people; with colours if asked for.
    pub fn render(&self, colours: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(self.message.as_str()).id(self.code));
        for (index, label) in self.labels.iter().enumerate() {
            let Some((_, text)) = self.excerpts.iter().find(|(line, _)| *line == label.line) else {
                continue;
            };
            let start = byte_at(text, label.column - 1);
            let end = byte_at(text, label.column - 1 + label.length).max(start);
            let kind = match index {
                0 => AnnotationKind::Primary,
                _ => AnnotationKind::Context,
            };
            let mut mark = kind.span(start..end);
            if !label.text.is_empty() {
                mark = mark.label(label.text.as_str());
            }
            group = group.element(
                Snippet::source(text.as_str())
                    .line_start(label.line)
                    .path(self.file.as_str())
                    .annotation(mark),
            );
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let mut text = renderer.render(&[group]).to_string();
        if self.labels.is_empty() {
            text.push_str(&format!("\n --> {}", self.file));
        }
        text
    }
}

fn byte_at(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

impl fmt::Display for Diagnostic {
    /// One line: `file:line:column: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(label) = self.labels.first() {
            write!(f, ":{}:{}", label.line, label.column)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// The name among `known` that is nearest to `given`, if it is near at all.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(given, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Optimal string alignment distance.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 16 || a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let swap = usize::from(a[i - 1] != b[j - 1]);
                let mut best =
                    (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + swap);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let known = ["members", "description", "restrict_hosts"];
        assert_eq!(nearest("membres", known), Some("members"));
        assert_eq!(nearest("restrict_host", known), Some("restrict_hosts"));
        assert_eq!(nearest("colour", known), None);
    }
}
