//! `/mutate` and `/validate`: extract, judge, answer.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use tokio::time::timeout_at;

use super::audience::Audience;
use super::body::{self, BodyError, MAX_BYTES_IN_FLIGHT, MAX_REVIEW_BYTES};
use super::caller::Caller;
use super::memory::Memory;
use super::refusal::{Rest, plain, refuse, unknown_path, wrong_method};
use crate::admission::{Answer, BadReview, Endpoint};
use crate::telemetry::{Origin, Refusal};

/// Gives the verdict on one review. It is pure: it waits for nothing and keeps nothing.
///
/// In the program this is `admission::review` with the settings and facts of the moment.
pub trait Judge: Send + Sync + 'static {
    /// Judges the body that came to `endpoint`.
    fn judge<'a>(&self, body: &'a [u8], endpoint: Endpoint) -> Result<Answer<'a>, BadReview>;
}

/// What every request needs.
struct Webhook<J> {
    judge: J,
    audience: Audience,
    memory: Memory,
}

/// Why a request gets no verdict, with the text for the caller.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) reason: Refusal,
    pub(super) text: String,
}

/// The webhook's paths; `audience` may be the metrics alone.
pub fn router(judge: impl Judge, audience: impl Into<Audience>) -> Router {
    let (audience, memory) = (audience.into(), Memory::new(MAX_BYTES_IN_FLIGHT, MAX_REVIEW_BYTES));
    let webhook = Arc::new(Webhook { judge, audience, memory });
    routes(webhook)
}

fn routes<J: Judge>(webhook: Arc<Webhook<J>>) -> Router {
    Router::new()
        .route("/mutate", post(mutate::<J>).fallback(wrong_method))
        .route("/validate", post(validate::<J>).fallback(wrong_method))
        .fallback(unknown_path)
        .with_state(webhook)
}

async fn mutate<J: Judge>(State(webhook): State<Arc<Webhook<J>>>, request: Request) -> Response {
    webhook.answer(Endpoint::Mutate, request).await
}

async fn validate<J: Judge>(State(webhook): State<Arc<Webhook<J>>>, request: Request) -> Response {
    webhook.answer(Endpoint::Validate, request).await
}

// === impl Webhook ===

impl<J: Judge> Webhook<J> {
    async fn answer(&self, endpoint: Endpoint, request: Request) -> Response {
        let is_json = is_json(request.headers());
        let origin = self.audience.origin(request.headers());
        let mut rest = Rest::of(request);
        let answered = if is_json {
            let reviewed = self.review(endpoint, &mut rest.body, &rest.caller, origin.as_ref());
            timeout_at(rest.deadline, reviewed).await.unwrap_or_else(|_| Err(Refused::timeout()))
        } else {
            Err(Refused::media_type())
        };
        match answered {
            Ok(response) => response,
            Err(Refused { status, reason, text }) => {
                self.audience.metrics.refused(reason);
                tracing::debug!(reason = reason.as_str(), "refused: {text}");
                refuse(rest, status, text).await
            }
        }
    }

    async fn review(
        &self,
        endpoint: Endpoint,
        body: &mut Body,
        caller: &Arc<Caller>,
        origin: Option<&Origin>,
    ) -> Result<Response, Refused> {
        let whole = body::read(body, &self.memory, caller).await?;
        let began = Instant::now();
        // Nothing that the judge may have left half done outlives the panic: it is pure.
        let judged = panic::catch_unwind(AssertUnwindSafe(|| self.judge.judge(whole.bytes(), endpoint)));
        let Ok(judged) = judged else {
            self.audience.metrics.panicked();
            let text = "judging this review failed: this is an error in chartgate, its log says more";
            return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, text));
        };
        let Answer { body, record } = judged?;
        self.audience.tell(record, began.elapsed(), caller.peer(), origin);
        Ok(json(body))
    }
}

// === impl Refused ===

impl Refused {
    pub(super) fn timeout() -> Self {
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            reason: Refusal::Timeout,
            text: "the review did not arrive in the time that ?timeout= leaves".into(),
        }
    }

    pub(super) fn media_type() -> Self {
        Self {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            reason: Refusal::MediaType,
            text: "send the AdmissionReview as JSON, with Content-Type: application/json".into(),
        }
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        let (status, reason) = match &error {
            BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Refusal::TooLarge),
            // Without Retry-After: with it, the API server would ask again instead of applying its failure policy.
            BodyError::Overload => (StatusCode::SERVICE_UNAVAILABLE, Refusal::Overload),
            BodyError::Stalled => (StatusCode::GATEWAY_TIMEOUT, Refusal::Timeout),
            BodyError::Broken(_) => (StatusCode::BAD_REQUEST, Refusal::BadBody),
        };
        Self { status, reason, text: error.to_string() }
    }
}

impl From<BadReview> for Refused {
    fn from(error: BadReview) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason: Refusal::BadBody, text: error.to_string() }
    }
}

pub(super) fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Whether the body says that it is `application/json`, with parameters or without.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let essence = value.split_once(';').map_or(value, |(essence, _parameters)| essence);
        essence.trim().eq_ignore_ascii_case("application/json")
    })
}
