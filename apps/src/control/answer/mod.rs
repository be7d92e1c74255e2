//! Answers to questions: one file each. Runtime.

mod criteria;
mod each;
mod events;
pub(crate) mod explain;
mod flows;
mod hosts;
mod ports;
mod slices;
mod sources;
mod stats;
mod switches;

use serde_json::{Value, json, to_value};

use super::names::Names;
use super::protocol::{Problem, Question};
use super::rows::{ControllerRow, Counters, Levels};
use super::server::{Client, Ended};
use super::{Control, Vocabulary};

/// Answers one question. What is returned is said at the end of the answer.
pub(super) async fn answer<P: Vocabulary>(
    control: &Control<P>,
    question: Question,
    client: &mut Client,
) -> Result<Value, Ended> {
    let writer = &mut client.writer;
    match question {
        Question::Controller => {
            writer.row(to_value(controller(control))).await?;
            Ok(json!({}))
        }
        Question::Switches => switches::answer(control, writer).await,
        Question::Ports { switch } => ports::answer(control, switch.as_deref(), writer).await,
        Question::Hosts { switch, slice } => {
            hosts::answer(control, switch.as_deref(), slice.as_deref(), writer).await
        }
        Question::Slices => slices::answer(control, writer).await,
        Question::Flows { switch, slice, host } => {
            let asked = flows::Asked { switch, slice, host };
            flows::answer(control, asked, writer).await
        }
        Question::Explain { at, frame, described } => {
            let asked = explain::Asked { at, frame, described: *described };
            explain::answer(control, asked, writer).await
        }
        Question::Stats => stats::answer(control, writer).await,
        Question::Events { follow } => events::answer(control, follow, client).await,
        Question::Log { filter } => log(control, &filter),
    }
}

fn log<P: Vocabulary>(control: &Control<P>, filter: &str) -> Result<Value, Ended> {
    let Some(set) = &control.log else {
        let text = "this controller cannot change what it logs while it runs";
        return Err(Problem::new("unsupported", text).into());
    };
    set(filter).map_err(|error| Problem::new("bad-filter", error))?;
    Ok(json!({}))
}

fn controller<P: Vocabulary>(control: &Control<P>) -> ControllerRow {
    let shared = &control.shared;
    let world = shared.world.load();
    ControllerRow {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        listening: control.listening.iter().map(ToString::to_string).collect(),
        openflow: shared.versions().iter().map(ToString::to_string).collect(),
        applications: shared.apps.names().map(str::to_owned).collect(),
        revision: world.revision,
        policy_revision: world.policy_revision,
        policy: world.policy.slices().map(|policy| policy.policy.file().to_owned()),
        cookie_epoch: shared.net.epoch | umlaut_controller::path::PATH_EPOCH,
    }
}

fn counters(of: &umlaut_controller::switch::SwitchCounters) -> Counters {
    Counters {
        packet_ins: of.packet_ins,
        flow_mods: of.flow_mods,
        packet_outs: of.packet_outs,
        shed: of.shed,
        limited: of.limited,
        stormed: of.stormed,
        storm_entries: of.storm_entries,
        failed_paths: of.failed_paths,
        resyncs: of.resyncs,
        repaired: of.repaired,
        errors: of.errors,
    }
}

fn levels(of: &umlaut_controller::switch::SwitchLevels, mailbox: usize) -> Levels {
    Levels {
        output_bytes: of.output_bytes as u64,
        mailbox: mailbox as u64,
        waiting_bytes: of.waiting_bytes as u64,
        installing: of.installing as u64,
        requests: of.requests as u64,
        paths: of.paths as u64,
        hops: of.hops as u64,
    }
}
