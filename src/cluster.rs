//! What the program asks of the API server. Everything here waits, and may fail; no review ever waits for it.
//!
//! - [`allowance`] limits the rate of requests and writes.
//! - [`connection`] finds the API server, or says why there is none.
//! - [`secret`] reads and writes one Secret that several servers share.
//! - [`ca_bundle`] reads and writes what the webhook configurations trust.
//! - [`client_ca`] reads the client CA of the cluster.
//! - [`event`] leaves a word at an object of our own for `kubectl describe`.
//! - [`lease`] agrees with other replicas on the one that works.
//! - [`reports`] reads and writes what an audit leaves in each namespace.
//! - [`events`] writes Events on the objects that were judged.
//! - [`facts`] holds what the cluster says about itself, for every review.
//! - [`once`] asks for the facts of one moment.
//! - [`pages`] reads every release of a cluster.
//! - [`kustomizations`] lists the Flux Kustomizations that apply with force.
//! - [`releases`] lists what a namespace holds.
//! - [`conditions`] says under which conditions the API server calls us.
//! - `version` reads the version of the API server.
//! - `crd`, `namespaces` and `sources` each follow a part of it by a [`watch`], `named` a single object.

pub mod allowance;
pub mod ca_bundle;
pub mod client_ca;
pub mod conditions;
pub mod connection;
mod crd;
pub mod event;
pub mod events;
pub mod facts;
pub mod kustomizations;
pub mod lease;
mod named;
mod namespaces;
pub mod once;
pub mod pages;
pub mod releases;
pub mod reports;
pub mod secret;
mod sources;
mod version;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use kube::core::Status;
use kube::runtime::watcher;
use thiserror::Error;
use tokio::join;
use tokio::time::timeout;

use crate::policy::CHART_REF_KINDS;
use ca_bundle::Kind;
use facts::{Fact, Store};
use pages::progress::{ENDLESS_ANSWERS, MAX_OBJECTS};
use watch::Anew;

pub use crd::schemas_of;

pub use connection::{Access, Connection, ConnectionError};

/// As whom we write, in `metadata.managedFields` and in events.
pub const FIELD_MANAGER: &str = "chartgate";

/// How long an answer of the API server may take. What is asked here is small.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why the API server did not do what it was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApiError {
    /// It refused, or cannot be reached.
    #[error(transparent)]
    Refused(#[from] Box<kube::Error>),
    /// It does not let us watch, or cannot be reached.
    #[error(transparent)]
    Unwatched(#[from] Box<watcher::Error>),
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// Its answer is longer than the requested data can be.
    #[error("the answer is longer than any object is")]
    TooLong,
    /// It answers a list with something else.
    #[error("the answer is no list of objects: {0}")]
    NoList(String),
    /// A list never comes to its end.
    #[error(
        "the list does not end: {ENDLESS_ANSWERS} answers in a row brought nothing new, or there are more than {MAX_OBJECTS} objects"
    )]
    Endless,
    /// A list is not in the order of its keys, by which it is known what was read.
    #[error("the list is out of order: {0} comes after {1}")]
    OutOfOrder(String, String),
}

/// What came of a write that depends on what was read before.
pub enum Written<T> {
    /// It is done; this is what the API server has now.
    Done(T),
    /// Somebody was faster: read again.
    Raced,
}

impl ApiError {
    /// The HTTP status of a refusal.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(error) => match &**error {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the moment of a list is gone: etcd was compacted since its first page.
    pub fn is_expired(&self) -> bool {
        self.code() == Some(410)
    }

    /// The error on one line, with its causes.
    pub fn told(&self) -> String {
        told(self)
    }
}

/// What went wrong and why, on one line. What the API server says of a refusal is all that matters of it: the client's
/// own errors wrap that into a dump of the whole answer.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = || std::iter::successors(Some(error), |error| error.source());
    let refused = causes().find_map(|error| match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => Some(status.message.clone()),
        _ => error.downcast_ref::<Box<Status>>().map(|status| status.message.clone()),
    });
    if let Some(refused) = refused.filter(|message| !message.is_empty()) {
        return refused;
    }
    let mut text = String::new();
    for cause in causes().map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    text.replace('\n', " ")
}

async fn in_time<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match timeout(DEADLINE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Box::new(error).into()),
        Err(_) => Err(ApiError::Late),
    }
}

/// Tells being too late apart from every other refusal.
fn raced<T>(answer: Result<T, ApiError>) -> Result<Written<T>, ApiError> {
    match answer {
        Ok(object) => Ok(Written::Done(object)),
        // It exists already, has changed, or has gone.
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(Written::Raced),
        Err(error) => Err(error),
    }
}

/// Keeps the facts current for as long as it is polled. Nothing that goes wrong ends it.
pub async fn keep_facts(connection: Connection, store: Arc<Store>, anew: Anew) {
    let Connection { client, .. } = connection;
    let client = (client, &anew);
    let [oci, chart, artifact] = CHART_REF_KINDS else { unreachable!("it is a constant of three kinds") };
    let source = |of_crd, of_objects, kind: &'static str, plural: &'static str| {
        let (client, store) = (client.clone(), &store);
        async move {
            let newest = crd::Newest::new(None);
            join!(
                crd::keep_source(client.clone(), store, (of_crd, kind, plural), Some(&newest)),
                sources::keep(client, store, (of_objects, kind, plural), &newest),
            );
        }
    };
    join!(
        crd::keep_helm_release(client.clone(), &store),
        namespaces::keep(client.clone(), &store),
        version::keep(client.0.clone(), &store),
        source(Fact::OciRepositoryCrd, Fact::OciRepositories, oci, "ocirepositories"),
        source(Fact::HelmChartCrd, Fact::HelmCharts, chart, "helmcharts"),
        source(Fact::ExternalArtifactCrd, Fact::ExternalArtifacts, artifact, "externalartifacts"),
        crd::keep_source(
            client.clone(),
            &store,
            (Fact::HelmRepositoryCrd, "HelmRepository", "helmrepositories"),
            None
        ),
        conditions::keep(client.clone(), &store, Kind::Mutating),
        conditions::keep(client.clone(), &store, Kind::Validating),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_api_server() {
        let status =
            Status::failure("namespaces is forbidden: User \"a\" cannot list it", "Forbidden").with_code(403);
        let said = "namespaces is forbidden: User \"a\" cannot list it";
        let refused = kube::Error::Api(Box::new(status.clone()));
        assert_eq!(told(&watcher::Error::InitialListFailed(refused)), said);
        assert_eq!(told(&watcher::Error::WatchError(Box::new(status.clone()))), said);
        assert_eq!(ApiError::from(Box::new(kube::Error::Api(Box::new(status)))).told(), said);
    }

    #[test]
    fn other_errors_are_told_with_their_causes_and_nothing_twice() {
        assert_eq!(ApiError::Late.told(), "no answer in time");
        let error = watcher::Error::InitialListFailed(kube::Error::LinesCodecMaxLineLengthExceeded);
        assert_eq!(told(&error), "failed to perform initial object list: Error finding newline character");
    }
}
