//! The server that the API server asks.
//!
//! - [`router`] answers `/mutate` and `/validate`: extract, judge, answer.
//! - [`Audience`] hears of what was judged: metrics, log, Events.
//! - [`namespaces`] answers `/namespaces`.
//! - [`body`] reads what came in, within bounds of size, memory and time.
//! - [`Server`] accepts connections, and lets them go at the end.
//! - `caller` identifies the client of a connection, and its share of the memory for bodies.
//! - `connection` is one of them: handshake, HTTP/1.1 or HTTP/2, and its time limits.
//! - [`distrust`] notices that a caller refuses the certificate.
//! - [`observe`] is the plain port for probes and metrics.
//! - [`client_ca`] keeps the client CA current; `uncertified` logs callers that are refused.
//! - [`reload`] takes up changed certificate files.
//! - [`self_managed`] keeps the certificate that the servers of a cluster share.

mod activity;
mod audience;
pub mod body;
mod caller;
pub mod client_ca;
mod connection;
mod deadline;
pub mod distrust;
mod listener;
mod memory;
pub mod namespaces;
pub mod observe;
mod refusal;
pub mod reload;
mod router;
pub mod self_managed;
mod uncertified;

use std::time::Duration;

use tokio::sync::watch;

pub use audience::Audience;
pub use connection::MAX_HEAD_BYTES;
pub use listener::{Drained, Server};
pub use router::{Judge, router};

/// Where the process is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Everything is answered.
    Serving,
    /// Everything is answered, but callers are asked to go elsewhere next time.
    Leaving,
    /// Nobody new is let in; what is under way is finished.
    Draining,
}

/// The bounds within which the server works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that may be open at a time.
    pub connections: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long the head of an HTTP/1.1 request may take from its first byte on.
    pub head: Duration,
    /// How long a connection may stay open without a request.
    pub idle: Duration,
    /// How long what is under way at the end may take.
    pub drain: Duration,
}

/// Three API servers with 200 mutating requests at a time each, and the connections that they keep; and it stays
/// below the 1,024 open files that many systems grant a process.
const MAX_CONNECTIONS: usize = 900;

/// Half of the ten seconds that an API server gives a webhook by default.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A head is one packet. Whoever takes this long wants to hold the connection, not to ask something.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// An API server drops a connection that was idle for 90 seconds. We wait twice as long, so that it is never us who
/// close a connection that it is about to use: a POST that meets a closing connection fails.
const IDLE_TIMEOUT: Duration = Duration::from_mins(3);

/// With the default delay before it, less than the 30 seconds that a pod has to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            handshake: HANDSHAKE_TIMEOUT,
            head: HEAD_TIMEOUT,
            idle: IDLE_TIMEOUT,
            drain: DRAIN_TIMEOUT,
        }
    }
}

/// Waits until the process has come to `stage`.
async fn reached(stage: Stage, mut stages: watch::Receiver<Stage>) {
    // Whoever could announce a stage is gone only when the process is; then it has come to all of them.
    let _ = stages.wait_for(|now| *now >= stage).await;
}
