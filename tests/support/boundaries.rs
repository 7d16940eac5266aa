//! HelmReleases at the boundaries of every rule: one that is in order, with none to three fields changed.

use chartgate::{helmrelease::ChartField, policy::Flux};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// Who applies, in every review.
pub(crate) const APPLIER: &str = "kustomize-controller";

/// The name of the release in the edits.
const NAME: &str = "podinfo";
/// The namespace of the release in the edits.
const NAMESPACE: &str = "apps";

/// A release under review, and what is stored.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The release as it is to be.
    pub(crate) object: Value,
    /// The release as it is; `null` where it is new.
    pub(crate) old: Value,
}

/// A change of one field: a JSON Pointer, and its new value; `None` removes the field.
type Edit = (&'static str, Option<Value>);

// === impl Case ===

#[allow(dead_code, reason = "the tests at the API server send objects, and get their reviews from there")]
impl Case {
    /// Whether a condition can come to see it, and nobody refuse it whatever we say.
    pub(crate) fn is_possible(&self) -> bool {
        let Self { object, old } = self;
        let is_there = |at| object.pointer(at).is_some();
        // The API server sees to it that every object has them.
        ["/apiVersion", "/metadata/namespace"].into_iter().all(is_there)
            && is_well_typed(object)
            && (old.is_null() || old.is_object() && is_well_typed(old))
    }

    /// Whether a Flux has every field: one that it lacks, the API server prunes or refuses before it calls a webhook.
    pub(crate) fn is_known_to(&self, flux: Flux) -> bool {
        let version =
            self.object["apiVersion"].as_str().and_then(|it| it.rsplit_once('/')).map_or("", |it| it.1);
        let flux = flux.serving(version);
        let schema = flux.schema(version).unwrap_or_else(|| flux.newest_schema());
        let has = |field: &str| {
            let field = ChartField::named(field);
            field.is_some_and(|field| schema.template.takes(field))
        };
        let chart = &self.object["spec"]["chart"];
        let fields = chart["spec"].as_object().into_iter().flatten();
        let mut fields = fields.map(|(name, _)| name.as_str());
        fields.all(has) && (chart.get("kind").is_none() || schema.template.takes_inline())
    }

    /// The AdmissionReview that the API server would send.
    pub(crate) fn review(&self) -> Value {
        let Self { object, old } = self;
        let version = object["apiVersion"].as_str().and_then(|it| it.rsplit_once('/'));
        let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or(NAMESPACE);
        let mut request = json!({
            "uid": "boundaries", "operation": operation,
            "kind": {"group": "helm.toolkit.fluxcd.io", "kind": "HelmRelease", "version": version.map_or("v2", |it| it.1)},
            "name": NAME, "namespace": namespace, "object": object, "oldObject": old,
            "options": {"fieldManager": APPLIER},
        });
        // The API server leaves out what is empty.
        let asked = request.as_object_mut().expect("it is written above");
        if object.pointer("/metadata/generateName").is_some() {
            asked.remove("name");
        }
        if object.pointer("/metadata/namespace").is_none() {
            asked.remove("namespace");
        }
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    }
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Object,
    List,
    Text,
}

/// The type that the schema of HelmRelease, in every Flux, or the API server itself asks for, at every path that a condition
/// looks at. What is of another one is refused; `cluster::prefilter` shows it.
#[rustfmt::skip]
pub(crate) const TYPES: &[(&str, Type)] = &[
    ("/apiVersion", Type::Text),
    ("/metadata", Type::Object),
    ("/metadata/annotations", Type::Object),
    ("/metadata/annotations/fluxcd.io~1version", Type::Text),
    ("/metadata/annotations/example.org~1version", Type::Text),
    ("/metadata/managedFields", Type::List),
    ("/metadata/managedFields/0", Type::Object),
    ("/metadata/managedFields/0/apiVersion", Type::Text),
    ("/metadata/managedFields/1", Type::Object),
    ("/metadata/deletionTimestamp", Type::Text),
    ("/metadata/namespace", Type::Text),
    ("/spec", Type::Object),
    ("/spec/chart", Type::Object),
    ("/spec/chart/kind", Type::Text),
    ("/spec/chart/spec", Type::Object),
    ("/spec/chart/spec/chart", Type::Text),
    ("/spec/chart/spec/url", Type::Text),
    ("/spec/chart/spec/version", Type::Text),
    ("/spec/chart/spec/reconcileStrategy", Type::Text),
    ("/spec/chart/spec/valuesFiles", Type::List),
    ("/spec/chart/spec/sourceRef", Type::Object),
    ("/spec/chart/spec/sourceRef/kind", Type::Text),
    ("/spec/chart/spec/sourceRef/name", Type::Text),
    ("/spec/chart/spec/sourceRef/namespace", Type::Text),
    ("/spec/chart/spec/sourceRef/apiVersion", Type::Text),
    ("/spec/chartRef", Type::Object),
    ("/spec/chartRef/kind", Type::Text),
    ("/spec/chartRef/name", Type::Text),
    ("/spec/chartRef/namespace", Type::Text),
    ("/spec/chartRef/apiVersion", Type::Text),
];

/// Whether all that is there is of its type. A null in the spec is: a server-side apply hands it over. In metadata, which is
/// decoded, there is none.
pub(crate) fn is_well_typed(object: &Value) -> bool {
    let fits = |at: &str, asked: Type, value: &Value| {
        asked.is_of(value) || value.is_null() && at.starts_with("/spec/")
    };
    TYPES.iter().all(|(at, asked)| object.pointer(at).is_none_or(|value| fits(at, *asked, value)))
}

impl Type {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Object => value.is_object(),
            Self::List => value.is_array(),
            Self::Text => value.is_string(),
        }
    }
}

/// Releases that are in order by the default configuration, each with what is stored before it.
pub(crate) fn clean() -> Vec<Case> {
    let chart_ref =
        |kind| json!({"chartRef": {"kind": kind, "name": "podinfo-source", "namespace": NAMESPACE}});
    [chart(), inline(), chart_ref("OCIRepository"), chart_ref("HelmChart")]
        .iter()
        .flat_map(|source| {
            let object = release(source);
            [Value::Null, object.clone()].map(|old| Case { object: object.clone(), old })
        })
        .collect()
}

/// Cases at the boundaries of every rule. `possible` leaves out what no API server hands to a webhook.
pub(crate) fn cases(possible: bool) -> impl Strategy<Value = Case> {
    let object = (select(clean()), vec(select(edits(possible)), 0..=3), old(possible));
    object.prop_map(|(case, edits, old)| {
        let Case { mut object, old: own } = case;
        for edit in &edits {
            apply(&mut object, edit);
        }
        Case { object, old: old.unwrap_or(own) }
    })
}

/// A release in order but for what is given as its source.
fn release(source: &Value) -> Value {
    let mut spec = json!({"interval": "10m", "values": {"a": [1, 2.5, null]}});
    let members = source.as_object().expect("a source is given as members of the spec").clone();
    spec.as_object_mut().expect("it is one line above").extend(members);
    json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {
            "name": NAME, "namespace": NAMESPACE,
            "annotations": {"fluxcd.io/version": "v2"},
            "managedFields": [entry(APPLIER, "helm.toolkit.fluxcd.io/v2")],
        },
        "spec": spec,
    })
}

fn chart() -> Value {
    json!({"chart": {"spec": {
        "chart": "podinfo", "version": "6.x", "sourceRef": {"kind": "HelmRepository", "name": "podinfo"},
    }}})
}

/// A chart that makes an OCIRepository, as Flux 2.10 has it.
fn inline() -> Value {
    json!({"chart": {"kind": "OCIRepository", "spec": {"url": "oci://example.org/podinfo", "ref": {"semver": "6.x"}}}})
}

/// A stored release with a source that helm-controller generated, and would still have to delete.
fn generated(source: &Value, name: &str) -> Value {
    let mut release = release(source);
    release["status"] = json!({"helmChart": name});
    release
}

fn entry(manager: &str, version: &str) -> Value {
    json!({
        "manager": manager, "operation": "Apply", "apiVersion": version, "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:chart": {"f:spec": {"f:interval": {}}}, "f:interval": {}}},
    })
}

/// What is stored, where it is not what the case comes with.
fn old(possible: bool) -> impl Strategy<Value = Option<Value>> {
    let with = |edit: Edit| {
        let mut old = release(&chart());
        apply(&mut old, &edit);
        old
    };
    let at = "/metadata/managedFields";
    let mut all = vec![
        release(&chart()),
        release(&inline()),
        with(("/spec/chart/spec/valuesFiles", Some(json!(["values-prod.yaml"])))),
        with((at, Some(json!([entry(APPLIER, "helm.toolkit.fluxcd.io/v2beta2")])))),
        with((at, Some(json!([entry("lens", "helm.toolkit.fluxcd.io/v2")])))),
        release(&json!({"chartRef": {"kind": "OCIRepository", "name": "podinfo"}})),
        generated(
            &json!({"chartRef": {"kind": "HelmChart", "name": "podinfo-source"}}),
            "apps/podinfo-source",
        ),
        generated(
            &json!({"chartRef": {"kind": "HelmChart", "name": "podinfo-source"}}),
            "other/apps-podinfo",
        ),
        generated(&chart(), "apps/apps-podinfo"),
        generated(&chart(), "other/apps-podinfo"),
    ];
    if !possible {
        all.extend(odd());
        all.extend(odd().into_iter().map(|odd| json!({"spec": odd})));
        all.push(json!({"spec": {"chart": null, "chartRef": null}}));
    }
    prop_oneof![3 => Just(None), 2 => select(all).prop_map(Some)]
}

/// What is of no type that any field of an object has.
fn odd() -> Vec<Value> {
    vec![Value::Null, json!(3), json!(2.5), json!(true), json!([]), json!("v2"), json!({})]
}

#[rustfmt::skip]
fn edits(possible: bool) -> Vec<Edit> {
    let mut all = Vec::new();
    let mut add = |at, values: Vec<Value>| {
        all.push((at, None));
        all.extend(values.into_iter().chain(odd()).map(|value| (at, Some(value))));
    };
    let versions = |group: &str, versions: &[&str]| -> Vec<Value> {
        versions.iter().map(|version| json!(format!("{group}/{version}"))).collect()
    };
    let texts = |texts: &[&str]| -> Vec<Value> { texts.iter().map(|text| json!(text)).collect() };
    let source = || {
        let mut all = versions("source.toolkit.fluxcd.io", &["v1", "v1", "v1beta2", "v1beta1", "v2"]);
        all.extend(texts(&["", "v1", "apps/v1"]));
        all
    };
    let names = || {
        let mut all = texts(&["a", "a.b", "a-b.c", "0", "a..b", ".a", "a.", "-a", "a-", "A", "a_b", "ä", "a\n", "a b", "",
            "OCIRepository/podinfo", "OCIRepository/podinfo.apps", "helmchart/podinfo", "Bucket/a"]);
        // Twice, so that a HelmChart meets the name that it must not have.
        all.extend(texts(&["apps-podinfo", "apps-podinfo", "other-podinfo"]));
        all.extend([63, 64, 253, 254].map(|length| json!("a".repeat(length))));
        all.extend([253, 254].map(|length| json!(format!("{}.{}", "a".repeat(63), "b".repeat(length - 64)))));
        all.push(json!("ä".repeat(127)));
        all
    };
    let namespaces = || {
        let mut all = texts(&["apps", "apps", "other", "a.b", "A", "a-", "-a", "ä", "a\n", ""]);
        all.extend([63, 64].map(|length| json!("a".repeat(length))));
        all
    };
    let entries = |versions: &[&str]| -> Value {
        versions.iter().map(|version| entry("lens", &format!("helm.toolkit.fluxcd.io/{version}"))).collect()
    };

    add("/spec/chart", vec![
        chart()["chart"].clone(), chart()["chart"].clone(), inline()["chart"].clone(), json!({"spec": {"version": "6.x"}}), json!({"spec": null}),
    ]);
    add("/spec/chart/spec", vec![json!({"version": "6.x"})]);
    add("/spec/chart/kind", texts(&["OCIRepository", "OCIRepository", "HelmChart", "ocirepository", "GitRepository", ""]));
    add("/spec/chart/spec/url", texts(&["oci://example.org/podinfo", "https://example.org", "OCI://a", "oci://a\nb", ""]));
    add("/spec/chart/spec/version", texts(&["*", "6.x", ""]));
    add("/spec/chart/spec/reconcileStrategy", texts(&["ChartVersion", "Revision", ""]));
    add("/spec/chart/spec/valuesFiles", vec![json!(["values-prod.yaml"])]);
    add("/spec/chart/spec/ignoreMissingValuesFiles", vec![json!(true), json!(false)]);
    add("/spec/chart/spec/interval", texts(&["5m"]));
    add("/spec/chart/spec/sourceRef/namespace", texts(&["apps", "other"]));
    add("/spec/chart/spec/chart", texts(&["podinfo", "./charts/podinfo", ""]));
    add("/spec/chart/spec/sourceRef", vec![json!({"name": "podinfo"}), json!({"kind": "HelmRepository"})]);
    add("/spec/chart/spec/sourceRef/kind",
        texts(&["HelmRepository", "GitRepository", "Bucket", "OCIRepository", "ExternalArtifact", "helmrepository", ""]));
    add("/spec/chart/spec/sourceRef/name", texts(&["podinfo", ""]));
    add("/spec/chart/spec/sourceRef/namespace", namespaces());
    add("/spec/chart/spec/sourceRef/apiVersion", source());
    add("/spec/chartRef", vec![
        json!({"kind": "OCIRepository", "name": "podinfo", "namespace": NAMESPACE}),
        json!({"kind": "OCIRepository", "name": "podinfo", "namespace": NAMESPACE}),
        json!({"kind": "HelmChart", "name": "apps-podinfo", "namespace": NAMESPACE}),
        json!({"kind": "ExternalArtifact", "name": "podinfo", "namespace": NAMESPACE}),
        json!({"name": "OCIRepository/podinfo.apps"}),
    ]);
    add("/spec/chartRef/kind",
        texts(&["OCIRepository", "HelmChart", "ExternalArtifact", "ocirepository", "HelmRepository", "Bucket", ""]));
    add("/spec/chartRef/name", names());
    add("/spec/chartRef/namespace", namespaces());
    add("/spec/chartRef/apiVersion", source());
    add("/metadata/annotations", vec![json!({"a": "b"}), json!({"fluxcd.io/version": "v2beta2"})]);
    add("/metadata/annotations/fluxcd.io~1version", texts(&["v2", "v2beta1", "v2beta2", "V2", "v2 ", "v1", ""]));
    add("/metadata/annotations/example.org~1version", texts(&["v2", "v2", "v2beta2"]));
    add("/metadata/annotations/chartgate.dev~1exempt", texts(&["because"]));
    add("/metadata/managedFields", vec![
        entries(&["v2"]), entries(&["v2", "v2"]), entries(&["v2", "v2beta2"]), entries(&["v2beta1"]), entries(&["v3"]),
        entries(&["v2"; 100]), entries(&["v2"; 101]), json!([entry("lens", "apps/v1")]), json!([entry("lens", "")]),
    ]);
    add("/metadata/generateName", texts(&["podinfo-"]));
    let mut served = versions("helm.toolkit.fluxcd.io", &["v2", "v2beta2", "v2beta1"]);
    if !possible {
        served.extend(versions("helm.toolkit.fluxcd.io", &["v1", "v3", ""]));
        served.extend(texts(&["v2", "apps/v2", ""]));
        add("/metadata/managedFields/0/apiVersion", versions("helm.toolkit.fluxcd.io", &["v2", "v2beta2"]));
        add("/metadata/managedFields/0", vec![]);
        add("/metadata/managedFields/1", vec![]);
        add("/metadata/deletionTimestamp", texts(&["2026-01-01T00:00:00Z"]));
        add("/metadata/namespace", vec![]);
        add("/metadata", vec![]);
        add("/spec", vec![]);
    }
    add("/apiVersion", served);
    all
}

/// Gives one field a value.
#[allow(dead_code, reason = "the tests in process only make what a generator asks for")]
pub(crate) fn set(object: &mut Value, at: &'static str, value: &Value) {
    apply(object, &(at, Some(value.clone())));
}

/// Changes one field. Where its parent is not there, the parent is made; where that is no container, nothing is done.
fn apply(object: &mut Value, (at, value): &Edit) {
    let mut path: Vec<String> =
        at.split('/').skip(1).map(|it| it.replace("~1", "/").replace("~0", "~")).collect();
    let last = path.pop().expect("no edit is of the whole object");
    let mut parent = object;
    for segment in path {
        parent = match parent {
            Value::Object(members) => members.entry(segment).or_insert_with(|| Value::Object(Map::new())),
            Value::Array(elements) => {
                match segment.parse::<usize>().ok().and_then(|index| elements.get_mut(index)) {
                    Some(element) => element,
                    None => return,
                }
            }
            _ => return,
        };
    }
    match (parent, value) {
        (Value::Object(members), Some(value)) => _ = members.insert(last, value.clone()),
        (Value::Object(members), None) => _ = members.remove(&last),
        (Value::Array(elements), Some(value)) => match last.parse::<usize>() {
            Ok(index) if index < elements.len() => elements[index] = value.clone(),
            _ => elements.push(value.clone()),
        },
        _ => {}
    }
}
