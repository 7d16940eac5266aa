//! What a scan leaves in the cluster, who scans, and what is left alone.

pub(crate) mod apart;
mod leader;

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Cluster, Installation, Namespace, Write, chart, chart_ref, eventually, release, say};

const NEWEST: &str = "2.9";

/// A scan takes some ten milliseconds; the machine may be busy.
const SOON: Duration = Duration::from_mins(1);

const OPEN_REPORTS: (&str, &str) = ("openreports.io/v1alpha1", "reports");
const POLICY_REPORTS: (&str, &str) = ("wgpolicyk8s.io/v1alpha2", "policyreports");

const EVERY_SECOND: &str = "mode: audit\naudit: {interval: 1s}\n";

/// A cluster with the audit overlay, as it is when a team begins; `None`, said aloud, where something is missing.
fn installed(cluster: &Cluster) -> Option<Installation<'_>> {
    Cluster::has_report_crds().then(|| Installation::apply(cluster, "audit"))
}

fn me() -> Write<'static> {
    Write::by("me")
}

/// Nothing is wrong with it.
fn clean(name: &str) -> Value {
    let mut clean = release("v2", name, &chart());
    clean["metadata"]["annotations"] = json!({"fluxcd.io/version": "v2"});
    clean
}

/// No object can have the name that it refers to.
fn bad(name: &str) -> Value {
    release("v2", name, &json!({"chartRef": {"kind": "OCIRepository", "name": "Podinfo"}}))
}

/// The report of a namespace, if it has one.
fn report(namespace: &Namespace<'_>, (api, resource): (&str, &str)) -> Option<Value> {
    let answer = namespace.objects(api, resource).get("chartgate");
    if answer.status == 404 { None } else { Some(answer.accepted()) }
}

/// Waits for the report of a namespace to be so.
#[track_caller]
fn becomes(
    installation: &Installation<'_>,
    namespace: &Namespace<'_>,
    kind: (&str, &str),
    wanted: impl Fn(Option<&Value>) -> bool,
) -> Option<Value> {
    eventually("the report is as expected", SOON, || {
        let found = report(namespace, kind);
        if wanted(found.as_ref()) { Ok(found) } else { Err(format!("{found:?}; {}", installation.logs())) }
    })
}

/// Every report of a kind: its namespace and resourceVersion.
fn versions(cluster: &Cluster, (api, resource): (&str, &str)) -> BTreeMap<String, String> {
    let listed = cluster.objects(api, resource).list().accepted();
    let text = |value: &Value| value.as_str().expect("it is a text").to_owned();
    let versions = listed["items"].as_array().expect("a list has items").iter().map(|report| {
        assert_eq!(report["metadata"]["name"], "chartgate");
        (text(&report["metadata"]["namespace"]), text(&report["metadata"]["resourceVersion"]))
    });
    let all: Vec<_> = versions.collect();
    let count = all.len();
    let by_namespace: BTreeMap<_, _> = all.into_iter().collect();
    assert_eq!(by_namespace.len(), count, "no namespace has two");
    by_namespace
}

/// How many whole scans the running replicas have told of.
fn scans(installation: &Installation<'_>) -> usize {
    installation.logs().matches("scanned the cluster").count()
}

/// Waits for that many scans from now on.
#[track_caller]
fn wait_for_scans(installation: &Installation<'_>, count: usize) {
    let before = scans(installation);
    eventually("the cluster is scanned", SOON, || {
        if scans(installation) >= before + count { Ok(()) } else { Err(installation.logs()) }
    });
}

/// Brings another configuration to the running replicas.
fn reconfigure(installation: &Installation<'_>, text: &str) {
    installation.configure(text);
    installation.refresh_mounts();
}

fn results(report: &Value) -> &Vec<Value> {
    report["results"].as_array().expect("a report has results")
}

/// A result without what differs in every run.
fn told(result: &Value) -> Value {
    let mut told = result.clone();
    let members = told.as_object_mut().expect("a result is an object");
    assert!(members.remove("timestamp").is_some_and(|at| at["seconds"].is_i64() && at["nanos"] == 0));
    let properties = members["properties"].as_object_mut().expect("ours have properties");
    assert_eq!(properties.remove("resultID").and_then(|id| Some(id.as_str()?.len())), Some(16));
    told
}

#[test]
fn a_report_says_what_is_found_and_is_written_when_that_changes() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let Some(installation) = installed(&cluster) else { return };
    cluster.install_report_crds("openreports");
    let [mixed, fine, empty] = ["mixed", "fine", "empty"].map(|name| cluster.namespace(name));
    for object in [bad("bad"), clean("clean")] {
        mixed.releases("v2").create(&object, me()).accepted();
    }
    fine.releases("v2").create(&clean("one"), me()).accepted();
    installation.configure(EVERY_SECOND);
    installation.start_one();

    let found = becomes(&installation, &mixed, OPEN_REPORTS, |report| report.is_some()).expect("it is there");
    says_all_of_it(&found, mixed.name());
    let of_fine = report(&fine, OPEN_REPORTS).expect("all were written");
    let [of_fine] = &results(&of_fine)[..] else { panic!("one release, one result: {of_fine}") };
    assert_eq!((&of_fine["result"], &of_fine["severity"]), (&json!("pass"), &json!("info")));
    assert_eq!(report(&empty, OPEN_REPORTS), None, "it has no release");
    says_in_metrics(&installation);

    writes_nothing_where_nothing_changes(&cluster, &installation, &[&mixed, &fine]);
    a_change_is_written_and_what_was_found_before_keeps_its_time(&installation, &mixed, &found);
    what_somebody_else_makes_of_it_is_put_right(&installation, &mixed);
    follows_the_settings(&installation, &mixed);

    fine.releases("v2").delete("one").accepted();
    becomes(&installation, &fine, OPEN_REPORTS, |report| report.is_none());
    a_namespace_goes_with_its_report(&cluster, &installation, &mixed);
    let log = installation.logs();
    assert!(!log.contains("came to nothing"), "{log}");

    reconfigure(&installation, "mode: audit\n");
    eventually("scanning is off", SOON, || {
        let (metrics, reports) = (installation.observe("/metrics").concat(), installation.reports());
        let is_off = !metrics.contains("\nchartgate_audit_findings{")
            && !metrics.contains("\nchartgate_audit_last_scan");
        if is_off && reports[0].1.contains("audit ok: off") {
            Ok(())
        } else {
            Err(format!("{metrics} {reports:?}"))
        }
    });
    let holder = leader::holder(&cluster);
    assert_eq!(holder, "", "the Lease is given back");
}

/// Nothing of it was pruned: it is what the schema knows, and what Policy Reporter reads.
fn says_all_of_it(report: &Value, namespace: &str) {
    assert_eq!(report["metadata"]["labels"], json!({"app.kubernetes.io/managed-by": "chartgate"}));
    assert_eq!(report["source"], "chartgate");
    assert_eq!(report["scope"], Value::Null);
    assert_eq!(report["summary"], json!({"fail": 1, "warn": 1, "skip": 0, "pass": 1, "error": 0}));
    let told: Vec<_> = results(report).iter().map(told).collect();
    let resource = |name: &str| json!([{"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "namespace": namespace, "name": name}]);
    let why = |rule: &str, place: &str| {
        told.iter().find(|result| result["rule"] == rule).expect("it was found")["properties"][place].clone()
    };
    let expected = json!([
        {
            "source": "chartgate", "policy": "chart-ref-name", "rule": "chart-ref-name", "category": "Flux HelmRelease",
            "severity": "high", "result": "fail", "scored": true, "message": "spec.chartRef.name \"Podinfo\" cannot be the name of an object",
            "resources": resource("bad"),
            "properties": {
                "chartSource": "chartRef", "phase": "2", "mode": "audit", "field": "spec.chartRef.name",
                "why": why("chart-ref-name", "why"), "help": why("chart-ref-name", "help"), "enforced": "denied",
            },
        },
        {
            "source": "chartgate", "policy": "version-annotation", "rule": "version-annotation", "category": "Flux HelmRelease",
            "severity": "medium", "result": "warn", "scored": false, "message": told[1]["message"],
            "resources": resource("bad"),
            "properties": {
                "chartSource": "chartRef", "phase": "2", "mode": "audit",
                "field": "metadata.annotations[fluxcd.io/version]",
                "why": why("version-annotation", "why"), "help": why("version-annotation", "help"), "enforced": "patched",
            },
        },
        {
            "source": "chartgate", "policy": "chartgate", "rule": "every-rule", "category": "Flux HelmRelease",
            "severity": "info", "result": "pass", "scored": true, "message": "no rule finds an error, or a reason to warn",
            "resources": resource("clean"),
            "properties": {"chartSource": "chart", "phase": "1", "mode": "audit"},
        },
    ]);
    assert_eq!(json!(told), expected);
}

fn says_in_metrics(installation: &Installation<'_>) {
    eventually("the metrics are there", SOON, || {
        let found = [
            "findings{rule=\"chart-ref-name\",level=\"error\"} 1",
            "releases{source=\"chart\"} 2",
            "releases{source=\"chartRef\"} 1",
            "releases{source=\"inline\"} 0",
            "releases{source=\"none\"} 0",
            "releases{source=\"both\"} 0",
        ];
        let metrics = installation.observe("/metrics").concat();
        let missing: Vec<_> =
            found.iter().filter(|line| !metrics.contains(&format!("\nchartgate_audit_{line}\n"))).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} in {metrics}")) }
    });
}

fn writes_nothing_where_nothing_changes(
    cluster: &Cluster,
    installation: &Installation<'_>,
    namespaces: &[&Namespace<'_>],
) {
    let before = versions(cluster, OPEN_REPORTS);
    assert_eq!(before.len(), namespaces.len());
    wait_for_scans(installation, 3);
    assert_eq!(versions(cluster, OPEN_REPORTS), before);
    for namespace in namespaces {
        let log = cluster.audit_log(namespace.name());
        let writes: Vec<_> = log.iter().filter(|line| line["objectRef"]["resource"] == "reports").collect();
        assert_eq!(writes.len(), 1, "{writes:?}");
        assert_eq!(writes[0]["user"]["username"], "system:serviceaccount:chartgate-system:chartgate");
    }
    assert_eq!(installation.metrics("chartgate_audit_report_writes_total"), 2);
}

fn a_change_is_written_and_what_was_found_before_keeps_its_time(
    installation: &Installation<'_>,
    namespace: &Namespace<'_>,
    before: &Value,
) {
    let old = &results(before)[0];
    let written = old["timestamp"]["seconds"].as_i64().expect("it is a number");
    namespace.releases("v2").create(&bad("worse"), me()).accepted();
    let after = becomes(installation, namespace, OPEN_REPORTS, |report| {
        report.is_some_and(|report| report["summary"]["fail"] == 2)
    });
    let after = after.expect("it is there");
    assert_eq!(&results(&after)[0], old);
    assert!(results(&after)[1]["timestamp"]["seconds"].as_i64() >= Some(written + 3), "{after}");
    namespace.releases("v2").delete("worse").accepted();
    becomes(installation, namespace, OPEN_REPORTS, |report| {
        report.is_some_and(|report| report["results"] == before["results"])
    });
}

fn what_somebody_else_makes_of_it_is_put_right(installation: &Installation<'_>, namespace: &Namespace<'_>) {
    let reports = namespace.objects(OPEN_REPORTS.0, OPEN_REPORTS.1);
    let right = report(namespace, OPEN_REPORTS).expect("it is there");
    let annotation = json!({"metadata": {"annotations": {"example.org/kept": "yes"}}});
    reports.merge_patch("chartgate", &annotation, me()).accepted();
    for wrong in
        [json!({"summary": {"fail": 0}}), json!({"results": []}), json!({"metadata": {"labels": null}})]
    {
        reports.merge_patch("chartgate", &wrong, me()).accepted();
        let restored = becomes(installation, namespace, OPEN_REPORTS, |report| {
            report.is_some_and(|report| {
                let all = |report: &Value| {
                    json!([
                        report["summary"],
                        report["results"].as_array().map(Vec::len),
                        report["metadata"]["labels"]
                    ])
                };
                all(report) == all(&right)
            })
        });
        assert_eq!(restored.expect("it is there")["metadata"]["annotations"]["example.org/kept"], "yes");
    }
}

fn follows_the_settings(installation: &Installation<'_>, namespace: &Namespace<'_>) {
    // A change of the settings is acted upon at once, whatever the interval.
    reconfigure(
        installation,
        "mode: audit\nrules: {chart-ref-name: {mode: \"off\"}}\naudit: {interval: 1h}\n",
    );
    becomes(installation, namespace, OPEN_REPORTS, |report| {
        report.is_some_and(|report| report["summary"]["fail"] == 0 && report["summary"]["warn"] == 1)
    });
    // A report is there before its scan has ended and is counted.
    sleep(Duration::from_secs(2));
    let log = installation.logs();
    let settled = scans(installation);
    sleep(Duration::from_secs(4));
    assert_eq!(scans(installation), settled, "the interval is an hour: {log}");
    assert_eq!(installation.metrics("chartgate_audit_interval_seconds"), 3600);

    reconfigure(installation, EVERY_SECOND);
    wait_for_scans(installation, 2);
    assert_eq!(installation.metrics("chartgate_audit_interval_seconds"), 1);
    becomes(installation, namespace, OPEN_REPORTS, |report| {
        report.is_some_and(|report| report["summary"]["fail"] == 1)
    });
}

/// The controller that empties a namespace which is being deleted does not run here: we do what it does.
fn a_namespace_goes_with_its_report(
    cluster: &Cluster,
    installation: &Installation<'_>,
    namespace: &Namespace<'_>,
) {
    cluster.objects("v1", "namespaces").delete(namespace.name()).accepted();
    namespace.objects(OPEN_REPORTS.0, OPEN_REPORTS.1).delete("chartgate").accepted();
    // Its releases take their time, as with a finalizer. Until then nothing new is taken there.
    wait_for_scans(installation, 2);
    assert_eq!(report(namespace, OPEN_REPORTS), None);
    for name in ["bad", "clean"] {
        namespace.releases("v2").delete(name).accepted();
    }
    let finalize = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name()}, "spec": {"finalizers": []}});
    let mut command = cluster.kubectl();
    let path = format!("/api/v1/namespaces/{}/finalize", namespace.name());
    let file = installation_file(&finalize);
    let output =
        command.args(["replace", "--raw", &path, "-f"]).arg(file.path()).output().expect("kubectl starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_for_scans(installation, 2);
    assert_eq!(cluster.objects("v1", "namespaces").get(namespace.name()).status, 404);
    assert_eq!(versions(cluster, OPEN_REPORTS), BTreeMap::new());
}

fn installation_file(object: &Value) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("the temporary directory can be written");
    std::fs::write(file.path(), object.to_string()).expect("it was made a line above");
    file
}

#[test]
fn without_a_crd_nothing_is_written_and_of_two_only_the_newer_kind_is() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let Some(installation) = installed(&cluster) else { return };
    let namespace = cluster.namespace("reports");
    for object in [bad("bad"), clean("clean")] {
        namespace.releases("v2").create(&object, me()).accepted();
    }
    installation.configure(EVERY_SECOND);
    installation.start_one();
    wait_for_scans(&installation, 2);
    assert_eq!(installation.metrics("chartgate_audit_findings{rule=\"chart-ref-name\",level=\"error\"}"), 1);
    assert_eq!(installation.metrics("chartgate_audit_report_writes_total"), 0);
    assert_eq!(installation.metrics("chartgate_audit_failures_total"), 0);
    assert!(installation.logs().contains("neither openreports.io nor wgpolicyk8s.io is installed"));

    cluster.install_report_crds("wgpolicyk8s");
    let old =
        becomes(&installation, &namespace, POLICY_REPORTS, |report| report.is_some()).expect("it is there");
    let before = versions(&cluster, POLICY_REPORTS);
    wait_for_scans(&installation, 2);
    assert_eq!(
        versions(&cluster, POLICY_REPORTS),
        before,
        "unchanged, though its schema knows no source of all"
    );

    cluster.install_report_crds("openreports");
    let new =
        becomes(&installation, &namespace, OPEN_REPORTS, |report| report.is_some()).expect("it is there");
    assert_eq!((&new["summary"], results(&new).len()), (&old["summary"], 3));
    let told = |report: &Value| results(report).iter().map(told).collect::<Vec<_>>();
    assert_eq!(told(&new), told(&old), "both kinds say the same");
    becomes(&installation, &namespace, POLICY_REPORTS, |report| report.is_none());
    assert_eq!(installation.metrics("chartgate_audit_failures_total"), 0, "{}", installation.logs());
}

/// More than a report holds.
const MANY: usize = 1100;

#[test]
fn a_namespace_with_more_findings_than_a_report_holds_says_how_many_are_left_out() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let Some(installation) = installed(&cluster) else { return };
    cluster.install_report_crds("openreports");
    let namespace = cluster.namespace("many");
    let releases = namespace.releases("v2");
    for number in 0..MANY {
        releases.create(&bad(&format!("release-{number:04}")), me()).accepted();
    }
    releases.create(&clean("clean"), me()).accepted();
    installation.configure(EVERY_SECOND);
    installation.start_one();
    let found =
        becomes(&installation, &namespace, OPEN_REPORTS, |report| report.is_some()).expect("it is there");
    assert_eq!(found["summary"], json!({"fail": MANY, "warn": MANY, "skip": 0, "pass": 1, "error": 0}));
    let results = results(&found);
    let bytes = json!(results).to_string().len();
    say(&format!("{} results in {bytes} bytes", results.len()));
    assert!(results.len() <= 1000 && bytes < 850_000 && bytes > 600_000, "{} in {bytes}", results.len());
    let (last, shown) = results.split_last().expect("there are some");
    assert!(shown.iter().all(|result| result["result"] == "fail"), "the worst come first");
    let left_out = 2 * MANY + 1 - shown.len();
    assert_eq!(last["rule"], "left-out");
    assert_eq!(last["properties"]["fail"], (MANY - shown.len()).to_string());
    assert_eq!(last["properties"]["warn"], MANY.to_string());
    assert!(
        last["message"].as_str().is_some_and(|text| text.starts_with(&format!("{left_out} results more"))),
        "{last}"
    );
    let before = versions(&cluster, OPEN_REPORTS);
    wait_for_scans(&installation, 2);
    assert_eq!(versions(&cluster, OPEN_REPORTS), before);
}

/// So that a namespace with a mode of its own is told apart.
#[test]
fn what_is_none_of_our_business_is_skipped() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let Some(installation) = installed(&cluster) else { return };
    cluster.install_report_crds("openreports");
    let hands_off = Namespace::create(&cluster, "off", &json!({"chartgate.dev/mode": "off"}));
    hands_off.releases("v2").create(&bad("bad"), me()).accepted();
    let exempt = cluster.namespace("exempt");
    let mut object = release("v2", "exempt", &chart_ref());
    object["metadata"]["annotations"] = json!({"chartgate.dev/exempt": "it is ours"});
    exempt.releases("v2").create(&object, me()).accepted();
    installation.configure("mode: enforce\nexemptions: true\naudit: {interval: 1s}\n");
    installation.start_one();
    for namespace in [&hands_off, &exempt] {
        let found =
            becomes(&installation, namespace, OPEN_REPORTS, |report| report.is_some()).expect("it is there");
        assert!(results(&found).iter().all(|result| result["result"] == "skip"), "{found}");
    }
}

/// Together some 30 MB, which a debug build reads and judges in seconds.
const LARGE: usize = 300;

/// Probes are answered by the very thread that answers reviews.
#[test]
fn a_scan_of_large_releases_takes_little_memory_and_lets_reviews_pass() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let Some(installation) = installed(&cluster) else { return };
    let namespace = cluster.namespace("large");
    let releases = namespace.releases("v2");
    let values: BTreeMap<_, _> =
        (0..1000).map(|number| (format!("key-{number:04}"), "x".repeat(80))).collect();
    for number in 0..LARGE {
        let mut large = bad(&format!("release-{number:03}"));
        large["spec"]["values"] = json!(values);
        releases.create(&large, me()).accepted();
    }
    installation.configure("mode: audit\n");
    installation.start_one();
    reconfigure(&installation, "mode: audit\naudit: {interval: 1h}\n");
    let mut longest = Duration::ZERO;
    let took = eventually("the cluster is scanned", SOON, || {
        let asked = Instant::now();
        assert_eq!(installation.observe("/livez"), ["ok\n"]);
        longest = longest.max(asked.elapsed());
        let metrics = installation.observe("/metrics").concat();
        let line =
            metrics.lines().find_map(|line| line.strip_prefix("chartgate_audit_scan_duration_seconds{} "));
        line.map(|seconds| Duration::from_secs_f64(seconds.parse().expect("it is a number")))
            .ok_or_else(|| installation.logs())
    });
    let peak = installation.footprints()[0].peak;
    say(&format!("a scan of {took:?}, {longest:?} for the slowest answer meanwhile, and {peak} KiB at most"));
    assert!(longest < took / 3, "{longest:?} of {took:?}");
    // What the Deployment allows, code of a debug build included.
    assert!(peak < 64 * 1024, "{peak} KiB");
}
