//! Builds the text of a denial: bounded, signed, and without the words for which Flux deletes the live object.
//!
//! kustomize-controller (fluxcd/pkg/ssa v0.76.2 to v0.83.0, `errors/immutable.go`) treats a refused dry run as a change of an
//! immutable field if the refusal is Invalid (422) or a Conflict, or if its text matches `is\simmutable` or `immutable\sfield`.
//! With `spec.force` on the Kustomization, or `kustomize.toolkit.fluxcd.io/force: Enabled` on the object, it then deletes the
//! live object and creates the new one, which is refused again. `kubectl apply --force` does the same for Invalid and
//! Conflict. So a denial is always a 403 with the reason Forbidden, and its text never contains those words.

use serde::Serialize;

use crate::policy::{Finding, blocks};

/// The word of which a denial must not have a blank beside it.
const WORD: &str = "immutable";

/// Replaces such a blank.
const BETWEEN: char = '·';

/// The length in bytes at which the findings of a denial are cut. Flux copies the text into a condition, whose message the API
/// limits to 32,768 characters; the findings of every rule about one release take less than this.
const MAX_BYTES: usize = 12 * 1024;

/// How many findings are listed as causes.
pub(super) const MAX_CAUSES: usize = 32;

/// Holds a text of a denial that does not make Flux delete the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Harmless(String);

// === impl Harmless ===

impl Harmless {
    /// Returns the text unchanged, unless it has the words that make Flux delete an object: then a middle dot separates
    /// them.
    ///
    /// Stricter than the expressions of today, which know only the blanks of ASCII and small letters.
    pub(super) fn new(text: &str) -> Self {
        let mut harmless = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = find_word(rest) {
            let (before, from_word) = rest.split_at(start);
            let (word, behind) = from_word.split_at(WORD.len());
            let trimmed = before.trim_end_matches(char::is_whitespace);
            harmless.push_str(trimmed);
            if trimmed.len() < before.len() {
                harmless.push(BETWEEN);
            }
            harmless.push_str(word);
            rest = behind.trim_start_matches(char::is_whitespace);
            if rest.len() < behind.len() {
                harmless.push(BETWEEN);
            }
        }
        harmless.push_str(rest);
        Self(harmless)
    }
}

/// Where the word begins, in large letters or small ones.
fn find_word(text: &str) -> Option<usize> {
    text.as_bytes().windows(WORD.len()).position(|window| window.eq_ignore_ascii_case(WORD.as_bytes()))
}

/// Builds the whole message of a denial: a block for each finding, and a last line that names chartgate and where to read
/// more.
pub(super) fn message(denied: &[Finding], docs: Option<&str>) -> Harmless {
    let mut rules: Vec<_> = denied.iter().map(|finding| finding.rule.id).collect();
    rules.dedup();
    let more = match docs {
        Some(docs) => rules.iter().map(|rule| format!("{docs}#{rule}")).collect::<Vec<_>>().join(" "),
        None => format!("chartgate explain {}", rules.join(" ")),
    };
    Harmless::new(&format!("{}\nchartgate: {more}", cut(blocks(denied), MAX_BYTES)))
}

/// One finding in words, as a cause.
pub(super) fn cause(finding: &Finding) -> Harmless {
    Harmless::new(&cut(finding.block(), MAX_BYTES))
}

/// Cuts a text to at most `most` bytes, the last of which then are an ellipsis.
pub(super) fn cut(mut text: String, most: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - ELLIPSIS.len()));
        text.push_str(ELLIPSIS);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Harmless::new(text).0
    }

    #[test]
    fn a_text_without_the_words_stays_as_it_is() {
        for text in
            ["", "a\n  b", "immutable", "\"immutable\", \"field\"", "this-is-immutable-field", "mutable"]
        {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn the_words_are_kept_apart_whatever_is_between_them() {
        for (text, expected) in [
            ("it is immutable", "it is·immutable"),
            ("immutable field", "immutable·field"),
            ("is\timmutable\nfield", "is·immutable·field"),
            ("is \u{a0} Immutable\u{2003}field", "is·Immutable·field"),
            ("is IMMUTABLE immutable field", "is·IMMUTABLE·immutable·field"),
            ("ä is immutable ö", "ä is·immutable·ö"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn a_text_is_cut_to_the_byte() {
        let fits = "ä".repeat(512);
        assert_eq!(cut(fits.clone(), 1024), fits);
        let long = cut(format!("{fits}."), 1024);
        assert!(long.len() <= 1024 && long.len() > 1020, "{}", long.len());
        assert!(long.ends_with("ä…"), "{long}");
    }
}
