//! One thing that is not true of a clean release, in CEL.

use std::fmt;

/// A part of the expression; where one holds, we are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// The rules that could find something without it.
    pub rules: &'static [&'static str],
    /// What it tells of the release, in words; empty where it goes on with what the clause before it says.
    pub says: &'static str,
    /// The same in CEL; lines after the first are indented by two.
    pub cel: String,
}

// === impl Clause ===

impl Clause {
    pub(super) fn new(rules: &'static [&'static str], says: &'static str, cel: String) -> Self {
        Self { rules, says, cel }
    }

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        let Self { says, cel, .. } = self;
        if !says.is_empty() {
            writeln!(f, "{indent}// {says}")?;
        }
        write!(f, "{indent}{}", cel.replace('\n', &format!("\n{indent}")))
    }
}

/// What is at a `path` with optional parts, and an empty text where it ends before.
pub(super) fn or_empty(path: &str) -> String {
    format!("{path}.orValue('')")
}

/// That there is no text in `field` of the object at `path`.
pub(super) fn no_text(path: &str, field: &str) -> String {
    format!("type({path}.?{field}.orValue(null)) != string")
}

/// That there is none, or an empty one.
pub(super) fn no_filled_text(path: &str, field: &str) -> String {
    format!("{} || {path}.{field} == ''", no_text(path, field))
}

/// A list of texts.
pub(super) fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", texts.map(quoted).collect::<Vec<_>>().join(", "))
}

/// A text as a CEL literal. Keys of annotations come from a user's file, so that anything may be in them.
pub(super) fn quoted(text: &str) -> String {
    let escaped = |character: char| match character {
        '\'' | '\\' => format!("\\{character}"),
        // Control characters, and what an editor or YAML could take for a line break.
        '\u{2028}' | '\u{2029}' | '\u{feff}' => format!("\\U{:08x}", u32::from(character)),
        _ if character.is_control() => format!("\\U{:08x}", u32::from(character)),
        _ => character.to_string(),
    };
    format!("'{}'", text.chars().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_end_its_literal() {
        assert_eq!(quoted("fluxcd.io/version"), "'fluxcd.io/version'");
        assert_eq!(quoted(r"a'b\"), r"'a\'b\\'");
        assert_eq!(quoted("a\nb"), r"'a\U0000000ab'");
    }
}
