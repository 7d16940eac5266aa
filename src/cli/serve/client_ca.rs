//! Configures `--client-ca`: whether callers have to present a certificate, and which CA must have signed it.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ServeError;
use crate::certs::Clients;
use crate::cluster::Connection;
use crate::telemetry::Metrics;
use crate::webhook::Stage;
use crate::webhook::client_ca::{Keeper, Source};
use crate::webhook::observe::Check;

/// The value of `--client-ca`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientCa {
    /// The client CA that the cluster publishes.
    Cluster,
    /// A file of certificates.
    File(PathBuf),
}

/// Verifies callers, and keeps their client CA current.
pub(super) struct ClientAuth {
    pub(super) clients: Arc<Clients>,
    keeper: Keeper,
}

// === impl ClientCa ===

impl FromStr for ClientCa {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "cluster" { Self::Cluster } else { Self::File(text.into()) })
    }
}

// === impl ClientAuth ===

impl ClientAuth {
    /// Opens the source. A file has to be readable at the start; the cluster may be away.
    pub(super) fn open(
        source: ClientCa,
        names: Vec<String>,
        connection: Option<&Connection>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, ServeError> {
        let source = match source {
            ClientCa::File(file) => Source::File(file),
            ClientCa::Cluster => {
                Source::Cluster(connection.ok_or(ServeError::NoClusterForClients)?.client.clone())
            }
        };
        let clients = Clients::new(names);
        let mut keeper = Keeper::new(source, Arc::clone(&clients), Arc::clone(metrics));
        keeper.load_file().map_err(ServeError::ClientCa)?;
        Ok(Self { clients, keeper })
    }

    /// Keeps it current until the process drains; the check fails while every caller is refused.
    pub(super) fn keep(self, keepers: &mut JoinSet<()>, stages: watch::Receiver<Stage>) -> Check {
        let Self { clients, keeper } = self;
        keepers.spawn(keeper.run(stages));
        Check::new("client-ca", move || {
            if clients.is_loaded() { Ok(()) } else { Err("it is not loaded: every caller is refused".into()) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_called_cluster_is_written_with_a_dot() {
        assert_eq!("cluster".parse(), Ok(ClientCa::Cluster));
        assert_eq!("./cluster".parse(), Ok(ClientCa::File("./cluster".into())));
    }
}
