//! What the tests stand on: servers that end with the tests, raw requests, and chartgate as users run it.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::{Builder, Runtime};

mod access;
mod binaries;
mod certificates;
mod chartgate;
mod cluster;
pub(crate) mod crds;
mod footprint;
mod install;
mod kustomize;
mod load;
mod namespace;
mod outage;
mod process;
mod recorder;
mod releases;
pub(crate) mod replica;
mod request;
pub(crate) mod service;
mod source_controller;
mod tls;
mod wait;
mod webhooks;

pub(crate) use binaries::Kubernetes;
pub(crate) use certificates::{CONFIGURATIONS, Trust, decoded};
pub(crate) use chartgate::{Chartgate, Options};
pub(crate) use cluster::Cluster;
pub(crate) use footprint::Footprint;
pub(crate) use install::{Installation, manifests};
pub(crate) use kustomize::{KustomizeController, Source};
pub(crate) use load::{Call, Load};
pub(crate) use namespace::Namespace;
pub(crate) use process::Process;
pub(crate) use recorder::Recorder;
pub(crate) use releases::{chart, chart_ref, release};
pub(crate) use request::{Answer, Objects, Write};
pub(crate) use source_controller::{OciSource, SourceController};
pub(crate) use tls::{Identity, handshake};
pub(crate) use wait::eventually;

/// Runs the asynchronous insides of the harness for all tests of the process. A client belongs to the runtime that it
/// was made in, and clusters outlive the test that started them: so there is one runtime, and it is never dropped.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("cluster-harness")
        .enable_all()
        .build()
        .expect("threads can be started")
});

/// Waits for something asynchronous, such as what a client of the harness was asked for.
pub(crate) fn block_on<T>(what: impl Future<Output = T>) -> T {
    RUNTIME.block_on(what)
}

/// A short name part that no other test, thread or process uses.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let start = since.as_secs() % 1_000_000 * 100 + u64::from(std::process::id()) % 100;
    format!("{start:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Says once per test, past libtest's capture, that it was not run and why.
fn skipped(reason: &str) {
    say(&format!("skipped: {reason}"));
}

/// Says something past libtest's capture, such as a figure.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    let thread = std::thread::current();
    let line = format!("{text} ({})\n", thread.name().unwrap_or("unnamed"));
    // A print macro would be captured and lost with every test that "passes".
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
}
