//! The facts about the cluster, kept current, counted, and told.

use std::sync::Arc;

use tokio::sync::watch;

use crate::cluster::facts::{Fact, State, Status, Store};
use crate::cluster::watch::Anew;
use crate::cluster::{Connection, keep_facts};
use crate::telemetry::Metrics;
use crate::webhook::Stage;
use crate::webhook::observe::Check;

/// A detail for each fact that reviews are judged by in a report of readiness. None is a condition: without facts, the
/// request alone is judged.
pub(super) fn details(store: &Store) -> impl Iterator<Item = Check> + use<> {
    let status = store.status();
    Fact::judged_by().map(move |fact| {
        let status = status.clone();
        Check::detail(fact.as_str(), move || match status.borrow().of(fact) {
            State::Synced(what) => Ok(what.clone()),
            State::Waiting => Err(format!("not known yet; {}", fact.instead(false))),
            State::Troubled(trouble, in_use) => Err(format!("{trouble}; {}", fact.instead(*in_use))),
        })
    })
}

/// Keeps the facts current until the process drains.
pub(super) async fn keep_current(
    (connection, anew): (Connection, Anew),
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    mut stage: watch::Receiver<Stage>,
) {
    let status = store.status();
    tokio::select! {
        // What is unsynced at the end is nobody's trouble.
        _ = stage.wait_for(|now| *now >= Stage::Draining) => {}
        () = keep_facts(connection, store, anew) => tracing::error!("no fact is watched any more"),
        () = count(status, &metrics) => {}
    }
}

/// Counts how it stands, with every change.
async fn count(mut status: watch::Receiver<Status>, metrics: &Metrics) {
    loop {
        {
            let status = status.borrow_and_update();
            for fact in Fact::ALL {
                metrics.fact_is_synced(fact.as_str(), status.of(fact).is_synced());
            }
            metrics.namespaces_ask_for_unknown_modes(status.unknown_modes);
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
