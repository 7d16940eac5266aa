//! The rule `schema` agrees with the API server: of objects that are made from the CRDs and changed at random, it refuses
//! those that the API server refuses in a server-side apply, and no others.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use chartgate::policy::Flux;
use chartgate::structural::Catalog;
use chartgate::yaml;
use serde_json::{Map, Value, json};

use crate::harness::{Cluster, Kubernetes, Namespace, Write, crds};

/// How many objects of each minor are sent.
const OF_EACH_MINOR: usize = 600;

/// How many are sent at least where the CRDs of every minor are there.
const AT_LEAST: usize = 5_000;

/// The kinds that `check` validates, with their resources.
const KINDS: [(&str, &str); 5] = [
    ("HelmRelease", "helmreleases"),
    ("OCIRepository", "ocirepositories"),
    ("HelmChart", "helmcharts"),
    ("HelmRepository", "helmrepositories"),
    ("ExternalArtifact", "externalartifacts"),
];

/// Draws at random, the same in each run.
struct Dice(u64);

/// A version of a kind, and its `openAPIV3Schema`.
struct Definition {
    kind: &'static str,
    resource: &'static str,
    api_version: String,
    schema: Value,
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts are what one runs this test with --nocapture for")]
fn the_schema_agrees_with_the_api_server() {
    let minors: Vec<_> = Flux::all().rev().filter(|flux| Cluster::has_crds(&flux.to_string())).collect();
    let Some(newest) = minors.first() else { return };
    let Some(cluster) = Cluster::start_at(&newest.to_string(), Kubernetes::Usual) else { return };
    let seed = std::env::var("CHARTGATE_SEED").map_or(1, |seed| seed.parse().expect("it is a number"));
    let mut dice = Dice(seed);
    let (mut sent, mut refused, mut disagreements) = (0, 0, Vec::new());
    for (index, flux) in minors.iter().enumerate() {
        if index > 0 {
            cluster.install_crds(&flux.to_string());
        }
        let namespace = cluster.namespace("schema");
        let versions = versions(*flux);
        for version in &versions {
            let count = OF_EACH_MINOR / versions.len();
            let mut objects: Vec<_> = (0..count).map(|_| dice.object(version)).collect();
            objects.extend(of_cases(version));
            sent += objects.len();
            refused += compare(*flux, version, &namespace, &objects, &mut disagreements);
        }
    }
    println!(
        "{sent} objects of {} minors, {refused} of them refused by the API server; {} disagreements (seed {seed})",
        minors.len(),
        disagreements.len()
    );
    assert!(minors.len() < Flux::all().count() || sent >= AT_LEAST, "only {sent}");
    assert!(refused > sent / 4 && refused < sent - sent / 10, "{refused} of {sent} say little");
    let listed = disagreements.iter().take(40).fold(String::new(), |mut list, line| {
        writeln!(list, "{line}").expect("a string takes all");
        list
    });
    assert!(disagreements.is_empty(), "{} disagreements:\n{listed}", disagreements.len());
}

/// Sends objects, and returns how many the API server refused.
fn compare(
    flux: Flux,
    version: &Definition,
    namespace: &Namespace<'_>,
    objects: &[Value],
    disagreements: &mut Vec<String>,
) -> usize {
    let catalog = Catalog::of_flux(flux);
    let resource = namespace.objects(&version.api_version, version.resource);
    let answers = resource.apply_each(objects, Write::by("kustomize-controller").forced().dry_run());
    let (_, served) = version.api_version.split_once('/').expect("it has a group");
    let schema = catalog.schema(version.kind, served).expect("it is embedded");
    let mut refused = 0;
    for (object, answer) in objects.iter().zip(&answers) {
        let text = object.to_string();
        let node = yaml::documents(&text, 0).remove(0).expect("JSON is YAML");
        let faults = schema.faults(&node, &|_| true);
        let is_refused = answer.status >= 300;
        refused += usize::from(is_refused);
        if is_refused == faults.is_empty() {
            let ours: Vec<_> = faults.iter().map(|fault| (&fault.pointer, &fault.problem)).collect();
            disagreements.push(format!(
                "Flux {flux}: {text}\n  API server: {} {}\n  chartgate: {ours:?}",
                answer.status,
                answer.message()
            ));
        }
    }
    refused
}

fn versions(flux: Flux) -> Vec<Definition> {
    let text = |value: &Value| value.as_str().expect("a CRD has names").to_owned();
    let mut versions = Vec::new();
    for crd in crds::of_flux(&flux.to_string()).expect("they are there") {
        let Some((kind, resource)) = KINDS.iter().find(|(kind, _)| crd["spec"]["names"]["kind"] == *kind)
        else {
            continue;
        };
        for version in crd["spec"]["versions"].as_array().expect("a CRD has versions") {
            let (group, name) = (text(&crd["spec"]["group"]), text(&version["name"]));
            let schema = version["schema"]["openAPIV3Schema"].clone();
            versions.push(Definition { kind, resource, api_version: format!("{group}/{name}"), schema });
        }
    }
    versions
}

/// The objects of this version that the handed cases hold.
fn of_cases(version: &Definition) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases");
    let mut objects = Vec::new();
    for case in fs::read_dir(folder).into_iter().flatten().flatten() {
        for file in fs::read_dir(case.path()).into_iter().flatten().flatten() {
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            for document in yaml::documents(&text, 0).into_iter().flatten() {
                let mut json = Vec::new();
                document.write_json(&mut json);
                let Ok(mut object) = serde_json::from_slice::<Value>(&json) else { continue };
                let is_it = object["kind"] == version.kind && object["apiVersion"] == *version.api_version;
                // A variable or an expression is no name that can be sent.
                if is_it
                    && object["metadata"]["name"].is_string()
                    && !text.contains("${")
                    && !text.contains("<<")
                {
                    object["metadata"].as_object_mut().expect("it has a name").remove("namespace");
                    object["metadata"]["name"] = json!("of-a-case");
                    objects.push(object);
                }
            }
        }
    }
    objects
}

// === impl Dice ===

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64, by Steele, Lea and Flood.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("it is below a usize")
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick<'p, T: ?Sized>(&mut self, from: &[&'p T]) -> &'p T {
        from[self.below(from.len())]
    }

    /// An object of a version: valid, or changed in one or two places.
    fn object(&mut self, version: &Definition) -> Value {
        let mut spec = self.value(&version.schema["properties"]["spec"], "spec");
        let mut metadata =
            json!({"labels": {"app.kubernetes.io/name": "podinfo"}, "annotations": {"note": "one"}});
        for _ in 0..self.below(3) {
            if self.one_in(8) {
                self.change(&mut metadata, &json!({}));
            } else {
                self.change(&mut spec, &version.schema["properties"]["spec"]);
            }
        }
        let mut object = json!({"apiVersion": version.api_version, "kind": version.kind, "spec": spec});
        if !metadata.is_object() {
            metadata = json!({});
        }
        metadata["name"] = json!("podinfo");
        object["metadata"] = metadata;
        if self.one_in(30) {
            object["unknown"] = json!("value");
        }
        object
    }

    /// A value that a schema allows, but for its CEL rules.
    fn value(&mut self, schema: &Value, name: &str) -> Value {
        if let Some(choices) = schema["enum"].as_array() {
            return choices[self.below(choices.len())].clone();
        }
        match schema["type"].as_str() {
            Some("object") => self.map(schema),
            Some("array") => {
                let count = self.below(3);
                (0..count).map(|_| self.value(&schema["items"], name)).collect()
            }
            Some("boolean") => self.one_in(2).into(),
            Some("integer") => (self.below(5) + 1).into(),
            Some("string") => self.text(schema, name).into(),
            _ => json!({"anything": [1, null, {"a": "b"}]}),
        }
    }

    fn map(&mut self, schema: &Value) -> Value {
        let mut map = Map::new();
        let required =
            |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|it| it == name));
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            // Either of these alone is usual.
            let is_usual = match &**name {
                "chart" => self.one_in(2),
                "chartRef" => self.one_in(4),
                _ => false,
            };
            if required(name) || is_usual || self.one_in(8) {
                map.insert(name.clone(), self.value(schema, name));
            }
        }
        if schema["additionalProperties"].is_object() {
            for index in 0..self.below(3) {
                map.insert(format!("key-{index}"), self.value(&schema["additionalProperties"], "value"));
            }
        }
        map.into()
    }

    fn text(&mut self, schema: &Value, name: &str) -> String {
        let texts: &[&str] = match schema["pattern"].as_str() {
            Some(pattern) if pattern.contains("ms|s|m") => &["5m", "30s", "1m30s", "500ms", "1.5m"],
            Some(pattern) if pattern.contains("http|https|oci") => {
                &["https://example.org", "oci://example.org/charts"]
            }
            Some(pattern) if pattern.contains("oci://") => &["oci://example.org/podinfo"],
            Some(pattern) if pattern.contains("sha256") || pattern.contains(':') && name == "digest" => {
                &["sha256:ab12"]
            }
            Some(_) => &["podinfo", "a.b"],
            None if name.to_lowercase().contains("url") => &["oci://example.org/podinfo"],
            None => &["podinfo", "v1", "1.0.0"],
        };
        self.pick(texts).to_owned()
    }

    /// Changes a value in one place.
    fn change(&mut self, value: &mut Value, schema: &Value) {
        match value {
            Value::Object(map) if !map.is_empty() && !self.one_in(6) => {
                let names: Vec<String> = map.keys().cloned().collect();
                let name = names[self.below(names.len())].clone();
                match self.below(10) {
                    0 => _ = map.remove(&name),
                    1 => _ = map.insert("unknown".to_owned(), json!("value")),
                    2 => {
                        let value = map.remove(&name).expect("it is there");
                        map.insert(format!("{name}s"), value);
                    }
                    3 => {
                        let declared: Vec<_> =
                            schema["properties"].as_object().into_iter().flatten().collect();
                        if !declared.is_empty() {
                            let (name, schema) = declared[self.below(declared.len())];
                            let value = self.value(schema, name);
                            map.insert(name.clone(), value);
                        }
                    }
                    _ => {
                        let below = &schema["properties"][&name];
                        self.change(map.get_mut(&name).expect("it is there"), below);
                    }
                }
            }
            Value::Array(items) if !items.is_empty() && !self.one_in(3) => {
                let index = self.below(items.len());
                self.change(&mut items[index], &schema["items"]);
            }
            _ => *value = self.other(),
        }
    }

    /// Another value, of any type.
    fn other(&mut self) -> Value {
        let long = "x".repeat(300);
        let others = [
            Value::Null,
            json!(""),
            json!("text"),
            json!("!"),
            json!("5"),
            json!("5m"),
            json!("-"),
            json!("true"),
            json!(long),
            json!(0),
            json!(5),
            json!(-1),
            json!(1.5),
            json!(5.0),
            json!(true),
            json!([]),
            json!({}),
            json!(["a"]),
            json!([null]),
            json!({"a": "b"}),
            json!({"a": null}),
            json!("HelmRepository"),
            json!("OCIRepository"),
            json!(9_007_199_254_740_993_i64),
            json!(1e30),
        ];
        others[self.below(others.len())].clone()
    }
}
