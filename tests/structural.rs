//! The embedded schemas, against the CRDs that they are made from. `UPDATE_GOLDEN=1` makes them anew.

#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test says what it skipped, and what it expects by failing"
)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// The keywords that are kept. Others say nothing about what is valid.
const KEPT: [&str; 16] = [
    "additionalProperties",
    "default",
    "enum",
    "items",
    "maxLength",
    "maximum",
    "minLength",
    "minimum",
    "nullable",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// The keywords that are left out on purpose. `format` is `int64`, or `date-time` in a status.
const LEFT_OUT: [&str; 2] = ["description", "format"];

/// The CRDs of each Flux minor, where they are there.
fn crds() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/crds");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no CRDs");
    None
}

/// Parts of schemas, each once.
#[derive(Default)]
struct Shared {
    parts: Vec<Value>,
    known: HashMap<String, usize>,
}

impl Shared {
    /// A part with its own parts as numbers.
    fn compact(&mut self, schema: &Value) -> Value {
        let mut compact = Map::new();
        for (keyword, value) in schema.as_object().expect("a schema is a map") {
            let value = match keyword.as_str() {
                "properties" => {
                    let fields = value.as_object().unwrap().iter();
                    fields
                        .map(|(name, schema)| (name.clone(), self.add(schema)))
                        .collect::<Map<_, _>>()
                        .into()
                }
                "items" => self.add(value),
                "additionalProperties" if value.is_object() => self.add(value),
                keyword if LEFT_OUT.contains(&keyword) => continue,
                keyword => {
                    assert!(KEPT.contains(&keyword), "the keyword {keyword} is new");
                    value.clone()
                }
            };
            compact.insert(keyword.clone(), value);
        }
        compact.into()
    }

    fn add(&mut self, schema: &Value) -> Value {
        let compact = self.compact(schema);
        let next = self.parts.len();
        let index = *self.known.entry(compact.to_string()).or_insert(next);
        if index == next {
            self.parts.push(compact);
        }
        index.into()
    }
}

fn made_from(folder: &Path) -> String {
    let mut minors: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    minors.retain(|path| path.is_dir());
    minors.sort_by_key(|path| path.extension().unwrap().to_str().unwrap().parse::<u32>().unwrap());
    let (mut shared, mut roots, mut by_minor) = (Shared::default(), Vec::new(), Map::new());
    for minor in minors {
        let mut kinds = Map::new();
        let mut files: Vec<_> = fs::read_dir(&minor).unwrap().map(|it| it.unwrap().path()).collect();
        files.sort();
        for file in files {
            let crd: Value = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            let mut versions = Map::new();
            for version in crd["spec"]["versions"].as_array().unwrap() {
                assert_eq!(version["served"], true, "{}", file.display());
                let mut schema = version["schema"]["openAPIV3Schema"].clone();
                schema["properties"]["status"] = json!({});
                let root = shared.compact(&schema);
                let index = roots.iter().position(|known| *known == root).unwrap_or_else(|| {
                    roots.push(root);
                    roots.len() - 1
                });
                versions.insert(version["name"].as_str().unwrap().to_owned(), index.into());
            }
            kinds.insert(crd["spec"]["names"]["kind"].as_str().unwrap().to_owned(), versions.into());
        }
        by_minor.insert(minor.file_name().unwrap().to_str().unwrap().to_owned(), kinds.into());
    }
    // A line for each part, so that a change can be read.
    let lines = |values: &[Value]| values.iter().map(Value::to_string).collect::<Vec<_>>().join(",\n");
    let minors =
        by_minor.iter().map(|(minor, kinds)| format!("{minor:?}:{kinds}")).collect::<Vec<_>>().join(",\n");
    format!(
        "{{\"shared\":[\n{}\n],\"roots\":[\n{}\n],\"minors\":{{\n{minors}\n}}}}\n",
        lines(&shared.parts),
        lines(&roots)
    )
}

#[test]
fn the_embedded_schemas_are_those_of_the_crds() {
    let Some(folder) = crds() else { return };
    let made = made_from(&folder);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/structural/flux.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &made).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == made,
        "UPDATE_GOLDEN=1 makes {} anew",
        path.display()
    );
}
