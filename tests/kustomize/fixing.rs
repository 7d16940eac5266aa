//! Fixed trees: what kustomize built before, it builds after, and the same but for the fix.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::corpus::files;
use crate::generator::{Chance, case};
use crate::go_tools::announce;
use crate::oracle::{Oracle, Printed, by_name, difference};

/// How many cases are tried.
const CASES: u64 = 400;

/// Versions that the newest Flux does not serve, each with the one that takes its place.
const OLD: [(&str, &str); 3] = [
    ("helm.toolkit.fluxcd.io/v2beta1", "helm.toolkit.fluxcd.io/v2"),
    ("helm.toolkit.fluxcd.io/v2beta2", "helm.toolkit.fluxcd.io/v2"),
    ("source.toolkit.fluxcd.io/v1beta2", "source.toolkit.fluxcd.io/v1"),
];

/// Writes a case in which objects and patches are at versions of before: all of them, or some.
fn write(seed: u64, root: &Path) -> String {
    let case = case(seed);
    let mut chance = Chance(seed);
    let (old, new) = OLD[chance.below(OLD.len())];
    let is_of_all = chance.below(2) == 0;
    for (path, text) in &case.files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("it is below the root")).unwrap();
        let text = if is_of_all || chance.below(2) == 0 { text.replace(new, old) } else { text.clone() };
        fs::write(path, text).unwrap();
    }
    case.end.to_owned()
}

/// Whether a file of a case was changed.
fn fix(root: &Path) -> bool {
    let before = files(root);
    let mut check = Command::new(env!("CARGO_BIN_EXE_chartgate"));
    check.args(["check", "--fix", "--allow-empty", "."]).current_dir(root);
    check.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it starts");
    before != files(root)
}

/// What is printed, with the versions of now.
fn of_now(printed: &Printed) -> Option<Vec<Value>> {
    let objects = printed.as_ref().ok()?.iter().map(|object| {
        let text = OLD.iter().fold(object.to_string(), |text, (old, new)| text.replace(old, new));
        serde_json::from_str(&text).expect("a version is replaced by a version")
    });
    Some(objects.collect())
}

#[test]
fn what_is_fixed_is_built_as_before() {
    let Some(oracle) = Oracle::find() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let folders: Vec<String> = (0..CASES)
        .map(|seed| format!("{seed}/{}", write(seed, &scratch.path().join(seed.to_string()))))
        .collect();
    let before = oracle.build(scratch.path(), &folders);
    let half = |parity| {
        let seeds = (0..CASES).filter(move |seed| seed % 2 == parity);
        seeds.filter(|seed| fix(&scratch.path().join(seed.to_string()))).count()
    };
    let fixed = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        half(0) + other.join().expect("a thread of the test ends")
    });
    let after = oracle.build(scratch.path(), &folders);
    let (mut built, mut broken) = (0, Vec::new());
    for ((folder, before), after) in folders.iter().zip(&before).zip(&after) {
        let Some(was) = of_now(before) else { continue };
        built += 1;
        let Some(is) = of_now(after) else {
            broken.push(format!("{folder}: {}", after.as_ref().expect_err("it is none")));
            continue;
        };
        let list = |objects| serde_json::to_value(by_name(objects)).expect("names are texts");
        broken.extend(difference(&list(is), &list(was), "").map(|it| format!("{folder}: {it}")));
    }
    announce(&format!(
        "{CASES} trees at old versions, {built} built by kustomize, {fixed} fixed; {} built otherwise after that",
        broken.len()
    ));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(built > 100 && fixed > 100, "enough are fixed");
}
