//! YAML to a tree that keeps everything, and from a place in the tree back to line and column. Pure.
//!
//! The parser (serde_yaml) stops at the first mistake of a typed value, so files are read into
//! [`Node`] first and checked there: all mistakes are found at once. Positions are looked up only
//! for what is reported, by walking to the place once more and failing there: the parser's error
//! then carries it.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::{Deserialize, de};

/// The largest policy file. A million members fit.
pub const POLICY_BYTES: usize = 128 << 20;
/// The deepest nesting of brackets: the scanner is slow on deep ones.
const NESTING: usize = 64;

/// A YAML value. Maps keep order and repeated keys.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// A value with a tag (`!x`), which policies do not use.
    Tagged,
}

impl Node {
    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Node::Null => "nothing",
            Node::Bool(_) => "a truth value",
            Node::Int(_) => "a number",
            Node::Float(_) => "a fraction",
            Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Map(_) => "a map",
            Node::Tagged => "a tagged value",
        }
    }

    /// The item of a list that has only one.
    pub(crate) fn only_item(self) -> Option<Node> {
        match self {
            Node::List(mut items) if items.len() == 1 => items.pop(),
            _ => None,
        }
    }

    /// The value of the first entry with this key, of a map.
    pub(crate) fn value(&self, key: &str) -> Option<&Node> {
        let Node::Map(entries) = self else { return None };
        let mut entries = entries.iter();
        entries.find(|(name, _)| matches!(name, Node::Text(name) if name == key)).map(|(_, v)| v)
    }

    /// How many items a list has; 0 if it is none.
    pub(crate) fn len(&self) -> usize {
        match self {
            Node::List(items) => items.len(),
            _ => 0,
        }
    }

    /// A scalar as it would be written; `None` for lists and maps.
    pub(crate) fn scalar(&self) -> Option<String> {
        match self {
            Node::Bool(value) => Some(value.to_string()),
            Node::Int(value) => Some(value.to_string()),
            Node::Float(value) => Some(value.to_string()),
            Node::Text(text) => Some(text.clone()),
            Node::Null | Node::List(_) | Node::Map(_) | Node::Tagged => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Int(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        Ok(i128::try_from(value).map_or(Node::Float(value as f64), Node::Int))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        let (_, value) = tagged.variant::<IgnoredAny>()?;
        value.newtype_variant::<IgnoredAny>()?;
        Ok(Node::Tagged)
    }
}

/// One step into a tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Hop {
    /// The key of a map's entry.
    Key(u32),
    /// The value of a map's entry.
    Value(u32),
    /// An item of a list.
    Item(u32),
}

/// A place in a tree.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Place(pub(crate) Vec<Hop>);

impl Place {
    pub(crate) fn then(&self, hop: Hop) -> Place {
        let mut hops = self.0.clone();
        hops.push(hop);
        Place(hops)
    }
}

/// Line and column, both from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// Why a text is not one YAML document.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Unreadable {
    pub(crate) message: String,
    pub(crate) at: Option<Position>,
}

/// Reads exactly one document.
pub(crate) fn load(text: &str) -> Result<Node, Unreadable> {
    let refuse = |message: String, at| Err(Unreadable { message, at });
    if text.len() > POLICY_BYTES {
        return refuse(format!("the file is larger than {} MiB", POLICY_BYTES >> 20), None);
    }
    if let Some(at) = too_deep(text) {
        return refuse(format!("brackets are nested more than {NESTING} deep"), Some(at));
    }
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(blank) {
        return Ok(Node::Null);
    }
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(first) = documents.next() else {
        return refuse("the file is empty".to_owned(), None);
    };
    let node = Node::deserialize(first).map_err(unreadable)?;
    if documents.next().is_some() {
        let line = text.lines().enumerate().filter(|(_, line)| line.starts_with("---")).last();
        let at = line.map(|(line, _)| Position { line: line + 1, column: 1 });
        return refuse("there is a second document in the file".to_owned(), at);
    }
    Ok(node)
}

fn unreadable(error: serde_yaml::Error) -> Unreadable {
    let at = error.location().map(|l| Position { line: l.line(), column: l.column() });
    let message = error.to_string();
    // The parser repeats its position at the end.
    let message = match message.rfind(" at line ") {
        Some(end) => message[..end].to_owned(),
        None => message,
    };
    Unreadable { message, at }
}

/// Where brackets are nested too deep, comments and quoted texts left out.
fn too_deep(text: &str) -> Option<Position> {
    let mut depth = 0usize;
    for (number, line) in text.lines().enumerate() {
        let mut quote = None;
        let mut before = ' ';
        for (column, c) in line.chars().enumerate() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
                (None, '#') if before.is_whitespace() => break,
                (None, '[' | '{') => {
                    depth += 1;
                    if depth > NESTING {
                        return Some(Position { line: number + 1, column: column + 1 });
                    }
                }
                (None, ']' | '}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            before = c;
        }
    }
    None
}

/// The position of a place, by parsing the text once more. `None` if the place is not in the text.
pub(crate) fn locate(text: &str, place: &Place) -> Option<Position> {
    let document = serde_yaml::Deserializer::from_str(text).next()?;
    let error = Walk(&place.0).deserialize(document).err()?;
    if !error.to_string().contains(HERE) {
        return None;
    }
    let location = error.location()?;
    Some(Position { line: location.line(), column: location.column() })
}

const HERE: &str = "umlaut:here";

/// Walks to a place and fails there.
struct Walk<'a>(&'a [Hop]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HERE)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Hop::Item(index), rest)) = self.0.split_first() else {
            return Err(A::Error::custom(HERE));
        };
        for _ in 0..*index {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Walk(rest))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Hop::Key(index) | Hop::Value(index), rest)) = self.0.split_first() else {
            return Err(A::Error::custom(HERE));
        };
        for _ in 0..*index {
            if map.next_entry::<IgnoredAny, IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        // The parser panics where a value is asked for without a key.
        if let Hop::Key(_) = self.0[0] {
            if map.next_key_seed(Walk(rest))?.is_none() {
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        } else if map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Walk(rest))?;
        } else {
            return Ok(());
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
    // Every scalar is refused by the default methods, with `expecting` in the message.
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "a: 1\nslices:\n  lab:\n    members:\n      - {mac: x, id: y}\n      - [p, q]\n";

    #[test]
    fn a_place_is_found_again_in_the_text() {
        let members = [Hop::Value(1), Hop::Value(0), Hop::Value(0)];
        let rows: [(&[Hop], (usize, usize)); 6] = [
            (&[Hop::Key(1)], (2, 1)),
            (&[Hop::Value(0)], (1, 4)),
            (&[Hop::Item(0)], (5, 9)),
            (&[Hop::Item(0), Hop::Key(1)], (5, 18)),
            (&[Hop::Item(0), Hop::Value(1)], (5, 22)),
            (&[Hop::Item(1), Hop::Item(1)], (6, 13)),
        ];
        for (index, (hops, (line, column))) in rows.into_iter().enumerate() {
            let mut path = if index < 2 { Vec::new() } else { members.to_vec() };
            path.extend(hops);
            assert_eq!(
                locate(TEXT, &Place(path.clone())),
                Some(Position { line, column }),
                "{path:?}"
            );
        }
        assert_eq!(locate(TEXT, &Place(vec![Hop::Value(7)])), None);
    }

    #[test]
    fn repeated_keys_and_order_survive() {
        let node = load("b: 1\na: 2\nb: 3\n").unwrap();
        let Node::Map(entries) = node else { panic!() };
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[2], (Node::Text("b".into()), Node::Int(3)));
    }

    #[test]
    fn what_is_not_one_document_is_refused() {
        let deep = "[".repeat(100_000);
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
        for (text, message) in [
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a: [1\n", "did not find"),
            (deep.as_str(), "nested"),
            (bomb, "repetition limit"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.message.contains(message), "{error:?}");
        }
        assert_eq!(
            load("a: 1\n---\nb: 2\n").unwrap_err().at,
            Some(Position { line: 2, column: 1 })
        );
        assert!(load("# see [1], [2, {3\na: 'don[t'\n").is_ok());
    }
}
