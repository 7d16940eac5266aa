//! A cluster half way through its migration: HelmReleases as they are stored, with the managedFields that kustomize-controller,
//! kubectl and others leave, judged by the same auditor as those of a live one.

use std::collections::{BTreeMap, HashSet};

use chartgate::audit::since::{Earlier, Since};
use chartgate::audit::{Audit, Auditor, Detail};
use chartgate::policy::{Facts, Flux, Settings};
use chartgate::report::audit::{html, json as report_json};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};

const GROUP: &str = "helm.toolkit.fluxcd.io";

/// A HelmRelease as the API server stores it.
pub(crate) struct Stored(pub(crate) Value);

impl Stored {
    /// A release that kustomize-controller applied at a version, with this spec.
    pub(crate) fn new(namespace: &str, name: &str, version: &str, spec: &Value) -> Self {
        let object = json!({
            "apiVersion": format!("{GROUP}/{version}"),
            "kind": "HelmRelease",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {
                    "kustomize.toolkit.fluxcd.io/name": "apps",
                    "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
                },
                "annotations": {"fluxcd.io/version": version},
                "managedFields": [],
            },
            "spec": spec,
        });
        Self(object).owned("kustomize-controller", "Apply", version, "2026-02-03T09:12:44Z", spec)
    }

    /// And a manager that owns this part of the spec.
    pub(crate) fn owned(
        mut self,
        manager: &str,
        operation: &str,
        version: &str,
        time: &str,
        spec: &Value,
    ) -> Self {
        let entry = json!({
            "manager": manager, "operation": operation, "apiVersion": format!("{GROUP}/{version}"), "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": owned_fields(spec)},
        });
        self.0["metadata"]["managedFields"].as_array_mut().unwrap().push(entry);
        self
    }

    /// And something of it that is other.
    pub(crate) fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/");
        let parent = self.0.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(&key);
        } else {
            parent.insert(key, value);
        }
        self
    }
}

/// The set of fields of an object, as `fieldsV1` tells it.
fn owned_fields(value: &Value) -> Value {
    let Value::Object(object) = value else { return json!({}) };
    let fields: Map<_, _> =
        object.iter().map(|(key, value)| (format!("f:{key}"), owned_fields(value))).collect();
    fields.into()
}

pub(crate) fn chart(name: &str, version: &str) -> Value {
    let source = json!({"kind": "HelmRepository", "name": "charts", "namespace": "flux-system"});
    json!({"interval": "10m", "chart": {"spec": {"chart": name, "version": version, "sourceRef": source}}})
}

pub(crate) fn chart_ref(kind: &str, name: &str, namespace: &str) -> Value {
    json!({"interval": "10m", "chartRef": {"kind": kind, "name": name, "namespace": namespace}})
}

/// One of each thing that an audit has to tell, in a namespace.
pub(crate) fn examples(namespace: &str) -> Vec<Stored> {
    let both = json!({
        "interval": "10m", "chart": chart("loki", "6.30.1")["chart"],
        "chartRef": {"kind": "OCIRepository", "name": "loki", "namespace": namespace},
    });
    let reference = chart_ref("OCIRepository", "harbor", namespace);
    let mut leftover = reference.clone();
    leftover["chart"] = json!({"spec": {"version": "1.16.2"}});
    vec![
        Stored::new(namespace, "podinfo", "v2", &chart("podinfo", "6.9.0")),
        Stored::new(namespace, "cert-manager", "v2", &chart_ref("OCIRepository", "cert-manager", namespace)),
        Stored::new(namespace, "ingress-nginx", "v2beta1", &chart("ingress-nginx", "4.12.1")),
        Stored::new(namespace, "external-dns", "v2beta2", &chart("external-dns", "1.16.1"))
            .with("/metadata/annotations", Value::Null),
        Stored::new(namespace, "redis", "v2", &chart("redis", "20.11.3")).owned(
            "kubectl-edit",
            "Update",
            "v2",
            "2025-11-21T16:40:02Z",
            &json!({"chart": {"spec": {"version": "20.11.3"}}}),
        ),
        Stored::new(namespace, "kube-prometheus-stack", "v2", &chart("kube-prometheus-stack", "70.4.2"))
            .owned(
                "flux-client-side-apply",
                "Update",
                "v2beta1",
                "2024-05-14T07:01:59Z",
                &json!({"chart": {"spec": {"chart": "", "sourceRef": {"kind": "", "name": ""}, "version": ""}}}),
            ),
        Stored::new(namespace, "loki", "v2", &both),
        Stored::new(namespace, "orphan", "v2", &json!({"interval": "10m", "values": {"replicas": 2}})),
        Stored::new(namespace, "harbor", "v2", &reference).with("/spec", leftover).owned(
            "kubectl-patch",
            "Update",
            "v2",
            "2026-01-19T12:00:31Z",
            &json!({"chart": {"spec": {"version": ""}}}),
        ),
        Stored::new(namespace, "grafana", "v2", &json!({"chartRef": {"kind": "ocirepository", "name": "grafana"}}))
            .with("/metadata/annotations/fluxcd.io~1version", json!("v2beta2")),
        Stored::new(namespace, "velero", "v2", &chart("velero", "8.5.0")).owned(
            "flux",
            "Update",
            "v2alpha1",
            "2023-08-01T08:00:00Z",
            &json!({"interval": ""}),
        ),
        Stored::new(namespace, "external-secrets", "v2", &chart_ref("OCIRepository", "missing", namespace)),
        Stored::new(namespace, "argo-rollouts", "v2", &chart("argo-rollouts", "2.39.1"))
            .with("/metadata/annotations/chartgate.dev~1exempt", json!("moves with the next platform release"))
            .with("/metadata/annotations/fluxcd.io~1version", json!("v2beta1")),
    ]
}

/// Many releases: as many moved, ready and left behind as a cluster has half way, in forty namespaces.
pub(crate) fn many(count: usize) -> Vec<Stored> {
    let common = [0, 1, 1, 2, 0, 3, 1, 4, 5, 0, 1, 9, 1, 8, 0, 1, 11, 1, 6, 2];
    let releases = (0..count).map(|number| {
        let namespace = format!("team-{:02}", (number + number / 20 * 3) % 40);
        let Stored(mut object) = examples(&namespace).swap_remove(common[number % common.len()]);
        let name = object["metadata"]["name"].as_str().unwrap();
        object["metadata"]["name"] = format!("{name}-{number:05}").into();
        Stored(object)
    });
    releases.collect()
}

/// The cluster of the pictures: three teams with one of each thing, and a few that have moved.
pub(crate) fn small() -> Vec<Stored> {
    let mut all: Vec<_> = ["monitoring", "platform", "shop"].into_iter().flat_map(examples).collect();
    for name in ["cart", "checkout", "search", "catalogue", "payments", "mail"] {
        all.push(Stored::new("shop", name, "v2", &chart_ref("OCIRepository", name, "shop")));
        all.push(Stored::new("staging", name, "v2", &chart(name, "1.4.0")));
    }
    all
}

/// Judges them as a scan of a cluster with Flux 2.6 does.
pub(crate) fn audit(stored: &[Stored]) -> Audit {
    let flux: Flux = "2.6".parse().unwrap();
    let mut sources = BTreeMap::from([("OCIRepository", chartgate::policy::Names::new())]);
    for Stored(object) in stored {
        let reference = &object["spec"]["chartRef"];
        if let (Some(name), Some(namespace)) = (reference["name"].as_str(), reference["namespace"].as_str())
            && name != "missing"
        {
            let names = sources.get_mut("OCIRepository").unwrap().entry(namespace.into());
            names.or_insert_with(HashSet::new).insert(name.into());
        }
    }
    let facts = Facts { helm_release: Some(flux.served().to_vec()), sources, ..Facts::default() };
    let settings = Settings { exemptions: true, ..Settings::default() };
    let mut auditor = Auditor::new(&settings, facts, Detail::Everything);
    let raw: Vec<_> = stored.iter().map(|Stored(object)| to_raw_value(object).unwrap()).collect();
    for object in &raw {
        auditor.judge(object);
    }
    // A live API server would convert them to each version; these are at that of their appliers already.
    for version in auditor.pending() {
        for object in &raw {
            auditor.judge_again(&version, object);
        }
    }
    auditor.into_audit(vec!["helmcharts.source.toolkit.fluxcd.io: forbidden".to_owned()])
}

/// What is other in an audit than some weeks before it.
pub(crate) fn since(now: &Audit) -> Since {
    let mut before = small();
    before.retain(|Stored(object)| object["metadata"]["name"] != "mail");
    before.push(Stored::new("shop", "wordpress", "v2beta1", &chart("wordpress", "24.1.0")));
    for Stored(object) in &mut before {
        if object["metadata"]["namespace"] == "shop" && object["metadata"]["name"] == "cart" {
            *object = Stored::new("shop", "cart", "v2beta2", &chart("cart", "1.3.0")).0;
        }
    }
    let context = report_json::Context { taken_at: "2026-01-12T06:00:00Z", cluster: "", since: None };
    let mut earlier = Vec::new();
    report_json::write(&audit(&before), &context, &mut earlier).unwrap();
    Earlier::read(std::str::from_utf8(&earlier).unwrap()).unwrap().compare(now)
}

/// The page of an audit.
pub(crate) fn page(audit: &Audit, cluster: &str, since: Option<&Since>) -> String {
    let context = report_json::Context { taken_at: "2026-03-01T10:20:30Z", cluster, since };
    let mut page = Vec::new();
    html::write(audit, &context, &mut page).unwrap();
    String::from_utf8(page).unwrap()
}
