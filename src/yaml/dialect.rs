//! What the parser reads, and the YAML libraries of Go that kubectl and kustomize are made of refuse or read as something else.
//!
//! Each of these is an error here that says what becomes of it there. Seen with sigs.k8s.io/yaml 1.6.0 and kustomize 5.8 (kyaml 0.21.1), which
//! `tests/kustomize/flux/yaml.rs` compares with.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use granit_parser::Tag;
use memchr::{memchr, memchr_iter, memchr2, memmem};

use super::node::{is_endless, is_null, number};
use super::timestamp::timestamp;
use super::{Error, Span};

/// What ends a line for the libraries of Go, which read YAML 1.1, and for nobody else: NEL, LS and PS.
const SEPARATORS: [(&str, &str); 3] = [("\u{85}", "U+0085"), ("\u{2028}", "U+2028"), ("\u{2029}", "U+2029")];

/// The name space of the tags that are written with `!!`.
const CORE: &str = "tag:yaml.org,2002:";

/// What is wrong with the lines of a text: one that begins with `---` and goes on, or one that no editor shows to be one, since what follows its line
/// end looks like a part of the line, or of a comment, before it.
pub(super) fn whole(text: &str) -> Option<Error> {
    let bytes = text.as_bytes();
    if let Some(offset) = memmem::find(bytes, b"\r---") {
        let message = "--- behind a lone carriage return: kubectl and kustomize see no new document there";
        return Some(Error::for_go(offset + 1, message));
    }
    if let Some(error) = markers(text) {
        return Some(error);
    }
    let is_near = |first, second| memchr_iter(first, bytes).any(|at| bytes.get(at + 1) == Some(&second));
    if !is_near(0xc2, 0x85) && !is_near(0xe2, 0x80) {
        return None;
    }
    let found = SEPARATORS.iter().filter_map(|(separator, name)| Some((text.find(separator)?, name)));
    let (offset, name) = found.min()?;
    let message = format!(
        "a hidden line end ({name}): for kubectl and kustomize a line of its own follows it; take it out"
    );
    Some(Error::for_go(offset, message))
}

/// A line that begins as one between documents does, and holds more.
fn markers(text: &str) -> Option<Error> {
    let starts = memmem::find_iter(text.as_bytes(), b"\n---").map(|at| at + 1);
    let start = text.starts_with("---").then_some(0);
    start.into_iter().chain(starts).find_map(|at| {
        let rest = &text[at + 3..];
        let rest = &rest[..memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len())];
        let is_comment = rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#');
        let is_more = !rest.trim_start().is_empty() && !is_comment;
        is_more.then(|| {
            Error::for_go(
                at,
                "content on the line of ---: kubectl and kustomize refuse it; give it a line of its own",
            )
        })
    })
}

/// What is wrong with the beginning of a document, which is explicit where `---` stands at it.
pub(super) fn beginning(text: &str, at: usize, is_explicit: bool, is_first: bool) -> Option<Error> {
    if !is_explicit {
        return (!is_first).then(|| behind_the_end(at));
    }
    let lines = text.get(at..)?.lines().skip(1);
    let says_something = |line: &&str| !matches!(line.trim_start().as_bytes().first(), None | Some(b'#'));
    let is_ended = lines.into_iter().find(says_something).is_some_and(|line| line.starts_with("..."));
    (is_ended && !is_first).then(|| ended_too_soon(at))
}

/// A directive, such as `%YAML 1.1`.
pub(super) fn directive(offset: usize) -> Error {
    Error::for_go(offset, "a directive (%): kubectl and kustomize stop at it; take it out")
}

/// What is wrong with what stands before the first document.
pub(super) fn before_all(text: &str) -> Option<Error> {
    if let Some(at) = text.rfind('\u{feff}').filter(|at| *at > 0) {
        return Some(Error::for_go(
            at,
            "a byte order mark (U+FEFF) behind the start of the file; take it out",
        ));
    }
    let mut offset = 0;
    let mut lines = text.split_inclusive('\n').map(|line| {
        offset += line.len();
        (offset - line.len(), line)
    });
    let (at, _) = lines.find(|(_, line)| line.starts_with("..."))?;
    Some(ended_too_soon(at))
}

fn ended_too_soon(offset: usize) -> Error {
    Error::for_go(offset, "... behind no document that it could end; kubectl and kustomize refuse it")
}

/// A number that JSON has no word for.
pub(super) fn endless(text: &str, at: Span) -> Option<Error> {
    is_endless(text).then(|| {
        let message =
            format!("the number {text}, for which JSON has no word; kubectl and kustomize refuse it");
        Error::for_go(at.start() as usize, message)
    })
}

/// What is wrong with the tag of a list or a map.
pub(super) fn collection(tag: &Tag, is_map: bool, at: usize) -> Option<Error> {
    let own = if is_map { "map" } else { "seq" };
    let kind = core_kind(tag)?;
    let is_wrong =
        kind != own && matches!(kind, "map" | "seq" | "null" | "bool" | "int" | "float" | "str" | "binary");
    is_wrong.then(|| {
        let (written, name) = tag.original_parts();
        let what = if is_map { "a map" } else { "a list" };
        Error::for_go(at, format!("the tag {written}{name} before {what}; take it out"))
    })
}

/// The kind that a tag of YAML's own (`!!str`) names.
fn core_kind(tag: &Tag) -> Option<&str> {
    let (handle, suffix) = tag.parts();
    match handle.strip_prefix(CORE) {
        Some("") => Some(suffix),
        _ => suffix.strip_prefix(CORE),
    }
}

/// Content of which nothing is read.
pub(super) fn behind_the_end(offset: usize) -> Error {
    Error::for_go(
        offset,
        "content behind the end of a document: kubectl and kustomize drop it up to the next ---; put --- before it",
    )
}

/// What is wrong with the name of an anchor.
pub(super) fn anchor(name: &str, at: Span) -> Option<Error> {
    let is_known = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    (!name.chars().all(is_known)).then(|| {
        let message = format!(
            "the anchor &{name}: kubectl and kustomize take letters from a to z, digits, - and _ in its name"
        );
        Error::for_go(at.start() as usize, message)
    })
}

/// What is wrong with a text in double quotes, as it is written.
pub(super) fn escapes(written: &str, at: usize) -> Option<Error> {
    let mut rest = written;
    while let Some(place) = memchr(b'\\', rest.as_bytes()) {
        let offset = at + (written.len() - rest.len()) + place;
        match rest.as_bytes().get(place + 1) {
            Some(b'/') => {
                return Some(Error::for_kustomize(
                    offset,
                    r"the escape \/: kustomize takes no such one; write / alone",
                ));
            }
            Some(b'N') => {
                return Some(Error::for_kustomize(offset, r"the escape \N: kustomize makes a blank of it"));
            }
            _ => {}
        }
        rest = rest.get(place + 2..).unwrap_or_default();
    }
    None
}

/// What is wrong with a scalar without quotes in braces or brackets.
pub(super) fn in_flow(written: &str, is_key: bool, at: usize) -> Option<Error> {
    if is_key && memchr2(b'\n', b'\r', written.as_bytes()).is_some() {
        return Some(Error::for_go(at, "a key over several lines; kubectl and kustomize refuse it"));
    }
    if written.is_empty() && !is_key {
        let message = "no value in braces or brackets: null for kubectl and \"\" for kustomize; write one";
        return Some(Error::for_go(at, message));
    }
    if written.starts_with(':') {
        let message = format!(
            "a : at the start of {written:?}, in braces or brackets: kubectl and kustomize refuse it"
        );
        return Some(Error::for_go(at, message));
    }
    let mark = memchr(b'?', written.as_bytes())?;
    let message = format!(
        "a ? in {written:?}, in braces or brackets: kubectl and kustomize refuse it; put it in quotes"
    );
    Some(Error::for_go(at + mark, message))
}

/// A tab where spaces have to be, in what stands between two parts of a text that is not in braces or brackets.
pub(super) fn tab(between: &str, start: usize) -> Option<Error> {
    let mut offset = start;
    between.split_inclusive('\n').enumerate().find_map(|(number, line)| {
        offset += line.len();
        let end = line.find(|letter| !matches!(letter, ' ' | '-' | '?' | '\t')).unwrap_or(line.len());
        let tab = line[..end].find('\t')?;
        // What follows a value or the colon of a key may be a tab.
        let is_indentation = number > 0 || start == 0 || line[..tab].contains('-');
        is_indentation
            .then(|| Error::for_go(offset - line.len() + tab, "a tab in the indentation; YAML takes spaces"))
    })
}

/// What is wrong with a block.
pub(super) fn block(text: &str, at: usize) -> Option<Error> {
    let message = "a tab where a block says how far its lines are indented; YAML takes spaces";
    text.trim_start_matches('\n').starts_with('\t').then(|| Error::for_go(at, message))
}

/// What is wrong with a tag before a key.
pub(super) fn tagged_key(tag: &Tag, at: usize) -> Option<Error> {
    let (written, name) = tag.original_parts();
    (core_kind(tag) != Some("str")).then(|| {
        Error::for_kustomize(at, format!("the tag {written}{name} before a key; kustomize refuses it"))
    })
}

/// What a tagged scalar is: its text, and whether that may be more than a text.
pub(super) fn tagged<'a>(
    tag: &Tag,
    text: Cow<'a, str>,
    is_plain: bool,
    at: usize,
) -> Result<(Cow<'a, str>, bool), Error> {
    let (written, name) = tag.original_parts();
    let is_bare = matches!((written, name), ("!", "") | ("", "!"));
    let refused = || {
        let tag = format!("{written}{name}");
        Error::for_go(
            at,
            format!("the tag {tag} before {text:?}: kubectl and kustomize refuse it, or read another value"),
        )
    };
    let is_kind = match core_kind(tag).unwrap_or_default() {
        "str" => return Ok((text, false)),
        "int" => number(&text).is_some_and(|number| number.parse::<i128>().is_ok()),
        "float" => number(&text).is_some() && !is_endless(&text),
        "bool" => is_boolean(&text),
        "null" => is_null(&text),
        "binary" => {
            let bytes = BASE64.decode(text.split_whitespace().collect::<String>()).map_err(|_| refused())?;
            return String::from_utf8(bytes).map(|text| (text.into(), false)).map_err(|_| refused());
        }
        "timestamp" | "merge" => false,
        // `!` alone is a text for kubectl and nothing for kustomize.
        _ if name.contains('#') => false,
        _ if is_bare && is_plain && (text.is_empty() || is_more_than_a_text(&text)) => false,
        _ => return Ok((text, false)),
    };
    if is_kind { Ok((text, true)) } else { Err(refused()) }
}

/// What is wrong with a key. What is a text in a document, or is not, is in the fields of its objects: kustomize takes a number or a boolean as the
/// name of a field, and as no other key.
pub(super) fn key(text: &str, is_plain: bool, is_field: bool, at: Span) -> Option<Error> {
    let offset = at.start() as usize;
    if !is_plain {
        return (text == "<<").then(|| {
            Error::for_kustomize(
                offset,
                "the key << in quotes, which kustomize takes for a merge key all the same",
            )
        });
    }
    if text.is_empty() {
        return Some(Error::for_go(offset, "a key without a name, which kubectl refuses"));
    }
    let is_refused = if is_field { is_null(text) } else { is_more_than_a_text(text) };
    is_refused.then(|| {
        let message = format!("the key {text} is no text; kustomize refuses it: put it in quotes");
        Error::for_kustomize(offset, message)
    })
}

/// Whether kustomize takes something without quotes for anything but a text.
pub(crate) fn is_more_than_a_text(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'.' | b'+' | b'-') => {
            number(text).is_some() || is_endless(text) || timestamp(text).is_some()
        }
        Some(b't' | b'T' | b'f' | b'F') => is_boolean(text),
        Some(b'~' | b'n' | b'N') => is_null(text),
        _ => false,
    }
}

fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}
