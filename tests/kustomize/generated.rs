//! Generated kustomizations.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use chartgate::render::kustomize::Kustomize;
use chartgate::render::{Note, Reason, Tree};

use crate::generator::{Case, case};
use crate::go_tools::announce;
use crate::oracle::{Oracle, Printed, by_name, difference, json};

/// How many cases are tried.
const CASES: u64 = 1_500;

/// What differs between what is rendered here and what kustomize printed.
fn compare(case: &Case, printed: &Printed) -> Result<(), String> {
    let mut tree = Tree::default();
    for (path, text) in &case.files {
        tree.add(path, text);
    }
    let build = Kustomize::of(&tree).folder(case.end).expect("the case has a kustomization");
    let notes = build.all_notes();
    let is_known =
        |note: &Note| note.reason.is_failure() || matches!(note.reason, Reason::Lost | Reason::Lenient);
    if let Some(unknown) = notes.iter().find(|note| !is_known(note)) {
        return Err(format!("all is here, and yet: {}", unknown.message));
    }
    let failures = notes.into_iter().filter(|note| note.reason.is_failure());
    let notes: Vec<_> = failures.map(|note| note.message.clone()).collect();
    let theirs = match printed {
        Ok(theirs) => by_name(theirs.iter().cloned()),
        Err(_) if !notes.is_empty() => return Ok(()),
        Err(error) => return Err(format!("kustomize refuses it, and nothing is said here: {error}")),
    };
    if !notes.is_empty() {
        return Err(format!("kustomize builds it, and here is said: {}", notes.join("; ")));
    }
    let ours = by_name(build.printed().iter().map(json));
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
    Ok(())
}

#[test]
fn generated_kustomizations_are_rendered_as_kustomize_does() {
    let Some(oracle) = Oracle::find() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let mut cases = Vec::new();
    let mut folders = Vec::new();
    for seed in 0..CASES {
        let case = case(seed);
        for (path, text) in &case.files {
            let path = scratch.path().join(seed.to_string()).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folders.push(format!("{seed}/{}", case.end));
        cases.push(case);
    }
    let printed = oracle.build(scratch.path(), &folders);
    let (mut refused, mut unequal) = (0, Vec::new());
    let mut features: BTreeMap<&str, usize> = BTreeMap::new();
    for (seed, (case, printed)) in cases.iter().zip(&printed).enumerate() {
        match printed {
            Ok(_) => case
                .features
                .iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .for_each(|it| *features.entry(it).or_default() += 1),
            Err(_) => refused += 1,
        }
        if let Err(difference) = compare(case, printed) {
            unequal.push((seed, difference));
        }
    }
    announce(&format!(
        "{CASES} cases, {refused} of them refused by both or by one, {} unequal; built with: {features:?}",
        unequal.len()
    ));
    if let Some((seed, _)) = unequal.first() {
        let files = &cases[*seed].files;
        let files = files.iter().map(|(path, text)| format!("# {path}\n{text}\n")).collect::<String>();
        let list =
            unequal.iter().map(|(seed, difference)| format!("{seed}: {difference}\n")).collect::<String>();
        panic!("{list}\nthe first:\n{files}");
    }
    assert!(CASES - refused >= 500, "enough cases are to be built");
    assert!(features.values().all(|count| *count >= 10) && features.len() >= 25, "{features:?}");
}
