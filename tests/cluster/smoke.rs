//! The harness itself: what it starts works, and ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Chartgate, Cluster, Kubernetes, Options, Recorder, Source, Write, chart, chart_ref, eventually, release,
};

/// The one minor whose CRDs can be had everywhere.
const NEWEST: &str = "2.9";

#[test]
fn serves_the_helm_release_crd_of_the_flux_minor_asked_for() {
    let Some(cluster) = Cluster::shared("2.6") else { return };
    let group = cluster.get("/apis/helm.toolkit.fluxcd.io").accepted();
    let versions: Vec<_> =
        group["versions"].as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
    assert_eq!(versions, ["v2", "v2beta2", "v2beta1"]);
}

#[test]
fn runs_at_the_kubernetes_release_asked_for() {
    for (kubernetes, version) in Kubernetes::ALL.into_iter().zip(["v1.35.", "v1.37."]) {
        let Some(cluster) = Cluster::start_at(NEWEST, kubernetes) else { return };
        let answer = cluster.get("/version").accepted();
        let served = answer["gitVersion"].as_str().unwrap();
        // Assets that a user provides are of any release.
        let is_own = kubernetes == Kubernetes::Usual && std::env::var_os("KUBEBUILDER_ASSETS").is_some();
        assert!(served.starts_with(version) || is_own, "{kubernetes:?} is {served}");
        let releases = cluster.namespace("smoke").releases("v2");
        releases.create(&release("v2", "app", &chart()), Write::by("me")).accepted();
    }
}

#[test]
fn stores_a_release_and_hands_on_the_warning_about_it() {
    let Some(cluster) = Cluster::shared("2.6") else { return };
    let releases = cluster.namespace("smoke").releases("v2beta2");
    let answer = releases.create(&release("v2beta2", "app", &chart_ref()), Write::by("me"));
    assert_eq!(answer.warnings, ["v2beta2 HelmRelease is deprecated, upgrade to v2"]);
    assert_eq!(answer.accepted()["spec"]["chartRef"]["name"], "podinfo");
}

#[test]
fn hands_on_the_reason_of_a_refusal() {
    let Some(cluster) = Cluster::shared("2.6") else { return };
    let releases = cluster.namespace("smoke").releases("v2beta1");
    let answer = releases.create(&release("v2beta1", "app", &chart_ref()), Write::by("me"));
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.refused(),
        "HelmRelease.helm.toolkit.fluxcd.io \"app\" is invalid: spec.chart: Required value"
    );
}

#[test]
fn kubectl_applies_a_release_on_the_server_side() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let namespace = cluster.namespace("smoke");
    let output = namespace.kubectl(&["apply", "--server-side"], &release("v2", "app", &chart()));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "helmrelease.helm.toolkit.fluxcd.io/app serverside-applied\n"
    );
    let stored = namespace.releases("v2").get("app").accepted();
    assert_eq!(stored["metadata"]["managedFields"][0]["manager"], "kubectl");
}

#[test]
fn kustomize_controller_applies_what_is_published() {
    let Some(cluster) = Cluster::shared("2.6") else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let namespace = cluster.namespace("smoke");
    let source = Source::create(controller, &namespace);

    let good = release("v2beta1", "app", &chart()).to_string();
    let applied = source.publish(&[("release.yaml", &good)]).unwrap();
    assert!(applied.starts_with("Applied revision: main@sha1:"), "{applied}");
    let stored = namespace.releases("v2beta1").get("app").accepted();
    let entry = &stored["metadata"]["managedFields"][0];
    assert_eq!(entry["manager"], "kustomize-controller");
    assert_eq!(entry["apiVersion"], "helm.toolkit.fluxcd.io/v2beta1");

    let bad = release("v2beta1", "app", &chart_ref()).to_string();
    let refused = source.publish(&[("release.yaml", &bad)]).unwrap_err();
    assert!(refused.contains("spec.chart: Required value"), "{refused}");
}

#[test]
fn a_webhook_registered_by_the_shipped_manifests_is_called() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let recorder = Recorder::start(cluster);
    let namespace = recorder.namespace("smoke");
    namespace.releases("v2").create(&release("v2", "app", &chart()), Write::by("me")).accepted();
    let reviews = recorder.take("mutate", &namespace);
    assert_eq!(reviews.len(), 1);
    let review: serde_json::Value = serde_json::from_slice(&reviews[0]).unwrap();
    assert_eq!(review["request"]["operation"], "CREATE");
    assert_eq!(review["request"]["options"]["fieldManager"], "me");
}

#[test]
fn kubectl_shows_what_chartgate_says_about_a_bad_manifest() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let chartgate = Chartgate::start(cluster, Options::default());
    let namespace = chartgate.namespace("smoke");
    let mut bad = chart_ref();
    bad["chart"] = json!({"spec": {"version": "6.5.4"}});
    let ways: [&[&str]; 3] = [&["apply"], &["create"], &["apply", "--server-side"]];
    for how in ways {
        let output = namespace.kubectl(how, &release("v2", "app", &bad));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in [
            "[partial-chart] spec.chart.spec.version is set beside spec.chartRef.",
            "Why: the API server refuses a spec.chart without chart and sourceRef, also beside spec.chartRef.",
            "Fix: look for an overlay or patch on spec.chart",
        ] {
            assert!(said.contains(part), "kubectl {how:?}: {part:?} is not in {said}");
        }
    }
    assert_eq!(namespace.releases("v2").get("app").status, 404);
    let good = namespace.kubectl(&["apply"], &release("v2", "app", &chart_ref()));
    assert!(good.status.success(), "{good:?}");
}

#[test]
fn steps_through_the_crds_of_flux_minors() {
    let Some(cluster) = Cluster::start("2.3") else { return };
    let releases = cluster.namespace("smoke").releases("v2");
    releases.create(&release("v2", "app", &chart_ref()), Write::by("me")).accepted();

    cluster.upgrade_crds("2.7");
    assert_eq!(cluster.get("/apis/helm.toolkit.fluxcd.io/v2beta1").status, 404);
    let external = json!({"spec": {"chartRef": {"kind": "ExternalArtifact"}}});
    releases.merge_patch("app", &external, Write::by("me")).accepted();

    cluster.install_crds("2.6");
    assert_eq!(releases.get("app").status, 404);
    let external = json!({"chartRef": {"kind": "ExternalArtifact", "name": "podinfo"}});
    let refused = releases.create(&release("v2", "app", &external), Write::by("me")).refused();
    assert!(refused.contains("supported values: \"OCIRepository\", \"HelmChart\""), "{refused}");
}

/// Run as a process of its own by the test below: starts a server, says where, and waits to be killed.
#[test]
fn waits_with_a_running_server_when_asked_to() {
    if std::env::var_os("CHARTGATE_TEST_WAIT").is_none() {
        return;
    }
    let cluster = Cluster::start(NEWEST).unwrap();
    writeln!(std::io::stdout(), "directory {}", cluster.kubeconfig().parent().unwrap().display()).unwrap();
    std::thread::sleep(Duration::from_mins(10));
}

#[test]
#[cfg(target_os = "linux")] // It looks for processes under /proc.
fn a_killed_test_process_leaves_no_server_and_no_file_behind() {
    if Cluster::shared(NEWEST).is_none() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let mut tests = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "smoke::waits_with_a_running_server_when_asked_to", "--nocapture"])
        .env("CHARTGATE_TEST_WAIT", "1")
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(tests.stdout.take().unwrap()).lines();
    let said = lines.map(Result::unwrap).find(|line| line.contains("directory ")).unwrap();
    let directory = Path::new(said.split_once("directory ").unwrap().1);
    assert!(directory.starts_with(temporary.path()) && directory.is_dir(), "{said}");
    assert_eq!(running_in(temporary.path()).len(), 6, "two programs, each with a watchdog and its killer");

    tests.kill().unwrap();
    tests.wait().unwrap();
    eventually("servers and files are gone", Duration::from_secs(30), || {
        let processes = running_in(temporary.path());
        let files: Vec<_> = temporary.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        if processes.is_empty() && files.is_empty() {
            Ok(())
        } else {
            Err(format!("{processes:?} {files:?}"))
        }
    });
}

#[cfg(target_os = "linux")]
/// The command lines of all processes that work in a folder below `directory`.
fn running_in(directory: &Path) -> Vec<String> {
    let processes = Path::new("/proc").read_dir().expect("Linux has /proc").flatten();
    processes
        .map(|process| process.path())
        .filter(|process| process.join("cwd").read_link().is_ok_and(|cwd| cwd.starts_with(directory)))
        .map(|process| {
            std::fs::read_to_string(process.join("cmdline")).unwrap_or_default().replace('\0', " ")
        })
        .collect()
}
