//! Proves a plan: the tree is rendered before and after. Each end that builds before builds after, with the same result but for the fixes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::release::object_of;
use crate::json::pointer;
use crate::preflight::collect::Collected;
use crate::preflight::files::Files;
use crate::preflight::fix::{self, Fix, Plan, Refused};
use crate::render::Reason;
use crate::render::ends::{self, End};
use crate::report::Object;
use crate::yaml::Span;

/// How often the fixes of what would break are taken out and the rest is tried again. Then nothing is done.
const ROUNDS: usize = 8;

/// What an end prints.
struct Outcome {
    /// What a person would call it.
    name: String,
    /// Why it cannot be built.
    failures: Vec<String>,
    /// What is for nothing in it.
    lost: Vec<String>,
    objects: Vec<(Object, Value)>,
    /// The files that it is made of.
    files: BTreeSet<u32>,
}

/// An end that would not be what it was.
struct Broken {
    /// What would become of it, in one line.
    why: String,
    files: BTreeSet<u32>,
}

/// The plan of those fixes that break nothing. One that would is refused, with all that touch what it would break.
pub(super) fn proven(fixes: &[Fix], sources: &Files<'_>) -> Plan {
    let collected = sources.collected();
    let mut refused: BTreeMap<usize, String> = BTreeMap::new();
    let before = outcomes(collected, &BTreeMap::new());
    for _ in 0..ROUNDS {
        let left: Vec<usize> = (0..fixes.len()).filter(|index| !refused.contains_key(index)).collect();
        let tried: Vec<Fix> = left.iter().map(|index| fixes[*index].clone()).collect();
        let mut plan = fix::plan(&tried, sources);
        let texts = plan.files.iter().map(|rewrite| (rewrite.file, &*rewrite.text)).collect();
        let after = outcomes(collected, &texts);
        let allowed = allowed(&tried);
        let broken: Vec<Broken> = broken(&before, &after, &allowed);
        if broken.is_empty() {
            let planned = plan.refused.into_iter().map(|it| (left[it.fix], it.reason));
            refused.extend(planned.collect::<Vec<_>>());
            plan.refused = refused.into_iter().map(|(fix, reason)| Refused { fix, reason }).collect();
            return plan;
        }
        let count = refused.len();
        for Broken { why, files } in &broken {
            let concerned = left
                .iter()
                .filter(|index| fixes[**index].edits.iter().any(|edit| files.contains(&edit.span.file())));
            let reasons = concerned.map(|index| (*index, format!("{}: {why}", fixes[*index].name)));
            reasons.for_each(|(index, reason)| _ = refused.entry(index).or_insert(reason));
        }
        if refused.len() == count {
            break;
        }
    }
    let reason = |fix: usize| match refused.get(&fix) {
        Some(reason) => reason.clone(),
        None => {
            format!("{}: with all fixes together something would not be built as before", fixes[fix].name)
        }
    };
    let refused = (0..fixes.len()).map(|fix| Refused { fix, reason: reason(fix) }).collect();
    Plan { files: Vec::new(), refused }
}

fn outcomes(collected: &Collected, texts: &BTreeMap<u32, &str>) -> Vec<Outcome> {
    let tree = Files::tree_with(collected, texts);
    let rendered = ends::all(&tree, &collected.repositories);
    rendered.ends.iter().map(outcome).collect()
}

fn outcome(end: &End<'_>) -> Outcome {
    let objects = end.objects.iter().map(|object| (object_of(&object.node), object.node.to_json()));
    let told = |is_one: fn(Reason) -> bool| {
        end.notes.iter().filter(|note| is_one(note.reason)).map(|note| note.message.clone()).collect()
    };
    let of_objects = end.objects.iter().flat_map(|object| {
        let layers = object.layers.iter().map(|layer| layer.at);
        layers.chain(object.found_by.iter().copied()).chain([object.document])
    });
    let places = of_objects.chain(end.notes.iter().map(|note| note.at));
    Outcome {
        name: end
            .ways
            .first()
            .and_then(|way| way.steps.last())
            .map_or(end.path.clone(), |step| step.name.to_string()),
        failures: told(Reason::is_failure),
        lost: told(|reason| reason == Reason::Lost),
        objects: objects.collect(),
        files: places.map(Span::file).collect(),
    }
}

/// The fields that may be others in each object, by kind, namespace and name.
fn allowed(fixes: &[Fix]) -> BTreeMap<(&str, &str, &str), BTreeSet<&str>> {
    let mut allowed: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for fix in fixes {
        if let Some(object) = &fix.object {
            let fields = fix.fields.iter().map(String::as_str);
            allowed.entry(name_of(object)).or_default().extend(fields);
        }
    }
    allowed
}

fn name_of(object: &Object) -> (&str, &str, &str) {
    (&object.kind, &object.namespace, &object.name)
}

fn broken(
    before: &[Outcome],
    after: &[Outcome],
    allowed: &BTreeMap<(&str, &str, &str), BTreeSet<&str>>,
) -> Vec<Broken> {
    let all = || before.iter().flat_map(|outcome| &outcome.files).copied().collect();
    let names = |outcomes: &[Outcome]| outcomes.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
    if names(before) != names(after) {
        return vec![Broken { why: "something else would be built".to_owned(), files: all() }];
    }
    let pairs = before.iter().zip(after);
    let broken = pairs.filter_map(|(before, after)| {
        let why = becomes(before, after, allowed)?;
        let files = before.files.union(&after.files).copied().collect();
        Some(Broken { why: format!("{} would not be built as before: {why}", before.name), files })
    });
    broken.collect()
}

/// What would become of an end that it must not.
fn becomes(
    before: &Outcome,
    after: &Outcome,
    allowed: &BTreeMap<(&str, &str, &str), BTreeSet<&str>>,
) -> Option<String> {
    if let Some(more) = more(&before.failures, &after.failures) {
        return Some(more);
    }
    // What was not built before says nothing about how it would have been.
    if !before.failures.is_empty() {
        return None;
    }
    if let Some(more) = more(&before.lost, &after.lost) {
        return Some(more);
    }
    if before.objects.len() != after.objects.len() {
        return Some(format!("{} objects in place of {}", after.objects.len(), before.objects.len()));
    }
    before.objects.iter().zip(&after.objects).find_map(|((object, old), (_, new))| {
        let allowed = allowed.get(&name_of(object));
        let field = differs(old, new, &mut String::new(), allowed)?;
        Some(format!("{} of {object} would be another one", if field.is_empty() { "all" } else { &field }))
    })
}

/// A message that is there after and was not before, if there are more of them.
fn more(before: &[String], after: &[String]) -> Option<String> {
    if after.len() <= before.len() {
        return None;
    }
    let new = after.iter().find(|message| !before.contains(message));
    new.or(after.last()).cloned()
}

/// The first field that says something else, and is none of those that may.
fn differs(old: &Value, new: &Value, at: &mut String, allowed: Option<&BTreeSet<&str>>) -> Option<String> {
    let is_meant =
        |at: &str| allowed.is_some_and(|fields| fields.iter().any(|field| pointer::is_within(field, at)));
    if old == new || is_meant(at) {
        return None;
    }
    let (Value::Object(olds), Value::Object(news)) = (old, new) else { return Some(at.clone()) };
    let keys: BTreeSet<&String> = olds.keys().chain(news.keys()).collect();
    keys.into_iter().find_map(|key| {
        let length = at.len();
        at.push('/');
        at.push_str(&pointer::escaped(key));
        let (old, new) = (olds.get(key), news.get(key));
        let found = match (old, new) {
            (Some(old), Some(new)) => differs(old, new, at, allowed),
            _ => (!is_meant(at)).then(|| at.clone()),
        };
        at.truncate(length);
        found
    })
}
