//! Who owns which fields, read from `metadata.managedFields`.

use super::finding::{clip, quoted};
use crate::{
    helmrelease::{ManagedFields, leaves},
    json::{Error, Kind, Raw},
};

/// A field manager and what it owns of the fields that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner<'a> {
    /// Its name, such as `kustomize-controller`.
    pub manager: &'a str,
    /// When it last changed its fields (RFC 3339), if known.
    pub time: Option<&'a str>,
    /// The fields in dotted form, such as `spec.chart.spec.version`.
    pub fields: Vec<String>,
}

impl Owner<'_> {
    /// Name and time, as a message tells them.
    pub(super) fn described(&self) -> String {
        format!("{}{}", quoted(self.manager), self.since())
    }

    /// ` at` the time, if it is known.
    pub(super) fn since(&self) -> String {
        self.time.map(|time| format!(" at {}", clip(time, 20))).unwrap_or_default()
    }
}

/// The managers that own something at or below `path`, in the order of their entries.
pub(super) fn at<'a>(entries: &'a [ManagedFields<'a>], path: &[&str]) -> Vec<Owner<'a>> {
    let owned = entries.iter().filter_map(|entry| {
        let fields = fields_below(entry.fields?, path)?;
        Some(Owner { manager: entry.manager.text()?, time: entry.time.filled(), fields })
    });
    owned.collect()
}

/// What a `fieldsV1` set holds at or below `path`; nothing if it does not reach there.
fn fields_below(set: Raw<'_>, path: &[&str]) -> Option<Vec<String>> {
    let mut node = set;
    for segment in path {
        node = child(node, segment).ok().flatten()?;
    }
    let prefix = path.join(".");
    // `.` stands for the parent itself, beside the children that it holds.
    let named = leaves(node, "").into_iter().filter(|leaf| !leaf.ends_with(".."));
    let named = named.map(|leaf| format!("{prefix}{}", leaf.replace(".f:", ".")));
    let mut fields: Vec<String> = named.collect();
    if fields.is_empty() {
        fields.push(prefix);
    }
    Some(fields)
}

fn child<'a>(node: Raw<'a>, segment: &str) -> Result<Option<Raw<'a>>, Error> {
    if node.kind() != Kind::Object {
        return Ok(None);
    }
    let mut found = None;
    node.reader().object(|key, reader| {
        let value = reader.skip()?;
        if key.strip_prefix("f:") == Some(segment) {
            found = Some(value);
        }
        Ok::<_, Error>(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Reader;

    fn below(set: &str, path: &[&str]) -> Option<Vec<String>> {
        fields_below(Reader::new(set.as_bytes()).skip().unwrap(), path)
    }

    const APPLIED: &str = r#"{"f:metadata":{"f:annotations":{"f:fluxcd.io/version":{}}},
        "f:spec":{"f:chart":{".":{},"f:spec":{".":{},"f:chart":{},"f:sourceRef":{"f:kind":{},"f:name":{}}}},"f:interval":{}}}"#;

    #[test]
    fn lists_the_fields_and_not_their_parents() {
        assert_eq!(
            below(APPLIED, &["spec", "chart"]).unwrap(),
            ["spec.chart.spec.chart", "spec.chart.spec.sourceRef.kind", "spec.chart.spec.sourceRef.name"]
        );
    }

    #[test]
    fn finds_an_annotation_by_its_key() {
        assert_eq!(
            below(APPLIED, &["metadata", "annotations", "fluxcd.io/version"]).unwrap(),
            ["metadata.annotations.fluxcd.io/version"]
        );
    }

    #[test]
    fn says_nothing_of_what_is_not_owned() {
        assert_eq!(below(APPLIED, &["spec", "chartRef"]), None);
        assert_eq!(below("[]", &["spec"]), None);
        assert_eq!(below(r#"{"f:spec":3}"#, &["spec", "chart"]), None);
    }

    #[test]
    fn names_the_field_itself_where_nothing_below_it_is_told() {
        assert_eq!(below(r#"{"f:spec":{"f:chart":{}}}"#, &["spec", "chart"]).unwrap(), ["spec.chart"]);
        assert_eq!(below(r#"{"f:spec":{"f:chart":{".":{}}}}"#, &["spec", "chart"]).unwrap(), ["spec.chart"]);
    }
}
