//! Who owns which fields, read from `metadata.managedFields`.

use super::finding::{clip, quoted};
use crate::{
    helmrelease::{Leaves, ManagedFields, Wanted, leaves},
    json::{Error, Kind, Raw},
};

/// A field manager and what it owns of the fields that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner<'a> {
    /// Its name, such as `kustomize-controller`.
    pub manager: &'a str,
    /// When it last changed its fields (RFC 3339), if known.
    pub time: Option<&'a str>,
    /// The path that was asked for, in dotted form.
    path: String,
    /// The part of its `fieldsV1` set at that path.
    set: Raw<'a>,
}

impl Owner<'_> {
    /// The fields in dotted form, such as `spec.chart.spec.version`, of which `most` are named. Naming them takes longer
    /// than finding the owner, and most rules only need the owner.
    pub(super) fn fields(&self, most: usize, is_leaf: &dyn Fn(&str) -> bool) -> Leaves {
        leaves(self.set, &self.path, Wanted { most, in_field_set: true, is_leaf })
    }

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
        let set = below(entry.fields?, path)?;
        Some(Owner { manager: entry.manager.text()?, time: entry.time.filled(), path: path.join("."), set })
    });
    owned.collect()
}

/// Whether an entry owns something at or below `path`. Far cheaper than to put it into words.
pub fn owns(entry: &ManagedFields<'_>, path: &[&str]) -> bool {
    !at(std::slice::from_ref(entry), path).is_empty()
}

/// How many fields of an owner are named in an audit: more than any schema has below `spec.chart`.
const MOST_OWNED: usize = 256;

/// The fields at or below `path` that an entry owns, in dotted form; none where it owns nothing there.
pub fn fields_owned(entry: &ManagedFields<'_>, path: &[&str]) -> Vec<String> {
    let entries = std::slice::from_ref(entry);
    let Some(owner) = at(entries, path).into_iter().next() else { return Vec::new() };
    let fields = owner.fields(MOST_OWNED, &|_| true).named;
    // An entry that owns only the parent does not show who owns its children.
    if fields.is_empty() { vec![owner.path] } else { fields }
}

/// The part of a `fieldsV1` set at `path`; nothing if it does not reach there.
fn below<'a>(set: Raw<'a>, path: &[&str]) -> Option<Raw<'a>> {
    path.iter().try_fold(set, |node, segment| child(node, segment).ok().flatten())
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
    use crate::{helmrelease::Text, json::Reader};

    fn fields(set: &str, path: &[&str]) -> Option<Vec<String>> {
        let set = Reader::new(set.as_bytes()).skip().unwrap();
        let entry =
            ManagedFields { manager: Text::Set("a".into()), fields: Some(set), ..ManagedFields::default() };
        Some(fields_owned(&entry, path)).filter(|fields| !fields.is_empty())
    }

    const APPLIED: &str = r#"{"f:metadata":{"f:annotations":{"f:fluxcd.io/version":{}}},
        "f:spec":{"f:chart":{".":{},"f:spec":{".":{},"f:chart":{},"f:sourceRef":{"f:kind":{},"f:name":{}}}},"f:interval":{}}}"#;

    #[test]
    fn lists_the_fields_and_not_their_parents() {
        assert_eq!(
            fields(APPLIED, &["spec", "chart"]).unwrap(),
            ["spec.chart.spec.chart", "spec.chart.spec.sourceRef.kind", "spec.chart.spec.sourceRef.name"]
        );
    }

    #[test]
    fn finds_an_annotation_by_its_key() {
        assert_eq!(
            fields(APPLIED, &["metadata", "annotations", "fluxcd.io/version"]).unwrap(),
            ["metadata.annotations.fluxcd.io/version"]
        );
    }

    #[test]
    fn says_nothing_of_what_is_not_owned() {
        assert_eq!(fields(APPLIED, &["spec", "chartRef"]), None);
        assert_eq!(fields("[]", &["spec"]), None);
        assert_eq!(fields(r#"{"f:spec":3}"#, &["spec", "chart"]), None);
    }

    #[test]
    fn names_the_field_itself_where_nothing_below_it_is_told() {
        assert_eq!(fields(r#"{"f:spec":{"f:chart":{}}}"#, &["spec", "chart"]).unwrap(), ["spec.chart"]);
        assert_eq!(fields(r#"{"f:spec":{"f:chart":{".":{}}}}"#, &["spec", "chart"]).unwrap(), ["spec.chart"]);
    }
}
