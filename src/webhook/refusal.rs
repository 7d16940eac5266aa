//! Answers to requests that get no verdict: a status, and a line that says what to do.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ALLOW, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use tokio::time::{Instant, timeout_at};

use super::caller::Caller;
use super::{body, deadline};

/// How long a refusal waits for the rest of the body to arrive.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Plain text with a line end, so that it reads well in a terminal.
pub(super) fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    let mut text = text.into();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    (status, [(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], text).into_response()
}

/// Refuses a request, and takes what is left of its body off the wire first, so that the client reads the answer.
pub(super) async fn refuse(rest: Rest, status: StatusCode, text: impl Into<String>) -> Response {
    let Rest { mut body, client_waits, deadline, caller } = rest;
    if !client_waits && let Some(_discard) = caller.discard() {
        // Whoever is too slow may not get to read why he was refused; that is as good an answer.
        let until = deadline.min(Instant::now() + DISCARD_TIMEOUT);
        let _ = timeout_at(until, body::discard(&mut body)).await;
    }
    plain(status, text)
}

/// What has not been read of a request, and for how long its caller waits.
#[derive(Debug)]
pub(super) struct Rest {
    /// The body, as far as it has not been read.
    pub(super) body: Body,
    /// The client asked with `Expect: 100-continue` whether to send the body at all.
    pub(super) client_waits: bool,
    /// When the caller stops waiting for an answer.
    pub(super) deadline: Instant,
    /// The caller that sends it.
    pub(super) caller: Arc<Caller>,
}

impl Rest {
    /// All of a request that has just come.
    pub(super) fn of(request: Request) -> Self {
        let deadline = Instant::now() + deadline::time_for(request.uri().query());
        let client_waits = request.headers().contains_key(EXPECT);
        let caller = request.extensions().get().cloned().unwrap_or_else(Caller::unknown);
        Self { body: request.into_body(), client_waits, deadline, caller }
    }
}

/// Says which methods there are: for whoever opens the address in a browser.
pub(super) async fn wrong_method(request: Request) -> Response {
    let text = format!(
        "{} takes a POST of an AdmissionReview, as the Kubernetes API server sends it",
        request.uri().path()
    );
    let mut response = refuse(Rest::of(request), StatusCode::METHOD_NOT_ALLOWED, text).await;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// Says which paths there are.
pub(super) async fn unknown_path(request: Request) -> Response {
    let text = "there is nothing here: POST an AdmissionReview to /mutate or /validate";
    refuse(Rest::of(request), StatusCode::NOT_FOUND, text).await
}
