//! Holds the table of modules true: who knows whom, and that what is pure stays so.
//!
//! The sources are followed as the compiler follows them, from `lib.rs` and `main.rs` along `mod`. Tests may name what
//! they like.

mod rights;
mod scanner;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use scanner::{Mention, Scan, scan};
use table::{IMPURE, MODULES, Module, PURE};

/// One source file, as a module of the crate.
struct Source {
    file: PathBuf,
    /// Where it stands below the crate root; empty for the root itself.
    module: Vec<String>,
    mentions: Vec<Mention>,
    test_modules: Vec<Vec<String>>,
}

/// Every file of the crate outside of tests.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    for start in ["lib.rs", "main.rs"] {
        follow(&root, root.join(start), Vec::new(), &mut sources);
    }
    sources
}

fn follow(root: &Path, file: PathBuf, module: Vec<String>, sources: &mut Vec<Source>) {
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let scan = scan(&text, &module.iter().map(String::as_str).collect::<Vec<_>>());
    let Scan { mentions, modules, test_modules } = scan;
    sources.push(Source { file, module, mentions, test_modules });
    for declared in modules {
        let directory = root.join(declared.join("/"));
        let file = [directory.with_extension("rs"), directory.join("mod.rs")]
            .into_iter()
            .find(|file| file.exists())
            .unwrap_or_else(|| panic!("no file for the module {}", declared.join("::")));
        follow(root, file, declared, sources);
    }
}

/// Whether `path` is `prefix` or lies below it; a glob may bring in anything below.
fn reaches(path: &[String], prefix: &str) -> bool {
    let mut path = path.iter();
    prefix.split("::").all(|wanted| path.next().is_some_and(|segment| segment == wanted || segment == "*"))
}

fn row(name: &str) -> Option<&'static Module> {
    MODULES.iter().find(|module| module.name == name)
}

/// What `mention`, made by the top module `from`, breaks.
fn broken_by(from: &str, mention: &Mention) -> Option<String> {
    let named = mention.path.join("::");
    if mention.path[0] == "crate"
        && let Some(to) = mention.path.get(1)
        && to != from
    {
        let module = row(from)?;
        if !module.knows.contains(&to.as_str()) {
            return Some(format!("{from} must not know {named}: {}", module.why));
        }
    }
    if PURE.contains(&from)
        && let Some((_, why)) = IMPURE.iter().find(|(path, _)| reaches(&mention.path, path))
    {
        return Some(format!("{from} is pure and must not name {named}: {why}"));
    }
    None
}

#[test]
fn every_module_knows_only_what_the_table_allows() {
    let mut broken = Vec::new();
    for source in sources() {
        let Some(from) = source.module.first() else { continue };
        for mention in &source.mentions {
            if let Some(what) = broken_by(from, mention) {
                broken.push(format!("{}:{}: {what}", source.file.display(), mention.line));
            }
        }
    }
    assert!(broken.is_empty(), "see tests/architecture/table.rs\n{}", broken.join("\n"));
}

#[test]
fn every_module_is_in_the_table() {
    let mut missing: Vec<_> = sources()
        .iter()
        .filter_map(|source| source.module.first().filter(|name| row(name).is_none()).cloned())
        .collect();
    missing.dedup();
    assert!(missing.is_empty(), "give these a row in tests/architecture/table.rs: {missing:?}");
}

#[test]
fn the_table_names_only_modules_of_the_table() {
    let named = MODULES.iter().flat_map(|module| module.knows).chain(PURE);
    let unknown: Vec<_> = named.filter(|name| row(name).is_none()).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Every Rust file below `directory`.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries
        .map(|entry| entry.expect("a directory that can be opened can be read").path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// A rule that `rules.rs` does not declare would never be compiled, let alone judge anything.
#[test]
fn every_file_belongs_to_a_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources = sources();
    let reached: Vec<_> = sources.iter().map(|source| &source.file).collect();
    let tests: Vec<_> = sources
        .iter()
        .flat_map(|source| &source.test_modules)
        .map(|module| root.join(module.join("/")))
        .collect();
    let orphans: Vec<_> = files(&root)
        .into_iter()
        .filter(|file| !reached.contains(&file))
        .filter(|file| {
            !tests.iter().any(|tests| file.starts_with(tests) || *file == tests.with_extension("rs"))
        })
        .collect();
    assert!(orphans.is_empty(), "no `mod` leads to {orphans:#?}");
}

/// What a module that stands at `module` breaks with this source.
fn broken(module: &[&str], source: &str) -> Vec<String> {
    scan(source, module).mentions.iter().filter_map(|mention| broken_by(module[0], mention)).collect()
}

#[test]
fn a_module_that_knows_too_much_is_found() {
    assert_eq!(
        broken(&["certs"], "use crate::{policy::Settings};"),
        ["certs must not know crate::policy::Settings: certificates are made, read and replaced the same, \
          whoever serves them"]
    );
    assert_eq!(broken(&["policy", "rules"], "use super::super::webhook;").len(), 1);
    assert_eq!(broken(&["json"], "use crate::*;").len(), 1);
    assert!(
        broken(&["policy", "rules"], "use crate::{helmrelease::Field, policy::Case}; use super::flux;")
            .is_empty()
    );
}

#[test]
fn a_pure_module_that_names_the_world_is_found() {
    assert_eq!(
        broken(&["policy"], "fn now() { std::time::Instant::now(); }"),
        ["policy is pure and must not name std::time::Instant::now: the same input gives the same answer \
          forever, so no clock"]
    );
    assert_eq!(broken(&["admission"], "use std::{fmt, fs::{self, File}}; use std::time::*;").len(), 3);
    assert_eq!(broken(&["json"], "async fn f() { tokio::spawn(x) }").len(), 2);
    assert!(broken(&["policy"], "use std::time::Duration;").is_empty());
    assert!(broken(&["webhook"], "use std::time::Instant; use axum::Router;").is_empty());
}
