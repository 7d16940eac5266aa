//! The plain port: `/livez`, `/readyz` and `/metrics`.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Stage;
use super::refusal::plain;
use super::self_managed::Status;
use crate::certs::Presented;
use crate::telemetry::{Metrics, metrics};

/// One line of a report: a condition of readiness, or a detail that is told beside them.
pub struct Check {
    name: &'static str,
    state: Box<dyn Fn() -> Told + Send + Sync>,
}

/// What is told of a check at the moment.
enum Told {
    /// The condition holds.
    Holds,
    /// It does not, and the process is not ready.
    Fails(String),
    /// A detail in order.
    Fine(String),
    /// A detail that somebody should look at; the process is ready all the same.
    Poor(String),
}

struct Observed {
    metrics: Arc<Metrics>,
    ready: Vec<Check>,
}

impl Check {
    /// A check by its name; `holds` says what is wrong, in a few words, where it fails.
    pub fn new(name: &'static str, holds: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { name, state: Box::new(move || holds().map_or_else(Told::Fails, |()| Told::Holds)) }
    }

    /// A detail by its name, which never decides about readiness; `tells` says how things are, either way.
    pub fn detail(
        name: &'static str,
        tells: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self { name, state: Box::new(move || tells().map_or_else(Told::Poor, Told::Fine)) }
    }

    /// Fails while no client could accept what is presented.
    pub fn certificate(presented: Arc<Presented>) -> Self {
        Self::new("certificate", move || {
            let Some(pair) = presented.pair() else { return Err("there is none yet".into()) };
            pair.untimely_at(OffsetDateTime::now_utc()).map_or(Ok(()), Err)
        })
    }

    /// Fails while the API server does not trust what is presented, and when the `task` that sees to it has ended.
    pub fn ca_bundle(status: Arc<Status>, task: AbortHandle) -> Self {
        Self::new("caBundle", move || {
            if task.is_finished() { Err("its keeper has ended".into()) } else { status.check() }
        })
    }

    /// Fails when `task`, which accepts connections, has ended.
    pub fn listener(task: AbortHandle) -> Self {
        Self::new("listener", move || if task.is_finished() { Err("it has ended".into()) } else { Ok(()) })
    }

    /// Fails from the first signal to end on.
    pub fn serving(stage: watch::Receiver<Stage>) -> Self {
        Self::new("serving", move || match *stage.borrow() {
            Stage::Serving => Ok(()),
            Stage::Leaving | Stage::Draining => Err("shutting down".into()),
        })
    }
}

/// The paths of the plain port; ready when none of `ready` fails.
pub fn router(metrics: Arc<Metrics>, ready: Vec<Check>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .fallback(unknown_path)
        .with_state(Arc::new(Observed { metrics, ready }))
}

/// Alive is whoever can answer at all: a restart heals nothing else.
async fn livez(RawQuery(query): RawQuery) -> Response {
    report("livez", &[Check::new("ping", || Ok(()))], query.as_deref())
}

async fn readyz(State(observed): State<Arc<Observed>>, RawQuery(query): RawQuery) -> Response {
    report("readyz", &observed.ready, query.as_deref())
}

async fn show_metrics(State(observed): State<Arc<Observed>>) -> Response {
    ([(CONTENT_TYPE, metrics::MEDIA_TYPE)], observed.metrics.render()).into_response()
}

async fn unknown_path() -> Response {
    plain(StatusCode::NOT_FOUND, "there is nothing here: GET /livez, /readyz or /metrics")
}

/// `ok`, or a line for each check: where one fails, or where `?verbose` asks for it.
fn report(name: &str, checks: &[Check], query: Option<&str>) -> Response {
    let mut lines = String::new();
    let mut failed = false;
    for Check { name, state } in checks {
        // As a kube-apiserver writes it: whoever greps for [-] finds what makes it unready, and nothing else.
        let written = match state() {
            Told::Holds => writeln!(lines, "[+]{name} ok"),
            Told::Fine(how) => writeln!(lines, "[+]{name} ok: {how}"),
            Told::Poor(why) => writeln!(lines, "[!]{name} degraded: {why}"),
            Told::Fails(why) => {
                failed = true;
                writeln!(lines, "[-]{name} failed: {why}")
            }
        };
        written.expect("writing to a string cannot fail");
    }
    if failed {
        return plain(StatusCode::SERVICE_UNAVAILABLE, format!("{lines}{name} check failed"));
    }
    let verbose = query
        .is_some_and(|query| query.split('&').any(|key| key == "verbose" || key.starts_with("verbose=")));
    plain(StatusCode::OK, if verbose { format!("{lines}{name} check passed") } else { "ok".into() })
}
