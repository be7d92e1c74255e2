//! Tables as `ovs-vsctl --format=json list` prints them (RFC 7047 §5.1 values). Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// A row by its columns.
pub(super) type Row = BTreeMap<String, Value>;

/// The rows of a table; none if it is something else.
pub(super) fn rows(text: &str) -> Vec<Row> {
    let Ok(table) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let headings: Vec<String> = list(&table["headings"]).iter().map(word).collect();
    let data = list(&table["data"]).iter();
    data.map(|row| headings.iter().cloned().zip(list(row).iter().cloned()).collect()).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The elements of a column: of a set its elements, of anything else that alone. An identifier is
/// its text.
pub(super) fn elements(row: &Row, column: &str) -> Vec<String> {
    let Some(value) = row.get(column) else { return Vec::new() };
    match (value.get(0).and_then(Value::as_str), value.get(1)) {
        (Some("set"), Some(elements)) => list(elements).iter().map(atom).collect(),
        _ => vec![atom(value)],
    }
}

fn atom(value: &Value) -> String {
    match (value.get(0).and_then(Value::as_str), value.get(1)) {
        (Some("uuid"), Some(uuid)) => word(uuid),
        _ => word(value),
    }
}

/// The one element of a column, if it has one that says something.
pub(super) fn element(row: &Row, column: &str) -> Option<String> {
    elements(row, column).into_iter().next().filter(|text| !text.is_empty())
}

/// An entry of a map.
pub(super) fn entry(row: &Row, column: &str, key: &str) -> Option<String> {
    let map = row.get(column)?.get(1)?;
    let pair = list(map).iter().find(|pair| pair.get(0).and_then(Value::as_str) == Some(key))?;
    pair.get(1).map(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind_are_read() {
        let text = r#"{"data":[["s1",["uuid","aa-bb"],["set",[]],["set",["OpenFlow10","OpenFlow13"]],
            ["map",[["last_error","Connection refused"]]],true,""]],
            "headings":["name","controller","fail_mode","protocols","status","is_connected","datapath_type"]}"#;
        let rows = rows(text);
        let row = &rows[0];
        assert_eq!(element(row, "name").as_deref(), Some("s1"));
        assert_eq!(elements(row, "controller"), ["aa-bb"]);
        assert_eq!(element(row, "fail_mode"), None);
        assert_eq!(elements(row, "protocols"), ["OpenFlow10", "OpenFlow13"]);
        assert_eq!(entry(row, "status", "last_error").as_deref(), Some("Connection refused"));
        assert_eq!(entry(row, "status", "state"), None);
        assert_eq!(element(row, "is_connected").as_deref(), Some("true"));
        assert_eq!(element(row, "datapath_type"), None);
        assert!(super::rows("ovs-vsctl: no").is_empty());
    }
}
