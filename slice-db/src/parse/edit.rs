//! A policy after an edit of its file, from the policy before. Pure.
//!
//! Where only lines of a slice's members differ, only these are read. The rest of the tree is what it
//! was, and so is the rest of the policy: chunks of members, pieces of tables, other slices. Where that
//! is not certain, or anything would have to be told that was not told of the old text, the answer is
//! `None` and the whole text is read again.

use std::ops::Range;
use std::sync::Arc;

use umlaut_openflow::{Attachment, MacAddr};

use super::members::{Draft, is_made, quick_member};
use crate::diagnostic::Diagnostic;
use crate::layout::Run;
use crate::members::{Kind, Members};
use crate::policy::{Policy, Slice, SliceId};
use crate::quick;

/// More lines than this are better read as a new file.
const MOST: usize = 10_000;

/// The policy of a text that is an edit of the text of `old`.
pub(crate) fn edited(old: &Policy, text: &Arc<String>) -> Option<Policy> {
    if text.len() > crate::yaml::POLICY_BYTES {
        return None;
    }
    // A switch that is refused and not used any more would not be told of any more.
    if old.warnings.iter().any(|warning| warning.code == "switch-refused") {
        return None;
    }
    let (before, after) = changed_lines(&old.text, text);
    if before.is_empty() && after.is_empty() {
        return Some(Policy { text: text.clone(), ..old.clone() });
    }
    let number = run_of(old, &before)?;
    let run = &old.layout.runs[number];
    let indent = run.indent(&old.text);
    let (before, after) = whole_items(&old.text, text, (before, after), run, indent);
    let items = read_lines(text, after.clone(), indent)?;
    let above = count_items(&old.text, run.start as usize..before.start, indent);
    let gone = count_items(&old.text, before.clone(), indent);
    // Without an item it would be no list any more, and one item must be the first line.
    let count = run.count as usize - gone + items.len();
    if count == 0 || gone > MOST {
        return None;
    }
    let grown = after.len() as i64 - before.len() as i64;
    let new_run = Run { end: moved(run.end, grown), count: count as u32, ..run.clone() };
    quick::dash(text.as_bytes(), run.start as usize).filter(|at| *at == indent)?;

    let mut policy = old.clone();
    let id = SliceId(run.slice);
    let first = run.first as usize + above;
    change_members(&mut policy, id, first..first + gone, items)?;
    policy.layout = old.layout.with(moved_runs(old, number, new_run, grown));
    policy.warnings = Arc::new(moved_warnings(old, text, &before, &after)?);
    policy.text = text.clone();
    Some(policy)
}

fn moved(at: u32, by: i64) -> u32 {
    (i64::from(at) + by) as u32
}

/// The lines in which two texts differ: the bytes of these in both. All before and all behind is
/// the same.
fn changed_lines(old: &str, new: &str) -> (Range<usize>, Range<usize>) {
    let (old, new) = (old.as_bytes(), new.as_bytes());
    let line_start = |at: usize| memchr::memrchr(b'\n', &old[..at]).map_or(0, |before| before + 1);
    let start = line_start(common(old, new));
    let (old_rest, new_rest) = (&old[start..], &new[start..]);
    let shared = common_at_the_end(old_rest, new_rest);
    // The same lines, not the same end of a line.
    let tail = &old_rest[old_rest.len() - shared..];
    let at_line = |text: &[u8]| {
        let before = text.len() - shared;
        before == 0 || text[before - 1] == b'\n'
    };
    let shared = match at_line(old_rest) && at_line(new_rest) {
        true => shared,
        false => memchr::memchr(b'\n', tail).map_or(0, |at| shared - at - 1),
    };
    (start..old.len() - shared, start..new.len() - shared)
}

/// How many bytes at the beginning are the same.
fn common(a: &[u8], b: &[u8]) -> usize {
    const BLOCK: usize = 4096;
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK));
    let from = BLOCK * blocks.take_while(|(a, b)| a == b).count();
    from + a[from..].iter().zip(&b[from..]).take_while(|(a, b)| a == b).count()
}

/// How many bytes at the end are the same.
fn common_at_the_end(a: &[u8], b: &[u8]) -> usize {
    const BLOCK: usize = 4096;
    let blocks = a.rchunks_exact(BLOCK).zip(b.rchunks_exact(BLOCK));
    let from = BLOCK * blocks.take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - from], &b[..b.len() - from]);
    from + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// The run that all changed lines are of; lines that are added at its end are.
fn run_of(old: &Policy, lines: &Range<usize>) -> Option<usize> {
    let runs = &old.layout.runs;
    let number = runs.partition_point(|run| (run.end as usize) < lines.end);
    let run = runs.get(number)?;
    (run.start as usize <= lines.start).then_some(number)
}

/// The items that lines are, and nothing but items, comments and empty lines.
fn read_lines(text: &str, lines: Range<usize>, indent: usize) -> Option<Vec<quick::Quick<'_>>> {
    let mut items = Vec::new();
    let mut at = lines.start;
    while at < lines.end {
        if items.len() >= MOST {
            return None;
        }
        let Some((quick, found)) = quick::next_item(text, at, indent) else {
            // Only comments are left, which end with the lines.
            let behind = quick::skip_blank(text.as_bytes(), at)?;
            return (behind >= lines.end).then_some(items);
        };
        if found.start >= lines.end {
            break;
        }
        at = found.end;
        items.push(quick);
    }
    // An item may not go on behind the lines.
    (at <= lines.end).then_some(items)
}

/// How many items of a run these lines of it have.
fn count_items(text: &str, lines: Range<usize>, indent: usize) -> usize {
    let text = text.as_bytes();
    let breaks = memchr::memchr_iter(b'\n', &text[lines.clone()]).map(|at| lines.start + at + 1);
    let starts = std::iter::once(lines.start).chain(breaks).filter(|start| *start < lines.end);
    starts.filter(|start| begins_item(text, *start, indent)).count()
}

/// Whether an item begins with this line of a run.
fn begins_item(text: &[u8], line: usize, indent: usize) -> bool {
    text.get(line + indent) == Some(&b'-') && quick::dash(text, line) == Some(indent)
}

/// The changed lines and those around them that belong to the same items: with a line for each key,
/// an item has several.
fn whole_items(
    old: &str,
    new: &str,
    (before, after): (Range<usize>, Range<usize>),
    run: &Run,
    indent: usize,
) -> (Range<usize>, Range<usize>) {
    let (old, new) = (old.as_bytes(), new.as_bytes());
    let (mut start, mut more) = (before.start, 0);
    let is_start = |text, at| begins_item(text, at, indent);
    if !is_start(old, start) || !is_start(new, start) {
        while start > run.start as usize {
            start = memchr::memrchr(b'\n', &old[..start - 1]).map_or(0, |at| at + 1);
            if is_start(old, start) {
                break;
            }
        }
    }
    while before.end + more < run.end as usize && !is_start(old, before.end + more) {
        more = quick::next_line(old, before.end + more) - before.end;
    }
    (start..before.end + more, start..after.end + more)
}

/// The runs with one changed, and those behind it where they are now.
fn moved_runs(old: &Policy, number: usize, changed: Run, grown: i64) -> Vec<Run> {
    let more = i64::from(changed.count) - i64::from(old.layout.runs[number].count);
    let slice = changed.slice;
    let mut runs = old.layout.runs.to_vec();
    for run in &mut runs[number + 1..] {
        run.start = moved(run.start, grown);
        run.end = moved(run.end, grown);
        if run.slice == slice {
            run.first = moved(run.first, more);
        }
    }
    runs[number] = changed;
    runs
}

/// The warnings, where they are now. `None` if one is about the changed lines.
fn moved_warnings(
    old: &Policy,
    text: &str,
    before: &Range<usize>,
    after: &Range<usize>,
) -> Option<Vec<Diagnostic>> {
    if old.warnings.is_empty() {
        return Some(Vec::new());
    }
    let breaks = |text: &str| memchr::memchr_iter(b'\n', text.as_bytes()).count();
    let first = breaks(&text[..before.start]) + 1;
    let gone = breaks(&old.text[before.clone()]);
    let come = breaks(&text[after.clone()]);
    let line = |line: usize| match line {
        line if line < first => Some(line),
        line if line >= first + gone => Some(line - gone + come),
        _ => None,
    };
    let mut warnings = old.warnings.to_vec();
    for warning in &mut warnings {
        for label in &mut warning.labels {
            label.line = line(label.line)?;
        }
        for excerpt in &mut warning.excerpts {
            excerpt.line = line(excerpt.line)?;
        }
    }
    Some(warnings)
}

/// Takes members out of a slice and puts others there. `None` if that is a mistake, or something
/// would have to be told of it.
fn change_members(
    policy: &mut Policy,
    id: SliceId,
    gone: Range<usize>,
    items: Vec<quick::Quick<'_>>,
) -> Option<()> {
    let mut slice = Slice::clone(policy.slice_at(id));
    let drafts: Option<Vec<Draft<'_>>> =
        items.iter().map(|item| quick_member(item, policy, slice.restricted)).collect();
    let drafts = drafts?;
    let removed: Vec<u32> = slice.members.get(gone.clone())?.to_vec();
    let mut left = Vec::new();
    for slot in removed {
        let member = *policy.bindings.entry(slot);
        slice.macs -= u32::from(member.is_mac());
        for point in policy.bindings.points(slot) {
            let at = policy.bindings.entry(point).at;
            let place = slice.points.iter().position(|held| *held == point)?;
            slice.points.remove(place);
            left.push(at);
        }
        policy.bindings.remove(slot);
    }
    let mut added = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let given = draft.id.as_ref().map(|(id, _)| &**id);
        let slot = policy.bindings.insert(id, &draft.binding, given).ok()?;
        slice.macs += u32::from(policy.bindings.entry(slot).is_mac());
        for point in policy.bindings.points(slot) {
            let new = policy.bindings.entry(point).point()?;
            let members = &policy.bindings;
            let place = slice
                .points
                .partition_point(|held| members.entry(*held).point().is_some_and(|p| p < new));
            slice.points.insert(place, point);
            is_free_port(policy, new.at)?;
            policy.bindings.claim(new.at, id);
        }
        added.push(slot);
    }
    for at in left {
        let members = &policy.bindings;
        let from = slice.points.partition_point(|held| members.entry(*held).at < at);
        if slice.points.get(from).is_none_or(|held| members.entry(*held).at != at) {
            policy.bindings.disclaim(at, id);
        }
    }
    slice.members.splice(gone, added.iter().copied());
    tells_nothing(policy, id, &slice, &added)?;
    policy.slices[id.0 as usize] = Arc::new(slice);
    Some(())
}

/// A port that may be bound without a word: no end of a link, on a switch that may join.
fn is_free_port(policy: &Policy, at: Attachment) -> Option<()> {
    let end = (at.dpid, at.port);
    let linked = policy.links.iter().any(|(a, b)| *a == end || *b == end);
    let refused =
        policy.options.refuse_unknown_switches && !policy.switch_names.contains_key(&at.dpid);
    (!linked && !refused).then_some(())
}

/// Whether the new members have the ids and the standing that make no mistake.
fn tells_nothing(policy: &Policy, id: SliceId, slice: &Slice, added: &[u32]) -> Option<()> {
    let members = &policy.bindings;
    let named = added.iter().any(|slot| members.id(*slot).is_some());
    let by_mac = added.iter().any(|slot| members.entry(*slot).is_mac());
    // Ids are in no table.
    if named || by_mac {
        let mut ids = std::collections::HashSet::new();
        for given in slice.members.iter().filter_map(|slot| members.id(*slot)) {
            // Which of two members with one id comes first, the whole file must say.
            if !ids.insert(given) || is_made(policy, id, given).is_some() {
                return None;
            }
        }
    }
    let bound_elsewhere = |mac: MacAddr, own: SliceId| {
        members.by_mac(mac).is_some_and(|(_, member)| member.slice != own)
    };
    let port_macs = |slot: &&u32| members.entry(**slot).kind == Kind::PortMac;
    if added.iter().filter(port_macs).any(|slot| bound_elsewhere(members.entry(*slot).mac, id)) {
        return None;
    }
    if by_mac && is_dead_elsewhere(members, id, added) {
        return None;
    }
    Some(())
}

/// Whether a port+MAC member of another slice has a MAC address that is bound now.
fn is_dead_elsewhere(members: &Members, id: SliceId, added: &[u32]) -> bool {
    let macs: Vec<MacAddr> = added
        .iter()
        .filter(|slot| members.entry(**slot).is_mac())
        .map(|slot| members.entry(*slot).mac)
        .collect();
    members.port_macs().any(|(_, member)| member.slice != id && macs.contains(&member.mac))
}
