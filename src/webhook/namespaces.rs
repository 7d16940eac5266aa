//! `/namespaces`: warns who writes a namespace with a mode. It never denies, and is registered to fail open.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use tokio::time::timeout_at;

use super::body;
use super::memory::Memory;
use super::refusal::{Rest, refuse, wrong_method};
use super::router::{Refused, is_json, json};
use crate::admission::namespaces::NamespaceReview;
use crate::telemetry::Metrics;

/// What all reviews of namespaces under way may hold in memory together. They are few, and a namespace is small.
const MAX_BYTES_IN_FLIGHT: usize = 8 * 1024 * 1024;

/// Gives the answer to a review of a namespace.
pub trait Warn: Send + Sync + 'static {
    /// Answers a review. It may ask the cluster meanwhile; the caller waits until its deadline, and no longer.
    fn answer(&self, review: NamespaceReview) -> impl Future<Output = Vec<u8>> + Send;
}

struct Namespaces<W> {
    warn: W,
    metrics: Arc<Metrics>,
    memory: Memory,
}

/// The path, to be merged with those of the webhook.
pub fn routes(warn: impl Warn, metrics: Arc<Metrics>) -> Router {
    let memory = Memory::new(MAX_BYTES_IN_FLIGHT, body::MAX_REVIEW_BYTES);
    of(Arc::new(Namespaces { warn, metrics, memory }))
}

fn of<W: Warn>(namespaces: Arc<Namespaces<W>>) -> Router {
    Router::new().route("/namespaces", post(answer::<W>).fallback(wrong_method)).with_state(namespaces)
}

async fn answer<W: Warn>(State(namespaces): State<Arc<Namespaces<W>>>, request: Request) -> Response {
    let Namespaces { warn, metrics, memory } = &*namespaces;
    let is_json = is_json(request.headers());
    let mut rest = Rest::of(request);
    let answered = if is_json {
        let reviewed = async {
            let whole = body::read(&mut rest.body, memory, &rest.caller).await?;
            let review = NamespaceReview::read(whole.bytes())?;
            // Its memory is free for others during the requests to the cluster.
            drop(whole);
            Ok(json(warn.answer(review).await))
        };
        timeout_at(rest.deadline, reviewed).await.unwrap_or_else(|_| Err(Refused::timeout()))
    } else {
        Err(Refused::media_type())
    };
    match answered {
        Ok(response) => response,
        Err(Refused { status, reason, text }) => {
            metrics.refused(reason);
            refuse(rest, status, text).await
        }
    }
}
