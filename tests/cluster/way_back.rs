//! Back from chartRef to chart, with chartgate in place: what it filled in must not hold anybody there.

use serde_json::{Value, json};

use crate::harness::{Chartgate, Cluster, Namespace, Options, Source, Write, chart, chart_ref, release};

/// The last minor that serves all three versions of the API.
const FLUX: &str = "2.6";

const OPTIONS: Options<'_> = Options::with_arguments(&["--flux", FLUX]);

#[test]
fn server_side_apply_of_a_chart_takes_the_chart_ref_away() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("back-server-side");
    let releases = namespace.releases("v2");
    let me = Write::by("me");
    releases.apply(&release("v2", "app", &chart_ref()), me).accepted();
    is_on_its_chart_ref(&namespace);
    releases.apply(&release("v2", "app", &chart()), me).accepted();
    is_on_its_chart(&namespace);
}

#[test]
fn client_side_apply_of_a_chart_takes_the_chart_ref_away() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("back-client-side");
    kubectl(&namespace, &["apply"], &chart_ref());
    is_on_its_chart_ref(&namespace);
    kubectl(&namespace, &["apply"], &chart());
    is_on_its_chart(&namespace);
}

#[test]
fn replacing_the_release_by_one_with_a_chart_takes_the_chart_ref_away() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("back-replace");
    kubectl(&namespace, &["create"], &chart_ref());
    is_on_its_chart_ref(&namespace);
    kubectl(&namespace, &["replace"], &chart());
    is_on_its_chart(&namespace);
}

#[test]
fn flux_goes_back_to_the_chart_after_a_healed_move_to_chart_ref() {
    let Some(cluster) = Cluster::shared(FLUX) else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = Chartgate::start(cluster, OPTIONS);
    let namespace = chartgate.namespace("back-flux");
    let source = Source::create(controller, &namespace);
    let publish = |spec: &Value| {
        source.publish(&[("release.yaml", &release("v2", "app", spec).to_string())]).expect("it is valid");
    };
    publish(&chart());
    let edit = json!({"spec": {"chart": {"spec": {"interval": "5m"}}}});
    namespace.releases("v2").merge_patch("app", &edit, Write::by("lens")).accepted();
    publish(&chart_ref());
    is_on_its_chart_ref(&namespace);
    publish(&chart());
    is_on_its_chart(&namespace);
}

fn kubectl(namespace: &Namespace<'_>, arguments: &[&str], spec: &Value) {
    let output = namespace.kubectl(arguments, &release("v2", "app", spec));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn is_on_its_chart_ref(namespace: &Namespace<'_>) {
    let stored = namespace.releases("v2").get("app").accepted();
    let filled = json!({"kind": "OCIRepository", "name": "podinfo", "namespace": namespace.name()});
    assert_eq!(stored["spec"]["chartRef"], filled);
    assert_eq!(stored["spec"]["chart"], Value::Null);
}

#[track_caller]
fn is_on_its_chart(namespace: &Namespace<'_>) {
    let stored = namespace.releases("v2").get("app").accepted();
    assert_eq!(stored["spec"]["chartRef"], Value::Null);
    assert_eq!(stored["spec"]["chart"]["spec"]["chart"], "podinfo");
    assert_eq!(stored["metadata"]["annotations"]["fluxcd.io/version"], "v2");
}
