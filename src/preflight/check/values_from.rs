//! Values that helm-controller splits at commas: those of `spec.valuesFrom` with a `targetPath`, as far as their ConfigMap is printed beside the
//! release.

use rayon::prelude::*;

use super::plain;
use super::release::{object_of, ways, whole};
use crate::policy::quoted;
use crate::render::ends::{End, Object, Rendered};
use crate::render::flux::is_opaque;
use crate::report::rule::SPLIT_VALUE;
use crate::report::{Diagnostic, Grade, Related};
use crate::yaml::{Node, Span};

/// What helm-controller (1.6, fluxcd/pkg/chartutil 1.30) does with `targetPath=value`, which it reads as `helm --set` does.
#[derive(Debug, PartialEq, Eq)]
enum Outcome<'v> {
    /// It sets the value.
    Whole,
    /// It sets only what is before the first comma, and these keys.
    Split(Vec<&'v str>),
    /// It refuses it: what comes behind a comma gives this key no value.
    NoValue(&'v str),
    /// It refuses it: a list without an end.
    NoEnd,
}

/// A value that is not set as it is.
struct Found<'r, 'a> {
    /// The places of the path and of the value.
    places: (Span, Span),
    index: usize,
    path: &'r str,
    outcome: Outcome<'r>,
    object: &'r Object<'a>,
    end: &'r End<'a>,
}

/// The findings about values that are split or refused, each pair of places once.
pub(super) fn split(rendered: &Rendered<'_>) -> Vec<Diagnostic> {
    let ends = rendered.ends.par_iter().filter(|end| !end.config_maps.is_empty());
    let found = ends.flat_map_iter(|end| whole(end).flat_map(move |object| of_release(object, end)));
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|it| it.places);
    found.chunk_by(|one, other| one.places == other.places).filter_map(diagnostic).collect()
}

fn of_release<'r, 'a>(object: &'r Object<'a>, end: &'r End<'a>) -> Vec<Found<'r, 'a>> {
    let references = object.node.at(&["spec", "valuesFrom"]).map(Node::items).unwrap_or_default();
    let found = references.iter().enumerate().filter_map(|(index, reference)| {
        let path = reference.get("targetPath")?;
        let value = value_of(reference, object, end)?;
        let text = value.text().filter(|text| !is_opaque(text))?;
        let (places, path, outcome) = ((path.at, value.at), path.text()?, outcome(text));
        (outcome != Outcome::Whole).then_some(Found { places, index, path, outcome, object, end })
    });
    found.collect()
}

/// The value that a reference with a `targetPath` reads from a ConfigMap, unless it is a literal.
fn value_of<'r>(reference: &Node<'_>, object: &Object<'_>, end: &'r End<'_>) -> Option<&'r Node<'r>> {
    let is_literal =
        reference.get("literal").is_some_and(|it| it.scalar().is_some_and(|it| it.text == "true"));
    if reference.text_of(&["kind"]) != Some("ConfigMap") || is_literal {
        return None;
    }
    let (name, namespace) = (reference.text_of(&["name"])?, object.namespace());
    let map = end.config_maps.iter().find(|map| {
        map.text_of(&["metadata", "name"]) == Some(name)
            && map.text_of(&["metadata", "namespace"]) == namespace
    })?;
    let key = reference.text_of(&["valuesKey"]).filter(|key| !key.is_empty()).unwrap_or("values.yaml");
    map.get("data")?.get(key)
}

fn outcome(value: &str) -> Outcome<'_> {
    let is_in = |quote| value.starts_with(quote) && value.ends_with(quote);
    // Quotes around all of it go first, and protect nothing.
    let value = if is_in('\'') || is_in('"') { value.trim_matches(['\'', '"']) } else { value };
    let Some(mut rest) = behind_value(value) else { return Outcome::NoEnd };
    let mut keys = Vec::new();
    while !rest.is_empty() {
        let end = unescaped(rest, &['=', ',']).unwrap_or(rest.len());
        let key = &rest[..end];
        if !rest[end..].starts_with('=') {
            return Outcome::NoValue(key);
        }
        keys.push(key);
        match behind_value(&rest[end + 1..]) {
            Some(behind) => rest = behind,
            None => return Outcome::NoEnd,
        }
    }
    // A comma at the end is dropped.
    if keys.is_empty() && !value.ends_with(',') { Outcome::Whole } else { Outcome::Split(keys) }
}

/// What comes behind a value and its comma; `None` where a list has no end.
fn behind_value(text: &str) -> Option<&str> {
    let text = match text.strip_prefix('{') {
        Some(list) => {
            let behind = &list[unescaped(list, &['}'])? + 1..];
            return Some(behind.strip_prefix(',').unwrap_or(behind));
        }
        None => text,
    };
    Some(unescaped(text, &[',']).map_or("", |end| &text[end + 1..]))
}

/// Where the first of some characters is that has no backslash before it.
fn unescaped(text: &str, characters: &[char]) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let is_it = !is_escaped && characters.contains(&character);
        is_escaped = !is_escaped && character == '\\';
        is_it.then_some(at)
    })
}

fn diagnostic(found: &[Found<'_, '_>]) -> Option<Diagnostic> {
    let Found { places, index, path, outcome, object, .. } = found.first()?;
    let path = quoted(path);
    let (grade, what) = match outcome {
        Outcome::Whole => return None,
        Outcome::Split(keys) if keys.is_empty() => {
            (Grade::Warning, format!("the value for targetPath {path} loses the comma at its end"))
        }
        Outcome::Split(keys) => {
            let keys = keys.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(", ");
            let what = format!("the value for targetPath {path} is cut at a comma, and the rest sets {keys}");
            (Grade::Warning, what)
        }
        Outcome::NoValue(key) => {
            let key = quoted(key);
            let what = format!(
                "the value for targetPath {path} is cut at a comma, and the rest is refused: key {key} has no value"
            );
            (Grade::Error, what)
        }
        Outcome::NoEnd => {
            let what = format!("the value for targetPath {path} begins a list with {{ and does not end it");
            (Grade::Error, what)
        }
    };
    Some(Diagnostic {
        what,
        object: Some(object_of(&object.node)),
        field: format!("spec.valuesFrom[{index}].targetPath"),
        location: Some(places.0.into()),
        related: vec![Related { location: places.1.into(), what: "the value is here".to_owned() }],
        ways: found.iter().flat_map(|it| ways(it.end)).collect(),
        ..plain(SPLIT_VALUE, grade)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_split_as_helm_does() {
        use Outcome::{NoEnd, NoValue, Split, Whole};
        // As fluxcd/pkg/chartutil 1.30.0 reads them (`ReplacePathValue`), with helm 4.2.2.
        for (value, expected) in [
            ("x", Whole),
            ("", Whole),
            ("x=y", Whole),
            ("x}", Whole),
            (r"x\,y", Whole),
            ("{x,y}", Whole),
            ("k1: v1\nk2: v2", Whole),
            ("x,y", NoValue("y")),
            ("x, y", NoValue(" y")),
            (r#""x,y""#, NoValue("y")),
            ("'x,y'", NoValue("y")),
            ("'x,y=z'", Split(vec!["y"])),
            ("x,y=z", Split(vec!["y"])),
            ("x,b.c[0]=1", Split(vec!["b.c[0]"])),
            ("{x,y},b=c", Split(vec!["b"])),
            (",b=c", Split(vec!["b"])),
            ("x,b=", Split(vec!["b"])),
            ("x,", Split(Vec::new())),
            (",", Split(Vec::new())),
            ("x,b=1,", Split(vec!["b"])),
            ("x,b=1,c", NoValue("c")),
            ("x,,b=1", NoValue("")),
            (r"x\\,y", NoValue("y")),
            ("[1,2]", NoValue("2]")),
            ("{x}y", NoValue("y")),
            ("{x,y", NoEnd),
            ("x,y={1,2", NoEnd),
            ("x,y={1,2}", Split(vec!["y"])),
        ] {
            assert_eq!(outcome(value), expected, "{value:?}");
        }
    }
}
