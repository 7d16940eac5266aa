//! The facts of a cluster at one moment, for those who judge once and end.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

use super::facts::{Fact, Status, Store};
use super::watch::Anew;
use super::{Connection, keep_facts};
use crate::policy::{Facts, Flux};

/// How long all of it may take. An API server answers a list of a thousand sources in well below a second.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a cluster says about itself.
#[derive(Debug)]
pub struct Snapshot {
    /// What is known.
    pub facts: Facts,
    /// What is not, and why.
    pub missing: Vec<(Fact, String)>,
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
    let told = status.wait_for(Status::is_settled);
    let told = async { told.await.map(|status| status.clone()) };
    let status = tokio::select! {
        told = timeout(DEADLINE, told) => told.map_err(|_| SnapshotError::Late)?.expect("we hold the store"),
        () = keep_facts(connection, Arc::clone(&store), Anew::every(DEADLINE * 2)) => return Err(SnapshotError::Late),
    };
    if let Some(why) = status.trouble(Fact::HelmReleaseCrd) {
        return Err(SnapshotError::NoSchemas(why));
    }
    let facts = store.read().clone();
    if facts.helm_release.is_none() {
        return Err(SnapshotError::NoSchemas("there is none; is Flux installed?".to_owned()));
    }
    let missing = Fact::judged_by().filter_map(|fact| Some((fact, status.trouble(fact)?)));
    Ok(Snapshot { facts, missing: missing.collect() })
}
