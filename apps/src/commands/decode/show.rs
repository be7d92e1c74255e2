//! A message as JSON, and that as a tree. Pure.

use bytes::BytesMut;
use serde_json::{Value, json};
use umlaut_openflow::{DecodeError, Header, Message, decode, encode, multipart_name, name};

use super::hex;

/// A message as JSON, or what is wrong with it.
pub(super) fn describe(bytes: &[u8]) -> Value {
    match decode(bytes) {
        Ok((header, message)) => good(&header, &message, multipart_name(bytes)),
        Err(error) => bad(&error),
    }
}

/// Text that is no message, or not even bytes.
pub(super) fn refused(field: &str, offset: usize, error: &str) -> Value {
    json!({"ok": false, "xid": null, "error": error, "field": field, "offset": offset})
}

fn good(header: &Header, message: &Message<'_>, multipart: Option<&str>) -> Value {
    let mut again = BytesMut::new();
    let encoded = encode(header.version, header.xid, message, &mut again);
    let body = serde_json::to_value(message);
    let (body, error) = match (encoded, body) {
        (Ok(()), Ok(body)) => (body, None),
        (Err(error), _) => (Value::Null, Some(error.to_string())),
        (_, Err(error)) => (Value::Null, Some(error.to_string())),
    };
    if let Some(error) = error {
        return json!({
            "ok": false, "xid": header.xid.0, "error": error, "field": "message", "offset": 0,
        });
    }
    let mut value = json!({
        "ok": true,
        "version": header.version.to_string(),
        "type": name(header.version, header.kind),
        "xid": header.xid.0,
    });
    if let Some(multipart) = multipart {
        value["multipart"] = multipart.into();
    }
    value["message"] = body;
    value["reencoded"] = hex::digits(&again).into();
    value
}

fn bad(error: &DecodeError) -> Value {
    json!({
        "ok": false,
        "xid": error.xid.map(|xid| xid.0),
        "error": error.to_string(),
        "field": error.field,
        "offset": error.offset,
    })
}

/// A described message as an indented tree.
pub(super) fn tree(value: &Value) -> String {
    let word = |key: &str| value[key].as_str().unwrap_or_default();
    if value["ok"] == Value::Bool(false) {
        return format!("not a message: {}\n", word("error"));
    }
    let xid = value["xid"].as_u64().unwrap_or_default();
    let length = word("reencoded").len() / 2;
    let multipart = value["multipart"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
    let mut text = format!(
        "{}{multipart} (OpenFlow {}, xid {xid:#x}, {length} bytes)\n",
        word("type"),
        word("version")
    );
    branch(&value["message"]["content"], 1, &mut text);
    text
}

fn branch(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let mut entry = |label: String, value: &Value| match value {
        Value::Object(map) if !map.is_empty() => {
            text.push_str(&format!("{indent}{label}:\n"));
            branch(value, depth + 1, text);
        }
        Value::Array(list) if list.iter().any(|item| item.is_object() || item.is_array()) => {
            text.push_str(&format!("{indent}{label}:\n"));
            branch(value, depth + 1, text);
        }
        Value::String(word) => text.push_str(&format!("{indent}{label}: {word}\n")),
        other => text.push_str(&format!("{indent}{label}: {other}\n")),
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| entry(key.clone(), value)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| entry(format!("[{index}]"), value));
        }
        Value::Null => {}
        other => entry("value".to_owned(), other),
    }
}
