//! `umlaut decode`: OpenFlow messages for people and programs. Runtime.

pub(super) mod capture;
pub(super) mod hex;
mod lines;
mod segment;
mod show;
mod streams;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::Value;
use umlaut_openflow::next_frame;

use super::input::{self, CAPTURE_BYTES};
use capture::{Capture, Fault};

/// Arguments of `umlaut decode`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Messages in hex, spaces and colons between digits ignored; or one file, as of --file
    hex: Vec<String>,
    /// A file of messages: hex, bytes, or a capture
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hex", "pcap", "lines"])]
    file: Option<PathBuf>,
    /// A capture of control connections (pcap or pcapng, TCP over IPv4 or IPv6)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hex", "lines"])]
    pcap: Option<PathBuf>,
    /// One message in hex per line of standard input, one JSON object per line of standard output
    #[arg(long, conflicts_with = "hex")]
    lines: bool,
    /// JSON instead of a tree
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let mut output = std::io::stdout().lock();
    let done = match args.lines {
        true => lines::run(std::io::stdin().lock(), &mut output).map(|()| true),
        false => show_all(&messages(args)?, args.json, &mut output),
    };
    match done {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        // Whoever reads the output has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.into()),
    }
}

/// A message to show, and the direction of the connection it came in, if it came in one.
struct Shown {
    stream: Option<String>,
    bytes: Vec<u8>,
}

fn messages(args: &Args) -> anyhow::Result<Vec<Shown>> {
    if let Some(path) = &args.pcap {
        return captured(&read(path)?).with_context(|| path.display().to_string());
    }
    if let Some(path) = &args.file {
        return contained(&read(path)?).with_context(|| path.display().to_string());
    }
    match &args.hex[..] {
        [] if std::io::stdin().is_terminal() => {
            bail!("nothing to decode: give hex, --file, --pcap or --lines")
        }
        [] => contained(&input::standard(CAPTURE_BYTES)?),
        [path] if Path::new(path).is_file() && hex::bytes(path.as_bytes()).is_err() => {
            contained(&read(Path::new(path))?).with_context(|| path.clone())
        }
        words => plain(&hex::bytes(words.join(" ").as_bytes())?),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    input::file(path, CAPTURE_BYTES).with_context(|| path.display().to_string())
}

/// The messages in a file's bytes: a capture, hex, or messages as they are.
fn contained(bytes: &[u8]) -> anyhow::Result<Vec<Shown>> {
    if capture::is_capture(bytes) {
        return captured(bytes);
    }
    match bytes.is_ascii() && !bytes.contains(&0) {
        true => plain(&hex::bytes(bytes)?),
        false => plain(bytes),
    }
}

fn plain(bytes: &[u8]) -> anyhow::Result<Vec<Shown>> {
    let shown = |message: &[u8]| Shown { stream: None, bytes: message.to_vec() };
    Ok(cut(bytes).into_iter().map(shown).collect())
}

/// The messages of all connections of a capture, in the order in which they were complete.
fn captured(bytes: &[u8]) -> anyhow::Result<Vec<Shown>> {
    let Capture { packets, fault } = capture::read(bytes)?;
    if let Some(fault @ Fault::Wrong { .. }) = fault {
        return Err(fault.into());
    }
    let mut messages = Vec::new();
    for piece in streams::pieces(&packets) {
        let mut end = 0;
        for message in cut(&piece.bytes) {
            end += message.len();
            let shown = Shown { stream: Some(piece.name.clone()), bytes: message.to_vec() };
            messages.push((piece.complete_at(end), shown));
        }
    }
    messages.sort_by_key(|(packet, _)| *packet);
    Ok(messages.into_iter().map(|(_, shown)| shown).collect())
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

/// Shows messages; whether all of them are good.
fn show_all(messages: &[Shown], json: bool, output: &mut impl Write) -> std::io::Result<bool> {
    let mut good = true;
    for Shown { stream, bytes } in messages {
        let mut value = show::describe(bytes);
        good &= value["ok"] == Value::Bool(true);
        if json {
            if let Some(stream) = stream {
                value["stream"] = stream.as_str().into();
            }
            serde_json::to_writer_pretty(&mut *output, &value)?;
            writeln!(output)?;
        } else {
            stream.iter().try_for_each(|stream| writeln!(output, "{stream}"))?;
            write!(output, "{}", show::tree(&value))?;
        }
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARRIER: [u8; 8] = [4, 20, 0, 8, 0, 0, 0, 1];

    fn bytes(messages: anyhow::Result<Vec<Shown>>) -> Vec<Vec<u8>> {
        messages.unwrap().into_iter().map(|shown| shown.bytes).collect()
    }

    #[test]
    fn a_stream_is_cut_into_messages() {
        let two = [4, 20, 0, 8, 0, 0, 0, 1, 4, 21, 0, 8, 0, 0, 0, 1, 4];
        assert_eq!(cut(&two).iter().map(|m| m.len()).collect::<Vec<_>>(), [8, 8, 1]);
    }

    #[test]
    fn a_file_is_hex_or_messages_as_they_are() {
        let twice = [BARRIER, BARRIER].concat();
        assert_eq!(bytes(contained(&twice)), [BARRIER, BARRIER]);
        assert_eq!(bytes(contained(b"04140008 00000001\r\n0414 0008 0000 0001\n")), [BARRIER; 2]);
        let wrong = contained(b"04140008 0000000x").err().unwrap();
        assert_eq!(wrong.to_string(), "'x' at digit 15 is not hex");
        assert!(contained(b"").unwrap().is_empty());
    }

    #[test]
    fn a_tree_names_the_multipart_and_says_what_is_wrong() {
        let request = hex::bytes(b"0412001000000007 000d000000000000").unwrap();
        let broken = hex::bytes(b"0412001000000007 0004000000000000").unwrap();
        let messages = [&request, &broken]
            .map(|bytes| Shown { stream: Some("a > b".to_owned()), bytes: bytes.clone() });
        let mut text = Vec::new();
        assert!(!show_all(&messages, false, &mut text).unwrap());
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "a > b\nOFPT_MULTIPART_REQUEST OFPMP_PORT_DESC (OpenFlow 1.3, xid 0x7, 16 bytes)\n\
             a > b\nnot a message: OFPT_MULTIPART_REQUEST (version 1.3): port_no at byte 16: cut short\n"
        );
        let mut text = Vec::new();
        assert!(show_all(&messages[..1], true, &mut text).unwrap());
        let value: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            (&value["multipart"], &value["stream"]),
            (&"OFPMP_PORT_DESC".into(), &"a > b".into())
        );
    }
}
