//! From chart to chartRef in two phases, as Flux does it: by the real kustomize-controller, from a published source.

use serde_json::{Value, json};

use crate::harness::{Chartgate, Cluster, Namespace, Options, Source, Write, chart, chart_ref, release};

/// The last minor that serves all three versions of the API.
const FLUX: &str = "2.6";

const OPTIONS: Options<'_> = Options::with_arguments(&["--flux", FLUX]);

/// Who applies.
const APPLIER: &str = "kustomize-controller";

#[test]
fn without_chartgate_a_bump_to_v2_leaves_managed_fields_at_v2beta1() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let namespace = cluster.namespace("phase-1-alone");
    let source = Source::create(controller, &namespace);
    publish(&source, &release("v2beta1", "app", &chart()));
    let before = stored(&namespace);

    publish(&source, &release("v2", "app", &chart()));
    assert_eq!(stored(&namespace), before, "Flux sees no drift in a bump alone");
    assert_eq!(applied_at(&before), ["helm.toolkit.fluxcd.io/v2beta1"]);
}

#[test]
fn with_chartgate_a_bump_to_v2_brings_managed_fields_to_v2() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("phase-1");
    let source = Source::create(controller, &namespace);
    publish(&source, &release("v2beta1", "app", &chart()));
    let before = stored(&namespace);
    assert_eq!(before["metadata"]["annotations"], json!({"fluxcd.io/version": "v2beta1"}));
    assert_eq!(applied_at(&before), ["helm.toolkit.fluxcd.io/v2beta1"]);

    publish(&source, &release("v2", "app", &chart()));
    let after = stored(&namespace);
    assert_eq!(after["metadata"]["annotations"], json!({"fluxcd.io/version": "v2"}));
    assert_eq!(applied_at(&after), ["helm.toolkit.fluxcd.io/v2"]);
    assert_eq!(after["spec"], before["spec"]);
    stays_as_it_is(&source, &namespace);
}

/// A write at v2 by somebody else, the bump in Git, and applies of either version, in every order: in the end the entry is at v2.
#[test]
fn a_write_of_somebody_else_at_v2_never_keeps_flux_from_applying_the_bump() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let requested = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}});
    // Also with an annotation that somebody has set ahead of Git, or that was set before Flux applied anything.
    let ahead = json!({"metadata": {"annotations": {"fluxcd.io/version": "v2"}}});
    for (write, manager) in [(&requested, "flux"), (&ahead, "kubectl-annotate")] {
        // W is the write, A an apply of what Git has, B the bump and its apply.
        for order in ["WB", "WAB", "AWB", "BW", "ABW", "WBW"] {
            let namespace = chartgate.namespace("phase-1-order");
            let source = Source::create(controller, &namespace);
            publish(&source, &release("v2beta2", "app", &chart()));
            assert_eq!(applied_at(&stored(&namespace)), ["helm.toolkit.fluxcd.io/v2beta2"]);
            for step in order.chars() {
                match step {
                    'W' => {
                        _ = namespace.releases("v2").merge_patch("app", write, Write::by(manager)).accepted();
                    }
                    'A' => _ = source.reconcile().expect("what was applied applies again"),
                    'B' => publish(&source, &release("v2", "app", &chart())),
                    other => panic!("{other} is no step"),
                }
                if step == 'A' {
                    assert_eq!(version_annotation(&stored(&namespace)), "v2beta2", "{order}: set back");
                }
            }
            // One more interval, for an annotation that was ahead.
            source.reconcile().expect("what was applied applies again");
            let after = stored(&namespace);
            assert_eq!(applied_at(&after), ["helm.toolkit.fluxcd.io/v2"], "{manager} {order}");
            assert_eq!(version_annotation(&after), "v2", "{manager} {order}");
            stays_as_it_is(&source, &namespace);
        }
    }
}

fn version_annotation(release: &Value) -> &str {
    release["metadata"]["annotations"]["fluxcd.io/version"].as_str().unwrap_or("absent")
}

#[test]
fn both_phases_end_at_a_chart_ref_that_stays_applied() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("phase-2");
    let source = Source::create(controller, &namespace);
    publish(&source, &release("v2beta1", "app", &chart()));
    publish(&source, &release("v2", "app", &chart()));
    publish(&source, &release("v2", "app", &chart_ref()));
    lives_on_its_chart_ref(&namespace);
    stays_as_it_is(&source, &namespace);
}

#[test]
fn what_another_manager_patched_below_the_chart_is_healed_in_phase_2_and_stays_so() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("phase-2-patched");
    let source = Source::create(controller, &namespace);
    publish(&source, &release("v2beta1", "app", &chart()));
    publish(&source, &release("v2", "app", &chart()));
    let edit = json!({"spec": {"chart": {"spec": {"interval": "5m"}}}});
    namespace.releases("v2").merge_patch("app", &edit, Write::by("lens")).accepted();

    publish(&source, &release("v2", "app", &chart_ref()));
    lives_on_its_chart_ref(&namespace);
    stays_as_it_is(&source, &namespace);
}

#[test]
fn what_another_manager_applied_below_the_chart_is_healed_in_phase_2_and_stays_so() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("phase-2-applied");
    let source = Source::create(controller, &namespace);
    publish(&source, &release("v2beta1", "app", &chart()));
    publish(&source, &release("v2", "app", &chart()));
    let mut part = release("v2", "app", &json!({}));
    part["spec"] = json!({"chart": {"spec": {"interval": "5m"}}});
    namespace.releases("v2").apply(&part, Write::by("lens")).accepted();

    publish(&source, &release("v2", "app", &chart_ref()));
    lives_on_its_chart_ref(&namespace);
    stays_as_it_is(&source, &namespace);
}

/// Publishes a release; the Kustomization has to become ready with it.
#[track_caller]
fn publish(source: &Source<'_>, release: &Value) {
    let ready = source.publish(&[("release.yaml", &release.to_string())]);
    assert!(ready.as_ref().is_ok_and(|message| message.starts_with("Applied revision: ")), "{ready:?}");
}

fn stored(namespace: &Namespace<'_>) -> Value {
    namespace.releases("v2").get("app").accepted()
}

/// The versions of all entries that the controller has in `managedFields`.
fn applied_at(release: &Value) -> Vec<&str> {
    let entries = release["metadata"]["managedFields"].as_array().expect("every stored object has them");
    let own = entries.iter().filter(|entry| entry["manager"] == APPLIER);
    own.map(|entry| entry["apiVersion"].as_str().expect("every entry has one")).collect()
}

#[track_caller]
fn lives_on_its_chart_ref(namespace: &Namespace<'_>) {
    let release = stored(namespace);
    let expected = json!({"kind": "OCIRepository", "name": "podinfo", "namespace": namespace.name()});
    assert_eq!(release["spec"]["chartRef"], expected);
    assert_eq!(release["spec"]["chart"], Value::Null);
    assert_eq!(applied_at(&release), ["helm.toolkit.fluxcd.io/v2"]);
}

/// Three further reconciliations find nothing to do.
#[track_caller]
fn stays_as_it_is(source: &Source<'_>, namespace: &Namespace<'_>) {
    let before = stored(namespace);
    for _ in 0..3 {
        source.reconcile().expect("what was applied applies again");
        assert_eq!(stored(namespace)["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    }
}
