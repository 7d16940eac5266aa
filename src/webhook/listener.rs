//! Accepts connections within a bound, and lets them go at the end.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet, yield_now};
use tokio::time::{Instant, sleep, timeout};

use super::activity::Worth;
use super::caller::Caller;
use super::connection::{Host, Port};
use super::distrust::Distrust;
use super::uncertified::Uncertified;
use super::{Limits, Stage, reached};
use crate::telemetry::{Metrics, Refusal};

/// How long accepting rests after it failed. What makes it fail (no file descriptor is left) does not pass at once.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// How long a connection may go without a request before another one from the same address may take its place, where
/// there are as many as there may be. A handshake and a first request take a few milliseconds.
const GRACE: Duration = Duration::from_millis(250);

/// A listener and what is served on it.
pub struct Server {
    listener: TcpListener,
    host: Host,
    connections: Connections,
}

/// The open connections.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    open: HashMap<Id, (Arc<Caller>, AbortHandle)>,
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
        let uncertified = Arc::new(Uncertified::new());
        let port = Port::Webhook { tls, metrics, distrust: Arc::default(), uncertified };
        Self { listener, host: Host { router, port, limits, stage }, connections: Connections::default() }
    }

    /// Records in `to` when a caller refuses the certificate.
    #[must_use]
    pub fn noting_distrust(mut self, to: &Arc<Distrust>) -> Self {
        if let Port::Webhook { distrust, .. } = &mut self.host.port {
            *distrust = Arc::clone(to);
        }
        self
    }

    /// Serves the `router` of probes and metrics in plain HTTP.
    pub fn plain(
        listener: TcpListener,
        router: Router,
        limits: Limits,
        stage: watch::Receiver<Stage>,
    ) -> Self {
        let port = Port::Plain;
        Self { listener, host: Host { router, port, limits, stage }, connections: Connections::default() }
    }

    /// Accepts until the stage is [`Stage::Draining`], then waits for what is under way, within the limit.
    pub async fn run(mut self) -> Drained {
        let mut draining = pin!(reached(Stage::Draining, self.host.stage.clone()));
        loop {
            tokio::select! {
                biased;
                () = &mut draining => break,
                Some(ended) = self.connections.tasks.join_next_with_id() => self.connections.ended(ended),
                accepted = self.listener.accept() => {
                    self.accepted(accepted.map(|(socket, peer)| (socket, peer.ip()))).await;
                }
            }
        }
        self.drain().await
    }

    async fn accepted(&mut self, accepted: io::Result<(TcpStream, IpAddr)>) {
        match accepted {
            Ok((socket, peer)) => {
                let is_full = self.connections.open.len() >= self.host.limits.connections;
                if is_full && let Port::Webhook { metrics, .. } = &self.host.port {
                    metrics.refused(Refusal::Overload);
                }
                // Closed at once, so that the caller's failure policy takes effect at once.
                if is_full && !self.connections.make_room(peer, Instant::now()) {
                    return;
                }
                self.connections.serve(&self.host, socket, peer);
                if is_full {
                    // The one that made room closes its socket now, not when its turn comes.
                    yield_now().await;
                }
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                sleep(REST_AFTER_FAILURE).await;
            }
        }
    }

    async fn drain(self) -> Drained {
        let Self { listener, host, mut connections } = self;
        for (socket, peer) in in_queue(listener, host.limits.connections) {
            connections.serve(&host, socket, peer);
        }
        let Connections { tasks: mut connections, .. } = connections;
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
fn in_queue(listener: TcpListener, most: usize) -> Vec<(TcpStream, IpAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let mut sockets = Vec::new();
    // The listener does not block: it fails when nobody is left.
    while sockets.len() < most
        && let Ok((socket, peer)) = listener.accept()
    {
        let socket = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket));
        sockets.extend(socket.map(|socket| (socket, peer.ip())));
    }
    sockets
}

// === impl Connections ===

impl Connections {
    fn serve(&mut self, host: &Host, socket: TcpStream, peer: IpAddr) {
        let (host, caller) = (host.clone(), Caller::new(peer));
        let open = match &host.port {
            Port::Webhook { metrics, .. } => Some(Open::new(metrics.connections().clone())),
            Port::Plain => None,
        };
        let served = Arc::clone(&caller);
        let task = self.tasks.spawn(async move {
            host.serve(socket, served).await;
            drop(open);
        });
        self.open.insert(task.id(), (caller, task));
    }

    /// Forgets a connection that has ended. One that panicked is in the log already.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.open.remove(&id);
    }

    /// Closes the connection that is worth least, if one is worth less than a new one from `peer`: of the address with
    /// the most connections any, else one that does nothing.
    fn make_room(&mut self, peer: IpAddr, now: Instant) -> bool {
        let mut counts = HashMap::<IpAddr, usize>::new();
        for (caller, _) in self.open.values() {
            *counts.entry(caller.peer()).or_default() += 1;
        }
        let own = counts.get(&peer).copied().unwrap_or_default() + 1;
        let others = counts.into_iter().filter(|(other, count)| *other != peer && *count >= own);
        let heaviest = others.max_by_key(|(_, count)| *count).map(|(other, _)| other);
        let candidates = self.open.iter().filter_map(|(id, (caller, _))| {
            let (worth, waited) = caller.worth(now);
            let may_go = match heaviest {
                Some(heaviest) => caller.peer() == heaviest,
                None => worth < Worth::Busy && waited >= GRACE,
            };
            may_go.then_some((worth, std::cmp::Reverse(waited), *id))
        });
        let Some((.., id)) = candidates.min_by_key(|(worth, waited, _)| (*worth, *waited)) else {
            return false;
        };
        if let Some((_, task)) = self.open.remove(&id) {
            task.abort();
        }
        true
    }
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
