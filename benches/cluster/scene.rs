//! What is measured: an API server, releases in five namespaces, and who is asked about each.
//!
//! chartgate is installed as shipped, `manifests/enforce`, and runs under its own `ServiceAccount` at the address of its Service, with
//! facts and log. The floor has a Service too, and copies of the same two configurations: the same rules, conditions with the
//! prefilter, time limits and failure policies. All are registered from the first turn to the last, and told apart by a label of the
//! namespace, so that a turn follows a turn without a pause; what a foreign configuration costs an apply is one comparison of labels.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::floor;
use super::harness::replica::{Pod, Replica};
use super::harness::service::{Endpoints, Service};
use super::harness::{
    Cluster, Identity, Namespace, Process, Write, chart, chart_ref, eventually, manifests, release,
};
use super::load::{Apply, WORKERS};

/// A configuration takes effect about a second after it is written.
const IN_EFFECT: Duration = Duration::from_mins(1);

/// Who is asked about the releases of a namespace: one of [`ASKED`].
const LABEL: &str = "bench.chartgate.dev/asked";

const SYSTEM: &str = "chartgate-system";
const APPLIER: &str = "kustomize-controller";

/// The two configurations, and the webhook in each that is about releases; it is the first.
const CONFIGURATIONS: [(&str, &str); 2] = [
    ("mutatingwebhookconfigurations", "mutate.chartgate.dev"),
    ("validatingwebhookconfigurations", "validate.chartgate.dev"),
];
const REGISTRATION: &str = "admissionregistration.k8s.io/v1";

/// How many releases each worker has of its own.
const RELEASES_OF_A_WORKER: usize = 2;

/// An API server with both webhooks.
pub(crate) struct Scene<'a> {
    cluster: &'a Cluster,
    chartgate: Replica,
    floor: Process,
    /// In the order of [`ASKED`].
    namespaces: [Namespace<'a>; 5],
}

/// Who is asked, in each of the namespaces.
const ASKED: [&str; 5] = ["nobody", "floor", "patching-floor", "chartgate", "never"];

/// The cheapest condition that there is. What two webhooks cost that are left out by it, no prefilter can undercut.
const NEVER: &str = "false";

/// What takes its turns with others.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) applies: Vec<Apply>,
    /// The process of the webhook that is registered for them.
    pub(crate) webhook: Option<u32>,
}

/// What the API server has counted so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) floor: u64,
    pub(crate) chartgate: u64,
    /// Where a condition of chartgate's configurations said that it need not be called.
    pub(crate) left_out: u64,
    /// Where [`NEVER`] said so.
    pub(crate) never: u64,
}

// === impl Scene ===

impl<'a> Scene<'a> {
    /// Installs chartgate, stores the releases, and registers the floor beside it.
    pub(crate) fn set(cluster: &'a Cluster) -> Result<Self> {
        cluster.apply(&manifests("enforce"), &[]);
        let system = Namespace::existing(cluster, SYSTEM);
        let deployment = system.objects("apps/v1", "deployments").get("chartgate").accepted();
        let service = system.objects("v1", "services").get("chartgate").accepted();
        let pod = Pod {
            cluster,
            namespace: SYSTEM,
            environment: &[],
            template: &deployment["spec"]["template"],
            listen: Service::address_of(&service, "webhook"),
            door: None,
        };
        let chartgate = Replica::start(&pod, Endpoints::default());
        chartgate.wait_until_ready();
        // What is copied for the floor below is called by the same rules.
        eventually("chartgate has given /validate its rules", IN_EFFECT, || {
            let configurations = cluster.objects(REGISTRATION, "validatingwebhookconfigurations");
            let webhook = configurations.get("chartgate").accepted()["webhooks"][0].clone();
            if webhook["rules"].is_array() { Ok(()) } else { Err(webhook.to_string()) }
        });

        store_source(&Namespace::existing(cluster, "default"));
        let namespaces = ASKED.map(|asked| {
            let namespace = Namespace::create(cluster, "bench", &json!({LABEL: asked}));
            store(&namespace);
            namespace
        });
        keep_to_namespace(cluster);
        let floor = start_floor(cluster, &system)?;
        let scene = Self { cluster, chartgate, floor, namespaces };
        scene.wait_until_in_effect();
        Ok(scene)
    }

    /// All of them, in the order in which they take turns: first with nobody or the floor, then with chartgate.
    pub(crate) fn scenarios(&self) -> [Scenario; 7] {
        let [nobody, floor, patching, chartgate, never] = &self.namespaces;
        let applies = |namespace: &Namespace<'_>, releases: Vec<Value>| {
            releases.iter().map(|release| Apply::new(namespace.name(), release)).collect()
        };
        let (floor_id, chartgate_id) = (self.floor.id(), Some(self.chartgate.id()));
        let scenario = |name, applies, webhook| Scenario { name, applies, webhook };
        [
            scenario("clean, no webhook", applies(nobody, clean()), None),
            scenario("clean, chartgate", applies(chartgate, clean()), chartgate_id),
            scenario("clean, two webhooks whose condition is `false`", applies(never, clean()), floor_id),
            scenario("allowed, floor", applies(floor, moved(&whole_chart_ref())), floor_id),
            scenario("allowed, chartgate", applies(chartgate, moved(&whole_chart_ref())), chartgate_id),
            scenario("patched, floor", applies(patching, moved(&chart_ref())), floor_id),
            scenario("patched, chartgate", applies(chartgate, moved(&chart_ref())), chartgate_id),
        ]
    }

    /// The metrics of the API server, summed up.
    pub(crate) fn calls(&self) -> Calls {
        let metrics = self.cluster.get("/metrics").accepted();
        let metrics = metrics.as_str().expect("metrics are text");
        let sum = |metric: &str, prefix: &str| -> u64 {
            CONFIGURATIONS.iter().map(|(_, name)| counted(metrics, metric, &format!("{prefix}{name}"))).sum()
        };
        let (called, excluded) = (
            "apiserver_admission_webhook_request_total{code=\"200\",",
            "apiserver_admission_match_condition_exclusions_total{",
        );
        let floor = sum(called, "floor.") + sum(called, "patching-floor.");
        let (left_out, never) = (sum(excluded, ""), sum(excluded, "never."));
        Calls { floor, chartgate: sum(called, ""), left_out, never }
    }

    fn wait_until_in_effect(&self) {
        let expected = [(0, 0, 0), (2, 0, 0), (2, 0, 0), (0, 2, 0), (0, 0, 2)];
        for ((namespace, expected), asked) in self.namespaces.iter().zip(expected).zip(ASKED) {
            eventually(&format!("{asked} is asked"), IN_EFFECT, || {
                let before = self.calls();
                let write = Write::by(APPLIER).forced().dry_run();
                let answer = namespace.releases("v2").apply(&moved(&chart_ref())[0], write);
                let after = self.calls();
                let seen = (
                    after.floor - before.floor,
                    after.chartgate - before.chartgate,
                    after.never - before.never,
                );
                let filled = &answer.body["spec"]["chartRef"]["namespace"];
                let wanted = match asked {
                    "chartgate" => json!(namespace.name()),
                    "patching-floor" => json!("elsewhere"),
                    _ => Value::Null,
                };
                let fits = answer.status == 200 && answer.warnings.is_empty() && *filled == wanted;
                if fits && seen == expected { Ok(()) } else { Err(format!("{seen:?} calls: {answer:?}")) }
            });
        }
    }
}

/// The sum of the series that begin with `metric` and are about one webhook.
fn counted(metrics: &str, metric: &str, webhook: &str) -> u64 {
    let about = format!("name=\"{webhook}\"");
    let lines = metrics.lines().filter(|line| line.starts_with(metric) && line.contains(&about));
    let values = lines.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter counts")]
    values.map(|value| value.expect("a series ends with its value") as u64).sum()
}

/// Applies what is stored from the start, for good, while chartgate is still asked about every namespace: so it has put
/// everything in order in all of them alike.
fn store(namespace: &Namespace<'_>) {
    store_source(namespace);
    let write = Write::by(APPLIER).forced();
    for release in clean().into_iter().chain(moved(&chart())) {
        eventually("chartgate is asked as installed", IN_EFFECT, || {
            let stored = namespace.releases("v2").apply(&release, write).accepted();
            let annotation = &stored["metadata"]["annotations"]["fluxcd.io/version"];
            if annotation == "v2" { Ok(()) } else { Err(stored["metadata"].to_string()) }
        });
    }
}

/// What a chartRef refers to; without it, chartgate has something to say.
fn store_source(namespace: &Namespace<'_>) {
    let source = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "OCIRepository",
        "metadata": {"name": "podinfo"},
        "spec": {"interval": "10m", "url": "oci://registry.example.org/podinfo"},
    });
    let sources = namespace.objects("source.toolkit.fluxcd.io/v1", "ocirepositories");
    sources.apply(&source, Write::by(APPLIER).forced()).accepted();
}

/// What kustomize-controller applies at every interval where nothing has changed, half with a chart, half with a chartRef.
fn clean() -> Vec<Value> {
    let sources = [chart(), chart_ref()];
    let count = WORKERS * RELEASES_OF_A_WORKER;
    (0..count).map(|index| typical(&format!("clean-{index}"), &sources[index / WORKERS % 2])).collect()
}

/// Releases that are stored with a chart and applied with a chartRef: what chartgate is for. No prefilter may leave out the
/// move, neither before nor after it was patched, so both webhooks are asked. chartgate denies none, as a denial saves the API server
/// most of its work: it fills in the namespace of a chartRef without one, and has nothing to say about a whole one.
fn moved(to: &Value) -> Vec<Value> {
    let count = WORKERS * RELEASES_OF_A_WORKER;
    (0..count).map(|index| typical(&format!("moved-{index}"), to)).collect()
}

/// Its source is one of another namespace, so that it is the same wherever it is applied.
fn whole_chart_ref() -> Value {
    let mut source = chart_ref();
    source["chartRef"]["namespace"] = json!("default");
    source
}

/// A small release. The larger it is, the more the API server does itself, and the less a webhook matters.
fn typical(name: &str, source: &Value) -> Value {
    let mut release = release("v2", name, source);
    release["metadata"]["labels"] = json!({
        "kustomize.toolkit.fluxcd.io/name": "apps",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
    });
    release["spec"]["values"] = json!({
        "image": {"tag": "6.9.2"},
        "ingress": {"enabled": true, "className": "nginx", "host": "podinfo.example.com"},
        "logLevel": "info",
        "replicaCount": 2,
    });
    release
}

/// From here on chartgate is asked about its own namespace only.
fn keep_to_namespace(cluster: &Cluster) {
    for (resource, webhook) in CONFIGURATIONS {
        let configurations = cluster.objects(REGISTRATION, resource);
        let patch = json!([
            {"op": "test", "path": "/webhooks/0/name", "value": webhook},
            {"op": "add", "path": "/webhooks/0/namespaceSelector/matchLabels", "value": {LABEL: "chartgate"}},
        ]);
        configurations.json_patch("chartgate", &patch, Write::by("bench")).accepted();
    }
}

/// Starts the floor, which is this same program, behind a Service, and registers both of its answers.
fn start_floor(cluster: &Cluster, system: &Namespace<'_>) -> Result<Process> {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "floor"},
        "spec": {"ports": [{"name": "webhook", "port": 443}]},
    });
    let service = system.objects("v1", "services").create(&service, Write::by("bench")).accepted();
    let address = Service::address_of(&service, "webhook");
    let identity = Identity::for_names(&[&format!("floor.{SYSTEM}.svc")]);
    let directory = Process::directory("floor");
    fs::write(directory.join(floor::CERTIFICATE), &identity.certificate)?;
    fs::write(directory.join(floor::KEY), &identity.key)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor", &address.to_string()]);
    let process = Process::start("floor", directory, &command);
    eventually("the floor listens", Duration::from_secs(10), || {
        assert!(process.exit_status().is_none(), "{}", process.post_mortem());
        TcpStream::connect(address).map(drop).map_err(|error| error.to_string())
    });
    register(cluster, "floor", &identity, "/mutate")?;
    register(cluster, "patching-floor", &identity, floor::PATCHING)?;
    register(cluster, "never", &identity, "/mutate")?;
    Ok(process)
}

/// Copies chartgate's configurations for one of the floor's answers, which is at the path `mutate`.
fn register(cluster: &Cluster, asked: &str, identity: &Identity, mutate: &str) -> Result<()> {
    for ((resource, webhook), path) in CONFIGURATIONS.into_iter().zip([mutate, "/validate"]) {
        let configurations = cluster.objects(REGISTRATION, resource);
        let mut copy = configurations.get("chartgate").accepted();
        copy["metadata"] = json!({"name": asked});
        let first = &mut copy["webhooks"][0];
        ensure!(first["name"] == webhook, "{resource} begins with {}, not {webhook}", first["name"]);
        first["name"] = json!(format!("{asked}.{webhook}"));
        first["clientConfig"]["caBundle"] = json!(STANDARD.encode(&identity.authority));
        first["clientConfig"]["service"]["name"] = json!("floor");
        first["clientConfig"]["service"]["path"] = json!(path);
        first["namespaceSelector"]["matchLabels"] = json!({LABEL: asked});
        if asked == "never" {
            first["matchConditions"] = json!([{"name": "never", "expression": NEVER}]);
        }
        copy["webhooks"] = json!([first]);
        configurations.create(&copy, Write::by("bench")).accepted();
    }
    Ok(())
}
