//! Runs the real source-controller, and the OCI registry that it pulls artifacts from.
//!
//! The registry is a small program of ours beside it (`tests/cluster/tools/source-controller/oci-registry`): in memory,
//! plain HTTP, on loopback. Manifests are pushed to it as `flux push artifact` pushes them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::binaries::SourceControllerPrograms;
use super::chartgate::loopback_address;
use super::cluster::Cluster;
use super::kustomize::archive;
use super::namespace::Namespace;
use super::process::Process;
use super::request::{Objects, Write};
use super::unique;
use super::wait::eventually;

/// It takes a second or two; the machine may be busy compiling.
const START: Duration = Duration::from_mins(1);

/// A pull takes well below a second.
const PULLED: Duration = Duration::from_secs(90);

/// How often a port that was free a moment ago may turn out to be taken.
const ATTEMPTS: usize = 5;

const WRITER: &str = "chartgate-tests";

/// The tag that every push moves.
const TAG: &str = "latest";

/// Media types of Flux's artifacts (fluxcd/pkg/oci) and of the manifest around them.
const CONFIG: &str = "application/vnd.cncf.flux.config.v1+json";
const CONTENT: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The controller of a cluster, and the registry beside it.
pub(crate) struct SourceController {
    process: Process,
    registry: Registry,
}

/// An OCI registry in memory.
struct Registry {
    process: Process,
    address: SocketAddr,
}

/// A repository of the registry and the `OCIRepository` that follows it.
pub(crate) struct OciSource<'a> {
    controller: &'a SourceController,
    repositories: Objects,
    namespace: String,
    name: String,
}

// === impl SourceController ===

impl SourceController {
    pub(crate) fn start(cluster: &Cluster, programs: &SourceControllerPrograms) -> Self {
        let registry = Registry::start(programs);
        let process = (0..ATTEMPTS)
            .find_map(|_| start_controller(cluster, programs))
            .expect("one of several free ports stays free for a moment");
        Self { process, registry }
    }
}

/// `None` if the port for its artifacts was taken meanwhile.
fn start_controller(cluster: &Cluster, programs: &SourceControllerPrograms) -> Option<Process> {
    // The address is advertised to clients, so it cannot be port 0.
    let storage =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port is free");
    let dir = Process::directory("source-controller");
    let mut controller = Command::new(&programs.source_controller);
    controller
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("RUNTIME_NAMESPACE", "default")
        .args(["--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0"])
        .args([format!("--storage-addr={storage}"), format!("--storage-adv-addr={storage}")])
        .arg(format!("--storage-path={}", dir.display()))
        .args(["--min-retry-delay=500ms", "--max-retry-delay=2s"]);
    let process = Process::start("source-controller", dir, &controller);
    eventually("source-controller serves artifacts", START, || {
        if process.log().contains("address already in use") {
            return Ok(None);
        }
        assert!(process.exit_status().is_none(), "{}", process.post_mortem());
        TcpStream::connect(storage)
            .map(|_| Some(()))
            .map_err(|error| format!("{error}; {}", process.post_mortem()))
    })
    .map(|()| process)
}

// === impl Registry ===

impl Registry {
    fn start(programs: &SourceControllerPrograms) -> Self {
        let dir = Process::directory("oci-registry");
        let process = Process::start("oci-registry", dir, &Command::new(&programs.oci_registry));
        let address = eventually("the registry prints its address", START, || {
            assert!(process.exit_status().is_none(), "{}", process.post_mortem());
            let url = loopback_address(&process.log(), "http");
            let address = url.and_then(|url| url.trim_start_matches("http://").parse().ok());
            address.ok_or_else(|| process.post_mortem())
        });
        Self { process, address }
    }

    /// Pushes files as an artifact of Flux and returns the digest of its manifest.
    fn push(&self, repository: &str, files: &[(&str, &str)]) -> String {
        let blobs = [(CONFIG, b"{}".to_vec()), (CONTENT, archive(files))];
        let [config, layer] = blobs.map(|(media_type, blob)| {
            let digest = digest_of(&blob);
            let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            self.send("POST", &path, "application/octet-stream", &blob);
            json!({"mediaType": media_type, "digest": digest, "size": blob.len()})
        });
        // The revision makes the same files a new manifest, as a new commit does.
        let annotations = json!({
            "org.opencontainers.image.created": "2026-01-01T00:00:00Z",
            "org.opencontainers.image.source": "https://git.invalid/repository",
            "org.opencontainers.image.revision": format!("main@sha1:{:.40x}", Sha256::digest(unique())),
        });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
            "annotations": annotations,
        });
        let manifest = manifest.to_string();
        self.send("PUT", &format!("/v2/{repository}/manifests/{TAG}"), MANIFEST, manifest.as_bytes());
        digest_of(manifest.as_bytes())
    }

    /// A request that the registry has to answer with 201.
    fn send(&self, method: &str, path: &str, media_type: &str, body: &[u8]) {
        let answer = self.exchange(method, path, media_type, body).unwrap_or_else(|error| error.to_string());
        assert!(
            answer.starts_with("HTTP/1.1 201 "),
            "{method} {path}: {answer}; {}",
            self.process.post_mortem()
        );
    }

    fn exchange(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> std::io::Result<String> {
        let (address, length) = (self.address, body.len());
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {media_type}\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

// === impl OciSource ===

impl<'a> OciSource<'a> {
    /// Creates the `OCIRepository`. It has no artifact before something is pushed.
    pub(crate) fn create(controller: &'a SourceController, namespace: &Namespace<'_>, name: &str) -> Self {
        let repositories = namespace.objects("source.toolkit.fluxcd.io/v1", "ocirepositories");
        let namespace = namespace.name().to_owned();
        let object = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "OCIRepository",
            "metadata": {"name": name},
            "spec": {
                "interval": "1h",
                "url": format!("oci://{}/{namespace}/{name}", controller.registry.address),
                "insecure": true,
                "ref": {"tag": TAG},
            },
        });
        repositories.create(&object, Write::by(WRITER)).accepted();
        Self { controller, repositories, namespace, name: name.to_owned() }
    }

    /// Pushes the files and asks source-controller to pull them, as a webhook of the registry does through
    /// notification-controller. Returns the revision to wait for.
    pub(crate) fn push(&self, files: &[(&str, &str)]) -> String {
        let repository = format!("{}/{}", self.namespace, self.name);
        let digest = self.controller.registry.push(&repository, files);
        let request = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": unique()}}});
        self.repositories.merge_patch(&self.name, &request, Write::by(WRITER)).accepted();
        format!("{TAG}@{digest}")
    }

    /// Waits until source-controller serves a revision that [`Self::push`] returned.
    pub(crate) fn wait_until_pulled(&self, revision: &str) {
        eventually("source-controller has pulled the artifact", PULLED, || {
            let status = self.status();
            if status["artifact"]["revision"] == *revision {
                Ok(())
            } else {
                Err(format!("{status}; {}", self.controller.process.post_mortem()))
            }
        });
    }

    /// The status of the `OCIRepository` as it is now.
    pub(crate) fn status(&self) -> Value {
        self.repositories.get(&self.name).accepted()["status"].clone()
    }
}
