//! Paths of fields, as replacements name them: `spec.list.[name=web].value`, `metadata.labels.[app.kubernetes.io/name]`, `spec.*.name`.

use regex::Regex;

use super::printing::words;
use crate::json::Kind;
use crate::render::tree::Tree;
use crate::yaml::{Key, Node, Span, Value};

/// A part of a path.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// A key of a map.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
    /// The last item of a list, where a value is read; else a key.
    Last,
    /// Every item of a list.
    Every,
    /// The items of a list whose field has a value, or that are it where the field is empty.
    Item(String, String),
}

/// Splits a path at its dots, except at those with `\` before them and those in brackets.
pub(super) fn parse(path: &str) -> Result<Vec<Part>, String> {
    let mut whole: Vec<String> = Vec::new();
    let mut pieces = path.split('.').peekable();
    // As kustomize has it: a path may start with a dot.
    if path.starts_with('.') && path.len() > 1 {
        pieces.next();
    }
    for piece in pieces {
        match whole.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push('.');
                last.push_str(piece);
            }
            _ => whole.push(piece.to_owned()),
        }
    }
    let mut parts = Vec::new();
    let mut pieces = whole.into_iter();
    while let Some(mut piece) = pieces.next() {
        let is_open = piece.starts_with('[') && !piece.ends_with(']');
        if is_open {
            for more in pieces.by_ref() {
                piece.push('.');
                piece.push_str(&more);
                if more.ends_with(']') {
                    break;
                }
            }
            if !piece.contains('=') {
                piece = piece.trim_matches(['[', ']']).to_owned();
            }
        }
        parts.push(part(&piece)?);
    }
    Ok(parts)
}

fn part(piece: &str) -> Result<Part, String> {
    if let Ok(index) = piece.parse() {
        return Ok(Part::Index(index));
    }
    match piece {
        "*" => return Ok(Part::Every),
        "-" => return Ok(Part::Last),
        _ => {}
    }
    match piece.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        None => Ok(Part::Key(piece.to_owned())),
        Some(inner) => match inner.split_once('=') {
            Some((field, value)) => Ok(Part::Item(field.to_owned(), value.to_owned())),
            None => Err(format!("{piece} takes a field and a value, such as [name=web]")),
        },
    }
}

/// The value at the end of a path, for reading; `None` where it is missing. What was passed over is read for it.
pub(super) fn lookup<'a>(
    node: &Node<'a>,
    path: &[Part],
    tree: &Tree<'a>,
) -> Result<Option<Node<'a>>, String> {
    if node.is_elided() {
        return tree.whole(node).map_or(Ok(None), |whole| lookup(&whole, path, tree));
    }
    let Some((part, rest)) = path.split_first() else { return Ok(Some(node.clone())) };
    if node.is_null() {
        return Ok(None);
    }
    let found = match part {
        Part::Key(key) => {
            expect(node, Kind::Object)?;
            node.get(key)
        }
        Part::Every => return Err("* names no single field to copy from".to_owned()),
        Part::Index(index) => {
            expect(node, Kind::Array)?;
            node.items().get(*index)
        }
        Part::Last => {
            expect(node, Kind::Array)?;
            node.items().last()
        }
        Part::Item(field, value) => {
            expect(node, Kind::Array)?;
            let text = |node: &Node<'a>| node.scalar().map(|scalar| scalar.text.clone());
            node.items().iter().find(|item| {
                let found = if field.is_empty() { text(item) } else { item.get(field).and_then(text) };
                found.is_some_and(|found| found == *value)
            })
        }
    };
    found.map_or(Ok(None), |found| lookup(found, rest, tree))
}

fn expect(node: &Node<'_>, kind: Kind) -> Result<(), String> {
    let is = node.kind();
    if is == kind {
        Ok(())
    } else {
        Err(format!("there is {} where the path needs {}", words(is), words(kind)))
    }
}

/// A way to write at the end of a path.
pub(super) struct Writer<'w, 'a> {
    /// What missing parts are made at, where they are to be made.
    pub(super) create: Option<Span>,
    /// What the value that is made at the end holds at first, where it is to be made.
    pub(super) blank: &'w Node<'a>,
    /// Where what was passed over is read.
    pub(super) tree: &'w Tree<'a>,
    /// What is done with each value that is found. The flag says whether it was made just now.
    pub(super) write: &'w mut dyn FnMut(&mut Node<'a>, bool) -> Result<(), String>,
}

impl<'a> Writer<'_, 'a> {
    /// Writes at every place that a path leads to, and says how many there are.
    pub(super) fn walk(&mut self, node: &mut Node<'a>, path: &[Part], is_new: bool) -> Result<usize, String> {
        let Some((part, rest)) = path.split_first() else {
            (self.write)(node, is_new)?;
            return Ok(1);
        };
        if node.is_elided() {
            match self.tree.whole(node) {
                Some(whole) => *node = whole,
                // It may have it, and nobody asks for what is in there.
                None => return Ok(1),
            }
        }
        match part {
            Part::Key(key) => self.walk_key(node, key, rest),
            Part::Last => self.walk_key(node, "-", rest),
            Part::Index(index) => {
                make_list(node, is_new);
                if node.items().len() == *index
                    && let Some(at) = self.create
                {
                    let blank = self.blank_for(rest, at);
                    node.edit_items(|items| items.push(blank));
                    return self.walk_item(node, *index, rest, true);
                }
                let count = node.items().len();
                if *index >= count {
                    return Err(format!("there is no item {index} in a list of {count}"));
                }
                self.walk_item(node, *index, rest, false)
            }
            Part::Every => {
                expect(node, Kind::Array)?;
                let mut count = 0;
                for index in 0..node.items().len() {
                    count += self.walk_item(node, index, rest, false)?;
                }
                Ok(count)
            }
            Part::Item(field, value) => self.walk_matching(node, field, value, rest, is_new),
        }
    }

    fn walk_key(&mut self, node: &mut Node<'a>, key: &str, rest: &[Part]) -> Result<usize, String> {
        if node.is_null() {
            return match self.create {
                Some(_) => Err("there is nothing where the path needs a map".to_owned()),
                None => Ok(0),
            };
        }
        expect(node, Kind::Object)?;
        let mut is_new = false;
        if node.get(key).is_none() {
            let Some(at) = self.create else { return Ok(0) };
            let blank = self.blank_for(rest, at);
            node.set(Key { text: key.to_owned().into(), at }, blank);
            is_new = true;
        }
        let value = node.get_mut(key).expect("it is there, or was set just now");
        if !rest.is_empty() && matches!(value.value, Value::Scalar(_)) && !value.is_null() {
            return Err("a path into a text; kustomize reads that as YAML, which is not rendered".to_owned());
        }
        self.walk(value, rest, is_new)
    }

    fn walk_item(
        &mut self,
        list: &mut Node<'a>,
        index: usize,
        rest: &[Part],
        is_new: bool,
    ) -> Result<usize, String> {
        let item = list.items_mut().get_mut(index).ok_or("there is no list where the path needs one")?;
        self.walk(item, rest, is_new)
    }

    fn walk_matching(
        &mut self,
        node: &mut Node<'a>,
        field: &str,
        value: &str,
        rest: &[Part],
        is_new: bool,
    ) -> Result<usize, String> {
        make_list(node, is_new);
        if node.is_null() {
            return Ok(0);
        }
        expect(node, Kind::Array)?;
        let pattern = Regex::new(value).map_err(|_| format!("{value:?} is no regular expression"))?;
        let is_match = |item: &Node<'a>| {
            let found = if field.is_empty() { Some(item) } else { item.get(field) };
            found.and_then(Node::scalar).is_some_and(|scalar| pattern.is_match(scalar.text.trim()))
        };
        let indices: Vec<_> =
            (0..node.items().len()).filter(|index| is_match(&node.items()[*index])).collect();
        let mut count = 0;
        for index in indices {
            let rest = if field.is_empty() { &[] } else { rest };
            count += self.walk_item(node, index, rest, false)?;
        }
        let Some(at) = self.create.filter(|_| count == 0) else { return Ok(count) };
        let mut item = Node::text_at(value.to_owned(), at);
        if !field.is_empty() {
            let mut map = Node::empty_mapping(at);
            map.set(Key { text: field.to_owned().into(), at }, item);
            item = map;
        }
        let last = node.items().len();
        node.edit_items(|items| items.push(item));
        let rest = if field.is_empty() { &[] } else { rest };
        self.walk_item(node, last, rest, false)
    }

    /// What is made for a part of a path that is missing: what the rest of the path needs.
    fn blank_for(&self, rest: &[Part], at: Span) -> Node<'a> {
        match rest.first() {
            None => Node { at, ..self.blank.clone() },
            Some(Part::Index(_) | Part::Item(..)) => {
                Node { value: Value::Sequence(std::sync::Arc::default()), at, over: None }
            }
            Some(_) => Node::empty_mapping(at),
        }
    }
}

/// What was made just now for a path into a list is one, whatever was wanted at the end.
fn make_list(node: &mut Node<'_>, is_new: bool) {
    if is_new && node.kind() != Kind::Array {
        node.value = Value::Sequence(std::sync::Arc::default());
    }
}
