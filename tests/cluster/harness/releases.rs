//! `HelmRelease` objects to start from: the least that the schema accepts.

use serde_json::{Value, json};

/// A `HelmRelease` in the given version of its API, such as `v2`, with the given members of its spec.
pub(crate) fn release(version: &str, name: &str, source: &Value) -> Value {
    let mut release = json!({
        "apiVersion": format!("helm.toolkit.fluxcd.io/{version}"),
        "kind": "HelmRelease",
        "metadata": {"name": name},
        "spec": {"interval": "10m"},
    });
    let members = source.as_object().expect("the members of a spec are an object").clone();
    release["spec"].as_object_mut().expect("it is one line above").extend(members);
    release
}

/// A whole `spec.chart`.
pub(crate) fn chart() -> Value {
    json!({"chart": {"spec": {
        "chart": "podinfo",
        "version": "6.5.4",
        "sourceRef": {"kind": "HelmRepository", "name": "podinfo"},
    }}})
}

/// A whole `spec.chartRef`.
pub(crate) fn chart_ref() -> Value {
    json!({"chartRef": {"kind": "OCIRepository", "name": "podinfo"}})
}
