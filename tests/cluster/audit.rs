//! `chartgate audit` against a real cluster: what it says of the next apply is what the next apply comes to.

mod filling;
mod readiness;
mod reading;
mod reports;

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Chartgate, Cluster, Namespace, Options, Write, eventually, say};
use filling::Filled;

/// The newest Flux, which serves v2 alone.
const NEWEST: &str = "2.9";

/// A configuration takes effect within a second; facts follow a change of the CRD as fast.
const IN_EFFECT: Duration = Duration::from_mins(1);

/// What chartgate says begins with a rule; the API server warns about deprecated versions in words of its own.
fn is_ours(warning: &str) -> bool {
    warning.starts_with('[')
}

/// Runs the command against a cluster, with nothing of our environment.
fn audit(cluster: &Cluster, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chartgate"))
        .arg("audit")
        .args(arguments)
        .env_clear()
        .env("KUBECONFIG", cluster.kubeconfig())
        .output()
        .expect("chartgate was built with its tests")
}

/// The JSON report.
pub(crate) fn report(cluster: &Cluster, arguments: &[&str]) -> Value {
    let output = audit(cluster, &[&["--format=json", "--fail-on=never"], arguments].concat());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {err}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON is asked for")
}

/// What became of applying a release again, as a dry run.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    outcome: &'static str,
    /// The object after it, as far as an apply is about it; nothing where it was not taken.
    object: Value,
}

/// The parts of an object that rules speak of. Intervals are left out: some were edited by hand, and come back.
fn stated(object: &Value) -> Value {
    let mut chart = object["spec"]["chart"].clone();
    if let Some(spec) = chart.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("interval");
    }
    let annotation = &object["metadata"]["annotations"]["fluxcd.io/version"];
    json!({"annotation": annotation, "chart": chart, "chartRef": object["spec"]["chartRef"]})
}

// === impl Seen ===

impl Seen {
    fn of(answer: &Answer, stored: &Value) -> Self {
        if answer.status >= 400 {
            let denied =
                answer.message().contains(".chartgate") && answer.message().contains("denied the request");
            let outcome = if denied { "denied" } else { "refused" };
            return Self { outcome, object: Value::Null };
        }
        let object = stated(&answer.body);
        let outcome = if object != stated(stored) {
            "patched"
        } else if answer.warnings.iter().any(|warning| is_ours(warning)) {
            "warned"
        } else {
            "allowed"
        };
        Self { outcome, object }
    }
}

/// Applies every release again, as its applier did, and holds what comes of it against what was foreseen.
fn compare(cluster: &Cluster, filled: &[Filled<'_>], what: &str) {
    let foreseen = report(cluster, &[]);
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    let mut disagreements = Vec::new();
    let releases = foreseen["releases"].as_array().expect("a list");
    let known: usize = filled.iter().map(|filled| filled.manifests.len()).sum();
    assert_eq!(releases.len(), known, "every release is told, each once");
    for release in releases {
        let text = |at: &str| release.pointer(at).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/namespace"), text("/name"));
        let filled = filled.iter().find(|filled| filled.namespace.name() == namespace).expect("it is ours");
        // To apply what was edited meanwhile changes its spec, unless the applier only sends what it changes itself.
        let changes = filled.edited.contains(name) && text("/applier/operation") == "Apply";
        let denies = |finding: &Value| finding["denies"] == true;
        let findings = release["findings"].as_array().expect("a list");
        let outcome = match text("/enforced/outcome") {
            "refused" => "refused",
            _ if changes && findings.iter().any(denies) => "denied",
            outcome => outcome,
        };
        let seen = again(filled, name, release);
        *counts.entry(outcome.to_owned()).or_default() += 1;
        let stored = filled.namespace.releases(text("/version")).get(name).accepted();
        let object = match outcome {
            "denied" | "refused" => Value::Null,
            _ => {
                let mut after = stored;
                if let Some(patch) = release.pointer("/enforced/patch") {
                    let patch: json_patch::Patch =
                        serde_json::from_value(patch.clone()).expect("a JSON Patch");
                    json_patch::patch(&mut after, &patch).expect("the patch fits");
                }
                stated(&after)
            }
        };
        // What is wrong with other objects alone does not make the API server ask: a release that is clean by itself is left out
        // by the prefilter, so that only the audit tells of it.
        let is_others = release["enforced"]["rules"] == json!(["chart-ref-source-missing"]);
        let outcome =
            if is_others && seen.1.outcome == "allowed" && outcome == "warned" { "allowed" } else { outcome };
        let wanted = Seen { outcome: seen.1.outcome, object: seen.1.object.clone() };
        if (outcome, &object) != (wanted.outcome, &wanted.object) {
            let (enforced, Answer { status, warnings, .. }) = (&release["enforced"], &seen.0);
            disagreements.push(format!(
                "{namespace}/{name} at {}: foreseen {enforced}; seen {status} {:?} {warnings:?} {:?}",
                text("/version"),
                seen.0.message(),
                seen.1,
            ));
        }
    }
    say(&format!(
        "{what}: {} releases, foreseen {counts:?}, {} disagreements",
        releases.len(),
        disagreements.len()
    ));
    assert!(disagreements.is_empty(), "{}", disagreements[..disagreements.len().min(20)].join("\n"));
    assert!(counts.len() > 1, "only {counts:?} was seen");
}

/// Applies one release again as a dry run: the same manifest, by the manager that has applied it last.
fn again(filled: &Filled<'_>, name: &str, release: &Value) -> (Answer, Seen) {
    let text = |at: &str| release.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let manifest = &filled.manifests[name];
    let releases = filled.namespace.releases(filling::version_of(manifest));
    let stored = releases.get(name).body;
    let write = Write::by(text("/applier/manager")).dry_run();
    let answer = if text("/applier/operation") == "Apply" {
        let mut manifest = manifest.clone();
        // kustomize-controller labels what it applies.
        if let Some(labels) = stored["metadata"].get("labels") {
            manifest["metadata"]["labels"] = labels.clone();
        }
        releases.apply(&manifest, write.forced())
    } else {
        releases.merge_patch(name, &json!({}), write)
    };
    let seen = Seen::of(&answer, &stored);
    (answer, seen)
}

/// Lets chartgate do more than look on, and waits until it does.
fn enforce(chartgate: &Chartgate<'_>, probe: &Namespace<'_>) {
    fs::write(chartgate.process().dir().join("chartgate.yaml"), "mode: enforce\n").expect("it is ours");
    eventually("chartgate enforces", IN_EFFECT, || {
        let release = crate::harness::release("v2", "probe", &json!({}));
        let answer = probe.releases("v2").create(&release, Write::by("probe").dry_run());
        let denied = answer.message().contains("no-chart-source");
        if denied { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}

fn verdicts_are_those_of_applying_again(flux: &str) {
    let Some(cluster) = Cluster::start(flux) else { return };
    let options = Options {
        config: Some("mode: audit\n"),
        kubeconfig: Some(&cluster.kubeconfig()),
        failure_policy: "Fail",
        arguments: &[],
    };
    let chartgate = Chartgate::start(&cluster, options);
    let Some(filled) = filling::fill(&cluster, &chartgate) else { return };
    let probe = chartgate.namespace("probe");
    enforce(&chartgate, &probe);
    compare(&cluster, &filled, &format!("Flux {flux}"));

    if flux == "2.3" {
        // Between them are minors that serve both versions of an OCIRepository, and somebody who migrates.
        cluster.upgrade_crds("2.6");
        cluster.set_stored_versions("ocirepositories.source.toolkit.fluxcd.io", &["v1"]);
    }
    cluster.upgrade_crds(NEWEST);
    eventually("chartgate hears of the new CRD", IN_EFFECT, || {
        let facts = chartgate.observe("/readyz?verbose");
        let probed = probe.releases("v2").create(
            &crate::harness::release(
                "v2",
                "probe",
                &json!({"chartRef": {"kind": "ExternalArtifact", "name": "a"}}),
            ),
            Write::by("probe").dry_run(),
        );
        let told = probed.status < 300;
        if told { Ok(()) } else { Err(format!("{facts}\n{probed:?}")) }
    });
    compare(&cluster, &filled, &format!("Flux {flux}, upgraded to {NEWEST}"));
}

#[test]
fn verdicts_are_those_of_applying_again_on_flux_2_3() {
    verdicts_are_those_of_applying_again("2.3");
}

#[test]
fn verdicts_are_those_of_applying_again_on_flux_2_6() {
    verdicts_are_those_of_applying_again("2.6");
}
