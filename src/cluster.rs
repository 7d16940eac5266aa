//! What the program asks of the API server. Everything here waits, and may fail; no review ever waits for it.
//!
//! - [`connection`] finds the API server, or says why there is none.
//! - [`secret`] reads and writes one Secret that several servers share.
//! - [`ca_bundle`] reads and writes what the webhook configurations trust.
//! - [`event`] leaves a word at an object for `kubectl describe`.

pub mod ca_bundle;
pub mod connection;
pub mod event;
pub mod secret;

use std::time::Duration;

use kube::runtime::watcher;
use thiserror::Error;
use tokio::time::timeout;

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
    #[error("no answer within {} seconds", DEADLINE.as_secs())]
    Late,
}

/// What came of a write that depends on what was read before.
pub enum Written<T> {
    /// It is done; this is what the API server has now.
    Done(T),
    /// Somebody was faster: read again.
    Raced,
}

impl ApiError {
    /// The error's text with those of its causes that add something to it, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        text
    }
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
        Err(ApiError::Refused(error)) if matches!(&*error, kube::Error::Api(status) if matches!(status.code, 404 | 409)) => {
            Ok(Written::Raced)
        }
        Err(error) => Err(error),
    }
}
