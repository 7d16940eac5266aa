//! `metadata`, which no CRD describes: the API server validates it by the schema of `ObjectMeta` and by rules of its own
//! (apimachinery, `ValidateObjectMetaAccessor`).

use std::sync::LazyLock;

use serde_json::{Value, json};

/// A DNS subdomain, as RFC 1123 has it.
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

/// What a label may be after its prefix.
const NAME: &str = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";

/// The schema. A null is the same as no value, as for every type that is built in.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let text = json!({"type": "string", "nullable": true});
    let anything = json!({"nullable": true});
    let label = json!({"type": "string", "nullable": true, "pattern": format!("^({NAME})?$")});
    let name =
        json!({"type": "string", "nullable": true, "maxLength": 253, "pattern": format!("^{SUBDOMAIN}$")});
    let namespace = json!({
        "type": "string", "nullable": true, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    });
    let key = format!("^({SUBDOMAIN}/)?{NAME}$");
    // The API server compares the keys of annotations without regard to case.
    let any_case = format!("(?i){key}");
    let map = |values: &Value, keys: &str| json!({"type": "object", "nullable": true, "additionalProperties": values, "propertyNames": {"pattern": keys}});
    let texts = json!({"type": "array", "nullable": true, "items": text});
    json!({"type": "object", "properties": {
        "name": name, "namespace": namespace, "generateName": text,
        "labels": map(&label, &key), "annotations": map(&text, &any_case), "finalizers": texts,
        "creationTimestamp": text, "deletionTimestamp": text, "selfLink": text, "uid": text, "resourceVersion": text,
        "deletionGracePeriodSeconds": anything, "generation": anything, "managedFields": anything,
        "ownerReferences": anything,
    }})
});
