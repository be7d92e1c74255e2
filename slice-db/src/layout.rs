//! Where a policy file lists members line by line. Pure.
//!
//! Long lists of members are read by [`quick`](crate::quick) and not by the YAML parser. What that one
//! reads is the file without them, its *skeleton*, in which every *run* of such items is one item, the
//! mark of the run:
//!
//! ```text
//! slices:                                   slices:
//!   lab:                                      lab:
//!     members:                                  members:
//!       - {port: s1/1}                            - {umlaut run: 0}
//!       - {port: s1/2}
//!       - {port: s1/3, vlan: &x 5}                - {port: s1/3, vlan: &x 5}
//! ```
//! Each line of a run is a whole item of a block list, and so is the mark. Where the mark turns out to
//! be an item of a slice's members, the lines are that, too; where it does not (they were part of a
//! longer text, say), they are no run.

use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use crate::quick::{self, Quick};
use crate::yaml::{Hop, Node, Place, Position, locate};

/// The key of a mark.
const MARK: &str = "umlaut run";

/// Items of a slice's members that stand line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Its bytes in the text: whole lines.
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// How many items.
    pub(crate) count: u32,
    /// The entry of `slices`.
    pub(crate) slice: u32,
    /// Which item of the list its first is.
    pub(crate) first: u32,
}

impl Run {
    pub(crate) fn bytes(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Where the dashes stand.
    pub(crate) fn indent(&self, text: &str) -> usize {
        quick::dash(text.as_bytes(), self.start as usize).unwrap_or(0)
    }

    /// Its items as they are written, each with its lines.
    pub(crate) fn items<'t>(
        &self,
        text: &'t str,
    ) -> impl Iterator<Item = (Quick<'t>, Range<usize>)> {
        let (mut at, end, indent) = (self.start as usize, self.end as usize, self.indent(text));
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let found = quick::next_item(text, at, indent).filter(|(_, lines)| lines.end <= end)?;
            at = found.1.end;
            Some(found)
        })
    }
}

/// The runs of a file, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) runs: Arc<Vec<Run>>,
    /// How many slots the items of the runs take when the file is read.
    pub(crate) slots: usize,
    /// Where the lists of members stand in the tree: the entry of `slices`, and for each slice the
    /// entry of its map.
    slices: u32,
    members: Arc<Vec<u32>>,
}

impl Layout {
    /// The runs of a text, which may be none.
    pub(crate) fn of(text: &str) -> Layout {
        let bytes = text.as_bytes();
        let mut runs = Vec::new();
        let (mut line, mut slots) = (0, 0);
        let slots_of =
            |item: &Quick<'_>| 1 + item.only_at.map_or(0, |list| quick::pins(list).count());
        while line < bytes.len() {
            let found = quick::dash(bytes, line)
                .and_then(|indent| Some((indent, quick::next_item(text, line, indent)?)));
            let Some((indent, (item, first))) = found else {
                line = quick::next_line(bytes, line);
                continue;
            };
            let (start, mut end, mut count) = (first.start, first.end, 1);
            slots += slots_of(&item);
            while let Some((item, lines)) = quick::next_item(text, end, indent) {
                end = lines.end;
                count += 1;
                slots += slots_of(&item);
            }
            line = end;
            runs.push(Run { start: start as u32, end: end as u32, count, slice: 0, first: 0 });
        }
        Layout { runs: Arc::new(runs), slots, ..Layout::default() }
    }

    /// The text with a mark for each run. `None` where there is no run, or where the text has such
    /// marks itself.
    pub(crate) fn skeleton(&self, text: &str) -> Option<String> {
        let mut skeleton = String::new();
        let mut copied = 0;
        for (number, run) in self.runs.iter().enumerate() {
            skeleton.push_str(&text[copied..run.start as usize]);
            let indent = run.indent(text);
            let _ = writeln!(skeleton, "{:indent$}- {{{MARK}: {number}}}", "");
            copied = run.end as usize;
        }
        skeleton.push_str(&text[copied..]);
        let marks = skeleton.matches(MARK).count();
        (marks > 0 && marks == self.runs.len()).then_some(skeleton)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Looks for the marks in the tree of the skeleton; whether each is an item of a slice's members.
    /// Runs of which that is not so are none any more.
    pub(crate) fn settle(&mut self, tree: &Node) -> bool {
        let runs = Arc::make_mut(&mut self.runs);
        let mut found = vec![false; runs.len()];
        let (entry, slices) = entry_of(tree, "slices").unwrap_or((u32::MAX, &Node::Null));
        let slices = if let Node::Map(slices) = slices { &slices[..] } else { &[] };
        let mut lists = Vec::with_capacity(slices.len());
        for (slice, (_, map)) in slices.iter().enumerate() {
            let list = entry_of(map, "members");
            lists.push(list.map_or(u32::MAX, |(entry, _)| entry));
            let Some((_, Node::List(items))) = list else { continue };
            let mut first = 0;
            for item in items {
                let Some(number) = mark_of(item).filter(|number| *number < runs.len()) else {
                    first += 1;
                    continue;
                };
                (runs[number].slice, runs[number].first) = (slice as u32, first);
                first += runs[number].count;
                found[number] = true;
            }
        }
        (self.slices, self.members) = (entry, Arc::new(lists));
        let mut found = found.into_iter();
        let before = runs.len();
        runs.retain(|_| found.next() == Some(true));
        runs.len() == before
    }

    /// The runs of a slice.
    pub(crate) fn of_slice(&self, slice: u32) -> &[Run] {
        let from = self.runs.partition_point(|run| run.slice < slice);
        let to = self.runs.partition_point(|run| run.slice <= slice);
        &self.runs[from..to]
    }

    /// With other runs, for a text in which only these have changed.
    pub(crate) fn with(&self, runs: Vec<Run>) -> Layout {
        Layout { runs: Arc::new(runs), ..self.clone() }
    }

    /// The position of a place in the text.
    pub(crate) fn locate(&self, text: &str, place: &Place) -> Option<Position> {
        if self.is_empty() {
            return locate(text, place);
        }
        let mut hops = place.0.clone();
        if let [
            Hop::Value(slices),
            Hop::Value(slice),
            Hop::Value(members),
            Hop::Item(item),
            rest @ ..,
        ] = &mut hops[..]
            && *slices == self.slices
            && self.members.get(*slice as usize) == Some(members)
        {
            let mut shortened = 0;
            for run in self.of_slice(*slice).iter().take_while(|run| run.first <= *item) {
                if *item < run.first + run.count {
                    let (_, lines) = run.items(text).nth((*item - run.first) as usize)?;
                    let within = Place([&[Hop::Item(0)], &*rest].concat());
                    let found = locate(&text[lines.clone()], &within)?;
                    let before = line_breaks(&text[..lines.start]);
                    return Some(Position { line: before + found.line, ..found });
                }
                shortened += run.count - 1;
            }
            *item -= shortened;
        }
        let mut found = locate(&self.skeleton(text)?, &Place(hops))?;
        // From the skeleton's line to the text's, behind one run after the other.
        let (mut counted, mut lines) = (0, 0);
        for run in self.runs.iter() {
            lines += line_breaks(&text[counted..run.start as usize]);
            if lines + 1 >= found.line {
                break;
            }
            let own = text[run.bytes()].lines().count();
            found.line += own - 1;
            lines += own;
            counted = run.end as usize;
        }
        Some(found)
    }
}

/// The first entry of a map with this key.
fn entry_of<'a>(map: &'a Node, key: &str) -> Option<(u32, &'a Node)> {
    let Node::Map(entries) = map else { return None };
    let index = entries.iter().position(|(name, _)| name.scalar().as_deref() == Some(key))?;
    Some((index as u32, &entries[index].1))
}

/// The run that an item is the mark of.
pub(crate) fn mark_of(item: &Node) -> Option<usize> {
    let Node::Map(entries) = item else { return None };
    match &entries[..] {
        [(Node::Text(key), Node::Int(run))] if key == MARK => usize::try_from(*run).ok(),
        _ => None,
    }
}

fn line_breaks(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}
