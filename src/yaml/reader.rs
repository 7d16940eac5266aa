//! From text to trees.

use std::cell::OnceCell;

use granit_parser::{
    ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span as Marks, StrInput, StructureStyle,
};
use memchr::{memchr, memmem};
use thiserror::Error as ThisError;

use super::builder::{Builder, Stop, refuse};
use super::ordinary::Unread;
use super::{Lines, Node, Scalar, Span, Value, dialect, ordinary, spelling};

/// The text is no YAML, or none that Kubernetes takes.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{message}")]
pub struct Error {
    /// The byte at which it shows.
    pub offset: usize,
    /// What is wrong, in one line.
    pub message: String,
    /// Who stops at it.
    pub refused_by: RefusedBy,
    /// Whether it is a key that is there twice in one map.
    pub is_duplicate_key: bool,
}

/// Who stops at a text, or does not read it as it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedBy {
    /// Every reader of YAML.
    Everyone,
    /// kubectl and kustomize, while other readers of YAML may well take it.
    KubectlAndKustomize,
    /// kustomize, while kubectl takes it.
    Kustomize,
}

impl Error {
    pub(super) fn at(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into(), refused_by: RefusedBy::Everyone, is_duplicate_key: false }
    }

    pub(super) fn for_go(offset: usize, message: impl Into<String>) -> Self {
        Self { refused_by: RefusedBy::KubectlAndKustomize, ..Self::at(offset, message) }
    }

    pub(super) fn for_kustomize(offset: usize, message: impl Into<String>) -> Self {
        Self { refused_by: RefusedBy::Kustomize, ..Self::at(offset, message) }
    }

    pub(super) fn duplicate_key(offset: usize, message: impl Into<String>) -> Self {
        Self { is_duplicate_key: true, ..Self::for_kustomize(offset, message) }
    }
}

/// What is read of a field of objects, where not all is: the lists and maps below other keys are passed over, which are often most of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The kind of the objects. It has to stand above the field, as it does wherever people write it, or all is read.
    pub kind: &'static str,
    /// The field of the object.
    pub field: &'static str,
    /// The keys in it whose lists and maps are read. Scalars always are.
    pub keys: &'static [&'static str],
}

/// How a text is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// What is read; everything if empty.
    pub asked: &'static [Asked],
    /// What of a key that is there twice.
    pub twice: Twice,
    /// Whether only scalars, `metadata` and `items` of each object are read.
    pub only_names: bool,
}

/// What becomes of a key that is there twice in one block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Twice {
    /// It is an error, as it is for kustomize and the API server in an object.
    #[default]
    Refused,
    /// The last one counts, as it does for kustomize (5.8) in a kustomization file, a JSON patch and a file of replacements.
    LastWins,
    /// Both stay, the first one before the other: what becomes of a strategic merge patch of kustomize depends on what it is merged into.
    Kept,
}

/// How many faulty documents there may be in a text, until no more of it is read.
const MAX_FAULTS: usize = 100;

/// What the parser tells of a text.
struct Events<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    file: u32,
    /// How many documents began.
    begun: usize,
    /// Whether one is being read.
    is_within: bool,
    /// Where its text begins.
    start: usize,
    /// Where the last part of the text ended.
    behind: usize,
    /// How many braces and brackets are open.
    flow: usize,
    has_tabs: bool,
    has_variables: bool,
    lines: OnceCell<Lines<'a>>,
}

/// The documents of a text, without the empty ones, each for itself: after one that is faulty, the next is read.
///
/// `file` is what the spans of the nodes will name.
pub fn documents(text: &str, file: u32) -> Vec<Result<Node<'_>, Error>> {
    documents_as(text, file, Reading::default())
}

/// The same, but what nobody asks for is passed over, unless something else refers to it: [`Value::Elided`] stands in its place.
pub fn documents_as(text: &str, file: u32, reading: Reading) -> Vec<Result<Node<'_>, Error>> {
    let all = Reading { asked: &[], only_names: false, ..reading };
    // Where nothing is passed over, no alias leads there.
    read(text, file, reading).or_else(|| read(text, file, all)).unwrap_or_default()
}

/// The documents, unless an alias leads into what is passed over.
fn read(text: &str, file: u32, reading: Reading) -> Option<Vec<Result<Node<'_>, Error>>> {
    match ordinary::read(text, file, reading) {
        Ok(documents) => Some(documents.into_iter().map(Ok).collect()),
        Err(Unread::Passed) => None,
        Err(Unread::Odd) => spelling::parse(text, file, reading),
    }
}

/// The same, by the parser of the whole language.
pub(super) fn parse(text: &str, file: u32, reading: Reading) -> Option<Vec<Result<Node<'_>, Error>>> {
    if let Some(error) = dialect::whole(text) {
        return Some(vec![Err(error)]);
    }
    let mut events = Events::of(text, file);
    let (mut documents, mut faults) = (Vec::new(), 0);
    loop {
        match events.document(reading) {
            Ok(None) => break,
            Ok(Some(root)) if root.is_null() => {}
            Ok(Some(root)) => documents.push(Ok(root)),
            Err(Stop::Passed) => return None,
            Err(Stop::Fault(error)) => {
                let offset = error.offset;
                documents.push(Err(error));
                faults += 1;
                if faults == MAX_FAULTS {
                    let message =
                        format!("no more of this file is read: {MAX_FAULTS} documents are faulty up to here");
                    documents.push(Err(Error::at(offset, message)));
                    break;
                }
                events.is_within = false;
                if !matches!(events.parser.proceed_next_document(), Ok(true)) {
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

// === impl Events ===

impl<'a> Events<'a> {
    fn of(text: &'a str, file: u32) -> Self {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.emit_anchor_events = true;
        options.disallow_directives = true;
        options.block_scalar_eof_without_line_feed = true;
        let has_tabs = memchr(b'\t', text.as_bytes()).is_some();
        let has_variables = has_variables(text);
        let parser = Parser::new_from_str_with_options(text, options);
        Self {
            parser,
            text,
            file,
            begun: 0,
            is_within: false,
            start: 0,
            behind: 0,
            flow: 0,
            has_tabs,
            has_variables,
            lines: OnceCell::new(),
        }
    }

    /// The next document; `None` at the end of the text.
    fn document(&mut self, reading: Reading) -> Result<Option<Node<'a>>, Stop> {
        let mut builder = Builder::of(self.text, self.has_variables, reading);
        loop {
            let Some(next) = self.parser.next_event() else { return Ok(None) };
            let (event, marks) = next.map_err(|error| Stop::Fault(self.syntax(&error)))?;
            match event {
                Event::StreamEnd => {
                    if self.begun == 0 {
                        refuse(dialect::before_all(self.text))?;
                    }
                    return Ok(None);
                }
                Event::DocumentStart(is_explicit, _) => {
                    let (at, is_first) = (self.span(marks), self.begun == 0);
                    (self.start, self.behind) = (at.start() as usize, at.end() as usize);
                    (self.begun, self.is_within, self.flow) = (self.begun + 1, true, 0);
                    if is_first {
                        refuse(dialect::before_all(&self.text[..self.start]))?;
                    }
                    refuse(dialect::beginning(self.text, self.start, is_explicit, is_first))?;
                }
                Event::DocumentEnd => {
                    self.is_within = false;
                    let nothing = Span::new(self.file, 0, 0);
                    return Ok(Some(builder.take_root().unwrap_or_else(|| null(nothing))));
                }
                event => self.tell(event, marks, &mut builder)?,
            }
        }
    }

    fn tell(&mut self, event: Event<'a>, marks: Marks, builder: &mut Builder<'a>) -> Result<(), Stop> {
        let at = self.span(marks);
        let start = at.start() as usize;
        if self.has_tabs && !matches!(event, Event::Anchor(..)) {
            if self.flow == 0 && self.behind < start {
                refuse(dialect::tab(&self.text[self.behind..start], self.behind))?;
            }
            self.behind = self.behind.max(at.end() as usize);
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // What is left out is written as nothing, and read as `~`.
                let text = if at.start() == at.end() && text == "~" { "".into() } else { text };
                let is_plain = style == ScalarStyle::Plain;
                if style == ScalarStyle::DoubleQuoted {
                    refuse(dialect::escapes(&self.text[at.range()], start))?;
                }
                if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                    refuse(dialect::block(&text, start))?;
                }
                if is_plain && self.flow > 0 && tag.is_none() {
                    refuse(dialect::in_flow(&self.text[at.range()], builder.awaits_key(), start))?;
                }
                if let Some(tag) = tag.as_deref().filter(|_| builder.awaits_key_below()) {
                    refuse(dialect::tagged_key(tag, start))?;
                }
                let (text, is_plain) = match tag {
                    Some(tag) => dialect::tagged(&tag, text, is_plain, start).map_err(Stop::Fault)?,
                    None => (text, is_plain),
                };
                builder.scalar(text.into(), is_plain, at, anchor)
            }
            Event::Anchor(_, name) => refuse(dialect::anchor(&name, at)),
            Event::SequenceStart(style, anchor, tag) => {
                refuse(tag.and_then(|tag| dialect::collection(&tag, false, start)))?;
                self.flow += usize::from(style == StructureStyle::Flow);
                builder.begin_sequence(style == StructureStyle::Flow, at, anchor)
            }
            Event::MappingStart(style, anchor, tag) => {
                refuse(tag.and_then(|tag| dialect::collection(&tag, true, start)))?;
                self.flow += usize::from(style == StructureStyle::Flow);
                builder.begin_mapping(style == StructureStyle::Flow, at, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                // A bracket is a byte of its own; the end of a block is none.
                self.flow = self.flow.saturating_sub(usize::from(at.start() < at.end()));
                builder.end(at)
            }
            Event::Alias(id) => builder.alias(id, at),
            _ => Ok(()),
        }
    }

    fn span(&self, marks: Marks) -> Span {
        let range = marks.byte_range().expect("a text that is read as a whole has offsets");
        Span::of(self.file, range)
    }

    /// What the parser says, or in better words what it stumbled over.
    fn syntax(&self, error: &ScanError) -> Error {
        let offset = error.marker().byte_offset().unwrap_or(self.text.len()).min(self.text.len());
        if matches!(error.kind(), ErrorKind::DirectiveDisallowed) {
            return dialect::directive(offset);
        }
        if !self.is_within && self.begun > 0 {
            return dialect::behind_the_end(offset);
        }
        let lines = self.lines.get_or_init(|| Lines::of(self.text));
        let number = lines.position(offset).line;
        let first = lines.position(self.start).line;
        let conflict = (first..=number)
            .rev()
            .find(|number| ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| lines.line(*number).starts_with(mark)));
        if let Some(number) = conflict {
            return Error::at(lines.start(number), "a conflict that git left open");
        }
        // A scalar that goes on is told by the line on which it began.
        for number in [number, number + 1] {
            let line = lines.line(number);
            let indent = &line[..line.len() - line.trim_start().len()];
            if let Some(tab) = indent.find('\t') {
                return Error::at(lines.start(number) + tab, "a tab in the indentation; YAML takes spaces");
            }
        }
        Error::at(offset, error.info())
    }
}

/// Whether there is a `${` in a text.
pub(super) fn has_variables(text: &str) -> bool {
    memmem::find(text.as_bytes(), b"${").is_some()
}

fn null(at: Span) -> Node<'static> {
    Node { value: Value::Scalar(Scalar { text: "".into(), plain: true }), at, over: None }
}
