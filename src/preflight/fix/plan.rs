//! Many fixes at once: what they make of each file together.

use std::collections::{BTreeMap, BTreeSet};

use super::changes::between;
use super::draft::overlap;
use super::edited;
use crate::report::{Edit, Excerpts, Object};

/// What puts one finding right, all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fix {
    /// What it is called where it is refused: `chart-ref-kind of apps/podinfo`.
    pub name: String,
    /// Its edits.
    pub edits: Vec<Edit>,
    /// The object that becomes another one by it, if there is one.
    pub object: Option<Object>,
    /// The fields of the object that do, as JSON pointers.
    pub fields: Vec<String>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The files that change, in the order of their numbers.
    pub files: Vec<Rewrite>,
    /// The fixes that are left out, in the order in which they were given.
    pub refused: Vec<Refused>,
}

/// The new text of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The file.
    pub file: u32,
    /// Its text as it is to be.
    pub text: String,
    /// What makes it of the old one: ordered, each once, none in the way of another.
    pub edits: Vec<Edit>,
}

/// A fix that is left out.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The number of the fix, as they were given.
    pub fix: usize,
    /// Why, in one line.
    pub reason: String,
}

/// Puts fixes together: what several ask for is done once, and what they ask for differently is not done.
///
/// A fix of several files is done in all of them or in none.
pub fn plan(fixes: &[Fix], sources: &dyn Excerpts) -> Plan {
    let mut refused: BTreeMap<usize, String> = BTreeMap::new();
    contradictions(fixes, sources, &mut refused);
    loop {
        let by_file = accepted(fixes, &refused);
        let bad = by_file.iter().find(|(file, edits)| !adds_up(sources.text(**file), edits, fixes));
        let Some((file, edits)) = bad else {
            let rewritten = by_file.iter().map(|(file, edits)| Rewrite {
                file: *file,
                text: edited(sources.text(*file), edits.keys().copied()),
                edits: edits.keys().map(|edit| (*edit).clone()).collect(),
            });
            let refused = refused.into_iter().map(|(fix, reason)| Refused { fix, reason });
            return Plan { files: rewritten.collect(), refused: refused.collect() };
        };
        let reason =
            format!("together, the fixes of {} would change more than is meant", sources.path(*file));
        let owners: BTreeSet<usize> = edits.values().flatten().copied().collect();
        refused.extend(owners.into_iter().map(|fix| (fix, reason.clone())));
    }
}

/// Each edit of a file once, with the fixes that ask for it.
type Owners<'e> = BTreeMap<&'e Edit, Vec<usize>>;

fn accepted<'e>(fixes: &'e [Fix], refused: &BTreeMap<usize, String>) -> BTreeMap<u32, Owners<'e>> {
    let mut by_file: BTreeMap<u32, Owners<'e>> = BTreeMap::new();
    for (index, fix) in fixes.iter().enumerate().filter(|(index, _)| !refused.contains_key(index)) {
        for edit in &fix.edits {
            by_file.entry(edit.span.file()).or_default().entry(edit).or_default().push(index);
        }
    }
    by_file
}

/// Refuses all fixes that are in each other's way: none of them is more right than the others.
fn contradictions(fixes: &[Fix], sources: &dyn Excerpts, refused: &mut BTreeMap<usize, String>) {
    let all = accepted(fixes, &BTreeMap::new());
    for (file, edits) in &all {
        let mut widest: Option<(&Edit, &Vec<usize>)> = None;
        for (edit, owners) in edits {
            let clash = widest.filter(|(before, _)| overlap(before.span, edit.span));
            if let Some((_, others)) = clash {
                let names = |of: &[usize]| fixes[of[0]].name.clone();
                let (one, other) = (names(others), names(owners));
                let reason = format!(
                    "{one} and {other} would change the same place of {} differently",
                    sources.path(*file)
                );
                refused.extend(owners.iter().chain(others).map(|fix| (*fix, reason.clone())));
            }
            if widest.is_none_or(|(before, _)| before.span.end() <= edit.span.end()) {
                widest = Some((edit, owners));
            }
        }
    }
}

/// Whether all edits of a file together change what each fix changes alone, and nothing else.
fn adds_up(text: &str, edits: &Owners<'_>, fixes: &[Fix]) -> bool {
    let together = between(text, &edited(text, edits.keys().copied()));
    let mut alone = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for owner in edits.values().flatten() {
        let own: BTreeSet<&Edit> =
            edits.keys().copied().filter(|edit| fixes[*owner].edits.contains(*edit)).collect();
        if seen.insert(own.clone()) {
            match between(text, &edited(text, own)) {
                Some(changes) => alone.extend(changes),
                None => return false,
            }
        }
    }
    together.is_some_and(|together| together == alone && !together.is_empty())
}
