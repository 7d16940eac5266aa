//! Checks that the annotation follows the manager that applies the spec, whichever other managers write, and that the
//! audit agrees.
//!
//! The API server and kustomize-controller are simulated here, as far as field managers go, so that thousands of orders of
//! writes can be tried; the real ones are in `tests/cluster/annotation.rs`.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use chartgate::{
    admission::{self, Endpoint},
    audit::{Audit, Auditor, Detail},
    policy::{Facts, Flux, Settings},
};
use json_patch::Patch;
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json, value::RawValue};

const GROUP: &str = "helm.toolkit.fluxcd.io";
const KEY: &str = "fluxcd.io/version";
const FLUX: &str = "kustomize-controller";

/// The last minor that serves all three versions of the API.
fn facts() -> Facts {
    Facts::of("2.6".parse().unwrap())
}

/// One release in a cluster.
#[derive(Debug, Clone)]
struct Cluster {
    stored: Value,
}

/// The writes of others than Flux.
#[derive(Debug, Clone)]
struct Write {
    manager: &'static str,
    version: &'static str,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// `flux reconcile`: another annotation.
    Request,
    /// helm-controller, once.
    Finalizer,
    /// `kubectl edit` of a field that Git does not state.
    Edit,
    /// A tool that applies one field.
    ApplyPart,
    /// `kubectl annotate`, or a restore of an old state.
    Annotate(Option<&'static str>),
}

#[derive(Debug, Clone)]
enum Step {
    Write(Write),
    /// kustomize-controller at its interval.
    Reconcile,
    /// `apiVersion: v2` in Git.
    Bump,
}

fn api(version: &str) -> String {
    format!("{GROUP}/{version}")
}

fn annotation(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][KEY].as_str()
}

/// Adds fields to the entry of a manager, as the API server keeps them: one entry for applying, one by version for updates.
fn own(object: &mut Value, (manager, operation, version): (&str, &str, &str), fields: &Value) {
    let entries = object["metadata"]["managedFields"].as_array_mut().unwrap();
    let known = entries.iter_mut().find(|entry| {
        entry["manager"] == manager
            && entry["operation"] == operation
            && (operation == "Apply" || entry["apiVersion"] == api(version))
    });
    match known {
        Some(entry) => {
            entry["apiVersion"] = json!(api(version));
            merge(&mut entry["fieldsV1"], fields);
        }
        None => entries.push(json!({
            "manager": manager, "operation": operation, "apiVersion": api(version), "fieldsType": "FieldsV1",
            "time": "2026-01-01T00:00:00Z", "fieldsV1": fields,
        })),
    }
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().unwrap() {
        merge(into.as_object_mut().unwrap().entry(key).or_insert_with(|| json!({})), value);
    }
}

fn chart() -> Value {
    json!({"interval": "10m", "chart": {"spec": {"chart": "podinfo", "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}}}})
}

fn chart_fields() -> Value {
    json!({"f:spec": {"f:interval": {}, "f:chart": {"f:spec": {"f:chart": {}, "f:sourceRef": {"f:kind": {}, "f:name": {}}}}}})
}

/// Answers a review: the object after the patch, and the warnings.
fn mutate(object: &Value, old: &Value, manager: &str, version: &str) -> (Value, Vec<String>) {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": if old.is_null() { "CREATE" } else { "UPDATE" }, "name": "app", "namespace": "apps",
            "kind": {"group": GROUP, "version": version, "kind": "HelmRelease"},
            "object": object, "oldObject": old, "options": {"fieldManager": manager},
        },
    });
    let body = serde_json::to_vec(&review).unwrap();
    let answer = admission::review(&body, Endpoint::Mutate, &Settings::default(), &facts()).unwrap();
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let response = &answer["response"];
    assert_eq!(response["allowed"], true, "{answer}");
    let mut after = object.clone();
    if let Some(patch) = response["patch"].as_str() {
        let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, patch).unwrap();
        json_patch::patch(&mut after, &serde_json::from_slice::<Patch>(&bytes).unwrap()).unwrap();
    }
    let warnings = response["warnings"].as_array().into_iter().flatten();
    (after, warnings.map(|warning| warning.as_str().unwrap().to_owned()).collect())
}

// === impl Cluster ===

impl Cluster {
    /// As it was before chartgate: applied by Flux at an old version.
    fn before(version: &str, annotated: Option<&str>) -> Self {
        let mut stored = json!({
            "kind": "HelmRelease", "spec": chart(),
            "metadata": {"name": "app", "namespace": "apps", "annotations": {"a": "b"}, "managedFields": []},
        });
        if let Some(value) = annotated {
            stored["metadata"]["annotations"][KEY] = json!(value);
        }
        own(&mut stored, (FLUX, "Apply", version), &chart_fields());
        Self { stored }
    }

    fn read(&self, version: &str) -> Value {
        let mut object = self.stored.clone();
        object["apiVersion"] = json!(api(version));
        object
    }

    /// Another manager writes. It sets the annotation itself, and no webhook is called.
    fn write(&mut self, write: &Write) {
        let Write { manager, version, what } = write;
        let old = self.read(version);
        let mut object = old.clone();
        let (operation, fields) = match what {
            What::Request => {
                object["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"] = json!("now");
                (
                    "Update",
                    json!({"f:metadata": {"f:annotations": {"f:reconcile.fluxcd.io/requestedAt": {}}}}),
                )
            }
            What::Finalizer => {
                object["metadata"]["finalizers"] = json!(["finalizers.fluxcd.io"]);
                ("Update", json!({"f:metadata": {"f:finalizers": {}}}))
            }
            What::Edit => {
                object["spec"]["timeout"] = json!("5m");
                ("Update", json!({"f:spec": {"f:timeout": {}}}))
            }
            What::ApplyPart => {
                object["spec"]["chart"]["spec"]["interval"] = json!("5m");
                ("Apply", json!({"f:spec": {"f:chart": {"f:spec": {"f:interval": {}}}}}))
            }
            What::Annotate(value) => {
                let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
                match value {
                    Some(value) => _ = annotations.insert(KEY.to_owned(), json!(value)),
                    None => _ = annotations.remove(KEY),
                }
                ("Update", json!({"f:metadata": {"f:annotations": {format!("f:{KEY}"): {}}}}))
            }
        };
        own(&mut object, (manager, operation, version), &fields);
        let (after, warnings) = mutate(&object, &old, manager, version);
        assert_eq!(annotation(&after), annotation(&object), "{write:?}");
        assert!(!warnings.iter().any(|warning| warning.contains("version-annotation")), "{warnings:?}");
        self.stored = after;
    }

    /// kustomize-controller: a dry run, and an apply where that differs in anything but apiVersion. Returns whether it
    /// applied.
    fn reconcile(&mut self, version: &str) -> bool {
        let old = self.read(version);
        let mut object = old.clone();
        own(&mut object, (FLUX, "Apply", version), &chart_fields());
        let (after, _) = mutate(&object, &old, FLUX, version);
        assert_eq!(mutate(&object, &old, FLUX, version).0, after, "the same input, the same patch");
        assert_eq!(mutate(&after, &old, FLUX, version).0, after, "once more, and nothing more");
        let seen = |object: &Value| (object["metadata"]["annotations"].clone(), object["spec"].clone());
        let drifts = seen(&after) != seen(&old);
        if drifts {
            self.stored = after;
        }
        drifts
    }

    /// The version of Flux's entry.
    fn applied_at(&self) -> &str {
        let mut entries = self.stored["metadata"]["managedFields"].as_array().unwrap().iter();
        let own = entries.find(|entry| entry["manager"] == FLUX && entry["operation"] == "Apply").unwrap();
        own["apiVersion"].as_str().unwrap().rsplit('/').next().unwrap()
    }

    /// Reconciles at v2 until nothing changes; phase 1 is done then.
    fn finishes(&mut self) {
        let applies = (0..5).take_while(|_| self.reconcile("v2")).count();
        assert!(applies < 4, "it does not come to rest: {}", self.stored);
        assert_eq!((self.applied_at(), annotation(&self.stored)), ("v2", Some("v2")), "{}", self.stored);
    }
}

fn foreign(version: &'static str, what: What) -> Step {
    let manager = match what {
        What::Request => "flux",
        What::Finalizer => "helm-controller",
        What::Edit => "kubectl-edit",
        What::ApplyPart => "lens",
        What::Annotate(_) => "kubectl-annotate",
    };
    Step::Write(Write { manager, version, what })
}

/// Plays the steps; Git is at `git` until it is bumped.
fn play(mut cluster: Cluster, mut git: &'static str, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Write(write) => cluster.write(write),
            Step::Bump => git = "v2",
            Step::Reconcile => {
                let hidden = cluster.applied_at() != git && annotation(&cluster.stored) == Some(git);
                cluster.reconcile(git);
                assert!(hidden || annotation(&cluster.stored) == Some(git), "{git}: {}", cluster.stored);
            }
        }
    }
    cluster.finishes();
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let versions = select(vec!["v2beta1", "v2beta2", "v2"]);
    let values = select(vec![None, Some("v2"), Some("v2beta2"), Some("v1"), Some("")]);
    let what = prop_oneof![
        2 => Just(What::Request), 2 => Just(What::Finalizer), 1 => Just(What::Edit), 1 => Just(What::ApplyPart),
        2 => values.prop_map(What::Annotate),
    ];
    let step = prop_oneof![
        3 => (versions, what).prop_map(|(version, what)| foreign(version, what)),
        3 => Just(Step::Reconcile),
        1 => Just(Step::Bump),
    ];
    vec(step, 0..10)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn phase_1_finishes_by_itself_after_any_writes_of_others(
        steps in steps(),
        version in select(vec!["v2beta1", "v2beta2", "v2"]),
        annotated in select(vec![None, Some("v2"), Some("v2beta2"), Some("v2beta1"), Some("v1")]),
    ) {
        play(Cluster::before(version, annotated), version, &steps);
    }
}

#[test]
fn every_order_of_a_write_at_v2_and_a_bump_in_git_ends_at_v2() {
    let reconcile = || foreign("v2", What::Request);
    for annotated in [None, Some("v2beta2"), Some("v2")] {
        for steps in [
            vec![reconcile(), Step::Bump, Step::Reconcile],
            vec![reconcile(), Step::Reconcile, Step::Bump, Step::Reconcile],
            vec![Step::Reconcile, reconcile(), Step::Bump, Step::Reconcile],
            vec![Step::Bump, reconcile(), Step::Reconcile],
            vec![Step::Bump, Step::Reconcile, reconcile()],
            vec![Step::Reconcile, Step::Bump, reconcile(), Step::Reconcile],
        ] {
            play(Cluster::before("v2beta2", annotated), "v2beta2", &steps);
        }
    }
}

#[test]
fn the_first_apply_fills_the_annotation_and_a_restore_does_not() {
    let object = |manager: &str, operation: &str, version: &str| {
        let mut cluster = Cluster::before(version, None);
        cluster.stored["metadata"]["managedFields"] = json!([]);
        own(&mut cluster.stored, (manager, operation, version), &chart_fields());
        cluster.read(version)
    };
    for (manager, operation, version, expected) in [
        (FLUX, "Apply", "v2beta2", Some("v2beta2")),
        ("helm", "Update", "v2beta1", Some("v2beta1")),
        ("kubectl-client-side-apply", "Update", "v2", Some("v2")),
        ("kubectl-create", "Update", "v2", Some("v2")),
        ("my-installer", "Update", "v2", Some("v2")),
        ("velero-server", "Update", "v2", None),
    ] {
        let new = object(manager, operation, version);
        let (after, warnings) = mutate(&new, &Value::Null, manager, version);
        assert_eq!(annotation(&after), expected, "{manager}");
        assert!(!warnings.iter().any(|it| it.contains("version-annotation")), "{manager}: {warnings:?}");
    }
}

#[test]
fn a_value_that_another_manifest_states_is_left_to_it() {
    let mut cluster = Cluster::before("v2", Some("v1"));
    own(
        &mut cluster.stored,
        ("argocd-controller", "Apply", "v2"),
        &json!({"f:metadata": {"f:annotations": {format!("f:{KEY}"): {}}}}),
    );
    assert!(!cluster.reconcile("v2"), "two who apply it would write in turns");
    assert_eq!(annotation(&cluster.stored), Some("v1"));
}

/// The audit of one release on a minor of Flux.
fn audit(stored: &Value, flux: &str) -> Audit {
    let flux: Flux = flux.parse().unwrap();
    let mut auditor = Auditor::new(&Settings::default(), Facts::of(flux), Detail::Everything);
    let raw = |version: &str| {
        let mut object = stored.clone();
        object["apiVersion"] = json!(api(version));
        RawValue::from_string(object.to_string()).unwrap()
    };
    let version = auditor.version().to_owned();
    auditor.judge(&raw(&version));
    for version in auditor.pending() {
        auditor.judge_again(&version, &raw(&version));
    }
    auditor.into_audit(Vec::new())
}

/// Phase, blockers, and the next step.
fn readiness(stored: &Value, flux: &str) -> (String, Vec<String>, String) {
    let audit = audit(stored, flux);
    let [release] = &audit.releases[..] else { panic!("one release is judged: {audit:?}") };
    let blockers = release.blockers.iter().map(|blocker| blocker.what.clone()).collect();
    (release.phase.as_str().to_owned(), blockers, release.next_step().unwrap_or_default().to_owned())
}

#[test]
fn a_tool_that_applied_one_field_does_not_decide_about_the_phase() {
    let mut cluster = Cluster::before("v2", Some("v2"));
    own(
        &mut cluster.stored,
        ("lens", "Apply", "v2beta2"),
        &json!({"f:spec": {"f:chart": {"f:spec": {"f:interval": {}}}}}),
    );
    let (phase, blockers, next) = readiness(&cluster.stored, "2.6");
    assert_eq!(phase, "1b");
    assert_eq!(blockers, ["managedFields are behind: lens at v2beta2", "lens owns spec.chart.spec.interval"]);
    assert!(next.starts_with("run flux migrate"), "{next}");
}

fn moved(version: &str) -> Cluster {
    let mut cluster = Cluster::before(version, Some(version));
    cluster.stored["spec"] =
        json!({"interval": "10m", "chartRef": {"kind": "OCIRepository", "name": "a", "namespace": "apps"}});
    cluster.stored["metadata"]["managedFields"] = json!([]);
    own(
        &mut cluster.stored,
        (FLUX, "Apply", version),
        &json!({"f:spec": {"f:chartRef": {"f:kind": {}, "f:name": {}}}}),
    );
    cluster
}

#[test]
fn a_release_that_has_moved_is_asked_for_its_versions_too() {
    let none: [&str; 0] = [];
    let (phase, blockers, next) = readiness(&moved("v2").stored, "2.9");
    assert_eq!((phase.as_str(), &blockers[..], next.as_str()), ("2", &none.map(str::to_owned)[..], ""));

    // Its manifest is at a version that is gone, and so is its entry.
    let (phase, blockers, next) = readiness(&moved("v2beta2").stored, "2.9");
    assert_eq!(phase, "2");
    assert_eq!(
        blockers,
        [
            "kustomize-controller applies it at v2beta2",
            "managedFields name a version that is gone, so every apply is refused: kustomize-controller at v2beta2",
        ]
    );
    assert!(
        next.starts_with("commit: set apiVersion to helm.toolkit.fluxcd.io/v2 in the manifest; "),
        "{next}"
    );

    // Still served: the commit alone is enough.
    let (_, blockers, _) = readiness(&moved("v2beta2").stored, "2.7");
    assert_eq!(blockers, ["kustomize-controller applies it at v2beta2"]);

    // The entry of another manager blocks the next apply.
    let mut cluster = moved("v2");
    own(
        &mut cluster.stored,
        ("labeller", "Update", "v2beta1"),
        &json!({"f:metadata": {"f:labels": {"f:a": {}}}}),
    );
    let (phase, blockers, next) = readiness(&cluster.stored, "2.9");
    assert_eq!(phase, "2");
    assert_eq!(
        blockers,
        ["managedFields name a version that is gone, so every apply is refused: labeller at v2beta1"]
    );
    assert!(next.starts_with("run flux migrate"), "{next}");
}

#[test]
fn where_the_annotation_is_ahead_another_one_is_to_be_changed() {
    let next = |annotated| readiness(&Cluster::before("v2beta2", annotated).stored, "2.6").2;
    let ahead = "the annotation fluxcd.io/version is v2 already, so where chartgate does not enforce, change another annotation";
    assert!(next(Some("v2")).contains(ahead), "{}", next(Some("v2")));
    assert!(!next(Some("v2beta2")).contains("already"), "{}", next(Some("v2beta2")));
}

#[test]
fn without_any_owner_a_release_is_not_ready_to_move() {
    let mut cluster = Cluster::before("v2", Some("v2"));
    cluster.stored["metadata"]["managedFields"] = json!([]);
    let (phase, blockers, next) = readiness(&cluster.stored, "2.9");
    assert_eq!(phase, "1b");
    assert_eq!(blockers, ["managedFields are empty, so a manifest without spec.chart does not remove it"]);
    assert!(next.starts_with("commit: change any annotation in the manifest, and keep spec.chart"), "{next}");
}
