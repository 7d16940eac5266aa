//! What the CRDs of Flux serve, and what the schemas of HelmRelease ask for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::core::ApiResource;
use serde_json::Value;
use tokio::sync::watch;

use super::facts::{Fact, Store};
use super::named;
use super::watch::Anew;
use crate::policy::{
    CHART_REF_KINDS, CrdRule, CrdRules, FieldTree, Flux, HELM_GROUP, OCI_URL, SOURCE_GROUP, Schema,
    TEMPLATE_KINDS, Template,
};

/// The length in characters at which a rule of the CRD is cut where it is named.
const MAX_RULE: usize = 120;

/// Where the version of a source is announced at which it is to be watched.
pub(super) type Newest = watch::Sender<Option<Served>>;

/// What the CRD of a source serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Served {
    /// There is no such CRD.
    Nothing,
    /// The newest version.
    At(String),
}

/// Follows the CRD of HelmRelease.
pub(super) async fn keep_helm_release(client: (Client, &Anew), store: &Store) {
    let name = format!("helmreleases.{HELM_GROUP}");
    keep(client, store, Fact::HelmReleaseCrd, &name, &mut take_schemas).await;
}

/// Follows the CRD of a source.
pub(super) async fn keep_source(
    client: (Client, &Anew),
    store: &Store,
    (fact, kind, plural): (Fact, &'static str, &str),
    newest: Option<&Newest>,
) {
    let take = &mut |store: &Store, crd: Option<&Value>| take_versions(store, kind, crd, newest);
    keep(client, store, fact, &format!("{plural}.{SOURCE_GROUP}"), take).await;
}

async fn keep(
    client: (Client, &Anew),
    store: &Store,
    fact: Fact,
    name: &str,
    take: &mut (dyn FnMut(&Store, Option<&Value>) -> String + Send),
) {
    let resource = ApiResource::erase::<CustomResourceDefinition>(&());
    named::keep(client, store, fact, (&resource, name), take).await;
}

/// Takes up the versions and schemas of HelmRelease, and says what they are.
fn take_schemas(store: &Store, crd: Option<&Value>) -> String {
    let schemas = crd.map(schemas_of).unwrap_or_default();
    let told = described(&schemas);
    let stored = crd.map(stored_versions).unwrap_or_default();
    let is_unknown = !schemas.is_empty() && Flux::that_serve(&schemas).is_none();
    let fields = crd.map(fields_of).unwrap_or_default();
    let schemas = Some(schemas).filter(|schemas| !schemas.is_empty());
    let is_news = store.write(|facts| {
        let is_news = facts.helm_release != schemas;
        (facts.helm_release, facts.fields) = (schemas, fields);
        is_news
    });
    // A change of a known fact is logged at debug level only; a Flux that is unknown needs attention.
    if is_unknown && is_news {
        tracing::warn!(fact = Fact::HelmReleaseCrd.as_str(), "the cluster has {told}");
    }
    if stored.is_empty() { told } else { format!("{told}, stored at {}", stored.join(", ")) }
}

/// The versions, and the Flux minors whose schemas they have. Where none matches, chartgate judges by the schema that it
/// read, and names the rules that it cannot evaluate.
fn described(schemas: &[Schema]) -> String {
    let listed = listed(schemas);
    match Flux::that_serve(schemas) {
        _ if schemas.is_empty() => "no HelmRelease".to_owned(),
        Some((first, last)) if first == last => format!("HelmRelease {listed} as Flux {first}"),
        Some((first, last)) => format!("HelmRelease {listed} as Flux {first} to {last}"),
        None => {
            let unknown: Vec<_> = schemas
                .iter()
                .flat_map(|schema| &*schema.template.unknown_rules)
                .map(|it| quoted(it))
                .collect();
            let rules = match &*unknown {
                [] => String::new(),
                [rule] => format!("; it has a rule that chartgate does not know: {rule}"),
                rules => format!("; it has rules that chartgate does not know: {}", rules.join(", ")),
            };
            format!("HelmRelease {listed} of an unknown Flux minor, judged by its schema{rules}")
        }
    }
}

/// A text of the CRD, short enough for a line of the log.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(MAX_RULE).collect::<String>())
}

/// Takes up the versions of a source, and says what they are.
fn take_versions(store: &Store, kind: &'static str, crd: Option<&Value>, newest: Option<&Newest>) -> String {
    let versions: Vec<String> =
        crd.into_iter().flat_map(served_versions).rev().map(|it| name_of(it).to_owned()).collect();
    let told =
        if versions.is_empty() { format!("no {kind}") } else { format!("{kind} {}", versions.join(", ")) };
    if let Some(newest) = newest {
        let served = versions.first().map_or(Served::Nothing, |version| Served::At(version.clone()));
        newest.send_if_modified(|before| {
            let is_news = before.as_ref() != Some(&served);
            *before = Some(served);
            is_news
        });
    }
    store.write(|facts| facts.source_versions.get_or_insert_default().insert(kind, versions));
    told
}

fn listed(schemas: &[Schema]) -> String {
    schemas.iter().map(|schema| &*schema.version).collect::<Vec<_>>().join(", ")
}

/// The rows of the served versions of HelmRelease's CRD, oldest first, as far as they decide about `spec.chart` and `spec.chartRef`.
pub fn schemas_of(crd: &Value) -> Vec<Schema> {
    served_versions(crd).map(schema_of).collect()
}

/// The fields that the served versions have.
fn fields_of(crd: &Value) -> BTreeMap<Box<str>, FieldTree> {
    let fields = |version: &Value| FieldTree::of_version(&version["schema"]["openAPIV3Schema"]);
    served_versions(crd).map(|version| (name_of(version).into(), fields(version))).collect()
}

fn schema_of(version: &Value) -> Schema {
    let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let (chart, chart_ref) = (&spec["properties"]["chart"], &spec["properties"]["chartRef"]);
    let source = &chart["properties"]["spec"]["properties"]["sourceRef"];
    Schema {
        version: Cow::Owned(name_of(version).to_owned()),
        deprecated: version["deprecated"] == true,
        chart_required: texts(&spec["required"]).any(|field| field == "chart"),
        chart_ref_kinds: kinds(chart_ref, CHART_REF_KINDS, chart_ref.is_object()),
        source_kind_required: texts(&source["required"]).any(|field| field == "kind"),
        template: template_of(spec, chart, chart_ref),
    }
}

fn template_of(spec: &Value, chart: &Value, chart_ref: &Value) -> Template {
    let template = &chart["properties"]["spec"];
    let has_kind = chart["properties"]["kind"].is_object();
    let others = names(chart).filter(|name| !["kind", "metadata", "spec"].contains(name));
    let mut rules = CrdRules::NONE;
    let mut unknown_rules = Vec::new();
    for rule in [spec, chart, template, chart_ref].into_iter().flat_map(validations) {
        match rule["rule"].as_str().and_then(CrdRule::of_expression) {
            Some(known) => rules = rules.with(known),
            None => unknown_rules.push(Cow::Owned(said_by(rule).to_owned())),
        }
    }
    if template["properties"]["url"]["pattern"] == OCI_URL {
        rules = rules.with(CrdRule::OciUrl);
    }
    let is_open = |node: &Value| {
        node["x-kubernetes-preserve-unknown-fields"] == true || !node["properties"].is_object()
    };
    let owned = |name: &str| Cow::Owned(name.to_owned());
    Template {
        kinds: kinds(chart, TEMPLATE_KINDS, has_kind),
        others: others.map(owned).collect(),
        fields: (!is_open(chart) && !is_open(template)).then(|| names(template).map(owned).collect()),
        required: texts(&template["required"]).map(owned).collect(),
        rules,
        unknown_rules: Cow::Owned(unknown_rules),
    }
}

/// The kinds that the field `kind` of an object allows: `known` where there is such a field and it names none.
fn kinds(object: &Value, known: &'static [&str], is_there: bool) -> Cow<'static, [Cow<'static, str>]> {
    match &object["properties"]["kind"]["enum"] {
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).map(|kind| Cow::Owned(kind.to_owned())).collect()
        }
        _ if is_there => known.iter().copied().map(Cow::Borrowed).collect(),
        _ => Cow::Borrowed(&[]),
    }
}

/// The texts in a list.
fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The names of an object's fields.
fn names(object: &Value) -> impl Iterator<Item = &str> {
    object["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str())
}

fn validations(object: &Value) -> impl Iterator<Item = &Value> {
    object["x-kubernetes-validations"].as_array().into_iter().flatten()
}

/// The message of a CEL rule, or the rule itself where it has none.
fn said_by(rule: &Value) -> &str {
    rule["message"].as_str().or_else(|| rule["rule"].as_str()).unwrap_or_default()
}

/// The served versions, oldest first, as Kubernetes ranks them.
fn served_versions(crd: &Value) -> std::vec::IntoIter<&Value> {
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let mut served: Vec<_> = versions.filter(|version| version["served"] == true).collect();
    served.sort_by_key(|version| kube::core::Version::parse(name_of(version)).priority());
    served.into_iter()
}

fn name_of(version: &Value) -> &str {
    version["name"].as_str().unwrap_or_default()
}

fn stored_versions(crd: &Value) -> Vec<&str> {
    crd["status"]["storedVersions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version(name: &str, served: bool, spec: &Value) -> Value {
        json!({
            "name": name, "served": served, "deprecated": name != "v2",
            "schema": {"openAPIV3Schema": {"properties": {"spec": spec}}},
        })
    }

    /// The fields of an object, whatever their types.
    fn properties(names: &[&str]) -> Value {
        names.iter().map(|name| ((*name).to_owned(), json!({}))).collect::<serde_json::Map<_, _>>().into()
    }

    /// The spec of a version of Flux 2.4 to 2.6.
    fn spec(required: &[&str], fields: &[&str], rules: &Value) -> Value {
        let usual =
            ["chart", "version", "sourceRef", "interval", "reconcileStrategy", "valuesFiles", "verify"];
        let mut template =
            json!({"required": ["chart", "sourceRef"], "properties": properties(&[&usual, fields].concat())});
        template["properties"]["sourceRef"]["required"] = json!(["kind", "name"]);
        let kinds = json!({"enum": ["OCIRepository", "HelmChart"]});
        json!({"required": required, "x-kubernetes-validations": rules, "properties": {
            "chart": {"properties": {"metadata": {}, "spec": template}},
            "chartRef": {"properties": {"kind": kinds}},
        }})
    }

    const ONE_SOURCE: &str =
        "(has(self.chart) && !has(self.chartRef)) || (!has(self.chart) && has(self.chartRef))";

    /// The CRD of Flux 2.4 to 2.6, with changes in its v2.
    fn crd(change: impl FnOnce(&mut Value)) -> Value {
        let one = json!([{"rule": ONE_SOURCE, "message": "either"}]);
        let mut newest = spec(&["interval"], &["ignoreMissingValuesFiles"], &one);
        change(&mut newest);
        json!({"spec": {"versions": [
            version("v2", true, &newest),
            version("v2beta2", true, &spec(&["interval"], &["ignoreMissingValuesFiles", "valuesFile"], &one)),
            version("v2beta1", true, &spec(&["chart", "interval"], &["valuesFile"], &json!([]))),
            version("v3alpha1", false, &Value::Null),
        ]}, "status": {"storedVersions": ["v2beta2", "v2"]}})
    }

    #[test]
    fn served_versions_become_rows_in_their_order_and_those_of_a_known_flux_are_known() {
        let store = Store::new(Flux::NEWEST);
        assert_eq!(
            take_schemas(&store, Some(&crd(|_| {}))),
            "HelmRelease v2beta1, v2beta2, v2 as Flux 2.4 to 2.6, stored at v2beta2, v2"
        );
        let six: Flux = "2.6".parse().unwrap();
        assert_eq!(store.read().helm_release.as_deref(), Some(six.served()));
        assert_eq!(take_schemas(&store, None), "no HelmRelease");
        assert_eq!(store.read().helm_release, None);
    }

    #[test]
    fn a_schema_that_no_known_flux_has_is_named_as_such_with_the_rules_that_nobody_knows() {
        let unknown = "HelmRelease v2beta1, v2beta2, v2 of an unknown Flux minor, judged by its schema";
        let said = |change: fn(&mut Value)| described(&schemas_of(&crd(change)));
        let field = |spec: &mut Value| {
            spec["properties"]["chart"]["properties"]["spec"]["properties"]["new"] = json!({});
        };
        assert_eq!(said(field), unknown);
        let more = |spec: &mut Value| {
            spec["properties"]["chart"]["properties"]["more"] = json!({});
        };
        let no_rules = |spec: &mut Value| {
            spec["x-kubernetes-validations"] = json!([]);
        };
        assert_eq!([said(more), said(no_rules)], [unknown, unknown]);
        let rule = |spec: &mut Value| {
            spec["properties"]["chartRef"]["x-kubernetes-validations"] =
                json!([{"rule": "self.name != ''", "message": "named"}]);
        };
        assert_eq!(said(rule), format!("{unknown}; it has a rule that chartgate does not know: \"named\""));
    }

    #[test]
    fn reads_what_a_template_takes() {
        let row = |spec: &Value| schema_of(&version("v2", true, spec)).template;
        let closed = row(&json!({"properties": {"chart": {"properties": {
            "kind": {"enum": ["HelmChart", "New"]}, "more": {},
            "spec": {"properties": {"url": {"pattern": "^oci://.*$"}, "new": {}}, "required": ["new"]},
        }}}}));
        assert_eq!(
            (&*closed.kinds, &*closed.others),
            (&["HelmChart", "New"].map(Cow::Borrowed)[..], &["more".into()][..])
        );
        assert_eq!(closed.fields, Some(["url", "new"].map(Cow::Borrowed).into_iter().collect()));
        assert_eq!(Some(closed.required), Some([Cow::Borrowed("new")].into_iter().collect()));
        assert!(closed.rules.has(CrdRule::OciUrl) && !closed.rules.has(CrdRule::OneSource));
        let open = json!({"properties": {"chart": {"properties": {"kind": {}, "spec": {
            "properties": {}, "x-kubernetes-preserve-unknown-fields": true,
        }}}}});
        assert_eq!((row(&open).fields, row(&open).kinds.len()), (None, TEMPLATE_KINDS.len()));
    }

    #[test]
    fn a_schema_without_chart_ref_allows_no_kind_and_one_that_names_none_allows_those_we_know() {
        let row = |spec: &Value| schema_of(&version("v2", true, spec));
        assert!(row(&json!({"required": ["chart"]})).chart_ref_kinds.is_empty());
        let open = row(&json!({"properties": {"chartRef": {"properties": {"kind": {"type": "string"}}}}}));
        assert_eq!(open.chart_ref_kinds.len(), CHART_REF_KINDS.len());
    }

    #[test]
    fn the_versions_of_a_source_are_announced_newest_first_and_once() {
        let store = Store::new(Flux::NEWEST);
        let newest = Newest::new(None);
        let mut heard = newest.subscribe();
        let crd = json!({"spec": {"versions": [
            {"name": "v1beta2", "served": true}, {"name": "v1", "served": true}, {"name": "v2", "served": false},
        ]}});
        for _ in 0..2 {
            assert_eq!(
                take_versions(&store, "OCIRepository", Some(&crd), Some(&newest)),
                "OCIRepository v1, v1beta2"
            );
        }
        assert!(heard.has_changed().unwrap());
        assert_eq!(*heard.borrow_and_update(), Some(Served::At("v1".into())));
        take_versions(&store, "OCIRepository", Some(&crd), Some(&newest));
        assert!(!heard.has_changed().unwrap());
        take_versions(&store, "OCIRepository", None, Some(&newest));
        assert_eq!(*heard.borrow_and_update(), Some(Served::Nothing));
    }
}
