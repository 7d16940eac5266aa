//! From text to trees.

use std::borrow::Cow;

use granit_parser::{
    Event, Options, Parser, ScalarStyle, ScanError, Span as Marks, StrInput, StructureStyle,
};
use thiserror::Error as ThisError;

use super::builder::{Builder, Stop};
use super::{Lines, Node, Scalar, Span, Value, ordinary, spelling};

/// The text is no YAML, or none that Kubernetes takes.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{message}")]
pub struct Error {
    /// The byte at which it shows.
    pub offset: usize,
    /// What is wrong, in one line.
    pub message: String,
    /// Whether it is YAML all the same, which kubectl reads and kustomize refuses.
    pub only_kustomize: bool,
}

impl Error {
    pub(super) fn at(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into(), only_kustomize: false }
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
    /// Whether only scalars, `metadata` and `items` of each object are read. Of what else stands below its keys, nobody looks for faults.
    pub only_names: bool,
}

/// What becomes of a key that is there twice in one block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Twice {
    /// It is an error, as it is for kustomize and the API server in an object.
    #[default]
    Refused,
    /// The last one counts, as it does for kustomize (5.8) in a kustomization file.
    LastWins,
}

/// What the parser tells of a text.
struct Events<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    file: u32,
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
        Some(documents) => Some(documents.into_iter().map(Ok).collect()),
        None => spelling::parse(text, file, reading),
    }
}

/// The same, by the parser of the whole language.
pub(super) fn parse(text: &str, file: u32, reading: Reading) -> Option<Vec<Result<Node<'_>, Error>>> {
    let mut events = Events::of(text, file);
    let mut documents = Vec::new();
    loop {
        match events.document(reading) {
            Ok(None) => break,
            Ok(Some(root)) if root.is_null() => {}
            Ok(Some(root)) => documents.push(Ok(root)),
            Err(Stop::Passed) => return None,
            Err(Stop::Fault(error)) => {
                documents.push(Err(error));
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
        Self { parser: Parser::new_from_str_with_options(text, options), text, file }
    }

    /// The next document; `None` at the end of the text.
    fn document(&mut self, reading: Reading) -> Result<Option<Node<'a>>, Stop> {
        let mut builder = Builder::of(self.text, reading);
        loop {
            let Some(next) = self.parser.next_event() else { return Ok(None) };
            let (event, marks) = next.map_err(|error| Stop::Fault(self.syntax(&error)))?;
            match event {
                Event::StreamEnd => return Ok(None),
                Event::DocumentEnd => {
                    let nothing = Span::new(self.file, 0, 0);
                    return Ok(Some(builder.take_root().unwrap_or_else(|| null(nothing))));
                }
                event => self.tell(event, marks, &mut builder)?,
            }
        }
    }

    fn tell(&self, event: Event<'a>, marks: Marks, builder: &mut Builder<'a>) -> Result<(), Stop> {
        let at = self.span(marks);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // What is left out is written as nothing, and read as `~`.
                let text = if at.start() == at.end() && text == "~" { "".into() } else { text };
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let text = if is_block { self.without_a_made_up_end(text, at) } else { text };
                let is_text = tag.as_deref().is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                builder.scalar(text.into(), style == ScalarStyle::Plain && !is_text, at, anchor)
            }
            Event::SequenceStart(style, anchor, _) => {
                builder.begin_sequence(style == StructureStyle::Flow, at, anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                builder.begin_mapping(style == StructureStyle::Flow, at, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => builder.end(at),
            Event::Alias(id) => builder.alias(id, at),
            _ => Ok(()),
        }
    }

    /// The text of a block. Where the whole text ends in it, without a line end, it has none either; the parser makes one up.
    fn without_a_made_up_end(&self, mut text: Cow<'a, str>, at: Span) -> Cow<'a, str> {
        let is_last = at.end() as usize == self.text.len() && !self.text.ends_with(['\n', '\r']);
        let last_line = self.text.lines().next_back().unwrap_or_default();
        // A comment behind the block is no part of it.
        let is_in_it = text.trim_end_matches('\n').ends_with(last_line.trim_start());
        if is_last && is_in_it && text.ends_with('\n') {
            text.to_mut().pop();
        }
        text
    }

    fn span(&self, marks: Marks) -> Span {
        let range = marks.byte_range().expect("a text that is read as a whole has offsets");
        Span::of(self.file, range)
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

fn null(at: Span) -> Node<'static> {
    Node { value: Value::Scalar(Scalar { text: "".into(), plain: true }), at, over: None }
}
