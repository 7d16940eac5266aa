//! Keeps the client CA current: from a file, or from the cluster's own ConfigMap.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Stage, reached};
use crate::certs::{CertError, Clients};
use crate::cluster::ApiError;
use crate::cluster::client_ca::{PLACE, client_ca};
use crate::telemetry::Metrics;

/// How often the file is read. As with the serving pair, a mounted file may change in more ways than a watch sees.
const FILE_INTERVAL: Duration = Duration::from_secs(1);

/// Interval of reading the ConfigMap. A cluster's client CA changes once in years, and overlaps.
const CLUSTER_INTERVAL: Duration = Duration::from_mins(1);

/// Interval of reading the ConfigMap while nothing is loaded, when every caller is refused.
const LOADING_INTERVAL: Duration = Duration::from_secs(2);

/// The source of the client CA.
#[derive(Clone)]
pub enum Source {
    /// A file of PEM certificates.
    File(PathBuf),
    /// The ConfigMap in which a cluster publishes the authority of its clients.
    Cluster(Client),
}

/// Keeps the authorities of `clients` current.
pub struct Keeper {
    source: Source,
    clients: Arc<Clients>,
    metrics: Arc<Metrics>,
    /// The text of the loaded client CA.
    loaded: Option<Vec<u8>>,
    /// The last failure, which has been logged.
    failure: Option<String>,
}

/// The reason for which the client CA cannot be read.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("{0}")]
    Cluster(String),
    #[error(transparent)]
    Certificate(#[from] CertError),
}

// === impl Keeper ===

impl Keeper {
    /// Loads nothing yet.
    pub fn new(source: Source, clients: Arc<Clients>, metrics: Arc<Metrics>) -> Self {
        Self { source, clients, metrics, loaded: None, failure: None }
    }

    /// Loads a file once, so that an unusable one is reported before anything is served.
    pub fn load_file(&mut self) -> Result<(), CertError> {
        let Source::File(file) = &self.source else { return Ok(()) };
        let text =
            std::fs::read(file).map_err(|source| CertError::Unreadable { file: file.clone(), source })?;
        self.clients.trust(file, &text)?;
        self.loaded = Some(text);
        Ok(())
    }

    /// Loads changes, until the process drains.
    pub async fn run(mut self, stage: watch::Receiver<Stage>) {
        let mut draining = pin!(reached(Stage::Draining, stage));
        loop {
            self.look().await;
            let pause = match self.source {
                Source::File(_) => FILE_INTERVAL,
                Source::Cluster(_) if self.loaded.is_none() => LOADING_INTERVAL,
                Source::Cluster(_) => CLUSTER_INTERVAL,
            };
            tokio::select! {
                () = &mut draining => return,
                () = sleep(pause) => {}
            }
        }
    }

    async fn look(&mut self) {
        match self.read().await {
            Ok(text) if self.loaded.as_ref() == Some(&text) => self.failure = None,
            Ok(text) => match self.clients.trust(self.place(), &text) {
                Ok(certificates) => {
                    tracing::info!(from = %self.place().display(), certificates, "loaded the client CA");
                    (self.loaded, self.failure) = (Some(text), None);
                }
                Err(error) => self.failed(&error.into()),
            },
            Err(error) => self.failed(&error),
        }
    }

    async fn read(&self) -> Result<Vec<u8>, Unreadable> {
        match &self.source {
            Source::File(file) => {
                let unreadable = |source: io::Error| CertError::Unreadable { file: file.clone(), source };
                Ok(tokio::fs::read(file).await.map_err(unreadable)?)
            }
            Source::Cluster(client) => {
                client_ca(client).await.map_err(|error: ApiError| Unreadable::Cluster(error.told()))
            }
        }
    }

    fn place(&self) -> &Path {
        match &self.source {
            Source::File(file) => file,
            Source::Cluster(_) => PLACE.as_ref(),
        }
    }

    /// Counts each failure, and logs the same one once.
    fn failed(&mut self, error: &Unreadable) {
        self.metrics.client_ca_failed();
        let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
        let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        if self.failure.as_ref() != Some(&text) {
            let meanwhile = if self.loaded.is_some() {
                "the client CA of before stays in force"
            } else {
                "every caller is refused"
            };
            tracing::error!(from = %self.place().display(), error = text, "cannot load the client CA: {meanwhile}");
            self.failure = Some(text);
        }
    }
}
