//! What is said to who writes a namespace with a mode.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::timeout;

use super::settings::InForce;
use crate::admission::namespaces::{BadNamespaceReview, NamespaceReview, deniable};
use crate::cluster::facts::Store;
use crate::cluster::releases::{Held, held_by};
use crate::webhook::namespaces::Warn;

/// How long the API server is waited for. The webhook is registered with three seconds, and a write waits for it.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// Looks into a namespace that begins to enforce.
pub(super) struct Namespaces {
    pub(super) in_force: Arc<InForce>,
    pub(super) facts: Arc<Store>,
    pub(super) client: Option<Client>,
}

impl Warn for Namespaces {
    async fn answer(&self, body: &[u8]) -> Result<Vec<u8>, BadNamespaceReview> {
        let review = NamespaceReview::read(body)?;
        let settings = self.in_force.settings.load_full();
        let held = match &self.client {
            Some(client) if review.begins_to_enforce(&settings) => self.held(client, review.name()).await,
            _ => None,
        };
        let Held { releases, more } = held.unwrap_or(Held { releases: Vec::new(), more: false });
        let found: Vec<_> = {
            let facts = self.facts.read();
            releases.iter().filter_map(|release| deniable(release, &settings, &facts)).collect()
        };
        Ok(review.answer(&settings, &found, more))
    }
}

impl Namespaces {
    /// What a namespace holds; nothing where that cannot be had in time. It is a courtesy, and never an obstacle.
    async fn held(&self, client: &Client, namespace: &str) -> Option<Held> {
        let version = self.facts.read().serving("").newest_schema().version.clone().into_owned();
        match timeout(LIST_TIMEOUT, held_by(client.clone(), namespace, &version)).await {
            Ok(Ok(held)) => Some(held),
            Ok(Err(error)) => {
                tracing::warn!(namespace, "cannot look at what the new mode would deny: {error}");
                None
            }
            Err(_) => {
                tracing::warn!(namespace, "cannot look at what the new mode would deny: no answer in time");
                None
            }
        }
    }
}
