//! Decodes a kustomization file as Go does: names of fields count in upper and lower case alike, and each value has to be of the type of its field.

use std::borrow::Cow;
use std::sync::Arc;

use super::fields::{Fields, KUSTOMIZATION, Type};
use super::printing::words;
use crate::json::Kind;
use crate::render::tree::{Note, Reason};
use crate::yaml::{Entry, Key, Node, Span, Str, Value, boolean, number};

/// A place at which a file does not fit the Go struct that kustomize decodes it into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The key, or the value.
    pub at: Span,
    /// What is wrong, in one line.
    pub what: String,
    /// What becomes of it where the file is decoded leniently, by `yaml.Unmarshal` of `sigs.k8s.io/yaml`.
    pub leniency: Leniency,
}

/// What a lenient decoder does with a value that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leniency {
    /// It refuses it, too.
    None,
    /// It drops a field that it does not know.
    Dropped,
    /// It makes a text of a number or a boolean.
    MadeText,
}

/// What becomes of a value, or of what holds it.
enum Change<T> {
    Keep,
    Set(T),
    /// It does not fit.
    Drop,
}

/// Decodes values, and collects what does not fit.
#[derive(Default)]
struct Decoder {
    mismatches: Vec<Mismatch>,
}

/// A kustomization file with the names of its fields as they are documented. What does not fit is left out.
pub fn canonical<'n, 'a>(document: &'n Node<'a>) -> Cow<'n, Node<'a>> {
    decoded(document, &KUSTOMIZATION).0
}

/// A value decoded into a Go struct, and what of it does not fit.
///
/// Left out is what does not fit; a number or a boolean in the place of a text is the text that a lenient decoder makes of it, and a null in
/// a list or a map of texts is an empty one.
pub(super) fn decoded<'n, 'a>(
    value: &'n Node<'a>,
    fields: &'static Fields,
) -> (Cow<'n, Node<'a>>, Vec<Mismatch>) {
    let mut decoder = Decoder::default();
    let change = decoder.fields(value, fields, true);
    let node = match change {
        Change::Set(node) => Cow::Owned(node),
        Change::Keep | Change::Drop => Cow::Borrowed(value),
    };
    (node, decoder.mismatches)
}

// === impl Mismatch ===

impl Mismatch {
    /// The note where the file is decoded strictly, as kustomize (5.8) does.
    pub fn refused(&self) -> Note {
        Note::new(self.at, Reason::Refused, self.what.clone())
    }

    /// The note at the path of a Flux Kustomization: kustomize-controller decodes the file leniently and writes it anew
    /// (`GenerateManifest` of fluxcd/pkg/kustomize 1.44), before kustomize reads it.
    pub fn rewritten(&self) -> Note {
        let becomes = match self.leniency {
            Leniency::None => return self.refused(),
            Leniency::Dropped => "drops it without a word",
            Leniency::MadeText => "makes a text of it",
        };
        let message =
            format!("{}: kustomize-controller {becomes}, and kustomize build refuses it", self.what);
        Note::new(self.at, Reason::Lenient, message)
    }
}

// === impl Decoder ===

impl Decoder {
    fn mismatch<'a>(&mut self, at: Span, what: String, leniency: Leniency) -> Change<Node<'a>> {
        self.mismatches.push(Mismatch { at, what, leniency });
        Change::Drop
    }

    /// Decodes the value of a field. `converts` is whether a lenient decoder makes texts of numbers in it.
    fn value<'a>(&mut self, name: &str, value: &Node<'a>, of: Type, converts: bool) -> Change<Node<'a>> {
        let kind = value.kind();
        let takes = match of {
            // Go leaves a field as it is where JSON has null.
            _ if kind == Kind::Null => return Change::Keep,
            Type::Text if kind == Kind::String => return Change::Keep,
            Type::Text => return self.text(value, || format!("{name} takes a text"), converts),
            Type::Boolean if kind == Kind::Boolean => return Change::Keep,
            Type::Boolean => "a boolean",
            Type::Integer if is_integer(value) => return Change::Keep,
            Type::Integer => "a whole number",
            Type::Texts if kind == Kind::Object => return self.texts(name, value, converts),
            Type::Map if kind == Kind::Object => return Change::Keep,
            Type::Struct(fields) if kind == Kind::Object => return self.fields(value, fields, converts),
            Type::Texts | Type::Map | Type::Struct(_) => "a map",
            Type::List(of) if kind == Kind::Array => return self.items(name, value, *of, converts),
            Type::List(_) => "a list",
        };
        let found = match value.scalar().filter(|_| kind == Kind::Number) {
            Some(number) => &*number.text,
            None => words(kind),
        };
        self.mismatch(value.at, format!("{name} takes {takes}, not {found}"), Leniency::None)
    }

    fn text<'a>(&mut self, value: &Node<'a>, takes: impl Fn() -> String, converts: bool) -> Change<Node<'a>> {
        let text = value.scalar().filter(|_| converts).and_then(|scalar| go_text(&scalar.text));
        let leniency = if text.is_some() { Leniency::MadeText } else { Leniency::None };
        let what = format!("{}, not {}", takes(), words(value.kind()));
        let change = self.mismatch(value.at, what, leniency);
        text.map_or(change, |text| Change::Set(Node::text_at(text, value.at)))
    }

    fn texts<'a>(&mut self, name: &str, map: &Node<'a>, converts: bool) -> Change<Node<'a>> {
        let entries = map.entries();
        let mut changed = None;
        for (index, entry) in entries.iter().enumerate() {
            let change = match entry.value.kind() {
                Kind::String => Change::Keep,
                Kind::Null => Change::Set(Node::text_at("", entry.value.at)),
                _ => self.text(&entry.value, || format!("{name} takes texts"), converts),
            };
            change.map(|value| Entry { value, ..entry.clone() }).apply(&mut changed, entries, index);
        }
        with(map, changed, Value::Mapping)
    }

    fn items<'a>(&mut self, name: &str, list: &Node<'a>, of: Type, converts: bool) -> Change<Node<'a>> {
        let items = list.items();
        let mut changed = None;
        for (index, item) in items.iter().enumerate() {
            let kind = if matches!(of, Type::Text) { Some(item.kind()) } else { None };
            let change = match kind {
                Some(Kind::String) => Change::Keep,
                Some(Kind::Null) => Change::Set(Node::text_at("", item.at)),
                _ => self.value(name, item, of, converts),
            };
            change.apply(&mut changed, items, index);
        }
        with(list, changed, Value::Sequence)
    }

    fn fields<'a>(&mut self, map: &Node<'a>, fields: &'static Fields, converts: bool) -> Change<Node<'a>> {
        let entries = map.entries();
        let mut changed = None;
        for (index, entry) in entries.iter().enumerate() {
            let Entry { key, value } = entry;
            let Some(field) = fields.named(&key.text) else {
                let what = format!("{} is no field of {}", key.text, fields.title);
                let change = self.mismatch(key.at, what, Leniency::Dropped);
                change.map(|_| entry.clone()).apply(&mut changed, entries, index);
                continue;
            };
            let change = self.value(field.name, value, field.of, converts && !field.is_embedded);
            let is_renamed = key.text != field.name;
            // Of several spellings Go takes the last one: JSON comes to it with its keys in order.
            let is_last = entries.iter().all(|other| {
                !other.key.text.eq_ignore_ascii_case(field.name) || *other.key.text <= *key.text
            });
            let change = match change {
                Change::Drop => Change::Drop,
                _ if !is_last => Change::Drop,
                Change::Keep if !is_renamed => Change::Keep,
                Change::Keep => Change::Set(value.clone()),
                set @ Change::Set(_) => set,
            };
            let name = || Key { text: Str::from(field.name), at: key.at };
            change.map(|value| Entry { key: name(), value }).apply(&mut changed, entries, index);
        }
        with(map, changed, Value::Mapping)
    }
}

// === impl Change ===

impl<T> Change<T> {
    fn map<U>(self, set: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Set(value) => Change::Set(set(value)),
            Self::Drop => Change::Drop,
        }
    }

    /// Applies it to the next of all parts. They are copied at the first that does not stay as it is.
    fn apply(self, changed: &mut Option<Vec<T>>, all: &[T], index: usize)
    where
        T: Clone,
    {
        if matches!(self, Self::Keep) && changed.is_none() {
            return;
        }
        let changed = changed.get_or_insert_with(|| all[..index].to_vec());
        match self {
            Self::Keep => changed.push(all[index].clone()),
            Self::Set(value) => changed.push(value),
            Self::Drop => {}
        }
    }
}

/// A value with other parts, if there are any.
fn with<'a, T>(node: &Node<'a>, parts: Option<Vec<T>>, value: fn(Arc<[T]>) -> Value<'a>) -> Change<Node<'a>> {
    match parts {
        Some(parts) => Change::Set(Node { value: value(parts.into()), at: node.at, over: node.over.clone() }),
        None => Change::Keep,
    }
}

/// Whether Go decodes a value into an `int64`.
fn is_integer(value: &Node<'_>) -> bool {
    let number = value.scalar().filter(|_| value.kind() == Kind::Number).and_then(|it| number(&it.text));
    number.is_some_and(|number| number.parse::<i64>().is_ok() || is_whole(&number))
}

/// Whether a number with a fraction or an exponent is one that `sigs.k8s.io/yaml` writes as an integer: it goes through a float of Go, which
/// JSON has without a fraction below 1e21.
fn is_whole(number: &str) -> bool {
    number.contains(['.', 'e', 'E'])
        && number.parse().is_ok_and(|float: f64| float.fract() == 0.0 && float.abs() < 9e18)
}

/// The text that `convertToJSONableObject` of `sigs.k8s.io/yaml` (1.6.0) makes of a boolean or a number.
fn go_text(text: &str) -> Option<String> {
    if let Some(boolean) = boolean(text) {
        return Some(boolean.to_owned());
    }
    let number = number(text)?;
    if let Ok(integer) = number.parse::<i128>()
        && (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&integer)
    {
        return Some(integer.to_string());
    }
    number.parse().ok().map(go_float)
}

/// A float as `strconv.FormatFloat(float, 'g', -1, 32)` of Go has it: of as few digits as tell it from other floats of 32 bits, with an exponent
/// below -4 and from 6 on.
fn go_float(float: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "Go formats it with 32 bits")]
    let float = float as f32;
    let short = format!("{float:e}");
    match short.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?))) {
        Some((digits, exponent)) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => float.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn json_of(text: &str) -> (String, Vec<String>) {
        let node = yaml::documents(text, 0).remove(0).unwrap();
        let (node, mismatches) = decoded(&node, &KUSTOMIZATION);
        let mut json = Vec::new();
        node.write_json(&mut json);
        (String::from_utf8(json).unwrap(), mismatches.into_iter().map(|it| it.what).collect())
    }

    #[test]
    fn only_names_of_fields_are_spelled_as_documented() {
        let text =
            "RESOURCES: [a.yaml]\nPatches:\n- TARGET: {Kind: X}\n  Path: p.yaml\ncommonLabels: {NAME: a}\n";
        let json = r#"{"resources":["a.yaml"],"patches":[{"target":{"kind":"X"},"path":"p.yaml"}],"commonLabels":{"NAME":"a"}}"#;
        assert_eq!(json_of(text), (json.to_owned(), Vec::new()));
        let text = "Namespace: a\nnamespace: b\nNAMESPACE: c\nnamePREFIX: d\nNamePrefix: e\n";
        assert_eq!(json_of(text), (r#"{"namespace":"b","namePrefix":"d"}"#.to_owned(), Vec::new()));
        let plain = yaml::documents("resources: [a.yaml]\nimages: []\n", 0).remove(0).unwrap();
        assert!(matches!(canonical(&plain), Cow::Borrowed(_)));
    }

    #[test]
    fn what_does_not_fit_is_left_out_or_made_a_text() {
        for (text, json, what) in [
            ("bogus: 1\nnamespace: a\n", r#"{"namespace":"a"}"#, "bogus is no field of a kustomization file"),
            ("patches: [{ptch: x}]\n", r#"{"patches":[{}]}"#, "ptch is no field of a patch"),
            ("resources: x\n", "{}", "resources takes a list, not a text"),
            ("resources: [a, 5]\n", r#"{"resources":["a","5"]}"#, "resources takes a text, not a number"),
            ("patches: [a]\n", r#"{"patches":[]}"#, "patches takes a map, not a text"),
            (
                "commonAnnotations: {a: yes, b: ~}\n",
                r#"{"commonAnnotations":{"a":"true","b":""}}"#,
                "commonAnnotations takes texts, not a boolean",
            ),
            (
                "patches: [{target: {name: 5}}]\n",
                r#"{"patches":[{"target":{}}]}"#,
                "name takes a text, not a number",
            ),
            ("replicas: [{count: 1.5}]\n", r#"{"replicas":[{}]}"#, "count takes a whole number, not 1.5"),
            (
                "generatorOptions: {immutable: 'true'}\n",
                r#"{"generatorOptions":{}}"#,
                "immutable takes a boolean, not a text",
            ),
        ] {
            assert_eq!(json_of(text), (json.to_owned(), vec![what.to_owned()]), "{text}");
        }
        let fine =
            "resources: [~]\nlabels: [~]\nreplicas: [{count: 2.0}]\nhelmCharts: [{valuesInline: {a: [1]}}]\n";
        assert_eq!(json_of(fine).1, [] as [&str; 0]);
    }

    #[test]
    fn numbers_become_the_texts_that_go_makes_of_them() {
        for (number, text) in [
            ("1.50", "1.5"),
            ("1e3", "1000"),
            ("0x1f", "31"),
            ("12345678901234567890", "12345678901234567890"),
            ("12345678901234567890123", "1.2345679e+22"),
            ("1e30", "1e+30"),
            ("0.00001", "1e-05"),
            ("0.0001", "0.0001"),
            ("-0", "0"),
            (".5", "0.5"),
            ("1_000", "1000"),
            ("100000000.0", "1e+08"),
            ("16777216.0", "1.6777216e+07"),
            ("123456.789", "123456.79"),
            ("1.0", "1"),
            ("no", "false"),
        ] {
            assert_eq!(go_text(number).as_deref(), Some(text), "{number}");
        }
    }
}
