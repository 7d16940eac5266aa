//! What source-controller leaves out of an artifact, by the library that it asks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use chartgate::render::{Artifact, Ignore, Origin, Tree, View};

use super::oracle::Oracle;
use crate::generator::Chance;
use crate::go_tools::announce;

const CASES: u64 = 400;

const FILES: &[&str] = &[
    "a.yaml",
    "b.yml",
    ".x.yaml",
    ".sops.yaml",
    "logo.png",
    "apps/a.yaml",
    "apps/ab.yaml",
    "apps/[a].yaml",
    "apps/b/a.yaml",
    "apps/b/c/a.yaml",
    "apps/.github/a.yaml",
    "apps/cloudbuild.yaml",
    "apps/.gitignore",
    ".flux/apps/a.yaml",
    ".flux/b/.flux.yaml",
    "b/apps/a.yaml",
    "b/a.zip/x.yaml",
    "ä/ö.yaml",
];

const FOLDERS: &[&str] = &["", "apps", "apps/b", ".flux", "b"];

const PARTS: &[&str] = &[
    "*",
    "**",
    "a*",
    "*.yaml",
    "a.yaml",
    "apps",
    "b",
    "c",
    "[a-b]",
    "[!a]*",
    "[^a]*",
    "?",
    "?.yaml",
    "\\[a].yaml",
    "[a",
    "a**",
    ".flux",
    ".*",
    "",
    "ö.yaml",
    "*.yml",
];

#[test]
fn random_patterns_leave_out_what_they_do_for_source_controller() {
    let Some(mut oracle) = Oracle::find() else { return };
    let (mut kept, mut left_out) = (0, 0);
    for seed in 1..=CASES {
        let ignores = ignores(&mut Chance(seed));
        let scratch = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = scratch.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let mut tree = Tree::default();
        for path in FILES {
            tree.add(path, "");
            write(path, "");
        }
        for (folder, text) in &ignores {
            tree.add_ignore_file(folder, text);
            write(format!("{folder}/.sourceignore").trim_start_matches('/'), text);
        }
        oracle.archive(scratch.path());
        let origin = Origin { ignore: Ignore::Known("".into()), ..Origin::default() };
        let view = View::of(&tree, Artifact::of(&tree, origin));
        let ours: BTreeSet<_> = FILES.iter().copied().filter(|path| view.file(path).is_some()).collect();
        let is_there = |path: &str| Path::new(scratch.path()).join(path).exists();
        let theirs: BTreeSet<_> = FILES.iter().copied().filter(|path| is_there(path)).collect();
        assert_eq!(ours, theirs, "{seed}: {ignores:?}");
        kept += ours.len();
        left_out += FILES.len() - ours.len();
    }
    announce(&format!("{CASES} artifacts: {kept} files in them, {left_out} left out"));
    assert!(kept > 500 && left_out > 500, "both happen often");
}

/// Some `.sourceignore` files.
fn ignores(chance: &mut Chance) -> Vec<(&'static str, String)> {
    let mut ignores = Vec::new();
    for folder in FOLDERS.iter().copied() {
        if !chance.percent(35) {
            continue;
        }
        let mut text = String::new();
        for _ in 0..=chance.below(3) {
            if chance.percent(30) {
                text.push('!');
            }
            if chance.percent(30) {
                text.push('/');
            }
            let parts: Vec<&str> = (0..=chance.below(3)).map(|_| *chance.pick(PARTS)).collect();
            text.push_str(&parts.join("/"));
            for ends in [&["", "", "", "/", " ", "\r", "\\ "][..], &["\n", "\n", "\n# x\n", "\n\n"]] {
                text.push_str(chance.pick::<&str>(ends));
            }
        }
        ignores.push((folder, text));
    }
    ignores
}
