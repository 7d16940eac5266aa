//! What holds for every object, however it is made.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use chartgate::{
    admission::{self, Endpoint},
    policy::{Facts, Flux, Settings},
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
    let chart = (field(texts(&["podinfo"])), field(vec![source]), field(texts(&["1.x"])));
    let chart = chart.prop_map(|(chart, source, version)| {
        json!({"spec": object(vec![("chart", chart), ("sourceRef", source), ("version", version)])})
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
    let version =
        object["apiVersion"].as_str().and_then(|it| it.rsplit_once('/')).map_or("v2", |(_, version)| version);
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "name": "podinfo", "namespace": "apps",
            "kind": {"group": "helm.toolkit.fluxcd.io", "version": version, "kind": "HelmRelease"},
            "object": object, "oldObject": null, "options": {"fieldManager": "kubectl"},
        },
    });
    let body = serde_json::to_vec(&review).unwrap();
    let answer = admission::review(&body, Endpoint::Mutate, &Settings::default(), &Facts::of(flux)).unwrap();
    serde_json::from_slice(&answer.body).unwrap()
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
    // A null that server-side apply would keep is taken away.
    if let Some(spec) = object["spec"].as_object_mut() {
        spec.retain(|key, value| !(value.is_null() && ["chart", "chartRef"].contains(&key.as_str())));
    }
    object
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_object_gets_an_answer_of_the_right_form(object in anything()) {
        check_form(&ask(&object, Flux::NEWEST));
    }

    #[test]
    fn a_patch_applies_touches_only_what_it_may_and_leaves_nothing_to_patch(release in release(), minor in 0..10_u8) {
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
