//! What a real API server sends to a webhook, kept byte for byte under `tests/fixtures/reviews/` for the tests that
//! have no server.
//!
//! Each test brings about one situation at `/mutate` and compares it with the committed review, except for what
//! differs from run to run. `UPDATE_GOLDEN=1` writes the captured bytes instead.

use std::fs;
use std::path::Path;

use axum::body::Bytes;
use serde_json::{Value, json};

use crate::harness::{Cluster, Namespace, Recorder, Source, Write, chart, chart_ref, release};

/// All reviews are of this minor: the last one that serves all three versions of the API.
const FLUX: &str = "2.6";

#[test]
fn create() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let recorder = Recorder::start(cluster);
    let namespace = recorder.namespace("create");
    kubectl(&namespace, &["create"], &release("v2", "app", &chart_ref()));
    golden("create", &recorder, &namespace);
}

#[test]
fn create_at_v2beta1() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let recorder = Recorder::start(cluster);
    let namespace = recorder.namespace("create-v2beta1");
    kubectl(&namespace, &["create"], &release("v2beta1", "app", &chart()));
    golden("create-v2beta1", &recorder, &namespace);
}

#[test]
fn update() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let recorder = Recorder::start(cluster);
    let namespace = recorder.namespace("update");
    kubectl(&namespace, &["create"], &release("v2", "app", &chart()));
    recorder.take("mutate", &namespace);
    let edit = json!({"spec": {"suspend": true, "chart": {"spec": {"version": "6.5.5"}}}});
    namespace.releases("v2").merge_patch("app", &edit, Write::by("kubectl-edit")).accepted();
    golden("update", &recorder, &namespace);
}

#[test]
fn update_that_bumps_v2beta1_to_v2() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let recorder = Recorder::start(cluster);
    let namespace = recorder.namespace("bump");
    let Some(controller) = cluster.kustomize_controller() else { return };
    let source = Source::create(controller, &namespace);
    publish(&source, &release("v2beta1", "app", &chart())).expect("a v2beta1 release is valid");
    recorder.take("mutate", &namespace);
    publish(&source, &release("v2", "app", &chart())).expect("the same at v2 is valid");
    let bumped = |object: &Value| object["apiVersion"] == "helm.toolkit.fluxcd.io/v2";
    golden_of("bump-v2beta1-to-v2", &recorder, &namespace, bumped);
}

/// Error B: lens owns one field below `spec.chart`, and Git moves from chart to chartRef.
#[test]
fn server_side_apply_that_leaves_a_field_of_another_manager() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let recorder = Recorder::start(cluster);
    let namespace = recorder.namespace("leftover");
    let Some(controller) = cluster.kustomize_controller() else { return };
    let source = Source::create(controller, &namespace);
    publish(&source, &release("v2", "app", &chart())).expect("a release with a whole chart is valid");
    let edit = json!({"spec": {"chart": {"spec": {"interval": "5m"}}}});
    namespace.releases("v2").merge_patch("app", &edit, Write::by("lens")).accepted();
    recorder.take("mutate", &namespace);
    let refused = publish(&source, &release("v2", "app", &chart_ref())).expect_err("the schema refuses it");
    assert!(refused.contains("spec.chart.spec.chart: Required value"), "{refused}");
    let moved = |object: &Value| object["spec"]["chartRef"].is_object();
    golden_of("apply-leftover-of-lens", &recorder, &namespace, moved);
}

#[test]
fn client_side_apply() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let recorder = Recorder::start(cluster);
    let namespace = recorder.namespace("client-side");
    kubectl(&namespace, &["apply"], &release("v2", "app", &chart()));
    recorder.take("mutate", &namespace);
    kubectl(&namespace, &["apply"], &release("v2", "app", &chart_ref()));
    golden("client-side-apply", &recorder, &namespace);
}

#[test]
fn dry_run() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let recorder = Recorder::start(cluster);
    let namespace = recorder.namespace("dry-run");
    let how = ["apply", "--server-side", "--dry-run=server"];
    kubectl(&namespace, &how, &release("v2", "app", &chart_ref()));
    golden("dry-run", &recorder, &namespace);
}

#[test]
fn removal_of_the_finalizer_from_a_release_being_deleted() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let recorder = Recorder::start(cluster);
    let namespace = recorder.namespace("finalizer");
    let releases = namespace.releases("v2");
    let mut object = release("v2", "app", &chart_ref());
    object["metadata"]["finalizers"] = json!(["finalizers.fluxcd.io"]);
    releases.create(&object, Write::by("helm-controller")).accepted();
    releases.delete("app").accepted();
    recorder.take("mutate", &namespace);
    releases.remove_finalizers("app", Write::by("helm-controller")).accepted();
    golden("finalizer-removal", &recorder, &namespace);
}

fn publish(source: &Source<'_>, release: &Value) -> Result<String, String> {
    source.publish(&[("release.yaml", &release.to_string())])
}

/// Hands an object to kubectl, which has to succeed.
fn kubectl(namespace: &Namespace<'_>, arguments: &[&str], object: &Value) {
    let output = namespace.kubectl(arguments, object);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Compares the first review about the namespace with the committed one, or commits it.
fn golden(name: &str, recorder: &Recorder<'_>, namespace: &Namespace<'_>) {
    golden_of(name, recorder, namespace, |_| true);
}

/// Compares the first review of a wanted object. A controller may send what it has sent before once more at any time.
fn golden_of(
    name: &str,
    recorder: &Recorder<'_>,
    namespace: &Namespace<'_>,
    wanted: impl Fn(&Value) -> bool,
) {
    let captured: Bytes = recorder
        .take("mutate", namespace)
        .into_iter()
        .find(|review| {
            let review: Value = serde_json::from_slice(review).expect("a review is JSON");
            wanted(&review["request"]["object"])
        })
        .expect("the API server asks the webhook about the object");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reviews");
    let file = folder.join(name).with_added_extension("json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &captured).expect("the checkout can be written");
    }
    let committed = fs::read(&file).expect("UPDATE_GOLDEN=1 writes it");
    let (committed, captured) = (masked(&committed), masked(&captured));
    assert!(
        committed == captured,
        "{} is not what the API server sends now:\n{captured:#}\ninstead of\n{committed:#}",
        file.display()
    );
}

/// A review without what differs from run to run.
fn masked(review: &[u8]) -> Value {
    let text = String::from_utf8_lossy(review);
    let parsed: Value = serde_json::from_str(&text).expect("a review is JSON");
    let namespace = parsed["request"]["namespace"].as_str().expect("releases have a namespace");
    // Also in labels, and in the text of an annotation.
    let mut review = serde_json::from_str(&text.replace(namespace, "NAMESPACE")).expect("still JSON");
    mask(&mut review);
    review
}

fn mask(value: &mut Value) {
    const DIFFERENT: [&str; 5] = ["uid", "time", "creationTimestamp", "deletionTimestamp", "resourceVersion"];
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if DIFFERENT.contains(&key.as_str()) { *member = json!("MASKED") } else { mask(member) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}
