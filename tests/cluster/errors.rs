//! The errors that bring people here, each told by the API server alone and by chartgate.

use serde_json::{Value, json};

use crate::harness::{
    Answer, Chartgate, Cluster, Namespace, Options, Source, Write, chart, chart_ref, release,
};

/// The last minor that serves all three versions of the API.
const FLUX: &str = "2.6";

const OPTIONS: Options<'_> = Options::with_arguments(&["--flux", FLUX]);

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
    assert_eq!((answer.status, &answer.body["reason"]), (403, &json!("Forbidden")));
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
    let said = "[partial-chart] removed spec.chart.spec.interval, left by \"kubectl-edit\" at 20";
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

/// What the API server says as soon as a managedFields entry names a version that the CRD lost.
const LOST: &str = "request to convert CR to an invalid group/version: helm.toolkit.fluxcd.io/v2beta1";

/// It does not matter whose entry it is, what is applied, or by whom.
#[test]
fn the_api_server_alone_fails_every_apply_where_any_managed_fields_entry_names_a_lost_version() {
    let Some(cluster) = Cluster::start(FLUX) else { return };
    let (own, foreign) = (cluster.namespace("lost-own"), cluster.namespace("lost-foreign"));
    apply(&own, "v2beta1", &chart()).accepted();
    apply(&foreign, "v2beta1", &chart()).accepted();
    report_status(&foreign, "v2beta1");
    apply(&foreign, "v2", &chart()).accepted();
    assert_eq!(managers_at(&foreign, "v2"), [APPLIER]);
    assert_eq!(managers_at(&foreign, "v2beta1"), ["helm-controller"]);

    cluster.upgrade_crds("2.7");
    for namespace in [&own, &foreign] {
        for spec in [chart(), chart_ref()] {
            let answer = apply(namespace, "v2", &spec);
            assert_eq!((answer.status, answer.refused().as_str()), (500, LOST));
        }
        let applied = namespace.kubectl(&["apply", "--server-side"], &release("v2", "app", &chart()));
        assert_eq!(String::from_utf8_lossy(&applied.stderr), format!("Error from server: {LOST}\n"));
    }
}

/// What chartgate advises, done by hand: the entries are named anew, and keep what they own.
#[test]
fn rewriting_the_version_of_the_entries_as_flux_migrate_does_brings_the_applies_back() {
    let Some(cluster) = Cluster::start(FLUX) else { return };
    let namespace = cluster.namespace("lost-migrated");
    apply(&namespace, "v2beta1", &chart()).accepted();
    report_status(&namespace, "v2beta1");
    cluster.upgrade_crds("2.7");
    assert_eq!(apply(&namespace, "v2", &chart_ref()).refused(), LOST);

    let releases = namespace.releases("v2");
    let mut entries = releases.get("app").accepted()["metadata"]["managedFields"].clone();
    for entry in entries.as_array_mut().expect("every stored object has them") {
        entry["apiVersion"] = json!("helm.toolkit.fluxcd.io/v2");
    }
    let rewrite = json!([{"op": "replace", "path": "/metadata/managedFields", "value": entries}]);
    releases.json_patch("app", &rewrite, Write::by("flux")).accepted();

    let moved = apply(&namespace, "v2", &chart_ref()).accepted();
    assert_eq!(moved["spec"]["chart"], Value::Null);
    assert_eq!(managers_at(&namespace, "v2"), [APPLIER, "helm-controller"]);
}

/// A write that is no apply passes. The API server cannot keep its books, so it throws them away: all of them.
#[test]
fn the_api_server_alone_forgets_all_owners_at_the_next_update_and_then_keeps_the_chart_beside_chart_ref() {
    let Some(cluster) = Cluster::start(FLUX) else { return };
    let namespace = cluster.namespace("lost-update");
    apply(&namespace, "v2beta1", &chart()).accepted();
    cluster.upgrade_crds("2.7");

    report_status(&namespace, "v2");
    let stored = namespace.releases("v2").get("app").accepted();
    assert_eq!(stored["metadata"]["managedFields"], Value::Null);

    apply(&namespace, "v2", &chart()).accepted();
    assert_eq!(managers_at(&namespace, "v2"), [APPLIER, "before-first-apply"]);
    let refused = apply(&namespace, "v2", &chart_ref()).refused();
    assert_in(&refused, &["either chart or chartRef must be set"]);
}

#[test]
fn chartgate_speaks_before_the_version_is_lost_for_afterwards_it_is_not_asked() {
    let Some(cluster) = Cluster::start(FLUX) else { return };
    let chartgate = Chartgate::start(&cluster, OPTIONS);
    let (late, ready) = (chartgate.namespace("lost-late"), chartgate.namespace("lost-ready"));
    for namespace in [&late, &ready] {
        let warnings = apply(namespace, "v2beta1", &chart()).warnings;
        assert!(warnings.contains(&DEPRECATED.to_owned()), "{warnings:?}");
    }
    // Phase 1: the applier's entry moves with its manifest; that of another manager is named until it is gone.
    report_status(&ready, "v2beta1");
    assert_eq!(apply(&ready, "v2", &chart()).warnings, [BEHIND]);
    report_status(&ready, "v2");
    assert_eq!(apply(&ready, "v2", &chart()).warnings, [] as [&str; 0]);
    assert_eq!(managers_at(&ready, "v2beta1"), [] as [&str; 0]);

    cluster.upgrade_crds("2.7");
    let asked = reviews(&chartgate);
    assert_eq!(apply(&late, "v2", &chart()).refused(), LOST);
    assert_eq!(reviews(&chartgate), asked, "the API server fails before it asks anybody");
    apply(&ready, "v2", &chart()).accepted();
    let moved = apply(&ready, "v2", &chart_ref()).accepted();
    assert!(reviews(&chartgate) > asked, "who moves is always judged");
    assert_eq!(moved["spec"]["chart"], Value::Null);
}

const DEPRECATED: &str =
    "[deprecated-api-version] HelmRelease v2beta1 is deprecated; Flux 2.7 drops it: set apiVersion to v2";

const BEHIND: &str = "[managed-fields-version] managedFields of \"helm-controller\" are at v2beta1, gone in Flux 2.7: \
                      run flux migrate";

/// The same three commits, with and without: v2beta1, then apiVersion v2 alone, then, after the upgrade, chartRef.
#[test]
fn flux_gets_past_the_lost_version_with_chartgate_and_not_without() {
    let Some(cluster) = Cluster::start(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = Chartgate::start(&cluster, OPTIONS);
    let (alone, guarded) = (cluster.namespace("lost-flux-alone"), chartgate.namespace("lost-flux"));
    let sources = [&alone, &guarded].map(|namespace| Source::create(controller, namespace));
    let publish = |source: &Source<'_>, version: &str, spec: &Value| {
        source.publish(&[("release.yaml", &release(version, "app", spec).to_string())])
    };
    for source in &sources {
        publish(source, "v2beta1", &chart()).expect("all three versions are served");
        publish(source, "v2", &chart()).expect("all three versions are served");
    }
    assert_eq!(managers_at(&alone, "v2beta1"), [APPLIER], "Flux saw no drift");
    assert_eq!(managers_at(&guarded, "v2"), [APPLIER], "the annotation made Flux apply");

    cluster.upgrade_crds("2.7");
    let [alone, guarded] = &sources;
    let failed = publish(alone, "v2", &chart_ref()).expect_err("the API server cannot read the entry");
    assert_in(&failed, &[LOST]);
    publish(guarded, "v2", &chart_ref()).expect("no entry names the version any more");
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

/// What helm-controller does all the time: a write to the status, in which the API server notes who wrote.
fn report_status(namespace: &Namespace<'_>, version: &str) {
    let status = json!({"status": {"helmChart": format!("apps/{version}")}});
    let releases = namespace.releases(version).status();
    releases.merge_patch("app", &status, Write::by("helm-controller")).accepted();
}

/// Whose managedFields entries are at a version of the API.
fn managers_at(namespace: &Namespace<'_>, version: &str) -> Vec<String> {
    let stored = namespace.releases("v2").get("app").accepted();
    let entries = stored["metadata"]["managedFields"].as_array().expect("every stored object has them");
    let at = format!("helm.toolkit.fluxcd.io/{version}");
    let entries = entries.iter().filter(|entry| entry["apiVersion"] == at);
    entries.map(|entry| entry["manager"].as_str().expect("every entry has one").to_owned()).collect()
}

/// How many reviews chartgate has answered.
fn reviews(chartgate: &Chartgate<'_>) -> u64 {
    let metrics = chartgate.observe("/metrics");
    let counts = metrics.lines().filter(|line| line.starts_with("chartgate_reviews_total{"));
    let counts = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    counts.sum()
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
