//! `umlaut decode`: OpenFlow messages for people and programs.

mod pcap;

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::BytesMut;
use serde_json::{Value, json};
use umlaut_openflow::{DecodeError, Header, Message, decode, encode, name, next_frame};

/// Arguments of `umlaut decode`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Messages in hex; spaces and colons between bytes are ignored
    hex: Vec<String>,
    /// A file of hex
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pcap", "lines"])]
    file: Option<PathBuf>,
    /// A capture of control connections (classic pcap, TCP over IPv4 or IPv6)
    #[arg(long, value_name = "FILE", conflicts_with = "lines")]
    pcap: Option<PathBuf>,
    /// One message in hex per line of standard input, one JSON object per line of standard output
    #[arg(long, conflicts_with = "hex")]
    lines: bool,
    /// JSON instead of a tree
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    if args.lines {
        return lines(std::io::stdin().lock(), std::io::stdout().lock());
    }
    let mut failed = false;
    let mut show = |label: Option<&str>, bytes: &[u8]| -> anyhow::Result<()> {
        if let Some(label) = label {
            println!("{label}");
        }
        let value = describe(bytes);
        failed |= value["ok"] == Value::Bool(false);
        match args.json {
            true => println!("{}", serde_json::to_string_pretty(&value)?),
            false => print!("{}", tree(&value)),
        }
        Ok(())
    };
    if let Some(path) = &args.pcap {
        let capture = std::fs::read(path).with_context(|| path.display().to_string())?;
        for (label, stream) in pcap::streams(&capture)? {
            for message in cut(&stream) {
                show(Some(&label), message)?;
            }
        }
    } else {
        let text = match (&args.file, &args.hex[..]) {
            (Some(path), _) => {
                std::fs::read_to_string(path).with_context(|| path.display().to_string())?
            }
            (None, []) if !std::io::stdin().is_terminal() => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text)?;
                text
            }
            (None, []) => bail!("nothing to decode: give hex, --file, --pcap or --lines"),
            (None, hex) => hex.join(" "),
        };
        for message in cut(&unhex(&text)?) {
            show(None, message)?;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One line in, one line out, flushed each time.
fn lines(input: impl BufRead, mut output: impl Write) -> anyhow::Result<ExitCode> {
    for line in input.split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        let value = match unhex(&line) {
            Ok(bytes) => describe(&bytes),
            Err(error) => json!({"ok": false, "error": error.to_string()}),
        };
        serde_json::to_writer(&mut output, &value)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Cuts bytes into messages; what cannot be cut is the last piece.
fn cut(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let length = match next_frame(stream) {
            Ok(Some(length)) => length,
            Ok(None) | Err(_) => stream.len(),
        };
        let (message, rest) = stream.split_at(length);
        messages.push(message);
        stream = rest;
    }
    messages
}

fn unhex(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for (place, c) in text.chars().filter(|c| !c.is_whitespace() && *c != ':').enumerate() {
        let digit = c.to_digit(16).with_context(|| format!("{c:?} at digit {place} is not hex"))?;
        match high.take() {
            None => high = Some(digit as u8),
            Some(first) => bytes.push(first << 4 | digit as u8),
        }
    }
    if high.is_some() {
        bail!("an odd number of hex digits");
    }
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A message as JSON, or what is wrong with it.
fn describe(bytes: &[u8]) -> Value {
    match decode(bytes) {
        Ok((header, message)) => good(&header, &message),
        Err(error) => bad(&error),
    }
}

fn good(header: &Header, message: &Message<'_>) -> Value {
    let mut again = BytesMut::new();
    if let Err(error) = encode(header.version, header.xid, message, &mut again) {
        return json!({"ok": false, "xid": header.xid.0, "error": error.to_string()});
    }
    let body = match serde_json::to_value(message) {
        Ok(body) => body,
        Err(error) => return json!({"ok": false, "xid": header.xid.0, "error": error.to_string()}),
    };
    json!({
        "ok": true,
        "version": header.version.to_string(),
        "type": name(header.version, header.kind),
        "xid": header.xid.0,
        "message": body,
        "reencoded": hex(&again),
    })
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

/// A message as an indented tree.
fn tree(value: &Value) -> String {
    let mut text = String::new();
    if value["ok"] == Value::Bool(false) {
        text.push_str(&format!("not a message: {}\n", value["error"].as_str().unwrap_or_default()));
        return text;
    }
    let word = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let xid = value["xid"].as_u64().unwrap_or_default();
    let length = word("reencoded").len() / 2;
    text.push_str(&format!(
        "{} (OpenFlow {}, xid {xid:#x}, {length} bytes)\n",
        word("type"),
        word("version")
    ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_is_a_line_out_good_or_bad() {
        let input = "0414000800000007\n04 0e 00 08 00 00 00 09\nzz\n\n";
        let mut output = Vec::new();
        lines(input.as_bytes(), &mut output).unwrap();
        let rows: Vec<Value> =
            output.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[0]["type"], "OFPT_BARRIER_REQUEST");
        assert_eq!(rows[0]["reencoded"], "0414000800000007");
        assert_eq!((&rows[1]["ok"], &rows[1]["xid"]), (&json!(false), &json!(9)));
        assert_eq!(rows[1]["offset"], 8);
        assert_eq!(rows[2]["ok"], false);
        assert_eq!(rows[3]["ok"], false);
    }

    #[test]
    fn a_stream_is_cut_into_messages() {
        let two = [4, 20, 0, 8, 0, 0, 0, 1, 4, 21, 0, 8, 0, 0, 0, 1, 4];
        assert_eq!(cut(&two).iter().map(|m| m.len()).collect::<Vec<_>>(), [8, 8, 1]);
    }
}
