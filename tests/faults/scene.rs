//! A running server, a client that behaves well, and what must hold of both whatever somebody else does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chartgate::webhook::Limits;
use chartgate::webhook::body::{MAX_BYTES_IN_FLIGHT, MAX_REVIEW_BYTES};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use crate::support::both_set;
use crate::support::process::{PATIENCE, Process, connect, eventually, http1_over, post};

/// What the program takes before anybody calls; a debug build takes more than the program that is shipped.
const REST_KIB: u64 = 40 * 1024;

/// What one connection may take: 64 KiB that are read ahead, as much for TLS and what is written, and its tasks.
const CONNECTION_KIB: u64 = 192;

/// What the heap of glibc may keep of what was freed: twice the largest buffer (`M_MMAP_THRESHOLD` in mallopt(3)).
const KEPT_KIB: u64 = 2 * MAX_REVIEW_BYTES as u64 / 1024;

/// A server under attack.
pub(crate) struct Scene {
    pub(crate) process: Process,
    witness: JoinHandle<()>,
    seen: Arc<Seen>,
    /// File descriptors of the server with the witness's connection alone.
    descriptors: u64,
    _place: TempDir,
}

/// What the client that behaves well has seen.
#[derive(Default)]
struct Seen {
    ends: AtomicBool,
    answered: AtomicU64,
    overload: AtomicU64,
}

impl Scene {
    /// Starts the server, and a client that asks it all the time and takes nothing but an answer.
    pub(crate) async fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let process = Process::start(place.path(), &[]);
        let seen = Arc::new(Seen::default());
        let authority = place.path().join("certs/ca.crt");
        let witness = tokio::spawn(ask_all_the_time(process.webhook, authority, Arc::clone(&seen)));
        let mut scene = Self { process, witness, seen, descriptors: 0, _place: place };
        scene.goes_on().await;
        scene.descriptors = scene.process.descriptors();
        scene
    }

    /// A TLS connection to the webhook.
    pub(crate) async fn tls(&self, alpn: &str) -> TlsStream<TcpStream> {
        let authority = self.process.directory.join("certs/ca.crt");
        connect(self.process.webhook, &authority, rustls::ALL_VERSIONS, alpn).await
    }

    /// Waits until the witness has got some answers more.
    pub(crate) async fn goes_on(&self) {
        let before = self.seen.answered.load(Ordering::Relaxed);
        eventually("an answer to the client that behaves well", async || {
            assert!(!self.witness.is_finished(), "the client that behaves well has failed");
            (self.seen.answered.load(Ordering::Relaxed) >= before + 3).then_some(())
        })
        .await;
    }

    /// What must hold once the attack is over, which `connections` took part in: prints the figures.
    pub(crate) async fn proves_unharmed(mut self, attack: &str, connections: u64) {
        assert!(connections <= Limits::default().connections as u64);
        self.goes_on().await;
        eventually("the release of file descriptors", async || {
            (self.process.descriptors() <= self.descriptors).then_some(())
        })
        .await;
        self.seen.ends.store(true, Ordering::Relaxed);
        timeout(PATIENCE, &mut self.witness).await.unwrap().expect("no call of the witness failed");
        assert_eq!(self.process.metric("chartgate_panics_total").await.as_deref(), Some("0"));
        assert!(!self.process.log().contains("panicked"), "{}", self.process.log());
        assert!(self.process.child.try_wait().unwrap().is_none(), "the process lives");

        let highest = self.process.memory_kib("VmHWM");
        let bound = REST_KIB + connections * CONNECTION_KIB + KEPT_KIB + MAX_BYTES_IN_FLIGHT as u64 / 1024;
        let Seen { ends: _, answered, overload } = &*self.seen;
        println!(
            "{attack}: {} MiB at the highest, of at most {}; beside it {} answers and {} refusals for overload",
            highest / 1024,
            bound / 1024,
            answered.load(Ordering::Relaxed),
            overload.load(Ordering::Relaxed),
        );
        assert!(highest <= bound, "{highest} KiB, more than {bound}");
    }

    /// The same where nothing was so much that the witness could be refused.
    pub(crate) async fn proves_unharmed_and_refused_nobody(self, attack: &str, connections: u64) {
        assert_eq!(self.seen.overload.load(Ordering::Relaxed), 0);
        self.proves_unharmed(attack, connections).await;
    }
}

async fn ask_all_the_time(webhook: SocketAddr, authority: PathBuf, seen: Arc<Seen>) {
    let stream = connect(webhook, &authority, rustls::ALL_VERSIONS, "http/1.1").await;
    let mut open = http1_over(stream).await;
    while !seen.ends.load(Ordering::Relaxed) {
        let answer = timeout(PATIENCE, open.try_ask(post("/mutate", both_set()))).await;
        match answer.expect("an answer comes in time").expect("the connection stays") {
            (200, text) if text.contains(r#""uid":"try-me""#) => {
                seen.answered.fetch_add(1, Ordering::Relaxed)
            }
            (503, _) => seen.overload.fetch_add(1, Ordering::Relaxed),
            other => panic!("{other:?}"),
        };
        // The machine has others to serve, too.
        sleep(Duration::from_millis(10)).await;
    }
}

/// Reads until the server closes, and returns what it said; `None` if it does not close.
pub(crate) async fn until_closed<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> Option<Vec<u8>> {
    let mut said = Vec::new();
    // With or without TLS's goodbye: closed is closed.
    timeout(PATIENCE, stream.read_to_end(&mut said)).await.ok().map(|_| said)
}
