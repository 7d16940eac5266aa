//! From what a reader tells of, to trees.

use std::sync::Arc;

use foldhash::HashMap;
use memchr::memchr_iter;

use super::passed::Passing;
use super::reader::{Reading, Twice};
use super::{Entry, Error, Key, Leaf, Lines, Node, Scalar, Span, Str, Value, dialect};

/// How many values the aliases of a document may expand to. The longest honest document that is known has 40,000; a short one can ask for
/// billions.
const MAX_EXPANDED: usize = 4_000_000;

/// How deep a document may be, aliases followed. The parser stops at 255 of what is written; what reads a tree recurses.
const MAX_DEPTH: usize = 1_000;

/// From this many keys on, a map looks them up by hash to find one that is there twice.
const MANY_KEYS: usize = 24;

/// What is said of a key that is none in JSON.
const NO_TEXT: &str = "a key that is a list or a map; Kubernetes takes texts only";

/// One collection that is being read.
struct Frame<'a> {
    open: Open<'a>,
    /// Whether it is written in brackets or braces.
    flow: bool,
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
    },
    Mapping {
        start: usize,
        key: Option<Key<'a>>,
        is_merge: bool,
        rare: Option<Box<Rare<'a>>>,
    },
    /// One that is passed over.
    Elided {
        is_map: bool,
    },
}

/// What few maps have.
#[derive(Default)]
struct Rare<'a> {
    /// What its merge keys bring.
    merged: Vec<Node<'a>>,
    seen: Seen<'a>,
}

/// The keys of a map that is being read, once they are many.
#[derive(Default)]
struct Seen<'a>(HashMap<Str<'a>, usize>);

/// Makes a tree of what is read, front to back.
pub(super) struct Builder<'a> {
    text: &'a str,
    /// Whether there is a `${` in it.
    has_variables: bool,
    reading: Reading,
    passing: Passing<'a>,
    /// What holds `${` in what is passed over just now.
    leaves: Vec<Leaf<'a>>,
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

/// Why a document ends early.
pub(super) enum Stop {
    /// It is faulty.
    Fault(Error),
    /// An alias leads into what was passed over.
    Passed,
}

// === impl Builder ===

impl<'a> Builder<'a> {
    /// One that has read nothing yet of a document; `has_variables` is whether there is a `${` in the text.
    pub(super) fn of(text: &'a str, has_variables: bool, reading: Reading) -> Self {
        Self {
            text,
            has_variables,
            reading,
            passing: Passing::default(),
            leaves: Vec::new(),
            passed_anchor: false,
            stack: Vec::with_capacity(8),
            items: Vec::new(),
            entries: Vec::with_capacity(32),
            anchors: HashMap::default(),
            root: None,
            expanded: 0,
        }
    }

    /// The document, once all of it was taken, so that nothing is open any more; the next one may follow.
    pub(super) fn take_root(&mut self) -> Option<Node<'a>> {
        self.passed_anchor = false;
        self.anchors.clear();
        self.expanded = 0;
        self.root.take()
    }

    /// Takes a scalar; an anchor of zero is none.
    pub(super) fn scalar(&mut self, text: Str<'a>, plain: bool, at: Span, anchor: usize) -> Result<(), Stop> {
        if plain && matches!(text.as_bytes(), [b'.' | b'+' | b'-', ..]) {
            refuse(dialect::endless(&text, at))?;
        }
        if self.is_passing() {
            self.passed_anchor |= anchor != 0;
            // Most texts have no `$`, and to prepare a search for two characters takes longer than the search for one.
            let is_variable = |at: usize| text.as_bytes().get(at + 1) == Some(&b'{');
            if self.has_variables && memchr_iter(b'$', text.as_bytes()).any(is_variable) {
                let role = self.passing.role();
                self.leaves.push(Leaf { role, text: text.clone(), at });
            }
            if self.passing.awaits_key() && self.reading.twice != Twice::LastWins {
                refuse(dialect::key(&text, plain, false, at))?;
            }
            return self.pass_value(Some(text), at);
        }
        let node = Node { value: Value::Scalar(Scalar { text, plain }), at, over: None };
        self.finish(node, anchor, Extent::ONE)
    }

    /// Takes the start of a list.
    pub(super) fn begin_sequence(&mut self, flow: bool, at: Span, anchor: usize) -> Result<(), Stop> {
        if self.is_passing() {
            return self.pass_start(false, at, anchor);
        }
        if self.begins_what_is_passed() {
            self.passing.begin(false);
            return self.open(Open::Elided { is_map: false }, flow, at, anchor);
        }
        self.open(Open::Sequence { start: self.items.len() }, flow, at, anchor)
    }

    /// Takes the start of a map.
    pub(super) fn begin_mapping(&mut self, flow: bool, at: Span, anchor: usize) -> Result<(), Stop> {
        if self.is_passing() {
            return self.pass_start(true, at, anchor);
        }
        if self.begins_what_is_passed() {
            self.passing.begin(true);
            return self.open(Open::Elided { is_map: true }, flow, at, anchor);
        }
        let open = Open::Mapping { start: self.entries.len(), key: None, is_merge: false, rare: None };
        self.open(open, flow, at, anchor)
    }

    /// Takes the end of a list or a map; the last one of what is passed over ends that.
    pub(super) fn end(&mut self, at: Span) -> Result<(), Stop> {
        self.passing.end();
        if self.is_passing() { Ok(()) } else { self.close(at) }
    }

    /// Takes an alias to an anchor, by its number.
    pub(super) fn alias(&mut self, id: usize, at: Span) -> Result<(), Stop> {
        if self.is_passing() {
            return self.pass_value(None, at);
        }
        let Some((node, extent)) = self.anchors.get(&id).cloned() else {
            if self.passed_anchor {
                return Err(Stop::Passed);
            }
            return Err(fault(at, "an alias to a value that holds it"));
        };
        self.expanded += extent.size;
        let depth = self.stack.len() + extent.depth;
        if self.expanded > MAX_EXPANDED || depth > MAX_DEPTH {
            let message =
                format!("aliases that expand to more than {MAX_EXPANDED} values, or {MAX_DEPTH} levels");
            return Err(fault(at, message));
        }
        self.finish(node, 0, extent)
    }

    /// Whether what comes next is passed over: nobody asks for it, but it has to be YAML all the same.
    pub(super) fn is_passing(&self) -> bool {
        self.passing.is_on()
    }

    /// Whether the text of what comes next may be left out.
    pub(super) fn skips_texts(&self) -> bool {
        self.is_passing() && !self.has_variables
    }

    fn pass_start(&mut self, is_map: bool, at: Span, anchor: usize) -> Result<(), Stop> {
        self.passed_anchor |= anchor != 0;
        if self.passing.awaits_key() {
            return Err(fault(at, NO_TEXT));
        }
        self.pass_value(None, at)?;
        self.passing.begin(is_map);
        Ok(())
    }

    /// Passes over a value of the innermost collection, which is a key where one comes next.
    fn pass_value(&mut self, key: Option<Str<'a>>, at: Span) -> Result<(), Stop> {
        match self.passing.take(key, at) {
            Some((key, first)) if self.reading.twice == Twice::Refused => {
                Err(self.twice(&key, at, first.start() as usize))
            }
            _ => Ok(()),
        }
    }

    fn twice(&self, key: &str, at: Span, first: usize) -> Stop {
        let line = Lines::of(&self.text[..first]).count();
        if key == "<<" {
            let message = format!("a second merge key (<<) in one map, after that on line {line}");
            return Stop::Fault(Error::for_kustomize(at.start() as usize, message));
        }
        let message = format!("the key {key:?} is there already, on line {line}");
        Stop::Fault(Error::duplicate_key(at.start() as usize, message))
    }

    /// Whether a key comes next.
    pub(super) fn awaits_key(&self) -> bool {
        if self.is_passing() {
            return self.passing.awaits_key();
        }
        matches!(self.stack.last(), Some(Frame { open: Open::Mapping { key: None, .. }, .. }))
    }

    /// Whether a key comes next, and none of the document's own.
    pub(super) fn awaits_key_below(&self) -> bool {
        self.stack.len() > 1 && self.awaits_key()
    }

    /// Whether nobody asks for the value that comes next in an object of which only the names are read.
    fn is_left_out(&self) -> bool {
        let [root] = &self.stack[..] else { return false };
        key_of(root).is_some_and(|key| !matches!(key, "metadata" | "items"))
    }

    /// Whether a list or a map begins that nobody asks for.
    fn begins_what_is_passed(&self) -> bool {
        if self.reading.only_names {
            return self.is_left_out();
        }
        let [root, field] = &self.stack[..] else { return false };
        let (Some(field_key), Some(key)) = (key_of(root), key_of(field)) else { return false };
        let entries = match root.open {
            Open::Mapping { start, .. } => &self.entries[start..],
            _ => &[],
        };
        let kind = entries.iter().find(|entry| entry.key.text == "kind").and_then(|entry| entry.value.text());
        let mut asked =
            self.reading.asked.iter().filter(|asked| asked.field == field_key && Some(asked.kind) == kind);
        asked.any(|asked| !asked.keys.contains(&key))
    }

    fn open(&mut self, open: Open<'a>, flow: bool, at: Span, anchor: usize) -> Result<(), Stop> {
        if let Some(Frame { open: Open::Mapping { key: None, .. }, .. }) = self.stack.last() {
            return Err(fault(at, NO_TEXT));
        }
        self.stack.push(Frame { open, flow, at, anchor, extent: Extent::ONE });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Stop> {
        let Some(Frame { open, flow, at, anchor, extent }) = self.stack.pop() else { return Ok(()) };
        let (value, last) = match open {
            Open::Elided { is_map } => {
                let leaves = std::mem::take(&mut self.leaves);
                let leaves = (!leaves.is_empty()).then(|| Arc::new(leaves));
                (Value::Elided { is_map, is_patched: false, leaves }, None)
            }
            Open::Sequence { start } => {
                let items: Arc<[_]> = self.items.drain(start..).collect();
                let last = items.last().map(|item| item.at.end());
                (Value::Sequence(items), last)
            }
            Open::Mapping { start, rare, .. } => {
                let last =
                    self.entries[start..].last().map(|entry| entry.value.at.end().max(entry.key.at.end()));
                if let Some(rare) = rare {
                    self.merge(start, &rare.merged);
                }
                (Value::Mapping(self.entries.drain(start..).collect()), last)
            }
        };
        // The end of a block is told where the next one begins; its own is that of its last value.
        let end = if flow { end.end() } else { last.unwrap_or(at.end()).max(at.start()) };
        self.finish(Node { value, at: at.up_to(end), over: None }, anchor, extent)
    }

    /// Adds what merge keys bring to the entries from `start` on: what the map says itself counts, and of several the first.
    fn merge(&mut self, start: usize, merged: &[Node<'a>]) {
        let maps = merged.iter().flat_map(|node| match &node.value {
            Value::Sequence(items) => items,
            _ => std::slice::from_ref(node),
        });
        let mut seen = Seen::default();
        for entry in maps.flat_map(Node::entries) {
            let own = &self.entries[start..];
            let is_there = if own.len() < MANY_KEYS {
                own.iter().any(|own| own.key.text == entry.key.text)
            } else {
                seen.before(&entry.key.text, own).is_some()
            };
            if !is_there {
                self.entries.push(entry.clone());
            }
        }
    }

    /// Puts a value where it belongs: it is a key, the value of one, an item, or the whole document.
    fn finish(&mut self, node: Node<'a>, anchor: usize, extent: Extent) -> Result<(), Stop> {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), extent));
        }
        let is_field = self.stack.len() == 1;
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.extent.add(extent);
        match &mut frame.open {
            Open::Sequence { .. } => self.items.push(node),
            // What is in there is passed over before it is finished.
            Open::Elided { .. } => {}
            Open::Mapping { start, key, is_merge, rare } => match key.take() {
                Some(_) if *is_merge => {
                    *is_merge = false;
                    if let Some(wrong) = not_mergeable(&node) {
                        return Err(fault(wrong, "a merge key (<<) that is given no map"));
                    }
                    rare.get_or_insert_default().merged.push(node);
                }
                Some(key) if self.reading.twice == Twice::LastWins => {
                    let entry = Entry { key, value: node };
                    let own = &mut self.entries[*start..];
                    match own.iter_mut().find(|own| own.key.text == entry.key.text) {
                        Some(own) => *own = entry,
                        None => self.entries.push(entry),
                    }
                }
                Some(key) => self.entries.push(Entry { key, value: node }),
                None => {
                    let at = node.at;
                    let Value::Scalar(Scalar { text, plain }) = node.value else {
                        return Err(fault(at, NO_TEXT));
                    };
                    // A kustomization file is read by another library, for which every scalar is a text as a key.
                    if self.reading.twice != Twice::LastWins {
                        refuse(dialect::key(&text, plain, is_field, at))?;
                    }
                    *is_merge = plain && text == "<<";
                    let entries = &self.entries[*start..];
                    let first = if *is_merge {
                        // kustomize refuses a second one, whatever the two bring.
                        rare.as_ref()
                            .and_then(|rare| rare.merged.first())
                            .map(|first| first.at.start() as usize)
                    } else if entries.len() < MANY_KEYS {
                        entries
                            .iter()
                            .find(|entry| entry.key.text == text)
                            .map(|entry| entry.key.at.start() as usize)
                    } else {
                        rare.get_or_insert_default().seen.before(&text, entries)
                    };
                    let is_refused = match self.reading.twice {
                        Twice::Refused => true,
                        Twice::LastWins => false,
                        Twice::Kept => *is_merge,
                    };
                    if let Some(first) = first.filter(|_| is_refused) {
                        return Err(self.twice(&text, at, first));
                    }
                    *key = Some(Key { text, at });
                }
            },
        }
        Ok(())
    }
}

/// The key whose value comes next in a map.
fn key_of<'f>(frame: &'f Frame<'_>) -> Option<&'f str> {
    match &frame.open {
        Open::Mapping { key: Some(key), is_merge: false, .. } => Some(&key.text),
        _ => None,
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

impl<'a> Seen<'a> {
    /// The place of a key that is there already.
    fn before(&mut self, key: &str, entries: &[Entry<'a>]) -> Option<usize> {
        for entry in &entries[self.0.len()..] {
            self.0.insert(entry.key.text.clone(), entry.key.at.start() as usize);
        }
        self.0.get(key).copied()
    }
}

/// What is not a map, nor a list of maps, and so cannot be merged.
fn not_mergeable(node: &Node<'_>) -> Option<Span> {
    let is_map = |node: &Node<'_>| matches!(node.value, Value::Mapping(_));
    match &node.value {
        Value::Mapping(_) => None,
        Value::Sequence(items) => items.iter().find(|item| !is_map(item)).map(|item| item.at),
        Value::Scalar(_) | Value::Elided { .. } => Some(node.at),
    }
}

fn fault(at: Span, message: impl Into<String>) -> Stop {
    Stop::Fault(Error::at(at.start() as usize, message))
}

/// Stops at an error, if there is one.
pub(super) fn refuse(error: Option<Error>) -> Result<(), Stop> {
    error.map_or(Ok(()), |error| Err(Stop::Fault(error)))
}
