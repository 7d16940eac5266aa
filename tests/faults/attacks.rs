//! Runs attacks by clients that reach the port: on the memory for bodies, on connections. Honest reviews from the same
//! address, which is the hardest case, are answered throughout, and the process stays within the shipped memory limit.
//!
//! Each lasts 10 s, or the duration in `CHARTGATE_ATTACK_SECONDS`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use crate::frames::{END_HEADERS, HEADERS, frame, hello, post_head};
use crate::support::cgroup::{Cgroup, shipped_limit};
use crate::support::process::{PATIENCE, Process, connect, http1_over, post, try_connect};
use crate::support::{both_set, review_of_size};

/// A release with large values, which arrives in a dozen pieces.
const LARGE: usize = 200 * 1024;

/// How long an honest review may take. An API server waits ten seconds; the machine may be busy compiling.
const IN_TIME: Duration = Duration::from_secs(8);

fn length() -> Duration {
    let seconds = std::env::var("CHARTGATE_ATTACK_SECONDS").ok();
    Duration::from_secs(seconds.map_or(10, |text| text.parse().expect("it is a number of seconds")))
}

/// A server in a group with the shipped limit, and honest clients that ask it until the attack is over.
struct Siege {
    process: Process,
    group: Option<Cgroup>,
    ends: Arc<AtomicBool>,
    honest: Vec<JoinHandle<()>>,
    answered: Arc<AtomicU64>,
    slowest: Arc<AtomicU64>,
    _place: tempfile::TempDir,
}

impl Siege {
    fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let process = Process::start(place.path(), &[]);
        let group = Cgroup::limit(process.child.id(), shipped_limit());
        let mut siege = Self {
            process,
            group,
            ends: Arc::default(),
            honest: Vec::new(),
            answered: Arc::default(),
            slowest: Arc::default(),
            _place: place,
        };
        siege.honest =
            vec![siege.ask(false, 0), siege.ask(true, 0), siege.ask(false, LARGE), siege.ask(true, LARGE)];
        siege
    }

    fn target(&self) -> Target {
        Target {
            webhook: self.process.webhook,
            authority: self.process.directory.join("certs/ca.crt"),
            ends: Arc::clone(&self.ends),
        }
    }

    /// An honest client: each review over a connection of its own, or all over one.
    fn ask(&self, anew: bool, bytes: usize) -> JoinHandle<()> {
        let target = self.target();
        let (answered, slowest) = (Arc::clone(&self.answered), Arc::clone(&self.slowest));
        let body = if bytes > 0 { review_of_size(bytes) } else { both_set().into() };
        tokio::spawn(async move {
            let mut open = http1_over(target.tls("http/1.1").await).await;
            while !target.ends.load(Ordering::Relaxed) {
                let began = Instant::now();
                let asked = async {
                    if anew {
                        open = http1_over(target.tls("http/1.1").await).await;
                    }
                    open.ask(post("/validate?timeout=10s", body.clone())).await
                };
                let (status, text) = timeout(IN_TIME, asked).await.expect("an answer comes in time");
                assert!(status == 200 && text.contains(r#""uid":"try-me""#), "{status} {text}");
                answered.fetch_add(1, Ordering::Relaxed);
                let took = u64::try_from(began.elapsed().as_millis()).unwrap();
                slowest.fetch_max(took, Ordering::Relaxed);
                // The machine runs other tests, too.
                sleep(Duration::from_millis(5)).await;
            }
        })
    }

    /// Keeps the attackers running for their time, and checks that the honest clients noticed nothing.
    async fn withstands(mut self, attack: &str, attackers: JoinSet<()>) {
        let until = Instant::now() + length();
        while Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
            if let Some(failed) = self.honest.iter().position(JoinHandle::is_finished) {
                self.honest.swap_remove(failed).await.expect("every honest review is answered");
            }
        }
        drop(attackers);
        self.ends.store(true, Ordering::Relaxed);
        for honest in self.honest.drain(..) {
            timeout(PATIENCE, honest).await.unwrap().expect("every honest review is answered");
        }
        let (limit, peak) = (shipped_limit() / 1024, self.process.memory_kib("VmHWM"));
        let (answered, slowest) = (&self.answered, &self.slowest);
        println!(
            "{attack}, {} s: {} honest reviews, 0 failed, the slowest after {} ms; peak {} MiB of {} MiB{}",
            length().as_secs(),
            answered.load(Ordering::Relaxed),
            slowest.load(Ordering::Relaxed),
            peak / 1024,
            limit / 1024,
            if self.group.is_some() { ", in a control group of that size" } else { "" },
        );
        let least = if length() >= Duration::from_mins(1) { 1000 } else { 50 };
        assert!(answered.load(Ordering::Relaxed) >= least);
        assert!(peak <= limit, "{peak} KiB");
        assert!(self.process.child.try_wait().unwrap().is_none(), "the process lives");
        assert_eq!(self.process.metric("chartgate_panics_total").await.as_deref(), Some("0"));
        drop(self.process);
        drop(self.group);
    }
}

/// The target, and the duration of the attack.
#[derive(Clone)]
struct Target {
    webhook: SocketAddr,
    authority: PathBuf,
    ends: Arc<AtomicBool>,
}

impl Target {
    async fn tls(&self, alpn: &str) -> TlsStream<TcpStream> {
        connect(self.webhook, &self.authority, rustls::ALL_VERSIONS, alpn).await
    }

    /// Has `clients` connect again and again, send `first`, then `drip` once a second until they are cut off.
    fn besieged_by(
        &self,
        clients: usize,
        alpn: &'static str,
        first: Vec<u8>,
        drip: &'static [u8],
    ) -> JoinSet<()> {
        let mut attackers = JoinSet::new();
        let first = Arc::new(first);
        for _ in 0..clients {
            let (target, first) = (self.clone(), Arc::clone(&first));
            attackers.spawn(async move {
                while !target.ends.load(Ordering::Relaxed) {
                    let stream =
                        try_connect(target.webhook, &target.authority, rustls::ALL_VERSIONS, alpn).await;
                    if let Ok(mut stream) = stream {
                        let _ = hold(&mut stream, &first, drip).await;
                    }
                    // It has to reconnect anyway; without a pause, this would test the handshakes.
                    sleep(Duration::from_millis(100)).await;
                }
            });
        }
        attackers
    }
}

/// Holds a connection until the server ends it.
async fn hold(stream: &mut TlsStream<TcpStream>, first: &[u8], drip: &[u8]) -> std::io::Result<()> {
    stream.write_all(first).await?;
    stream.flush().await?;
    let mut said = [0; 4096];
    loop {
        match timeout(Duration::from_secs(1), stream.read(&mut said)).await {
            Ok(Ok(0) | Err(_)) => return Ok(()),
            Ok(Ok(_)) => {}
            Err(_) => {
                stream.write_all(drip).await?;
                stream.flush().await?;
            }
        }
    }
}

fn head(length: usize) -> String {
    format!(
        "POST /validate?timeout=30s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_heads_without_a_body() {
    let siege = Siege::start();
    let attackers = siege.target().besieged_by(10, "http/1.1", head(7_340_032).into(), b"");
    siege.withstands("10 heads without a body", attackers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_heads_without_a_body_over_each_http2_connection() {
    let siege = Siege::start();
    let head = post_head("/validate?timeout=30s");
    let heads = (1..200).step_by(2).flat_map(|stream| frame(HEADERS, END_HEADERS, stream, &head));
    let first = hello().into_iter().chain(heads).collect();
    let attackers = siege.target().besieged_by(10, "h2", first, b"");
    siege.withstands("100 heads without a body over each of 10 HTTP/2 connections", attackers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_half_bodies() {
    let siege = Siege::start();
    let half = [head(1024 * 1024).as_bytes(), &vec![b' '; 512 * 1024]].concat();
    let attackers = siege.target().besieged_by(300, "http/1.1", half, b"");
    siege.withstands("300 connections with half a body of 1 MiB", attackers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_bodies_of_a_byte_a_second() {
    let siege = Siege::start();
    let attackers = siege.target().besieged_by(400, "http/1.1", head(7_340_032).into(), b" ");
    siege.withstands("400 bodies of a byte a second", attackers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_idle_connections_than_there_may_be() {
    let siege = Siege::start();
    let attackers = siege.target().besieged_by(1000, "http/1.1", Vec::new(), b"");
    siege.withstands("1,000 idle connections", attackers).await;
}
