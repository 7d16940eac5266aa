//! Connections over real sockets: how many there may be, how long they may take, and how they end.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chartgate::certs::pair::{Names, ServingPair};
use chartgate::certs::{Presented, generate, server_config};
use chartgate::telemetry::Metrics;
use chartgate::webhook::{Drained, Limits, MAX_HEAD_BYTES, Server, Stage, router};
use support::{Real, both_set};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes; a test that waits so long fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Started {
    address: SocketAddr,
    stage: watch::Sender<Stage>,
    server: JoinHandle<Drained>,
    metrics: Arc<Metrics>,
}

async fn start(limits: Limits, secure: bool) -> Started {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new());
    let (stage, stages) = watch::channel(Stage::Serving);
    let routes = router(Real::default(), Arc::clone(&metrics));
    let server = if secure {
        let made = generate::make(&Names::of_service("a", "b"), OffsetDateTime::now_utc()).unwrap();
        let certificate = ("tls.crt".as_ref(), made.certificate.as_bytes());
        let pair = ServingPair::from_pem(certificate, ("tls.key".as_ref(), made.key.as_bytes())).unwrap();
        let tls = Arc::new(server_config(Arc::new(Presented::new(pair)), None));
        Server::webhook(listener, routes, tls, Arc::clone(&metrics), limits, stages)
    } else {
        Server::plain(listener, routes, limits, stages)
    };
    Started { address, stage, server: tokio::spawn(server.run()), metrics }
}

/// A connection, written to by hand.
struct Client(TcpStream);

impl Client {
    async fn connect(started: &Started) -> Self {
        Self(TcpStream::connect(started.address).await.unwrap())
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next answer: its head, with its body read over.
    async fn answer(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, self.0.read_u8()).await.expect("an answer comes");
            head.push(byte.expect("the connection is open"));
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        self.0.read_exact(&mut vec![0; length.parse().unwrap()]).await.unwrap();
        head
    }

    /// Waits for the server to close the connection, whatever it says before.
    async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.is_ok()
    }
}

fn head(length: usize) -> String {
    format!(
        "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn request() -> String {
    format!("{}{}", head(both_set().len()), both_set())
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once_and_the_others_go_on() {
    let started = start(Limits { connections: 2, ..Limits::default() }, false).await;
    let mut kept = [Client::connect(&started).await, Client::connect(&started).await];
    for client in &mut kept {
        client.send(&request()).await;
        assert!(client.answer().await.starts_with("http/1.1 200 "));
    }
    let mut refused = Client::connect(&started).await;
    assert!(refused.is_closed().await);

    let [mut kept, leaves] = kept;
    kept.send(&request()).await;
    assert!(kept.answer().await.starts_with("http/1.1 200 "));

    // The place of who leaves is free again, as soon as the server has seen him go.
    drop(leaves);
    timeout(PATIENCE, async {
        loop {
            let mut next = TcpStream::connect(started.address).await.unwrap();
            let mut answer = [0; 12];
            if next.write_all(request().as_bytes()).await.is_ok()
                && next.read_exact(&mut answer).await.is_ok()
            {
                return assert_eq!(&answer, b"HTTP/1.1 200");
            }
        }
    })
    .await
    .expect("the place becomes free");
}

#[tokio::test]
async fn refused_connections_are_counted_at_the_webhooks_port() {
    let started = start(Limits { connections: 0, ..Limits::default() }, true).await;
    assert!(Client::connect(&started).await.is_closed().await);
    assert!(started.metrics.render().contains(r#"chartgate_rejected_requests_total{reason="overload"} 1"#));
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let started = start(Limits { handshake: Duration::from_millis(20), ..Limits::default() }, true).await;
    assert!(Client::connect(&started).await.is_closed().await);
    assert!(started.metrics.render().contains("chartgate_tls_handshake_failures_total 1\n"));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off() {
    let started = start(Limits { head: Duration::from_millis(20), ..Limits::default() }, false).await;
    let mut client = Client::connect(&started).await;
    client.send("POST /mutate HTTP/1.1\r\nHost:").await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn the_longest_head_is_taken_and_a_byte_more_is_refused() {
    let started = start(Limits::default(), false).await;
    let usual = head(both_set().len());
    for (bytes, expected) in [(MAX_HEAD_BYTES, "http/1.1 200 "), (MAX_HEAD_BYTES + 1, "http/1.1 431 ")] {
        let mut client = Client::connect(&started).await;
        let note = format!("Note: {}\r\n\r\n", "x".repeat(bytes - usual.len() - "Note: \r\n".len()));
        let head = usual.replace("\r\n\r\n", "\r\n") + &note;
        assert_eq!(head.len(), bytes);
        client.send(&(head + &both_set())).await;
        let answer = client.answer().await;
        assert!(answer.starts_with(expected), "{bytes}: {answer}");
    }
}

#[tokio::test]
async fn a_connection_that_has_been_idle_for_long_is_closed() {
    let started = start(Limits { idle: Duration::from_millis(20), ..Limits::default() }, false).await;
    let mut client = Client::connect(&started).await;
    client.send(&request()).await;
    client.answer().await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_body_may_come_more_slowly_than_a_head() {
    let limits =
        Limits { head: Duration::from_millis(20), idle: Duration::from_millis(20), ..Limits::default() };
    let started = start(limits, false).await;
    let mut client = Client::connect(&started).await;
    client.send(&head(both_set().len())).await;
    for piece in both_set().as_bytes().chunks(both_set().len() / 5) {
        // This is the slowness, not a wait for anything.
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.0.write_all(piece).await.unwrap();
    }
    assert!(client.answer().await.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn a_leaving_server_answers_and_asks_to_go_elsewhere() {
    let started = start(Limits::default(), false).await;
    let mut client = Client::connect(&started).await;
    client.send(&request()).await;
    assert!(!client.answer().await.contains("connection: close"));
    started.stage.send_replace(Stage::Leaving);
    client.send(&request()).await;
    assert!(client.answer().await.contains("connection: close"));
    assert!(client.is_closed().await);
    // New ones are still let in: not everybody has heard.
    let mut late = Client::connect(&started).await;
    late.send(&request()).await;
    assert!(late.answer().await.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn a_draining_server_finishes_what_is_under_way_and_lets_nobody_in() {
    let started = start(Limits::default(), false).await;
    let mut idle = Client::connect(&started).await;
    idle.send(&request()).await;
    idle.answer().await;
    let mut busy = Client::connect(&started).await;
    // The server asks for the body, so it has the head.
    let waiting = head(both_set().len()).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    busy.send(&waiting).await;
    let mut go_on = [0; 25];
    busy.0.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    started.stage.send_replace(Stage::Draining);
    assert!(idle.is_closed().await);
    assert!(TcpStream::connect(started.address).await.is_err(), "nobody listens any more");
    busy.send(&both_set()).await;
    assert!(busy.answer().await.starts_with("http/1.1 200 "));
    let drained = timeout(PATIENCE, started.server).await.expect("it ends").unwrap();
    assert_eq!(drained, Drained { cut: 0 });
}

#[tokio::test]
async fn a_draining_server_serves_who_was_waiting_at_the_door() {
    let started = start(Limits::default(), false).await;
    // No await in between that would let the server accept: the connection is in the listener's queue.
    let mut client = std::net::TcpStream::connect(started.address).unwrap();
    started.stage.send_replace(Stage::Draining);
    std::io::Write::write_all(&mut client, request().as_bytes()).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut client = Client(TcpStream::from_std(client).unwrap());
    assert!(client.answer().await.starts_with("http/1.1 200 "));
}

#[tokio::test]
async fn what_takes_too_long_at_the_end_is_cut() {
    let started = start(Limits { drain: Duration::from_millis(20), ..Limits::default() }, false).await;
    let mut client = Client::connect(&started).await;
    client.send(&head(1000).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n")).await;
    client.0.read_exact(&mut [0; 25]).await.unwrap();
    started.stage.send_replace(Stage::Draining);
    assert_eq!(timeout(PATIENCE, started.server).await.expect("it ends").unwrap(), Drained { cut: 1 });
    assert!(client.is_closed().await);
}
