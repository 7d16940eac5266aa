//! Checks that a denial of chartgate comes before the refused apply for which Flux, or kubectl, deletes the live object with
//! force, and is not mistaken for one.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::check::account_with;
use crate::harness::{Chartgate, Cluster, Namespace, Options, Source, Write, chart, eventually, release};

const FLUX: &str = "2.9";

/// Longer than a deletion and the next attempt of the controller take.
const DELETED: Duration = Duration::from_secs(30);

const FORCE: &str = "kustomize.toolkit.fluxcd.io/force";

/// The place where force is set for Flux.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// By `spec.force` of the Kustomization.
    ByKustomization,
    /// By the annotation of the object.
    ByAnnotation,
}

impl Asked {
    fn object(self, spec: &Value) -> Value {
        let mut object = release("v2", "app", spec);
        if self == Self::ByAnnotation {
            object["metadata"]["annotations"] = json!({FORCE: "Enabled"});
        }
        object
    }

    /// Applies a whole chart, then the half of a move; returns the uid before, and the outcome of the move.
    fn move_halfway(self, source: &Source<'_>, namespace: &Namespace<'_>, half: &Value) -> (Value, String) {
        if self == Self::ByKustomization {
            force(namespace);
        }
        let publish = |spec: &Value| source.publish(&[("release.yaml", &self.object(spec).to_string())]);
        publish(&chart()).expect("a whole chart is fine");
        let uid = stored(namespace).expect("it was applied")["metadata"]["uid"].clone();
        (uid, publish(half).expect_err("half of a move is refused"))
    }
}

/// A chartRef beside the version that an overlay still pins.
fn half_done() -> Value {
    json!({
        "chart": {"spec": {"version": "6.5.4"}},
        "chartRef": {"kind": "OCIRepository", "name": "podinfo"},
    })
}

/// Sets `spec.force` of the Kustomization of a source.
fn force(namespace: &Namespace<'_>) {
    let kustomizations = namespace.objects("kustomize.toolkit.fluxcd.io/v1", "kustomizations");
    let forced = json!({"spec": {"force": true}});
    kustomizations.merge_patch("source", &forced, Write::by("chartgate-tests")).accepted();
}

fn stored(namespace: &Namespace<'_>) -> Option<Value> {
    let answer = namespace.releases("v2").get("app");
    (answer.status != 404).then(|| answer.accepted())
}

#[track_caller]
fn is_deleted(namespace: &Namespace<'_>, why: &str) {
    eventually("Flux deletes the live release", DELETED, || match stored(namespace) {
        None => Ok(()),
        Some(object) => Err(format!("{why}; {object}")),
    });
}

/// Checks that it exists and has the same uid, also after further attempts.
#[track_caller]
fn stays(source: &Source<'_>, namespace: &Namespace<'_>, uid: &Value) {
    for _ in 0..2 {
        source.reconcile().expect_err("it is refused again");
        assert_eq!(stored(namespace).map(|object| object["metadata"]["uid"].clone()).as_ref(), Some(uid));
    }
}

#[test]
fn without_chartgate_a_half_done_move_under_force_deletes_the_live_release() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    for asked in [Asked::ByKustomization, Asked::ByAnnotation] {
        let namespace = cluster.namespace("force-alone");
        let source = Source::create(controller, &namespace);
        let (_, refused) = asked.move_halfway(&source, &namespace, &half_done());
        is_deleted(&namespace, &refused);
    }
}

#[test]
fn with_chartgate_a_half_done_move_under_force_leaves_the_live_release() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = Chartgate::start(cluster, Options::default());
    for asked in [Asked::ByKustomization, Asked::ByAnnotation] {
        let namespace = chartgate.namespace("force");
        let source = Source::create(controller, &namespace);
        let (uid, refused) = asked.move_halfway(&source, &namespace, &half_done());
        assert!(refused.contains("dry-run failed (Forbidden)"), "{refused}");
        assert!(refused.contains("[partial-chart] spec.chart.spec.version is set beside"), "{refused}");
        let note = "[force-deletes] this object has force: a refused apply deletes the release.";
        assert_eq!(refused.contains(note), asked == Asked::ByAnnotation, "{refused}");
        assert!(refused.contains("\nchartgate: chartgate explain partial-chart"), "{refused}");
        stays(&source, &namespace, &uid);
    }
}

/// A 403 whose text has the words for which Flux deletes, too: here they are in the name that the message quotes.
#[test]
fn with_chartgate_no_value_brings_the_words_for_which_flux_deletes_into_a_denial() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = Chartgate::start(cluster, Options::default());
    let namespace = chartgate.namespace("force-words");
    let source = Source::create(controller, &namespace);
    let hostile = json!({"chartRef": {"kind": "OCIRepository", "name": "this is immutable field"}});
    let (uid, refused) = Asked::ByKustomization.move_halfway(&source, &namespace, &hostile);
    assert!(refused.contains("\"this is·immutable·field\" cannot be the name of an object"), "{refused}");
    stays(&source, &namespace, &uid);
}

#[test]
fn kubectl_apply_with_force_replaces_the_release_without_chartgate_and_leaves_it_with_it() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, Options::default());
    for (namespace, is_guarded) in
        [(cluster.namespace("force-kubectl-alone"), false), (chartgate.namespace("force-kubectl"), true)]
    {
        let applied = namespace.kubectl(&["apply"], &release("v2", "app", &chart()));
        assert!(applied.status.success(), "{applied:?}");
        let uid = stored(&namespace).expect("it was applied")["metadata"]["uid"].clone();
        let refused = namespace.kubectl(&["apply", "--force"], &release("v2", "app", &half_done()));
        assert!(!refused.status.success(), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr);
        let after = stored(&namespace).map(|object| object["metadata"]["uid"].clone());
        assert_eq!(after == Some(uid), is_guarded, "{said}");
        if is_guarded {
            assert!(said.lines().any(|line| line.starts_with("Error from server (Forbidden): ")), "{said}");
            assert!(said.contains("mutate.chartgate.dev\" denied the request: [partial-chart] "), "{said}");
            assert_eq!(said.lines().last(), Some("chartgate: chartgate explain partial-chart"), "{said}");
        }
    }
}

#[test]
fn the_audit_reports_releases_that_flux_would_delete() {
    let Some(cluster) = Cluster::start(FLUX) else { return };
    // It brings the CRD of Kustomization.
    if cluster.kustomize_controller().is_none() {
        return;
    }
    let namespace = cluster.namespace("force-audit");
    let kustomizations = namespace.objects("kustomize.toolkit.fluxcd.io/v1", "kustomizations");
    let by = Write::by("kustomize-controller");
    for (name, force) in [("forced", true), ("gentle", false)] {
        let kustomization = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": name},
            "spec": {"interval": "1h", "path": "./", "prune": true, "force": force,
                     "sourceRef": {"kind": "GitRepository", "name": "source"}},
        });
        kustomizations.create(&kustomization, by).accepted();
    }
    let apply = |name: &str, kustomization: &str, annotation: Option<&str>| {
        let mut object = release("v2", name, &chart());
        object["metadata"]["labels"] = json!({
            "kustomize.toolkit.fluxcd.io/name": kustomization,
            "kustomize.toolkit.fluxcd.io/namespace": namespace.name(),
        });
        if let Some(value) = annotation {
            object["metadata"]["annotations"] = json!({FORCE: value});
        }
        namespace.releases("v2").apply(&object, by.forced()).accepted();
        // A user that moves it now is refused: this part stays.
        let edit = json!({"spec": {"chart": {"spec": {"interval": "5m"}}}});
        namespace.releases("v2").merge_patch(name, &edit, Write::by("k9s")).accepted();
    };
    apply("under-force", "forced", None);
    apply("annotated", "gentle", Some("enabled"));
    apply("safe", "gentle", None);
    let blocked = |report: &Value, name: &str| {
        let release = report["releases"].as_array().expect("a list").iter().find(|it| it["name"] == name);
        let first = release.and_then(|release| release["blockers"][0]["what"].as_str());
        first.is_some_and(|first| first.starts_with("Flux applies it with force: "))
    };
    let seen = |report: &Value| ["under-force", "annotated", "safe"].map(|name| blocked(report, name));
    let (whole, said) = report(&cluster.kubeconfig());
    assert_eq!(seen(&whole), [true, true, false]);
    assert!(!said.contains("spec.force"), "{said}");

    // An account without the right to list Kustomizations gets a warning, and only the annotation counts.
    let rules = json!([
        {"apiGroups": ["helm.toolkit.fluxcd.io"], "resources": ["helmreleases"], "verbs": ["list"]},
        {"apiGroups": ["source.toolkit.fluxcd.io"], "resources": ["*"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["list", "watch"]},
    ]);
    let kubeconfig = account_with(&cluster, &rules);
    let part = eventually("the account may read", DELETED, || {
        let (part, said) = report(&kubeconfig);
        let lacks = "warning: not known of the cluster: which Kustomizations have spec.force";
        if said.lines().any(|line| line.starts_with(lacks)) { Ok(seen(&part)) } else { Err(said) }
    });
    assert_eq!(part, [false, true, false]);
}

/// Returns the JSON report of an audit, and its warnings.
fn report(kubeconfig: &Path) -> (Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_chartgate"))
        .args(["audit", "--format=json", "--fail-on=never"])
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .output()
        .expect("chartgate was built with its tests");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (serde_json::from_slice(&output.stdout).unwrap_or(json!({"releases": []})), said)
}
