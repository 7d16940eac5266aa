//! From text to trees.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{
    Event, Options, Parser, ScalarStyle, ScanError, Span as Marks, StrInput, StructureStyle,
};
use thiserror::Error as ThisError;

use super::passed::Passed;
use super::{Entry, Key, Lines, Mapping, Node, Scalar, Sequence, Span, Value};

/// How many values the aliases of a document may expand to. The longest honest document that is known has 40,000; a short one can ask for
/// billions.
const MAX_EXPANDED: usize = 4_000_000;

/// How deep a document may be, aliases followed. The parser stops at 255 of what is written; what reads a tree recurses.
const MAX_DEPTH: usize = 1_000;

/// From this many keys on, a map looks them up by hash to find one that is there twice.
const MANY_KEYS: usize = 24;

/// What is said of a key that is none in JSON.
const NO_TEXT: &str = "a key that is a list or a map; Kubernetes takes texts only";

/// The text is no YAML, or none that Kubernetes takes.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{message}")]
pub struct Error {
    /// The byte at which it shows.
    pub offset: usize,
    /// What is wrong, in one line.
    pub message: String,
}

/// One collection that is being read.
struct Frame<'a> {
    open: Open<'a>,
    at: Span,
    anchor: usize,
    extent: Extent,
}

/// How much a value holds.
#[derive(Clone, Copy)]
struct Extent {
    /// How many values, all the way down, itself included.
    size: usize,
    /// How deep they are.
    depth: usize,
}

/// What is open. What it holds so far lies on the builder's piles, from `start` on, until it is known how much there is.
enum Open<'a> {
    Sequence {
        start: usize,
        flow: bool,
    },
    Mapping {
        start: usize,
        flow: bool,
        elided: bool,
        key: Option<Key<'a>>,
        is_merge: bool,
        merged: Vec<Node<'a>>,
        seen: Seen,
    },
}

/// The keys of a map that is being read, once they are many.
#[derive(Default)]
struct Seen(HashMap<String, usize>);

struct Builder<'a> {
    text: &'a str,
    file: u32,
    reading: Reading,
    /// The collections that are open in what is passed over; none where nothing is.
    passing: Vec<Passed<'a>>,
    /// Whether an anchor was passed over.
    passed_anchor: bool,
    stack: Vec<Frame<'a>>,
    items: Vec<Node<'a>>,
    entries: Vec<Entry<'a>>,
    /// The finished values of anchors, by the parser's numbers.
    anchors: HashMap<usize, (Node<'a>, Extent)>,
    root: Option<Node<'a>>,
    expanded: usize,
}

/// How much of a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// All of it.
    Whole,
    /// The `spec.values` of HelmReleases are passed over: they are most of the text, and no rule reads them.
    WithoutValues,
}

/// Why a document ends early.
enum Stop {
    /// It is faulty.
    Fault(Error),
    /// An alias leads into what was passed over.
    Passed,
}

type Events<'a> = Parser<'a, StrInput<'a>>;

/// The documents of a text, without the empty ones, each for itself: after one that is faulty, the next is read.
///
/// `file` is what the spans of the nodes will name.
pub fn documents(text: &str, file: u32) -> Vec<Result<Node<'_>, Error>> {
    // Nothing is passed over, so no alias leads there.
    read(text, file, Reading::Whole).unwrap_or_default()
}

/// The same, but the `spec.values` of HelmReleases are passed over where nothing else needs them: a map that says so stands in their place.
pub fn documents_without_values(text: &str, file: u32) -> Vec<Result<Node<'_>, Error>> {
    read(text, file, Reading::WithoutValues).unwrap_or_else(|| documents(text, file))
}

/// The documents, unless an alias leads into what is passed over.
fn read(text: &str, file: u32, reading: Reading) -> Option<Vec<Result<Node<'_>, Error>>> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut events = Parser::new_from_str_with_options(text, options);
    let mut documents = Vec::new();
    loop {
        match document(&mut events, text, file, reading) {
            Ok(None) => break,
            Ok(Some(root)) if root.is_null() => {}
            Ok(Some(root)) => documents.push(Ok(root)),
            Err(Stop::Passed) => return None,
            Err(Stop::Fault(error)) => {
                documents.push(Err(error));
                if !matches!(events.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    Some(documents)
}

/// The comments of a text, each with the byte at which it starts and what is behind its `#`. An error ends them.
pub fn comments(text: &str) -> Vec<(usize, &str)> {
    let events = Parser::new_from_str(text).map_while(Result::ok);
    let comments = events.filter_map(|(event, marks)| {
        let Event::Comment(..) = event else { return None };
        Some((marks.byte_range()?.start, marks.slice(text)?.strip_prefix('#')?))
    });
    comments.collect()
}

/// The next document; `None` at the end of the text.
fn document<'a>(
    events: &mut Events<'a>,
    text: &'a str,
    file: u32,
    reading: Reading,
) -> Result<Option<Node<'a>>, Stop> {
    let mut builder = Builder {
        text,
        file,
        reading,
        passing: Vec::new(),
        passed_anchor: false,
        stack: Vec::new(),
        items: Vec::new(),
        entries: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        expanded: 0,
    };
    loop {
        let Some(next) = events.next_event() else { return Ok(None) };
        let (event, marks) = next.map_err(|error| Stop::Fault(builder.syntax(&error)))?;
        match event {
            Event::StreamEnd => return Ok(None),
            Event::DocumentEnd => {
                let nothing = Span { file, start: 0, end: 0 };
                return Ok(Some(builder.root.unwrap_or_else(|| null(nothing))));
            }
            event if !builder.passing.is_empty() => builder.pass(event, marks)?,
            event => builder.take(event, marks)?,
        }
    }
}

fn null(at: Span) -> Node<'static> {
    Node { value: Value::Scalar(Scalar { text: "".into(), plain: true }), at, over: None }
}

// === impl Builder ===

impl<'a> Builder<'a> {
    /// Passes over an event; the last one ends the collection that nobody asks for. What nobody asks for has to be YAML all the same.
    fn pass(&mut self, event: Event<'a>, marks: Marks) -> Result<(), Stop> {
        self.passed_anchor |= event.anchor_id().is_some();
        let at = self.span(marks);
        match event {
            Event::Scalar(text, style, ..) => {
                let is_merge = style == ScalarStyle::Plain && text == "<<";
                self.pass_value(Some(text).filter(|_| !is_merge), at).map_err(Stop::Fault)?;
            }
            Event::Alias(_) => self.pass_value(None, at).map_err(Stop::Fault)?,
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if self.passing.last().is_some_and(Passed::awaits_key) {
                    return Err(Stop::Fault(self.error(at, NO_TEXT)));
                }
                self.pass_value(None, at).map_err(Stop::Fault)?;
                self.passing.push(Passed::of(&event));
            }
            Event::MappingEnd | Event::SequenceEnd => _ = self.passing.pop(),
            _ => {}
        }
        if self.passing.is_empty() { self.close(at).map_err(Stop::Fault) } else { Ok(()) }
    }

    /// Passes over a value of the innermost collection, which is a key where one comes next.
    fn pass_value(&mut self, key: Option<Cow<'a, str>>, at: Span) -> Result<(), Error> {
        let first = self.passing.last_mut().and_then(|passed| passed.take(key.as_ref(), at));
        match (key, first) {
            (Some(key), Some(first)) => Err(self.twice(&key, at, first.start as usize)),
            _ => Ok(()),
        }
    }

    fn twice(&self, key: &str, at: Span, first: usize) -> Error {
        let line = Lines::of(self.text).position(first).line;
        self.error(at, format!("the key {key:?} is there already, on line {line}"))
    }

    /// Whether what begins now are the values of a HelmRelease. Its kind has to stand above them, as it does wherever people write it.
    fn begins_values(&self) -> bool {
        if self.reading == Reading::Whole {
            return false;
        }
        let [root, spec] = &self.stack[..] else { return false };
        let (
            Open::Mapping { start, key: Some(below), .. },
            Open::Mapping { key: Some(key), is_merge: false, .. },
        ) = (&root.open, &spec.open)
        else {
            return false;
        };
        let is_release =
            |entry: &Entry<'_>| entry.key.text == "kind" && entry.value.text() == Some("HelmRelease");
        below.text == "spec" && key.text == "values" && self.entries[*start..].iter().any(is_release)
    }

    fn take(&mut self, event: Event<'a>, marks: Marks) -> Result<(), Stop> {
        if let Event::Alias(id) = event
            && self.passed_anchor
            && !self.anchors.contains_key(&id)
        {
            return Err(Stop::Passed);
        }
        if matches!(event, Event::MappingStart(..)) && self.begins_values() {
            self.passing.push(Passed::of(&event));
        }
        self.build(event, marks).map_err(Stop::Fault)
    }

    fn build(&mut self, event: Event<'a>, marks: Marks) -> Result<(), Error> {
        let at = self.span(marks);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // What is left out is written as nothing, and read as `~`.
                let text = if at.start == at.end && text == "~" { "".into() } else { text };
                let text = if is_block(style) { self.without_a_made_up_end(text, at) } else { text };
                let is_text = tag.as_deref().is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                let plain = style == ScalarStyle::Plain && !is_text;
                let node = Node { value: Value::Scalar(Scalar { text, plain }), at, over: None };
                self.finish(node, anchor, Extent::ONE)
            }
            Event::SequenceStart(style, anchor, _) => {
                let (start, flow) = (self.items.len(), style == StructureStyle::Flow);
                self.open(Open::Sequence { start, flow }, at, anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                let open = Open::Mapping {
                    start: self.entries.len(),
                    flow: style == StructureStyle::Flow,
                    elided: !self.passing.is_empty(),
                    key: None,
                    is_merge: false,
                    merged: Vec::new(),
                    seen: Seen::default(),
                };
                self.open(open, at, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            Event::Alias(id) => {
                let Some((node, extent)) = self.anchors.get(&id).cloned() else {
                    return Err(self.error(at, "an alias to a value that holds it"));
                };
                self.expanded += extent.size;
                let depth = self.stack.len() + extent.depth;
                if self.expanded > MAX_EXPANDED || depth > MAX_DEPTH {
                    let message = format!(
                        "aliases that expand to more than {MAX_EXPANDED} values, or {MAX_DEPTH} levels"
                    );
                    return Err(self.error(at, message));
                }
                self.finish(node, 0, extent)
            }
            _ => Ok(()),
        }
    }

    /// The text of a block. Where the whole text ends in it, without a line end, it has none either; the parser makes one up.
    fn without_a_made_up_end(&self, mut text: Cow<'a, str>, at: Span) -> Cow<'a, str> {
        let is_last = at.end as usize == self.text.len() && !self.text.ends_with(['\n', '\r']);
        let last_line = self.text.lines().next_back().unwrap_or_default();
        // A comment behind the block is no part of it.
        let is_in_it = text.trim_end_matches('\n').ends_with(last_line.trim_start());
        if is_last && is_in_it && text.ends_with('\n') {
            text.to_mut().pop();
        }
        text
    }

    fn open(&mut self, open: Open<'a>, at: Span, anchor: usize) -> Result<(), Error> {
        if let Some(Frame { open: Open::Mapping { key: None, .. }, .. }) = self.stack.last() {
            return Err(self.error(at, NO_TEXT));
        }
        self.stack.push(Frame { open, at, anchor, extent: Extent::ONE });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Error> {
        let Some(Frame { open, mut at, anchor, extent }) = self.stack.pop() else { return Ok(()) };
        let (value, flow, last) = match open {
            Open::Sequence { start, flow } => {
                let items: Vec<_> = self.items.drain(start..).collect();
                let last = items.last().map(|item| item.at.end);
                (Value::Sequence(Arc::new(Sequence { items, flow })), flow, last)
            }
            Open::Mapping { start, flow, elided, merged, .. } => {
                let entries: Vec<_> = self.entries.drain(start..).collect();
                let last = entries.last().map(|entry| entry.value.at.end.max(entry.key.at.end));
                let mut mapping = Mapping { entries, flow, elided };
                merge(&mut mapping, &merged);
                (Value::Mapping(Arc::new(mapping)), flow, last)
            }
        };
        // The end of a block is told where the next one begins; its own is that of its last value.
        at.end = if flow { end.end } else { last.unwrap_or(at.end).max(at.start) };
        self.finish(Node { value, at, over: None }, anchor, extent)
    }

    /// Puts a value where it belongs: it is a key, the value of one, an item, or the whole document.
    fn finish(&mut self, node: Node<'a>, anchor: usize, extent: Extent) -> Result<(), Error> {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), extent));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.extent.add(extent);
        match &mut frame.open {
            Open::Sequence { .. } => self.items.push(node),
            Open::Mapping { start, key, is_merge, merged, seen, .. } => match key.take() {
                Some(_) if *is_merge => {
                    *is_merge = false;
                    if let Some(wrong) = not_mergeable(&node) {
                        return Err(self.error(wrong, "a merge key (<<) that is given no map"));
                    }
                    merged.push(node);
                }
                Some(key) => self.entries.push(Entry { key, value: node }),
                None => {
                    let at = node.at;
                    let Value::Scalar(Scalar { text, plain }) = node.value else {
                        return Err(self.error(at, NO_TEXT));
                    };
                    *is_merge = plain && text == "<<";
                    if !*is_merge && let Some(first) = seen.before(&text, &self.entries[*start..]) {
                        return Err(self.twice(&text, at, first));
                    }
                    *key = Some(Key { text, at });
                }
            },
        }
        Ok(())
    }

    fn span(&self, marks: Marks) -> Span {
        let range = marks.byte_range().expect("a text that is read as a whole has offsets");
        let narrow = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Span { file: self.file, start: narrow(range.start), end: narrow(range.end) }
    }

    #[expect(clippy::unused_self, reason = "it stands beside `syntax`, which needs the text")]
    fn error(&self, at: Span, message: impl Into<String>) -> Error {
        Error { offset: at.start as usize, message: message.into() }
    }

    /// What the parser says, or in better words what it stumbled over.
    fn syntax(&self, error: &ScanError) -> Error {
        let offset = error.marker().byte_offset().unwrap_or(self.text.len()).min(self.text.len());
        let lines = Lines::of(self.text);
        let number = lines.position(offset).line;
        let conflict = (1..=number)
            .rev()
            .find(|number| ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| lines.line(*number).starts_with(mark)));
        if let Some(number) = conflict {
            return Error {
                offset: lines.start(number),
                message: "a conflict that git left open".to_owned(),
            };
        }
        // A scalar that goes on is told by the line on which it began.
        for number in [number, number + 1] {
            let line = lines.line(number);
            let indent = &line[..line.len() - line.trim_start().len()];
            if let Some(tab) = indent.find('\t') {
                let message = "a tab in the indentation; YAML takes spaces".to_owned();
                return Error { offset: lines.start(number) + tab, message };
            }
        }
        Error { offset, message: error.info() }
    }
}

// === impl Extent ===

impl Extent {
    const ONE: Self = Self { size: 1, depth: 1 };

    fn add(&mut self, child: Self) {
        self.size += child.size;
        self.depth = self.depth.max(child.depth + 1);
    }
}

// === impl Seen ===

impl Seen {
    /// The place of a key that is there already.
    fn before(&mut self, key: &str, entries: &[Entry<'_>]) -> Option<usize> {
        if entries.len() < MANY_KEYS {
            let same = entries.iter().find(|entry| entry.key.text == key);
            return same.map(|entry| entry.key.at.start as usize);
        }
        for entry in &entries[self.0.len()..] {
            self.0.insert(entry.key.text.to_string(), entry.key.at.start as usize);
        }
        self.0.get(key).copied()
    }
}

fn is_block(style: ScalarStyle) -> bool {
    matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
}

/// What is not a map, nor a list of maps, and so cannot be merged.
fn not_mergeable(node: &Node<'_>) -> Option<Span> {
    let is_map = |node: &Node<'_>| matches!(node.value, Value::Mapping(_));
    match &node.value {
        Value::Mapping(_) => None,
        Value::Sequence(sequence) => sequence.items.iter().find(|item| !is_map(item)).map(|item| item.at),
        Value::Scalar(_) => Some(node.at),
    }
}

/// Adds what merge keys bring: what the map says itself counts, and of several the first.
fn merge<'a>(mapping: &mut Mapping<'a>, merged: &[Node<'a>]) {
    let maps = merged.iter().flat_map(|node| match &node.value {
        Value::Sequence(sequence) => sequence.items.as_slice(),
        _ => std::slice::from_ref(node),
    });
    for entry in maps.flat_map(Node::entries) {
        if !mapping.entries.iter().any(|own| own.key.text == entry.key.text) {
            mapping.entries.push(entry.clone());
        }
    }
}
