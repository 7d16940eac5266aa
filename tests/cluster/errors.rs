//! The errors that bring people here, each told by the API server alone and by chartgate.

use serde_json::{Value, json};

use crate::harness::{
    Answer, Chartgate, Cluster, Namespace, Options, Source, Write, chart, chart_ref, release,
};

/// The last minor that serves all three versions of the API.
const FLUX: &str = "2.6";

const OPTIONS: Options<'_> =
    Options { failure_policy: "Fail", config: None, arguments: &["--flux", FLUX], environment: &[] };

const APPLIER: &str = "kustomize-controller";

#[test]
fn the_api_server_alone_asks_for_a_chart_where_v2beta1_has_a_chart_ref() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let refused = apply(&cluster.namespace("a-alone"), "v2beta1", &chart_ref()).refused();
    assert_eq!(refused, "HelmRelease.helm.toolkit.fluxcd.io \"app\" is invalid: spec.chart: Required value");
}

#[test]
fn chartgate_asks_for_v2_where_v2beta1_has_a_chart_ref() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let refused = apply(&chartgate.namespace("a"), "v2beta1", &chart_ref()).refused();
    assert_in(
        &refused,
        &[
            "[chart-ref-needs-v2] v2beta1 of Flux 2.6 requires spec.chart, so chartRef cannot replace it.",
            "set apiVersion: helm.toolkit.fluxcd.io/v2",
        ],
    );
}

#[test]
fn the_api_server_alone_asks_for_a_whole_chart_where_an_overlay_pins_a_version_beside_chart_ref() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let namespace = cluster.namespace("overlay-alone");
    apply(&namespace, "v2", &chart()).accepted();
    let refused = apply(&namespace, "v2", &chart_ref_and_pin()).refused();
    assert_in(
        &refused,
        &["spec.chart.spec.chart: Required value", "spec.chart.spec.sourceRef: Required value"],
    );
    assert!(!refused.contains("spec.chart.spec.version"), "{refused}");
}

#[test]
fn chartgate_names_the_field_that_an_overlay_pins_beside_chart_ref() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("overlay");
    apply(&namespace, "v2", &chart()).accepted();
    let answer = apply(&namespace, "v2", &chart_ref_and_pin());
    assert_eq!(answer.status, 422);
    assert_eq!(answer.body["details"]["causes"][0]["field"], "spec.chart");
    assert_in(
        &answer.refused(),
        &[
            "[partial-chart] spec.chart.spec.version is set beside spec.chartRef.",
            "look for an overlay or patch on spec.chart: the applied manifest still sets spec.chart.spec.version",
        ],
    );
    let stored = namespace.releases("v2").get("app").accepted();
    assert_eq!(stored["spec"]["chart"]["spec"]["version"], "6.5.4", "nothing was stored");
}

#[test]
fn flux_reports_in_its_condition_which_field_an_overlay_pins() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("overlay-flux");
    let source = Source::create(controller, &namespace);
    let publish = |spec: &Value| source.publish(&[("release.yaml", &release("v2", "app", spec).to_string())]);
    publish(&chart()).expect("a whole chart is fine");
    let failed = publish(&chart_ref_and_pin()).expect_err("the pin is not");
    assert_in(&failed, &["[partial-chart] spec.chart.spec.version is set beside spec.chartRef."]);
    publish(&chart_ref()).expect("without the pin it is fine");
}

#[test]
fn the_api_server_alone_refuses_chart_ref_where_somebody_edited_the_chart() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let namespace = cluster.namespace("edit-alone");
    apply(&namespace, "v2", &chart()).accepted();
    edit(&namespace);
    let refused = apply(&namespace, "v2", &chart_ref()).refused();
    assert_in(
        &refused,
        &["spec.chart.spec.chart: Required value", "spec.chart.spec.sourceRef: Required value"],
    );
}

#[test]
fn chartgate_removes_what_somebody_edited_names_them_and_it_stays_removed() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("edit");
    apply(&namespace, "v2", &chart()).accepted();
    edit(&namespace);

    let healed = apply(&namespace, "v2", &chart_ref());
    let said = "[partial-chart] removed spec.interval, left by \"kubectl-edit\" at 20";
    assert!(healed.warnings.iter().any(|warning| warning.starts_with(said)), "{:?}", healed.warnings);
    let healed = healed.accepted();
    assert_eq!(healed["spec"]["chart"], Value::Null);
    assert_eq!(healed["spec"]["chartRef"]["name"], "podinfo");

    for _ in 0..2 {
        let again = apply(&namespace, "v2", &chart_ref()).accepted();
        assert_eq!(again["metadata"]["resourceVersion"], healed["metadata"]["resourceVersion"]);
    }
}

#[test]
fn chartgate_takes_a_put_that_states_the_leftover_at_its_word_also_by_who_applied_before() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("put");
    // Without a version, so that the applier owns nothing of what stays.
    let mut unpinned = chart();
    unpinned["chart"]["spec"].as_object_mut().unwrap().remove("version");
    apply(&namespace, "v2", &unpinned).accepted();
    edit(&namespace);
    let releases = namespace.releases("v2");
    let mut whole = releases.get("app").accepted();
    whole["spec"]["chart"] = json!({"spec": {"interval": "5m"}});
    whole["spec"]["chartRef"] = chart_ref()["chartRef"].clone();
    let refused = releases.replace(&whole, Write::by(APPLIER)).refused();
    assert_in(&refused, &["[partial-chart] spec.chart.spec.interval is left beside spec.chartRef."]);

    let patch = json!({"spec": {
        "chart": {"spec": {"chart": null, "sourceRef": null}},
        "chartRef": chart_ref()["chartRef"],
    }});
    let refused = releases.merge_patch("app", &patch, Write::by(APPLIER)).refused();
    assert_in(&refused, &["[partial-chart] spec.chart.spec.interval is left beside spec.chartRef."]);
}

#[test]
fn the_api_server_alone_takes_both_fields_whole_at_v2beta1_in_silence() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let answer = apply(&cluster.namespace("both-alone"), "v2beta1", &both());
    assert_eq!(answer.warnings, ["v2beta1 HelmRelease is deprecated, upgrade to v2"]);
    let stored = answer.accepted();
    assert_eq!(stored["spec"]["chart"]["spec"]["chart"], "podinfo");
    assert_eq!(stored["spec"]["chartRef"]["name"], "podinfo");
}

#[test]
fn chartgate_denies_both_fields_whole_at_v2beta1() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("both");
    let refused = apply(&namespace, "v2beta1", &both()).refused();
    assert_in(&refused, &["[chart-and-chart-ref] spec.chart and spec.chartRef are both set"]);
    assert_eq!(namespace.releases("v2").get("app").status, 404);
}

/// Applies a release as Flux does, on the server side and by force.
fn apply(namespace: &Namespace<'_>, version: &str, spec: &Value) -> Answer {
    let write = Write::by(APPLIER).forced();
    namespace.releases(version).apply(&release(version, "app", spec), write)
}

/// What `kubectl edit` does when somebody changes one field below the chart.
fn edit(namespace: &Namespace<'_>) {
    let edit = json!({"spec": {"chart": {"spec": {"interval": "5m"}}}});
    namespace.releases("v2").merge_patch("app", &edit, Write::by("kubectl-edit")).accepted();
}

fn chart_ref_and_pin() -> Value {
    let mut spec = chart_ref();
    spec["chart"] = json!({"spec": {"version": "6.5.5"}});
    spec
}

fn both() -> Value {
    let mut spec = chart_ref();
    spec["chart"] = chart()["chart"].clone();
    spec
}

#[track_caller]
fn assert_in(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
