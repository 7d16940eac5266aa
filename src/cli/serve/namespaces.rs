//! What is said to who writes a namespace with a mode.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use super::settings::InForce;
use crate::admission::namespaces::{Found, NamespaceReview, deniable};
use crate::cluster::ApiError;
use crate::cluster::allowance::{Allowance, Rate};
use crate::cluster::facts::Store;
use crate::cluster::releases::look_into;
use crate::webhook::namespaces::Warn;

/// How long the API server is waited for. The webhook is registered with three seconds, and a write waits for it.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// How many reviews may wait for the one list at a time. The others are answered without a warning.
const MAX_WAITING: usize = 8;

/// Limits how many namespaces may be listed: at once, as one command may label all namespaces of a team, and then. Anybody
/// who reaches the port can request it.
const RATE: Rate = Rate { burst: 20, refill: Duration::from_secs(1) };

/// Looks into a namespace that begins to enforce.
pub(super) struct Namespaces {
    in_force: Arc<InForce>,
    facts: Arc<Store>,
    client: Option<Client>,
    waiting: Semaphore,
    /// Held while a namespace is listed.
    allowance: Mutex<Allowance>,
}

// === impl Namespaces ===

impl Namespaces {
    pub(super) fn new(in_force: Arc<InForce>, facts: Arc<Store>, client: Option<Client>) -> Self {
        let allowance = Mutex::new(Allowance::new(RATE, Instant::now()));
        Self { in_force, facts, client, waiting: Semaphore::new(MAX_WAITING), allowance }
    }

    /// Returns the releases of a namespace that would be denied; nothing where that is unavailable in time. It only
    /// informs, and never blocks.
    async fn found(&self, client: &Client, namespace: &str) -> Option<Found> {
        let _place = self.waiting.try_acquire().ok()?;
        match timeout(LIST_TIMEOUT, self.look(client, namespace)).await {
            Ok(Ok(found)) => found,
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

    async fn look(&self, client: &Client, namespace: &str) -> Result<Option<Found>, ApiError> {
        let mut allowance = self.allowance.lock().await;
        if !allowance.take(Instant::now()) {
            tracing::debug!(namespace, "too many namespaces begin to enforce: not looked into");
            return Ok(None);
        }
        let settings = self.in_force.settings.load_full();
        let version = self.facts.read().serving("").newest_schema().version.clone().into_owned();
        let mut found = Found::default();
        let look = |release: &[u8]| {
            if let Some(one) = deniable(release, &settings, &self.facts.read()) {
                found.add(one);
            }
        };
        let more = look_into(client, namespace, &version, look).await?;
        found.more = more;
        Ok(Some(found))
    }
}

impl Warn for Namespaces {
    async fn answer(&self, review: NamespaceReview) -> Vec<u8> {
        let settings = self.in_force.settings.load_full();
        let known = self.facts.read().modes.get(review.name()).copied();
        let found = match &self.client {
            Some(client) if review.begins_to_enforce(&settings, known) => {
                self.found(client, review.name()).await
            }
            _ => None,
        };
        review.answer(&settings, &found.unwrap_or_default())
    }
}
