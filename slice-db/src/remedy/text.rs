//! Changing a policy file in place: comments, order and layout of the rest stay. Pure.
//!
//! Positions come from the parser. Every change is checked: the new text, read again, must be the old
//! tree with exactly this change, or the change is refused.

use crate::yaml::{Hop, Node, Place, load, locate};

/// A text that cannot be changed like this: it is written in a way that is not understood here, such
/// as by anchors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the file is written in a way that cannot be edited here")]
pub struct NotEditable;

type Done = Result<(), NotEditable>;

/// A text and the tree that it says.
#[derive(Clone, Debug)]
pub(super) struct Document {
    text: String,
    tree: Node,
}

impl Document {
    pub(super) fn read(text: &str) -> Result<Document, NotEditable> {
        let tree = load(text).map_err(|_| NotEditable)?;
        Ok(Document { text: text.to_owned(), tree })
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// The node at a place.
    pub(super) fn node(&self, place: &Place) -> Option<&Node> {
        place.0.iter().try_fold(&self.tree, |node, hop| match (node, hop) {
            (Node::Map(entries), Hop::Value(index)) => Some(&entries.get(*index as usize)?.1),
            (Node::List(items), Hop::Item(index)) => items.get(*index as usize),
            _ => None,
        })
    }

    /// The place of the value under a key of a map.
    pub(super) fn entry(&self, map: &Place, key: &str) -> Option<Place> {
        let Node::Map(entries) = self.node(map)? else { return None };
        let index = entries.iter().position(|(name, _)| name.scalar().as_deref() == Some(key))?;
        Some(map.then(Hop::Value(index as u32)))
    }

    /// Puts an item into a list, before the one with this index or behind all.
    pub(super) fn insert(&mut self, list: &Place, before: Option<usize>, item: &str) -> Done {
        let Some(Node::List(items)) = self.node(list) else { return Err(NotEditable) };
        let count = items.len();
        let before = before.filter(|index| *index < count);
        let value = load(item).map_err(|_| NotEditable)?;
        let start = self.start(list)?;
        let mut text = self.text.clone();
        match (self.is_flow(start), before, count) {
            (true, _, 0) => text.insert_str(start + 1, item),
            (true, Some(index), _) => {
                let at = self.start(&list.then(Hop::Item(index as u32)))?;
                text.insert_str(at, &format!("{item}, "));
            }
            (true, None, _) => {
                let at = self.end(&list.then(Hop::Item(count as u32 - 1)), true)?;
                text.insert_str(at, &format!(", {item}"));
            }
            (false, Some(index), _) => {
                let at = self.start(&list.then(Hop::Item(index as u32)))?;
                let (line, indent) = self.dash(at)?;
                text.insert_str(line, &format!("{indent}- {item}\n"));
            }
            (false, None, _) => {
                let first = self.start(&list.then(Hop::Item(0)))?;
                let (_, indent) = self.dash(first)?;
                let end = self.end(list, false)?;
                insert_line(&mut text, end, &format!("{indent}- {item}"));
            }
        }
        let at = before.unwrap_or(count);
        self.replace(text, list, |node| {
            if let Node::List(items) = node {
                items.insert(at, value);
            }
        })
    }

    /// Takes an item out of a list.
    pub(super) fn remove(&mut self, list: &Place, index: usize) -> Done {
        let Some(Node::List(items)) = self.node(list) else { return Err(NotEditable) };
        let count = items.len();
        let item = |index: usize| list.then(Hop::Item(index as u32));
        let start = self.start(&item(index))?;
        let mut text = self.text.clone();
        if self.is_flow(self.start(list)?) {
            let (from, to) = match (index + 1 < count, index) {
                (true, _) => (start, self.start(&item(index + 1))?),
                (false, 0) => (start, self.end(&item(index), true)?),
                (false, _) => (self.end(&item(index - 1), true)?, self.end(&item(index), true)?),
            };
            text.replace_range(from..to, "");
        } else {
            let (line, indent) = self.dash(start)?;
            let end = self.end(&item(index), false)?;
            let end = self.text[end..].find('\n').map_or(self.text.len(), |at| end + at + 1);
            // A list must stay one.
            let rest = if count == 1 { format!("{indent}  []\n") } else { String::new() };
            text.replace_range(line..end, &rest);
        }
        self.replace(text, list, |node| {
            if let Node::List(items) = node {
                items.remove(index);
            }
        })
    }

    /// Gives a map another entry, behind all.
    pub(super) fn add_entry(&mut self, map: &Place, key: &str, value: &str) -> Done {
        let Some(Node::Map(entries)) = self.node(map) else { return Err(NotEditable) };
        let last = entries.len().checked_sub(1).map(|last| map.then(Hop::Value(last as u32)));
        let said = load(value).map_err(|_| NotEditable)?;
        let start = self.start(map)?;
        let mut text = self.text.clone();
        match (self.is_flow(start), last) {
            (true, None) => text.insert_str(start + 1, &format!("{key}: {value}")),
            (true, Some(last)) => {
                text.insert_str(self.end(&last, true)?, &format!(", {key}: {value}"));
            }
            (false, Some(_)) => {
                let line = line_start(&self.text, start);
                let indent = " ".repeat(self.text[line..start].chars().count());
                insert_line(&mut text, self.end(map, false)?, &format!("{indent}{key}: {value}"));
            }
            (false, None) => return Err(NotEditable),
        }
        self.replace(text, map, |node| {
            if let Node::Map(entries) = node {
                entries.push((Node::Text(key.to_owned()), said));
            }
        })
    }

    /// Gives a place another scalar.
    pub(super) fn set(&mut self, place: &Place, value: &str) -> Done {
        let said = load(value).map_err(|_| NotEditable)?;
        let in_flow = self.in_flow(place)?;
        let (start, end) = (self.start(place)?, self.end(place, in_flow)?);
        let mut text = self.text.clone();
        text.replace_range(start..end, value);
        self.replace(text, place, |node| *node = said)
    }

    /// Takes a new text, if it says what the change is to make of the tree.
    fn replace(&mut self, text: String, at: &Place, change: impl FnOnce(&mut Node)) -> Done {
        let mut tree = self.tree.clone();
        let node = at.0.iter().try_fold(&mut tree, |node, hop| match (node, hop) {
            (Node::Map(entries), Hop::Value(index)) => {
                Some(&mut entries.get_mut(*index as usize)?.1)
            }
            (Node::List(items), Hop::Item(index)) => items.get_mut(*index as usize),
            _ => None,
        });
        change(node.ok_or(NotEditable)?);
        if load(&text).ok().as_ref() != Some(&tree) {
            return Err(NotEditable);
        }
        (self.text, self.tree) = (text, tree);
        Ok(())
    }

    /// The byte where a node begins.
    fn start(&self, place: &Place) -> Result<usize, NotEditable> {
        let position = locate(&self.text, place).ok_or(NotEditable)?;
        let mut line_at = 0;
        for _ in 1..position.line {
            line_at += self.text[line_at..].find('\n').ok_or(NotEditable)? + 1;
        }
        let line = &self.text[line_at..];
        let mut characters = line.char_indices().map(|(at, _)| at).chain([line.len()]);
        characters.nth(position.column - 1).map(|at| line_at + at).ok_or(NotEditable)
    }

    fn is_flow(&self, start: usize) -> bool {
        self.text[start..].starts_with(['[', '{'])
    }

    /// Whether a node stands within brackets.
    fn in_flow(&self, place: &Place) -> Result<bool, NotEditable> {
        let Some((_, outside)) = place.0.split_last() else { return Ok(false) };
        Ok(self.is_flow(self.start(&Place(outside.to_vec()))?))
    }

    /// The byte behind a node. Of a node in many lines: behind the last of what is in it.
    fn end(&self, place: &Place, in_flow: bool) -> Result<usize, NotEditable> {
        let start = self.start(place)?;
        if self.is_flow(start) {
            return bracket(&self.text, start).ok_or(NotEditable);
        }
        match self.node(place) {
            Some(Node::Map(entries)) if !entries.is_empty() => {
                self.end(&place.then(Hop::Value(entries.len() as u32 - 1)), false)
            }
            Some(Node::List(items)) if !items.is_empty() => {
                self.end(&place.then(Hop::Item(items.len() as u32 - 1)), false)
            }
            _ => Ok(scalar(&self.text, start, in_flow)),
        }
    }

    /// Of a list item at a byte: where its line begins, and what stands before its dash.
    fn dash(&self, item: usize) -> Result<(usize, String), NotEditable> {
        let line = line_start(&self.text, item);
        let before = self.text[line..item].trim_end_matches(' ');
        let indent = before.strip_suffix('-').ok_or(NotEditable)?;
        match indent.trim().is_empty() {
            true => Ok((line, indent.to_owned())),
            false => Err(NotEditable),
        }
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Adds a line behind the one that this byte is in.
fn insert_line(text: &mut String, at: usize, line: &str) {
    match text[at..].find('\n') {
        Some(newline) => text.insert_str(at + newline + 1, &format!("{line}\n")),
        None => text.push_str(&format!("\n{line}\n")),
    }
}

/// The byte behind the bracket that closes the one at `start`; quoted texts and comments left out.
fn bracket(text: &str, start: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = start;
    let mut before = ' ';
    while let Some(c) = text[at..].chars().next() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            '"' | '\'' if before.is_whitespace() || "[{,:".contains(before) => {
                at = quoted(text, at)?;
                before = c;
                continue;
            }
            '#' if before.is_whitespace() => {
                at += text[at..].find('\n')?;
                before = '\n';
                continue;
            }
            _ => {}
        }
        before = c;
        at += c.len_utf8();
    }
    None
}

/// The byte behind a quoted text.
fn quoted(text: &str, start: usize) -> Option<usize> {
    let quote = text[start..].chars().next()?;
    let mut characters = text[start + 1..].char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' if quote == '"' => {
                characters.next();
            }
            '\'' if quote == '\'' && characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
            }
            c if c == quote => return Some(start + 1 + at + 1),
            _ => {}
        }
    }
    None
}

/// The byte behind a scalar; of a plain one, on its first line.
fn scalar(text: &str, start: usize, in_flow: bool) -> usize {
    let rest = &text[start..];
    if rest.starts_with(['"', '\''])
        && let Some(end) = quoted(text, start)
    {
        return end;
    }
    let mut end = rest.find('\n').unwrap_or(rest.len());
    end = rest[..end].find(" #").unwrap_or(end);
    if in_flow {
        end = rest[..end].find([',', ']', '}']).unwrap_or(end);
    }
    start + rest[..end].trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(document: &Document) -> Place {
        let slices = document.entry(&Place::default(), "slices").unwrap();
        let lab = document.entry(&slices, "lab").unwrap();
        document.entry(&lab, "members").unwrap()
    }

    fn changed(text: &str, change: impl FnOnce(&mut Document, &Place) -> Done) -> String {
        let mut document = Document::read(text).unwrap();
        let list = members(&document);
        match change(&mut document, &list) {
            Ok(()) => document.into_text(),
            Err(NotEditable) => "refused".to_owned(),
        }
    }

    #[test]
    fn an_item_is_added_in_the_layout_of_the_list() {
        let rows = [
            (
                "slices:\n  lab:\n    members:\n      - a   # first\n      - b   # last\n  x: {}\n",
                "slices:\n  lab:\n    members:\n      - a   # first\n      - b   # last\n      - n\n  x: {}\n",
                "slices:\n  lab:\n    members:\n      - n\n      - a   # first\n      - b   # last\n  x: {}\n",
            ),
            (
                "slices: {lab: {members: [a, \"b]\"]}} # end",
                "slices: {lab: {members: [a, \"b]\", n]}} # end",
                "slices: {lab: {members: [n, a, \"b]\"]}} # end",
            ),
            (
                "slices:\n  lab:\n    members: [\n      {a: 1},   # one ]\n      {b: 2},   # two\n    ]\n",
                "slices:\n  lab:\n    members: [\n      {a: 1},   # one ]\n      {b: 2}, n,   # two\n    ]\n",
                "slices:\n  lab:\n    members: [\n      n, {a: 1},   # one ]\n      {b: 2},   # two\n    ]\n",
            ),
            (
                "slices:\n  lab:\n    members:\n    - a: 1\n      b:\n        - 'it''s'\n# done",
                "slices:\n  lab:\n    members:\n    - a: 1\n      b:\n        - 'it''s'\n    - n\n# done",
                "slices:\n  lab:\n    members:\n    - n\n    - a: 1\n      b:\n        - 'it''s'\n# done",
            ),
            (
                "slices:\n  lab:\n    members: []\n",
                "slices:\n  lab:\n    members: [n]\n",
                "slices:\n  lab:\n    members: [n]\n",
            ),
            (
                "slices:\n  lab:\n    members:\n      - a",
                "slices:\n  lab:\n    members:\n      - a\n      - n\n",
                "slices:\n  lab:\n    members:\n      - n\n      - a",
            ),
        ];
        for (text, appended, prepended) in rows {
            assert_eq!(changed(text, |d, list| d.insert(list, None, "n")), appended);
            assert_eq!(changed(text, |d, list| d.insert(list, Some(0), "n")), prepended);
        }
    }

    #[test]
    fn an_item_is_removed_and_nothing_else() {
        let rows = [
            ("slices: {lab: {members: [a, b]}}", 0, "slices: {lab: {members: [b]}}"),
            ("slices: {lab: {members: [a, b]}}", 1, "slices: {lab: {members: [a]}}"),
            ("slices: {lab: {members: [a]}}", 0, "slices: {lab: {members: []}}"),
            (
                "slices:\n  lab:\n    members:\n    # first\n    - {x: a} # a\n    - b # b\n",
                0,
                "slices:\n  lab:\n    members:\n    # first\n    - b # b\n",
            ),
            (
                "slices:\n  lab:\n    members:\n    - x:\n        - a\n",
                0,
                "slices:\n  lab:\n    members:\n      []\n",
            ),
        ];
        for (text, index, rest) in rows {
            assert_eq!(changed(text, |d, list| d.remove(list, index)), rest);
        }
    }

    #[test]
    fn entries_are_added_and_changed() {
        let root = Place::default();
        for (text, wanted) in [
            ("a: 1\n# end\n", "a: 1\nk: [x]\n# end\n"),
            ("{a: 1}", "{a: 1, k: [x]}"),
            ("a:\n  b: {c: 1,\n    d: 2}\n", "a:\n  b: {c: 1,\n    d: 2}\nk: [x]\n"),
        ] {
            let mut document = Document::read(text).unwrap();
            assert_eq!(document.add_entry(&root, "k", "[x]"), Ok(()));
            assert_eq!(document.into_text(), wanted);
        }
        for (text, wanted) in [
            ("a: true # why\n", "a: false # why\n"),
            ("{a: true, b: 1}", "{a: false, b: 1}"),
            ("{b: 1, a: true}", "{b: 1, a: false}"),
        ] {
            let mut document = Document::read(text).unwrap();
            let place = document.entry(&root, "a").unwrap();
            assert_eq!(document.set(&place, "false"), Ok(()));
            assert_eq!(document.into_text(), wanted);
        }
    }

    #[test]
    fn what_would_change_something_else_is_refused() {
        // The list stands in two places: an item of one is an item of both.
        let twice = "all: &all [a]\nslices: {lab: {members: *all}}\n";
        assert_eq!(changed(twice, |d, list| d.insert(list, None, "n")), "refused");
    }
}
