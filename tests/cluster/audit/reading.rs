//! How a cluster is read: many releases, an API server that asks to wait, and a list whose moment is gone.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use axum::http::Request;
use chartgate::cluster::ApiError;
use chartgate::cluster::pages::{self, Effort, Resource, Selection};
use futures_util::future::join_all;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{NEWEST, audit, report};
use crate::harness::{Cluster, Namespace, Write, block_on, chart, release, say};

/// How many releases the large cluster has.
const MANY: usize = 10_000;

/// How many of them are in the small namespace.
const FEW: usize = 1_000;

/// The most that a release in order may add to what the process holds: it is told by name, owner and phase, and that is all.
const BYTES_OF_A_RELEASE: u64 = 1_024;

/// A release that no rule has a word about.
fn clean(name: &str) -> Value {
    let mut clean = release("v2", name, &chart());
    clean["metadata"]["annotations"] = json!({"fluxcd.io/version": "v2"});
    // As large as many a real one is; none of it may stay in memory.
    clean["spec"]["values"] = json!({"text": "x".repeat(2_000)});
    clean
}

fn fill(namespace: &Namespace<'_>, count: usize) {
    let releases = (0..count).map(|index| clean(&format!("release-{index:05}")));
    namespace.releases("v2").apply_all(releases, Write::by("kustomize-controller"));
}

/// Runs an audit and watches it: its time, and the most memory that it held, in KiB.
fn watched(cluster: &Cluster, arguments: &[&str]) -> (Duration, u64, String) {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_chartgate"))
        .arg("audit")
        .args(arguments)
        .env_clear()
        .env("KUBECONFIG", cluster.kubeconfig())
        .stdout(Stdio::piped())
        .spawn()
        .expect("chartgate was built with its tests");
    let stdout = child.stdout.take().expect("it is piped");
    let reader = std::thread::spawn(|| std::io::read_to_string(stdout).expect("it writes UTF-8"));
    let mut most = 0;
    while child.try_wait().expect("it is our child").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        most = peak.and_then(|peak| peak.parse().ok()).unwrap_or(most).max(most);
        sleep(Duration::from_millis(2));
    }
    let said = reader.join().expect("reading does not panic");
    assert!(child.wait().expect("it has ended").success(), "{said}");
    (begun.elapsed(), most, said)
}

#[test]
fn ten_thousand_releases_are_read_in_pages_and_not_kept() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let (small, large) = (cluster.namespace("small"), cluster.namespace("large"));
    fill(&small, FEW);
    fill(&large, MANY - FEW);

    let (_, of_few, said) = watched(&cluster, &["--namespace", small.name()]);
    assert!(said.ends_with("1000 with a chart, 0 with neither or both\n"), "{said}");
    let requests = || {
        let metrics = cluster.get("/metrics").accepted();
        let metrics = metrics.as_str().expect("metrics are text").to_owned();
        let lists = metrics.lines().filter(|line| {
            line.starts_with("apiserver_request_total{")
                && line.contains("resource=\"helmreleases\"")
                && line.contains("verb=\"LIST\"")
        });
        lists.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    let before = requests();
    let (took, of_many, said) = watched(&cluster, &[]);
    let lists = requests() - before;
    assert!(said.contains("0 errors, 0 warnings; 10000 HelmReleases judged"), "{said}");
    assert_eq!(lists, 20, "pages of 500");
    let grown = of_many.saturating_sub(of_few) * 1024 / (MANY - FEW) as u64;
    say(&format!(
        "{MANY} HelmReleases: {took:.1?}, {lists} lists, peak {of_many} KiB; {FEW}: {of_few} KiB; {grown} bytes more a release"
    ));
    assert!(grown < BYTES_OF_A_RELEASE, "{grown} bytes more for each release");
}

#[test]
fn a_list_whose_moment_was_compacted_away_goes_on_and_tells_each_release_once() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let namespace = cluster.namespace("expired");
    fill(&namespace, 1_200);
    let (mut effort, seen) = (Effort::default(), Cell::new(0));
    let (client, all) = (cluster.client(), Selection::default());
    let mut names = Vec::new();
    // From a thread of its own: this one is in the middle of something asynchronous.
    let write_and_compact = || {
        std::thread::scope(|scope| {
            let written = scope.spawn(|| {
                let probe = clean("release-99999");
                namespace.releases("v2").apply(&probe, Write::by("kustomize-controller")).accepted();
                cluster.compact();
                cluster.restart_api_server();
            });
            written.join().expect("it is done");
        });
    };
    let read = pages::each(&client, Resource::HelmReleases, &all, "v2", &mut effort, |object| {
        let object: Value = serde_json::from_str(object.get()).expect("it is JSON");
        names.push(object["metadata"]["name"].as_str().expect("it has a name").to_owned());
        seen.set(seen.get() + 1);
        if seen.get() == 1 {
            // The moment of the first page goes. The API server keeps snapshots of its own, until it is started anew.
            write_and_compact();
        }
    });
    block_on(read).expect("it outlasts that");
    let mut once = names.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), names.len(), "a release was told twice");
    assert!(names.len() >= 1_200, "only {} were told", names.len());
    say(&format!("{effort:?}"));
    assert!(effort.expired > 0, "nothing expired, so this shows nothing: {effort:?}");
}

#[test]
fn an_api_server_that_asks_to_wait_is_waited_for() {
    /// Now and then a list finds the one seat free.
    const TIMES: usize = 10;
    const FLOW: &str = "flowcontrol.apiserver.k8s.io/v1";
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let namespace = cluster.namespace("waiting");
    fill(&namespace, 2_000);
    let write = Write::by("administrator");
    // Nobody lets an administrator wait.
    let (kubeconfig, account) = cluster.account();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": account}],
    });
    cluster.objects("rbac.authorization.k8s.io/v1", "clusterrolebindings").create(&binding, write).accepted();
    // A level without any seat: every request in it is answered with 429 and the advice to wait.
    let levels = cluster.objects(FLOW, "prioritylevelconfigurations");
    let level = json!({
        "apiVersion": FLOW, "kind": "PriorityLevelConfiguration", "metadata": {"name": "nobody"},
        "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"},
        }},
    });
    levels.create(&level, write).accepted();
    let schemas = cluster.objects(FLOW, "flowschemas");
    let schema = json!({
        "apiVersion": FLOW, "kind": "FlowSchema", "metadata": {"name": "nobody"},
        "spec": {
            "matchingPrecedence": 2,
            "priorityLevelConfiguration": {"name": "nobody"},
            "rules": [{
                "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "default", "name": account}}],
                "resourceRules": [{
                    "verbs": ["list"], "apiGroups": ["helm.toolkit.fluxcd.io"], "resources": ["helmreleases"],
                    "namespaces": ["*"], "clusterScope": true,
                }],
            }],
        },
    });
    schemas.create(&schema, write).accepted();
    // Where nobody else is served, one request is. So others ask all the time, and are refused like us.
    let client = block_on(client_of(&kubeconfig));
    let asks_all_the_time = async {
        let list = || async {
            let request = Request::get("/apis/helm.toolkit.fluxcd.io/v2/helmreleases").body(Vec::new());
            _ = client.request_text(request.expect("it is a valid path")).await;
        };
        let busy = (0..16).map(async |_| {
            loop {
                list().await;
            }
        });
        timeout(Duration::from_secs(3), join_all(busy)).await.map(drop)
    };
    let (mut effort, mut told) = (Effort::default(), 0);
    let (all, ours) = (Selection::default(), client.clone());
    let reads = async {
        // Not before the others are at it.
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..TIMES {
            pages::each(&ours, Resource::HelmReleases, &all, "v2", &mut effort, |_| told += 1).await?;
        }
        Ok::<_, ApiError>(())
    };
    let (_, read) = block_on(async { tokio::join!(asks_all_the_time, reads) });
    read.expect("it waits and asks again");
    assert_eq!(told, 2_000 * TIMES);
    // The client itself asks again a few times, and we do when it gives up.
    let metrics = cluster.get("/metrics").accepted();
    let metrics = metrics.as_str().expect("metrics are text");
    let refused = metrics.lines().find(|line| {
        line.starts_with("apiserver_flowcontrol_rejected_requests_total{flow_schema=\"nobody\"")
    });
    let refused = refused.and_then(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).unwrap_or_default();
    say(&format!("{refused} lists answered with 429; {effort:?}"));
    assert!(refused > 0, "nobody was asked to wait, so this shows nothing");
}

/// A client as an account.
async fn client_of(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("it was just written");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("it is whole")).expect("its certificates can be read")
}

#[test]
fn a_selector_chooses_releases_as_kubectl_does() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let namespace = cluster.namespace("selected");
    for (name, team) in [("one", Some("a")), ("two", Some("b")), ("three", None)] {
        let mut labelled = clean(name);
        if let Some(team) = team {
            labelled["metadata"]["labels"] = json!({"team": team});
        }
        namespace.releases("v2").apply(&labelled, Write::by("tests").forced()).accepted();
    }
    for (selector, chosen) in [
        ("team=a", &["one"][..]),
        ("team!=a", &["three", "two"]),
        ("team in (a, b)", &["one", "two"]),
        ("team", &["one", "two"]),
        ("!team", &["three"]),
    ] {
        let told = report(cluster, &["--namespace", namespace.name(), "-l", selector]);
        let releases = told["releases"].as_array().expect("a list").iter();
        let names: Vec<_> = releases.filter_map(|release| release["name"].as_str()).collect();
        assert_eq!(names, chosen, "{selector}");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let (kubeconfig, _) = cluster.account();
    let output = Command::new(env!("CARGO_BIN_EXE_chartgate"))
        .arg("audit")
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .output()
        .expect("chartgate was built with its tests");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: cannot read the CRD of HelmRelease from the cluster: "), "{said}");

    let output = audit(cluster, &["--context=nowhere"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: cannot use that context of the kubeconfig"), "{said}");
    assert!(said.contains("nowhere"), "{said}");

    let output = audit(cluster, &["--selector==="]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: cannot list the HelmReleases: found '=='"), "{said}");

    let output = audit(cluster, &["--namespace=../../.."]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is no name of a namespace"), "{said}");

    let empty = cluster.namespace("empty");
    let output = audit(cluster, &["--namespace", empty.name()]);
    assert_eq!(output.status.code(), Some(2));
    let output = audit(cluster, &["--allow-empty", "--namespace", empty.name()]);
    assert_eq!(output.status.code(), Some(0));
}
