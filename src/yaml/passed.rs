//! What is passed over has to be YAML all the same: a key is a text, and is there once.

use foldhash::HashMap;

use super::{Role, Span, Str};

/// From this many keys on, a map looks them up by hash to find one that is there twice.
const MANY_KEYS: usize = 24;

/// The collections that are open in what is passed over; none where nothing is.
#[derive(Default)]
pub(super) struct Passing<'a> {
    open: Vec<Passed<'a>>,
    /// The keys of all maps that are open, with their places, those of the innermost last.
    keys: Vec<(Str<'a>, Span)>,
}

/// A collection that is passed over.
struct Passed<'a> {
    awaits: Awaits,
    /// Where its keys begin.
    start: usize,
    /// Its keys again, once they are many.
    many: HashMap<Str<'a>, Span>,
}

/// What comes next in a collection that is passed over.
#[derive(Clone, Copy, PartialEq)]
enum Awaits {
    Item,
    Key,
    Value,
}

impl<'a> Passing<'a> {
    /// Whether anything is passed over.
    pub(super) fn is_on(&self) -> bool {
        !self.open.is_empty()
    }

    /// Opens a list or a map.
    pub(super) fn begin(&mut self, is_map: bool) {
        let awaits = if is_map { Awaits::Key } else { Awaits::Item };
        self.open.push(Passed { awaits, start: self.keys.len(), many: HashMap::default() });
    }

    /// Closes the innermost collection, if one is open.
    pub(super) fn end(&mut self) {
        if let Some(passed) = self.open.pop() {
            self.keys.truncate(passed.start);
        }
    }

    /// What a scalar is that comes next.
    pub(super) fn role(&self) -> Role {
        match self.open.last().map(|passed| passed.awaits) {
            Some(Awaits::Key) => Role::Key,
            Some(Awaits::Item) => Role::Item,
            Some(Awaits::Value) | None => Role::Value,
        }
    }

    /// Whether a key comes next.
    pub(super) fn awaits_key(&self) -> bool {
        self.open.last().is_some_and(|passed| passed.awaits == Awaits::Key)
    }

    /// Passes over an item, a value or a key; `key` is its text, if it can be one that must not be there twice. Returns such a key that was there
    /// before, and where.
    pub(super) fn take(&mut self, key: Option<Str<'a>>, at: Span) -> Option<(Str<'a>, Span)> {
        let passed = self.open.last_mut()?;
        match passed.awaits {
            Awaits::Item => return None,
            Awaits::Value => {
                passed.awaits = Awaits::Key;
                return None;
            }
            Awaits::Key => passed.awaits = Awaits::Value,
        }
        let key = key?;
        let keys = &self.keys[passed.start..];
        let first = if keys.len() < MANY_KEYS {
            keys.iter().find(|(known, _)| *known == key).map(|(_, first)| *first)
        } else {
            passed.many.extend(keys[passed.many.len()..].iter().cloned());
            passed.many.get(&key).copied()
        };
        if first.is_none() {
            self.keys.push((key, at));
            return None;
        }
        first.map(|first| (key, first))
    }
}
