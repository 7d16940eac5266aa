//! JSON patches, with the liberties that the library of kustomize takes.

use std::sync::Arc;

use super::engine::{TOO_MANY, TOO_MUCH};
use super::merge::is_word;
use super::printing::{Reading, settled, words};
use crate::json::Kind;
use crate::render::tree::{Reason, Tree};
use crate::yaml::{Key, Node, Scalar, Span, Str, Value};

/// One step.
#[derive(Debug, Clone)]
pub(super) struct Operation<'a> {
    /// Where it stands.
    pub(super) at: Span,
    verb: Verb,
    path: String,
    from: Option<String>,
    value: Option<Node<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
}

/// Why a step cannot be taken.
type Refusal = String;

/// The step that cannot be taken, and why.
type Failure = (Span, Reason, String);

/// Reads the list of steps.
pub(super) fn operations<'a>(list: &Node<'a>) -> Result<Vec<Operation<'a>>, (Span, Refusal)> {
    let list = settled(list, Reading::Patches).unwrap_or_else(|| list.clone());
    list.items().iter().map(|item| operation(item).map_err(|why| (item.at, why))).collect()
}

fn operation<'a>(item: &Node<'a>) -> Result<Operation<'a>, Refusal> {
    if item.kind() != Kind::Object {
        return Err(format!(
            "a step of a JSON patch is a map of op, path and value, not {}",
            words(item.kind())
        ));
    }
    let text = |field: &str| item.get(field).and_then(Node::text).map(str::to_owned);
    let verb = match text("op").as_deref() {
        Some("add") => Verb::Add,
        Some("remove") => Verb::Remove,
        Some("replace") => Verb::Replace,
        Some("move") => Verb::Move,
        Some("copy") => Verb::Copy,
        Some("test") => Verb::Test,
        Some(other) => {
            return Err(format!("op: {other} is none of add, remove, replace, move, copy and test"));
        }
        None => return Err("a step of a JSON patch without op".to_owned()),
    };
    let path = text("path").ok_or("a step of a JSON patch without path")?;
    let from = text("from");
    if matches!(verb, Verb::Move | Verb::Copy) && from.is_none() {
        return Err("move and copy need from".to_owned());
    }
    Ok(Operation { at: item.at, verb, path, from, value: item.get("value").cloned() })
}

/// What steps are taken with.
#[derive(Clone, Copy)]
pub(super) struct Context<'c, 'a> {
    /// Where what was passed over is read.
    pub(super) tree: &'c Tree<'a>,
    /// Whether so many values may be copied.
    pub(super) may_copy: &'c dyn Fn(usize) -> bool,
}

/// Takes the steps one after the other. The first that cannot be taken is an error, and the object is then to be thrown away.
pub(super) fn apply<'a>(
    object: &mut Node<'a>,
    steps: &[Operation<'a>],
    Context { tree, may_copy }: Context<'_, 'a>,
) -> Result<(), Failure> {
    if let Some(node) = settled(object, Reading::Objects) {
        *object = node;
    }
    for step in steps {
        let paths = [Some(&*step.path), step.from.as_deref()];
        for path in paths.into_iter().flatten() {
            if step.verb == Verb::Test || leads_into_elided(object, path) {
                read_on_the_way(object, path, tree);
            }
        }
        if step.copied(object).is_some_and(|value| !may_copy(value.count(TOO_MANY))) {
            return Err((step.at, Reason::TooMuch, TOO_MUCH.to_owned()));
        }
        step.take(object).map_err(|why| (step.at, Reason::Refused, why))?;
    }
    unquote(object);
    Ok(())
}

/// Drops the quotes that are not needed, as kustomize does when it writes the object anew: a later patch finds a text without quotes.
fn unquote(node: &mut Node<'_>) {
    if !has_needless_quotes(node) {
        return;
    }
    match &mut node.value {
        Value::Scalar(scalar) => scalar.plain = true,
        Value::Sequence(items) => Arc::make_mut(items).iter_mut().for_each(unquote),
        Value::Mapping(entries) => {
            for entry in Arc::make_mut(entries) {
                unquote(&mut entry.value);
            }
        }
        Value::Elided { .. } => {}
    }
}

fn has_needless_quotes(node: &Node<'_>) -> bool {
    match &node.value {
        Value::Scalar(scalar) => !scalar.plain && is_word(scalar),
        Value::Sequence(items) => items.iter().any(has_needless_quotes),
        Value::Mapping(entries) => entries.iter().any(|entry| has_needless_quotes(&entry.value)),
        Value::Elided { .. } => false,
    }
}

// === impl Operation ===

impl<'a> Operation<'a> {
    /// Whether it can change what an object is called.
    pub(super) fn may_rename(&self) -> bool {
        ["/metadata/name", "/kind", "/apiVersion"].iter().any(|path| self.path.starts_with(path))
            || matches!(&*self.path, "" | "/metadata")
    }

    /// Whether its path leads elsewhere than it seems to: what comes before the first slash counts for nothing.
    pub(super) fn starts_without_slash(&self) -> bool {
        !self.path.is_empty() && !self.path.starts_with('/')
    }

    /// The value that it is to copy, if it copies one that is there.
    fn copied<'n>(&self, root: &'n mut Node<'a>) -> Option<&'n Node<'a>> {
        if self.verb != Verb::Copy {
            return None;
        }
        let (container, key) = container(root, self.from()).ok()?;
        get(container, &key).ok()?
    }

    fn take(&self, root: &mut Node<'a>) -> Result<(), Refusal> {
        // What was merged into something that was passed over is not known, and nobody asks what becomes of it.
        if leads_into_elided(root, &self.path) || leads_into_elided(root, self.from()) {
            return Ok(());
        }
        match self.verb {
            Verb::Add => {
                let value = self.value();
                add(root, &self.path, self.at, value)
            }
            Verb::Replace => self.replace(root),
            Verb::Remove => remove(root, &self.path).map(drop),
            Verb::Move => {
                let value = remove(root, self.from())?;
                add(root, &self.path, self.at, value)
            }
            Verb::Copy => {
                let (container, key) = container(root, self.from())?;
                let value = get(container, &key)?.cloned().unwrap_or_else(|| null(self.at));
                add(root, &self.path, self.at, value)
            }
            Verb::Test => self.test(root),
        }
    }

    fn replace(&self, root: &mut Node<'a>) -> Result<(), Refusal> {
        let value = self.value();
        if self.path.is_empty() {
            if !matches!(value.kind(), Kind::Object) {
                return Err("an object can only be replaced by another one".to_owned());
            }
            *root = value.in_place_of(root);
            return Ok(());
        }
        let (container, key) = container(root, &self.path)?;
        get(container, &key)?;
        set(container, &key, self.at, value)
    }

    fn test(&self, root: &mut Node<'a>) -> Result<(), Refusal> {
        let expected = self.value();
        let holds = if self.path.is_empty() {
            is_same(root, &expected)
        } else {
            let (container, key) = container(root, &self.path)?;
            match get(container, &key)? {
                // What was merged into something that was passed over may be anything.
                Some(value) if value.is_elided() => true,
                Some(value) => is_same(value, &expected),
                None => expected.is_null(),
            }
        };
        let tested = if self.path.is_empty() { "the whole object" } else { &*self.path };
        if holds { Ok(()) } else { Err(format!("test of {tested}: the value is another one")) }
    }

    fn value(&self) -> Node<'a> {
        self.value.clone().unwrap_or_else(|| null(self.at))
    }

    fn from(&self) -> &str {
        self.from.as_deref().unwrap_or_default()
    }
}

/// Reads what was passed over on the way to the end of a path, and there.
fn read_on_the_way<'a>(root: &mut Node<'a>, path: &str, tree: &Tree<'a>) {
    let mut node = root;
    for part in path.split('/').skip(1) {
        let Some(next) = node.get_mut(&unescaped(part)) else { return };
        if next.is_elided() {
            if let Some(whole) = tree.whole(next) {
                *next = whole;
            }
            return;
        }
        node = next;
    }
}

/// Whether a path leads below a list or a map that was passed over.
fn leads_into_elided(root: &Node<'_>, path: &str) -> bool {
    let mut node = root;
    for part in path.split('/').skip(1) {
        if node.is_elided() {
            return true;
        }
        let Some(next) = node.get(&unescaped(part)) else { return false };
        node = next;
    }
    false
}

/// The map or list that the last part of a path is in, and that part.
fn container<'n, 'a>(root: &'n mut Node<'a>, path: &str) -> Result<(&'n mut Node<'a>, String), Refusal> {
    let missing = || match path {
        "" => "the path \"\" names the whole object, which only replace can change".to_owned(),
        _ => format!("there is no {path} in the object"),
    };
    let mut parts = path.split('/').skip(1).map(unescaped).collect::<Vec<_>>();
    let last = parts.pop().ok_or_else(missing)?;
    let mut node = root;
    for part in parts {
        node = match &mut node.value {
            Value::Mapping(entries) => Arc::make_mut(entries)
                .iter_mut()
                .find(|entry| entry.key.text == part)
                .map(|entry| &mut entry.value)
                .ok_or_else(missing)?,
            Value::Sequence(items) => {
                let index = index(&part, items.len(), items.len())?;
                &mut Arc::make_mut(items)[index]
            }
            Value::Scalar(_) | Value::Elided { .. } => return Err(missing()),
        };
    }
    if matches!(node.value, Value::Scalar(_)) { Err(missing()) } else { Ok((node, last)) }
}

fn unescaped(part: &str) -> String {
    // One pass, as the library does it: `~01` is `~1`.
    let mut text = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        text.push_str(&rest[..at]);
        let (with, skip) = match rest.as_bytes().get(at + 1) {
            Some(b'1') => ('/', 2),
            Some(b'0') => ('~', 2),
            _ => ('~', 1),
        };
        text.push(with);
        rest = &rest[at + skip..];
    }
    text.push_str(rest);
    text
}

/// The place that an index means in a list of `len` items, below `limit`. Negative ones count from `len`, as the library has it.
fn index(key: &str, len: usize, limit: usize) -> Result<usize, Refusal> {
    let number: i64 = key.parse().map_err(|_| format!("{key:?} is no index of a list"))?;
    let at = if number < 0 { i64::try_from(len).unwrap_or(i64::MAX) + number } else { number };
    let at = usize::try_from(at).ok().filter(|at| *at < limit);
    at.ok_or_else(|| format!("the index {number} is outside of the list"))
}

fn get<'n, 'a>(container: &'n Node<'a>, key: &str) -> Result<Option<&'n Node<'a>>, Refusal> {
    match &container.value {
        Value::Sequence(items) => Ok(Some(&items[index(key, items.len(), items.len())?])),
        _ => Ok(container.get(key)),
    }
}

fn set<'a>(container: &mut Node<'a>, key: &str, at: Span, value: Node<'a>) -> Result<(), Refusal> {
    if let Value::Sequence(items) = &mut container.value {
        let index = index(key, items.len(), items.len())?;
        let new = value.in_place_of(&items[index]);
        Arc::make_mut(items)[index] = new;
    } else {
        container.set(Key { text: Str::from(key.to_owned()), at }, value);
    }
    Ok(())
}

fn add<'a>(root: &mut Node<'a>, path: &str, at: Span, value: Node<'a>) -> Result<(), Refusal> {
    let (container, key) = container(root, path)?;
    if !matches!(container.value, Value::Sequence(_)) {
        container.set(Key { text: Str::from(key), at }, value);
        return Ok(());
    }
    let limit = container.items().len() + 1;
    let index = if key == "-" { limit - 1 } else { index(&key, limit, limit)? };
    container.edit_items(|items| items.insert(index, value));
    Ok(())
}

fn remove<'a>(root: &mut Node<'a>, path: &str) -> Result<Node<'a>, Refusal> {
    let (container, key) = container(root, path)?;
    let removed = if let Value::Sequence(items) = &container.value {
        let index = index(&key, items.len(), items.len())?;
        container.edit_items(|items| items.remove(index))
    } else {
        container.remove(&key).map(|entry| entry.value)
    };
    removed.ok_or_else(|| format!("there is no {path} to remove"))
}

fn null(at: Span) -> Node<'static> {
    Node { value: Value::Scalar(Scalar { text: Str::from("null"), plain: true }), at, over: None }
}

/// Whether two values say the same, numbers by their worth.
fn is_same(one: &Node<'_>, other: &Node<'_>) -> bool {
    match (&one.value, &other.value) {
        (Value::Mapping(one), Value::Mapping(other)) => {
            let same = |key: &str| other.iter().find(|entry| entry.key.text == key);
            one.len() == other.len()
                && one
                    .iter()
                    .all(|entry| same(&entry.key.text).is_some_and(|same| is_same(&entry.value, &same.value)))
        }
        (Value::Sequence(one), Value::Sequence(other)) => {
            one.len() == other.len() && one.iter().zip(other.iter()).all(|(one, other)| is_same(one, other))
        }
        (Value::Scalar(first), Value::Scalar(second))
            if one.kind() == Kind::Number && other.kind() == Kind::Number =>
        {
            let worth = |scalar: &Scalar<'_>| scalar.text.parse::<f64>().ok();
            first.text == second.text || (worth(first).is_some() && worth(first) == worth(second))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn patched(object: &str, patch: &str) -> Result<String, String> {
        let one = |text| yaml::documents(text, 0).remove(0).unwrap();
        let (mut object, patch) = (one(object), one(patch));
        let steps = operations(&patch).map_err(|(_, why)| why)?;
        let context = Context { tree: &Tree::default(), may_copy: &|_| true };
        apply(&mut object, &steps, context).map_err(|(_, _, why)| why)?;
        let mut json = Vec::new();
        object.write_json(&mut json);
        Ok(String::from_utf8(json).unwrap())
    }

    #[test]
    fn takes_every_kind_of_step() {
        let object = "{a: {b: 1}, l: [1, 2]}";
        for (patch, result) in [
            ("[{op: add, path: /a/c, value: yes}]", r#"{"a":{"b":1,"c":true},"l":[1,2]}"#),
            ("[{op: replace, path: /a/b, value: [x]}]", r#"{"a":{"b":["x"]},"l":[1,2]}"#),
            ("[{op: remove, path: /a/b}]", r#"{"a":{},"l":[1,2]}"#),
            ("[{op: move, from: /a/b, path: /c}]", r#"{"a":{},"l":[1,2],"c":1}"#),
            ("[{op: copy, from: /a, path: /l/-}]", r#"{"a":{"b":1},"l":[1,2,{"b":1}]}"#),
            (
                "[{op: test, path: /a/b, value: 1.0}, {op: add, path: /l/1, value: 3}]",
                r#"{"a":{"b":1},"l":[1,3,2]}"#,
            ),
            ("[{op: remove, path: /l/-1}]", r#"{"a":{"b":1},"l":[1]}"#),
            ("[{op: replace, path: /new, value: 1}]", r#"{"a":{"b":1},"l":[1,2],"new":1}"#),
            ("[{op: add, path: /x~1y~0z, value: 1}]", r#"{"a":{"b":1},"l":[1,2],"x/y~z":1}"#),
        ] {
            assert_eq!(patched(object, patch).as_deref(), Ok(result), "{patch}");
        }
    }

    #[test]
    fn says_which_step_cannot_be_taken() {
        const WHOLE: &str = "the path \"\" names the whole object, which only replace can change";
        for (patch, why) in [
            ("[{op: remove, path: /c}]", "there is no /c to remove"),
            ("[{op: add, path: /c/d, value: 1}]", "there is no /c/d in the object"),
            ("[{op: add, path: /a/b/c, value: 1}]", "there is no /a/b/c in the object"),
            ("[{op: replace, path: /l/2, value: 1}]", "the index 2 is outside of the list"),
            ("[{op: add, path: /l/4, value: 1}]", "the index 4 is outside of the list"),
            ("[{op: add, path: /l/x, value: 1}]", "\"x\" is no index of a list"),
            ("[{op: test, path: /a/b, value: 2}]", "test of /a/b: the value is another one"),
            ("[{op: insert, path: /a}]", "op: insert is none of add, remove, replace, move, copy and test"),
            ("[{path: /a}]", "a step of a JSON patch without op"),
            ("[{op: add, path: a, value: 1}]", "there is no a in the object"),
            ("[{op: add, path: '', value: {}}]", WHOLE),
            ("[{op: remove, path: ''}]", WHOLE),
            ("[{op: copy, from: '', path: /a/c}]", WHOLE),
            ("[{op: move, from: /a, path: ''}]", WHOLE),
            ("[{op: replace, path: '', value: 1}]", "an object can only be replaced by another one"),
            ("[{op: test, path: '', value: {a: 1}}]", "test of the whole object: the value is another one"),
        ] {
            assert_eq!(patched("{a: {b: 1}, l: [1, 2]}", patch), Err(why.to_owned()), "{patch}");
        }
    }
}
