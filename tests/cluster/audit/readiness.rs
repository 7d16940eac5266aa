//! How far releases are on their way to `spec.chartRef`, and whether what is advised brings them on.

use std::process::Command;

use serde_json::{Value, json};

use super::{audit, report};
use crate::harness::{Cluster, Namespace, Write, chart, chart_ref, release};

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
