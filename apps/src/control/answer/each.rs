//! The same question to many switches at once, answers in their order. Runtime.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use umlaut_controller::request::RequestError;
use umlaut_controller::runtime::SwitchHandle;
use umlaut_controller::switch::{Switch, SwitchStatus};
use umlaut_controller::{Shared, View};
use umlaut_openflow::DatapathId;

use super::Vocabulary;

/// Switches asked at the same time.
const AT_ONCE: usize = 32;
/// How long a session may take to come to its turn.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Asks switches, [`AT_ONCE`] of them at a time.
pub(super) async fn each<P: Vocabulary, F, R>(
    shared: Arc<Shared<P>>,
    switches: Vec<DatapathId>,
    ask: impl Fn(SwitchHandle) -> F,
) -> BTreeMap<DatapathId, R>
where
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let mut answers = BTreeMap::new();
    let mut asked = JoinSet::new();
    for dpid in switches {
        if asked.len() >= AT_ONCE
            && let Some(Ok((dpid, answer))) = asked.join_next().await
        {
            answers.insert(dpid, answer);
        }
        let answer = ask(SwitchHandle::new(&shared, dpid));
        asked.spawn(async move { (dpid, answer.await) });
    }
    while let Some(Ok((dpid, answer))) = asked.join_next().await {
        answers.insert(dpid, answer);
    }
    answers
}

/// Runs a function in a switch's turn, within [`PATIENCE`].
pub(super) async fn run<R: Send + 'static>(
    switch: &SwitchHandle,
    function: impl FnOnce(&mut Switch, &View<'_>) -> R + Send + 'static,
) -> Result<R, RequestError> {
    let run = tokio::time::timeout(PATIENCE, switch.run(function));
    run.await.unwrap_or(Err(RequestError::TimedOut))
}

/// A switch as it is now.
pub(super) async fn status(switch: SwitchHandle) -> Result<SwitchStatus, RequestError> {
    run(&switch, |switch, _| switch.status()).await
}
