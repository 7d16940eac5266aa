//! How far releases are on their way to `spec.chartRef`, and whether what is advised brings them on.

use std::process::Command;

use serde_json::{Value, json};

use super::{audit, report};
use crate::harness::{Cluster, Kubernetes, Namespace, Source, Write, chart, chart_ref, release};

/// The last minor that serves all three versions of the API.
const FLUX: &str = "2.6";

const APPLIER: &str = "kustomize-controller";

fn apply(namespace: &Namespace<'_>, version: &str, name: &str, source: &Value) {
    let write = Write::by(APPLIER).forced();
    namespace.releases(version).apply(&release(version, name, source), write).accepted();
}

/// The phase of a release, and what is said to be in the way of the next.
fn phase(report: &Value, name: &str) -> (String, Vec<String>) {
    let releases = report["releases"].as_array().expect("a list");
    let release = releases.iter().find(|release| release["name"] == name).expect("it is told");
    let blockers = release["blockers"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&release["phase"]), blockers.map(|blocker| text(&blocker["what"])).collect())
}

/// Kubernetes 1.37 keeps the entries through any write that is no apply; only a rewrite, as by `flux migrate`, brings the release on.
#[test]
fn entries_that_are_gone_stay_on_the_newest_server_and_the_advice_moves_them() {
    let Some(cluster) = Cluster::start_at(FLUX, Kubernetes::Newest) else { return };
    let namespace = cluster.namespace("gone-kept");
    apply(&namespace, "v2beta1", "app", &chart());
    cluster.upgrade_crds("2.7");
    let is_stuck = || {
        let told = report(&cluster, &[]);
        let why = why_managed_fields(&told);
        assert!(why.contains("until it is rewritten") && !why.contains("drop all managedFields"), "{why}");
        let (told, blockers) = phase(&told, "app");
        assert_eq!(told, "0");
        assert!(blockers[1].starts_with("managedFields name a version that is gone"), "{blockers:?}");
    };
    is_stuck();
    let status = json!({"status": {"helmChart": "apps/app"}});
    namespace.releases("v2").status().merge_patch("app", &status, Write::by("helm-controller")).accepted();
    is_stuck();

    let releases = namespace.releases("v2");
    let mut entries = releases.get("app").accepted()["metadata"]["managedFields"].clone();
    for entry in entries.as_array_mut().expect("none is dropped") {
        entry["apiVersion"] = json!("helm.toolkit.fluxcd.io/v2");
    }
    let rewrite = json!([{"op": "replace", "path": "/metadata/managedFields", "value": entries}]);
    releases.json_patch("app", &rewrite, Write::by("flux")).accepted();
    assert_eq!(phase(&report(&cluster, &[]), "app"), ("1".to_owned(), Vec::new()));
    apply(&namespace, "v2", "app", &chart_ref());
    assert_eq!(phase(&report(&cluster, &[]), "app").0, "2");
}

/// Why the one finding about managedFields matters.
fn why_managed_fields(report: &Value) -> String {
    let releases = report["releases"].as_array().expect("a list");
    let findings = releases[0]["findings"].as_array().expect("a list").iter();
    let whys: Vec<_> = findings
        .filter(|finding| finding["rule"] == "managed-fields-version")
        .map(|finding| finding["why"].as_str().expect("a text"))
        .collect();
    let [why] = whys[..] else { panic!("{whys:?}") };
    why.to_owned()
}

/// Kubernetes up to 1.36 drops every entry when it cannot read one of them: 1.35 is what the tests build.
#[test]
fn entries_that_are_gone_are_told_as_this_server_treats_them_and_the_advice_brings_an_unowned_release_on() {
    let Some(cluster) = Cluster::start(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let namespace = cluster.namespace("gone");
    let source = Source::create(controller, &namespace);
    let publish = |release: &Value| source.publish(&[("release.yaml", &release.to_string())]);
    publish(&release("v2beta1", "app", &chart())).expect("all three versions are served");
    cluster.upgrade_crds("2.7");

    let gone = report(&cluster, &[]);
    let why = why_managed_fields(&gone);
    assert!(why.contains("drop all managedFields") && !why.contains("until it is rewritten"), "{why}");
    let (told, blockers) = phase(&gone, "app");
    assert_eq!(told, "0");
    assert!(blockers[1].starts_with("managedFields name a version that is gone"), "{blockers:?}");

    // Any other write, such as helm-controller's of the status.
    let status = json!({"status": {"helmChart": "apps/app"}});
    namespace.releases("v2").status().merge_patch("app", &status, Write::by("helm-controller")).accepted();
    let (told, blockers) = phase(&report(&cluster, &[]), "app");
    assert_eq!(told, "1b");
    assert_eq!(blockers, ["managedFields are empty, so a manifest without spec.chart does not remove it"]);
    publish(&release("v2", "app", &chart())).expect("Flux sees no drift");
    publish(&release("v2", "app", &chart_ref())).expect_err("the chart belongs to before-first-apply");

    // The advice: any annotation, with the chart kept.
    let mut annotated = release("v2", "app", &chart());
    annotated["metadata"]["annotations"] = json!({"example.org/owned": "again"});
    publish(&annotated).expect("it is valid");
    source.reconcile().expect("it takes over what belongs to before-first-apply");
    assert_eq!(phase(&report(&cluster, &[]), "app"), ("1".to_owned(), Vec::new()));
    publish(&release("v2", "app", &chart_ref())).expect("nobody else owns the chart");
}

#[test]
fn each_phase_is_told_and_what_is_advised_brings_a_release_on() {
    let Some(cluster) = Cluster::start(FLUX) else { return };
    let namespace = cluster.namespace("readiness");
    apply(&namespace, "v2beta2", "old", &chart());
    apply(&namespace, "v2", "edited", &chart());
    apply(&namespace, "v2", "ready", &chart());
    apply(&namespace, "v2", "moved", &chart_ref());
    let edit = json!({"spec": {"chart": {"spec": {"version": "6.5.5"}}}});
    namespace.releases("v2").merge_patch("edited", &edit, Write::by("k9s")).accepted();
    // Of somebody who has been here at an older version.
    let label = json!({"metadata": {"labels": {"team": "a"}}});
    apply(&namespace, "v2", "behind", &chart());
    namespace.releases("v2beta2").merge_patch("behind", &label, Write::by("labeller")).accepted();

    let before = report(&cluster, &[]);
    let none: [&str; 0] = [];
    let told = |name: &str| phase(&before, name);
    let (old, blockers) = told("old");
    assert_eq!(
        (old.as_str(), blockers),
        ("0", vec!["kustomize-controller applies it at v2beta2".to_owned()])
    );
    let (edited, blockers) = told("edited");
    assert_eq!((edited.as_str(), blockers), ("1b", vec!["k9s owns spec.chart.spec.version".to_owned()]));
    let (behind, blockers) = told("behind");
    let expected = vec!["managedFields are behind: labeller at v2beta2".to_owned()];
    assert_eq!((behind.as_str(), blockers), ("1b", expected));
    assert_eq!(told("ready"), ("1".to_owned(), none.map(str::to_owned).to_vec()));
    assert_eq!(told("moved"), ("2".to_owned(), none.map(str::to_owned).to_vec()));

    // What is advised, typed as it stands.
    let releases = before["releases"].as_array().expect("a list");
    let edited = releases.iter().find(|release| release["name"] == "edited").expect("it is told");
    let command = edited["nextStep"].as_str().expect("there is one");
    assert!(command.starts_with("kubectl patch helmrelease edited "), "{command}");
    let kubectl = cluster.kubectl();
    let bin = std::path::Path::new(kubectl.get_program()).parent().expect("it is in a folder").to_owned();
    let output = Command::new("/bin/sh")
        .args(["-c", command])
        .env_clear()
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("HOME", &bin)
        .env("PATH", &bin)
        .output()
        .expect("there is a shell");
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));

    // And what it was in the way of now works: nothing is left behind.
    let after = report(&cluster, &[]);
    assert_eq!(phase(&after, "edited").0, "1");
    apply(&namespace, "v2", "edited", &chart_ref());
    let stored = namespace.releases("v2").get("edited").accepted();
    assert_eq!(stored["spec"].get("chart"), None, "{stored}");

    // Told as text, and against the audit before.
    let file = cluster.kubeconfig().with_file_name("before.json");
    std::fs::write(&file, before.to_string()).expect("it is ours");
    let since = format!("--since={}", file.display());
    let output = audit(&cluster, &["--readiness", "--fail-on=never", &since]);
    let said = String::from_utf8_lossy(&output.stdout);
    let name = namespace.name();
    assert!(said.contains(&format!("> {name}/edited: from phase 1b to 2\n")), "{said}");
    assert!(said.contains("next: commit: set apiVersion to helm.toolkit.fluxcd.io/v2"), "{said}");
    assert!(said.contains("run flux migrate"), "{said}");
    assert!(said.contains("5 HelmReleases judged: 2 with a chartRef, 3 with a chart"), "{said}");
}
