//! What the program asks of the API server. Everything here waits, and may fail; no review ever waits for it.
//!
//! - [`connection`] finds the API server, or says why there is none.
//! - [`facts`] holds what the cluster says about itself, for every review.
//! - [`releases`] lists what a namespace holds.
//! - `crd`, `namespaces` and `sources` each follow a part of it by a [`watch`].

pub mod connection;
mod crd;
pub mod facts;
mod namespaces;
pub mod releases;
mod sources;
pub mod watch;

use std::sync::Arc;

use tokio::join;

use crate::policy::CHART_REF_KINDS;
use facts::{Fact, Store};

pub use connection::{Access, Connection, ConnectionError};

/// Keeps the facts current for as long as it is polled. Nothing that goes wrong ends it.
pub async fn keep_facts(connection: Connection, store: Arc<Store>) {
    let Connection { client, .. } = connection;
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
        source(Fact::OciRepositoryCrd, Fact::OciRepositories, oci, "ocirepositories"),
        source(Fact::HelmChartCrd, Fact::HelmCharts, chart, "helmcharts"),
        source(Fact::ExternalArtifactCrd, Fact::ExternalArtifacts, artifact, "externalartifacts"),
        crd::keep_source(
            client.clone(),
            &store,
            (Fact::HelmRepositoryCrd, "HelmRepository", "helmrepositories"),
            None
        ),
    );
}
