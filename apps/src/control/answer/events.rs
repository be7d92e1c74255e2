//! What happened, and what happens. Runtime.

use std::sync::atomic::Ordering;

use serde_json::{Value, json, to_value};

use super::{Control, Names, Vocabulary};
use crate::control::events::row;
use crate::control::protocol::{Body, ROWS_PER_LINE};
use crate::control::server::{Client, Ended};

pub(super) async fn answer<P: Vocabulary>(
    control: &Control<P>,
    follow: bool,
    client: &mut Client,
) -> Result<Value, Ended> {
    let mut news = control.events.news();
    let mut from = control.events.oldest();
    loop {
        let known = *news.borrow_and_update();
        while from < known {
            let (lost, events) = control.events.take(from, ROWS_PER_LINE);
            if lost > 0 {
                client.writer.flush().await?;
                client.writer.line(Body::Lost(lost)).await?;
                control.losses.events.fetch_add(lost, Ordering::Relaxed);
            }
            from = events.last().map_or(from + lost, |event| event.number + 1);
            // Names may have changed since: these are those of now.
            let rows: Vec<_> = {
                let world = control.shared.world.load();
                let names = Names::new(world.policy.slices());
                events.iter().map(|event| row(event, &names)).collect()
            };
            for row in rows {
                client.writer.row(to_value(row)).await?;
            }
        }
        client.writer.flush().await?;
        if !follow {
            return Ok(json!({}));
        }
        tokio::select! {
            more = news.changed() => if more.is_err() { return Ok(json!({})) },
            // A further question ends this answer.
            stirred = client.stirs() => {
                stirred?;
                return Ok(json!({}));
            }
        }
    }
}
