//! What is passed over has to be YAML all the same: a key is a text, and is there once.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::Event;

use super::Span;

/// A collection that is passed over.
pub(super) struct Passed<'a> {
    awaits: Awaits,
    /// The keys that were there so far, with their places.
    keys: HashMap<Cow<'a, str>, Span>,
}

/// What comes next in a collection that is passed over.
enum Awaits {
    Item,
    Key,
    Value,
}

impl<'a> Passed<'a> {
    /// What an event opens.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let awaits = if matches!(event, Event::MappingStart(..)) { Awaits::Key } else { Awaits::Item };
        Self { awaits, keys: HashMap::new() }
    }

    /// Whether a key comes next.
    pub(super) fn awaits_key(&self) -> bool {
        matches!(self.awaits, Awaits::Key)
    }

    /// Passes over an item, a value or a key; `key` is its text, if it can be one that must not be there twice. Returns where such a key was
    /// before.
    pub(super) fn take(&mut self, key: Option<&Cow<'a, str>>, at: Span) -> Option<Span> {
        match self.awaits {
            Awaits::Item => None,
            Awaits::Value => {
                self.awaits = Awaits::Key;
                None
            }
            Awaits::Key => {
                self.awaits = Awaits::Value;
                self.keys.insert(key?.clone(), at)
            }
        }
    }
}
