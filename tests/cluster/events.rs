//! Events on the HelmRelease: what a denial and a repair leave behind for whoever looks later.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Chartgate, Cluster, Namespace, Options, Write, chart, chart_ref, eventually, release};

/// The one minor whose CRDs can be had everywhere.
const NEWEST: &str = "2.9";

/// A write to the API server, and the ten seconds between counts; the machine may be busy compiling.
const SOON: Duration = Duration::from_mins(1);

/// chartgate with a connection to the cluster, as the user of a kubeconfig.
fn start<'a>(cluster: &'a Cluster, kubeconfig: &Path) -> Chartgate<'a> {
    Chartgate::start(cluster, Options { kubeconfig: Some(kubeconfig), ..Options::default() })
}

fn start_as_administrator(cluster: &Cluster) -> Chartgate<'_> {
    start(cluster, &cluster.kubeconfig())
}

fn both() -> Value {
    let mut both = chart();
    both["chartRef"] = chart_ref()["chartRef"].clone();
    both
}

fn events(namespace: &Namespace<'_>) -> Vec<Value> {
    let list = namespace.objects("events.k8s.io/v1", "events").list().accepted();
    list["items"].as_array().expect("a list has items").clone()
}

/// The events, once there are as many.
fn so_many_events(namespace: &Namespace<'_>, count: usize) -> Vec<Value> {
    eventually("the events are written", SOON, || {
        let events = events(namespace);
        if events.len() == count { Ok(events) } else { Err(format!("{events:?}")) }
    })
}

fn metric(chartgate: &Chartgate<'_>, name: &str) -> u64 {
    let metrics = chartgate.observe("/metrics");
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} is not in\n{metrics}")).parse().expect("it counts")
}

#[test]
fn a_denied_update_leaves_one_event_on_the_release() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let chartgate = start_as_administrator(cluster);
    let namespace = chartgate.namespace("events-denied");
    let releases = namespace.releases("v2");
    let stored = releases.create(&release("v2", "app", &chart()), Write::by("me")).accepted();
    let refused = releases.merge_patch("app", &json!({"spec": both()}), Write::by("me")).refused();

    let event = so_many_events(&namespace, 1).remove(0);
    assert_eq!(
        event["regarding"],
        json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "namespace": namespace.name(),
            "name": "app", "uid": stored["metadata"]["uid"],
        })
    );
    for (field, expected) in [
        ("type", "Warning"),
        ("reason", "Denied"),
        ("action", "Admission"),
        ("reportingController", "chartgate"),
        ("reportingInstance", "chartgate"),
    ] {
        assert_eq!(event[field], expected, "{event}");
    }
    let note = event["note"].as_str().unwrap();
    assert!(note.starts_with("[chart-and-chart-ref] ") && refused.contains(note), "{note}\n{refused}");
    assert!(event["metadata"]["name"].as_str().unwrap().starts_with("app."), "{event}");
    assert_eq!(metric(&chartgate, "chartgate_events_total"), 1);

    let described = cluster
        .kubectl()
        .args(["describe", "helmrelease", "app", "--namespace", namespace.name()])
        .output()
        .unwrap();
    let described = String::from_utf8_lossy(&described.stdout).into_owned();
    assert!(described.contains("Denied") && described.contains("[chart-and-chart-ref]"), "{described}");
}

#[test]
fn a_denied_creation_leaves_none_as_there_is_no_object_to_confirm_it_by() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let chartgate = start_as_administrator(cluster);
    let namespace = chartgate.namespace("events-create");
    let releases = namespace.releases("v2");
    releases.create(&release("v2", "app", &both()), Write::by("me")).refused();
    // Later happenings are written later.
    releases.create(&release("v2", "other", &chart()), Write::by("me")).accepted();
    releases.merge_patch("other", &json!({"spec": both()}), Write::by("me")).refused();
    let event = so_many_events(&namespace, 1).remove(0);
    assert_eq!(event["regarding"]["name"], "other");
}

#[test]
fn a_removed_leftover_leaves_one_event() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let chartgate = start_as_administrator(cluster);
    let namespace = chartgate.namespace("events-healed");
    let releases = namespace.releases("v2");
    let flux = Write::by("kustomize-controller").forced();
    releases.apply(&release("v2", "app", &chart()), flux).accepted();
    let edit = json!({"spec": {"chart": {"spec": {"interval": "5m"}}}});
    releases.merge_patch("app", &edit, Write::by("lens")).accepted();
    // Flux asks by a dry run first.
    releases.apply(&release("v2", "app", &chart_ref()), flux.dry_run()).accepted();
    releases.apply(&release("v2", "app", &chart_ref()), flux).accepted();

    let event = so_many_events(&namespace, 1).remove(0);
    assert_eq!((&event["type"], &event["reason"]), (&json!("Normal"), &json!("Healed")), "{event}");
    let note = event["note"].as_str().unwrap();
    assert!(
        note.starts_with("[partial-chart] removed spec.chart.spec.interval") && note.contains("lens"),
        "{note}"
    );
}

#[test]
fn a_hundred_identical_denials_are_one_event_with_a_count_and_dry_runs_are_none() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let chartgate = start_as_administrator(cluster);
    let namespace = chartgate.namespace("events-many");
    let releases = namespace.releases("v2");
    let me = Write::by("me");
    releases.create(&release("v2", "app", &chart()), me).accepted();
    let patch = json!({"spec": both()});
    for _ in 0..10 {
        releases.merge_patch("app", &patch, me.dry_run()).refused();
    }
    for _ in 0..100 {
        releases.merge_patch("app", &patch, me).refused();
    }
    let event = eventually("the count is written", SOON, || {
        let event = so_many_events(&namespace, 1).remove(0);
        if event["series"]["count"] == 100 { Ok(event) } else { Err(event.to_string()) }
    });
    assert_eq!(event["regarding"]["name"], "app");
    assert_eq!(metric(&chartgate, "chartgate_events_total"), 1);

    // Another fault of the same release is told for itself.
    releases.merge_patch("app", &json!({"spec": {"chart": null}}), me).refused();
    so_many_events(&namespace, 2);
}

#[test]
fn without_the_permission_reviews_go_on_and_it_is_said_once() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let (powerless, _) = cluster.account();
    let write = Write::by("chartgate-tests");

    let chartgate = start(cluster, &powerless);
    let namespace = chartgate.namespace("events-forbidden");
    for name in ["one", "two", "three"] {
        namespace.releases("v2").create(&release("v2", name, &chart()), write).accepted();
        let refused = namespace.releases("v2").merge_patch(name, &json!({"spec": both()}), write).refused();
        assert!(refused.contains("[chart-and-chart-ref]"), "{refused}");
    }
    let lost = "chartgate_events_dropped_total{reason=\"failed\"}";
    eventually("the failures are counted", SOON, || {
        let failed = metric(&chartgate, lost);
        if failed == 3 { Ok(()) } else { Err(failed.to_string()) }
    });
    assert_eq!(events(&namespace), Vec::<Value>::new());
    // Counted first, and written by another thread.
    let said = eventually("it is said", SOON, || {
        let log = chartgate.process().log();
        let said: Vec<_> =
            log.lines().filter(|line| line.contains("cannot look for the object of an Event")).collect();
        if said.is_empty() { Err(log) } else { Ok(said.join("\n")) }
    });
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains(
            "cannot list resource \\\"helmreleases\\\" in API group \\\"helm.toolkit.fluxcd.io\\\""
        ),
        "{said}"
    );
}

#[test]
fn what_is_told_last_is_written_before_the_process_ends() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let chartgate = start_as_administrator(cluster);
    let namespace = chartgate.namespace("events-end");
    let releases = namespace.releases("v2");
    releases.create(&release("v2", "app", &chart()), Write::by("me")).accepted();
    releases.merge_patch("app", &json!({"spec": both()}), Write::by("me")).refused();
    chartgate.process().signal("INT");
    eventually("the process ends", SOON, || chartgate.process().exit_status().ok_or("it runs".to_owned()));
    assert_eq!(chartgate.process().exit_status(), Some(0));
    assert_eq!(events(&namespace).len(), 1);
}
