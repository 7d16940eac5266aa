//! The names of what is set inside an object.

use crate::json::{Error, Kind, Raw, Reader};

/// Deeper than this nothing is told apart: `spec.chart` is four levels deep, so only nonsense is.
const DEEPEST: usize = 16;

/// The length in characters at which the path of a leaf is cut. The deepest one that a HelmRelease schema has takes 55.
const LONGEST: usize = 120;

/// The leaves of an object, of which only the first are named: an object with 300,000 keys must not become a message of
/// their length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leaves {
    /// The dotted paths of the first ones, in order, without control characters.
    pub named: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

/// Which leaves are collected, and how they are named.
#[derive(Clone, Copy)]
pub struct Wanted<'w> {
    /// Maximum number of named leaves.
    pub most: usize,
    /// Whether the object is a `fieldsV1` set: members are named `f:x`, and `.` stands for the parent itself.
    pub in_field_set: bool,
    /// Whether a leaf counts, by its whole path.
    pub is_leaf: &'w dyn Fn(&str) -> bool,
}

/// The leaves of `value`, each behind `prefix`; an object without members is a leaf.
///
/// Those of `{"spec":{"version":"1.x"}}` behind `spec.chart` are `spec.chart.spec.version`. Bytes that are not
/// JSON end the list early: this names fields in a message and must not fail because of one. Memory and time grow with the length of
/// `value` at most.
pub fn leaves(value: Raw<'_>, prefix: &str, wanted: Wanted<'_>) -> Leaves {
    let mut collector = Collector { path: prefix.to_owned(), wanted, leaves: Leaves::default() };
    _ = collector.collect(&mut value.reader(), DEEPEST);
    collector.leaves
}

struct Collector<'w> {
    /// The path to the current value, extended and cut back in place: writing it anew for each member would take the product of
    /// both lengths.
    path: String,
    wanted: Wanted<'w>,
    leaves: Leaves,
}

// === impl Wanted ===

impl Wanted<'_> {
    /// All leaves under the names of their members.
    pub const fn first(most: usize) -> Self {
        Self { most, in_field_set: false, is_leaf: &|_| true }
    }
}

// === impl Collector ===

impl Collector<'_> {
    fn collect(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<(), Error> {
        if depth == 0 || reader.kind()? != Kind::Object {
            reader.skip()?;
            self.leaf();
            return Ok(());
        }
        let mut is_empty = true;
        reader.object(|key, reader| {
            is_empty = false;
            let in_field_set = self.wanted.in_field_set;
            if in_field_set && key == "." {
                return reader.skip().map(|_| ());
            }
            let name = if in_field_set { key.strip_prefix("f:").unwrap_or(&key) } else { &key };
            let length = self.path.len();
            self.path.push('.');
            self.path.push_str(name);
            let read = self.collect(reader, depth - 1);
            self.path.truncate(length);
            read
        })?;
        if is_empty {
            self.leaf();
        }
        Ok(())
    }

    fn leaf(&mut self) {
        if !(self.wanted.is_leaf)(&self.path) {
            return;
        }
        if self.leaves.named.len() < self.wanted.most {
            self.leaves.named.push(printable(&self.path));
        } else {
            self.leaves.more += 1;
        }
    }
}

/// Renders a path for display: in one line, and of bounded length.
fn printable(path: &str) -> String {
    let shown = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    match path.char_indices().nth(LONGEST) {
        None => path.chars().map(shown).collect(),
        Some((end, _)) => path[..end].chars().map(shown).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, most: usize) -> Leaves {
        leaves(Reader::new(json.as_bytes()).skip().unwrap(), "spec.chart", Wanted::first(most))
    }

    fn names(json: &str) -> Vec<String> {
        read(json, 9).named
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

    #[test]
    fn counts_what_is_too_much_and_does_not_name_it() {
        let members: Vec<_> = (0..300_000).map(|index| format!(r#""k{index}":1"#)).collect();
        let found = read(&format!("{{{}}}", members.join(",")), 10);
        assert_eq!((found.named.len(), found.more), (10, 299_990));
        assert_eq!(found.named[9], "spec.chart.k9");
    }

    #[test]
    fn a_long_name_above_many_leaves_costs_no_more_than_its_length() {
        let members: Vec<_> = (0..100_000).map(|index| format!(r#""{index}":1"#)).collect();
        let deep = format!(r#"{{"{}":{{{}}}}}"#, "x".repeat(1_000_000), members.join(","));
        let found = read(&deep, 10);
        assert_eq!((found.named.len(), found.more), (10, 99_990));
        assert!(found.named.iter().all(|name| name.chars().count() == LONGEST + 1 && name.ends_with('…')));
    }

    #[test]
    fn a_name_stays_in_its_line() {
        assert_eq!(names("{\"a\\nb\":1}"), ["spec.chart.a\u{fffd}b"]);
    }
}
