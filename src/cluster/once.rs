//! The facts of a cluster at one moment, for those who judge once and end.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;

use super::facts::{Fact, Status, Store};
use super::watch::Anew;
use super::{Connection, keep_facts};
use crate::policy::{Facts, Flux, HELM_GROUP, SOURCE_GROUP};

/// How long all of it may take. An API server answers a list of a thousand sources in well below a second.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a cluster says about itself.
#[derive(Debug)]
pub struct Snapshot {
    /// What is known.
    pub facts: Facts,
    /// The CRDs of HelmRelease and the sources, as far as they can be read.
    pub crds: Vec<Value>,
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
    let client = connection.client.clone();
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
    Ok(Snapshot { facts, crds: crds(&client).await, missing: missing.collect() })
}

/// The CRDs whose schemas objects are validated by. One that cannot be read is left out: `missing` names what is unknown about its kind.
async fn crds(client: &Client) -> Vec<Value> {
    let resource = ApiResource::erase::<CustomResourceDefinition>(&());
    let api = &Api::<DynamicObject>::all_with(client.clone(), &resource);
    let sources = ["externalartifacts", "helmcharts", "helmrepositories", "ocirepositories"];
    let sources = sources.map(|plural| format!("{plural}.{SOURCE_GROUP}"));
    let names = iter::once(format!("helmreleases.{HELM_GROUP}")).chain(sources);
    let lists = names.map(async |name| {
        // Listed, as `keep_facts` does: it takes no further right.
        let only = ListParams::default().fields(&format!("metadata.name={name}"));
        api.list(&only).await.map(|list| list.items).unwrap_or_default()
    });
    let lists = futures_util::future::join_all(lists).await;
    lists.into_iter().flatten().map(|crd| crd.data).collect()
}
