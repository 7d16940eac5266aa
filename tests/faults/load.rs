//! More than there is room for: bodies, connections, requests.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use chartgate::webhook::Limits;
use chartgate::webhook::body::{LEAST_RESERVATION, MAX_BYTES_IN_FLIGHT, MAX_REVIEW_BYTES};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::scene::Scene;
use crate::support::process::{PATIENCE, Process, ask_http2, eventually, http1_over, post};
use crate::support::{both_set, review_of_size};

const MIB: usize = 1024 * 1024;

/// Ten thousand requests take seconds, and minutes where the machine has much else to do.
const LONG: Duration = Duration::from_mins(5);

#[tokio::test]
async fn bodies_of_8_mib_are_refused_and_take_no_memory() {
    let scene = Scene::start().await;
    let body = Bytes::from(review_of_size(8 * MIB));
    let mut clients = JoinSet::new();
    for client in 0..32 {
        let stream = scene.tls(["http/1.1", "h2"][client % 2]).await;
        let body = body.clone();
        clients.spawn(async move {
            match client % 4 {
                0 => http1_over(stream).await.post(body).await.0,
                // Its length is not known before it is too long.
                2 => http1_over(stream).await.post(Body::new(Held::new(&body, None))).await.0,
                1 => ask_http2(stream, body).await.0,
                _ => ask_http2(stream, Body::new(Held::new(&body, None))).await.0,
            }
        });
    }
    let mut statuses = BTreeMap::<u16, u32>::new();
    while let Some(status) = clients.join_next().await {
        *statuses.entry(status.unwrap()).or_default() += 1;
    }
    // Those that do not say their length may find that others have taken the memory, or that the machine is too busy to
    // read so much within the time of a call.
    let refused: u32 = [413, 503, 504].iter().filter_map(|status| statuses.get(status)).sum();
    assert!(refused == 32 && statuses[&413] >= 16, "{statuses:?}");
    scene.proves_unharmed("32 bodies of 8 MiB", 33).await;
}

#[tokio::test]
async fn half_sent_bodies_fill_the_memory_for_bodies_and_no_more() {
    let scene = Scene::start().await;
    let head = "POST /mutate?timeout=30s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n";
    let (half, mut attackers) = (vec![b' '; MIB / 2], Vec::new());
    for _ in 0..200 {
        let mut stream = scene.tls("http/1.1").await;
        stream.write_all(head.as_bytes()).await.unwrap();
        // Some are refused while they write.
        let _ = timeout(PATIENCE, stream.write_all(&half)).await.expect("the server reads");
        attackers.push(stream);
    }
    // Half of each has arrived, in steps of the least reservation.
    let fits = MAX_BYTES_IN_FLIGHT / (MIB / 2);
    let refused = eventually("the refusal of all for whom there is no memory", async || {
        let refused = r#"chartgate_rejected_requests_total{reason="overload"}"#;
        let refused: usize = scene.process.metric(refused).await?.parse().unwrap();
        (refused >= 200 - fits).then_some(refused)
    })
    .await;
    println!("{refused} refusals while 200 bodies of 1 MiB are half sent, the witness's among them");
    drop(attackers);
    scene.proves_unharmed("200 half-sent bodies of 1 MiB", 201).await;
}

#[tokio::test]
async fn more_connections_than_there_may_be_are_closed_at_once_and_those_that_are_open_go_on() {
    let scene = Scene::start().await;
    let most = Limits::default().connections;
    let mut crowd = Vec::new();
    for _ in 0..most - 1 {
        crowd.push(TcpStream::connect(scene.process.webhook).await.unwrap());
    }
    let mut late = Vec::new();
    for _ in 0..600 {
        late.push(TcpStream::connect(scene.process.webhook).await.unwrap());
    }
    let closed = late.iter_mut().map(async |stream| {
        // Until a handshake of the crowd has taken too long, there is no place.
        timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("it is closed")
    });
    for closed in closed {
        assert!(matches!(closed.await, Ok(0) | Err(_)));
    }
    scene.goes_on().await;
    drop(crowd);
    scene.proves_unharmed_and_refused_nobody("1,500 connections", most as u64).await;
}

/// A hundred streams to a connection, all begun before any of them ends.
#[tokio::test]
async fn ten_thousand_concurrent_requests_are_each_judged_or_refused() {
    const CONNECTIONS: usize = 100;
    const STREAMS: usize = 100;
    let scene = Scene::start().await;
    let begun = Arc::new(AtomicUsize::new(0));
    let (open, gate) = watch::channel(false);
    let mut requests = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let stream = scene.tls("h2").await;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..STREAMS {
            let mut sender = sender.clone();
            let held = Held::new(&both_set().into(), Some((gate.clone(), Arc::clone(&begun))));
            requests.spawn(async move {
                let request = post("https://webhook/mutate?timeout=30s", Body::new(held));
                sender.send_request(request).await.unwrap().status().as_u16()
            });
        }
    }
    let all_have_begun = async {
        while begun.load(Ordering::Relaxed) < CONNECTIONS * STREAMS {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, all_have_begun).await.expect("all are let in");
    open.send_replace(true);
    let mut statuses = BTreeMap::<u16, usize>::new();
    while let Some(status) = timeout(LONG, requests.join_next()).await.expect("each is answered") {
        *statuses.entry(status.unwrap()).or_default() += 1;
    }
    println!("10,000 concurrent requests: {statuses:?}");
    let count = |status: u16| statuses.get(&status).copied().unwrap_or_default();
    // A machine that needs longer to begin all of them than a caller can wait lets some come to their deadline.
    assert_eq!(count(200) + count(503) + count(504), CONNECTIONS * STREAMS);
    let places = MAX_BYTES_IN_FLIGHT / LEAST_RESERVATION;
    assert!(count(503) >= CONNECTIONS * STREAMS - 2 * places - count(504), "who has no place is refused");
    assert!(count(200) > 0);
    scene.proves_unharmed("10,000 concurrent requests", CONNECTIONS as u64 + 1).await;
}

/// A body without a length in two pieces, the second of which waits for a gate.
struct Held {
    pieces: Vec<Bytes>,
    gate: Option<(watch::Receiver<bool>, Arc<AtomicUsize>)>,
    waits: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Held {
    fn new(body: &Bytes, gate: Option<(watch::Receiver<bool>, Arc<AtomicUsize>)>) -> Self {
        let half = body.len() / 2;
        Self { pieces: vec![body.slice(half..), body.slice(..half)], gate, waits: None }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.pieces.len() == 1
            && let Some((mut gate, begun)) = self.gate.take()
        {
            // Asked for the second piece: the first is on its way.
            begun.fetch_add(1, Ordering::Relaxed);
            self.waits = Some(Box::pin(async move {
                let _ = gate.wait_for(|open| *open).await;
            }));
        }
        if let Some(waits) = &mut self.waits {
            std::task::ready!(waits.as_mut().poll(context));
            self.waits = None;
        }
        Poll::Ready(self.pieces.pop().map(|piece| Ok(Frame::data(piece))))
    }
}

/// The security review's body: an update of a faulty release whose spec has to be compared to its end.
fn long_update() -> Bytes {
    let elements = vec!["0"; 1_700_000].join(",");
    let release = |more: &str| {
        format!(
            r#"{{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{{"name":"app","namespace":"apps"}},"spec":{{"chart":{{"spec":{{"version":"1"}}}},"chartRef":{{"kind":"OCIRepository","name":"x"}},"values":{{"a":[{elements}]}}{more}}}}}"#
        )
    };
    let (new, old) = (release(r#","b":1"#), release(""));
    let review = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","kind":{{"group":"helm.toolkit.fluxcd.io","version":"v2","kind":"HelmRelease"}},"name":"app","namespace":"apps","operation":"UPDATE","userInfo":{{"username":"nobody"}},"object":{new},"oldObject":{old}}}}}"#
    );
    assert!(review.len() > 6 * MIB && review.len() < MAX_REVIEW_BYTES);
    review.into()
}

/// The bound is the probe's own timeout; the figure that is printed is far below it in the program that is shipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_reviews_leave_livez_its_time() {
    let place = tempfile::tempdir().unwrap();
    let process = Arc::new(Process::start(place.path(), &[]));
    let body = long_update();
    let mut clients = JoinSet::new();
    for _ in 0..6 {
        let (process, body) = (Arc::clone(&process), body.clone());
        clients.spawn(async move {
            let mut judged = 0;
            for _ in 0..5 {
                // Whose body is refused before its end may find the connection closed: each has its own.
                let request = post("/validate?timeout=30s", body.clone());
                match process.http1().await.try_ask(request).await {
                    Ok((200, text)) if text.contains("[partial-chart]") => judged += 1,
                    // There is memory for three at a time, and a busy machine needs longer than a call may take.
                    Ok((503 | 504, _)) | Err(_) => (),
                    Ok(other) => panic!("{other:?}"),
                }
            }
            judged
        });
    }
    let (mut slowest, mut probes, mut judged) = (Duration::ZERO, 0, 0);
    while !clients.is_empty() {
        let began = Instant::now();
        assert_eq!(process.observe("/livez").await.0, 200);
        (slowest, probes) = (slowest.max(began.elapsed()), probes + 1);
        while let Some(done) = clients.try_join_next() {
            judged += done.unwrap();
        }
        sleep(Duration::from_millis(20)).await;
    }
    println!(
        "{judged} reviews of {} KiB, six sent at a time: the slowest of {probes} answers of /livez after {slowest:?}; {} MiB at most",
        body.len() / 1024,
        process.memory_kib("VmHWM") / 1024
    );
    assert!(judged >= 10 && slowest < probe_timeout(), "{judged}, {slowest:?}");
}

/// `timeoutSeconds` of the liveness probe that is shipped.
fn probe_timeout() -> Duration {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base/06-deployment.yaml");
    let deployment: serde_json::Value =
        serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    Duration::from_secs(container["livenessProbe"]["timeoutSeconds"].as_u64().unwrap())
}
