//! What goes over the socket: one JSON object per line. Pure.
//!
//! ```text
//! client   {"umlaut":1,"ask":"hosts","slice":"lab"}
//! server   {"umlaut":1,"rows":[{"mac":"00:00:00:00:00:01",…},…]}     any number of these
//!          {"umlaut":1,"end":{}}                                     or
//!          {"umlaut":1,"error":{"code":"unknown-slice","text":"…"}}
//! ```
//! A client may ask again on the same connection when the answer has ended.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::explain::frame::Described;

/// The version of the protocol: a controller refuses another one.
pub const VERSION: u32 = 1;
/// Bytes of a question. A longer line is refused and the connection closed.
pub const QUESTION_BYTES: usize = 16 << 10;
/// Rows in one line of an answer.
pub const ROWS_PER_LINE: usize = 256;

/// One line from a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub umlaut: u32,
    /// What is asked.
    #[serde(flatten)]
    pub question: Question,
}

/// What can be asked. Switches are named as in the policy or by datapath id, hosts by name or MAC.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Question {
    /// The controller itself: addresses, versions, applications.
    Controller,
    /// [`SwitchRow`](super::rows::SwitchRow)s.
    Switches,
    /// [`PortRow`](super::rows::PortRow)s.
    Ports {
        /// Only those of this switch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        switch: Option<String>,
    },
    /// [`HostRow`](super::rows::HostRow)s.
    Hosts {
        /// Only those behind this switch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        switch: Option<String>,
        /// Only those of this slice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slice: Option<String>,
    },
    /// [`SliceRow`](super::rows::SliceRow)s.
    Slices,
    /// [`FlowRow`](super::rows::FlowRow)s.
    Flows {
        /// Only those with an entry on this switch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        switch: Option<String>,
        /// Only those of this slice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slice: Option<String>,
        /// Only those from or to this host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// One row: everything that is said of a frame
    /// ([`Explained`](crate::explain::Explained)), with `live`
    /// ([`Live`](crate::explain::live::Live)), `line` (in one line) and `text` (for people).
    Explain {
        /// Where it comes in; where its sender is, if not given.
        #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
        at: Option<String>,
        /// Its bytes in hex digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        frame: Option<String>,
        /// Else what it is in words.
        #[serde(flatten)]
        described: Box<Described>,
    },
    /// [`StatsRow`](super::rows::StatsRow)s; the end is a [`StatsEnd`](super::rows::StatsEnd).
    Stats,
    /// [`EventRow`](super::rows::EventRow)s, the oldest kept first.
    Events {
        /// Go on when all that is kept was told.
        #[serde(default)]
        follow: bool,
    },
    /// Log this from now on. No rows.
    Log {
        /// A level, or levels per module.
        filter: String,
    },
}

/// One line from the server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// [`VERSION`].
    pub umlaut: u32,
    /// What it says.
    #[serde(flatten)]
    pub body: Body,
}

/// What a line from the server says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A part of the answer.
    Rows(Vec<Value>),
    /// So many events were overwritten before this client took them.
    Lost(u64),
    /// The answer is complete; what is said once of all of it.
    End(Value),
    /// There is no answer, or no more of it.
    Error(Problem),
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Problem {
    /// For programs.
    pub code: String,
    /// For people.
    pub text: String,
}

impl Problem {
    /// A problem.
    pub fn new(code: &str, text: impl Into<String>) -> Problem {
        Problem { code: code.to_owned(), text: text.into() }
    }
}

/// Reads a line from a client.
///
/// # Errors
/// `not-a-question` or `version`.
pub fn parse(line: &[u8]) -> Result<Question, Problem> {
    let not = |error: serde_json::Error| Problem::new("not-a-question", error.to_string());
    let value: Value = serde_json::from_slice(line).map_err(not)?;
    match value.get("umlaut").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            let text = format!("version {VERSION} of the protocol is spoken, not {version}");
            return Err(Problem::new("version", text));
        }
        None => {
            let text = format!("a question is a JSON object with \"umlaut\": {VERSION}");
            return Err(Problem::new("not-a-question", text));
        }
    }
    Ok(serde_json::from_value::<Request>(value).map_err(not)?.question)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn questions_are_read_and_anything_else_is_refused() {
        let hosts = Question::Hosts { switch: None, slice: Some("lab".into()) };
        let rows: [(&str, Result<Question, &str>); 9] = [
            (r#"{"umlaut":1,"ask":"switches"}"#, Ok(Question::Switches)),
            (r#"{"umlaut":1,"ask":"hosts","slice":"lab"}"#, Ok(hosts)),
            (r#"{"umlaut":1,"ask":"events"}"#, Ok(Question::Events { follow: false })),
            (r#"{"umlaut":2,"ask":"switches"}"#, Err("version")),
            (r#"{"ask":"switches"}"#, Err("not-a-question")),
            (r#"{"umlaut":1,"ask":"colour"}"#, Err("not-a-question")),
            (r#"{"umlaut":1,"ask":"hosts","slice":7}"#, Err("not-a-question")),
            ("[1]", Err("not-a-question")),
            ("\u{0}\u{1}GET / HTTP/1.1", Err("not-a-question")),
        ];
        for (line, expected) in rows {
            let read = parse(line.as_bytes()).map_err(|problem| problem.code);
            assert_eq!(read, expected.map_err(str::to_owned), "{line}");
        }
    }

    #[test]
    fn lines_look_as_documented() {
        let line = |body| serde_json::to_value(Reply { umlaut: VERSION, body }).unwrap();
        assert_eq!(line(Body::Rows(vec![json!({})])), json!({"umlaut": 1, "rows": [{}]}));
        assert_eq!(line(Body::Lost(3)), json!({"umlaut": 1, "lost": 3}));
        assert_eq!(line(Body::End(json!({}))), json!({"umlaut": 1, "end": {}}));
        let error = Body::Error(Problem::new("busy", "later"));
        assert_eq!(line(error), json!({"umlaut": 1, "error": {"code": "busy", "text": "later"}}));
        let request = Request { umlaut: 1, question: Question::Ports { switch: None } };
        assert_eq!(serde_json::to_value(request).unwrap(), json!({"umlaut": 1, "ask": "ports"}));
    }
}
