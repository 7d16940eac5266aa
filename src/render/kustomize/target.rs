//! What a patch or a replacement is for.

use regex::bytes::{Regex, RegexBuilder};

use super::labels::LabelSelector;
use super::resource::{Id, Resource};
use crate::yaml::{Node, Span, Str};

/// How many bytes a compiled expression may take. One that Go's library takes, which allows a thousand repetitions, takes a tenth of it.
const MAX_PATTERN: usize = 256 * 1024;

/// The objects that something is for: all that is said must hold.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// Where it stands.
    pub at: Span,
    /// `group`.
    pub group: Option<Pattern<'a>>,
    /// `version`.
    pub version: Option<Pattern<'a>>,
    /// Where that stands.
    pub version_at: Option<Span>,
    /// `kind`.
    pub kind: Option<Pattern<'a>>,
    /// `name`.
    pub name: Option<Pattern<'a>>,
    /// `namespace`.
    pub namespace: Option<Pattern<'a>>,
    pub(super) labels: Option<LabelSelector>,
    pub(super) annotations: Option<LabelSelector>,
}

/// A regular expression that must match as a whole.
#[derive(Debug, Clone)]
pub struct Pattern<'a> {
    text: Str<'a>,
    /// What it compiles to; nothing where the text means just itself, but for its dots.
    regex: Option<Regex>,
}

// === impl Target ===

impl Target<'_> {
    /// One that says nothing, and so is for everything.
    pub fn at(at: Span) -> Self {
        Self {
            at,
            group: None,
            version: None,
            version_at: None,
            kind: None,
            name: None,
            namespace: None,
            labels: None,
            annotations: None,
        }
    }

    /// Whether it says nothing about what the objects are called.
    pub(super) fn names_nothing(&self) -> bool {
        [&self.group, &self.version, &self.kind, &self.name, &self.namespace].iter().all(|it| it.is_none())
    }

    /// Whether a patch for it is for an object, by what that is called now or was called first.
    pub(super) fn selects(&self, resource: &Resource<'_>) -> bool {
        let (now, original) = (resource.id(), resource.original());
        let either = |pattern: Option<&Pattern<'_>>, first: &str, last: &str| {
            pattern.is_none_or(|pattern| pattern.matches(first) || pattern.matches(last))
        };
        self.matches_kind(&now)
            && either(self.name.as_ref(), original.name, now.name)
            && either(self.namespace.as_ref(), original.effective_namespace(), now.effective_namespace())
            && self.matches_labels(&resource.node)
    }

    /// Whether it is for an object of another version.
    pub(super) fn selects_but_for_version(&self, resource: &Resource<'_>) -> bool {
        self.version.is_some() && Self { version: None, ..self.clone() }.selects(resource)
    }

    /// Whether all that is said about what an object is called holds.
    pub(super) fn matches_id(&self, id: &Id<'_>) -> bool {
        self.matches_kind(id)
            && matches(self.name.as_ref(), id.name)
            && matches(self.namespace.as_ref(), id.namespace)
    }

    fn matches_kind(&self, id: &Id<'_>) -> bool {
        matches(self.kind.as_ref(), id.kind)
            && matches(self.group.as_ref(), id.group)
            && matches(self.version.as_ref(), id.version)
    }

    /// Whether what is said about the labels and annotations of an object holds.
    pub(super) fn matches_labels(&self, node: &Node<'_>) -> bool {
        let holds = |selector: Option<&LabelSelector>, field| {
            selector.is_none_or(|selector| {
                let labels = node.at(&["metadata", field]);
                selector.holds(|key| Some(labels?.get(key)?.scalar().map_or("", |scalar| &*scalar.text)))
            })
        };
        holds(self.labels.as_ref(), "labels") && holds(self.annotations.as_ref(), "annotations")
    }

    /// Whether anything is said about labels or annotations.
    pub(super) fn has_labels(&self) -> bool {
        self.labels.is_some() || self.annotations.is_some()
    }
}

fn matches(pattern: Option<&Pattern<'_>>, text: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.matches(text))
}

// === impl Pattern ===

impl<'a> Pattern<'a> {
    /// Reads a pattern; says what is wrong with one that is none.
    pub fn parse(text: impl Into<Str<'a>>) -> Result<Self, String> {
        let text = text.into();
        // Groups have dots, and so many targets that to compile an expression for each costs more than all else about them.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_/.".contains(&byte));
        let regex = if is_plain {
            None
        } else {
            // Names of objects are ASCII; to know all of Unicode makes an expression ten times as expensive.
            let mut builder = RegexBuilder::new(&format!("^(?:{text})$"));
            let whole = builder.unicode(false).size_limit(MAX_PATTERN).build();
            Some(whole.map_err(|_| format!("{text:?} is no regular expression"))?)
        };
        Ok(Self { text, regex })
    }

    /// Whether it matches a text as a whole.
    pub fn matches(&self, text: &str) -> bool {
        if let Some(regex) = &self.regex {
            return regex.is_match(text.as_bytes());
        }
        let (own, given) = (self.text.as_bytes(), text.as_bytes());
        own.len() == given.len() && own.iter().zip(given).all(|(own, given)| own == given || *own == b'.')
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_as_a_whole() {
        let matches = |pattern: &'static str, text| Pattern::parse(pattern).unwrap().matches(text);
        assert!(
            matches("web", "web")
                && matches("web.*", "web-1")
                && matches("a|b", "b")
                && matches(".*", "")
                && matches("a.b", "a-b")
        );
        assert!(
            !matches("web", "web-1")
                && !matches("web.", "my-web1")
                && !matches("a|b", "ab")
                && !matches("a.b", "a.bc")
        );
        assert_eq!(Pattern::parse("a(").unwrap_err(), "\"a(\" is no regular expression");
        assert!(Pattern::parse("a{1000}").is_ok());
        // Go allows no more than a thousand repetitions either.
        assert!(Pattern::parse("(a{200}){200}").is_err());
    }
}
