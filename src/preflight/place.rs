//! From a field of a rendered object to the place in a file that put it there.

use crate::helmrelease::at;
use crate::json::Kind;
use crate::json::pointer::{segments, unescaped};
use crate::yaml::{Entry, Node, Overridden, Span};

/// Where a finding about a field is shown: at the value that is there, at the key of a list or map, or at whatever would hold the field.
///
/// A map that leads to one value only is shown at that one: what an overlay pins is the version, not the `chart` above it.
pub(super) fn of(root: &Node<'_>, pointer: &str) -> Span {
    match field(root, pointer) {
        Some(entry) => shown(leading(entry, pointer)),
        None => nearest(root, pointer),
    }
}

/// The entry of a field, if it is there.
pub(super) fn field<'n, 'a>(root: &'n Node<'a>, pointer: &str) -> Option<&'n Entry<'a>> {
    let (parent, name) = pointer.rsplit_once('/')?;
    let parent = segments(parent).try_fold(root, |node, segment| node.get(&segment))?;
    parent.entry(&unescaped(name))
}

/// The places of everything that a value took the place of, from the last to the first.
pub(super) fn overridden<'n>(root: &'n Node<'_>, pointer: &str) -> impl Iterator<Item = Span> + use<'n> {
    let entry = field(root, pointer).map(|entry| leading(entry, pointer));
    entry.and_then(|entry| entry.value.over.as_deref()).into_iter().flat_map(Overridden::places)
}

/// Down a map as long as it holds one entry, if that ends at one value. What `spec` as a whole lacks is not about the one thing that it has.
fn leading<'n, 'a>(entry: &'n Entry<'a>, pointer: &str) -> &'n Entry<'a> {
    if pointer == at::SPEC {
        return entry;
    }
    let mut last = entry;
    while let [only] = last.value.entries() {
        last = only;
    }
    if last.value.scalar().is_some() { last } else { entry }
}

fn shown(entry: &Entry<'_>) -> Span {
    match entry.value.kind() {
        Kind::Object | Kind::Array | Kind::Null => entry.key.at,
        _ => entry.value.at,
    }
}

/// The deepest place on the way to a field that is not there.
fn nearest(root: &Node<'_>, pointer: &str) -> Span {
    let kind = root.entry("kind").map_or(root.at, |entry| entry.value.at);
    let mut place = kind;
    let mut node = root;
    for segment in segments(pointer) {
        let Some(entry) = node.entry(&segment) else { break };
        place = entry.key.at;
        node = &entry.value;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    const TEXT: &str = "kind: HelmRelease\nmetadata:\n  annotations:\n    a.b/c: d\nspec:\n  chart:\n    spec:\n      version: 1\n";

    fn shown_at(pointer: &str) -> &'static str {
        let root = yaml::documents(TEXT, 0).remove(0).unwrap();
        &TEXT[of(&root, pointer).range()]
    }

    #[test]
    fn shows_the_value_or_what_would_hold_it() {
        assert_eq!(shown_at("/metadata/annotations/a.b~1c"), "d");
        assert_eq!(shown_at("/spec/chart"), "1");
        assert_eq!(shown_at("/spec"), "spec");
        assert_eq!(shown_at("/spec/chartRef/kind"), "spec");
        assert_eq!(shown_at("/apiVersion"), "HelmRelease");
        assert_eq!(shown_at("/metadata/annotations/x"), "annotations");
    }
}
