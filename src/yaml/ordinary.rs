//! YAML as people write it for Kubernetes, at several times the speed of a parser of the whole language.
//!
//! Read are block maps and lists, `[…]` and `{…}`, scalars, literal and folded blocks, comments, anchors and aliases. **Whatever is out of the
//! ordinary ends it**: tags, directives, comments in brackets, most tabs, and all that may be a fault. The parser then reads the text from the start, and
//! says what there is to say. So nothing is ever refused here, and what is read here is read as the parser does, with the same places.

mod scalars;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use foldhash::HashMap;
use memchr::memchr;

use super::builder::{Builder, Stop};
use super::reader::{Reading, has_variables};
use super::{Node, Span};
use scalars::{is_end, is_plain_start};

/// How deep collections may be.
const MAX_DEPTH: usize = 64;

/// How long a key may be; the parser takes one of 1,024 characters.
const MAX_KEY: usize = 1_000;

/// Where lines are cut into tokens.
struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    file: u32,
    has_tabs: bool,
    /// The next byte to look at.
    at: usize,
    /// Where the line starts that is looked at.
    line: usize,
    /// The block collections that are open, from the outermost.
    levels: Vec<Level>,
    /// What waits for a value, if something does.
    pending: Option<Pending>,
    /// The anchors of the document with their numbers; of two with one name the later counts.
    anchors: HashMap<&'a str, usize>,
    /// How many anchors the document has.
    anchored: usize,
    /// Whether an alias leads into what is passed over.
    leads_into_passed: bool,
    builder: Builder<'a>,
}

/// A block collection that is open.
#[derive(Clone, Copy)]
struct Level {
    /// The column of its keys or dashes.
    column: usize,
    is_map: bool,
}

/// Something whose value has not come yet.
#[derive(Clone, Copy)]
struct Pending {
    kind: Awaiting,
    /// Where nothing stands, if nothing comes.
    at: usize,
    /// The number of the anchor before the value; zero without one.
    anchor: usize,
}

/// What waits for a value.
#[derive(Clone, Copy, PartialEq)]
enum Awaiting {
    /// A document.
    Document,
    /// A key at this column.
    Key(usize),
    /// A dash at this column.
    Item(usize),
}

/// What a node starts with.
enum Head<'a> {
    /// A key, so that it is a map.
    Key {
        text: Cow<'a, str>,
        plain: bool,
        /// Where its colon is.
        end: usize,
    },
    /// An alias that stands for a key.
    Alias {
        /// Where its name ends.
        end: usize,
        /// Where the colon is, behind blanks.
        colon: usize,
    },
    /// No key.
    Value,
}

/// Why a text is not read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// Something in it is out of the ordinary.
    Odd,
    /// An alias leads into what is passed over.
    Passed,
}

/// The documents of a text, without the empty ones.
pub(super) fn read(text: &str, file: u32, reading: Reading) -> Result<Vec<Node<'_>>, Unread> {
    let has_tabs = scalars::has_tabs(text).ok_or(Unread::Odd)?;
    // Most texts are one document.
    let mut documents = Vec::with_capacity(1);
    let mut scanner = Scanner {
        text,
        bytes: text.as_bytes(),
        file,
        has_tabs,
        at: 0,
        line: 0,
        levels: Vec::with_capacity(8),
        pending: Some(Pending::DOCUMENT),
        anchors: HashMap::default(),
        anchored: 0,
        leads_into_passed: false,
        builder: Builder::of(text, has_variables(text), reading),
    };
    loop {
        let Some(is_last) = scanner.document() else {
            return Err(if scanner.leads_into_passed { Unread::Passed } else { Unread::Odd });
        };
        documents.extend(scanner.builder.take_root());
        if is_last {
            return Ok(documents);
        }
    }
}

// === impl Scanner ===

impl<'a> Scanner<'a> {
    /// Reads up to the next document; whether there is none.
    fn document(&mut self) -> Option<bool> {
        let is_last = loop {
            self.line = self.at;
            let start = self.past_spaces(self.at);
            match self.bytes.get(start) {
                None => break true,
                Some(b'\n') => self.at = start + 1,
                Some(b'#') => self.at = self.line_end(start) + 1,
                Some(b'-' | b'.') if start == self.line && self.is_marker(start)? => {
                    self.at = self.end_of_line(start + 3)?;
                    break false;
                }
                Some(_) => self.content(start)?,
            }
            if self.at >= self.bytes.len() {
                break true;
            }
        };
        self.settle()?;
        while self.levels.pop().is_some() {
            self.builder.end(self.span(self.at, self.at)).ok()?;
        }
        self.anchors.clear();
        self.anchored = 0;
        self.pending = Some(Pending::DOCUMENT);
        Some(is_last)
    }

    /// Whether a line starts a document. What ends one is out of the ordinary.
    fn is_marker(&self, start: usize) -> Option<bool> {
        match self.bytes.get(start..start + 3) {
            Some(b"...") => None,
            Some(b"---") => is_end(self.bytes.get(start + 3)).then_some(true),
            _ => Some(false),
        }
    }

    /// Reads a line that says something, and the lines that belong to it.
    fn content(&mut self, start: usize) -> Option<()> {
        let column = start - self.line;
        if self.has_tabs && memchr(b'\t', &self.bytes[start..self.line_end(start)]).is_some() {
            return None;
        }
        self.descend(column, self.is_dash(start))?;
        let mut at = start;
        while self.is_dash(at) {
            let column = at - self.line;
            let item = self.past_spaces(at + 1);
            let is_empty = self.ends_line(item);
            let end = if is_empty { self.line_end(item) } else { item };
            if let Some(pending) = self.pending.take() {
                // A list at the column of its key is said to start with what is behind the first dash.
                let is_indented = pending.kind != Awaiting::Key(column);
                let start = if is_indented { at } else { end };
                self.builder.begin_sequence(false, self.span(start, start), pending.anchor).ok()?;
                self.push(Level { column, is_map: false })?;
            }
            self.pending = Some(Pending { kind: Awaiting::Item(column), at: end, anchor: 0 });
            at = item;
            if is_empty {
                self.at = end + 1;
                return Some(());
            }
        }
        self.node(at)
    }

    /// Ends what a line at a column does not belong to.
    fn descend(&mut self, column: usize, is_dash: bool) -> Option<()> {
        let belongs = match self.pending.map(|pending| pending.kind) {
            None => false,
            Some(Awaiting::Document) => true,
            // A list may stand at the column of its key.
            Some(Awaiting::Key(key)) => column > key || (column == key && is_dash),
            Some(Awaiting::Item(dash)) => column > dash,
        };
        if belongs {
            return Some(());
        }
        self.settle()?;
        while let Some(level) = self.levels.last().copied() {
            let is_over = level.column > column || (level.column == column && !level.is_map && !is_dash);
            if !is_over {
                return (level.column == column && level.is_map != is_dash).then_some(());
            }
            self.levels.pop();
            self.builder.end(self.span(self.line, self.line)).ok()?;
        }
        None
    }

    /// Says that there is no value where one was waited for.
    fn settle(&mut self) -> Option<()> {
        match self.pending.take() {
            None | Some(Pending { kind: Awaiting::Document, .. }) => Some(()),
            Some(Pending { anchor: 0, at, .. }) => {
                self.builder.scalar("".into(), true, self.span(at, at), 0).ok()
            }
            Some(_) => None,
        }
    }

    /// Reads a key with its value, or the value of an item.
    fn node(&mut self, start: usize) -> Option<()> {
        let (after, anchor) = self.anchor(start)?;
        if anchor != 0 && self.ends_line(after) {
            return self.await_with(anchor, after);
        }
        if anchor != 0 && self.is_dash(after) {
            return None;
        }
        let head = self.head(after)?;
        if matches!(head, Head::Value) {
            // A document that is one scalar is out of the ordinary.
            let is_flow = matches!(self.bytes[after], b'[' | b'{');
            let is_known = |pending: &Pending| pending.kind != Awaiting::Document || is_flow;
            let pending = self.pending.take().filter(is_known)?;
            let anchor = one_of(anchor, pending.anchor)?;
            let end = self.value(after, anchor)?;
            self.at = self.end_of_line(end)?;
            return Some(());
        }
        // An anchor before a key on the same line is the key's.
        if anchor != 0 {
            return None;
        }
        let column = start - self.line;
        if let Some(pending) = self.pending.take() {
            self.builder.begin_mapping(false, self.span(start, start), pending.anchor).ok()?;
            self.push(Level { column, is_map: true })?;
        }
        let colon = match head {
            Head::Key { text, plain, end } => {
                self.builder.scalar(text.into(), plain, self.span(start, end), 0).ok()?;
                end
            }
            Head::Alias { end, colon } => {
                self.refer(start, end)?;
                colon
            }
            Head::Value => return None,
        };
        self.pending = Some(Pending { kind: Awaiting::Key(column), at: colon, anchor: 0 });
        let start = self.past_spaces(colon + 1);
        let (start, anchor) = self.anchor(start)?;
        if self.ends_line(start) {
            return self.await_with(anchor, start);
        }
        if self.is_dash(start) {
            return None;
        }
        self.pending = None;
        let end = self.value(start, anchor)?;
        self.at = self.end_of_line(end)?;
        Some(())
    }

    /// Waits for a value that stands on the lines below.
    fn await_with(&mut self, anchor: usize, at: usize) -> Option<()> {
        let pending = self.pending.as_mut()?;
        pending.anchor = one_of(anchor, pending.anchor)?;
        self.at = self.line_end(at) + 1;
        Some(())
    }

    /// What a node starts with.
    fn head(&self, start: usize) -> Option<Head<'a>> {
        let first = *self.bytes.get(start)?;
        if matches!(first, b'"' | b'\'') {
            let Some((text, end)) = self.quoted(start) else { return Some(Head::Value) };
            let is_key = self.bytes.get(end) == Some(&b':') && is_end(self.bytes.get(end + 1));
            let is_key = is_key && end - start < MAX_KEY;
            return Some(if is_key { Head::Key { text, plain: false, end } } else { Head::Value });
        }
        if first == b'*' {
            let end = self.name_end(start + 1)?;
            let colon = self.past_spaces(end);
            // Without a blank, the colon is a part of the name for the parser.
            let is_key =
                colon > end && self.bytes.get(colon) == Some(&b':') && is_end(self.bytes.get(colon + 1));
            return Some(if is_key { Head::Alias { end, colon } } else { Head::Value });
        }
        if !is_plain_start(first) {
            return Some(Head::Value);
        }
        let end = self.plain_end(start);
        if self.bytes.get(end) != Some(&b':') {
            return Some(Head::Value);
        }
        let is_tight = self.bytes[end - 1] != b' ' && end - start < MAX_KEY;
        is_tight.then(|| Head::Key { text: self.text[start..end].into(), plain: true, end })
    }

    /// Reads a value that starts on this line; returns where it ends.
    fn value(&mut self, start: usize, anchor: usize) -> Option<usize> {
        match *self.bytes.get(start)? {
            b'*' if anchor == 0 => self.alias(start),
            b'|' | b'>' => self.block(start, anchor),
            b'[' | b'{' => self.flow(start, anchor, MAX_DEPTH),
            b'"' | b'\'' => {
                let (text, end) = self.quoted_over_lines(start)?;
                self.builder.scalar(text.into(), false, self.span(start, end), anchor).ok()?;
                Some(end)
            }
            first if is_plain_start(first) => {
                let (text, end) = self.plain(start)?;
                self.builder.scalar(text.into(), true, self.span(start, end), anchor).ok()?;
                Some(end)
            }
            _ => None,
        }
    }

    /// Reads an anchor, if there is one; returns what comes behind it, and its number.
    fn anchor(&mut self, start: usize) -> Option<(usize, usize)> {
        if self.bytes.get(start) != Some(&b'&') {
            return Some((start, 0));
        }
        let end = self.name_end(start + 1)?;
        if !is_end(self.bytes.get(end)) {
            return None;
        }
        self.anchored += 1;
        self.anchors.insert(&self.text[start + 1..end], self.anchored);
        Some((self.past_spaces(end), self.anchored))
    }

    /// Reads an alias; returns where it ends.
    fn alias(&mut self, start: usize) -> Option<usize> {
        let end = self.name_end(start + 1)?;
        self.refer(start, end)?;
        Some(end)
    }

    /// Puts what an alias stands for in its place.
    fn refer(&mut self, start: usize, end: usize) -> Option<()> {
        let number = *self.anchors.get(&self.text[start + 1..end])?;
        let result = self.builder.alias(number, self.span(start, end));
        self.leads_into_passed = matches!(result, Err(Stop::Passed));
        result.ok()
    }

    /// The end of the name of an anchor.
    fn name_end(&self, start: usize) -> Option<usize> {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let length = self.bytes[start..].iter().take_while(|byte| is_name(byte)).count();
        (length > 0).then_some(start + length)
    }

    fn push(&mut self, level: Level) -> Option<()> {
        self.levels.push(level);
        (self.levels.len() < MAX_DEPTH).then_some(())
    }

    /// Where the next line starts, if there is nothing but a comment on this one.
    fn end_of_line(&self, at: usize) -> Option<usize> {
        // A block ends where a line starts.
        if at == self.line && at > 0 {
            return Some(at);
        }
        let next = self.past_spaces(at);
        (self.ends_line(next) && (next > at || is_end(self.bytes.get(at)))).then(|| self.line_end(next) + 1)
    }

    /// Whether nothing but a comment is left on a line.
    fn ends_line(&self, at: usize) -> bool {
        matches!(self.bytes.get(at), None | Some(b'\n'))
            || (self.bytes[at] == b'#' && self.bytes[at - 1] == b' ')
    }

    fn is_dash(&self, at: usize) -> bool {
        self.bytes.get(at) == Some(&b'-') && is_end(self.bytes.get(at + 1))
    }

    fn past_spaces(&self, at: usize) -> usize {
        at + self.bytes[at.min(self.bytes.len())..].iter().take_while(|byte| **byte == b' ').count()
    }

    fn before_spaces(&self, start: usize, end: usize) -> usize {
        end - self.bytes[start..end].iter().rev().take_while(|byte| **byte == b' ').count()
    }

    /// Where the line ends.
    fn line_end(&self, at: usize) -> usize {
        memchr(b'\n', &self.bytes[at..]).map_or(self.bytes.len(), |length| at + length)
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::of(self.file, start..end)
    }
}

impl Pending {
    const DOCUMENT: Self = Self { kind: Awaiting::Document, at: 0, anchor: 0 };
}

/// The one of two anchors that there is; two are out of the ordinary.
fn one_of(one: usize, other: usize) -> Option<usize> {
    (one == 0 || other == 0).then_some(one + other)
}
