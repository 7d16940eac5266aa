//! What two texts say differently.

use std::collections::{BTreeMap, BTreeSet};

use super::place::json_of;
use crate::yaml::{self, Node, Value};

/// A value that is another one, is new, or is gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    /// The number of the document.
    pub(super) document: usize,
    /// The keys and indices that lead to it.
    pub(super) path: Vec<String>,
    /// What it is now, as JSON; nothing where it is gone.
    pub(super) to: Option<String>,
}

/// All that the second text says otherwise than the first; `None` where they are not made of the same documents.
pub(super) fn between(old: &str, new: &str) -> Option<BTreeSet<Change>> {
    let (old, new) = (yaml::documents(old, 0), yaml::documents(new, 0));
    if old.len() != new.len() {
        return None;
    }
    let mut changes = BTreeSet::new();
    for (document, pair) in old.iter().zip(&new).enumerate() {
        match pair {
            (Ok(old), Ok(new)) => compare(document, &mut Vec::new(), old, new, &mut changes),
            (Err(old), Err(new)) if old.message == new.message => {}
            _ => return None,
        }
    }
    Some(changes)
}

fn compare(
    document: usize,
    path: &mut Vec<String>,
    old: &Node<'_>,
    new: &Node<'_>,
    changes: &mut BTreeSet<Change>,
) {
    let mut below = |key: String, old: Option<&Node<'_>>, new: Option<&Node<'_>>| {
        path.push(key);
        match (old, new) {
            (Some(old), Some(new)) => compare(document, path, old, new, changes),
            (_, new) => _ = changes.insert(Change { document, path: path.clone(), to: new.map(json_of) }),
        }
        path.pop();
    };
    match (&old.value, &new.value) {
        (Value::Mapping(_), Value::Mapping(_)) => {
            let by_key = |node: &Node<'_>| -> BTreeMap<String, usize> {
                node.entries()
                    .iter()
                    .enumerate()
                    .map(|(index, it)| (it.key.text.to_string(), index))
                    .collect()
            };
            let (mut olds, news) = (by_key(old), by_key(new));
            for (key, index) in news {
                let before = olds.remove(&key).map(|index| &old.entries()[index].value);
                below(key, before, Some(&new.entries()[index].value));
            }
            for (key, index) in olds {
                below(key, Some(&old.entries()[index].value), None);
            }
        }
        (Value::Sequence(olds), Value::Sequence(news)) if olds.len() == news.len() => {
            for (index, pair) in olds.iter().zip(news.iter()).enumerate() {
                below(index.to_string(), Some(pair.0), Some(pair.1));
            }
        }
        _ if old == new => {}
        _ => _ = changes.insert(Change { document, path: path.clone(), to: Some(json_of(new)) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(old: &str, new: &str) -> Option<Vec<String>> {
        let changes = between(old, new)?;
        Some(changes.iter().map(|it| format!("{} {} {:?}", it.document, it.path.join("."), it.to)).collect())
    }

    #[test]
    fn names_what_changed_and_nothing_else() {
        let old = "a: 1\nb: {c: [x, y]}\nd: null\n---\ne: &e {f: 1}\ng: *e\n";
        assert_eq!(
            said(old, &old.replace("y]", "'z']")),
            Some(vec!["0 b.c.1 Some(\"\\\"z\\\"\")".to_owned()])
        );
        assert_eq!(said(old, &old.replace("d: null\n", "")), Some(vec!["0 d None".to_owned()]));
        // Who changes an anchor changes what is read from it.
        assert_eq!(said(old, &old.replace("f: 1", "f: 2")).unwrap().len(), 2);
        assert_eq!(said(old, &old.replace('1', "'1'")).unwrap().len(), 3);
        assert_eq!(said(old, "a: 1\n"), None);
        assert_eq!(said(old, &format!("# x\n{old}")), Some(Vec::new()));
    }
}
