//! Admission reviews as a kube-apiserver sends them, for the benchmarks and the load test.
//!
//! The bytes follow Go's encoder: fields of the review in the order of its Go structs, keys of the objects sorted, `<`, `>` and `&`
//! escaped, a line end behind. UPDATEs hold both objects, each with the `managedFields` that kustomize-controller and helm-controller
//! leave, so that every path of the values stands there once more. Each size comes in four: two that nothing is wrong with, one
//! that is patched and one that is denied. Nothing is random: every run sees the same bytes.

mod values;

use serde_json::{Map, Value, json};

/// Reviews of one size.
pub(crate) struct Bodies {
    /// What the figures are named after.
    pub(crate) size: &'static str,
    /// The reviews, to be sent in turn.
    pub(crate) bodies: Vec<Body>,
}

/// One review.
pub(crate) struct Body {
    /// What is to happen to it.
    pub(crate) outcome: &'static str,
    /// The request's body.
    pub(crate) json: String,
}

/// Which fault a `HelmRelease` has.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    NoAnnotation,
    ChartBesideChartRef,
}

/// The three sizes that `docs/performance.md` speaks of.
pub(crate) fn all() -> [Bodies; 3] {
    [
        bodies(
            "2.4 KB CREATE",
            2_400,
            &json!({"image": {"tag": "6.9.2"}, "ingress": {"enabled": true, "className": "nginx", "host": "podinfo.example.com"}, "logLevel": "info", "replicaCount": 2}),
            create,
        ),
        bodies("19 KB UPDATE", 19_000, &values::of_apps(2, 0), update),
        bodies("355 KB UPDATE", 355_000, &values::of_apps(35, 10), update),
    ]
}

fn bodies(size: &'static str, bytes: usize, values: &Value, review: fn(&Value, Fault) -> Value) -> Bodies {
    let body = |outcome, fault| Body { outcome, json: as_go_writes_it(&review(values, fault)) };
    let bodies = vec![
        body("allowed", Fault::None),
        body("patched", Fault::NoAnnotation),
        body("allowed", Fault::None),
        body("denied", Fault::ChartBesideChartRef),
    ];
    for Body { json, .. } in &bodies {
        assert!(json.len().abs_diff(bytes) < bytes / 10, "{} bytes is too far from {size}", json.len());
    }
    Bodies { size, bodies }
}

fn create(values: &Value, fault: Fault) -> Value {
    let mut object = helm_release(values, fault, 1);
    let fields = vec![applied(&object)];
    object["metadata"]["managedFields"] = Value::Array(fields);
    review("CREATE", &object, &Value::Null)
}

/// An image tag has changed, and the fault, if any, is new.
fn update(values: &Value, fault: Fault) -> Value {
    let stored = |fault, generation| {
        let mut object = helm_release(values, fault, generation);
        object["status"] = status();
        let fields =
            vec![applied(&object), finalizers_and_status(&object).0, finalizers_and_status(&object).1];
        object["metadata"]["managedFields"] = Value::Array(fields);
        object
    };
    let mut object = stored(fault, 8);
    object["spec"]["values"]["defaultPodOptions"]["labels"]["release"] = json!("2026-11-22");
    review("UPDATE", &object, &stored(Fault::None, 7))
}

fn review(operation: &str, object: &Value, old_object: &Value) -> Value {
    let kind = json!({"group": "helm.toolkit.fluxcd.io", "version": "v2", "kind": "HelmRelease"});
    let resource = json!({"group": "helm.toolkit.fluxcd.io", "version": "v2", "resource": "helmreleases"});
    let user = "system:serviceaccount:flux-system:kustomize-controller";
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": "podinfo",
            "namespace": "apps",
            "operation": operation,
            "userInfo": {
                "username": user,
                "uid": "f3b8a1de-2c44-4d0e-9f3c-8f1f3a6b7c21",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:flux-system", "system:authenticated"],
                "extra": {
                    "authentication.kubernetes.io/credential-id": ["JTI=2d1f6c0a-5d0b-4a3c-a6c3-0d7b1f4f6a55"],
                    "authentication.kubernetes.io/node-name": ["worker-3"],
                },
            },
            "object": sorted(object),
            "oldObject": sorted(old_object),
            "dryRun": true,
            "options": {
                "kind": "UpdateOptions",
                "apiVersion": "meta.k8s.io/v1",
                "dryRun": ["All"],
                "force": true,
                "fieldManager": "kustomize-controller",
            },
        },
    })
}

fn helm_release(values: &Value, fault: Fault, generation: u32) -> Value {
    let mut object = json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {
            "annotations": {"fluxcd.io/version": "v2"},
            "creationTimestamp": "2026-03-14T09:26:53Z",
            "finalizers": ["finalizers.fluxcd.io"],
            "generation": generation,
            "labels": {
                "kustomize.toolkit.fluxcd.io/name": "apps",
                "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
            },
            "name": "podinfo",
            "namespace": "apps",
            "uid": "0b9e7f6a-6f0e-4f5b-8a54-6d3a0f6f3a11",
        },
        "spec": {
            "chartRef": {"kind": "OCIRepository", "name": "podinfo", "namespace": "apps"},
            "interval": "1h",
            "values": values,
        },
    });
    match fault {
        Fault::None => {}
        // Another one stays: an object that kustomize-controller has applied is seldom without any.
        Fault::NoAnnotation => object["metadata"]["annotations"] = json!({"team": "apps"}),
        Fault::ChartBesideChartRef => {
            object["spec"]["chart"] = json!({"spec": {
                "chart": "podinfo",
                "reconcileStrategy": "ChartVersion",
                "sourceRef": {"kind": "HelmRepository", "name": "podinfo"},
                "version": "6.9.2",
            }});
        }
    }
    object
}

fn status() -> Value {
    let condition = |kind: &str, reason: &str| {
        json!({
            "lastTransitionTime": "2026-11-20T04:00:11Z",
            "message": "Helm upgrade succeeded for release apps/podinfo.v7 with chart podinfo@6.9.2+0a1b2c3d4e5f",
            "observedGeneration": 7,
            "reason": reason,
            "status": "True",
            "type": kind,
        })
    };
    let snapshot = |version: u32, status: &str| {
        json!({
            "appVersion": "6.9.2",
            "chartName": "podinfo",
            "chartVersion": "6.9.2+0a1b2c3d4e5f",
            "configDigest": format!("sha256:{}", values::hex(version.into(), 64)),
            "digest": format!("sha256:{}", values::hex(u64::from(version) + 100, 64)),
            "firstDeployed": "2026-03-14T09:27:02Z",
            "lastDeployed": "2026-11-20T04:00:03Z",
            "name": "podinfo",
            "namespace": "apps",
            "ociDigest": format!("sha256:{}", values::hex(7, 64)),
            "status": status,
            "version": version,
        })
    };
    json!({
        "conditions": [condition("Ready", "UpgradeSucceeded"), condition("Released", "UpgradeSucceeded")],
        "history": [snapshot(7, "deployed"), snapshot(6, "superseded"), snapshot(5, "superseded")],
        "lastAttemptedConfigDigest": format!("sha256:{}", values::hex(7, 64)),
        "lastAttemptedGeneration": 7,
        "lastAttemptedReleaseAction": "upgrade",
        "lastAttemptedRevision": "6.9.2+0a1b2c3d4e5f",
        "lastAttemptedRevisionDigest": format!("sha256:{}", values::hex(7, 64)),
        "observedGeneration": 7,
        "storageNamespace": "apps",
    })
}

// === managedFields ===

/// The entry of the applier: what the manifest says.
fn applied(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let manifest = json!({
        "metadata": {"annotations": metadata["annotations"], "labels": metadata["labels"]},
        "spec": object["spec"],
    });
    entry("kustomize-controller", "Apply", None, &paths(&manifest))
}

/// The two entries of helm-controller.
fn finalizers_and_status(object: &Value) -> (Value, Value) {
    let finalizers = json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"finalizers.fluxcd.io\"": {}}}});
    let status = json!({"status": object["status"]});
    (
        entry("helm-controller", "Update", None, &finalizers),
        entry("helm-controller", "Update", Some("status"), &paths(&status)),
    )
}

fn entry(manager: &str, operation: &str, subresource: Option<&str>, fields: &Value) -> Value {
    let mut entry = json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        "manager": manager,
        "operation": operation,
        "time": "2026-11-20T04:00:11Z",
    });
    if let Some(subresource) = subresource {
        entry["subresource"] = json!(subresource);
    }
    entry
}

/// Every path of an object as `fieldsV1` has it. Lists are atomic wherever the schema says nothing about them, as in values.
fn paths(value: &Value) -> Value {
    let Value::Object(members) = value else { return json!({}) };
    members.iter().map(|(name, value)| (format!("f:{name}"), paths(value))).collect::<Map<_, _>>().into()
}

// === Go's encoder ===

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            members.into_iter().collect::<Map<_, _>>().into()
        }
        Value::Array(elements) => elements.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}

fn as_go_writes_it(review: &Value) -> String {
    // These three only ever stand inside of strings.
    format!("{review}\n").replace('<', r"\u003c").replace('>', r"\u003e").replace('&', r"\u0026")
}
