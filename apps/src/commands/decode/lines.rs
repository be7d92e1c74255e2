//! `umlaut decode --lines`: a line of hex in, a line of JSON out. Runtime.

use std::io::{self, BufRead, Write};

use super::{hex, show};

/// The longest line that is read: the longest message, every digit with a space, and room to spare. The
/// rest of a longer line is skipped, so memory stays bounded.
const LINE_LIMIT: usize = 1 << 20;

/// One line in, one line out, flushed each time. Empty lines too have their answer.
pub(super) fn run(mut input: impl BufRead, output: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    while let Some(whole) = next_line(&mut input, &mut line)? {
        let value = match hex::bytes(&line) {
            _ if !whole => show::refused(
                "line",
                LINE_LIMIT,
                &format!("more than {LINE_LIMIT} bytes in a line"),
            ),
            Ok(bytes) => show::describe(&bytes),
            Err(error) => show::refused("hex", error.offset, &error.to_string()),
        };
        serde_json::to_writer(&mut *output, &value)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// Reads the next line without its end; whether it is whole, or `None` at the end of the input.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let (mut seen, mut whole) = (false, true);
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(seen.then_some(whole));
        }
        seen = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = LINE_LIMIT - line.len();
        whole &= part.len() <= room;
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(part.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Counts flushes.
    #[derive(Default)]
    struct Sink {
        bytes: Vec<u8>,
        flushed: Vec<usize>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.bytes.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.flushed.push(self.bytes.len());
            Ok(())
        }
    }

    fn answers(input: &[u8]) -> Vec<String> {
        let mut sink = Sink::default();
        run(input, &mut sink).unwrap();
        let text = String::from_utf8(sink.bytes).unwrap();
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        assert_eq!(sink.flushed, ends, "flushed after each line and only then");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_good_message_is_answered_with_its_value_and_its_bytes() {
        assert_eq!(
            answers(b"0414000800000007\n"),
            [r#"{"ok":true,"version":"1.3","type":"OFPT_BARRIER_REQUEST","xid":7,"#.to_owned()
                + r#""message":{"kind":"barrier_request"},"reencoded":"0414000800000007"}"#]
        );
        assert_eq!(
            answers(b"01 10 00 0C 00 00 00 09 00 03 00 00\r\n"),
            [r#"{"ok":true,"version":"1.0","type":"OFPT_STATS_REQUEST","xid":9,"#.to_owned()
                + r#""multipart":"OFPST_TABLE","message":{"kind":"table_stats_request"},"#
                + r#""reencoded":"0110000c0000000900030000"}"#]
        );
    }

    #[test]
    fn a_line_that_is_no_message_is_answered_with_what_is_wrong_and_where() {
        let input = b"04140009 00000009\n\nzz\n041\n04\n041400080000000700\n040e000800000007\n\xff";
        let rows: Vec<Value> =
            answers(input).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found: Vec<_> =
            rows.iter().map(|r| (&r["ok"], &r["xid"], &r["field"], &r["offset"])).collect();
        let wanted = [
            (json!(9), json!("length"), json!(2)),
            (Value::Null, json!("version"), json!(0)),
            (Value::Null, json!("hex"), json!(0)),
            (Value::Null, json!("hex"), json!(1)),
            (Value::Null, json!("kind"), json!(1)),
            (json!(7), json!("length"), json!(2)),
            (json!(7), json!("cookie"), json!(8)),
            (Value::Null, json!("hex"), json!(0)),
        ];
        let wanted: Vec<_> =
            wanted.iter().map(|(x, f, o)| (&Value::Bool(false), x, f, o)).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_is_not_modelled_is_kept() {
        for line in ["041e000800000007", "04040010000000070000232000000063", "0519000a00000007abcd"]
        {
            let rows = answers(line.as_bytes());
            let value: Value = serde_json::from_str(&rows[0]).unwrap();
            assert_eq!((&value["ok"], &value["reencoded"]), (&json!(true), &json!(line)));
        }
    }

    #[test]
    fn a_line_beyond_the_limit_is_refused_and_the_next_is_read() {
        let mut input = vec![b'0'; LINE_LIMIT + 100_000];
        input.extend(b"\n0414000800000007\n");
        let rows = answers(&input);
        assert_eq!(rows.len(), 2);
        assert!(rows[0].contains("more than 1048576 bytes"), "{}", rows[0]);
        assert!(rows[1].starts_with(r#"{"ok":true"#), "{}", rows[1]);
        // The longest message is within it, even with spaces between all digits.
        let longest = format!("0402ffff00000007{}", "00".repeat(65_527));
        let apart: String = longest.chars().flat_map(|c| [c, ' ']).collect();
        assert!(answers(apart.as_bytes())[0].ends_with(&format!(r#""reencoded":"{longest}"}}"#)));
    }
}
