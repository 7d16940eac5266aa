//! A text as it is written: aliases are aliases, merge keys are keys, and what is written once is there once.
//!
//! What edits a text works on this; what judges one reads [`super::documents`]. Documents have the same numbers in both.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span as Marks, StrInput, StructureStyle};

use super::Span;
use super::node::is_null;

/// The documents of a text as they are written.
#[derive(Debug)]
pub struct Layout<'a> {
    documents: Vec<Document<'a>>,
}

/// A document; one that is faulty has no root.
#[derive(Debug, Default)]
struct Document<'a> {
    root: Option<Written<'a>>,
    /// How many aliases name an anchor, by the parser's numbers.
    uses: HashMap<usize, usize>,
}

/// A value as it is written.
#[derive(Debug)]
pub struct Written<'a> {
    /// Where it stands: an alias where it is, a block scalar without its header.
    pub at: Span,
    /// What it is.
    pub form: Form<'a>,
    /// Whether a tag stands before it.
    pub tagged: bool,
    /// The number of its anchor; zero without one.
    anchor: usize,
}

/// How a value is written.
#[derive(Debug)]
pub enum Form<'a> {
    /// A text or a word, without quotes and escapes.
    Scalar(Cow<'a, str>, Style),
    /// `*name`.
    Alias,
    /// A list.
    Sequence {
        /// Its items.
        items: Vec<Written<'a>>,
        /// Whether it is written in brackets.
        flow: bool,
    },
    /// A map.
    Mapping {
        /// Its entries, merge keys among them.
        entries: Vec<Pair<'a>>,
        /// Whether it is written in braces.
        flow: bool,
    },
}

/// How a scalar is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Not at all.
    Plain,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// `|` or `>`, and lines below.
    Block,
}

/// A key and its value.
#[derive(Debug)]
pub struct Pair<'a> {
    /// The key.
    pub key: Written<'a>,
    /// The value.
    pub value: Written<'a>,
}

/// The way from a document down to a value in it.
#[derive(Debug, Clone)]
pub struct Trail<'l, 'a> {
    /// The number of the document.
    pub document: usize,
    /// The collections on the way, from the outermost, each with the number of the entry or item that leads on.
    pub parents: Vec<(&'l Written<'a>, usize)>,
    /// The value.
    pub value: &'l Written<'a>,
}

/// A collection that is being read.
struct Frame<'a> {
    node: Written<'a>,
    key: Option<Written<'a>>,
}

// === impl Layout ===

impl<'a> Layout<'a> {
    /// Reads a text. `file` is what the spans will name.
    pub fn of(text: &'a str, file: u32) -> Self {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.block_scalar_eof_without_line_feed = true;
        let mut events = Parser::new_from_str_with_options(text, options);
        let mut documents = Vec::new();
        loop {
            match document(&mut events, file) {
                Ok(None) => break,
                Ok(Some(document)) if document.root.as_ref().is_some_and(Written::is_null) => {}
                Ok(Some(document)) => documents.push(document),
                Err(()) => {
                    documents.push(Document::default());
                    if !matches!(events.proceed_next_document(), Ok(true)) {
                        break;
                    }
                }
            }
        }
        Self { documents }
    }

    /// The way to the scalar that stands exactly there, or to the collection that begins there.
    pub fn value(&self, at: Span) -> Option<Trail<'_, 'a>> {
        self.find(&|_, value: &Written<'_>| match value.form {
            Form::Scalar(..) | Form::Alias => value.at == at,
            Form::Sequence { .. } | Form::Mapping { .. } => {
                value.at.start() == at.start() && at.end() > at.start()
            }
        })
    }

    /// The way to the value of the key that stands there.
    pub fn value_of_key(&self, at: Span) -> Option<Trail<'_, 'a>> {
        self.find(&|key: Option<&Written<'_>>, _| key.is_some_and(|key| key.at == at))
    }

    /// The way to the map that begins there. A list of maps may begin at the same place as its first map.
    pub fn mapping(&self, at: Span) -> Option<Trail<'_, 'a>> {
        self.find(&|_, value: &Written<'_>| {
            matches!(value.form, Form::Mapping { .. }) && value.at.start() == at.start()
        })
    }

    /// Where an anchor stands that a value is in or has, and that aliases name: who changes the value changes theirs.
    pub fn shared(&self, trail: &Trail<'_, 'a>) -> Option<Span> {
        let uses = &self.documents[trail.document].uses;
        let all = trail.parents.iter().map(|(parent, _)| *parent).chain([trail.value]);
        all.filter(|node| node.anchor != 0).find(|node| uses.contains_key(&node.anchor)).map(|node| node.at)
    }

    fn find(&self, is_it: &impl Fn(Option<&Written<'a>>, &Written<'a>) -> bool) -> Option<Trail<'_, 'a>> {
        self.documents.iter().enumerate().find_map(|(document, Document { root, .. })| {
            let mut parents = Vec::new();
            let value = descend(root.as_ref()?, None, &mut parents, is_it)?;
            Some(Trail { document, parents, value })
        })
    }
}

// === impl Written ===

impl<'a> Written<'a> {
    /// Its entries, if it is a map; else none.
    pub fn pairs(&self) -> &[Pair<'a>] {
        match &self.form {
            Form::Mapping { entries, .. } => entries,
            _ => &[],
        }
    }

    /// Whether it has an anchor.
    pub fn is_anchored(&self) -> bool {
        self.anchor != 0
    }

    /// Its text, if it is a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.form {
            Form::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        let Form::Scalar(text, Style::Plain) = &self.form else { return false };
        !self.tagged && is_null(text)
    }
}

// === impl Pair ===

impl Pair<'_> {
    /// Whether it merges another map into the one that it stands in.
    pub fn is_merge(&self) -> bool {
        matches!(&self.key.form, Form::Scalar(text, Style::Plain) if text == "<<")
    }
}

// === impl Trail ===

impl<'l, 'a> Trail<'l, 'a> {
    /// The keys and indices on the way.
    pub fn path(&self) -> Vec<String> {
        let steps = self.parents.iter().map(|(parent, index)| match &parent.form {
            Form::Mapping { entries, .. } => entries[*index].key.text().unwrap_or_default().to_owned(),
            _ => index.to_string(),
        });
        steps.collect()
    }

    /// The entry whose value it leads to, if that is one of a map.
    pub fn pair(&self) -> Option<&'l Pair<'a>> {
        let (parent, index) = self.parents.last()?;
        parent.pairs().get(*index)
    }

    /// Whether it leads through a merge key.
    pub fn is_merged(&self) -> bool {
        self.parents.iter().any(|(parent, index)| parent.pairs().get(*index).is_some_and(Pair::is_merge))
    }

    /// The way to the collection that the value is in.
    pub fn up(&self) -> Option<Self> {
        let mut parents = self.parents.clone();
        let (value, _) = parents.pop()?;
        Some(Self { document: self.document, parents, value })
    }
}

fn descend<'l, 'a>(
    value: &'l Written<'a>,
    key: Option<&'l Written<'a>>,
    parents: &mut Vec<(&'l Written<'a>, usize)>,
    is_it: &impl Fn(Option<&Written<'a>>, &Written<'a>) -> bool,
) -> Option<&'l Written<'a>> {
    if is_it(key, value) {
        return Some(value);
    }
    let children: Vec<(Option<&Written<'a>>, &Written<'a>)> = match &value.form {
        Form::Sequence { items, .. } => items.iter().map(|item| (None, item)).collect(),
        Form::Mapping { entries, .. } => entries.iter().map(|it| (Some(&it.key), &it.value)).collect(),
        Form::Scalar(..) | Form::Alias => return None,
    };
    for (index, (key, child)) in children.into_iter().enumerate() {
        parents.push((value, index));
        if let Some(found) = descend(child, key, parents, is_it) {
            return Some(found);
        }
        parents.pop();
    }
    None
}

/// The next document; `None` at the end of the text.
fn document<'a>(events: &mut Parser<'a, StrInput<'a>>, file: u32) -> Result<Option<Document<'a>>, ()> {
    let mut document = Document::default();
    let mut stack: Vec<Frame<'a>> = Vec::new();
    loop {
        let Some(next) = events.next_event() else { return Ok(None) };
        let (event, marks) = next.map_err(|_| ())?;
        let node = match event {
            Event::StreamEnd => return Ok(None),
            Event::DocumentEnd => return Ok(Some(document)),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Frame { node, .. }) = stack.pop() else { continue };
                node.closed(span(marks, file))
            }
            Event::Alias(anchor) => {
                *document.uses.entry(anchor).or_default() += 1;
                Written { at: span(marks, file), form: Form::Alias, tagged: false, anchor: 0 }
            }
            event => {
                let Some(node) = opened(event, span(marks, file)) else { continue };
                if !matches!(node.form, Form::Scalar(..)) {
                    stack.push(Frame { node, key: None });
                    continue;
                }
                node
            }
        };
        match stack.last_mut() {
            Some(frame) => frame.take(node),
            None => document.root = Some(node),
        }
    }
}

/// What an event begins; `None` where it begins nothing.
fn opened(event: Event<'_>, at: Span) -> Option<Written<'_>> {
    let (form, anchor, tagged) = match event {
        Event::Scalar(text, style, anchor, tag) => {
            let text = if at.start() == at.end() && text == "~" { "".into() } else { text };
            let style = match style {
                ScalarStyle::Plain => Style::Plain,
                ScalarStyle::SingleQuoted => Style::Single,
                ScalarStyle::DoubleQuoted => Style::Double,
                ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
            };
            (Form::Scalar(text, style), anchor, tag.is_some())
        }
        Event::SequenceStart(style, anchor, tag) => {
            let form = Form::Sequence { items: Vec::new(), flow: style == StructureStyle::Flow };
            (form, anchor, tag.is_some())
        }
        Event::MappingStart(style, anchor, tag) => {
            let form = Form::Mapping { entries: Vec::new(), flow: style == StructureStyle::Flow };
            (form, anchor, tag.is_some())
        }
        _ => return None,
    };
    Some(Written { at, form, tagged, anchor })
}

fn span(marks: Marks, file: u32) -> Span {
    let range = marks.byte_range().expect("a text that is read as a whole has offsets");
    Span::of(file, range)
}

impl<'a> Frame<'a> {
    fn take(&mut self, node: Written<'a>) {
        match &mut self.node.form {
            Form::Sequence { items, .. } => items.push(node),
            Form::Mapping { entries, .. } => match self.key.take() {
                Some(key) => entries.push(Pair { key, value: node }),
                None => self.key = Some(node),
            },
            Form::Scalar(..) | Form::Alias => {}
        }
    }
}

impl Written<'_> {
    /// The same collection, once its end is told. That of a block is told where the next one begins; its own is that of what is last in it.
    fn closed(mut self, end: Span) -> Self {
        let last = match &self.form {
            Form::Sequence { items, .. } => items.last().map(|item| item.at.end()),
            Form::Mapping { entries, .. } => entries.last().map(|it| it.key.at.end().max(it.value.at.end())),
            Form::Scalar(..) | Form::Alias => None,
        };
        // A bracket is a byte of its own; the end of a block is none.
        let told = if end.start() < end.end() { Some(end.end()) } else { last };
        self.at = self.at.up_to(told.unwrap_or(self.at.end()).max(self.at.start()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::documents;

    #[test]
    fn finds_what_is_read_where_it_is_written() {
        let text = "a: 1\n---\n---\n{b\n---\nc:\n- d: 'x'\n  e: &e {f: ~}\ng: {<<: *e, h: 1}\n";
        let layout = Layout::of(text, 3);
        let read = documents(text, 3);
        let root = read[2].as_ref().unwrap();
        let item = &root.get("c").unwrap().items()[0];
        let d = layout.value(item.get("d").unwrap().at).unwrap();
        assert_eq!(
            (d.document, d.path(), d.value.text()),
            (2, vec!["c".into(), "0".into(), "d".into()], Some("x"))
        );
        assert_eq!(layout.mapping(item.at).unwrap().path(), ["c", "0"]);
        assert_eq!(
            layout.value_of_key(root.get("g").unwrap().entry("h").unwrap().key.at).unwrap().path(),
            ["g", "h"]
        );
        // What came by a merge stands at the anchor, which is used.
        let merged = layout.value_of_key(root.get("g").unwrap().entry("f").unwrap().key.at).unwrap();
        assert_eq!(merged.path(), ["c", "0", "e", "f"]);
        assert_eq!(layout.shared(&merged).map(|at| &text[at.range()]), Some("{f: ~}"));
        assert_eq!(layout.shared(&d), None);
        assert!(layout.mapping(root.get("g").unwrap().at).unwrap().value.pairs()[0].is_merge());
    }
}
