//! A Kubernetes API server with its etcd, and the Flux CRDs in it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use kube::client::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::binaries::{self, ControlPlane, Kubernetes};
use super::kustomize::KustomizeController;
use super::namespace::Namespace;
use super::process::Process;
use super::request::{Answer, Objects, read};
use super::source_controller::SourceController;
use super::tls::{Identity, new_key};
use super::wait::eventually;
use super::{RUNTIME, crds, skipped};

/// It takes two seconds alone; the machine may be busy compiling.
const START: Duration = Duration::from_secs(90);

/// How often a port that was free a moment ago may turn out to be taken.
const ATTEMPTS: usize = 5;

/// A running API server. Everything about it is gone when it is dropped or the test process ends.
pub(crate) struct Cluster {
    // In the order of their ends: the API server would complain, slowly, about an etcd that is gone.
    kustomize_controller: OnceLock<Result<KustomizeController, String>>,
    source_controller: OnceLock<Result<SourceController, String>>,
    /// The one that was started after the first, if any.
    pub(super) restarted: Mutex<Option<Process>>,
    /// The first one. Its directory holds what every one of them is started with.
    pub(super) api_server: Process,
    /// The one that runs now.
    pub(super) etcd: Mutex<Process>,
    pub(super) programs: ControlPlane,
    client: Client,
    port: u16,
    flux: String,
}

// === impl Cluster ===

impl Cluster {
    /// The server that all tests of this process share for one minor version of Flux, such as `"2.6"`. It stays until
    /// the process ends. `None`, said aloud, where there is no toolchain to build a server or no CRDs of that version.
    pub(crate) fn shared(flux: &str) -> Option<&'static Self> {
        type Slot = &'static OnceLock<Result<Cluster, String>>;
        static SERVERS: Mutex<BTreeMap<String, Slot>> = Mutex::new(BTreeMap::new());
        let slot = *SERVERS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(flux.to_owned())
            .or_insert_with(|| Box::leak(Box::new(OnceLock::new())));
        slot.get_or_init(|| Self::try_start(flux, Kubernetes::Usual, None))
            .as_ref()
            .inspect_err(|reason| skipped(reason))
            .ok()
    }

    /// A server of one's own, for tests that change CRDs or restart things.
    pub(crate) fn start(flux: &str) -> Option<Self> {
        Self::start_at(flux, Kubernetes::Usual)
    }

    /// The same, of a chosen Kubernetes release.
    pub(crate) fn start_at(flux: &str, kubernetes: Kubernetes) -> Option<Self> {
        Self::try_start(flux, kubernetes, None).inspect_err(|reason| skipped(reason)).ok()
    }

    /// A server which presents a certificate to the webhook of the server `host`, such as `chartgate.chartgate-system.svc`,
    /// and publishes its authority as the one of its own clients. Without the file that [`Self::admission_config`] names, it
    /// presents none after its next start.
    pub(crate) fn start_presenting(flux: &str, host: &str, client: &Identity) -> Option<Self> {
        Self::try_start(flux, Kubernetes::Usual, Some((host, client)))
            .inspect_err(|reason| skipped(reason))
            .ok()
    }

    /// The certificate that the API server presents to webhooks, as `--admission-control-config-file` names it.
    pub(crate) fn admission_config(&self) -> std::path::PathBuf {
        self.api_server.dir().join("admission")
    }

    /// Panics where something fails, and returns why where something is missing.
    fn try_start(
        flux: &str,
        kubernetes: Kubernetes,
        presented: Option<(&str, &Identity)>,
    ) -> Result<Self, String> {
        let definitions = crds::of_flux(flux)?;
        let programs = binaries::control_plane(kubernetes)?;
        let etcd = start_etcd(&programs, None);
        let socket = client_socket(&etcd);
        let (api_server, client, port) = (0..ATTEMPTS)
            .find_map(|_| start_api_server(&programs, &socket, presented))
            .expect("one of several free ports stays free for a moment");
        let cluster = Self {
            kustomize_controller: OnceLock::new(),
            source_controller: OnceLock::new(),
            restarted: Mutex::default(),
            api_server,
            etcd: Mutex::new(etcd),
            programs,
            client,
            port,
            flux: flux.to_owned(),
        };
        cluster.recreate(&definitions);
        Ok(cluster)
    }

    /// The Flux minor that the server was started with.
    pub(crate) fn flux(&self) -> &str {
        &self.flux
    }

    /// A client as administrator. It works in the harness's runtime only; [`Self::kubeconfig`] is for others.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The path of a kubeconfig for the administrator.
    pub(crate) fn kubeconfig(&self) -> std::path::PathBuf {
        self.api_server.dir().join("kubeconfig")
    }

    /// The port of the API server on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What the system calls the process of the API server.
    pub(crate) fn process_id(&self) -> u32 {
        self.api_server.id().expect("it has answered, so it was started")
    }

    /// The lines of the audit log about one namespace: writes of its HelmReleases, and of its reports.
    pub(crate) fn audit_log(&self, namespace: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.api_server.dir().join("audit.log")).expect("the server writes it");
        let about = format!("\"namespace\":\"{namespace}\"");
        // The last line may be half written.
        let lines = log.lines().filter(|line| line.contains(&about));
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// kubectl of the server's release, as administrator, with nothing of our environment.
    pub(crate) fn kubectl(&self) -> Command {
        let mut kubectl = Command::new(&self.programs.kubectl);
        kubectl
            .env_clear()
            .env("KUBECONFIG", self.kubeconfig())
            // It keeps a discovery cache under its home.
            .env("HOME", self.api_server.dir())
            .env("NO_COLOR", "1");
        kubectl
    }

    /// A new namespace, with a name that starts with `purpose` and is used nowhere else.
    pub(crate) fn namespace(&self, purpose: &str) -> Namespace<'_> {
        Namespace::create(self, purpose, &json!({}))
    }

    /// The objects of a resource that has no namespace, or of all namespaces.
    pub(crate) fn objects(&self, api_version: &str, resource: &str) -> Objects {
        Objects::new(self.client(), api_version, resource, None)
    }

    /// The sum of one of the API server's own metrics over those of its series that are about a webhook of ours.
    pub(crate) fn counted(&self, metric: &str, webhook: &str) -> u64 {
        let metrics = self.get("/metrics").accepted();
        let metrics = metrics.as_str().expect("metrics are text");
        let (metric, webhook) = (format!("{metric}{{"), format!("name=\"{webhook}\""));
        let ours = metrics.lines().filter(|line| line.starts_with(&metric) && line.contains(&webhook));
        ours.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    /// The answer to a plain GET of any path.
    pub(crate) fn get(&self, path: &str) -> Answer {
        read(&self.client, path, "application/json")
    }

    /// Creates the CRDs that the components of our manifests are about; `false`, said aloud, without Go.
    pub(crate) fn install_crds_of_components(&self) -> bool {
        let definitions = crds::of_components().inspect_err(|reason| skipped(reason));
        definitions.map(|definitions| self.install_missing(&definitions)).is_ok()
    }

    /// The real kustomize-controller of this cluster, started when first asked for; `None`, said aloud, without Go.
    pub(crate) fn kustomize_controller(&self) -> Option<&KustomizeController> {
        self.kustomize_controller
            .get_or_init(|| {
                let program = binaries::kustomize_controller().and_then(|program| {
                    self.install_missing(&crds::of_kustomize_controller()?);
                    Ok(program)
                });
                program.map(|program| KustomizeController::start(self, &program))
            })
            .as_ref()
            .inspect_err(|reason| skipped(reason))
            .ok()
    }

    /// The real source-controller of this cluster with a registry to pull from, started on first use; `None`, with a
    /// printed note, without Go.
    pub(crate) fn source_controller(&self) -> Option<&SourceController> {
        self.source_controller
            .get_or_init(|| {
                let programs = binaries::source_controller().and_then(|programs| {
                    self.install_missing(&crds::of_kustomize_controller()?);
                    Ok(programs)
                });
                programs.map(|programs| SourceController::start(self, &programs))
            })
            .as_ref()
            .inspect_err(|reason| skipped(reason))
            .ok()
    }
}

/// Where etcd listens: the first port of the host `client`, as its arguments have it.
pub(super) fn client_socket(etcd: &Process) -> std::path::PathBuf {
    etcd.dir().join("client:1")
}

/// With the data of another one, or none.
pub(super) fn start_etcd(programs: &ControlPlane, data: Option<&Path>) -> Process {
    let dir = Process::directory("etcd");
    if let Some(data) = data {
        let copied = Command::new("cp").arg("-r").arg(data).arg(dir.join("data")).status();
        assert!(copied.expect("a POSIX system has cp").success(), "etcd's data are copied");
    }
    let mut etcd = Command::new(&programs.etcd);
    // Unix sockets, named relative to the process directory: no port that somebody else could take.
    etcd.args(["--listen-client-urls=unix://client:1", "--advertise-client-urls=unix://client:1"])
        .args(["--listen-peer-urls=unix://peer:1", "--initial-advertise-peer-urls=unix://peer:1"])
        .args(["--name=test", "--initial-cluster=test=unix://peer:1", "--data-dir=data"])
        // The data need not survive a power cut.
        .args(["--unsafe-no-fsync", "--log-level=warn"]);
    let etcd = Process::start("etcd", dir, &etcd);
    eventually("etcd listens", START, || {
        assert!(etcd.exit_status().is_none(), "{}", etcd.post_mortem());
        if client_socket(&etcd).exists() { Ok(()) } else { Err("no socket".to_owned()) }
    });
    etcd
}

/// Starts the server and waits until it is ready; `None` if its port was taken meanwhile.
fn start_api_server(
    programs: &ControlPlane,
    etcd: &Path,
    presented: Option<(&str, &Identity)>,
) -> Option<(Process, Client, u16)> {
    // It cannot take port 0, so one is found for it.
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port is free").port();
    let dir = Process::directory("kube-apiserver");
    let token = "administrator";
    let identity = Identity::generate();
    let service_accounts = new_key();
    for (name, content) in [
        ("server.crt", &identity.certificate),
        ("server.key", &identity.key),
        ("ca.crt", &identity.authority),
        ("service-accounts.key", &service_accounts.serialize_pem()),
        ("service-accounts.pub", &service_accounts.public_key_pem()),
        ("tokens", &format!("{token},administrator,1,\"system:masters\"\n")),
        ("kubeconfig", &kubeconfig(port, token, &dir)),
        ("audit-policy", &audit_policy()),
    ] {
        fs::write(dir.join(name), content).expect("the process directory can be written");
    }
    if let Some((host, identity)) = presented {
        present(&dir, host, identity);
    }
    let command = api_server(programs, &dir, etcd, port);
    let server = Process::start("kube-apiserver", dir, &command);
    let client = client(&server.dir().join("kubeconfig"));
    is_up(&server, &client).then_some((server, client, port))
}

/// Writes the files by which the server presents a certificate to the webhook of a host, as docs/install.md has them.
fn present(dir: &Path, host: &str, identity: &Identity) {
    let path = |name: &str| dir.join(name).display().to_string();
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "users": [{"name": host, "user": {
        "client-certificate": path("webhooks.crt"), "client-key": path("webhooks.key"),
    }}]});
    let plugin = |name: &str| {
        json!({"name": name, "configuration": {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "WebhookAdmissionConfiguration",
            "kubeConfigFile": path("webhooks.kubeconfig"),
        }})
    };
    let admission = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [plugin("MutatingAdmissionWebhook"), plugin("ValidatingAdmissionWebhook")],
    });
    for (name, content) in [
        ("webhooks.crt", &identity.certificate),
        ("webhooks.key", &identity.key),
        ("clients.crt", &identity.authority),
        ("webhooks.kubeconfig", &kubeconfig.to_string()),
        ("admission", &admission.to_string()),
    ] {
        fs::write(dir.join(name), content).expect("the process directory can be written");
    }
}

/// The server with the files of `dir`, wherever it is started.
pub(super) fn api_server(programs: &ControlPlane, dir: &Path, etcd: &Path, port: u16) -> Command {
    let mut server = Command::new(&programs.kube_apiserver);
    let file = |flag: &str, name: &str| format!("--{flag}={}", dir.join(name).display());
    server
        .arg(format!("--etcd-servers=unix://{}", etcd.display()))
        .arg(format!("--secure-port={port}"))
        .arg("--bind-address=127.0.0.1")
        .args([file("tls-cert-file", "server.crt"), file("tls-private-key-file", "server.key")])
        .arg(file("service-account-key-file", "service-accounts.pub"))
        .arg(file("service-account-signing-key-file", "service-accounts.key"))
        .args(["--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=RBAC"])
        .arg(file("token-auth-file", "tokens"))
        .args([file("audit-policy-file", "audit-policy"), file("audit-log-path", "audit.log")])
        .arg("--audit-log-mode=blocking")
        // Pods never run here, and the accounts that it would wait for are made by a controller that is not there.
        .args(["--disable-admission-plugins=ServiceAccount"])
        // On loopback, a process can listen on the address of a Service without any kube-proxy.
        .arg(format!("--service-cluster-ip-range={}/28", service_range(port)));
    for (flag, name) in [("admission-control-config-file", "admission"), ("client-ca-file", "clients.crt")] {
        if dir.join(name).exists() {
            server.arg(file(flag, name));
        }
    }
    server
}

/// Waits until a server is ready; `false` if its port was taken meanwhile.
pub(super) fn is_up(server: &Process, client: &Client) -> bool {
    eventually("kube-apiserver is ready", START, || {
        if server.exit_status().is_some() {
            assert!(server.log().contains("address already in use"), "{}", server.post_mortem());
            return Ok(false);
        }
        let answer = read(client, "/readyz", "text/plain");
        if answer.status == 200 { Ok(true) } else { Err(format!("{answer:?}; {}", server.post_mortem())) }
    })
}

/// The Service range of the server at `port` begins here: 16 addresses of 127.96.0.0/12 for each port that there is, so
/// that servers beside each other have their own.
fn service_range(port: u16) -> Ipv4Addr {
    let [high, low] = port.to_be_bytes();
    Ipv4Addr::new(127, 96 + (high >> 4), (high << 4) | (low >> 4), low << 4)
}

fn client(kubeconfig: &Path) -> Client {
    // Which of several TLS providers compiled in is used must not depend on what else is compiled in.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    RUNTIME.block_on(async {
        let file = Kubeconfig::read_from(kubeconfig).expect("it was written above");
        let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .expect("it is complete");
        // A test asks to see the first answer.
        config.default_retry = false;
        Client::try_from(config).expect("it needs nothing but the files beside it")
    })
}

/// Who writes a HelmRelease is logged, with what webhooks had to note about it, who writes a report, and nothing else.
fn audit_policy() -> String {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{
            "level": "Metadata",
            "verbs": ["create", "update", "patch"],
            "resources": [{"group": "helm.toolkit.fluxcd.io", "resources": ["helmreleases"]}],
        }, {
            "level": "Metadata",
            "verbs": ["create", "update", "patch", "delete"],
            "resources": [
                {"group": "openreports.io", "resources": ["reports"]},
                {"group": "wgpolicyk8s.io", "resources": ["policyreports"]},
            ],
        }, {"level": "None"}],
    })
    .to_string()
}

fn kubeconfig(port: u16, token: &str, dir: &Path) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority": dir.join("ca.crt"),
        }}],
        "users": [{"name": "test", "user": {"token": token}}],
    })
    .to_string()
}
