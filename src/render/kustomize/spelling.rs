//! The names of fields in a kustomization file, which kustomize (5.8) takes in upper and lower case alike: it decodes the file as JSON in Go.

use std::borrow::Cow;

use crate::yaml::{Entry, Key, Node, Value};

/// The names of the fields that are rendered or name files, wherever they stand. Of two that differ in case alone there is none.
const FIELDS: &[&str] = &[
    "additionalValuesFiles",
    "allowKindChange",
    "allowNameChange",
    "annotationSelector",
    "apiVersion",
    "bases",
    "buildMetadata",
    "commonAnnotations",
    "commonLabels",
    "components",
    "configMapGenerator",
    "configurations",
    "crds",
    "create",
    "delimiter",
    "env",
    "envs",
    "fieldPath",
    "fieldPaths",
    "files",
    "generatorOptions",
    "generators",
    "group",
    "helmChartInflationGenerator",
    "helmCharts",
    "helmGlobals",
    "images",
    "imageTags",
    "index",
    "kind",
    "labels",
    "labelSelector",
    "metadata",
    "name",
    "namePrefix",
    "namespace",
    "nameSuffix",
    "openapi",
    "options",
    "pairs",
    "patch",
    "patches",
    "patchesJson6902",
    "patchesStrategicMerge",
    "path",
    "reject",
    "replacements",
    "replicas",
    "resources",
    "secretGenerator",
    "select",
    "sortOptions",
    "source",
    "sourceValue",
    "target",
    "targets",
    "transformers",
    "validators",
    "valuesFile",
    "vars",
    "version",
];

/// The fields whose keys are no names of fields.
const FREE: &[&str] = &["commonAnnotations", "commonLabels", "pairs"];

/// A kustomization file with the names of its fields as they are documented.
pub fn canonical<'n, 'a>(document: &'n Node<'a>) -> Cow<'n, Node<'a>> {
    renamed(document).map_or(Cow::Borrowed(document), Cow::Owned)
}

/// The same value with other names; nothing where all are as they are documented.
fn renamed<'a>(node: &Node<'a>) -> Option<Node<'a>> {
    match &node.value {
        Value::Mapping(entries) => {
            let mut changed: Option<Vec<Entry<'a>>> = None;
            let mut dropped = false;
            for (index, Entry { key, value }) in entries.iter().enumerate() {
                let name = name_of(&key.text);
                let is_free = FREE.contains(&name.unwrap_or(&key.text));
                let value = if is_free { None } else { renamed(value) };
                if name.is_none() && value.is_none() {
                    continue;
                }
                let entry = &mut changed.get_or_insert_with(|| entries.to_vec())[index];
                if let Some(name) = name {
                    // Of several spellings the last one by its bytes counts, so a key without a name stands for one that does not.
                    let is_last = entries.iter().all(|other| {
                        !other.key.text.eq_ignore_ascii_case(name) || *other.key.text <= *key.text
                    });
                    dropped |= !is_last;
                    entry.key = Key { text: if is_last { name.into() } else { "".into() }, at: key.at };
                }
                if let Some(value) = value {
                    entry.value = value;
                }
            }
            let mut entries = changed?;
            if dropped {
                entries.retain(|entry| !entry.key.text.is_empty());
            }
            Some(Node { value: Value::Mapping(entries.into()), ..node.clone() })
        }
        Value::Sequence(items) => {
            let mut changed: Option<Node<'a>> = None;
            for (index, item) in items.iter().enumerate() {
                if let Some(new) = renamed(item) {
                    changed.get_or_insert_with(|| node.clone()).items_mut()[index] = new;
                }
            }
            changed
        }
        Value::Scalar(_) | Value::Elided { .. } => None,
    }
}

/// The documented name of a field that is spelled otherwise.
fn name_of(key: &str) -> Option<&'static str> {
    if FIELDS.contains(&key) {
        return None;
    }
    FIELDS.iter().copied().find(|name| name.eq_ignore_ascii_case(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn only_names_of_fields_are_spelled_as_documented() {
        let text = "RESOURCES: [a.yaml]\nPatches:\n- TARGET: {Kind: X}\n  Path: p.yaml\ncommonLabels: {NAME: a}\nother: {b: 1}\n";
        let node = yaml::documents(text, 0).remove(0).unwrap();
        let mut json = Vec::new();
        canonical(&node).write_json(&mut json);
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"resources":["a.yaml"],"patches":[{"target":{"kind":"X"},"path":"p.yaml"}],"commonLabels":{"NAME":"a"},"other":{"b":1}}"#
        );
        let node =
            yaml::documents("Namespace: a\nnamespace: b\nNAMESPACE: c\nnamePREFIX: d\nNamePrefix: e\n", 0)
                .remove(0)
                .unwrap();
        let mut json = Vec::new();
        canonical(&node).write_json(&mut json);
        assert_eq!(String::from_utf8(json).unwrap(), r#"{"namespace":"b","namePrefix":"d"}"#);
        let plain = yaml::documents("resources: [a.yaml]\nimages: []\n", 0).remove(0).unwrap();
        assert!(matches!(canonical(&plain), Cow::Borrowed(_)));
    }
}
