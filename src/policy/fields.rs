//! Which fields a version of the HelmRelease CRD has, to see whether a `fieldsV1` set fits it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::{Error, Kind, Raw};

/// The fields of an object in a structural schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldTree {
    /// By name.
    fields: BTreeMap<Box<str>, FieldTree>,
    /// Every entry of a map, or every item of a list.
    each: Option<Box<FieldTree>>,
    /// Whether it takes any field.
    is_open: bool,
}

// === impl FieldTree ===

impl FieldTree {
    /// The fields of a version of a CRD, by its `openAPIV3Schema`. `apiVersion`, `kind` and `metadata` are those of every object.
    pub fn of_version(schema: &Value) -> Self {
        let mut tree = Self::of(schema);
        let any = || Self { is_open: true, ..Self::default() };
        tree.fields.extend(["apiVersion", "kind", "metadata"].map(|name| (name.into(), any())));
        tree
    }

    fn of(schema: &Value) -> Self {
        let fields = schema["properties"].as_object().into_iter().flatten();
        let each = [&schema["additionalProperties"], &schema["items"]].into_iter().find(|it| it.is_object());
        Self {
            fields: fields.map(|(name, field)| (name.as_str().into(), Self::of(field))).collect(),
            each: each.map(|each| Box::new(Self::of(each))),
            is_open: schema["x-kubernetes-preserve-unknown-fields"] == true
                || schema["additionalProperties"] == true,
        }
    }

    /// Whether it has every field of a `fieldsV1` set.
    pub fn has_all(&self, set: Raw<'_>) -> bool {
        if self.is_open {
            return true;
        }
        if set.kind() != Kind::Object {
            return false;
        }
        let mut has_all = true;
        let read = set.reader().object(|key, reader| {
            let below = reader.skip()?;
            // A set has the object itself, fields and entries, items by their keys, items by their value.
            let part = match key.split_at_checked(2) {
                _ if key == "." => return Ok(()),
                Some(("f:", name)) => self.fields.get(name).or(self.each.as_deref()),
                Some(("k:" | "v:" | "i:", _)) => self.each.as_deref(),
                _ => None,
            };
            has_all &= part.is_some_and(|part| part.has_all(below));
            Ok::<_, Error>(())
        });
        read.is_ok() && has_all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json::Reader;

    fn tree() -> FieldTree {
        FieldTree::of_version(&json!({"properties": {
            "metadata": {"type": "object"},
            "spec": {"properties": {
                "interval": {"type": "string"},
                "values": {"x-kubernetes-preserve-unknown-fields": true},
                "labels": {"additionalProperties": {"type": "string"}},
                "dependsOn": {"items": {"properties": {"name": {"type": "string"}}}},
            }},
        }}))
    }

    fn has_all(set: &str) -> bool {
        tree().has_all(Reader::new(set.as_bytes()).skip().unwrap())
    }

    #[test]
    fn has_fields_entries_and_items() {
        for set in [
            "{}",
            r#"{"f:metadata":{"f:finalizers":{".":{},"v:\"finalizers.fluxcd.io\"":{}}}}"#,
            r#"{"f:spec":{".":{},"f:interval":{},"f:values":{"f:a":{"f:b":{}}},"f:labels":{"f:a":{}}}}"#,
            r#"{"f:spec":{"f:dependsOn":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}},"i:0":{}}}}"#,
        ] {
            assert!(has_all(set), "{set}");
        }
    }

    #[test]
    fn lacks_what_the_schema_does_not_name() {
        for set in [
            r#"{"f:status":{}}"#,
            r#"{"f:spec":{"f:interval":{},"f:valuesFile":{}}}"#,
            r#"{"f:spec":{"f:interval":{"f:a":{}}}}"#,
            r#"{"f:spec":{"f:dependsOn":{"k:{\"name\":\"a\"}":{"f:namespace":{}}}}}"#,
            r#"{"f:spec":{"x:interval":{}}}"#,
            r#"{"f:spec":{"é":{}}}"#,
            r#"{"f:spec":3}"#,
            "[]",
        ] {
            assert!(!has_all(set), "{set}");
        }
    }
}
