//! The real kustomize-controller, fed without any source-controller.
//!
//! A source is a `GitRepository` whose status we write ourselves, as source-controller would, and whose artifact is
//! served by a plain HTTP server in this process.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::cluster::Cluster;
use super::namespace::Namespace;
use super::process::Process;
use super::request::{Objects, Write};
use super::unique;
use super::wait::eventually;

/// A reconciliation takes a second; a failing one is repeated with growing pauses.
const RECONCILED: Duration = Duration::from_secs(90);

/// Who writes what source-controller and a user would write.
const WRITER: &str = "chartgate-tests";

/// The controller of a cluster, and the server that it gets artifacts from.
pub(crate) struct KustomizeController {
    process: Process,
    artifacts: Artifacts,
}

/// How one reconciliation of a `Kustomization` ended, as the controller logs it.
pub(crate) struct Reconciliation {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) result: Result<(), String>,
}

/// A `GitRepository`, or another source, and the `Kustomization` that applies it, in one namespace.
pub(crate) struct Source<'a> {
    controller: &'a KustomizeController,
    repositories: Objects,
    kustomizations: Objects,
    name: String,
    /// Whether it was created here, and so ends with this.
    is_own: bool,
}

/// Files by path, over plain HTTP.
struct Artifacts {
    address: SocketAddr,
    files: Arc<Mutex<HashMap<String, Vec<u8>>>>,
}

// === impl KustomizeController ===

impl KustomizeController {
    pub(crate) fn start(cluster: &Cluster, program: &Path) -> Self {
        let dir = Process::directory("kustomize-controller");
        let mut controller = Command::new(program);
        controller
            .env("KUBECONFIG", cluster.kubeconfig())
            .env("RUNTIME_NAMESPACE", "default")
            .args(["--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0"])
            // The pause after a failure starts here and doubles: tests wait for the attempt after a failure.
            .args(["--min-retry-delay=500ms", "--max-retry-delay=2s"])
            // Enough for a hundred Kustomizations that reconcile every few seconds.
            .args(["--concurrent=8", "--kube-api-qps=500", "--kube-api-burst=1000"]);
        let process = Process::start("kustomize-controller", dir, &controller);
        Self { process, artifacts: Artifacts::serve() }
    }

    /// All reconciliations so far, in their order.
    pub(crate) fn reconciliations(&self) -> Vec<Reconciliation> {
        let log = self.process.log();
        let lines = log.lines().filter(|line| line.contains("\"Reconciliation f"));
        lines.filter_map(|line| Reconciliation::parse(&serde_json::from_str(line).ok()?)).collect()
    }
}

// === impl Reconciliation ===

impl Reconciliation {
    /// Reads a line of the log. The texts are those of kustomize-controller v1.9.4.
    fn parse(line: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let is_failure = line["msg"].as_str()?.starts_with("Reconciliation failed");
        let result = if is_failure { Err(text(&line["error"])?) } else { Ok(()) };
        Some(Self { namespace: text(&line["namespace"])?, name: text(&line["name"])?, result })
    }
}

// === impl Source ===

impl<'a> Source<'a> {
    /// Creates both objects. Nothing is applied before something is published.
    pub(crate) fn create(controller: &'a KustomizeController, namespace: &Namespace<'_>) -> Self {
        let name = "source".to_owned();
        let repositories = namespace.objects("source.toolkit.fluxcd.io/v1", "gitrepositories");
        let kustomizations = namespace.objects("kustomize.toolkit.fluxcd.io/v1", "kustomizations");
        let repository = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "GitRepository",
            "metadata": {"name": name},
            "spec": {"interval": "1h", "url": "https://git.invalid/repository"},
        });
        let kustomization = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": name},
            "spec": {
                "interval": "10s",
                "retryInterval": "2s",
                "timeout": "10s",
                "path": "./",
                "prune": true,
                "targetNamespace": namespace.name(),
                "sourceRef": {"kind": "GitRepository", "name": name},
            },
        });
        repositories.create(&repository, Write::by(WRITER)).accepted();
        kustomizations.create(&kustomization, Write::by(WRITER)).accepted();
        Self { controller, repositories, kustomizations, name, is_own: true }
    }

    /// Plays source-controller for a source and the `Kustomization` of the same name that somebody else has created.
    pub(crate) fn existing(
        controller: &'a KustomizeController,
        namespace: &Namespace<'_>,
        (sources, name): (&str, &str),
    ) -> Self {
        let repositories = namespace.objects("source.toolkit.fluxcd.io/v1", sources);
        let kustomizations = namespace.objects("kustomize.toolkit.fluxcd.io/v1", "kustomizations");
        Self { controller, repositories, kustomizations, name: name.to_owned(), is_own: false }
    }

    /// Publishes the files as a new revision and waits for what the controller makes of it: the message of its
    /// `Ready` condition, as an error if it failed.
    pub(crate) fn publish(&self, files: &[(&str, &str)]) -> Result<String, String> {
        let archive = archive(files);
        let path = format!("{}.tar.gz", unique());
        let digest = format!("sha256:{:x}", Sha256::digest(&archive));
        // Git names a commit by 40 digits; ours differ by time, so that the same files are a new revision, too.
        let revision = format!("main@sha1:{:.40x}", Sha256::digest(&path));
        let found = self.repositories.get(&self.name).accepted();
        let status = json!({"status": {
            "observedGeneration": found["metadata"]["generation"],
            "artifact": {
                "url": self.controller.artifacts.offer(&path, archive),
                "path": path,
                "revision": revision,
                "digest": digest,
                "lastUpdateTime": "2026-01-01T00:00:00Z",
            },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                "observedGeneration": found["metadata"]["generation"],
            }],
        }});
        self.repositories.status().merge_patch(&self.name, &status, Write::by(WRITER)).accepted();
        self.reconcile()
    }

    /// Has the controller apply the published revision once more, and waits as [`Self::publish`] does.
    pub(crate) fn reconcile(&self) -> Result<String, String> {
        let requested = unique();
        let request = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": requested}}});
        self.kustomizations.merge_patch(&self.name, &request, Write::by(WRITER)).accepted();
        let repository = self.repositories.get(&self.name).accepted();
        let published = &repository["status"]["artifact"]["revision"];
        eventually("kustomize-controller has reconciled", RECONCILED, || {
            let found = self.kustomizations.get(&self.name).accepted();
            let status = &found["status"];
            let conditions = status["conditions"].as_array().into_iter().flatten();
            let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
            let settled = ready.filter(|ready| ready["status"] != "Unknown").filter(|_| {
                // It may have taken up our request before it knew of the new revision.
                status["lastHandledReconcileAt"] == *requested
                    && status["lastAttemptedRevision"] == *published
            });
            let Some(ready) = settled else {
                return Err(format!("{status}; {}", self.controller.process.post_mortem()));
            };
            let message = ready["message"].as_str().unwrap_or_default().to_owned();
            Ok(if ready["status"] == "True" { Ok(message) } else { Err(message) })
        })
    }

    /// The `Kustomization` as it is now.
    pub(crate) fn kustomization(&self) -> Value {
        self.kustomizations.get(&self.name).accepted()
    }
}

impl Drop for Source<'_> {
    /// Suspends the `Kustomization`: one that fails is tried again every two seconds, for as long as the server lives.
    fn drop(&mut self) {
        if self.is_own && !std::thread::panicking() {
            let suspended = json!({"spec": {"suspend": true}});
            self.kustomizations.merge_patch(&self.name, &suspended, Write::by(WRITER));
        }
    }
}

/// A `.tar.gz` of files by their paths.
pub(super) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, path, text.as_bytes()).expect("memory can be written");
    }
    archive.into_inner().and_then(GzEncoder::finish).expect("memory can be written")
}

// === impl Artifacts ===

impl Artifacts {
    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let files = Arc::<Mutex<HashMap<String, Vec<u8>>>>::default();
        let shared = Arc::clone(&files);
        // Ends with the process; it costs nothing while nobody asks.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that gives up asks again by itself.
                drop(answer(stream, &shared));
            }
        });
        Self { address, files }
    }

    /// Serves a file from now on, and returns its address.
    fn offer(&self, path: &str, content: Vec<u8>) -> String {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("/{path}"), content);
        format!("http://{}/{path}", self.address)
    }
}

fn answer(mut stream: TcpStream, files: &Mutex<HashMap<String, Vec<u8>>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let content = files.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
    let (status, content) = content.map_or(("404 Not Found", Vec::new()), |content| ("200 OK", content));
    let length = content.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&content)
}
