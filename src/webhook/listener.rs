//! Accepts connections within a bound, and lets them go at the end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::{Host, Port};
use super::{Limits, Stage, reached};
use crate::telemetry::{Metrics, Refusal};

/// How long accepting rests after it failed. What makes it fail (no file descriptor is left) does not pass at once.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// A listener and what is served on it.
pub struct Server {
    listener: TcpListener,
    host: Host,
    connections: JoinSet<()>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because what they had under way took too long.
    pub cut: usize,
}

impl Server {
    /// Serves the webhook's `router` over TLS.
    ///
    /// Nothing is accepted before [`Self::run`]; callers wait in the listener's queue.
    pub fn webhook(
        listener: TcpListener,
        router: Router,
        tls: Arc<ServerConfig>,
        metrics: Arc<Metrics>,
        limits: Limits,
        stage: watch::Receiver<Stage>,
    ) -> Self {
        let port = Port::Webhook { tls, metrics };
        Self { listener, host: Host { router, port, limits, stage }, connections: JoinSet::new() }
    }

    /// Serves the `router` of probes and metrics in plain HTTP.
    pub fn plain(
        listener: TcpListener,
        router: Router,
        limits: Limits,
        stage: watch::Receiver<Stage>,
    ) -> Self {
        let port = Port::Plain;
        Self { listener, host: Host { router, port, limits, stage }, connections: JoinSet::new() }
    }

    /// Accepts until the stage is [`Stage::Draining`], then waits for what is under way, within the limit.
    pub async fn run(mut self) -> Drained {
        let mut draining = pin!(reached(Stage::Draining, self.host.stage.clone()));
        loop {
            tokio::select! {
                biased;
                () = &mut draining => break,
                // One that panicked has said so in the log.
                Some(_) = self.connections.join_next() => {}
                accepted = self.listener.accept() => self.accepted(accepted.map(|(socket, _)| socket)).await,
            }
        }
        self.drain().await
    }

    async fn accepted(&mut self, socket: io::Result<TcpStream>) {
        match socket {
            // Closed at once: the caller's failure policy acts at once.
            Ok(_) if self.connections.len() >= self.host.limits.connections => {
                if let Port::Webhook { metrics, .. } = &self.host.port {
                    metrics.refused(Refusal::Overload);
                }
            }
            Ok(socket) => serve(&mut self.connections, &self.host, socket),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                sleep(REST_AFTER_FAILURE).await;
            }
        }
    }

    async fn drain(self) -> Drained {
        let Self { listener, host, mut connections } = self;
        for socket in in_queue(listener, host.limits.connections) {
            serve(&mut connections, &host, socket);
        }
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(host.limits.drain, all_ended).await.is_ok() {
            return Drained { cut: 0 };
        }
        let cut = connections.len();
        connections.shutdown().await;
        Drained { cut }
    }
}

/// Closes the listener and returns who waited in its queue: they have a connection as far as they know.
///
/// Asks the system itself: the runtime hears of a connection a moment later.
fn in_queue(listener: TcpListener, most: usize) -> Vec<TcpStream> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let mut sockets = Vec::new();
    // The listener does not block: it fails when nobody is left.
    while sockets.len() < most
        && let Ok((socket, _)) = listener.accept()
    {
        let socket = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket));
        sockets.extend(socket);
    }
    sockets
}

fn serve(connections: &mut JoinSet<()>, host: &Host, socket: TcpStream) {
    let host = host.clone();
    let open = match &host.port {
        Port::Webhook { metrics, .. } => Some(Open::new(metrics.connections().clone())),
        Port::Plain => None,
    };
    connections.spawn(async move {
        host.serve(socket).await;
        drop(open);
    });
}

/// Counts a connection as open until it is dropped, however it ends.
struct Open(Gauge);

impl Open {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The caller has gone before he was accepted; the next one is not concerned.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
