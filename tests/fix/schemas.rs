//! What newer schemas ask for, read from the CRDs of every Flux.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chartgate::policy::{Facts, Settings};
use chartgate::preflight;
use chartgate::preflight::fix::{Refusal, Scope, api_version};
use chartgate::yaml::documents;
use serde_json::{Map, Value, json};

use crate::Files;

const ORDER: [&str; 6] = ["v2beta1", "v2beta2", "v2", "v1beta1", "v1beta2", "v1"];

/// The served schemas of `spec`, by kind and version, each with the Flux minors that have it.
fn schemas(crds: &Path) -> BTreeMap<(String, usize), Vec<(u32, Value)>> {
    let mut schemas: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for minor in 0..11 {
        for file in fs::read_dir(crds.join(format!("2.{minor}"))).expect("each minor has a folder") {
            let text = fs::read_to_string(file.expect("it can be listed").path()).expect("it can be read");
            let crd = preflight::documents(&text).expect("it is YAML").remove(0);
            let kind = crd["spec"]["names"]["kind"].as_str().expect("it has a kind").to_owned();
            for version in crd["spec"]["versions"].as_array().expect("it has versions") {
                let place =
                    ORDER.iter().position(|it| version["name"] == *it).expect("it is a known version");
                let schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
                if version["served"] == true {
                    schemas.entry((kind.clone(), place)).or_default().push((minor, schema));
                }
            }
        }
    }
    schemas
}

/// Values that the newer of two schemas refuses and the older takes, each with its path. `*` is an item.
fn refused(old: &Value, new: &Value, path: &mut Vec<String>, out: &mut Vec<(Vec<String>, Value)>) {
    let said = |key: &str| old.get(key) != new.get(key) && new.get(key).is_some();
    if said("minLength") {
        out.push((path.clone(), json!("")));
    }
    if said("maxLength") {
        let most = new["maxLength"].as_u64().and_then(|it| usize::try_from(it).ok()).expect("it is a number");
        out.push((path.clone(), json!("x".repeat(most + 1))));
    }
    if said("pattern") {
        out.push((path.clone(), json!("1d")));
    }
    if let (Some(old), Some(new)) = (old["enum"].as_array(), new["enum"].as_array()) {
        let gone = old.iter().filter(|it| !new.contains(it));
        out.extend(gone.map(|gone| (path.clone(), gone.clone())));
    }
    let names = |schema: &Value, key: &str| schema[key].as_array().cloned().unwrap_or_default();
    for required in names(new, "required").iter().filter(|it| !names(old, "required").contains(it)) {
        // Whoever needs one field more is without it.
        out.push((path.clone(), json!({"name": "x", "without": required})));
    }
    let (olds, empty) = (old["properties"].as_object().cloned().unwrap_or_default(), Map::new());
    let news = new["properties"].as_object().unwrap_or(&empty);
    for (key, old) in &olds {
        path.push(key.clone());
        match news.get(key) {
            Some(new) => refused(old, new, path, out),
            None => out.push((path.clone(), json!({}))),
        }
        path.pop();
    }
    if old["items"].is_object() {
        path.push("*".to_owned());
        refused(&old["items"], &new["items"], path, out);
        path.pop();
    }
}

/// A sound object of a kind.
fn sound(kind: &str, version: &str) -> Value {
    let group = if kind == "HelmRelease" { "helm" } else { "source" };
    let source = json!({"kind": "HelmRepository", "name": "x"});
    let spec = match kind {
        "HelmRelease" => json!({"interval": "1h", "chart": {"spec": {"chart": "x", "sourceRef": source}}}),
        "HelmChart" => {
            json!({"interval": "1h30m", "chart": "x", "sourceRef": source, "verify": {"provider": "cosign"}})
        }
        _ => json!({"interval": "0.5h", "url": "oci://x", "timeout": "1m30s"}),
    };
    json!({"apiVersion": format!("{group}.toolkit.fluxcd.io/{version}"), "kind": kind, "spec": spec})
}

fn put(value: &mut Value, path: &[String], new: &Value) {
    match path {
        [] => *value = new.clone(),
        [star, rest @ ..] if star == "*" => {
            let mut item = Value::Null;
            put(&mut item, rest, new);
            *value = json!([{}, item]);
        }
        [key, rest @ ..] => put(&mut value[key.as_str()], rest, new),
    }
}

fn step(object: &Value, to: &str) -> Result<(), Refusal> {
    let text = object.to_string();
    let files = Files::one(&text);
    let node = documents(&text, 0).remove(0).expect("it is JSON");
    let (settings, facts) = (Settings::default(), Facts::default());
    let scope = Scope {
        object: &node,
        found_by: &[],
        settings: &settings,
        installed: facts.serving(""),
        files: &files,
    };
    api_version(&scope, to).map(|edits| assert_eq!(edits.len(), 1))
}

#[test]
fn what_a_newer_schema_refuses_keeps_the_older_version() {
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/crds");
    if !crds.exists() {
        println!("skipped: no CRDs");
        return;
    }
    let schemas = schemas(&crds);
    let mut seen = std::collections::BTreeSet::new();
    for ((kind, from), olds) in &schemas {
        let newer = schemas.iter().filter(|((other, to), _)| other == kind && to > from);
        for ((_, to), news) in newer {
            step(&sound(kind, ORDER[*from]), ORDER[*to]).expect("a sound object steps up");
            let pairs = olds.iter().flat_map(|old| news.iter().map(move |new| (old, new)));
            for ((_, old), (_, new)) in pairs.filter(|((old, _), (new, _))| old <= new) {
                let mut values = Vec::new();
                refused(old, new, &mut vec!["spec".to_owned()], &mut values);
                for (path, value) in values {
                    let mut object = sound(kind, ORDER[*from]);
                    put(&mut object, &path, &value);
                    let name =
                        format!("{kind} {} to {}: {} is {value}", ORDER[*from], ORDER[*to], path.join("."));
                    let refusal = step(&object, ORDER[*to]).expect_err(&name);
                    assert!(matches!(refusal, Refusal::Schema { .. }), "{name}: {refusal}");
                    seen.insert(name.chars().take(120).collect::<String>());
                }
            }
        }
    }
    println!("{} refusals of newer schemas are known: {seen:#?}", seen.len());
    assert!(seen.len() > 20, "too little was seen");
}

/// Rules in CEL, of which the newer schemas have these.
#[test]
fn what_a_newer_rule_refuses_keeps_the_older_version() {
    let verified =
        json!({"sourceRef": {"kind": "GitRepository", "name": "x"}, "verify": {"provider": "cosign"}});
    let both = json!({"chart": {"spec": {"chart": "x", "sourceRef": {"kind": "HelmRepository", "name": "x"}}}, "chartRef": {"kind": "HelmChart", "name": "x"}});
    for (kind, from, to, spec) in [
        ("HelmChart", "v1beta2", "v1", &verified),
        ("HelmRelease", "v2beta1", "v2beta2", &both),
        ("HelmRelease", "v2beta2", "v2", &json!({})),
    ] {
        let mut object = sound(kind, from);
        object["spec"] = spec.clone();
        assert!(matches!(step(&object, to), Err(Refusal::Schema { .. })), "{object}");
    }
    // A rule that is not in this list needs a demand.
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/crds");
    if !crds.exists() {
        println!("skipped: no CRDs");
        return;
    }
    // Those after the first two are about fields that the older schemas require, take in no other way, or do not have.
    let known = [
        "self.chart",
        "has(self.verify)",
        "has(self.configMapRef)",
        "has(self.retryInterval)",
        "self.kind",
        "has(self.spec.url)",
        "has(self.spec.interval)",
    ];
    let text: String = schemas(&crds).into_values().flatten().map(|(_, schema)| schema.to_string()).collect();
    for rule in text.split("\"rule\":\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(known.iter().any(|known| rule.contains(known)), "{rule}");
    }
}
