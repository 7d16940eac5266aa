//! One connection: its handshake, its HTTP, and the bounds of its time.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Due};
use super::caller::Caller;
use super::distrust::Distrust;
use super::refusal::{Rest, refuse};
use super::uncertified::Uncertified;
use super::{Limits, Stage, reached};
use crate::certs::ClientFailure;
use crate::telemetry::Metrics;

/// How long an HTTP/1.1 connection without a request stays open once the server drains. HTTP/1.1 has no word for
/// goodbye between requests: a request that is on its way when the connection closes fails. This is many times the
/// way through a cluster, and who asked lately was told to close by the answer.
const LAST_CALL: Duration = Duration::from_millis(200);

/// The longest head of a request, its blank line included. The API server's has a tenth of a KiB.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How much of a connection is read ahead. A body comes in pieces of a TLS record anyway, and an idle connection keeps
/// its buffer.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Requests of one HTTP/2 connection at a time. RFC 9113 asks for no fewer than 100; a client of more opens another
/// connection.
const MAX_STREAMS: u32 = 100;

/// Flow-control window of an HTTP/2 connection: as much as RFC 9113 starts with, and as HTTP/1.1 reads ahead. Over the
/// millisecond through a cluster, that is 60 MB a second.
const WINDOW_BYTES: u32 = 64 * 1024 - 1;

/// [`MAX_HEAD_BYTES`] as HTTP/2 counts a head.
const MAX_HEAD_LIST_BYTES: u32 = 16 * 1024;

/// Maximum size of the answers of an HTTP/2 connection that wait to be sent.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// What a connection needs to be served. Cheap to clone.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) router: Router,
    pub(super) port: Port,
    pub(super) limits: Limits,
    pub(super) stage: watch::Receiver<Stage>,
}

/// Which of the two ports a connection came to.
#[derive(Clone)]
pub(super) enum Port {
    /// The one for the API server: encrypted, and counted.
    Webhook {
        tls: Arc<ServerConfig>,
        metrics: Arc<Metrics>,
        distrust: Arc<Distrust>,
        uncertified: Arc<Uncertified>,
    },
    /// The one for probes and metrics: plain, and counted nowhere, or it would count those who come to count.
    Plain,
}

impl Host {
    /// Serves the connection of `caller` to its end.
    pub(super) async fn serve(self, socket: TcpStream, caller: Arc<Caller>) {
        // An answer is one packet that must not wait for the next. An error means that the peer has gone.
        if socket.set_nodelay(true).is_err() {
            return;
        }
        let Port::Webhook { tls, metrics, distrust, uncertified } = self.port.clone() else {
            return self.http1(socket, caller).await;
        };
        let handshake = TlsAcceptor::from(tls).accept(socket);
        match timeout(self.limits.handshake, handshake).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                self.http2(stream, caller).await;
            }
            Ok(Ok(stream)) => self.http1(stream, caller).await,
            Ok(Err(error)) => {
                distrust.handshake_failed(&error);
                if let Some(failure) = client_failure(&error) {
                    metrics.client_refused(failure);
                    uncertified.refused(caller.peer(), failure);
                }
                no_handshake(&metrics, &error);
            }
            Err(_) => no_handshake(&metrics, &"it took too long"),
        }
    }

    async fn http1<S>(self, stream: S, caller: Arc<Caller>)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::new(self.limits, Instant::now()));
        caller.is_served(&activity);
        let io = Watched { io: TokioIo::new(stream), activity: Arc::clone(&activity) };
        let connection = http1::Builder::new()
            // Ours tells an idle connection from a slow head; hyper's one limit is for both.
            .header_read_timeout(None)
            .max_header_size(MAX_HEAD_BYTES)
            .max_buf_size(READ_BUFFER_BYTES)
            .serve_connection(io, self.service(&activity, caller));
        let stage = self.stage.clone();
        let goodbye = async {
            reached(Stage::Draining, stage).await;
            sleep(LAST_CALL).await;
        };
        drive(connection, &activity, goodbye).await;
    }

    async fn http2<S>(self, stream: S, caller: Arc<Caller>)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::new(self.limits, Instant::now()));
        caller.is_served(&activity);
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_connection_window_size(WINDOW_BYTES)
            .initial_stream_window_size(WINDOW_BYTES)
            .max_header_list_size(MAX_HEAD_LIST_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), self.service(&activity, caller));
        // HTTP/2 can say goodbye without cutting off a request that is on its way, so it does so early.
        drive(connection, &activity, reached(Stage::Leaving, self.stage)).await;
    }

    /// The router, with the activity noted, and with a goodbye in each answer once the process is leaving.
    fn service(
        &self,
        activity: &Arc<Activity>,
        caller: Arc<Caller>,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = std::convert::Infallible,
        Future: Send + 'static,
    > + use<> {
        let router = TowerToHyperService::new(self.router.clone());
        let (activity, stage) = (Arc::clone(activity), self.stage.clone());
        service_fn(move |mut request: Request<Incoming>| {
            let busy = activity.begin();
            let stage = stage.clone();
            request.extensions_mut().insert(Arc::clone(&caller));
            let is_http1 = request.version() <= axum::http::Version::HTTP_11;
            let is_ambiguous = is_http1 && is_ambiguous(request.headers());
            let answer = if is_ambiguous {
                let text = "the only Transfer-Encoding that is understood is chunked, once";
                let rest = Rest::of(request.map(Body::new));
                Err(refuse(rest, StatusCode::BAD_REQUEST, text))
            } else {
                Ok(router.call(request))
            };
            async move {
                let mut answer = match answer {
                    Ok(answer) => answer.await?,
                    Err(refusal) => refusal.await,
                };
                if is_ambiguous || is_http1 && *stage.borrow() > Stage::Serving {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                drop(busy);
                Ok(answer)
            }
        })
    }
}

/// Lets a connection run until it ends, is asked to end, or wastes its time.
///
/// It is asked to end when `goodbye` comes.
async fn drive<C: Connection>(connection: C, activity: &Activity, goodbye: impl Future<Output = ()>) {
    let mut connection = pin!(connection);
    let mut goodbye = pin!(goodbye);
    let mut look = pin!(sleep_until(activity.next_look(Instant::now())));
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!("connection ended: {error}");
                }
                return;
            }
            () = goodbye.as_mut(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = look.as_mut() => match activity.due(Instant::now()) {
                Due::Nothing => look.as_mut().reset(activity.next_look(Instant::now())),
                Due::Goodbye if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                    look.as_mut().reset(activity.next_look(Instant::now()));
                }
                Due::Goodbye | Due::Cut => return,
            },
        }
    }
}

/// Whether the body may end elsewhere for another reader: hyper takes whatever ends in `chunked` for chunks, and reads
/// neither an encoding below them nor chunks in chunks. Where a length is sent besides, it closes the connection itself.
fn is_ambiguous(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    encodings.next().is_some_and(|first| !is_chunked(first) || encodings.next().is_some())
}

/// Whether the caller's certificate caused a failed handshake.
fn client_failure(error: &std::io::Error) -> Option<ClientFailure> {
    ClientFailure::of(error.get_ref()?.downcast_ref::<rustls::Error>()?)
}

fn no_handshake(metrics: &Metrics, why: &dyn std::fmt::Display) {
    metrics.handshake_failed();
    tracing::debug!("handshake failed: {why}");
}

/// What HTTP/1.1 and HTTP/2 connections of hyper have in common.
trait Connection: Future<Output = hyper::Result<()>> {
    /// Finishes what is under way and ends.
    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<I, S> Connection for http1::Connection<I, S>
where
    I: Read + Write + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        http1::Connection::graceful_shutdown(self);
    }
}

impl<I, S> Connection for http2::Connection<I, S, TokioExecutor>
where
    I: Read + Write + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        http2::Connection::graceful_shutdown(self);
    }
}

/// Notes when bytes arrive.
struct Watched<I> {
    io: I,
    activity: Arc<Activity>,
}

impl<I: Read + Unpin> Read for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        if polled.is_ready() {
            self.activity.bytes_arrived();
        }
        polled
    }
}

impl<I: Write + Unpin> Write for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, pieces)
    }
}
