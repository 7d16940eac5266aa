//! An audit as whole files, from releases as an API server tells them.

use std::collections::HashMap;
use std::path::Path;

use chartgate::audit::since::{Earlier, EarlierError};
use chartgate::audit::{Audit, Auditor, Detail};
use chartgate::policy::{Facts, Flux, Mode, Settings};
use chartgate::report::audit::json::Context;
use chartgate::report::audit::text::{Options, View};
use chartgate::report::audit::{NoFiles, json, report, text};
use chartgate::report::text::Colour;
use serde_json::value::RawValue;
use serde_json::{Value, json as value};

use crate::schemas::{complaints, json_file, shared, xmllint};
use crate::{as_junit, as_sarif, written};

/// An entry of `metadata.managedFields`.
fn entry(manager: &str, operation: &str, version: &str, fields: &Value) -> Value {
    value!({
        "manager": manager, "operation": operation, "apiVersion": format!("helm.toolkit.fluxcd.io/{version}"),
        "time": "2026-11-20T08:15:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields,
    })
}

/// A release at v2, as it is stored.
fn stored(namespace: &str, name: &str, spec: &Value, entries: &[Value]) -> Value {
    let mut whole = value!({"interval": "10m"});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    value!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {
            "name": name, "namespace": namespace, "uid": "5f0c", "managedFields": entries,
            "labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"},
        },
        "spec": whole,
    })
}

fn annotated(mut release: Value) -> Value {
    release["metadata"]["annotations"] = value!({"fluxcd.io/version": "v2"});
    release
}

/// Releases of every phase, with errors, warnings and nothing to say.
pub(crate) fn cluster() -> Audit {
    let chart = value!({"chart": {"spec": {"chart": "podinfo", "version": "6.5.4", "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}}}});
    let chart_ref = value!({"chartRef": {"kind": "OCIRepository", "name": "podinfo", "namespace": "apps"}});
    let owns_chart = value!({"f:spec": {"f:interval": {}, "f:chart": {"f:spec": {"f:chart": {}, "f:version": {}, "f:sourceRef": {"f:kind": {}, "f:name": {}}}}}});
    let owns_ref =
        value!({"f:spec": {"f:interval": {}, "f:chartRef": {"f:kind": {}, "f:name": {}, "f:namespace": {}}}});
    let owns_version = value!({"f:spec": {"f:chart": {"f:spec": {"f:version": {}}}}});
    let applied = |fields: &Value| entry("kustomize-controller", "Apply", "v2", fields);
    let mut both = chart.clone();
    both["chartRef"] = chart_ref["chartRef"].clone();
    let releases = [
        annotated(stored("apps", "moved", &chart_ref, &[applied(&owns_ref)])),
        annotated(stored("apps", "ready", &chart, &[applied(&owns_chart)])),
        stored("apps", "plain", &chart, &[applied(&owns_chart)]),
        annotated(stored(
            "apps",
            "edited",
            &chart,
            &[applied(&owns_chart), entry("k9s", "Update", "v2", &owns_version)],
        )),
        annotated(stored(
            "team-b",
            "both",
            &both,
            &[applied(&owns_ref), entry("helm-ui", "Update", "v2", &owns_chart)],
        )),
        annotated(stored(
            "team-b",
            "gone",
            &chart,
            &[
                applied(&owns_chart),
                entry("velero", "Update", "v2beta1", &value!({"f:metadata": {"f:labels": {"f:a": {}}}})),
            ],
        )),
        annotated(stored("team-b", "<script>alert(1)</script>", &value!({}), &[])),
    ];
    let facts = Facts {
        helm_release: Some("2.7".parse::<Flux>().unwrap().served().to_vec()),
        modes: HashMap::from([("team-b".into(), Mode::Audit)]),
        ..Facts::default()
    };
    let mut auditor = Auditor::new(&Settings::default(), facts, Detail::Everything);
    for release in releases {
        auditor.judge(&RawValue::from_string(release.to_string()).unwrap());
    }
    auditor.into_audit(vec!["HelmCharts: forbidden".to_owned()])
}

fn as_text(audit: &Audit, view: View, verbose: bool) -> String {
    let options = Options { view, colour: Colour::Never, verbose, quiet: false };
    written(|out| text::write(audit, None, &options, out))
}

fn as_json(audit: &Audit) -> String {
    let context = Context { taken_at: "2026-11-25T12:00:00Z", cluster: "production", since: None };
    written(|out| json::write(audit, &context, out))
}

#[test]
fn every_view_looks_as_it_did() {
    let audit = cluster();
    let views = [
        ("audit", as_text(&audit, View::Findings, false)),
        ("audit-verbose", as_text(&audit, View::Findings, true)),
        ("audit-enforced", as_text(&audit, View::Enforced, true)),
        ("audit-readiness", as_text(&audit, View::Readiness, false)),
        ("audit-json", as_json(&audit).replace(env!("CARGO_PKG_VERSION"), "VERSION")),
    ];
    for (view, told) in views {
        insta::assert_snapshot!(view, told);
    }
}

#[test]
fn json_is_what_its_documented_schema_asks_for() {
    let schema = json_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit.schema.json"));
    let mut document: Value = serde_json::from_str(&as_json(&cluster())).unwrap();
    assert_eq!(complaints(&schema, &document), [""; 0]);
    document["releases"][0]["phase"] = "3".into();
    assert_eq!(complaints(&schema, &document).len(), 1, "the schema is looked at");
    document["releases"][0]["phase"] = "2".into();
    document["releases"][0]["more"] = 1.into();
    assert_eq!(complaints(&schema, &document).len(), 1, "the schema names every field");
}

#[test]
fn sarif_and_junit_are_what_their_schemas_ask_for() {
    let report = report(&cluster());
    let log: Value = serde_json::from_str(&as_sarif(&report, &NoFiles)).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), report.diagnostics.len());
    let place = &results[0]["locations"][0]["logicalLocations"][0];
    assert!(place["fullyQualifiedName"].as_str().unwrap().contains("apps"), "{place}");
    if let Some(schema) = shared("sarif-schema-2.1.0.json") {
        assert_eq!(complaints(&json_file(&schema), &log), [""; 0]);
    }
    if let Some(schema) = shared("JUnit.xsd")
        && let Some(verdict) = xmllint(&schema, &as_junit(&report, &NoFiles))
    {
        assert_eq!(verdict, Ok(()));
    }
}

#[test]
fn what_changed_since_an_earlier_audit_is_told() {
    let now = cluster();
    let mut before: Value = serde_json::from_str(&as_json(&now)).unwrap();
    assert!(Earlier::read(&before.to_string()).unwrap().compare(&now).is_empty());

    let releases = before["releases"].as_array_mut().unwrap();
    let at = |releases: &[Value], name: &str| releases.iter().position(|it| it["name"] == name).unwrap();
    let moved = at(releases, "moved");
    releases[moved]["phase"] = "1".into();
    let plain = at(releases, "plain");
    releases[plain]["findings"] = value!([{"rule": "no-chart-source", "field": "spec"}]);
    let ready = at(releases, "ready");
    releases[ready]["name"] = "gone-by-now".into();
    let earlier = Earlier::read(&before.to_string()).unwrap();
    let since = earlier.compare(&now);
    let options = Options { view: View::Findings, colour: Colour::Never, verbose: false, quiet: true };
    let told = written(|out| text::write(&now, Some(&since), &options, out));
    let (_, told) = told.split_once("what changed since 2026-11-25T12:00:00Z\n").unwrap();
    assert_eq!(
        told,
        "  + apps/plain: version-annotation metadata.annotations[fluxcd.io/version]\n  - apps/plain: no-chart-source spec\n  \
         > apps/moved: from phase 1 to 2\n  + apps/ready: new\n  - apps/gone-by-now: gone\n"
    );
}

#[test]
fn what_is_no_earlier_audit_is_refused() {
    assert!(matches!(Earlier::read("{}"), Err(EarlierError::Json(_))));
    assert!(matches!(Earlier::read("nonsense"), Err(EarlierError::Json(_))));
    let newer = value!({"version": 2, "takenAt": "2027-01-01T00:00:00Z", "releases": []});
    let error = Earlier::read(&newer.to_string()).unwrap_err();
    assert_eq!(error.to_string(), "is a report of version 2; this chartgate reads version 1");
}
