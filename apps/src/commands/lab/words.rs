//! Lines of the shell: from a line to words, and what a word may become. Pure.

use clap::Command;

/// The words of a line: separated by spaces, with quotes as in a shell; a `#` begins a comment.
///
/// # Errors
/// A quote without its end.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        Some(end) if end == c => break,
                        Some(other) => word.push(other),
                        None => return Err(format!("a {c} without its end")),
                    }
                }
            }
            '#' if word.is_none() => break,
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// What the word at the end of `line` may become: where it begins, and the candidates in order. The
/// first word is a command; behind it come its options, where the word begins with a `-`, and the
/// names of the lab.
pub(super) fn complete(line: &str, commands: &Command, names: &[String]) -> (usize, Vec<String>) {
    let start = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let begun = &line[start..];
    let first = line.split_whitespace().next().filter(|_| !line[..start].trim().is_empty());
    let mut found: Vec<String> = match first {
        None => commands.get_subcommands().map(|command| command.get_name().to_owned()).collect(),
        Some(first) if begun.starts_with('-') => commands
            .find_subcommand(first)
            .into_iter()
            .flat_map(Command::get_arguments)
            .filter_map(|argument| Some(format!("--{}", argument.get_long()?)))
            .collect(),
        Some(_) => names.to_vec(),
    };
    found.retain(|candidate| candidate.starts_with(begun));
    found.sort();
    found.dedup();
    (start, found)
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn words_are_split_as_in_a_shell() {
        let rows: &[(&str, Result<&[&str], &str>)] = &[
            ("", Ok(&[])),
            ("  send-packets  -s alice ", Ok(&["send-packets", "-s", "alice"])),
            (
                "netns alice sh -c 'ping -c1 \"x\"'",
                Ok(&["netns", "alice", "sh", "-c", "ping -c1 \"x\""]),
            ),
            ("a\"b c\"d ''", Ok(&["ab cd", ""])),
            ("# nothing", Ok(&[])),
            ("stop s1 # for a while", Ok(&["stop", "s1"])),
            ("a#b", Ok(&["a#b"])),
            ("netns 'alice", Err("a ' without its end")),
        ];
        for (line, wanted) in rows {
            let found = split(line);
            let found = found.as_ref().map(|words| words.iter().map(String::as_str).collect());
            assert_eq!(found.map_err(String::as_str), wanted.map(<[&str]>::to_vec), "{line}");
        }
    }

    #[test]
    fn words_become_commands_options_and_names() {
        let commands = Command::new("x")
            .subcommand(Command::new("send-packets").arg(Arg::new("d").long("duration")))
            .subcommand(Command::new("stop"))
            .subcommand(Command::new("status"));
        let names = ["alice", "s1", "s1/1", "albert"].map(str::to_owned);
        let rows: &[(&str, usize, &[&str])] = &[
            ("", 0, &["send-packets", "status", "stop"]),
            ("st", 0, &["status", "stop"]),
            ("stop ", 5, &["albert", "alice", "s1", "s1/1"]),
            ("stop al", 5, &["albert", "alice"]),
            ("  stop s1/", 7, &["s1/1"]),
            ("send-packets --d", 13, &["--duration"]),
            ("stop --d", 5, &[]),
            ("fly --d", 4, &[]),
        ];
        for (line, start, wanted) in rows {
            let found = complete(line, &commands, &names);
            assert_eq!(found, (*start, wanted.iter().map(|w| (*w).to_owned()).collect()), "{line}");
        }
    }
}
