//! Checks that an object that is stored with an error stays usable: annotated, suspended, finalised and applied again, with
//! `manifests/enforce` unchanged.

use serde_json::{Value, json};

use crate::harness::{
    Chartgate, Cluster, Installation, Namespace, Options, Recorder, Source, Write, chart, release,
};

/// Passes the schema of every Flux, and can never work: no object can have this name. Its namespace is left out.
fn misnamed() -> Value {
    json!({"chartRef": {"kind": "OCIRepository", "name": "Podinfo"}})
}

/// Passes the schema of v2beta1 up to Flux 2.6, and stalls.
fn both() -> Value {
    let mut both = chart();
    both["chartRef"] = json!({"kind": "OCIRepository", "name": "podinfo"});
    both
}

#[test]
fn a_stored_error_does_not_hold_up_what_leaves_the_spec_alone() {
    // The schema of v2 refuses a change to a spec with both, including suspending it, by any client.
    for (flux, at, spec, to_suspend) in
        [("2.9", "v2", misnamed(), "v2"), ("2.6", "v2beta1", both(), "v2beta1")]
    {
        let Some(cluster) = Cluster::start(flux) else { return };
        let namespace = cluster.namespace("stored");
        let me = Write::by("me");
        namespace.releases(at).apply(&release(at, "app", &spec), me).accepted();
        let installation = Installation::apply(&cluster, "enforce");
        installation.start();
        installation.wait_until_called();

        for version in std::collections::BTreeSet::from([at, "v2"]) {
            leaves_the_spec_alone(&namespace, version, &release(version, "app", &spec));
        }
        let releases = namespace.releases(to_suspend);
        for suspend in [json!(true), json!(false)] {
            releases.merge_patch("app", &json!({"spec": {"suspend": suspend}}), me).accepted();
        }
        denies_what_is_introduced(&namespace, at, &spec);
    }
}

/// Every write but a suspension, each of which passes and stores the spec as it was.
fn leaves_the_spec_alone(namespace: &Namespace<'_>, version: &str, manifest: &Value) {
    let releases = namespace.releases(version);
    let before = releases.get("app").accepted();
    let (me, other) = (Write::by("me"), Write::by("helm-controller"));
    let annotation = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": version}}});
    releases.merge_patch("app", &annotation, me).accepted();
    releases.merge_patch("app", &json!({"metadata": {"labels": {"a": version}}}), me).accepted();
    let finalizers = json!({"metadata": {"finalizers": ["finalizers.fluxcd.io"]}});
    releases.merge_patch("app", &finalizers, other).accepted();
    releases.apply(manifest, me).accepted();
    releases.apply(manifest, Write::by("kustomize-controller").forced()).accepted();
    let mut whole = releases.get("app").accepted();
    whole["metadata"]["labels"] = json!({});
    releases.replace(&whole, me).accepted();
    releases.status().merge_patch("app", &json!({"status": {"observedGeneration": 1}}), other).accepted();
    releases.remove_finalizers("app", other).accepted();
    let after = releases.get("app").accepted();
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"]);
}

fn denies_what_is_introduced(namespace: &Namespace<'_>, version: &str, spec: &Value) {
    let releases = namespace.releases(version);
    let me = Write::by("me");
    let ours = "denied the request: [";
    for refused in [
        releases.create(&release(version, "new", spec), me),
        releases.merge_patch("app", &json!({"spec": {"interval": "5m"}}), me),
        releases.merge_patch("app", &json!({"spec": {"chartRef": {"kind": "HelmChart", "name": "B"}}}), me),
    ] {
        let message = refused.refused();
        assert!(message.contains(ours), "{message}");
    }
    // The release's own namespace, written out and left out again, changes nothing, and is the user's choice.
    if version == "v2" {
        for own in [json!(namespace.name()), Value::Null] {
            let patch = json!({"spec": {"chartRef": {"namespace": own}}});
            let stored = releases.merge_patch("app", &patch, me).accepted();
            assert_eq!(stored["spec"]["chartRef"]["namespace"], namespace.name());
        }
        let elsewhere = json!({"spec": {"chartRef": {"namespace": "elsewhere"}}});
        let message = releases.merge_patch("app", &elsewhere, me).refused();
        assert!(message.contains(ours), "{message}");
    }
}

#[test]
fn flux_applies_a_stored_error_again_at_every_interval() {
    let Some(cluster) = Cluster::start("2.9") else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let namespace = cluster.namespace("interval");
    let source = Source::create(controller, &namespace);
    source
        .publish(&[("app.yaml", &release("v2", "app", &misnamed()).to_string())])
        .expect("nobody asks us yet");
    let spec = namespace.releases("v2").get("app").accepted()["spec"].clone();
    let installation = Installation::apply(&cluster, "enforce");
    installation.start();
    installation.wait_until_called();

    // The first time, the annotation is new to it.
    source.reconcile().expect("what was applied applies again");
    let before = namespace.releases("v2").get("app").accepted();
    assert_eq!(before["spec"], spec);
    assert_eq!(before["metadata"]["annotations"]["fluxcd.io/version"], "v2");
    for _ in 0..3 {
        source.reconcile().expect("what was applied applies again");
        let after = namespace.releases("v2").get("app").accepted();
        assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    }
    assert!(installation.metrics("chartgate_reviews_total{operation=\"UPDATE\"") > 0);
}

#[test]
fn the_api_server_sends_the_keys_of_an_object_sorted() {
    let Some(cluster) = Cluster::shared("2.9") else { return };
    let recorder = Recorder::start(cluster);
    let namespace = recorder.namespace("sorted");
    let values = json!({"values": {"b": 1, "ä": 2, "a": {"z": 1, "y": 2}, "B": "<&>"}});
    let mut spec = chart();
    spec["values"] = values["values"].clone();
    namespace.releases("v2").create(&release("v2", "app", &spec), Write::by("me")).accepted();
    recorder.take_all();
    let annotation = json!({"metadata": {"annotations": {"a": "b"}}});
    namespace.releases("v2").merge_patch("app", &annotation, Write::by("me")).accepted();
    let bodies = recorder.take_all();
    assert!(!bodies.is_empty());
    for (_, body) in bodies {
        let review: Value = serde_json::from_slice(&body).expect("the API server sends JSON");
        for object in ["object", "oldObject"] {
            let spec = &review["request"][object]["spec"];
            assert!(is_sorted(spec), "{spec}");
        }
        assert_eq!(
            review["request"]["object"]["spec"].to_string(),
            review["request"]["oldObject"]["spec"].to_string()
        );
    }
}

fn is_sorted(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.keys().is_sorted() && members.values().all(is_sorted),
        Value::Array(elements) => elements.iter().all(is_sorted),
        _ => true,
    }
}

/// Optional fields that are null, in a release that is in order otherwise.
fn nulls() -> [(Value, &'static str); 4] {
    let chart = |at: &str| {
        let mut chart = chart();
        let (parent, field) = at.rsplit_once('/').expect("a pointer has a slash");
        chart.pointer_mut(parent).expect("it is whole")[field] = Value::Null;
        chart
    };
    let chart_ref =
        |field: &str| json!({"chartRef": {"kind": "OCIRepository", "name": "podinfo", field: null}});
    [
        (chart("/chart/spec/interval"), "/spec/chart/spec/interval"),
        (chart("/chart/spec/sourceRef/namespace"), "/spec/chart/spec/sourceRef/namespace"),
        (chart_ref("namespace"), "/spec/chartRef/namespace"),
        (chart_ref("apiVersion"), "/spec/chartRef/apiVersion"),
    ]
}

#[test]
fn a_null_that_server_side_apply_refuses_is_removed_and_create_drops_it_by_itself() {
    let Some(cluster) = Cluster::shared("2.9") else { return };
    let me = Write::by("me");
    let alone = cluster.namespace("nulls-alone");
    let chartgate = Chartgate::start(cluster, Options::default());
    let namespace = chartgate.namespace("nulls");
    for (index, (spec, at)) in nulls().into_iter().enumerate() {
        let mut object = release("v2", &format!("app-{index}"), &spec);
        let refused = alone.releases("v2").apply(&object, me);
        assert_eq!(refused.status, 422, "{at}: {refused:?}");
        alone.releases("v2").create(&object, me).accepted();

        // All else is in order, so that the prefilter has to see the null itself.
        object["metadata"]["annotations"] = json!({"fluxcd.io/version": "v2"});
        let applied = namespace.releases("v2").apply(&object, me);
        let said = format!("[null-field] removed {}, which is null", at[1..].replace('/', "."));
        assert_eq!(applied.warnings, [said], "{applied:?}");
        let stored = applied.accepted();
        let filled = (at == "/spec/chartRef/namespace").then(|| json!(namespace.name()));
        assert_eq!(stored.pointer(at), filled.as_ref(), "{stored}");
        let again = namespace.releases("v2").apply(&object, me).accepted();
        // Nothing but managedFields differs: the API server takes the null for applied each time.
        assert_eq!(again["spec"], stored["spec"]);
        assert_eq!(again["metadata"]["generation"], stored["metadata"]["generation"]);

        object["metadata"]["name"] = json!(format!("created-{index}"));
        let created = namespace.releases("v2").create(&object, me);
        assert_eq!(created.warnings, [""; 0], "{created:?}");
        assert_eq!(created.accepted().pointer(at), filled.as_ref());
    }
}

#[test]
fn only_where_the_administrator_says_is_a_release_the_one_that_installs_chartgate() {
    let Some(cluster) = Cluster::start("2.9") else { return };
    let installation = Installation::apply(&cluster, "enforce");
    installation.start();
    installation.wait_until_closed();
    let mut own = release("v2", "chartgate", &misnamed());
    own["spec"]["targetNamespace"] = json!("chartgate-system");
    let me = Write::by("me");
    let tenant = cluster.namespace("tenant");
    let message = tenant.releases("v2").create(&own, me).refused();
    assert!(message.contains("[chart-ref-name]"), "{message}");

    installation.kill_all();
    let flux = Namespace::named(&cluster, "flux-system".to_owned(), &json!({}));
    flux.releases("v2").create(&own, me).accepted();
    let message = tenant.releases("v2").create(&own, me).refused();
    assert!(message.contains("failed calling webhook \"validate.chartgate.dev\""), "{message}");
}
