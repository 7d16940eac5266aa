//! The tree.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;

use foldhash::HashSet;

use super::{Span, Str};
use crate::json::Kind;

/// From this many keys on, those that are there twice are found by hash.
const MANY_KEYS: usize = 24;

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

/// What a node holds. Lists and maps are shared by the trees that hold them.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// A text, or what stands for a number, a boolean or nothing.
    Scalar(Scalar<'a>),
    /// A list.
    Sequence(Arc<[Node<'a>]>),
    /// A map in the order of its keys; no key is there twice, unless it was read with [`Twice::Kept`](super::Twice::Kept).
    Mapping(Arc<[Entry<'a>]>),
    /// A list or a map that was passed over, because nobody who asked for the tree asks for what is in it. It looks empty, and may not be.
    Elided {
        /// Whether it is a map.
        is_map: bool,
        /// Whether something was merged into it, so that it is not what is written there any more.
        is_patched: bool,
        /// The scalars in it that hold `${`, if there are any. A pointer of one word: all values are as large as the largest.
        leaves: Option<Arc<Vec<Leaf<'a>>>>,
    },
}

/// A scalar in a list or a map that was passed over.
#[derive(Debug, Clone)]
pub struct Leaf<'a> {
    /// What it is in the collection that holds it.
    pub role: Role,
    /// Its text.
    pub text: Str<'a>,
    /// Where it stands.
    pub at: Span,
}

/// What a scalar is in the collection that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A key of a map.
    Key,
    /// The value of a key.
    Value,
    /// An item of a list.
    Item,
}

/// A scalar as it is written, without quotes and escapes.
#[derive(Debug, Clone)]
pub struct Scalar<'a> {
    /// Its text.
    pub text: Str<'a>,
    /// Whether it is written without quotes, so that its text may mean something else than a text.
    pub plain: bool,
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
    pub text: Str<'a>,
    /// Where it stands.
    pub at: Span,
}

// === impl Node ===

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<'a> Node<'a> {
    /// A text at a place.
    pub fn text_at(text: impl Into<Str<'a>>, at: Span) -> Self {
        Self { value: Value::Scalar(Scalar { text: text.into(), plain: false }), at, over: None }
    }

    /// A map without entries at a place.
    pub fn empty_mapping(at: Span) -> Self {
        Self { value: Value::Mapping(Arc::default()), at, over: None }
    }

    /// How many values it has, itself among them, counted up to `most`.
    pub fn count(&self, most: usize) -> usize {
        let parts: &mut dyn Iterator<Item = &Self> = match &self.value {
            Value::Sequence(items) => &mut items.iter(),
            Value::Mapping(entries) => &mut entries.iter().map(|entry| &entry.value),
            Value::Scalar(_) | Value::Elided { .. } => &mut std::iter::empty(),
        };
        let mut count = 1;
        for part in parts {
            if count >= most {
                break;
            }
            count += part.count(most - count);
        }
        count.min(most)
    }

    /// What it is once Kubernetes has read it.
    pub fn kind(&self) -> Kind {
        match &self.value {
            Value::Scalar(scalar) => scalar.kind(),
            Value::Sequence(_) | Value::Elided { is_map: false, .. } => Kind::Array,
            Value::Mapping(_) | Value::Elided { is_map: true, .. } => Kind::Object,
        }
    }

    /// Whether it is `null`, or nothing at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.plain && is_null(&scalar.text))
    }

    /// Whether it was passed over.
    pub fn is_elided(&self) -> bool {
        matches!(self.value, Value::Elided { .. })
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
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items, if it is a list; else none.
    pub fn items(&self) -> &[Node<'a>] {
        match &self.value {
            Value::Sequence(items) => items,
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

    /// The keys that are there again in the maps of it, all the way down, in order.
    pub fn duplicate_keys(&self) -> Vec<&Key<'a>> {
        let mut found = Vec::new();
        let mut stack = vec![self];
        while let Some(node) = stack.pop() {
            let entries = node.entries();
            found.extend(repeated(entries).into_iter().map(|at| &entries[at].key));
            stack.extend(entries.iter().map(|entry| &entry.value).chain(node.items()).rev());
        }
        found
    }

    /// The entries, to be changed; none if it is no map. What is shared with other trees is copied first.
    pub fn entries_mut(&mut self) -> &mut [Entry<'a>] {
        match &mut self.value {
            Value::Mapping(entries) => Arc::make_mut(entries),
            _ => &mut [],
        }
    }

    /// The items, to be changed; none if it is no list. What is shared with other trees is copied first.
    pub fn items_mut(&mut self) -> &mut [Self] {
        match &mut self.value {
            Value::Sequence(items) => Arc::make_mut(items),
            _ => &mut [],
        }
    }

    /// Changes what items there are. What is no list stays as it is, and comes to nothing.
    pub fn edit_items<T>(&mut self, edit: impl FnOnce(&mut Vec<Self>) -> T) -> Option<T> {
        let Value::Sequence(items) = &mut self.value else { return None };
        let mut edited = items.to_vec();
        let result = edit(&mut edited);
        *items = edited.into();
        Some(result)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node<'a>> {
        let index = self.entries().iter().position(|entry| entry.key.text == key)?;
        Some(&mut self.entries_mut()[index].value)
    }

    /// Sets a key of a map: the value that was there is remembered in the new one. What is no map stays as it is.
    pub fn set(&mut self, key: Key<'a>, value: Node<'a>) {
        let Value::Mapping(entries) = &mut self.value else { return };
        if let Some(index) = entries.iter().position(|entry| entry.key.text == key.text) {
            let value = value.in_place_of(&entries[index].value);
            Arc::make_mut(entries)[index] = Entry { key, value };
        } else {
            let more = [Entry { key, value }];
            *entries = entries.iter().cloned().chain(more).collect();
        }
    }

    /// Takes a key out of a map.
    pub fn remove(&mut self, key: &str) -> Option<Entry<'a>> {
        let Value::Mapping(entries) = &mut self.value else { return None };
        let index = entries.iter().position(|entry| entry.key.text == key)?;
        let mut left = entries.to_vec();
        let removed = left.remove(index);
        *entries = left.into();
        Some(removed)
    }

    /// The same value, which remembers the one that it takes the place of.
    #[must_use]
    pub fn in_place_of(mut self, old: &Self) -> Self {
        if self.at != old.at {
            self.over = Some(Arc::new(Overridden { at: old.at, over: old.over.clone() }));
        }
        self
    }

    /// The same value at other places, and with other texts, which are told where they will stand.
    pub fn moved<'b>(
        &self,
        place: &impl Fn(Span) -> Span,
        text: &impl Fn(&Str<'a>, Span) -> Str<'b>,
    ) -> Node<'b> {
        let at = place(self.at);
        let value = match &self.value {
            Value::Scalar(scalar) => {
                Value::Scalar(Scalar { text: text(&scalar.text, at), plain: scalar.plain })
            }
            Value::Sequence(items) => {
                Value::Sequence(items.iter().map(|item| item.moved(place, text)).collect())
            }
            Value::Mapping(entries) => {
                let entries = entries.iter().map(|Entry { key, value }| {
                    let at = place(key.at);
                    Entry { key: Key { text: text(&key.text, at), at }, value: value.moved(place, text) }
                });
                Value::Mapping(entries.collect())
            }
            Value::Elided { is_map, is_patched, leaves } => {
                let leaf = |leaf: &Leaf<'a>| {
                    let at = place(leaf.at);
                    Leaf { role: leaf.role, text: text(&leaf.text, at), at }
                };
                let leaves = leaves.as_ref().map(|leaves| Arc::new(leaves.iter().map(leaf).collect()));
                Value::Elided { is_map: *is_map, is_patched: *is_patched, leaves }
            }
        };
        Node { value, at, over: None }
    }

    /// The value as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = Vec::new();
        self.write_json(&mut json);
        serde_json::from_slice(&json).expect("a tree is written as JSON, with numbers that JSON has")
    }

    /// Appends the value as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match &self.value {
            Value::Scalar(scalar) => scalar.write_json(out),
            Value::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    out.push(if index == 0 { b'[' } else { b',' });
                    item.write_json(out);
                }
                out.extend_from_slice(if items.is_empty() { b"[]" } else { b"]" });
            }
            Value::Mapping(entries) => {
                for (index, Entry { key, value }) in entries.iter().enumerate() {
                    out.push(if index == 0 { b'{' } else { b',' });
                    write_text(&key.text, out);
                    out.push(b':');
                    value.write_json(out);
                }
                out.extend_from_slice(if entries.is_empty() { b"{}" } else { b"}" });
            }
            Value::Elided { is_map, .. } => out.extend_from_slice(if *is_map { b"{}" } else { b"[]" }),
        }
    }
}

// === impl Overridden ===

impl Overridden {
    /// The places, from the last to the first.
    pub fn places(&self) -> impl Iterator<Item = Span> {
        std::iter::successors(Some(self), |it| it.over.as_deref()).map(|it| it.at)
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
        let text = &*self.text;
        // Most plain scalars are words: one look at the first byte is all that they cost.
        match text.as_bytes().first() {
            None | Some(b'~' | b'n' | b'N') if is_null(text) => Kind::Null,
            Some(b'0'..=b'9' | b'+' | b'-' | b'.') if is_endless(text) || number(text).is_some() => {
                Kind::Number
            }
            Some(b'y' | b'Y' | b'n' | b'N' | b'o' | b'O' | b't' | b'T' | b'f' | b'F')
                if boolean(text).is_some() =>
            {
                Kind::Boolean
            }
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

// === impl Value, Key ===

impl PartialEq for Value<'_> {
    /// Compares what is said of each key of a map; the order says nothing.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(one), Self::Scalar(other)) => one == other,
            (Self::Sequence(one), Self::Sequence(other)) => Arc::ptr_eq(one, other) || one == other,
            (Self::Mapping(one), Self::Mapping(other)) => {
                let said_of = |key: &Key<'_>| other.iter().find(|entry| entry.key == *key);
                let is_same =
                    |entry: &Entry<'_>| said_of(&entry.key).is_some_and(|it| it.value == entry.value);
                Arc::ptr_eq(one, other) || (one.len() == other.len() && one.iter().all(is_same))
            }
            (Self::Elided { is_map: one, .. }, Self::Elided { is_map: other, .. }) => one == other,
            _ => false,
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The places of the entries whose key is that of one before them, in order.
pub(crate) fn repeated(entries: &[Entry<'_>]) -> Vec<usize> {
    let all = 0..entries.len();
    if entries.len() < MANY_KEYS {
        let is_again = |at: &usize| entries[..*at].iter().any(|entry| entry.key == entries[*at].key);
        return all.filter(is_again).collect();
    }
    let mut seen = HashSet::default();
    all.filter(|at| !seen.insert(&*entries[*at].key.text)).collect()
}

/// Whether YAML takes a text for nothing.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
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
    // Many paths begin with a full stop.
    if first == b'.' && !text.as_bytes().get(1).is_some_and(u8::is_ascii_digit) {
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
        // Go makes a float of one that is too long, and a text where no float holds it, which none of 308 digits is.
        if digits.len() > 308 && digits.parse().is_ok_and(f64::is_infinite) {
            return None;
        }
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

// Most of the memory of `check` is nodes.
const _: () = assert!(size_of::<Node<'_>>() == 40 && size_of::<Entry<'_>>() == 64);
