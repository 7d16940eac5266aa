//! What the CRDs of Flux serve, and what the schemas of HelmRelease ask for.

use std::borrow::Cow;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::core::ApiResource;
use serde_json::Value;
use tokio::sync::watch;

use super::facts::{Fact, Store};
use super::named;
use crate::policy::{CHART_REF_KINDS, Flux, HELM_GROUP, SOURCE_GROUP, Schema};

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
pub(super) async fn keep_helm_release(client: Client, store: &Store) {
    let name = format!("helmreleases.{HELM_GROUP}");
    keep(client, store, Fact::HelmReleaseCrd, &name, &mut take_schemas).await;
}

/// Follows the CRD of a source.
pub(super) async fn keep_source(
    client: Client,
    store: &Store,
    (fact, kind, plural): (Fact, &'static str, &str),
    newest: Option<&Newest>,
) {
    let take = &mut |store: &Store, crd: Option<&Value>| take_versions(store, kind, crd, newest);
    keep(client, store, fact, &format!("{plural}.{SOURCE_GROUP}"), take).await;
}

async fn keep(
    client: Client,
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
    let told = match Flux::that_serve(&schemas) {
        _ if schemas.is_empty() => "no HelmRelease".to_owned(),
        Some((first, last)) if first == last => format!("HelmRelease {} as Flux {first}", listed(&schemas)),
        Some((first, last)) => format!("HelmRelease {} as Flux {first} to {last}", listed(&schemas)),
        None => format!("HelmRelease {}", listed(&schemas)),
    };
    let stored = crd.map(stored_versions).unwrap_or_default();
    store.write(|facts| facts.helm_release = Some(schemas).filter(|schemas| !schemas.is_empty()));
    if stored.is_empty() { told } else { format!("{told}, stored at {}", stored.join(", ")) }
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

fn schema_of(version: &Value) -> Schema {
    let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let requires = |node: &Value, field: &str| {
        node["required"].as_array().is_some_and(|required| required.iter().any(|it| it == field))
    };
    let chart_ref = &spec["properties"]["chartRef"];
    let source = &spec["properties"]["chart"]["properties"]["spec"]["properties"]["sourceRef"];
    let kinds = match chart_ref["properties"]["kind"]["enum"].as_array() {
        Some(kinds) => kinds.iter().filter_map(|kind| Some(Cow::Owned(kind.as_str()?.to_owned()))).collect(),
        None if chart_ref.is_object() => CHART_REF_KINDS.iter().copied().map(Cow::Borrowed).collect(),
        None => Vec::new(),
    };
    Schema {
        version: Cow::Owned(name_of(version).to_owned()),
        deprecated: version["deprecated"] == true,
        chart_required: requires(spec, "chart"),
        chart_ref_kinds: Cow::Owned(kinds),
        source_kind_required: requires(source, "kind"),
    }
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

    #[test]
    fn served_versions_become_rows_in_their_order_and_those_of_a_known_flux_are_known() {
        let source =
            json!({"properties": {"spec": {"properties": {"sourceRef": {"required": ["kind", "name"]}}}}});
        let of = |required: Value, kinds: Value| {
            json!({"required": required, "properties": {
                "chart": source, "chartRef": {"properties": {"kind": {"enum": kinds}}},
            }})
        };
        let two = json!(["OCIRepository", "HelmChart"]);
        let interval = json!(["interval"]);
        let crd = json!({"spec": {"versions": [
            version("v2", true, &of(interval.clone(), two.clone())),
            version("v2beta2", true, &of(interval.clone(), two.clone())),
            version("v2beta1", true, &of(json!(["chart", "interval"]), two)),
            version("v3alpha1", false, &Value::Null),
        ]}, "status": {"storedVersions": ["v2beta2", "v2"]}});
        let store = Store::new(Flux::NEWEST);
        assert_eq!(
            take_schemas(&store, Some(&crd)),
            "HelmRelease v2beta1, v2beta2, v2 as Flux 2.4 to 2.6, stored at v2beta2, v2"
        );
        let six: Flux = "2.6".parse().unwrap();
        assert_eq!(store.read().helm_release.as_deref(), Some(six.served()));
        assert_eq!(take_schemas(&store, None), "no HelmRelease");
        assert_eq!(store.read().helm_release, None);
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
