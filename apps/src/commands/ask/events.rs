//! Events, one per line, as they come.

use serde_json::json;

use super::connection::{Piece, typed};
use super::{Asking, print};
use crate::control::protocol::Question;
use crate::control::rows::EventRow;

/// Prints what happened of late; with `follow` what happens, until interrupted. Of these kinds only,
/// if any are given.
pub(super) fn show(asking: &Asking, follow: bool, kinds: &[String]) -> anyhow::Result<()> {
    asking.connect()?.ask(Question::Events { follow }, |piece| {
        let text = match (piece, asking.json) {
            (Piece::Lost(lost), true) => format!("{}\n", json!({"lost": lost})),
            (Piece::Lost(lost), false) => format!("... {lost} events lost: they came too fast\n"),
            (Piece::Rows(rows), json) => {
                let wanted = |row: &EventRow| kinds.is_empty() || kinds.contains(&row.event);
                let mut text = String::new();
                for row in typed::<EventRow>(rows)?.into_iter().filter(wanted) {
                    text.push_str(&match json {
                        true => serde_json::to_string(&row)?,
                        false => line(&row),
                    });
                    text.push('\n');
                }
                text
            }
        };
        print(&text)
    })?;
    Ok(())
}

fn line(row: &EventRow) -> String {
    let hint = row.about.get("hint").map_or(String::new(), |hint| format!(" ({hint})"));
    format!("{}  {:<17}  {}{hint}", row.time, row.event, row.text)
}
