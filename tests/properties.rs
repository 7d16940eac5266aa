//! What holds for every object, however it is made.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeSet;

use chartgate::{
    admission::{self, Endpoint},
    policy::{
        ChartRefSettings, CrossNamespace, Facts, Flux, Heal, Level, Mode, RuleSettings, Settings, rules,
    },
};
use json_patch::Patch;
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// As many cases as a promise about "every" object should have seen.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() }
}

/// Any JSON.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let key = prop_oneof![
            select(vec![
                "spec",
                "chart",
                "chartRef",
                "metadata",
                "annotations",
                "kind",
                "name",
                "managedFields"
            ])
            .prop_map(str::to_owned),
            ".{0,6}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A field that is absent, odd, or one of the `usual` values.
fn field(usual: Vec<Value>) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        6 => select(usual).prop_map(Some),
        2 => Just(None),
        1 => Just(Some(Value::Null)),
        1 => anything().prop_map(Some),
    ]
}

fn object(fields: Vec<(&'static str, Option<Value>)>) -> Value {
    let set = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::from(set.collect::<Map<_, _>>())
}

/// Something like a HelmRelease: each field the rules read may be right, odd, or absent.
fn release() -> impl Strategy<Value = Value> {
    let texts = |texts: &[&str]| texts.iter().map(|text| json!(text)).collect::<Vec<_>>();
    let chart_ref = (
        field(texts(&["OCIRepository", "HelmChart", "ocirepository", "ExternalArtifact", "Bucket"])),
        field(texts(&[
            "podinfo",
            "OCIRepository/podinfo.apps",
            "helmchart/podinfo",
            "apps-podinfo",
            "A_b",
            "",
        ])),
        field(texts(&["apps", "other", ""])),
        field(texts(&["source.toolkit.fluxcd.io/v1", "source.toolkit.fluxcd.io/v1beta2", "v1"])),
    );
    let chart_ref = chart_ref.prop_map(|(kind, name, namespace, api_version)| {
        object(vec![("kind", kind), ("name", name), ("namespace", namespace), ("apiVersion", api_version)])
    });
    let source = json!({"kind": "HelmRepository", "name": "podinfo"});
    let unspaced = json!({"kind": "HelmRepository", "name": "podinfo", "namespace": null});
    let chart = (
        (
            field(texts(&["podinfo"])),
            field(vec![source, unspaced]),
            field(texts(&["1.x"])),
            field(texts(&["5m"])),
        ),
        (field(texts(&["OCIRepository", "HelmChart", "ocirepository", "Bucket", ""])), any::<bool>()),
        field(texts(&["oci://example.org/podinfo", "https://example.org/podinfo", ""])),
    );
    let chart = chart.prop_map(|((chart, source, version, interval), (kind, has_kind), url)| {
        let spec =
            vec![("chart", chart), ("sourceRef", source), ("version", version), ("interval", interval)];
        let inline = vec![("url", url)];
        let fields = if has_kind { [spec, inline].concat() } else { spec };
        object(vec![("kind", kind.filter(|_| has_kind)), ("spec", Some(object(fields)))])
    });
    let optional = |strategy: BoxedStrategy<Value>| prop_oneof![3 => strategy.prop_map(Some), 1 => Just(None), 1 => anything().prop_map(Some)];
    let annotations =
        field(vec![json!({}), json!({"fluxcd.io/version": "v2"}), json!({"fluxcd.io/version": "v1"})]);
    let version = select(vec!["v2", "v2beta1", "v2beta2", "v9"]);
    (version, annotations, optional(chart.boxed()), optional(chart_ref.boxed())).prop_map(
        |(version, annotations, chart, chart_ref)| {
            json!({
                "apiVersion": format!("helm.toolkit.fluxcd.io/{version}"), "kind": "HelmRelease",
                "metadata": object(vec![("name", Some(json!("podinfo"))), ("namespace", Some(json!("apps"))), ("annotations", annotations)]),
                "spec": object(vec![("interval", Some(json!("10m"))), ("values", Some(json!({"a": [1, 2.5, null]}))), ("chart", chart), ("chartRef", chart_ref)]),
            })
        },
    )
}

fn ask(object: &Value, flux: Flux) -> Value {
    Asked { flux, settings: Settings::default(), manager: "kubectl" }.ask(
        object,
        &Value::Null,
        Endpoint::Mutate,
    )
}

/// The sender of the request, and the facts that decide.
#[derive(Clone, Debug)]
struct Asked {
    flux: Flux,
    settings: Settings,
    manager: &'static str,
}

impl Asked {
    fn ask(&self, object: &Value, old: &Value, endpoint: Endpoint) -> Value {
        let version = object["apiVersion"].as_str().and_then(|it| it.rsplit_once('/'));
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u-1", "operation": if old.is_null() { "CREATE" } else { "UPDATE" },
                "name": "podinfo", "namespace": "apps",
                "kind": {
                    "group": "helm.toolkit.fluxcd.io", "kind": "HelmRelease",
                    "version": version.map_or("v2", |(_, version)| version),
                },
                "object": object, "oldObject": old, "options": {"fieldManager": self.manager},
            },
        });
        let body = serde_json::to_vec(&review).unwrap();
        let facts = Facts::of(self.flux);
        let answer = admission::review(&body, endpoint, &self.settings, &facts).unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Fixes that apply where the stored object is known, and errors that are denied where it is not.
    fn heals(&self, new: &Value, old: &Value) -> Option<Patch> {
        patch_of(&self.ask(new, old, Endpoint::Mutate)).filter(|patch| {
            patch.0.iter().any(|operation| matches!(operation, json_patch::PatchOperation::Remove(_)))
        })
    }

    /// The result of a write by both webhooks, as the API server calls them: /mutate, its patch, then /validate. Nothing
    /// where one denies it.
    fn write(&self, new: &Value, old: &Value) -> Result<Value, Value> {
        let mutated = self.ask(new, old, Endpoint::Mutate);
        check_form(&mutated);
        let mut patched = new.clone();
        if let Some(patch) = patch_of(&mutated) {
            json_patch::patch(&mut patched, &patch).unwrap();
        }
        if mutated["response"]["allowed"] != true {
            return Err(mutated);
        }
        let validated = self.ask(&patched, old, Endpoint::Validate);
        check_form(&validated);
        if validated["response"]["allowed"] == true { Ok(patched) } else { Err(validated) }
    }
}

/// Every setting that patches and denials depend on.
fn asked() -> impl Strategy<Value = Asked> {
    let rule = select(rules().iter().map(|rule| rule.id).collect::<Vec<_>>());
    let of_a_rule = prop::option::weighted(0.3, (rule, select(Mode::ALL.to_vec())));
    let modes = select(vec![Mode::Enforce, Mode::Enforce, Mode::Enforce, Mode::Warn, Mode::Audit, Mode::Off]);
    let spaces = select(vec![CrossNamespace::Allow, CrossNamespace::Deny]);
    let heals = select(vec![Heal::Leftovers, Heal::Never, Heal::All]);
    let managers = select(vec!["kustomize-controller", "kubectl", "helm-controller"]);
    (modes, of_a_rule, any::<bool>(), spaces, heals, 0..10_u8, managers).prop_map(
        |(mode, of_a_rule, fill_namespace, cross_namespace, heal, minor, manager)| {
            let of_a_rule = of_a_rule.map(|(rule, mode)| {
                (rule.to_owned(), RuleSettings { mode: Some(mode), ..RuleSettings::default() })
            });
            let settings = Settings {
                mode,
                rules: of_a_rule.into_iter().collect(),
                chart_ref: ChartRefSettings { fill_namespace, cross_namespace },
                heal,
                ..Settings::default()
            };
            Asked { flux: format!("2.{minor}").parse().unwrap(), settings, manager }
        },
    )
}

/// A stored object, valid or not: it may have been stored before chartgate enforced.
fn stored() -> impl Strategy<Value = Value> {
    let entry = |manager: &str, operation: &str, fields: Value| {
        json!({"manager": manager, "operation": operation, "apiVersion": "helm.toolkit.fluxcd.io/v2",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": fields}})
    };
    let applied = entry("kustomize-controller", "Apply", json!({"f:chartRef": {"f:kind": {}}}));
    let left = entry("lens", "Update", json!({"f:chart": {"f:spec": {"f:interval": {}}}}));
    let managers = select(vec![json!([]), json!([applied]), json!([applied, left])]);
    let named =
        select(vec!["podinfo", "OCIRepository/podinfo.apps", "helmchart/podinfo", "apps-podinfo", "A_b"]);
    let chart_ref = (named, any::<bool>(), any::<bool>()).prop_map(|(name, with_kind, with_namespace)| {
        let mut reference = json!({"name": name});
        if with_kind || !name.contains('/') {
            let kind = if name.starts_with("OCI") { "OCIRepository" } else { "HelmChart" };
            reference["kind"] = json!(kind);
        }
        if with_namespace {
            reference["namespace"] = json!("apps");
        }
        reference
    });
    (release(), managers, prop::option::of(chart_ref), any::<bool>()).prop_map(
        |(mut object, managers, chart_ref, suspend)| {
            object["metadata"]["managedFields"] = managers;
            let spec = object["spec"].as_object_mut().unwrap();
            spec.extend(chart_ref.map(|chart_ref| ("chartRef".to_owned(), chart_ref)));
            // Nothing is stored that the schema does not allow: no null, and in a reference nothing but text.
            if let Some(Value::Object(reference)) = spec.get_mut("chartRef") {
                reference.retain(|_, value| value.is_string());
            }
            for field in ["chart", "chartRef"] {
                if spec.get_mut(field).is_some_and(|value| is_null_without_nulls(value) || !value.is_object())
                {
                    spec.remove(field);
                }
            }
            if suspend {
                spec.insert("suspend".into(), json!(true));
            }
            object
        },
    )
}

/// Whether a value is null, once every null member in it is gone.
fn is_null_without_nulls(value: &mut Value) -> bool {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, value| !is_null_without_nulls(value));
    }
    value.is_null()
}

/// Has every entry of managedFields at the object's own version: no API server writes one at a version that it does not serve.
fn at_own_version(object: &mut Value) {
    let is_known = |version: &Value| {
        ["v2beta1", "v2beta2", "v2"].iter().any(|known| *version == format!("helm.toolkit.fluxcd.io/{known}"))
    };
    if !is_known(&object["apiVersion"]) {
        object["apiVersion"] = json!("helm.toolkit.fluxcd.io/v2");
    }
    let version = object["apiVersion"].clone();
    for entry in object["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
        entry["apiVersion"] = version.clone();
    }
}

/// A write that leaves the user's spec as it was, by its change of the stored object.
fn untouching() -> impl Strategy<Value = fn(&mut Value)> {
    select(Vec::<fn(&mut Value)>::from([
        |_: &mut Value| {},
        |object: &mut Value| {
            if object["metadata"]["annotations"].is_object() {
                object["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"] = json!("now");
            }
        },
        |object: &mut Value| object["metadata"]["labels"] = json!({"a": "b"}),
        |object: &mut Value| object["metadata"]["finalizers"] = json!(["finalizers.fluxcd.io"]),
        |object: &mut Value| object["spec"]["suspend"] = json!(true),
        |object: &mut Value| _ = object["spec"].as_object_mut().unwrap().remove("suspend"),
        |object: &mut Value| object["status"] = json!({"helmChart": "apps/apps-podinfo"}),
        |object: &mut Value| {
            let entry = json!({"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {}},
                "apiVersion": "helm.toolkit.fluxcd.io/v2"});
            object["metadata"]["managedFields"].as_array_mut().unwrap().insert(0, entry);
        },
    ]))
}

/// The same reference in another spelling, which a fix makes what it was.
fn respelled(object: &mut Value, how: u8) {
    let Some(reference) = object["spec"].get_mut("chartRef").and_then(Value::as_object_mut) else { return };
    let text = |field: &str| reference.get(field).and_then(Value::as_str).map(str::to_owned);
    let (kind, name, namespace) = (text("kind"), text("name"), text("namespace"));
    match how {
        0 if namespace.as_deref() == Some("apps") => _ = reference.remove("namespace"),
        1 if namespace.is_none() && !reference.contains_key("namespace") => {
            let named = name.as_deref().and_then(|name| name.split_once('.'));
            if named.is_none() {
                reference.insert("namespace".into(), json!("apps"));
            }
        }
        2 if ["OCIRepository", "HelmChart"].map(Some).contains(&kind.as_deref()) => {
            reference.extend(kind.map(|kind| ("kind".to_owned(), json!(kind.to_lowercase()))));
        }
        3 if kind.as_deref() == Some("OCIRepository") && name.as_deref() == Some("podinfo") => {
            reference.remove("kind");
            reference.insert("name".into(), json!("OCIRepository/podinfo"));
        }
        _ => {}
    }
}

fn check_form(answer: &Value) {
    assert_eq!(
        (&answer["apiVersion"], &answer["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    let response = &answer["response"];
    assert_eq!(response["uid"], "u-1");
    let allowed = response["allowed"].as_bool().unwrap();
    assert_eq!(response.get("status").is_some(), !allowed);
    assert!(allowed || response.get("patch").is_none());
    for warning in response["warnings"].as_array().into_iter().flatten() {
        let warning = warning.as_str().unwrap();
        assert!(warning.chars().count() <= 120 && !warning.contains(char::is_control), "{warning}");
    }
}

fn patch_of(answer: &Value) -> Option<Patch> {
    let patch = answer["response"]["patch"].as_str()?;
    let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, patch).unwrap();
    Some(serde_json::from_slice(&bytes).unwrap())
}

/// Removes what a patch may touch.
fn untouchable(mut object: Value) -> Value {
    if let Some(annotations) = object["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("fluxcd.io/version");
    }
    if object["metadata"]["annotations"] == json!({}) || object["metadata"]["annotations"].is_null() {
        object["metadata"].as_object_mut().unwrap().remove("annotations");
    }
    if let Some(chart_ref) = object["spec"].get_mut("chartRef").and_then(Value::as_object_mut) {
        chart_ref.retain(|key, _| !["kind", "name", "namespace", "apiVersion"].contains(&key.as_str()));
    }
    if let Some(chart) = object["spec"].get_mut("chart").and_then(Value::as_object_mut) {
        chart.remove("kind");
    }
    // A null that server-side apply would keep is taken away.
    if let Some(chart) =
        object["spec"].get_mut("chart").and_then(|chart| chart.get_mut("spec")).and_then(Value::as_object_mut)
    {
        chart.retain(|key, value| !(key == "interval" && value.is_null()));
        if let Some(source) = chart.get_mut("sourceRef").and_then(Value::as_object_mut) {
            source.retain(|key, value| !(key == "namespace" && value.is_null()));
        }
    }
    if let Some(spec) = object["spec"].as_object_mut() {
        spec.retain(|key, value| !(value.is_null() && ["chart", "chartRef"].contains(&key.as_str())));
    }
    object
}

/// A text of parts that spell, in any order and cut anywhere, the words for which Flux would delete an object.
fn hostile() -> impl Strategy<Value = Value> {
    let parts = vec![
        "is",
        " ",
        "\t",
        "\n",
        "\u{a0}",
        "immutable",
        "Immutable",
        "immutabl",
        "field",
        "x",
        ".",
        "\"",
        "…",
        "/",
    ];
    let padding = 0..60_usize;
    (padding, prop::collection::vec(select(parts), 0..8))
        .prop_map(|(padding, parts)| json!(format!("{}{}", "x".repeat(padding), parts.concat())))
}

/// Words that must never appear in a denial: fluxcd/pkg/ssa (v0.76.2) deletes for `is\simmutable` and `immutable\sfield`.
fn deletes(text: &str) -> bool {
    let blank = |text: &str| text.starts_with(['\t', '\n', '\u{c}', '\r', ' ']);
    text.match_indices("immutable").any(|(start, word)| {
        let (before, behind) = (&text[..start], &text[start + word.len()..]);
        let is_before = before
            .char_indices()
            .next_back()
            .is_some_and(|(at, _)| blank(&before[at..]) && before[..at].ends_with("is"));
        is_before || blank(behind) && behind[1..].starts_with("field")
    })
}

/// An update whose every text is hostile, with owners of the chart and entries at old versions.
fn hostile_review() -> impl Strategy<Value = Value> {
    let chart_ref = (field_of(hostile()), field_of(hostile()), field_of(hostile()), field_of(hostile()));
    let chart_ref = chart_ref.prop_map(|(kind, name, namespace, api_version)| {
        let kind = kind.or_else(|| Some(json!("HelmChart")));
        object(vec![("kind", kind), ("name", name), ("namespace", namespace), ("apiVersion", api_version)])
    });
    let whole =
        json!({"spec": {"chart": "podinfo", "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}}});
    let partial = hostile().prop_map(|key| json!({"spec": {key.as_str().unwrap(): 1, "version": "1"}}));
    let chart = prop_oneof![Just(None), Just(Some(whole)), partial.prop_map(Some)];
    let texts = (hostile(), hostile(), hostile(), hostile(), hostile(), hostile());
    let version = select(vec!["v2", "v2beta1", "v2beta2", "v9"]);
    (chart_ref.prop_map(Some), chart, texts, version, any::<bool>(), any::<bool>()).prop_map(
        |(chart_ref, chart, (manager, time, annotation, gone, name, force), version, has_ref, applies)| {
            let entry = |manager: &Value, version: &Value| {
                json!({"manager": manager, "operation": "Update", "time": time,
                    "apiVersion": format!("helm.toolkit.fluxcd.io/{}", version.as_str().unwrap()),
                    "fieldsV1": {"f:spec": {"f:chart": {"f:spec": {(format!("f:{}", manager.as_str().unwrap())): {}}}},
                                 "f:metadata": {"f:annotations": {"f:fluxcd.io/version": {}}}}})
            };
            let applier = if applies { manager.clone() } else { json!("kubectl") };
            let release = |chart_ref: Option<Value>, chart: Option<Value>| {
                json!({
                    "apiVersion": format!("helm.toolkit.fluxcd.io/{version}"), "kind": "HelmRelease",
                    "metadata": {
                        "name": name, "namespace": "apps",
                        "annotations": {"fluxcd.io/version": annotation, "kustomize.toolkit.fluxcd.io/force": if force == "x" { json!("no") } else { json!("enabled") }},
                        "managedFields": [entry(&manager, &json!("v2")), entry(&manager, &gone)],
                    },
                    "spec": object(vec![("chart", chart), ("chartRef", chart_ref)]),
                })
            };
            let old = release(None, Some(json!({"spec": {"chart": "podinfo", "valuesFiles": ["a"],
                "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}}})));
            json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "request": {
                    "uid": "u-1", "operation": "UPDATE", "name": name, "namespace": "apps",
                    "kind": {"group": "helm.toolkit.fluxcd.io", "version": version, "kind": "HelmRelease"},
                    "object": release(chart_ref.filter(|_| has_ref), chart), "oldObject": old,
                    "options": {"fieldManager": applier},
                },
            })
        },
    )
}

/// A field that is absent or has a value.
fn field_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![1 => Just(None), 4 => value.prop_map(Some)]
}

/// Every rule denies that finds anything, also those that otherwise warn.
fn severe(heal: Heal, docs: Option<String>) -> Settings {
    let level = RuleSettings { mode: None, level: Some(Level::Error) };
    let mut settings = Settings { heal, docs, ..Settings::default() };
    settings.rules = rules().iter().map(|rule| (rule.id.to_owned(), level)).collect();
    settings.chart_ref.cross_namespace = CrossNamespace::Deny;
    settings
}

/// The same cases in every run.
fn each<T>(count: u32, strategy: &impl Strategy<Value = T>, mut judge: impl FnMut(T)) {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..count {
        judge(proptest::strategy::ValueTree::current(&strategy.new_tree(&mut runner).unwrap()));
    }
}

#[test]
fn the_words_are_known_by_which_flux_deletes() {
    for text in [
        "it is immutable",
        "is\timmutable",
        "immutable field",
        "x immutable\nfields",
        "immutableimmutable field",
    ] {
        assert!(deletes(text), "{text}");
    }
    for text in ["is·immutable·field", "is  immutable", "Is Immutable", "isimmutable", "\"immutable\" field"]
    {
        assert!(!deletes(text), "{text}");
    }
}

#[test]
fn no_denial_has_the_words_for_which_flux_deletes_whatever_the_object_holds() {
    let (mut denied_by, mut had_words) = (BTreeSet::new(), 0);
    let mut index = 0_u8;
    each(10_000, &hostile_review(), |review| {
        index = index.wrapping_add(1);
        let heal = [Heal::Never, Heal::Leftovers, Heal::All][usize::from(index % 3)];
        let settings = severe(heal, index.is_multiple_of(2).then(|| "https://example.org/rules".to_owned()));
        let flux = format!("2.{}", index % 10).parse().unwrap();
        let endpoint = if index.is_multiple_of(5) { Endpoint::Mutate } else { Endpoint::Validate };
        let body = serde_json::to_vec(&review).unwrap();
        let answer = admission::review(&body, endpoint, &settings, &Facts::of(flux)).unwrap();
        let text: Value = serde_json::from_slice(&answer.body).unwrap();
        let status = &text["response"]["status"];
        if status.is_null() {
            return;
        }
        assert_eq!((&status["code"], &status["reason"]), (&json!(403), &json!("Forbidden")));
        let causes = status["details"]["causes"].as_array().unwrap().iter();
        let causes = causes.flat_map(|cause| [&cause["message"], &cause["field"]]);
        for text in causes.chain([&status["message"]]) {
            let text = text.as_str().unwrap();
            assert!(!deletes(text), "{text:?}");
            had_words += usize::from(text.contains("·immutable") || text.contains("immutable·"));
        }
        let message = status["message"].as_str().unwrap();
        denied_by
            .extend(rules().iter().map(|rule| rule.id).filter(|id| message.contains(&format!("[{id}] "))));
    });
    assert!(had_words > 100, "only {had_words} texts had them");
    for rule in [
        "chart-and-chart-ref",
        "partial-chart",
        "chart-ref-kind",
        "chart-ref-name",
        "chart-ref-namespace",
        "managed-fields-version",
        "migration-order",
        "force-deletes",
    ] {
        assert!(denied_by.contains(rule), "{rule} is not among {denied_by:?}");
    }
}

/// An update to a chartRef, right or wrong, over a chart of which others own a part or all.
fn switches() -> impl Strategy<Value = (Value, Value)> {
    let texts = |texts: &[&str]| texts.iter().map(|text| json!(text)).collect::<Vec<_>>();
    let chart_ref = (
        field(texts(&["OCIRepository", "HelmChart", "ocirepository", "ExternalArtifact", "Bucket", ""])),
        field(texts(&[
            "podinfo",
            "OCIRepository/podinfo.apps",
            "helmchart/podinfo",
            "apps-podinfo",
            "A_b",
            "it's",
            "",
        ])),
        field(texts(&["apps", "other", "A", ""])),
        field(texts(&["source.toolkit.fluxcd.io/v1", "source.toolkit.fluxcd.io/v1beta2", "v1"])),
    );
    let chart_ref = chart_ref.prop_map(|(kind, name, namespace, api_version)| {
        object(vec![("kind", kind), ("name", name), ("namespace", namespace), ("apiVersion", api_version)])
    });
    let whole =
        json!({"spec": {"chart": "podinfo", "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}}});
    let left =
        select(vec![whole.clone(), json!({"spec": {"interval": "5m"}}), json!({"spec": {"version": "*"}})]);
    let stored = select(vec![whole, json!({"spec": {"interval": "5m"}}), Value::Null]);
    let entries = select(vec!["v2", "v2beta2", "v2beta1", "v1"]);
    let versions = select(vec!["v2", "v2beta1", "v2beta2"]);
    let annotations = select(vec![
        json!({}),
        json!({"fluxcd.io/version": "v2beta1"}),
        json!({"kustomize.toolkit.fluxcd.io/force": "enabled"}),
    ]);
    (chart_ref, left, stored, entries, versions, annotations).prop_map(
        |(chart_ref, left, stored, entry, version, annotations)| {
            let entry = json!({"manager": "lens", "operation": "Update",
                "apiVersion": format!("helm.toolkit.fluxcd.io/{entry}"),
                "fieldsV1": {"f:spec": {"f:chart": {"f:spec": {"f:interval": {}}}}}});
            let release = |spec: Value| {
                json!({
                    "apiVersion": format!("helm.toolkit.fluxcd.io/{version}"), "kind": "HelmRelease",
                    "metadata": {"name": "podinfo", "namespace": "apps", "annotations": annotations, "managedFields": [entry]},
                    "spec": spec,
                })
            };
            (release(json!({"chart": left, "chartRef": chart_ref})), release(json!({"interval": "10m", "chart": stored})))
        },
    )
}

fn update(object: &Value, old: &Value, manager: &str, version: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "UPDATE", "name": "podinfo", "namespace": "apps",
            "kind": {"group": "helm.toolkit.fluxcd.io", "version": version, "kind": "HelmRelease"},
            "object": object, "oldObject": old, "options": {"fieldManager": manager},
        },
    })
}

/// The JSON Patch of the command that a message offers.
fn offered(message: &str) -> Option<Patch> {
    let (_, command) = message.split_once("kubectl patch helmrelease podinfo -n apps --type=json -p '")?;
    let (patch, _) = command.split_once("'\n")?;
    Some(serde_json::from_str(&patch.replace(r"'\''", "'")).unwrap())
}

#[test]
fn a_command_that_a_denial_offers_is_never_denied() {
    let (mut commands, mut without) = (0, 0);
    let mut index = 0_u8;
    each(20_000, &switches(), |(new, old)| {
        index = index.wrapping_add(1);
        let mut settings =
            Settings { heal: [Heal::Never, Heal::Leftovers][usize::from(index % 2)], ..Settings::default() };
        if index.is_multiple_of(3) {
            settings.chart_ref.cross_namespace = CrossNamespace::Deny;
        }
        let flux: Flux = format!("2.{}", index % 10).parse().unwrap();
        let version = new["apiVersion"].as_str().and_then(|it| it.rsplit_once('/')).map_or("", |it| it.1);
        if flux.schema(version).is_none() {
            return; // The API server would not have such a request.
        }
        let review = |object: &Value, old: &Value, manager: &str, endpoint| {
            let (_, version) = object["apiVersion"].as_str().unwrap().rsplit_once('/').unwrap();
            let body = serde_json::to_vec(&update(object, old, manager, version)).unwrap();
            let answer = admission::review(&body, endpoint, &settings, &Facts::of(flux)).unwrap();
            serde_json::from_slice::<Value>(&answer.body).unwrap()
        };
        let denied = review(&new, &old, "kustomize-controller", Endpoint::Mutate);
        let Some(message) = denied["response"]["status"]["message"].as_str() else { return };
        let Some(patch) = offered(message) else {
            without += usize::from(message.contains("first correct what "));
            return;
        };
        commands += 1;
        // kubectl patches at the version that is preferred; the API server converts.
        let mut before = old.clone();
        before["apiVersion"] = json!(format!("helm.toolkit.fluxcd.io/{}", flux.newest_schema().version));
        let mut after = before.clone();
        json_patch::patch(&mut after, &patch).unwrap();
        let mutated = review(&after, &before, "kubectl-patch", Endpoint::Mutate);
        assert_eq!(mutated["response"]["allowed"], true, "{message}\n{mutated}");
        if let Some(patch) = patch_of(&mutated) {
            json_patch::patch(&mut after, &patch).unwrap();
        }
        let validated = review(&after, &before, "kubectl-patch", Endpoint::Validate);
        assert_eq!(validated["response"]["allowed"], true, "{message}\n{validated}");
    });
    assert!(commands > 100 && without > 100, "{commands} commands, {without} denials without one");
}

proptest! {
    #![proptest_config(config())]

    /// The promise of the ratchet, for both webhooks together.
    #[test]
    fn a_write_that_leaves_the_spec_as_it_was_is_never_denied(
        stored in stored(), write in untouching(), how in 0..8_u8, asked in asked()
    ) {
        let mut stored = stored;
        let mut new = stored.clone();
        write(&mut new);
        at_own_version(&mut stored);
        at_own_version(&mut new);
        let literal = new["spec"].clone();
        respelled(&mut new, how);
        let written = asked.write(&new, &stored);
        prop_assert!(written.is_ok(), "{} onto {} by {:?}: {}", new, stored, asked, written.unwrap_err());
        let Ok(patched) = written else { unreachable!("it was just asserted") };
        // Where an error stays, the schema must find the stored spec, and nothing that chartgate patched.
        let validated = Asked { settings: Settings { mode: Mode::Enforce, rules: [].into(), ..asked.settings.clone() }, ..asked.clone() }
            .ask(&patched, &Value::Null, Endpoint::Validate);
        if validated["response"]["allowed"] == false && new["spec"] == literal {
            prop_assert_eq!(&patched["spec"], &literal, "{}", validated);
        }
        // It stays so: the next time, nothing is left to be patched.
        let again = asked.write(&patched, &patched);
        prop_assert_eq!(again, Ok(patched));
    }

    /// The ratchet is about what the user leaves alone, and about nothing else.
    #[test]
    fn a_changed_spec_with_an_error_is_denied(stored in stored(), asked in asked()) {
        let mut asked = asked;
        (asked.settings.mode, asked.settings.rules) = (Mode::Enforce, [].into());
        let mut new = stored.clone();
        new["spec"]["values"]["a"] = json!([1, 2.5]);
        let created = asked.write(&new, &Value::Null);
        if created.is_err() && asked.heals(&new, &stored).is_none() {
            prop_assert!(asked.write(&new, &stored).is_err(), "{} onto {} by {:?}", new, stored, asked);
        }
    }

    #[test]
    fn any_object_gets_an_answer_of_the_right_form(object in anything()) {
        check_form(&ask(&object, Flux::NEWEST));
    }

    #[test]
    fn a_patch_applies_touches_only_what_it_may_and_leaves_nothing_to_patch(release in release(), minor in 0..11_u8) {
        let flux = format!("2.{minor}").parse().unwrap();
        let answer = ask(&release, flux);
        check_form(&answer);
        if let Some(patch) = patch_of(&answer) {
            let mut patched = release.clone();
            json_patch::patch(&mut patched, &patch).unwrap();
            prop_assert_eq!(untouchable(patched.clone()), untouchable(release));
            let again = ask(&patched, flux);
            prop_assert!(again["response"].get("patch").is_none(), "{} then {}", answer, again);
            prop_assert_eq!(&again["response"]["allowed"], &json!(true));
        }
    }
}
