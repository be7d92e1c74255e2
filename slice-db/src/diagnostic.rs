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
    /// The lines that the labels speak of, for rendering.
    #[serde(skip)]
    pub(crate) excerpts: Vec<Excerpt>,
}

/// Characters of a line that are shown before a label, where not all of the line is.
const SHOWN_BEFORE: usize = 40;
/// Characters of a line that are shown at most.
const SHOWN: usize = 1000;
/// Characters of a message that quotes the file.
const MESSAGE: usize = 500;
/// Where something is left out.
const LEFT_OUT: &str = "…";
/// In the place of a file's name while the renderer works: of private use, so that no file has it.
const STAND_IN: char = '\u{e000}';

/// A line of the file, or the part of a long one that a label speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Excerpt {
    /// Its number, from 1.
    pub(crate) line: usize,
    /// How many characters of the line are left out before it.
    before: usize,
    text: String,
}

impl Excerpt {
    /// What is shown of a line for a label in this column, from 1.
    pub(crate) fn of(line: usize, text: &str, column: usize) -> Excerpt {
        if text.chars().nth(SHOWN).is_none() {
            return Excerpt { line, before: 0, text: text.to_owned() };
        }
        let before = (column - 1).saturating_sub(SHOWN_BEFORE);
        let rest = &text[byte_at(text, before)..];
        let end = byte_at(rest, SHOWN);
        let behind = if end < rest.len() { LEFT_OUT } else { "" };
        Excerpt { line, before, text: format!("{}{behind}", &rest[..end]) }
    }

    /// Whether a label is in it.
    pub(crate) fn has(&self, line: usize, column: usize) -> bool {
        self.line == line
            && (self.before..=self.before + self.text.chars().count()).contains(&(column - 1))
    }
}

/// A message that quotes something long, with its middle left out.
pub(crate) fn shortened(message: String) -> String {
    let Some((cut, _)) = message.char_indices().nth(MESSAGE) else { return message };
    let tail = message.char_indices().rev().nth(MESSAGE / 5).map_or(cut, |(at, _)| at.max(cut));
    let head = byte_at(&message, MESSAGE * 4 / 5);
    format!("{} {LEFT_OUT} {}", &message[..head], &message[tail..])
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
        let mut places = Vec::new();
        for (index, label) in self.labels.iter().enumerate() {
            let found = self.excerpts.iter().find(|excerpt| excerpt.has(label.line, label.column));
            let Some(Excerpt { before, text, .. }) = found else { continue };
            let column = label.column - 1 - before;
            let start = byte_at(text, column);
            let end = byte_at(text, (column + label.length).min(SHOWN)).max(start);
            let kind = match index {
                0 => AnnotationKind::Primary,
                _ => AnnotationKind::Context,
            };
            let mut mark = kind.span(start..end);
            if !label.text.is_empty() {
                mark = mark.label(label.text.as_str());
            }
            let path = match before {
                0 => self.file.clone(),
                // The renderer counts columns in what it is given.
                _ => {
                    let stand_in = format!("{STAND_IN}{index}");
                    let shown = format!("{stand_in}:{}:{}", label.line, column + 1);
                    let place = format!("{}:{}:{}", self.file, label.line, label.column);
                    places.push((shown, place));
                    stand_in
                }
            };
            group = group.element(
                Snippet::source(text.as_str()).line_start(label.line).path(path).annotation(mark),
            );
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let mut text = renderer.render(&[group]).to_string();
        for (shown, place) in places {
            text = text.replacen(&shown, &place, 1);
        }
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
    fn of_a_long_line_only_a_part_is_shown_and_its_place_stays_right() {
        let item = "{port: 0x1/1}, ";
        let head = "{umlaut: 1, slices: {a: {members: [";
        let text = format!("{head}{}]}}}}}}\n", item.repeat(5_000));
        let mistakes = crate::Policy::parse("long.yaml", &text).unwrap_err();
        for (index, mistake) in mistakes.iter().take(20).enumerate() {
            let column = head.len() + (index + 1) * item.len() + 1;
            let told = mistake.render(false);
            assert!(told.contains(&format!("--> long.yaml:1:{column}\n")), "{told}");
            assert!(told.contains(&format!("::: long.yaml:1:{}\n", head.len() + 1)), "{told}");
            assert!(told.contains("^^^^^^^^^^^^^\n") && told.len() < 2000, "{told}");
            assert!(mistake.excerpts.iter().all(|excerpt| excerpt.text.len() < 1100));
        }
    }

    #[test]
    fn a_message_that_quotes_something_endless_has_an_end() {
        let text = format!("umlaut: 1\nslices: {{}}\ncases: [{}ü]\n", "ä ".repeat(1_000_000));
        let mistakes = crate::Policy::parse("long.yaml", &text).unwrap_err();
        let told = mistakes[0].render(false);
        assert!(told.starts_with("error[unknown-sentence]: \"ä ä"), "{told}");
        assert!(told.contains("ü\" is not a case\n --> long.yaml:3:9\n"), "{told}");
        assert!(mistakes.iter().all(|mistake| mistake.render(true).len() < 4000), "{told}");
        let broken = crate::Policy::parse("long.yaml", &"[".repeat(1_000_000)).unwrap_err();
        assert!(broken[0].render(false).contains("long.yaml:1:65\n"), "{broken:?}");
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let known = ["members", "description", "restrict_hosts"];
        assert_eq!(nearest("membres", known), Some("members"));
        assert_eq!(nearest("restrict_host", known), Some("restrict_hosts"));
        assert_eq!(nearest("colour", known), None);
    }
}
