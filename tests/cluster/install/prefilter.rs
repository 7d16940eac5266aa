//! The prefilter that is in the cluster, and the one that the configuration needs: where they differ, it is said.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use chartgate::policy::Settings;
use chartgate::prefilter::{NAME, OBSERVED, Webhook};
use serde_json::{Value, json};

use super::NEWEST;
use crate::harness::{Cluster, Installation, Namespace, Write, eventually, manifests, say};

const API: &str = "admissionregistration.k8s.io/v1";
const MUTATING: &str = "mutatingwebhookconfigurations";
const VALIDATING: &str = "validatingwebhookconfigurations";

/// What a change may take to be seen: a moment in the cluster, a second of the file. The machine may be busy.
const SOON: Duration = Duration::from_secs(15);

/// The shipped condition does not know of it.
const OTHER_ANNOTATION: &str = "mode: enforce\nannotations: {example.org/version: api-version}\n";

#[test]
fn a_live_prefilter_that_does_not_fit_is_said_until_it_does() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let installation = Installation::apply(&cluster, "enforce");
    installation.start();
    reports(
        &installation,
        "[+]prefilter-mutate ok: mutate.chartgate.dev in MutatingWebhookConfiguration chartgate fits the configuration\n",
    );
    reports(
        &installation,
        "[+]prefilter-validate ok: validate.chartgate.dev in ValidatingWebhookConfiguration chartgate fits the configuration\n",
    );
    mismatches(&installation, [false, false]);
    assert!(!installation.logs().contains(NAME), "{}", installation.logs());

    let shipped = cluster.objects(API, MUTATING).get("chartgate").accepted();
    replace(&cluster, MUTATING, &printed(MUTATING, &["--config", &file(OTHER_ANNOTATION)]));
    let patched = Instant::now();
    mismatches(&installation, [true, false]);
    let seen = patched.elapsed();
    reports(
        &installation,
        "[!]prefilter-mutate degraded: mutate.chartgate.dev in MutatingWebhookConfiguration chartgate: the matchCondition \
         not-provably-clean was not written for this configuration",
    );
    reports(&installation, "[+]prefilter-validate ok: ");
    // Once by each replica, which goes on being ready.
    for line in logged(&installation, "was not written for", 2) {
        for part in [
            "\"level\":\"WARN\"",
            "\"configuration\":\"MutatingWebhookConfiguration chartgate\"",
            "\"webhook\":\"mutate.chartgate.dev\"",
            "`chartgate config prefilter --webhook mutate --config ",
            "/etc/chartgate/chartgate.yaml` prints the right one",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    let conditions = &shipped["webhooks"][0]["matchConditions"][0];
    replace(&cluster, MUTATING, &replacement(&conditions["expression"]));
    mismatches(&installation, [false, false]);
    logged(&installation, "is no mismatch any more", 2);
    say(&format!("a changed condition is told after {seen:?}"));

    // Without one every release is seen, as with what the component observe-all puts in its place.
    let observing =
        json!({"name": OBSERVED, "expression": Webhook::Validate.observing(&Settings::default())});
    let at = "/webhooks/0/matchConditions/0";
    replace(&cluster, VALIDATING, &json!([{"op": "replace", "path": at, "value": observing}]));
    reports(
        &installation,
        "[+]prefilter-validate ok: no not-provably-clean in ValidatingWebhookConfiguration chartgate, so every release is \
         seen\n",
    );
    mismatches(&installation, [false, false]);
    cluster.objects(API, VALIDATING).delete("chartgate").accepted();
    reports(&installation, "[+]prefilter-validate ok: no ValidatingWebhookConfiguration chartgate\n");
    mismatches(&installation, [false, false]);
    assert_eq!(installation.logs().matches("was not written for").count(), 2);
}

#[test]
fn a_configuration_that_changes_needs_the_prefilter_that_is_printed_for_it() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let installation = Installation::apply(&cluster, "enforce");
    installation.start();
    mismatches(&installation, [false, false]);

    let system = Namespace::existing(&cluster, "chartgate-system");
    let config = json!({"data": {"chartgate.yaml": OTHER_ANNOTATION}});
    system.objects("v1", "configmaps").merge_patch("chartgate", &config, Write::by("me")).accepted();
    installation.refresh_mounts();
    mismatches(&installation, [true, true]);

    let right = |resource: &str| printed(resource, &["--config", &file(OTHER_ANNOTATION)]);
    replace(&cluster, MUTATING, &right(MUTATING));
    mismatches(&installation, [false, true]);
    replace(&cluster, VALIDATING, &right(VALIDATING));
    mismatches(&installation, [false, false]);

    // The other way round: what is needed again is what was shipped.
    cluster.apply(&manifests("enforce"), &[]);
    installation.refresh_mounts();
    mismatches(&installation, [false, false]);
}

#[test]
fn a_prefilter_for_one_flux_fits_as_long_as_its_crds_are_the_live_ones() {
    if !Cluster::has_crds("2.6") {
        return;
    }
    let Some(cluster) = Cluster::start("2.6") else { return };
    let installation = Installation::apply(&cluster, "audit");
    installation.start();
    mismatches(&installation, [false, false]);
    // Without the flag the newest Flux is assumed, and the cluster serves another one.
    replace(&cluster, MUTATING, &printed(MUTATING, &["--flux=2.9"]));
    mismatches(&installation, [true, false]);
    for resource in [MUTATING, VALIDATING] {
        replace(&cluster, resource, &printed(resource, &["--flux=2.6"]));
    }
    mismatches(&installation, [false, false]);
    cluster.upgrade_crds(NEWEST);
    mismatches(&installation, [true, true]);
    for resource in [MUTATING, VALIDATING] {
        replace(&cluster, resource, &printed(resource, &["--flux=2.9"]));
    }
    mismatches(&installation, [false, false]);
}

/// What `chartgate config prefilter --format patch` prints for a configuration.
fn printed(resource: &str, arguments: &[&str]) -> Value {
    let webhook = if resource == MUTATING { Webhook::Mutate } else { Webhook::Validate };
    let mut print = Command::new(env!("CARGO_BIN_EXE_chartgate"));
    print.args(["config", "prefilter", "--format=patch", "--webhook", webhook.as_str()]);
    let output = print.args(arguments).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a JSON patch is JSON")
}

/// A configuration file of this text.
fn file(text: &str) -> String {
    let path = crate::harness::Process::directory("prefilter").join("chartgate.yaml");
    fs::write(&path, text).expect("a new folder can be written");
    path.to_str().expect("it was made of text").to_owned()
}

fn replacement(expression: &Value) -> Value {
    json!([{"op": "replace", "path": "/webhooks/0/matchConditions/0/expression", "value": expression}])
}

fn replace(cluster: &Cluster, resource: &str, patch: &Value) {
    cluster.objects(API, resource).json_patch("chartgate", patch, Write::by("me")).accepted();
}

/// Waits until every replica counts and tells just these mismatches, at /mutate and at /validate, and is ready.
#[track_caller]
fn mismatches(installation: &Installation<'_>, expected: [bool; 2]) {
    eventually(&format!("mismatches are {expected:?}"), SOON, || {
        let reports = installation.reports();
        let is_seen = |(webhook, mismatch): (&str, bool)| {
            let sample =
                format!("chartgate_prefilter_mismatch{{webhook=\"{webhook}\"}} {}\n", u8::from(mismatch));
            // In order, and not only because nothing was compared yet.
            let line = format!("{}prefilter-{webhook} ", if mismatch { "[!]" } else { "[+]" });
            let told = reports.iter().all(|(status, text)| *status == 200 && text.contains(&line));
            told && installation.has_metric(&sample)
        };
        let all = ["mutate", "validate"].into_iter().zip(expected).all(is_seen);
        if all { Ok(()) } else { Err(format!("{reports:?}")) }
    });
}

/// The lines of the logs with this text, as soon as there are so many. They are written a moment after the rest.
#[track_caller]
fn logged(installation: &Installation<'_>, text: &str, count: usize) -> Vec<String> {
    eventually(&format!("{count} lines say {text:?}"), SOON, || {
        let log = installation.logs();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect();
        if lines.len() == count { Ok(lines) } else { Err(log) }
    })
}

/// Waits until every replica has this in its report, and is ready.
#[track_caller]
fn reports(installation: &Installation<'_>, line: &str) {
    eventually(line, SOON, || {
        let reports = installation.reports();
        let all = reports.iter().all(|(status, text)| *status == 200 && text.contains(line));
        if all { Ok(()) } else { Err(format!("{reports:?}")) }
    });
}
