//! Generated Kustomizations of Flux.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use chartgate::render::flux::{FluxKustomization, Variables};
use chartgate::render::kustomize::Kustomize;
use chartgate::render::{Artifact, Note, Origin, Reason, Tree, View};
use chartgate::yaml::{self, Entry, Key, Node, Span};
use serde_json::{Value, json};

use super::oracle::{Config, Oracle, Question};
use crate::generator::FluxCase;
use crate::go_tools::announce;
use crate::oracle::{Printed, by_name, difference, json as json_of};

/// How many cases are tried.
const CASES: u64 = 2_000;

/// What came of a case.
enum Outcome {
    Equal,
    Refused,
    /// Only the flag of the controller makes it refuse.
    Strict,
}

#[test]
fn generated_flux_kustomizations_are_rendered_as_the_controller_does() {
    let (Some(first), Some(second)) = (Oracle::find(), Oracle::find()) else { return };
    let (mut refused, mut strict, mut unequal) = (0, 0, Vec::new());
    let mut features: BTreeMap<&str, usize> = BTreeMap::new();
    let half = |mut oracle: Oracle, parity| {
        let seeds = (0..CASES).filter(|seed| seed % 2 == parity);
        seeds.map(|seed| (seed, tried(seed, &mut oracle))).collect::<Vec<_>>()
    };
    let mut all = std::thread::scope(|scope| {
        let other = scope.spawn(move || half(second, 1));
        let mut all = half(first, 0);
        all.extend(other.join().expect("a thread of the test ends"));
        all
    });
    all.sort_by_key(|(seed, _)| *seed);
    for (seed, (case, printed)) in &all {
        match compare(case, printed) {
            Ok(Outcome::Equal) => case
                .case
                .features
                .iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .for_each(|it| *features.entry(it).or_default() += 1),
            Ok(Outcome::Refused) => refused += 1,
            Ok(Outcome::Strict) => strict += 1,
            Err(difference) => unequal.push((*seed, difference)),
        }
    }
    announce(&format!(
        "{CASES} Flux Kustomizations, {refused} refused by both, {strict} for a variable without a value, {} unequal; built with: {features:?}",
        unequal.len()
    ));
    if let Some((seed, _)) = unequal.first() {
        let case = &all[usize::try_from(*seed).unwrap()].1.0;
        let files =
            case.case.files.iter().map(|(path, text)| format!("# {path}\n{text}\n")).collect::<String>();
        let list =
            unequal.iter().map(|(seed, difference)| format!("{seed}: {difference}\n")).collect::<String>();
        panic!("{list}\nthe first:\n{files}\n{}\n{:?}", case.kustomization, case.config);
    }
    assert!(CASES - refused - strict >= 500, "enough cases are to be built");
    assert!(features.values().all(|count| *count >= 10) && features.len() >= 40, "{features:?}");
}

/// What the controller would apply in a case.
fn tried(seed: u64, oracle: &mut Oracle) -> (FluxCase, Printed) {
    let case = FluxCase::of(seed);
    let scratch = tempfile::tempdir().unwrap();
    for (path, text) in &case.case.files {
        let path = scratch.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    oracle.archive(scratch.path());
    let kustomization = object(&case.kustomization).to_json();
    let config = case.config.iter().map(|(kind, name, data)| Config {
        kind,
        namespace: namespace(&kustomization).to_owned(),
        name: (*name).to_owned(),
        data: json!(data),
    });
    let question = Question {
        root: scratch.path(),
        folder: case.case.end,
        kustomization: &kustomization,
        strict: case.strict,
        config: config.collect(),
    };
    let printed = oracle.build(&question);
    (case, printed)
}

fn object(text: &str) -> Node<'_> {
    yaml::documents(text, 0).remove(0).expect("the generator writes YAML")
}

fn namespace(kustomization: &Value) -> &str {
    kustomization["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// What differs between what is rendered here and what the controller would apply.
fn compare(case: &FluxCase, printed: &Printed) -> Result<Outcome, String> {
    let mut tree = Tree::default();
    // Patches in the Kustomization are read from its file.
    tree.add("flux.yaml", &case.kustomization);
    for (path, text) in &case.case.files {
        tree.add(path, text);
    }
    let file = tree.file("flux.yaml").unwrap();
    let node = file.documents()[0].as_ref().expect("the generator writes YAML");
    let kustomization = FluxKustomization::read(node).expect("it is one");
    let variables = variables(case, &kustomization);
    let artifact = View::of(&tree, Artifact::of(&tree, Origin::default()));
    let kustomize = Kustomize::of(&tree).within(artifact);
    let built = kustomization.build(&kustomize, case.case.end, &variables);
    let is_known = |note: &&Note| {
        note.reason.is_failure() || {
            matches!(note.reason, Reason::Lost | Reason::Dropped | Reason::Lenient)
        }
    };
    if let Some(unknown) = built.notes.iter().find(|note| !is_known(note)) {
        return Err(format!("all is here, and yet: {}", unknown.message));
    }
    let failures = built.notes.iter().filter(|note| note.reason.is_failure());
    let notes: Vec<_> = failures.map(|note| note.message.clone()).collect();
    let theirs = match printed {
        Ok(theirs) => theirs,
        Err(error) if case.strict && error.contains("strict mode") => {
            let is_told = notes.iter().any(|note| note.contains("has no value"));
            return if is_told {
                Ok(Outcome::Strict)
            } else {
                Err(format!("{error}, and here is said: {notes:?}"))
            };
        }
        Err(_) if !notes.is_empty() => return Ok(Outcome::Refused),
        Err(error) => return Err(format!("the controller refuses it, and nothing is said here: {error}")),
    };
    if !notes.is_empty() {
        return Err(format!("the controller applies it, and here is said: {}", notes.join("; ")));
    }
    let own = kustomization.namespace.as_ref().map_or("", |namespace| &namespace.text);
    let theirs =
        by_name(theirs.iter().filter(|object| matters(object)).cloned().map(|object| supplied(object, own)));
    let ours = by_name(built.resources.iter().map(json_of));
    let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for name in names {
        match (ours.get(name).map(Vec::as_slice), theirs.get(name).map(Vec::as_slice)) {
            (Some([ours]), Some([theirs])) => {
                if let Some(difference) = difference(ours, theirs, "") {
                    return Err(format!("{name}: {difference}"));
                }
            }
            (Some(_), None) => return Err(format!("{name}: only here")),
            _ => return Err(format!("{name}: only there, or more than once")),
        }
    }
    Ok(Outcome::Equal)
}

/// The variables of a case, each source over the one before it.
fn variables<'c>(case: &'c FluxCase, kustomization: &FluxKustomization<'c>) -> Variables<'c> {
    let mut variables = Variables::default();
    let Some(post_build) = &kustomization.post_build else { return variables };
    (variables.always, variables.strict) = (post_build.always, case.strict);
    let at = Span::new(0, 0, 0);
    for from in &post_build.from {
        let named = |(kind, name, _): &&(&str, &str, _)| {
            (*kind == "ConfigMap") == from.is_config_map && *name == from.name.text
        };
        let Some((.., data)) = case.config.iter().find(named) else { continue };
        let entries = data.iter().map(|(name, value)| Entry {
            key: Key { text: (*name).into(), at },
            value: Node::text_at(*value, at),
        });
        variables.add(&entries.collect::<Vec<_>>());
    }
    variables.add(&post_build.substitute);
    variables
}

/// Whether it is of a kind that is judged, or that leads to such or holds variables.
fn matters(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    version.contains(".toolkit.fluxcd.io/") || object["kind"] == "ConfigMap"
}

/// An object as it is applied: without a namespace in that of its Kustomization.
fn supplied(mut object: Value, namespace: &str) -> Value {
    if object["metadata"].get("namespace").is_none() && !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}
