//! chartgate as the manifests install it: `kubectl apply -k`, then what a cluster would make of the Deployment and the
//! Service.
//!
//! Nothing of the manifests is changed. A replica is a process started as the kubelet would start the container (see
//! `replica.rs`), and the Service is a forwarder on its `ClusterIP` (see `service.rs`). The names in the manifests are
//! fixed, so an installation needs a cluster of its own.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::access::Door;
use super::cluster::Cluster;
use super::footprint::Footprint;
use super::namespace::Namespace;
use super::releases::{chart, release};
use super::replica::{Pod, Replica};
use super::request::Write;
use super::service::Service;
use super::wait::eventually;
use super::webhooks::{API, CONFIGURATIONS};

/// A configuration takes effect about a second after it is written.
const IN_EFFECT: Duration = Duration::from_mins(1);

/// An overlay of `manifests/`, applied to a cluster.
pub(crate) struct Installation<'a> {
    cluster: &'a Cluster,
    /// The namespace that it is installed in.
    namespace: String,
    /// What the Deployment says as the API server has it, defaults filled in.
    deployment: Value,
    service: Service,
    replicas: RefCell<Vec<Replica>>,
    /// How replicas reach the API server, if not by its own address.
    door: Option<SocketAddr>,
    /// Additional environment variables of replicas.
    environment: Vec<(String, String)>,
}

// === impl Cluster ===

impl Cluster {
    /// The objects that `kubectl kustomize` makes of a folder.
    pub(crate) fn kustomize(&self, folder: &Path) -> Vec<Value> {
        let output = self.kubectl().arg("kustomize").arg(folder).output().expect("kubectl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("YAML is UTF-8");
        text.split("\n---\n")
            .map(|document| serde_saphyr::from_str(document).expect("kustomize writes valid YAML"))
            .collect()
    }

    /// Runs `kubectl apply -k` on a folder, which has to succeed, and returns what was printed.
    #[track_caller]
    pub(crate) fn apply(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = self.kubectl().args(["apply", "-k"]).arg(folder).args(arguments).output();
        let output = output.expect("kubectl starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "kubectl apply -k {}: {said}", folder.display());
        String::from_utf8(output.stdout).expect("kubectl prints UTF-8")
    }
}

/// A folder below `manifests/`, such as `enforce`.
pub(crate) fn manifests(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests").join(folder)
}

// === impl Installation ===

impl<'a> Installation<'a> {
    /// Applies an overlay, `audit` or `enforce`. Nothing runs yet.
    pub(crate) fn apply(cluster: &'a Cluster, overlay: &str) -> Self {
        cluster.apply(&manifests(overlay), &[]);
        Self::existing(cluster)
    }

    /// What somebody has applied already. Nothing runs yet.
    pub(crate) fn existing(cluster: &'a Cluster) -> Self {
        Self::existing_in(cluster, "chartgate-system")
    }

    /// The same in another namespace than that of the manifests.
    pub(crate) fn existing_in(cluster: &'a Cluster, name: &str) -> Self {
        let namespace = Namespace::existing(cluster, name);
        let deployment = namespace.objects("apps/v1", "deployments").get("chartgate").accepted();
        let service = namespace.objects("v1", "services").get("chartgate").accepted();
        let service = Service::listen(&service, "webhook");
        let replicas = RefCell::default();
        Self {
            cluster,
            namespace: name.to_owned(),
            deployment,
            service,
            replicas,
            door: None,
            environment: Vec::new(),
        }
    }

    /// From now on replicas reach the API server through this door.
    pub(crate) fn through(&mut self, door: &Door) {
        self.door = Some(door.address());
    }

    /// Adds an argument to replicas that start from now on.
    pub(crate) fn add_argument(&mut self, argument: &str) {
        let arguments = &mut self.deployment["spec"]["template"]["spec"]["containers"][0]["args"];
        arguments.as_array_mut().expect("the Deployment names them").push(json!(argument));
    }

    /// Adds an environment variable to replicas that start from now on.
    pub(crate) fn add_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Waits until the API server calls `/validate`, for which chartgate adds the rules a moment after the first replica
    /// is ready.
    pub(crate) fn wait_until_closed(&self) {
        let mut probe = release("v2", "probe", &chart());
        // Only causes a warning, and the prefilter leaves it to both webhooks.
        probe["metadata"]["annotations"] = json!({"fluxcd.io/version": "v2beta2"});
        let calls =
            || self.cluster.counted("apiserver_admission_webhook_request_total", "validate.chartgate.dev");
        let before = calls();
        self.wait_until("the API server calls /validate", &probe, |status, _| {
            status == 201 && calls() > before
        });
    }

    /// Gives replicas that start from now on another `chartgate.yaml`: the ConfigMap is what users change.
    pub(crate) fn configure(&self, text: &str) {
        let config_maps = Namespace::existing(self.cluster, &self.namespace).objects("v1", "configmaps");
        let patch = json!({"data": {"chartgate.yaml": text}});
        config_maps.merge_patch("chartgate", &patch, Write::by("chartgate-tests")).accepted();
    }

    /// Starts as many replicas as the Deployment asks for, and returns when all are ready.
    pub(crate) fn start(&self) {
        let wanted = self.deployment["spec"]["replicas"].as_u64().expect("the API server fills it in");
        for _ in 0..wanted {
            self.start_one();
        }
    }

    /// Starts one replica more, and returns when it is ready.
    pub(crate) fn start_one(&self) {
        self.launch();
        self.replicas.borrow().last().expect("it is one line above").wait_until_ready();
    }

    /// Starts one replica more, which may never become ready.
    pub(crate) fn launch(&self) {
        self.replicas.borrow_mut().push(Replica::start(&self.pod(), self.service.endpoints()));
    }

    fn pod(&self) -> Pod<'_> {
        let (template, listen) = (&self.deployment["spec"]["template"], (Ipv4Addr::LOCALHOST, 0).into());
        let Self { cluster, namespace, door, environment, .. } = self;
        Pod { cluster, namespace, template, listen, door: *door, environment }
    }

    /// Brings what the mounted objects hold by now to every running replica.
    pub(crate) fn refresh_mounts(&self) {
        for replica in self.replicas.borrow().iter() {
            replica.refresh_mounts(&self.pod());
        }
    }

    /// Status and text of the running replicas' `/readyz?verbose`.
    pub(crate) fn reports(&self) -> Vec<(u16, String)> {
        self.replicas.borrow().iter().map(|replica| replica.get("/readyz?verbose")).collect()
    }

    /// Replaces the replica that has run longest as a rolling update does: a new one, and when that is available,
    /// SIGTERM to the old one, which has its grace period to end with exit code 0.
    pub(crate) fn replace_oldest(&self) {
        self.start_one();
        let settled = self.deployment["spec"]["minReadySeconds"].as_u64().unwrap_or(0);
        std::thread::sleep(Duration::from_secs(settled));
        self.terminate_oldest();
    }

    /// SIGTERM to the replica that has run longest, which has its grace period to end with exit code 0.
    pub(crate) fn terminate_oldest(&self) {
        let old = self.replicas.borrow_mut().remove(0);
        old.terminate(&self.deployment["spec"]["template"]);
    }

    /// SIGKILL to the replica that has run longest, and no new one.
    pub(crate) fn kill_oldest(&self) {
        let old = self.replicas.borrow_mut().remove(0);
        old.kill();
    }

    /// A signal to the replica that has run longest, such as `STOP`.
    pub(crate) fn signal_oldest(&self, name: &str) {
        self.replicas.borrow()[0].signal(name);
    }

    /// SIGKILL to every replica, and no new one.
    pub(crate) fn kill_all(&self) {
        for replica in self.replicas.borrow_mut().drain(..) {
            replica.kill();
        }
        assert_eq!(self.service.ready(), 0);
    }

    /// Waits until a dry run of a release is answered as `wanted` says, since webhook configurations take effect a
    /// moment after they are written.
    pub(crate) fn wait_until(&self, what: &str, probe: &Value, mut wanted: impl FnMut(u16, &str) -> bool) {
        let namespace = self.cluster.namespace("probe");
        eventually(what, IN_EFFECT, || {
            let answer = namespace.releases("v2").create(probe, Write::by("chartgate-tests").dry_run());
            let message = answer.message();
            if wanted(answer.status, message) { Ok(()) } else { Err(format!("{} {message}", answer.status)) }
        });
    }

    /// Waits until the API server calls chartgate: every replica together have counted a review.
    pub(crate) fn wait_until_called(&self) {
        let probe = release("v2", "probe", &chart());
        self.wait_until("chartgate is called", &probe, |status, _| {
            status == 201 && self.metrics("chartgate_reviews_total") > 0
        });
    }

    /// How many replicas are ready.
    pub(crate) fn ready(&self) -> usize {
        self.service.ready()
    }

    /// The sum of a counter, or of a yes or no, over its labels and all running replicas.
    pub(crate) fn metrics(&self, name: &str) -> u64 {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            series.starts_with(name).then(|| value.parse::<u64>().expect("what is counted is whole"))
        };
        let replicas = self.replicas.borrow();
        replicas.iter().map(|replica| replica.get("/metrics").1.lines().filter_map(sample).sum::<u64>()).sum()
    }

    /// Whether every running replica has a metric of this name.
    pub(crate) fn has_metric(&self, name: &str) -> bool {
        self.replicas.borrow().iter().all(|replica| replica.get("/metrics").1.contains(name))
    }

    /// Where each running replica answers reviews, without the Service.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.borrow().iter().map(Replica::webhook).collect()
    }

    /// The process id of each running replica.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.replicas.borrow().iter().map(Replica::id).collect()
    }

    /// Where the API server calls.
    pub(crate) fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// What each running replica holds of this machine.
    pub(crate) fn footprints(&self) -> Vec<Footprint> {
        self.replicas.borrow().iter().map(Replica::footprint).collect()
    }

    /// What each running replica says at a path of its plain port.
    pub(crate) fn observe(&self, path: &str) -> Vec<String> {
        self.replicas.borrow().iter().map(|replica| replica.get(path).1).collect()
    }

    /// The running replicas' logs, for failure messages and what is said there only.
    pub(crate) fn logs(&self) -> String {
        self.replicas.borrow().iter().map(Replica::log).collect()
    }

    /// Writes caBundle, as cert-manager's cainjector does. With `--certs=self`, chartgate does it by itself.
    pub(crate) fn trust(&self, authority: &str) {
        for (resource, _) in CONFIGURATIONS {
            let configurations = self.cluster.objects(API, resource);
            let found = configurations.get("chartgate").accepted();
            let webhooks = found["webhooks"].as_array().expect("a configuration lists webhooks");
            let patch: Vec<_> = (0..webhooks.len())
                .map(|index| {
                    json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"),
                           "value": STANDARD.encode(authority)})
                })
                .collect();
            configurations.json_patch("chartgate", &json!(patch), Write::by("ca-injector")).accepted();
        }
    }
}
