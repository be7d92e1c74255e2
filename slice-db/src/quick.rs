//! Members as nearly everybody writes them, read without a YAML parser. Pure.
//!
//! A list of a million members is read in a tenth of the time that YAML takes. What is taken here is a
//! small part of YAML, an item of a list in one of two forms:
//!
//! ```yaml
//! - {port: s1/3, mac: "00:00:00:00:00:01"}   # within brackets, on one line
//! - port: s1/3                               # or a line for each key
//!   mac: 00:00:00:00:00:01
//! ```
//! with the keys of members, each at most once, and values that mean the same to every reader: words,
//! numbers, and quoted texts without escapes. Whatever else stands there is none of this module's
//! business: `None`, and the YAML parser reads it. So there is no mistake that is told here, and a test
//! compares what both understand.

use std::ops::Range;

use umlaut_openflow::VlanId;

/// A member as it is written. The values are not looked at yet, but what they are is certain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Quick<'t> {
    /// A text.
    pub(crate) host: Option<&'t str>,
    /// A text.
    pub(crate) mac: Option<&'t str>,
    /// A text with a slash.
    pub(crate) port: Option<&'t str>,
    pub(crate) vlan: Option<VlanId>,
    /// What is between the brackets: texts with a slash.
    pub(crate) only_at: Option<&'t str>,
    pub(crate) restrict_hosts: Option<bool>,
    /// A text.
    pub(crate) id: Option<&'t str>,
    /// Which of the keys `id` is.
    pub(crate) id_entry: u32,
}

/// Words that YAML reads as something else than text, in lower case.
const OTHERS: [&str; 6] = ["true", "false", "null", "nan", "inf", "infinity"];

/// The ports of an `only_at`.
pub(crate) fn pins(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|pin| pin.trim_matches(' ').trim_matches('"'))
}

/// The next item of a list from a line's beginning on, behind comments and empty lines: what it is,
/// and the lines that it takes. `indent` is where its dash stands.
pub(crate) fn next_item(
    text: &str,
    from: usize,
    indent: usize,
) -> Option<(Quick<'_>, Range<usize>)> {
    let start = skip_blank(text.as_bytes(), from)?;
    let (quick, end) = item(text, start, indent)?;
    Some((quick, start..end))
}

/// How far a dash at the beginning of a line is indented.
pub(crate) fn dash(text: &[u8], line: usize) -> Option<usize> {
    let indent = spaces(text, line);
    (text.get(line + indent) == Some(&b'-') && text.get(line + indent + 1) == Some(&b' '))
        .then_some(indent)
}

/// Where the next line begins; the end of the text behind the last.
pub(crate) fn next_line(text: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', &text[from..]).map_or(text.len(), |at| from + at + 1)
}

/// Behind lines that are empty or only a comment. `None` where a comment has characters that YAML may
/// refuse.
pub(crate) fn skip_blank(text: &[u8], mut line: usize) -> Option<usize> {
    while line < text.len() {
        let at = line + spaces(text, line);
        match text.get(at) {
            Some(b'\n') => line = at + 1,
            Some(b'#') => line = comment(text, at)?,
            _ => break,
        }
    }
    Some(line)
}

/// Behind a comment and its line.
fn comment(text: &[u8], from: usize) -> Option<usize> {
    let end = next_line(text, from);
    let plain = |b: &u8| (b' '..=b'~').contains(b);
    text[from..end].strip_suffix(b"\n").unwrap_or(&text[from..end]).iter().all(plain).then_some(end)
}

fn spaces(text: &[u8], from: usize) -> usize {
    text[from..].iter().take_while(|b| **b == b' ').count()
}

/// An item that begins with this line, and where the line behind it begins.
fn item(text: &str, line: usize, indent: usize) -> Option<(Quick<'_>, usize)> {
    let bytes = text.as_bytes();
    if dash(bytes, line)? != indent {
        return None;
    }
    let mut cursor = Cursor { text, at: line + indent + 1 };
    cursor.spaces();
    let column = cursor.at - line;
    let mut quick = Quick::default();
    if cursor.takes(b'{') {
        for entry in 0.. {
            cursor.spaces();
            cursor.entry(&mut quick, entry)?;
            cursor.spaces();
            if cursor.takes(b'}') {
                break;
            }
            cursor.takes(b',').then_some(())?;
        }
        cursor.line_end()?;
    } else {
        cursor.entry(&mut quick, 0)?;
        cursor.line_end()?;
        for entry in 1.. {
            let more = spaces(bytes, cursor.at) == column
                && bytes.get(cursor.at + column).is_some_and(u8::is_ascii_lowercase);
            if !more {
                break;
            }
            cursor.at += column;
            cursor.entry(&mut quick, entry)?;
            cursor.line_end()?;
        }
    }
    // What is indented further would belong to it.
    let behind = skip_blank(bytes, cursor.at)?;
    let ends = behind == bytes.len() || spaces(bytes, behind) <= indent && bytes[behind] != b'\t';
    ends.then_some((quick, cursor.at))
}

/// A place in the text.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn spaces(&mut self) -> usize {
        let count = spaces(self.text.as_bytes(), self.at);
        self.at += count;
        count
    }

    /// The rest of the line: nothing, or a comment.
    fn line_end(&mut self) -> Option<()> {
        let space = self.spaces();
        match self.peek() {
            None => {}
            Some(b'\n') => self.at += 1,
            Some(b'#') if space > 0 => self.at = comment(self.text.as_bytes(), self.at)?,
            Some(_) => return None,
        }
        Some(())
    }

    /// `key: value`.
    fn entry(&mut self, quick: &mut Quick<'t>, number: u32) -> Option<()> {
        let from = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_lowercase() || b == b'_') {
            self.at += 1;
        }
        let key = &self.text[from..self.at];
        if !self.takes(b':') || self.spaces() == 0 {
            return None;
        }
        fn once<T>(target: &mut Option<T>, value: Option<T>) -> Option<()> {
            let is_new = target.is_none() && value.is_some();
            *target = value;
            is_new.then_some(())
        }
        match key {
            "host" => once(&mut quick.host, self.word()),
            "mac" => once(&mut quick.mac, self.text(|text| text.contains([':', '-']))),
            "port" => once(&mut quick.port, self.text(|text| text.contains('/'))),
            "vlan" => once(&mut quick.vlan, self.vlan()),
            "only_at" => once(&mut quick.only_at, self.pins()),
            "restrict_hosts" => once(&mut quick.restrict_hosts, self.flag()),
            "id" => {
                quick.id_entry = number;
                once(&mut quick.id, self.word())
            }
            _ => None,
        }
    }

    /// A text in quotes, or one without for which this holds and then is surely a text.
    fn text(&mut self, sure: impl Fn(&str) -> bool) -> Option<&'t str> {
        if self.peek() == Some(b'"') {
            return self.quoted();
        }
        self.plain().filter(|text| sure(text))
    }

    /// A text that is a word, or in quotes.
    fn word(&mut self) -> Option<&'t str> {
        self.text(|text| {
            let is_other = OTHERS.iter().any(|other| text.eq_ignore_ascii_case(other));
            text.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_other
        })
    }

    fn quoted(&mut self) -> Option<&'t str> {
        self.at += 1;
        let from = self.at;
        let inside = |b: u8| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\';
        while self.peek().is_some_and(inside) {
            self.at += 1;
        }
        let text = &self.text[from..self.at];
        self.takes(b'"').then_some(text)
    }

    /// Letters, digits and what may stand among them in a plain scalar, with brackets around it or
    /// without.
    fn plain(&mut self) -> Option<&'t str> {
        let from = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b)) {
            self.at += 1;
        }
        let text = &self.text[from..self.at];
        let sound = |c: char| c.is_ascii_alphanumeric();
        (text.starts_with(sound) && text.ends_with(sound) && !text.contains("::")).then_some(text)
    }

    fn vlan(&mut self) -> Option<VlanId> {
        let text = self.plain()?;
        let digits = text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        if !digits || text.starts_with('0') {
            return None;
        }
        VlanId::new(text.parse().ok()?)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.plain()? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// `[s1/1, s1/2]`, on one line.
    fn pins(&mut self) -> Option<&'t str> {
        if !self.takes(b'[') {
            return None;
        }
        let from = self.at;
        loop {
            self.spaces();
            let pin = self.text(|text| text.contains('/'))?;
            if pin.contains([',', ' ']) {
                return None;
            }
            self.spaces();
            if self.takes(b']') {
                return Some(&self.text[from..self.at - 1]);
            }
            if !self.takes(b',') {
                return None;
            }
        }
    }
}
