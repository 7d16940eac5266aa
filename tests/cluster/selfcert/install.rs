//! What `--certs=self` needs around it: the shipped webhook configurations, a Service, and processes behind it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::{Value, json};

use crate::harness::{Cluster, Objects, Process, Write, eventually};

/// It takes some milliseconds; the machine may be busy compiling.
pub(super) const SOON: Duration = Duration::from_mins(1);

pub(super) const NAMESPACE: &str = "chartgate-system";

const API: &str = "admissionregistration.k8s.io/v1";
pub(super) const RESOURCES: [&str; 2] = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];

/// The shipped configurations, in the order of the resources.
const FILES: [&str; 2] = ["10-mutating-webhook.yaml", "11-validating-webhook.yaml"];

/// A cluster of one's own with everything but the processes.
pub(super) struct Install {
    pub(super) cluster: Cluster,
}

/// A running `chartgate serve --certs=self`.
pub(super) struct Replica {
    process: Process,
    pub(super) listen: SocketAddr,
    observe: SocketAddr,
}

// === impl Install ===

impl Install {
    /// A cluster with the namespace, the Service and both configurations as they are shipped.
    pub(super) fn new() -> Option<Self> {
        let install = Self::without_configurations()?;
        install.apply_manifests(&[]);
        Some(install)
    }

    pub(super) fn without_configurations() -> Option<Self> {
        let install = Self { cluster: Cluster::start("2.9")? };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        install.cluster.objects("v1", "namespaces").create(&namespace, Write::by("tests")).accepted();
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "chartgate"},
            "spec": {"clusterIP": install.address(), "ports": [{"port": 443}]},
        });
        install.objects("v1", "services").create(&service, Write::by("tests")).accepted();
        Some(install)
    }

    /// Hands the shipped configurations to `kubectl apply`.
    pub(super) fn apply_manifests(&self, arguments: &[&str]) {
        for file in FILES {
            let output = self
                .kubectl(|kubectl| kubectl.arg("apply").args(arguments).arg("--filename").arg(shipped(file)));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    pub(super) fn kubectl(&self, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Output {
        arguments(&mut self.cluster.kubectl()).output().expect("kubectl was built with the server")
    }

    /// From now on a call that fails is a write that fails.
    pub(super) fn fail_closed(&self) {
        for resource in RESOURCES {
            let patch = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]);
            self.configurations(resource).json_patch("chartgate", &patch, Write::by("tests")).accepted();
        }
    }

    /// Where the Service is.
    pub(super) fn address(&self) -> Ipv4Addr {
        self.cluster.service_address(10)
    }

    pub(super) fn objects(&self, api_version: &str, resource: &str) -> Objects {
        Objects::new(self.cluster.client(), api_version, resource, Some(NAMESPACE))
    }

    pub(super) fn secrets(&self) -> Objects {
        self.objects("v1", "secrets")
    }

    pub(super) fn secret(&self) -> Value {
        self.secrets().get("chartgate-tls").accepted()
    }

    pub(super) fn configurations(&self, resource: &str) -> Objects {
        self.cluster.objects(API, resource)
    }

    pub(super) fn configuration(&self, resource: &str) -> Value {
        self.configurations(resource).get("chartgate").accepted()
    }

    /// The caBundles of both, as PEM.
    pub(super) fn bundles(&self) -> [String; 2] {
        RESOURCES.map(|resource| {
            let configuration = self.configuration(resource);
            decoded(&configuration["webhooks"][0]["clientConfig"]["caBundle"])
        })
    }

    /// Starts a process where the Service leads to.
    pub(super) fn start(&self, config: &str) -> Replica {
        self.start_on(SocketAddr::new(self.address().into(), 443), self.cluster.port(), config)
    }

    /// Starts one that the Service does not lead to.
    pub(super) fn start_beside(&self, config: &str) -> Replica {
        self.start_on(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0), self.cluster.port(), config)
    }

    /// Starts one that looks for the API server at this port.
    pub(super) fn start_on(&self, listen: SocketAddr, api_server: u16, config: &str) -> Replica {
        let dir = Process::directory("chartgate");
        let kubeconfig = fs::read_to_string(self.cluster.kubeconfig()).expect("it was written at the start");
        let mut kubeconfig: Value = serde_json::from_str(&kubeconfig).expect("ours is JSON");
        // A pod knows its namespace from its ServiceAccount.
        kubeconfig["contexts"][0]["context"]["namespace"] = json!(NAMESPACE);
        kubeconfig["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{api_server}"));
        fs::write(dir.join("kubeconfig"), kubeconfig.to_string())
            .expect("the process directory can be written");
        fs::write(dir.join("chartgate.yaml"), config).expect("the process directory can be written");
        let mut serve = Command::new(env!("CARGO_BIN_EXE_chartgate"));
        serve
            .env("KUBECONFIG", dir.join("kubeconfig"))
            .args(["serve", "--certs=self", "--cluster=required", "--config=chartgate.yaml"])
            .args(["--observe=127.0.0.1:0", &format!("--listen={listen}")])
            // Decisions would drown what the tests want to read.
            .arg("--log-level=info,chartgate::decision=off");
        let process = Process::start("chartgate", dir, &serve);
        let (listen, observe) = eventually("chartgate prints its addresses", SOON, || {
            assert!(process.exit_status().is_none(), "{}", process.post_mortem());
            let log = process.log();
            address(&log, "https://").zip(address(&log, " http://")).ok_or_else(|| process.post_mortem())
        });
        Replica { process, listen, observe }
    }
}

/// The texts of the shipped configurations.
pub(super) fn manifests() -> [String; 2] {
    FILES.map(|file| fs::read_to_string(shipped(file)).expect("the manifest is committed"))
}

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base").join(file)
}

/// The address behind the first `scheme` of a text.
fn address(text: &str, scheme: &str) -> Option<SocketAddr> {
    let (_, rest) = text.split_once(scheme)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What a field of type `[]byte` holds.
pub(super) fn decoded(field: &Value) -> String {
    let bytes = STANDARD.decode(field.as_str().unwrap_or_default()).expect("the API server encodes it");
    String::from_utf8(bytes).expect("PEM is ASCII")
}

// === impl Replica ===

impl Replica {
    pub(super) fn is_ready(&self) -> Result<(), String> {
        let report = self.observe("/readyz");
        if report == "ok\n" { Ok(()) } else { Err(report) }
    }

    /// Waits until it is ready.
    #[track_caller]
    pub(super) fn ready(&self) {
        eventually("chartgate is ready", SOON, || {
            assert!(self.process.exit_status().is_none(), "{}", self.process.post_mortem());
            self.is_ready().map_err(|report| format!("{report}{}", self.process.post_mortem()))
        });
    }

    pub(super) fn log(&self) -> String {
        self.process.log()
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// The text at a path of the plain port.
    pub(super) fn observe(&self, path: &str) -> String {
        let mut answer = String::new();
        TcpStream::connect(self.observe)
            .and_then(|mut stream| {
                write!(stream, "GET {path} HTTP/1.0\r\nHost: observe\r\n\r\n")?;
                stream.read_to_string(&mut answer)
            })
            .expect("chartgate answers on its observe port");
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).expect("an answer has a body")
    }

    /// The value of a metric.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let text = self.observe("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().expect("counters are whole")
    }

    /// Does what the API server does when it connects, and returns the certificate that it is shown.
    pub(super) fn handshake(&self, bundle: &str) -> Result<CertificateDer<'static>, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(
            CertificateDer::pem_slice_iter(bundle.as_bytes()).map_while(Result::ok),
        );
        let config = ClientConfig::builder_with_provider(Arc::new(chartgate::certs::provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("chartgate.chartgate-system.svc").expect("it is a name");
        let mut session = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
        let mut stream = TcpStream::connect(self.listen).map_err(|error| error.to_string())?;
        while session.is_handshaking() {
            session.complete_io(&mut stream).map_err(|error| error.to_string())?;
        }
        Ok(session.peer_certificates().expect("the handshake is done")[0].clone().into_owned())
    }
}
