//! `--write-reports`: what the scanner of `serve` leaves in a cluster, written by hand.

use serde_json::json;

use super::{NEWEST, audit};
use crate::harness::{Cluster, Write, chart, release};
use crate::scanner::apart::refuse_reports;

const REPORTS: (&str, &str) = ("openreports.io/v1alpha1", "reports");

#[test]
fn reports_are_written_once_and_only_about_the_whole_cluster() {
    if !Cluster::has_report_crds() {
        return;
    }
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let (first, second) = (cluster.namespace("first"), cluster.namespace("second"));
    for namespace in [&first, &second] {
        let applied = release("v2", "app", &chart());
        namespace.releases("v2").apply(&applied, Write::by("kustomize-controller").forced()).accepted();
    }
    let said = |arguments: &[&str]| {
        let output = audit(&cluster, arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let none = "no reports: neither openreports.io nor wgpolicyk8s.io is installed\n".to_owned();
    assert_eq!(said(&["--write-reports"]), (Some(0), none));

    cluster.install_report_crds("openreports");
    let kept = |text: &str| (Some(0), format!("Reports: {text}\n"));
    assert_eq!(said(&["--write-reports"]), kept("2 written, 0 unchanged, 0 deleted"));
    let report = first.objects(REPORTS.0, REPORTS.1).get("chartgate").accepted();
    assert_eq!(report["summary"]["warn"], 1, "the annotation is absent: {report}");
    assert_eq!(said(&["--write-reports"]), kept("0 written, 2 unchanged, 0 deleted"));

    // What is found fails the command as ever, and what has gone takes its report with it.
    second.releases("v2").delete("app").accepted();
    let failing = said(&["--write-reports", "--fail-on=warning"]);
    assert_eq!(failing, (Some(1), "Reports: 0 written, 1 unchanged, 1 deleted\n".to_owned()));
    let gone = second.objects(REPORTS.0, REPORTS.1).get("chartgate");
    assert_eq!(gone.status, 404, "{:?}", json!(gone.body));

    let (code, err) = said(&["--write-reports", "--namespace", first.name()]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("cannot be used with"), "{err}");
}

#[test]
fn a_namespace_that_refuses_its_report_keeps_nothing_from_the_others_or_from_the_reader() {
    if !Cluster::has_report_crds() {
        return;
    }
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    cluster.install_report_crds("openreports");
    let namespaces = ["a-first", "m-refuses", "z-last"].map(|name| cluster.namespace(name));
    for namespace in &namespaces {
        let applied = release("v2", "app", &chart());
        namespace.releases("v2").apply(&applied, Write::by("kustomize-controller").forced()).accepted();
    }
    let [first, refuses, last] = &namespaces;
    refuse_reports(&cluster, refuses);
    let output = audit(&cluster, &["--write-reports"]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(2), "{err}");
    for namespace in &namespaces {
        assert!(out.contains(namespace.name()), "{out}");
    }
    let said = format!("Reports: 2 written, 0 unchanged, 0 deleted; 1 refused: {}: ", refuses.name());
    assert!(err.contains(&said) && err.contains("no reports here"), "{err}");
    assert!(err.contains("error: 1 reports could not be written"), "{err}");
    for (namespace, status) in [(first, 200), (refuses, 404), (last, 200)] {
        assert_eq!(namespace.objects(REPORTS.0, REPORTS.1).get("chartgate").status, status);
    }
}
