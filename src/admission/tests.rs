//! The protocol, in process.

use json_patch::Patch;
use serde_json::{Value, json};

use super::*;
use crate::policy::Heal;

fn object(spec: &Value) -> Value {
    json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": "podinfo", "namespace": "apps", "annotations": {"fluxcd.io/version": "v2"}},
        "spec": spec,
    })
}

fn chart() -> Value {
    json!({"spec": {"chart": "podinfo", "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}}})
}

fn chart_ref() -> Value {
    json!({"kind": "OCIRepository", "name": "podinfo", "namespace": "apps"})
}

fn both() -> Value {
    object(&json!({"interval": "10m", "chart": chart(), "chartRef": chart_ref()}))
}

#[expect(clippy::needless_pass_by_value, reason = "objects are made where they are asked about")]
fn request(operation: &str, object: Value, old: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "helm.toolkit.fluxcd.io", "version": "v2", "kind": "HelmRelease"},
            "name": "podinfo", "namespace": "apps", "operation": operation,
            "userInfo": {"username": "admin"}, "object": object, "oldObject": old, "dryRun": false,
            "options": {"kind": "UpdateOptions", "fieldManager": "kustomize-controller"},
        },
    })
}

fn ask(review: &Value, endpoint: Endpoint, settings: &Settings) -> Value {
    let body = serde_json::to_vec(review).unwrap();
    let answer = super::review(&body, endpoint, settings, &Facts::default()).unwrap();
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    answer["response"].clone()
}

fn mutate(review: &Value) -> Value {
    ask(review, Endpoint::Mutate, &Settings::default())
}

fn patch_of(response: &Value) -> Value {
    let patch = response["patch"].as_str().expect("a patch");
    serde_json::from_slice(&base64::Engine::decode(&base64::prelude::BASE64_STANDARD, patch).unwrap())
        .unwrap()
}

#[test]
fn denies_both_with_code_reason_causes_and_the_whole_message() {
    let response = mutate(&request("CREATE", both(), Value::Null));
    assert_eq!(response["allowed"], false);
    let status = &response["status"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(403), &json!("Forbidden")));
    let cause = &status["details"]["causes"][0];
    assert_eq!((&cause["field"], &cause["reason"]), (&json!("spec.chart"), &json!("FieldValueInvalid")));
    let message = status["message"].as_str().unwrap();
    assert_eq!(
        message.split_once("\nchartgate: "),
        Some((cause["message"].as_str().unwrap(), "chartgate explain chart-and-chart-ref"))
    );
    assert!(
        message.starts_with("[chart-and-chart-ref] spec.chart and spec.chartRef are both set.\n"),
        "{message}"
    );
    assert_eq!(response["auditAnnotations"]["decision"], "denied");
}

#[test]
fn denies_the_same_at_validate() {
    let response = ask(&request("CREATE", both(), Value::Null), Endpoint::Validate, &Settings::default());
    assert_eq!(response["allowed"], false);
}

#[test]
fn says_nothing_about_a_release_in_order() {
    let fine = object(&json!({"chartRef": chart_ref()}));
    assert_eq!(
        mutate(&request("CREATE", fine, Value::Null)),
        json!({
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": true,
            "auditAnnotations": {"mode": "enforce", "decision": "allowed"},
        })
    );
}

#[test]
fn fills_annotation_and_namespace_whatever_the_annotations_are() {
    for annotations in [None, Some(Value::Null), Some(json!({})), Some(json!({"a": "b"}))] {
        let mut release = object(&json!({"chartRef": {"kind": "ociRepository", "name": "podinfo"}}));
        let metadata = release["metadata"].as_object_mut().unwrap();
        metadata.remove("annotations");
        metadata.extend(annotations.map(|annotations| ("annotations".to_owned(), annotations)));
        let response = mutate(&request("CREATE", release.clone(), Value::Null));
        let patch: Patch = serde_json::from_value(patch_of(&response)).unwrap();
        json_patch::patch(&mut release, &patch).unwrap();
        assert_eq!(release["metadata"]["annotations"]["fluxcd.io/version"], "v2");
        assert_eq!(release["spec"]["chartRef"], chart_ref());
        let again = mutate(&request("CREATE", release, Value::Null));
        assert_eq!(again.get("patch"), None, "{again}");
    }
}

#[test]
fn lets_a_deletion_through_even_if_the_spec_is_bad() {
    let mut release = both();
    release["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let response = mutate(&request("UPDATE", release, both()));
    assert_eq!(response["auditAnnotations"]["decision"], "skipped");
    assert_eq!(response["allowed"], true);
}

#[test]
fn what_was_stored_may_be_annotated_and_suspended_but_not_changed() {
    let mut annotated = both();
    annotated["metadata"]["annotations"]["a"] = json!("b");
    let mut suspended = both();
    suspended["spec"]["suspend"] = json!(true);
    for update in [annotated, suspended] {
        let response = mutate(&request("UPDATE", update, both()));
        assert_eq!(response["allowed"], true);
        assert_eq!(
            response["warnings"][0],
            "[chart-and-chart-ref] spec.chart and spec.chartRef are both set"
        );
    }
    let mut changed = both();
    changed["spec"]["interval"] = json!("1h");
    assert_eq!(mutate(&request("UPDATE", changed, both()))["allowed"], false);
    let fine = object(&json!({"interval": "10m", "chart": chart()}));
    assert_eq!(mutate(&request("UPDATE", both(), fine))["allowed"], false);
}

/// Stored with an error that no fix changes, and without the fields that /mutate fills in.
fn faulty() -> Value {
    let mut faulty = both();
    faulty["spec"]["chartRef"] = json!({"kind": "OCIRepository", "name": "podinfo"});
    faulty
}

#[test]
fn a_spec_with_an_excused_error_is_not_patched() {
    let mut annotated = faulty();
    annotated["metadata"]["annotations"] = json!({"a": "b"});
    let response = mutate(&request("UPDATE", annotated, faulty()));
    assert_eq!(response.get("patch"), None, "{response}");
    // Also where the error is not denied here: the schema knows no modes.
    let rules =
        [("chart-and-chart-ref".to_owned(), policy::RuleSettings { mode: Some(Mode::Warn), level: None })];
    let settings = Settings { rules: rules.into(), ..Settings::default() };
    let response = ask(&request("UPDATE", faulty(), faulty()), Endpoint::Mutate, &settings);
    assert_eq!(response.get("patch"), None, "{response}");
}

#[test]
fn what_a_fix_made_of_a_stored_spec_is_made_of_it_again() {
    // As the author writes it, and as it is stored.
    for written in [
        json!({"kind": "OCIRepository", "name": "podinfo"}),
        json!({"kind": "ocirepository", "name": "podinfo", "namespace": ""}),
        json!({"name": "OCIRepository/podinfo", "namespace": null}),
        json!({"name": "OCIRepository/podinfo.apps"}),
    ] {
        let mut replaced = both();
        replaced["spec"]["chartRef"] = written.clone();
        let response = mutate(&request("UPDATE", replaced.clone(), both()));
        let patch: Patch = serde_json::from_value(patch_of(&response)).unwrap();
        json_patch::patch(&mut replaced, &patch).unwrap();
        assert_eq!(replaced, both(), "{written}");
    }
}

#[test]
fn a_namespace_that_is_written_out_is_no_change_and_another_one_is() {
    for (namespace, allowed) in [("apps", true), ("other", false)] {
        let mut update = faulty();
        update["spec"]["chartRef"]["namespace"] = json!(namespace);
        for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
            let response = ask(&request("UPDATE", update.clone(), faulty()), endpoint, &Settings::default());
            assert_eq!(response["allowed"], allowed, "{namespace} {endpoint:?}");
            assert_eq!(response.get("patch"), None);
        }
    }
}

#[test]
fn a_second_error_is_denied_beside_a_stored_one() {
    let mut update = faulty();
    update["spec"]["chartRef"]["name"] = json!("A_b");
    let response = mutate(&request("UPDATE", update, faulty()));
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("[chart-ref-name]"), "{message}");
}

#[test]
fn an_error_that_a_write_brings_into_metadata_is_denied() {
    let entry = json!([{"manager": "a", "operation": "Update", "apiVersion": "helm.toolkit.fluxcd.io/v1"}]);
    let fine = object(&json!({"interval": "10m", "chart": chart()}));
    let mut gone = fine.clone();
    gone["metadata"]["managedFields"] = entry;
    assert_eq!(mutate(&request("UPDATE", gone.clone(), fine))["allowed"], false);
    // Its position among the entries may change.
    let mut moved = gone.clone();
    moved["metadata"]["managedFields"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"manager": "b", "operation": "Update", "apiVersion": "helm.toolkit.fluxcd.io/v2"}));
    assert_eq!(mutate(&request("UPDATE", moved, gone))["allowed"], true);
}

#[test]
fn a_spec_that_is_nested_too_deep_to_be_compared_counts_as_changed() {
    let nested = |inner: &str| {
        let mut release = faulty();
        release["spec"]["values"] = json!("HERE");
        let values = format!("{}{inner}{}", r#"{"a":"#.repeat(1_000), "}".repeat(1_000));
        release.to_string().replace("\"HERE\"", &values)
    };
    for (new, allowed) in [("1", true), ("2", false)] {
        let review = request("UPDATE", json!("NEW"), json!("OLD")).to_string();
        let review = review.replace("\"NEW\"", &nested(new)).replace("\"OLD\"", &nested("1"));
        let answer =
            super::review(review.as_bytes(), Endpoint::Validate, &Settings::default(), &Facts::default());
        assert_eq!(answer.unwrap().record.decision == Decision::Denied, !allowed, "{new}");
    }
}

/// An update by kustomize-controller to chartRef, with `spec.chart.spec.interval` left by `owner`.
fn leftover(owner: &str) -> Value {
    let mut release = object(&json!({"chart": {"spec": {"interval": "5m"}}, "chartRef": chart_ref()}));
    release["metadata"]["managedFields"] = json!([
        {"manager": "kustomize-controller", "operation": "Apply", "apiVersion": "helm.toolkit.fluxcd.io/v2",
         "fieldsV1": {"f:spec": {"f:chartRef": {"f:kind": {}}}}},
        {"manager": owner, "operation": "Update", "apiVersion": "helm.toolkit.fluxcd.io/v2",
         "time": "2026-11-01T10:00:00Z", "fieldsV1": {"f:spec": {"f:chart": {"f:spec": {"f:interval": {}}}}}},
    ]);
    request("UPDATE", release, object(&json!({"chart": chart()})))
}

#[test]
fn removes_what_another_manager_left_and_names_it() {
    let response = mutate(&leftover("kubectl-edit"));
    assert_eq!(response["allowed"], true);
    assert_eq!(patch_of(&response), json!([{"op": "remove", "path": "/spec/chart"}]));
    assert_eq!(
        response["warnings"][0],
        "[partial-chart] removed spec.chart.spec.interval, left by \"kubectl-edit\" at 2026-11-01T10:00:00Z"
    );
}

#[test]
fn denies_what_the_applier_itself_still_sets() {
    let response = mutate(&leftover("kustomize-controller"));
    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("the applied manifest still sets spec.chart.spec.interval"), "{message}");
}

#[test]
fn never_heals_where_that_is_chosen() {
    let settings = Settings { heal: Heal::Never, ..Settings::default() };
    assert_eq!(ask(&leftover("kubectl-edit"), Endpoint::Mutate, &settings)["allowed"], false);
}

#[test]
fn never_heals_a_put_for_it_states_the_whole_object() {
    let mut review = leftover("kubectl-edit");
    let entries = &mut review["request"]["object"]["metadata"]["managedFields"];
    let mut put = entries[0].clone();
    put["operation"] = json!("Update");
    entries[0]["fieldsV1"] = json!({"f:spec": {"f:interval": {}}});
    entries.as_array_mut().unwrap().push(put);
    assert_eq!(mutate(&review)["allowed"], false);
}

#[test]
fn heals_the_server_side_apply_that_a_real_api_server_asked_about() {
    let captured = include_bytes!("../../tests/fixtures/reviews/apply-leftover-of-lens.json");
    let response = mutate(&serde_json::from_slice(captured).unwrap());
    assert_eq!(response["allowed"], true);
    let patch = patch_of(&response);
    let removed = json!({"op": "remove", "path": "/spec/chart"});
    assert!(patch.as_array().unwrap().contains(&removed), "{patch}");
}

#[test]
fn warn_says_it_audit_records_it_and_off_ignores_it() {
    let in_mode = |mode| {
        let settings = Settings { mode, ..Settings::default() };
        let response = ask(&request("CREATE", both(), Value::Null), Endpoint::Mutate, &settings);
        assert_eq!(response["allowed"], true);
        assert_eq!(response.get("patch"), None);
        (response.get("warnings").is_some(), response["auditAnnotations"].clone())
    };
    assert_eq!(
        in_mode(Mode::Warn),
        (true, json!({"mode": "warn", "decision": "warned", "rules": "chart-and-chart-ref"}))
    );
    assert_eq!(
        in_mode(Mode::Audit),
        (false, json!({"mode": "audit", "decision": "allowed", "rules": "chart-and-chart-ref"}))
    );
    assert_eq!(in_mode(Mode::Off), (false, json!({"mode": "off", "decision": "skipped"})));
}

#[test]
fn answers_v1beta1_in_v1beta1() {
    let mut review = request("CREATE", both(), Value::Null);
    review["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let body = serde_json::to_vec(&review).unwrap();
    let answer = super::review(&body, Endpoint::Mutate, &Settings::default(), &Facts::default()).unwrap();
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1beta1");
}

#[test]
fn says_what_is_wrong_with_a_body_that_is_no_review() {
    let error = |body: &str| {
        let error = review(body.as_bytes(), Endpoint::Mutate, &Settings::default(), &Facts::default());
        error.unwrap_err().to_string()
    };
    assert_eq!(error("{"), "the body is not JSON: unexpected end at byte 1");
    assert_eq!(
        error(r#"{"apiVersion":"v1","kind":"Pod"}"#),
        r#"the body is no AdmissionReview of admission.k8s.io/v1 or v1beta1: apiVersion is "v1", kind is "Pod""#
    );
    let of = |request: &str| {
        error(&format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"{request}}}"#))
    };
    assert_eq!(of(""), "the AdmissionReview has no request; a response cannot be reviewed");
    assert_eq!(of(r#","request":{"operation":"CREATE"}"#), "the AdmissionReview's request has no uid");
    assert_eq!(
        of(r#","request":{"uid":"a","operation":"EAT"}"#),
        r#"the AdmissionReview's request.operation is "EAT"; it is one of CREATE, UPDATE, DELETE, CONNECT"#
    );
}

#[test]
fn removes_a_null_which_server_side_apply_does_not_prune() {
    for (spec, path) in [
        (json!({"interval": "10m", "chart": null, "chartRef": chart_ref()}), "/spec/chart"),
        (json!({"interval": "10m", "chart": chart(), "chartRef": null}), "/spec/chartRef"),
    ] {
        let response = mutate(&request("CREATE", object(&spec), Value::Null));
        assert_eq!(response["allowed"], true, "{response}");
        assert_eq!(patch_of(&response), json!([{"op": "remove", "path": path}]));
    }
}

#[test]
fn removes_a_null_from_an_optional_field_and_fills_in_what_belongs_there() {
    let mut whole = chart();
    whole["spec"]["interval"] = Value::Null;
    whole["spec"]["sourceRef"]["namespace"] = Value::Null;
    let reference =
        json!({"kind": "OCIRepository", "name": "podinfo", "apiVersion": null, "namespace": null});
    for (spec, expected, warnings) in [
        (json!({"chart": whole}), json!({"chart": chart()}), 2),
        (json!({"chartRef": reference}), json!({"chartRef": chart_ref()}), 2),
    ] {
        let mut release = object(&spec);
        let response = mutate(&request("CREATE", release.clone(), Value::Null));
        assert_eq!(response["warnings"].as_array().map(Vec::len), Some(warnings), "{response}");
        let patch: Patch = serde_json::from_value(patch_of(&response)).unwrap();
        json_patch::patch(&mut release, &patch).unwrap();
        assert_eq!(release["spec"], expected);
        assert_eq!(mutate(&request("CREATE", release, Value::Null)).get("patch"), None);
    }
}

#[test]
fn a_null_alone_is_no_chart_source() {
    let response = mutate(&request("CREATE", object(&json!({"chart": null, "chartRef": null})), Value::Null));
    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("[no-chart-source] "), "{message}");
}

#[test]
fn denies_even_a_null_where_the_schema_has_no_such_field() {
    let mut review = request("CREATE", object(&json!({"chart": chart(), "chartRef": null})), Value::Null);
    review["request"]["kind"]["version"] = json!("v2beta1");
    review["request"]["object"]["apiVersion"] = json!("helm.toolkit.fluxcd.io/v2beta1");
    let facts = Facts::of("2.0".parse().unwrap());
    let body = serde_json::to_vec(&review).unwrap();
    let answer = super::review(&body, Endpoint::Mutate, &Settings::default(), &facts).unwrap();
    assert_eq!(answer.record.decision, Decision::Denied);
    assert!(answer.record.findings.iter().any(|finding| finding.rule == "chart-ref-needs-v2"));
}

#[test]
fn a_cause_says_whether_the_schema_or_the_configuration_forbids_the_value() {
    let mut settings = Settings::default();
    settings.chart_ref.cross_namespace = policy::CrossNamespace::Deny;
    let long = "a".repeat(64);
    for (namespace, reason) in [(&*long, "FieldValueInvalid"), ("sources", "FieldValueForbidden")] {
        let chart_ref = json!({"kind": "OCIRepository", "name": "podinfo", "namespace": namespace});
        let new = object(&json!({"interval": "10m", "chartRef": chart_ref}));
        let denied = ask(&request("CREATE", new, Value::Null), Endpoint::Validate, &settings);
        let status = &denied["status"];
        assert_eq!((&status["code"], &status["reason"]), (&json!(403), &json!("Forbidden")));
        assert_eq!(status["details"]["causes"][0]["reason"], reason);
    }
}

#[test]
fn a_denial_ends_with_the_rules_to_explain_or_their_addresses() {
    let wrong = object(
        &json!({"interval": "10m", "chartRef": {"kind": "Bucket", "name": "A_b", "namespace": "apps"}}),
    );
    let review = request("CREATE", wrong, Value::Null);
    let last = |settings: &Settings| {
        let denied = ask(&review, Endpoint::Mutate, settings);
        let message = denied["status"]["message"].as_str().unwrap().to_owned();
        assert_eq!(message.matches("chartgate: ").count(), 1, "{message}");
        message.lines().last().unwrap().to_owned()
    };
    assert_eq!(last(&Settings::default()), "chartgate: chartgate explain chart-ref-kind chart-ref-name");
    let docs = Some("https://example.org/rules".to_owned());
    assert_eq!(
        last(&Settings { docs, ..Settings::default() }),
        "chartgate: https://example.org/rules#chart-ref-kind https://example.org/rules#chart-ref-name"
    );
}

#[test]
fn a_denial_of_any_object_is_of_bounded_length() {
    let chart: serde_json::Map<_, _> = (0..300_000).map(|index| (format!("k{index}"), json!(1))).collect();
    let wrong = object(&json!({"interval": "10m", "chart": {"spec": chart}, "chartRef": chart_ref()}));
    let body = serde_json::to_vec(&request("CREATE", wrong, Value::Null)).unwrap();
    let answer = review(&body, Endpoint::Mutate, &Settings::default(), &Facts::default()).unwrap();
    assert_eq!(answer.record.decision, Decision::Denied);
    assert!(answer.body.len() < 4 * 1024, "{} bytes", answer.body.len());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let message = answer["response"]["status"]["message"].as_str().unwrap();
    assert!(message.contains("spec.chart.spec.k9 and 299990 more; remove that."), "{message}");
}

#[test]
fn force_is_told_of_beside_a_denial_and_denies_nothing_by_itself() {
    let forced = |at: &str, spec: &Value| {
        let mut forced = object(spec);
        forced["metadata"][at]["kustomize.toolkit.fluxcd.io/force"] = json!("enabled");
        forced
    };
    let wrong = json!({"interval": "10m", "chart": {"spec": {"version": "1"}}, "chartRef": chart_ref()});
    let fine = json!({"interval": "10m", "chartRef": chart_ref()});
    for at in ["annotations", "labels"] {
        let denied = mutate(&request("CREATE", forced(at, &wrong), Value::Null));
        let message = denied["status"]["message"].as_str().unwrap();
        assert!(
            message.contains("\n[force-deletes] this object has force: a refused apply deletes the release."),
            "{message}"
        );
        assert!(message.ends_with("\nchartgate: chartgate explain partial-chart force-deletes"), "{message}");
        assert_eq!(
            mutate(&request("CREATE", forced(at, &fine), Value::Null))["auditAnnotations"]["decision"],
            "allowed"
        );
        // The object in the cluster counts, too.
        let denied = mutate(&request("UPDATE", object(&wrong), forced(at, &fine)));
        assert!(denied["status"]["message"].as_str().unwrap().contains("[force-deletes] "), "{denied}");
        // A stored release may be annotated, so it may also be marked.
        let marked = mutate(&request("UPDATE", forced(at, &wrong), object(&wrong)));
        assert_eq!(marked["allowed"], true, "{marked}");
        assert!(marked["warnings"].to_string().contains("[force-deletes] "), "{marked}");
    }
}

#[test]
fn force_matters_only_where_the_api_server_answers_invalid() {
    let mut generated = object(
        &json!({"interval": "10m", "chartRef": {"kind": "HelmChart", "name": "apps-podinfo", "namespace": "apps"}}),
    );
    generated["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/force"] = json!("Enabled");
    let mut stored = object(&json!({"interval": "10m", "chart": chart()}));
    stored["status"] = json!({"helmChart": "apps/apps-podinfo"});
    let denied = mutate(&request("UPDATE", generated, stored));
    let message = denied["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("[generated-chart-name] ") && !message.contains("force"), "{message}");
}

/// An update by kustomize-controller to a chartRef, over a chart that another manager created.
fn foreign_chart(chart_ref: &Value) -> Value {
    let entry = |manager: &str, operation: &str, fields: Value| {
        json!({"manager": manager, "operation": operation, "apiVersion": "helm.toolkit.fluxcd.io/v2",
               "fieldsV1": {"f:spec": fields}})
    };
    let owned = json!({"f:chart": {"f:spec": {"f:chart": {}, "f:sourceRef": {"f:kind": {}, "f:name": {}}}}});
    let mut new = object(&json!({"interval": "10m", "chart": chart(), "chartRef": chart_ref}));
    new["metadata"]["managedFields"] = json!([
        entry("kustomize-controller", "Apply", json!({"f:chartRef": {"f:kind": {}, "f:name": {}}})),
        entry("kubectl-create", "Update", owned.clone()),
    ]);
    let mut old = object(&json!({"interval": "10m", "chart": chart()}));
    old["metadata"]["managedFields"] = json!([entry("kubectl-create", "Update", owned)]);
    request("UPDATE", new, old)
}

#[test]
fn offers_the_command_that_switches_only_where_it_would_be_allowed() {
    let fix = |chart_ref: Value| {
        let denied = mutate(&foreign_chart(&chart_ref));
        let message = denied["status"]["message"].as_str().unwrap();
        message.lines().find(|line| line.starts_with("  Fix: ")).unwrap().to_owned()
    };
    assert!(fix(chart_ref()).contains("kubectl patch helmrelease podinfo -n apps --type=json -p '["));
    // Spelled as /mutate would patch it, and so the command does not depend on that.
    assert!(
        fix(json!({"name": "ociRepository/podinfo.apps"}))
            .contains(r#""value":{"kind":"OCIRepository","name":"podinfo","namespace":"apps"}"#)
    );
    for (wrong, rules) in [
        (json!({"kind": "HelmRepository"}), "chart-ref-kind and chart-ref-name"),
        (json!({"kind": "OCIRepository", "name": "A_b"}), "chart-ref-name"),
    ] {
        assert_eq!(
            fix(wrong),
            format!(
                "  Fix: first correct what {rules} reports; then apply again, and the message names the command that removes the rest."
            )
        );
    }
}

/// What is done about an object in the namespace `apps`, with its label at `label` and the default at `default`.
fn decided(object: Value, default: Mode, label: Option<Mode>) -> (Decision, Mode, Value) {
    let settings = Settings { mode: default, ..Settings::default() };
    let modes = label.into_iter().map(|label| ("apps".into(), label)).collect();
    let facts = Facts { modes, ..Facts::default() };
    let body = serde_json::to_vec(&request("CREATE", object, Value::Null)).unwrap();
    let Answer { body, record } = review(&body, Endpoint::Mutate, &settings, &facts).unwrap();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    (record.decision, record.mode, answer["response"].clone())
}

#[test]
fn a_namespace_is_judged_by_its_label_and_without_one_by_the_default() {
    let mut fixable = object(&json!({"interval": "10m", "chartRef": chart_ref()}));
    fixable["metadata"]["annotations"] = json!({});
    for default in Mode::ALL {
        for label in Mode::ALL.map(Some).into_iter().chain([None]) {
            let mode = label.unwrap_or(default);
            let expected = match mode {
                Mode::Off => (Decision::Skipped, Decision::Skipped),
                Mode::Audit => (Decision::Allowed, Decision::Allowed),
                Mode::Warn => (Decision::Warned, Decision::Warned),
                Mode::Enforce => (Decision::Patched, Decision::Denied),
            };
            let case = format!("default {default:?}, label {label:?}");
            for (object, expected) in [(fixable.clone(), expected.0), (both(), expected.1)] {
                let (decision, in_force, response) = decided(object, default, label);
                assert_eq!((decision, in_force), (expected, mode), "{case}");
                assert_eq!(response["auditAnnotations"]["mode"], mode.as_str(), "{case}");
                let says = response["warnings"].is_array();
                assert_eq!(says, mode == Mode::Warn, "audit really means hands off: {case}");
                assert_eq!(response["patch"].is_string(), decision == Decision::Patched, "{case}");
            }
        }
    }
}

#[test]
fn an_exempt_object_passes_where_that_is_allowed_and_says_why_in_the_audit_log() {
    let mut exempt = both();
    exempt["metadata"]["annotations"][EXEMPT] = json!("ticket 4711");
    let review = request("CREATE", exempt, Value::Null);
    assert_eq!(mutate(&review)["allowed"], false, "the configuration does not allow it");
    let allowed = Settings { exemptions: true, ..Settings::default() };
    let response = ask(&review, Endpoint::Mutate, &allowed);
    assert_eq!(response["allowed"], true);
    assert_eq!(
        response["auditAnnotations"],
        json!({"mode": "enforce", "decision": "exempt", "exempt": "ticket 4711"})
    );
}

#[test]
fn a_missing_source_is_said_and_never_denied_whatever_level_the_settings_give_it() {
    let rule = policy::RuleSettings { mode: None, level: Some(Level::Error) };
    let settings =
        Settings { rules: [("chart-ref-source-missing".to_owned(), rule)].into(), ..Settings::default() };
    let mut facts = Facts::default();
    facts.sources.insert("OCIRepository", policy::Names::new());
    let object = object(&json!({"interval": "10m", "chartRef": chart_ref()}));
    let body = serde_json::to_vec(&request("CREATE", object, Value::Null)).unwrap();
    let answer = review(&body, Endpoint::Mutate, &settings, &facts).unwrap();
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(
        answer["response"]["warnings"],
        json!(["[chart-ref-source-missing] OCIRepository \"apps/podinfo\" is not there"])
    );
}

#[test]
fn no_patch_comes_and_goes_with_what_was_heard_of_the_sources() {
    let mut object = object(&json!({"interval": "10m", "chartRef": chart_ref()}));
    object["spec"]["chartRef"]["apiVersion"] = json!("source.toolkit.fluxcd.io/v1beta2");
    let body = serde_json::to_vec(&request("CREATE", object, Value::Null)).unwrap();
    let mut facts = Facts { source_versions: Some([].into()), ..Facts::default() };
    for (served, warns) in [(None, false), (Some(vec!["v1"]), true), (Some(vec!["v1", "v1beta2"]), false)] {
        if let Some(served) = served {
            let served = served.into_iter().map(str::to_owned).collect();
            facts.source_versions.as_mut().unwrap().insert("OCIRepository", served);
        }
        let answer = review(&body, Endpoint::Mutate, &Settings::default(), &facts).unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(answer["response"]["patch"].is_null());
        assert_eq!(answer["response"]["warnings"].is_array(), warns, "{answer}");
    }
}

fn incident_of(review: &Value) -> Option<Incident> {
    let body = serde_json::to_vec(review).unwrap();
    super::review(&body, Endpoint::Mutate, &Settings::default(), &Facts::default()).unwrap().record.incident
}

#[test]
fn a_denied_write_is_an_incident_of_the_stored_object() {
    let mut old = object(&json!({"interval": "10m", "chartRef": chart_ref()}));
    old["metadata"]["uid"] = json!("2f6b");
    let incident = incident_of(&request("UPDATE", both(), old)).unwrap();
    assert_eq!(incident.kind, IncidentKind::Denied);
    assert_eq!(incident.api_version, "helm.toolkit.fluxcd.io/v2");
    assert_eq!(incident.object.as_deref(), Some("2f6b"));
    assert!(incident.note.starts_with("[chart-and-chart-ref] "), "{}", incident.note);
}

#[test]
fn a_denied_creation_is_an_incident_without_an_object() {
    let incident = incident_of(&request("CREATE", both(), Value::Null)).unwrap();
    assert_eq!((incident.kind, incident.object), (IncidentKind::Denied, None));
}

#[test]
fn a_healed_write_is_an_incident_and_a_silent_fix_is_none() {
    let null = object(&json!({"interval": "10m", "chart": null, "chartRef": chart_ref()}));
    let incident = incident_of(&request("CREATE", null, Value::Null)).unwrap();
    assert_eq!(incident.kind, IncidentKind::Healed);
    assert_eq!(incident.note, "[partial-chart] removed spec.chart, which is null");

    let mut unannotated = object(&json!({"interval": "10m", "chart": chart()}));
    unannotated["metadata"]["annotations"] = json!({});
    assert_eq!(incident_of(&request("CREATE", unannotated, Value::Null)), None);
}

#[test]
fn a_dry_run_and_a_name_yet_to_be_made_are_no_incidents() {
    let mut dry_run = request("CREATE", both(), Value::Null);
    dry_run["request"]["dryRun"] = json!(true);
    assert_eq!(incident_of(&dry_run), None);
    let mut nameless = request("CREATE", both(), Value::Null);
    nameless["request"]["name"] = json!("");
    assert_eq!(incident_of(&nameless), None);
}
