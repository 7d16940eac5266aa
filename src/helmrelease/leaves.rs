//! The names of what is set inside an object.

use crate::json::{Error, Kind, Raw, Reader};

/// Deeper than this nothing is told apart: `spec.chart` is four levels deep, so only nonsense is.
const DEEPEST: usize = 16;

/// The dotted paths of all leaves of `value`, each behind `prefix`, in their order; an empty object is a leaf.
///
/// `leaves(r#"{"spec":{"version":"1.x"}}"#, "spec.chart")` is `["spec.chart.spec.version"]`. Bytes that are not
/// JSON end the list early: this names fields in a message and must not fail because of one.
pub fn leaves(value: Raw<'_>, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    _ = collect(&mut value.reader(), prefix, DEEPEST, &mut found);
    found
}

fn collect(reader: &mut Reader<'_>, path: &str, depth: usize, found: &mut Vec<String>) -> Result<(), Error> {
    if depth == 0 || reader.kind()? != Kind::Object {
        reader.skip()?;
        found.push(path.to_owned());
        return Ok(());
    }
    let before = found.len();
    reader.object(|key, reader| collect(reader, &format!("{path}.{key}"), depth - 1, found))?;
    if found.len() == before {
        found.push(path.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(json: &str) -> Vec<String> {
        leaves(Reader::new(json.as_bytes()).skip().unwrap(), "spec.chart")
    }

    #[test]
    fn names_every_leaf_behind_its_parents() {
        assert_eq!(
            names(
                r#"{"metadata":{},"spec":{"version":"*","sourceRef":{"kind":"Bucket"},"valuesFiles":["a"]}}"#
            ),
            [
                "spec.chart.metadata",
                "spec.chart.spec.version",
                "spec.chart.spec.sourceRef.kind",
                "spec.chart.spec.valuesFiles"
            ]
        );
    }

    #[test]
    fn names_the_whole_where_it_is_empty_or_no_object() {
        assert_eq!(names("{}"), ["spec.chart"]);
        assert_eq!(names("3"), ["spec.chart"]);
    }
}
