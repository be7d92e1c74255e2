//! `umlaut bench canned`: a controller that decides nothing. Runtime.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use umlaut_testbed::load::canned::{Canned, respond};

/// Arguments of `umlaut bench canned`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where switches connect
    #[arg(long, default_value = "127.0.0.1:6653", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Send a packet-out behind each flow-mod, as controllers do for switches without buffers
    #[arg(long)]
    packet_outs: bool,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(args.listen)
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(stop.clone())?;
    let canned = Canned { packet_outs: args.packet_outs };
    let counts = respond(&listener, canned, &stop).context("cannot answer switches")?;
    eprintln!("{} packet-ins, {} flow-removed", counts.packet_ins, counts.flow_removed);
    Ok(ExitCode::SUCCESS)
}

/// SIGINT and SIGTERM end it.
fn stop_on_signals(stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        stop.store(true, Ordering::Relaxed);
    })?;
    Ok(())
}
