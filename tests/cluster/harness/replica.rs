//! One pod of the Deployment, as the kubelet would run it: its arguments, its mounted files, the `ServiceAccount`'s token
//! and its probes. Only addresses, ports and paths are this machine's.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, park_timeout, sleep, spawn};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::chartgate::loopback_address;
use super::cluster::Cluster;
use super::footprint::Footprint;
use super::namespace::Namespace;
use super::process::Process;
use super::service::Endpoints;
use super::unique;
use super::wait::eventually;

/// It starts in milliseconds; the machine may be busy compiling.
const START: Duration = Duration::from_mins(1);

/// How long the rest of a cluster takes to hear that a pod is being terminated. Until then new connections come.
const PROPAGATION: Duration = Duration::from_secs(2);

/// What a replica is started from.
pub(crate) struct Pod<'a> {
    pub(crate) cluster: &'a Cluster,
    /// Its namespace.
    pub(crate) namespace: &'a str,
    /// The pod template of the Deployment.
    pub(crate) template: &'a Value,
    /// The door through which it reaches the API server, if it is to.
    pub(crate) door: Option<SocketAddr>,
    /// Additional environment variables.
    pub(crate) environment: &'a [(String, String)],
    /// Where it listens: the address of its Service, or a free port that a forwarder knows.
    pub(crate) listen: SocketAddr,
}

/// A running replica, probed as long as it is not being terminated.
pub(crate) struct Replica {
    process: Arc<Process>,
    webhook: SocketAddr,
    observe: SocketAddr,
    endpoints: Endpoints,
    leaves: Arc<AtomicBool>,
    kubelet: Option<JoinHandle<()>>,
}

// === impl Pod ===

impl Pod<'_> {
    fn container(&self) -> &Value {
        &self.template["spec"]["containers"][0]
    }

    /// The arguments of the container, with the container's root at `dir` and free ports of this machine.
    fn arguments(&self, dir: &Path) -> Vec<String> {
        let arguments = self.container()["args"].as_array().expect("the Deployment names them").iter();
        let adapted = arguments.map(|argument| {
            let argument = argument.as_str().expect("an argument is a text");
            match argument.split_once('=') {
                Some((flag @ "--listen", _)) => format!("{flag}={}", self.listen),
                Some((flag @ "--observe", _)) => format!("{flag}=127.0.0.1:0"),
                Some((flag, path)) if path.starts_with('/') => format!("{flag}={}{path}", dir.display()),
                _ => argument.to_owned(),
            }
        });
        adapted.collect()
    }

    /// Writes every mounted `ConfigMap` and Secret as the kubelet does: the files are links into `..data`, which is a
    /// link to a folder, so that all of them change at once. Done again, it brings what they hold by then.
    fn mount(&self, dir: &Path) {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        for mount in list(&self.container()["volumeMounts"]) {
            let volumes = list(&self.template["spec"]["volumes"]);
            let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]);
            let volume = volume.expect("a mount names a volume of the pod");
            let path = mount["mountPath"].as_str().expect("a mount has a path");
            let path = dir.join(path.trim_start_matches('/'));
            let data = format!("..{}", unique());
            fs::create_dir_all(path.join(&data)).expect("the process directory can be written");
            for (file, content) in self.content(volume) {
                fs::write(path.join(&data).join(&file), content).expect("a new folder");
                let link = path.join(&file);
                if !link.is_symlink() {
                    symlink(Path::new("..data").join(&file), link).expect("the file system has links");
                }
            }
            symlink(&data, path.join("..data_tmp")).expect("the file system has links");
            fs::rename(path.join("..data_tmp"), path.join("..data")).expect("the new link takes its place");
        }
    }

    /// The files of a volume.
    fn content(&self, volume: &Value) -> Vec<(String, Vec<u8>)> {
        let (config_map, secret) = (&volume["configMap"]["name"], &volume["secret"]["secretName"]);
        let (resource, name) = match (config_map.as_str(), secret.as_str()) {
            (Some(name), _) => ("configmaps", name),
            (_, Some(name)) => ("secrets", name),
            _ => panic!("no such volume can be mounted here: {volume}"),
        };
        let system = Namespace::existing(self.cluster, self.namespace);
        let found = system.objects("v1", resource).get(name).accepted();
        let data = found["data"].as_object().expect("it holds data").iter();
        let files = data.map(|(file, text)| {
            let text = text.as_str().expect("data are texts");
            let decoded = || STANDARD.decode(text).expect("Secrets are in base64");
            (file.clone(), if resource == "secrets" { decoded() } else { text.into() })
        });
        files.collect()
    }

    /// What the pod may do: a kubeconfig with a token of its `ServiceAccount`, as the kubelet would ask for one.
    fn kubeconfig(&self) -> PathBuf {
        let account = self.template["spec"]["serviceAccountName"].as_str().expect("the Deployment names one");
        assert_eq!(self.template["spec"]["automountServiceAccountToken"], true);
        self.cluster.kubeconfig_of(self.namespace, account, self.door)
    }
}

// === impl Replica ===

impl Replica {
    /// Starts a replica; it enters itself into `endpoints` when it is ready.
    pub(crate) fn start(pod: &Pod<'_>, endpoints: Endpoints) -> Self {
        let dir = Process::directory("chartgate-replica");
        pod.mount(&dir);
        let mut serve = Command::new(env!("CARGO_BIN_EXE_chartgate"));
        serve.env("KUBECONFIG", pod.kubeconfig()).args(pod.arguments(&dir));
        serve.envs(pod.environment.iter().map(|(name, value)| (name, value)));
        let process = Arc::new(Process::start("chartgate", dir, &serve));
        let (webhook, observe) = eventually("chartgate prints its two addresses", START, || {
            assert!(process.exit_status().is_none(), "{}", process.post_mortem());
            let log = process.log();
            let address = |scheme| {
                let url = loopback_address(&log, scheme)?;
                url.trim_start_matches(scheme).trim_start_matches("://").parse::<SocketAddr>().ok()
            };
            address("https").zip(address("http")).ok_or_else(|| process.post_mortem())
        });
        let leaves = Arc::<AtomicBool>::default();
        let probe = Probe {
            settings: pod.container()["readinessProbe"].clone(),
            observe,
            webhook,
            endpoints: endpoints.clone(),
            leaves: Arc::clone(&leaves),
        };
        let kubelet = Some(spawn(move || probe.run()));
        Self { process, webhook, observe, endpoints, leaves, kubelet }
    }

    pub(crate) fn wait_until_ready(&self) {
        eventually("a replica is ready", START, || match self.get("/readyz") {
            (200, _) => Ok(()),
            (status, text) => Err(format!("{status} {text}; {}", self.process.post_mortem())),
        });
        // As the first probe of the kubelet would, without waiting for it.
        self.endpoints.add(self.webhook);
    }

    /// Status and text at a path of the plain port.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        plain_get(self.observe, path).unwrap_or_else(|error| (599, error.to_string()))
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Brings what the mounted objects hold by now, as the kubelet does within a minute.
    pub(crate) fn refresh_mounts(&self, pod: &Pod<'_>) {
        pod.mount(self.process.dir());
    }

    /// Where it answers reviews, without the Service.
    pub(crate) fn webhook(&self) -> SocketAddr {
        self.webhook
    }

    /// What it holds of this machine at the moment.
    pub(crate) fn footprint(&self) -> Footprint {
        let id = self.process.id().expect("the watchdog wrote it before the addresses were printed");
        Footprint::of(id, self.webhook)
            .unwrap_or_else(|error| panic!("{error}; {}", self.process.post_mortem()))
    }

    /// What the system calls its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id().expect("the watchdog wrote it before the addresses were printed")
    }

    /// Sends its process a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Ends it as the kubelet does, within the grace period of the pod; new connections still come for a moment.
    pub(crate) fn terminate(mut self, template: &Value) {
        self.stop_probing();
        self.process.signal("TERM");
        sleep(PROPAGATION);
        self.endpoints.remove(self.webhook);
        let grace = template["spec"]["terminationGracePeriodSeconds"].as_u64().expect("filled in");
        let status = eventually("a replica ends within its grace period", Duration::from_secs(grace), || {
            self.process.exit_status().ok_or_else(|| self.process.post_mortem())
        });
        assert_eq!(status, 0, "{}", self.process.post_mortem());
    }

    /// Ends it without a warning.
    pub(crate) fn kill(mut self) {
        self.stop_probing();
        self.process.signal("KILL");
        eventually("a killed replica is gone", START, || {
            self.process.exit_status().map(|_| ()).ok_or_else(|| "it runs".to_owned())
        });
        self.endpoints.remove(self.webhook);
    }

    /// From now on nobody but the caller enters it as an endpoint, or takes it out.
    fn stop_probing(&mut self) {
        self.leaves.store(true, Ordering::Relaxed);
        if let Some(kubelet) = self.kubelet.take() {
            kubelet.thread().unpark();
            kubelet.join().expect("a probe never panics");
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop_probing();
    }
}

/// The readiness probe, and what follows from it for the Service.
struct Probe {
    settings: Value,
    observe: SocketAddr,
    webhook: SocketAddr,
    endpoints: Endpoints,
    leaves: Arc<AtomicBool>,
}

// === impl Probe ===

impl Probe {
    fn run(self) {
        let Self { settings, observe, webhook, endpoints, leaves } = self;
        let number = |name: &str| settings[name].as_u64().expect("the API server fills it in");
        let path = settings["httpGet"]["path"].as_str().expect("it is a GET");
        let (period, tolerated) = (Duration::from_secs(number("periodSeconds")), number("failureThreshold"));
        let mut failures = 0;
        // A pod that is being terminated is no endpoint any more, whatever its probe says.
        while !leaves.load(Ordering::Relaxed) {
            let ready = plain_get(observe, path).is_ok_and(|(status, _)| status == 200);
            failures = if ready { 0 } else { failures + 1 };
            if ready {
                endpoints.add(webhook);
            } else if failures >= tolerated {
                endpoints.remove(webhook);
            }
            park_timeout(period);
        }
    }
}

/// A GET in plain HTTP: status and body.
fn plain_get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // Version 1.0 is never answered in chunks, and the connection ends with the answer.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let parsed = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    });
    parsed.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, answer))
}
