//! The tree.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;

use crate::json::Kind;

/// A range of bytes in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file, by the number that its reader was given.
    pub file: u32,
    /// The first byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

/// A value, and where it came from.
///
/// Two nodes are equal if their values are, wherever they stand.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// The value.
    pub value: Value<'a>,
    /// Where it stands. A value that came through an alias stands where the anchor is.
    pub at: Span,
    /// What it took the place of, where a patch or a transformation set it.
    pub over: Option<Arc<Overridden>>,
}

/// Where a value stood that another one took the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overridden {
    /// Where it stands.
    pub at: Span,
    /// What that one took the place of before.
    pub over: Option<Arc<Overridden>>,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// A text, or what stands for a number, a boolean or nothing.
    Scalar(Scalar<'a>),
    /// A list.
    Sequence(Arc<Sequence<'a>>),
    /// A map.
    Mapping(Arc<Mapping<'a>>),
}

/// A scalar as it is written, without quotes and escapes.
#[derive(Debug, Clone)]
pub struct Scalar<'a> {
    /// Its text.
    pub text: Cow<'a, str>,
    /// Whether it is written without quotes, so that its text may mean something else than a text.
    pub plain: bool,
}

/// A list, and how it is written.
#[derive(Debug, Clone, Default)]
pub struct Sequence<'a> {
    /// Its items.
    pub items: Vec<Node<'a>>,
    /// Whether it is written in brackets.
    pub flow: bool,
}

/// A map in the order of its keys, and how it is written.
#[derive(Debug, Clone, Default)]
pub struct Mapping<'a> {
    /// Its entries; no key is there twice.
    pub entries: Vec<Entry<'a>>,
    /// Whether it is written in braces.
    pub flow: bool,
    /// Whether its entries were passed over, because nobody who asked for the tree asks for them. Then it looks empty, and is not.
    pub elided: bool,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    /// The key.
    pub key: Key<'a>,
    /// The value.
    pub value: Node<'a>,
}

/// A key, and where it stands.
#[derive(Debug, Clone)]
pub struct Key<'a> {
    /// Its text.
    pub text: Cow<'a, str>,
    /// Where it stands.
    pub at: Span,
}

// === impl Span ===

impl Span {
    /// The range, to slice the text of the file with.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

// === impl Node ===

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<'a> Node<'a> {
    /// A text at a place.
    pub fn text_at(text: impl Into<Cow<'a, str>>, at: Span) -> Self {
        Self { value: Value::Scalar(Scalar { text: text.into(), plain: false }), at, over: None }
    }

    /// A map without entries at a place.
    pub fn empty_mapping(at: Span) -> Self {
        Self { value: Value::Mapping(Arc::default()), at, over: None }
    }

    /// What it is once Kubernetes has read it.
    pub fn kind(&self) -> Kind {
        match &self.value {
            Value::Scalar(scalar) => scalar.kind(),
            Value::Sequence(_) => Kind::Array,
            Value::Mapping(_) => Kind::Object,
        }
    }

    /// Whether it is `null`, or nothing at all.
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if scalar.kind() == Kind::String => Some(&scalar.text),
            _ => None,
        }
    }

    /// The text as it is written, whether it means a text, a number or a boolean.
    pub fn scalar(&self) -> Option<&Scalar<'a>> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The entries, if it is a map; else none.
    pub fn entries(&self) -> &[Entry<'a>] {
        match &self.value {
            Value::Mapping(mapping) => &mapping.entries,
            _ => &[],
        }
    }

    /// The items, if it is a list; else none.
    pub fn items(&self) -> &[Node<'a>] {
        match &self.value {
            Value::Sequence(sequence) => &sequence.items,
            _ => &[],
        }
    }

    /// The entry of a key, if it is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries().iter().find(|entry| entry.key.text == key)
    }

    /// The value of a key, if it is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value at the end of a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node<'a>> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The text at the end of a path of keys.
    pub fn text_of(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.text()
    }

    /// The entries, to be changed; `None` if it is no map. What is shared with other trees is copied first.
    pub fn mapping_mut(&mut self) -> Option<&mut Vec<Entry<'a>>> {
        match &mut self.value {
            Value::Mapping(mapping) => Some(&mut Arc::make_mut(mapping).entries),
            _ => None,
        }
    }

    /// The items, to be changed; `None` if it is no list. What is shared with other trees is copied first.
    pub fn sequence_mut(&mut self) -> Option<&mut Vec<Node<'a>>> {
        match &mut self.value {
            Value::Sequence(sequence) => Some(&mut Arc::make_mut(sequence).items),
            _ => None,
        }
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node<'a>> {
        self.mapping_mut()?.iter_mut().find(|entry| entry.key.text == key).map(|entry| &mut entry.value)
    }

    /// Sets a key of a map: the value that was there is remembered in the new one. What is no map stays as it is.
    pub fn set(&mut self, key: Key<'a>, value: Node<'a>) {
        let Some(entries) = self.mapping_mut() else { return };
        match entries.iter_mut().find(|entry| entry.key.text == key.text) {
            Some(entry) => {
                let new = value.in_place_of(&entry.value);
                *entry = Entry { key, value: new };
            }
            None => entries.push(Entry { key, value }),
        }
    }

    /// Takes a key out of a map.
    pub fn remove(&mut self, key: &str) -> Option<Entry<'a>> {
        let entries = self.mapping_mut()?;
        let index = entries.iter().position(|entry| entry.key.text == key)?;
        Some(entries.remove(index))
    }

    /// The same value, which remembers the one that it takes the place of.
    #[must_use]
    pub fn in_place_of(mut self, old: &Self) -> Self {
        if self.at != old.at {
            self.over = Some(Arc::new(Overridden { at: old.at, over: old.over.clone() }));
        }
        self
    }

    /// Appends the value as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match &self.value {
            Value::Scalar(scalar) => scalar.write_json(out),
            Value::Sequence(sequence) => {
                for (index, item) in sequence.items.iter().enumerate() {
                    out.push(if index == 0 { b'[' } else { b',' });
                    item.write_json(out);
                }
                out.extend_from_slice(if sequence.items.is_empty() { b"[]" } else { b"]" });
            }
            Value::Mapping(mapping) => {
                for (index, Entry { key, value }) in mapping.entries.iter().enumerate() {
                    out.push(if index == 0 { b'{' } else { b',' });
                    write_text(&key.text, out);
                    out.push(b':');
                    value.write_json(out);
                }
                out.extend_from_slice(if mapping.entries.is_empty() { b"{}" } else { b"}" });
            }
        }
    }
}

// === impl Scalar ===

impl PartialEq for Scalar<'_> {
    fn eq(&self, other: &Self) -> bool {
        let kind = self.kind();
        kind == other.kind() && (kind == Kind::Null || self.text == other.text)
    }
}

impl Scalar<'_> {
    /// What it means to the API machinery of Kubernetes (`sigs.k8s.io/yaml`): YAML 1.1 without its numbers of base 60 and its times.
    pub fn kind(&self) -> Kind {
        if !self.plain {
            return Kind::String;
        }
        match &*self.text {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            text if boolean(text).is_some() => Kind::Boolean,
            text if is_endless(text) || number(text).is_some() => Kind::Number,
            _ => Kind::String,
        }
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        match self.kind() {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Boolean => {
                out.extend_from_slice(boolean(&self.text).unwrap_or_default().as_bytes());
            }
            Kind::Number => match number(&self.text) {
                Some(number) => out.extend_from_slice(number.as_bytes()),
                // JSON has no word for infinity; the API server refuses it, and no rule reads a number.
                None => write_text(&self.text, out),
            },
            Kind::String | Kind::Array | Kind::Object => write_text(&self.text, out),
        }
    }
}

// === impl Sequence, Mapping, Key ===

impl PartialEq for Sequence<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl PartialEq for Mapping<'_> {
    /// Compares what is said of each key; the order says nothing.
    fn eq(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && self.entries.iter().all(|entry| {
                let same = other.entries.iter().find(|it| it.key.text == entry.key.text);
                same.is_some_and(|same| same.value == entry.value)
            })
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The boolean that YAML 1.1 takes a text for, as JSON has it.
pub(crate) fn boolean(text: &str) -> Option<&'static str> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some("true"),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some("false"),
        _ => None,
    }
}

/// `.inf`, `.NaN`: numbers that JSON has no word for.
pub(crate) fn is_endless(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

/// The number that the YAML readers of Kubernetes and kustomize take a text for, as JSON has it: `12`, `-1.5e3`, `.5`, `010`, `0o10`, `0x1f`, `0b11`, `1_000`.
pub(crate) fn number(text: &str) -> Option<Cow<'_, str>> {
    // Most plain scalars are words: one look at the first byte is all that they cost.
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_digit() || matches!(first, b'.' | b'-' | b'+')) {
        return None;
    }
    let digits: Cow<'_, str> = if !text.contains('_') {
        Cow::Borrowed(text)
    } else if first == b'.' && text.split('_').any(|part| !part.ends_with(|it: char| it.is_ascii_digit())) {
        return None;
    } else {
        Cow::Owned(text.replace('_', ""))
    };
    let (sign, unsigned) = match first {
        b'-' => ("-", &digits[1..]),
        b'+' => ("", &digits[1..]),
        _ => ("", &*digits),
    };
    let whole = |digits: &str, base: u32| {
        let is_unsigned = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let number = is_unsigned.then(|| u64::from_str_radix(digits, base).ok()).flatten();
        number.map(|number| Cow::Owned(format!("{sign}{number}")))
    };
    match unsigned.get(..2).unwrap_or_default() {
        "0x" | "0X" => return whole(&unsigned[2..], 16),
        "0b" | "0B" => return whole(&unsigned[2..], 2),
        "0o" | "0O" => return whole(&unsigned[2..], 8),
        _ => {}
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) && !unsigned.is_empty() {
        let is_octal = unsigned.len() > 1 && unsigned.starts_with('0');
        if !is_octal {
            return Some(if first == b'+' { Cow::Owned(unsigned.to_owned()) } else { digits });
        }
        if let Some(number) = whole(&unsigned[1..], 8) {
            return Some(number);
        }
    }
    let is_float = unsigned.bytes().next().is_some_and(|byte| byte.is_ascii_digit() || byte == b'.')
        && unsigned.bytes().any(|byte| byte.is_ascii_digit())
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let value: f64 = if is_float { unsigned.parse().ok()? } else { return None };
    value.is_finite().then(|| {
        let is_json = serde_json::from_str::<serde_json::Number>(&digits).is_ok();
        if is_json { digits } else { Cow::Owned(format!("{sign}{value:?}")) }
    })
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(plain) {
        write!(out, "\"{text}\"").expect("writing to memory cannot fail");
    } else {
        serde_json::to_writer(out, text).expect("writing to memory cannot fail");
    }
}
