//! The `umlaut` command.
fn main() {}
