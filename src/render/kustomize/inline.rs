//! YAML inside of a text of YAML, in which every value still knows where it stands in the file.

use super::kustomization::Text;
use crate::yaml::{self, Error, Node, Reading, Span, Str};

/// From places in a text to places in the file that it is written in.
struct Places<'a> {
    /// The text of the file.
    file: &'a str,
    /// Where the text stands.
    at: Span,
    /// For each line of the text, where it starts in the text and in the file; empty where the text is not in the file as it is.
    lines: Vec<(u32, u32)>,
}

/// Why a document cannot be read.
#[derive(Debug, Clone)]
pub(super) struct Unreadable {
    /// Where, in the file.
    pub(super) at: Span,
    /// The message of the YAML reader.
    pub(super) message: String,
    /// Whether it is a key that is there twice in one map.
    pub(super) is_duplicate_key: bool,
}

impl Unreadable {
    /// An error in the text of a file.
    pub(super) fn of(error: &Error, file: u32) -> Self {
        let Error { offset, message, is_duplicate_key, .. } = error;
        let at = Span::of(file, *offset..*offset);
        Self { at, message: message.clone(), is_duplicate_key: *is_duplicate_key }
    }
}

/// The documents in a text that is written in a file with the content `file`.
///
/// An error is in the words of the YAML reader, with a place in the file.
pub(super) fn documents<'a>(
    text: &Text<'_>,
    file: &'a str,
    reading: Reading,
) -> Vec<Result<Node<'a>, Unreadable>> {
    let places = Places::of(text, file);
    let all = yaml::documents_as(&text.text, text.at.file(), reading).into_iter();
    all.map(|document| match document {
        Ok(node) => Ok(node.moved(&|at| places.span(at), &|text, at| places.text(text, at))),
        Err(error) => {
            let mut error = Unreadable::of(&error, text.at.file());
            error.at = places.span(error.at);
            Err(error)
        }
    })
    .collect()
}

// === impl Places ===

impl<'a> Places<'a> {
    fn of(text: &Text<'_>, file: &'a str) -> Self {
        let lines = lines(&text.text, text.at, file).unwrap_or_default();
        Self { file, at: text.at, lines }
    }

    fn offset(&self, offset: u32) -> u32 {
        let index = self.lines.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
        let (in_text, in_file) = self.lines[index];
        in_file + (offset - in_text)
    }

    fn span(&self, span: Span) -> Span {
        if self.lines.is_empty() {
            return self.at;
        }
        Span::new(self.at.file(), self.offset(span.start()), self.offset(span.end()))
    }

    /// The same text, at its place in the file: a part of it, where it stands there as it is.
    fn text(&self, text: &str, at: Span) -> Str<'a> {
        let there = self.file.get(at.range()).filter(|there| *there == text);
        there.map_or_else(|| text.to_owned().into(), Str::from)
    }
}

/// Where the lines of a text start in the file; `None` where they are not there as they are.
fn lines(text: &str, at: Span, file: &str) -> Option<Vec<(u32, u32)>> {
    let mut offset = at.start() as usize;
    let is_quoted = file.get(offset..)?.starts_with(['"', '\'']);
    if is_quoted {
        offset += 1;
    }
    let narrow = |offset: usize| u32::try_from(offset).ok();
    let mut in_text = 0;
    let mut lines = Vec::new();
    // What is empty before the first line of a block is before the place at which the block is said to start.
    let mut before_start = !is_quoted;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches('\n');
        before_start &= content.is_empty();
        if before_start {
            lines.push((narrow(in_text)?, narrow(offset)?));
        } else {
            let source = file.get(offset..)?.split_inclusive('\n').next()?;
            let whole = source.trim_end_matches(['\n', '\r']);
            let start = if is_quoted { 0 } else { whole.strip_suffix(content)?.len() };
            if is_quoted && !whole.starts_with(content) {
                return None;
            }
            lines.push((narrow(in_text)?, narrow(offset + start)?));
            offset += source.len();
        }
        in_text += line.len();
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in the file where the value of `version` in the text in `patch` is said to stand.
    fn version_of(file: &str) -> String {
        let node = yaml::documents(file, 0).remove(0).unwrap();
        let text = Text::of(node.get("patch").unwrap()).unwrap();
        let inner = documents(&text, file, Reading::default()).remove(0).unwrap();
        file[inner.get("version").unwrap().at.range()].to_owned()
    }

    #[test]
    fn a_value_in_a_text_knows_its_place_in_the_file() {
        for file in [
            "a: 1\npatch: |\n  kind: X\n  version: one\n",
            "patch: |-\n\n    kind: X\n\n    version: 'one'",
            "patch: \"version: one\"\n",
            "patch: 'version: one'\n",
        ] {
            assert_eq!(version_of(file).trim_matches('\''), "one", "{file}");
        }
    }

    #[test]
    fn what_is_not_in_the_file_as_it_is_stands_where_the_text_does() {
        let file = "patch: \"kind: X\\nversion: one\"\n";
        assert_eq!(version_of(file), "\"kind: X\\nversion: one\"");
    }

    #[test]
    fn an_error_has_a_place_in_the_file() {
        let file = "patch: |\n  a: 1\n  a: 2\n";
        let node = yaml::documents(file, 0).remove(0).unwrap();
        let text = Text::of(node.get("patch").unwrap()).unwrap();
        let error = documents(&text, file, Reading::default()).remove(0).unwrap_err();
        assert_eq!((error.at.start(), &*error.message), (18, "the key \"a\" is there already, on line 1"));
    }
}
