//! The facts of a cluster at one moment, for those who judge once and end.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

use super::ca_bundle::Kind;
use super::facts::{Fact, State, Status, Store};
use super::{Connection, keep_facts};
use crate::policy::{Facts, Flux};

/// How long all of it may take. An API server answers a list of a thousand sources in well below a second.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a cluster says about itself.
#[derive(Debug)]
pub struct Snapshot {
    /// What is known.
    pub facts: Facts,
    /// What is not, and why, in a line each.
    pub missing: Vec<String>,
}

/// The cluster cannot be judged by.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// Without the CRD there is nothing to judge by.
    #[error("cannot read the CRD of HelmRelease from the cluster: {0}")]
    NoSchemas(String),
    /// It does not answer.
    #[error("the API server did not answer within {} seconds", DEADLINE.as_secs())]
    Late,
}

/// Asks a cluster for everything that releases are judged by.
pub async fn snapshot(connection: Connection) -> Result<Snapshot, SnapshotError> {
    let store = Arc::new(Store::new(Flux::default()));
    let mut status = store.status();
    let told = status.wait_for(|status| wanted().all(|fact| is_settled(status, fact)));
    let told = async { told.await.map(|status| status.clone()) };
    let status = tokio::select! {
        told = timeout(DEADLINE, told) => told.map_err(|_| SnapshotError::Late)?.expect("we hold the store"),
        () = keep_facts(connection, Arc::clone(&store)) => return Err(SnapshotError::Late),
    };
    if let Some(why) = trouble(&status, Fact::HelmReleaseCrd) {
        return Err(SnapshotError::NoSchemas(why));
    }
    let facts = store.read().clone();
    if facts.helm_release.is_none() {
        return Err(SnapshotError::NoSchemas("there is none; is Flux installed?".to_owned()));
    }
    let missing = wanted().filter_map(|fact| Some(format!("{}: {}", fact.as_str(), trouble(&status, fact)?)));
    Ok(Snapshot { facts, missing: missing.collect() })
}

/// What is waited for: what releases are judged by. Namespaces say how a webhook is to act, and nothing about what is right.
fn wanted() -> impl Iterator<Item = Fact> {
    let others = Kind::ALL.map(Fact::of_conditions);
    Fact::ALL.into_iter().filter(move |fact| !others.contains(fact) && *fact != Fact::Namespaces)
}

/// Whether there is nothing more to wait for. The sources of a kind are not asked for before their CRD was read.
fn is_settled(status: &Status, fact: Fact) -> bool {
    let crd = match fact {
        Fact::OciRepositories => Some(Fact::OciRepositoryCrd),
        Fact::HelmCharts => Some(Fact::HelmChartCrd),
        Fact::ExternalArtifacts => Some(Fact::ExternalArtifactCrd),
        _ => None,
    };
    *status.of(fact) != State::Waiting || crd.is_some_and(|crd| trouble(status, crd).is_some())
}

fn trouble(status: &Status, fact: Fact) -> Option<String> {
    match status.of(fact) {
        State::Troubled(trouble, _) => Some(trouble.to_string()),
        State::Waiting | State::Synced(_) => None,
    }
}
