//! `managedFields: migrate`: `/mutate` moves entries at an older version, at the usual and at the newest API server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Chartgate, Cluster, Kubernetes, Namespace, Options, Source, Write, chart, chart_ref, eventually, release,
    say,
};

/// The last minor that serves all three versions of the API.
const FLUX: &str = "2.6";

const APPLIER: &str = "kustomize-controller";

/// How soon a change of the CRD is known.
const SOON: Duration = Duration::from_secs(30);

const MIGRATES: &str = "managedFields: migrate\n";

#[test]
fn a_write_moves_the_entries_of_others_and_an_apply_its_own_and_each_keeps_its_fields() {
    at_each(|kubernetes, cluster| {
        let chartgate = migrating(cluster, MIGRATES);
        let namespace = chartgate.namespace("old-entries");
        history(&namespace);
        let before = entries(&namespace);
        assert_eq!(
            at(&before, "v2beta1"),
            ["helm-controller Update status", "kustomize-controller Apply ", "lens Update "]
        );

        annotate(&namespace);
        let after = entries(&namespace);
        assert_eq!(
            at(&after, "v2beta1"),
            ["kustomize-controller Apply "],
            "{kubernetes:?}: Git is still there"
        );
        assert_eq!(at(&after, "v2beta2"), [""; 0]);
        apply(&namespace, "v2", &chart());
        let after = entries(&namespace);
        assert_eq!(at(&after, "v2beta1"), [""; 0], "{kubernetes:?}");
        for manager in ["lens", "helm-controller"] {
            assert_eq!(owned(&after, manager), owned(&before, manager), "{kubernetes:?}");
        }
        // Nothing is moved twice.
        let release = json!({"metadata": {"annotations": {"a": "2"}}});
        namespace.releases("v2").merge_patch("app", &release, Write::by("kubectl-annotate")).accepted();
        let quiet =
            |all: &[Value]| all.iter().filter(|it| it["manager"] != "kubectl-annotate").cloned().collect();
        let [once, twice]: [Vec<Value>; 2] = [quiet(&after), quiet(&entries(&namespace))];
        assert_eq!(once, twice);

        upgrade(cluster, &chartgate, "2.7");
        apply(&namespace, "v2", &chart_ref());
        assert!(namespace.releases("v2").get("app").accepted()["spec"]["chart"].is_null());
    });
}

#[test]
fn by_default_no_entry_is_moved() {
    let Some(cluster) = Cluster::start(FLUX) else { return };
    let chartgate = migrating(&cluster, "");
    let namespace = chartgate.namespace("old-entries-kept");
    history(&namespace);
    annotate(&namespace);
    assert_eq!(at(&entries(&namespace), "v2beta1").len(), 3);
}

/// Once the CRD has dropped the version, 1.35 drops all entries at the next update, before a webhook is asked. 1.37 keeps them, and
/// no apply passes until they are moved.
#[test]
fn a_version_that_is_gone_is_put_right_by_any_write_where_the_api_server_keeps_its_entries() {
    at_each(|kubernetes, cluster| {
        for config in ["", MIGRATES] {
            let chartgate = migrating(cluster, config);
            upgrade(cluster, &chartgate, FLUX);
            let namespace = chartgate.namespace("old-entries-gone");
            apply(&namespace, "v2beta1", &chart());
            upgrade(cluster, &chartgate, "2.7");
            annotate(&namespace);
            let stored = entries(&namespace);
            let manifest = release("v2", "app", &chart());
            let again = namespace.releases("v2").apply(&manifest, Write::by(APPLIER).forced());
            match (kubernetes, config) {
                (Kubernetes::Usual, _) => {
                    assert_eq!(stored, [json!(null); 0], "all are dropped");
                    again.accepted();
                }
                (Kubernetes::Newest, "") => {
                    assert_eq!(at(&stored, "v2beta1"), ["kustomize-controller Apply "]);
                    assert!(again.refused().contains("convert CR to an invalid group/version"));
                }
                (Kubernetes::Newest, _) => {
                    assert_eq!(at(&stored, "v2beta1"), [""; 0]);
                    again.accepted();
                }
            }
        }
    });
}

#[test]
fn flux_applies_the_bump_once_and_then_sees_no_drift() {
    let Some(cluster) = Cluster::start(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = migrating(&cluster, MIGRATES);
    let namespace = chartgate.namespace("old-entries-flux");
    let source = Source::create(controller, &namespace);
    let publish = |version: &str| {
        let manifest = release(version, "app", &chart()).to_string();
        source.publish(&[("release.yaml", &manifest)]).expect("Flux applies the release");
    };
    publish("v2beta1");
    others(&namespace);
    publish("v2");
    let stored = namespace.releases("v2").get("app").accepted();
    for version in ["v2beta1", "v2beta2"] {
        assert_eq!(at(&entries(&namespace), version), [""; 0], "{stored:#}");
    }
    for _ in 0..3 {
        source.reconcile().expect("what was applied applies again");
        let again = namespace.releases("v2").get("app").accepted();
        assert_eq!(again["metadata"]["resourceVersion"], stored["metadata"]["resourceVersion"]);
    }
}

fn at_each(test: impl Fn(Kubernetes, &Cluster)) {
    for kubernetes in Kubernetes::ALL {
        match Cluster::start_at(FLUX, kubernetes) {
            Some(cluster) => test(kubernetes, &cluster),
            None => say(&format!("skipped at {kubernetes:?}")),
        }
    }
}

/// chartgate with this configuration, which follows the live CRD.
fn migrating<'a>(cluster: &'a Cluster, config: &str) -> Chartgate<'a> {
    let kubeconfig = cluster.kubeconfig();
    let options = Options { config: Some(config), kubeconfig: Some(&kubeconfig), ..Options::default() };
    Chartgate::start(cluster, options)
}

/// Waits until chartgate knows the CRD of a Flux.
fn upgrade(cluster: &Cluster, chartgate: &Chartgate<'_>, flux: &str) {
    cluster.upgrade_crds(flux);
    let served = if flux == FLUX {
        "[+]crd-helmreleases ok: HelmRelease v2beta1, v2beta2, v2 "
    } else {
        "[+]crd-helmreleases ok: HelmRelease v2beta2, v2 "
    };
    eventually(served, SOON, || {
        let report = chartgate.observe("/readyz?verbose");
        if report.contains(served) { Ok(()) } else { Err(report) }
    });
}

/// A release that Flux applied at v2beta1 and others wrote.
fn history(namespace: &Namespace<'_>) {
    apply(namespace, "v2beta1", &chart());
    others(namespace);
}

fn others(namespace: &Namespace<'_>) {
    let finalizer = json!({"metadata": {"finalizers": ["finalizers.fluxcd.io"]}});
    namespace.releases("v2beta2").merge_patch("app", &finalizer, Write::by("helm-controller")).accepted();
    let history = json!({"spec": {"maxHistory": 7}});
    namespace.releases("v2beta1").merge_patch("app", &history, Write::by("lens")).accepted();
    let status = json!({"status": {"observedGeneration": 1}});
    let releases = namespace.releases("v2beta1").status();
    releases.merge_patch("app", &status, Write::by("helm-controller")).accepted();
}

fn annotate(namespace: &Namespace<'_>) {
    let annotation = json!({"metadata": {"annotations": {"a": "1"}}});
    namespace.releases("v2").merge_patch("app", &annotation, Write::by("kubectl-annotate")).accepted();
}

fn apply(namespace: &Namespace<'_>, version: &str, spec: &Value) {
    let write = Write::by(APPLIER).forced();
    namespace.releases(version).apply(&release(version, "app", spec), write).accepted();
}

fn entries(namespace: &Namespace<'_>) -> Vec<Value> {
    let stored = namespace.releases("v2").get("app").accepted();
    stored["metadata"]["managedFields"].as_array().cloned().unwrap_or_default()
}

/// The entries at a version, as manager, operation and subresource.
fn at(entries: &[Value], version: &str) -> Vec<String> {
    let version = format!("helm.toolkit.fluxcd.io/{version}");
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let at = entries.iter().filter(|entry| entry["apiVersion"] == *version);
    let mut named: Vec<_> =
        at.map(|it| ["manager", "operation", "subresource"].map(|key| text(it, key)).join(" ")).collect();
    named.sort();
    named
}

/// What the entries of a manager own, in the order of their subresources.
fn owned(entries: &[Value], manager: &str) -> Vec<[Value; 2]> {
    let of = entries.iter().filter(|entry| entry["manager"] == manager);
    let mut owned: Vec<_> = of.map(|it| [it["subresource"].clone(), it["fieldsV1"].clone()]).collect();
    owned.sort_by_key(|[subresource, _]| subresource.to_string());
    owned
}
