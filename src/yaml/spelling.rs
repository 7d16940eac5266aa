//! What the parser refuses and the libraries of Go read, from which kubectl and kustomize are made (go-yaml, after libyaml): `*name:` as a key,
//! since a colon is no part of a name there, and a byte order mark at the start of any line.
//!
//! Where the parser stops at one of these, it is given the text again in a spelling that it reads, and what it makes of that is put back to
//! the places of the text.

use super::reader::{Reading, parse as parse_as_written};
use super::{Error, Node, Span};

/// How often a text is spelled anew, and how long one may be that is. Each time reads all of it again.
const MOST: usize = 64;
const MAX_BYTES: usize = 1024 * 1024;

/// Maximum number of restored values. A value that aliases share becomes one for each alias.
const MAX_VALUES: usize = 200_000;

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A text in another spelling.
struct Spelled {
    text: String,
    /// Where in it something was inserted, one byte each.
    inserted: Vec<usize>,
}

/// The documents of a text; `None` where an alias leads into what is passed over.
pub(super) fn parse(text: &str, file: u32, reading: Reading) -> Option<Vec<Result<Node<'_>, Error>>> {
    let as_written = parse_as_written(text, file, reading)?;
    if text.len() > MAX_BYTES {
        return Some(as_written);
    }
    let mut spelled: Option<Spelled> = None;
    for _ in 0..MOST {
        let next = match &spelled {
            None => respelled(text, &as_written).map(|change| Spelled::of(text, change)),
            Some(spelled) => {
                let documents = parse_as_written(&spelled.text, file, reading)?;
                let Some(change) = respelled(&spelled.text, &documents) else {
                    let values = documents.iter().flatten().map(|document| document.count(MAX_VALUES));
                    let is_too_much = values.sum::<usize>() >= MAX_VALUES;
                    return Some(if is_too_much { as_written } else { spelled.put_back(&documents) });
                };
                Some(spelled.with(change))
            }
        };
        if next.is_none() {
            break;
        }
        spelled = next;
    }
    // The result for the text itself, where there is nothing to respell, or too much.
    Some(as_written)
}

/// How to spell the first place anew at which the parser stopped.
#[derive(Clone, Copy)]
enum Change {
    /// A blank behind an alias, so that its colon is none of its name.
    Blank(usize),
    /// Empty lines in place of a byte order mark.
    Lines(usize),
}

fn respelled(text: &str, documents: &[Result<Node<'_>, Error>]) -> Option<Change> {
    documents.iter().filter_map(|document| document.as_ref().err()).find_map(|error| {
        let rest = text.get(error.offset..)?;
        if rest.starts_with(BYTE_ORDER_MARK) {
            // The libraries are given what is between two lines of ---, and skip a mark at the start of it.
            let line = text[..error.offset]
                .strip_suffix('\n')
                .map(|before| before.rfind('\n').map(|at| &before[at + 1..]));
            let is_start = error.offset == 0 || line.flatten().is_some_and(|line| line.starts_with("---"));
            return is_start.then_some(Change::Lines(error.offset));
        }
        let name = rest.strip_prefix('*')?;
        let end = name.find(|letter: char| !(letter.is_ascii_alphanumeric() || "_-".contains(letter)))?;
        let is_key = end > 0
            && name[end..].starts_with(':')
            && name[end + 1..].chars().next().is_none_or(char::is_whitespace);
        is_key.then_some(Change::Blank(error.offset + 1 + end))
    })
}

// === impl Spelled ===

impl Spelled {
    fn of(text: &str, change: Change) -> Self {
        Self { text: text.to_owned(), inserted: Vec::new() }.with(change)
    }

    fn with(&self, change: Change) -> Self {
        let (mut text, mut inserted) = (self.text.clone(), self.inserted.clone());
        match change {
            Change::Blank(at) => {
                text.insert(at, ' ');
                inserted.iter_mut().filter(|before| **before >= at).for_each(|before| *before += 1);
                inserted.push(at);
            }
            Change::Lines(at) => {
                let lines = "\n".repeat(BYTE_ORDER_MARK.len());
                text.replace_range(at..at + BYTE_ORDER_MARK.len(), &lines);
            }
        }
        Self { text, inserted }
    }

    /// A place in the text as it is written.
    fn place(&self, at: usize) -> usize {
        at - self.inserted.iter().filter(|inserted| **inserted < at).count()
    }

    fn put_back<'t>(&self, documents: &[Result<Node<'_>, Error>]) -> Vec<Result<Node<'t>, Error>> {
        let place = |at: Span| {
            let range = self.place(at.start() as usize)..self.place(at.end() as usize);
            Span::of(at.file(), range)
        };
        let documents = documents.iter().map(|document| match document {
            Ok(node) => Ok(node.moved(&place, &|text, _| text.clone().into_shared())),
            Err(error) => Err(Error { offset: self.place(error.offset), ..error.clone() }),
        });
        documents.collect()
    }
}
