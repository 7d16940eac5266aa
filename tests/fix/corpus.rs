//! Real files, each with one fault put in, and the fix of it.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use chartgate::policy::Facts;
use chartgate::yaml::{self, Node, Span};

use crate::{releases, repaired};

/// A way to make a good file a faulty one. It gives the text, and whether the fix leads back to the very bytes of the good one.
type Fault = fn(&str, &Node<'_>) -> Option<Faulty>;

struct Faulty {
    text: String,
    /// What the fix is to make of it.
    expected: Expected,
}

enum Expected {
    /// These bytes.
    Bytes(String),
    /// Lines added to what is there, which then says what the good file says.
    Lines(usize),
}

const FAULTS: [(&str, Fault); 9] = [
    ("kind in lower case", |text, release| {
        let kind = release.at(&["spec", "chartRef", "kind"])?;
        let name = kind.text()?;
        Some(back(text, kind.at, &name.to_lowercase()))
    }),
    ("shorthand name", |text, release| {
        let reference = release.at(&["spec", "chartRef"])?;
        let (kind, name) = (reference.text_of(&["kind"])?, reference.get("name")?);
        let shorthand = match reference.text_of(&["namespace"]) {
            Some(namespace) => format!("{kind}/{}.{namespace}", name.text()?),
            None => format!("{kind}/{}", name.text()?),
        };
        Some(back(text, name.at, &shorthand))
    }),
    ("shorthand name alone", |text, release| {
        let reference = release.at(&["spec", "chartRef"])?;
        let (kind, name) = (reference.entry("kind")?, reference.get("name")?);
        let shorthand = format!("{}/{}", kind.value.text()?, name.text()?);
        let lines = yaml::Lines::of(text);
        let line = lines.position(kind.key.at.start() as usize).line;
        let is_alone = lines.line(line).trim_start() == format!("kind: {}", kind.value.text()?);
        let mut faulty = text.to_owned();
        let range = lines.start(line)..lines.start(line + 1);
        if !is_alone
            || range.end == text.len()
            || reference.get("namespace").is_some() && name.text()?.contains('.')
        {
            return None;
        }
        let mut pieces = [(range, String::new()), (name.at.range(), shorthand)];
        pieces.sort_by_key(|(range, _)| range.start);
        for (range, text) in pieces.into_iter().rev() {
            faulty.replace_range(range, &text);
        }
        Some(Faulty { text: faulty, expected: Expected::Lines(1) })
    }),
    ("apiVersion v2beta1", |text, release| version(text, release, "v2beta1")),
    ("apiVersion v2beta2", |text, release| version(text, release, "v2beta2")),
    ("chart is null", |text, release| null(text, release, "chartRef", "chart: null")),
    ("chartRef is null", |text, release| null(text, release, "chart", "chartRef: # not yet")),
    ("apiVersion of chartRef", |text, release| old_source(text, release, &["spec", "chartRef"])),
    ("apiVersion of sourceRef", |text, release| {
        old_source(text, release, &["spec", "chart", "spec", "sourceRef"])
    }),
];

/// Another text at a place, which the fix is to take back.
fn back(text: &str, at: Span, value: &str) -> Faulty {
    let written = &text[at.range()];
    let quote = written.chars().next().filter(|it| "'\"".contains(*it));
    let value = quote.map_or_else(|| value.to_owned(), |quote| format!("{quote}{value}{quote}"));
    let mut faulty = text.to_owned();
    faulty.replace_range(at.range(), &value);
    Faulty { text: faulty, expected: Expected::Bytes(text.to_owned()) }
}

fn version(text: &str, release: &Node<'_>, version: &str) -> Option<Faulty> {
    let api_version =
        release.get("apiVersion").filter(|it| it.text() == Some("helm.toolkit.fluxcd.io/v2"))?;
    Some(back(text, api_version.at, &format!("helm.toolkit.fluxcd.io/{version}")))
}

/// A null above an entry of `spec`.
fn null(text: &str, release: &Node<'_>, beside: &str, line: &str) -> Option<Faulty> {
    let spec = release.get("spec")?;
    let key = spec.entry(beside)?.key.at;
    if spec.get("chart").is_some() == spec.get("chartRef").is_some() {
        return None;
    }
    above(text, key, line)
        .map(|text_of_faulty| Faulty { text: text_of_faulty, expected: Expected::Bytes(text.to_owned()) })
}

fn old_source(text: &str, release: &Node<'_>, path: &[&str]) -> Option<Faulty> {
    let reference = release.at(path)?;
    let known = matches!(reference.text_of(&["kind"])?, "OCIRepository" | "HelmChart" | "HelmRepository");
    let first = reference.entries().first().filter(|_| known && reference.get("apiVersion").is_none())?;
    let with =
        |version: &str| above(text, first.key.at, &format!("apiVersion: source.toolkit.fluxcd.io/{version}"));
    Some(Faulty { text: with("v1beta1")?, expected: Expected::Bytes(with("v1")?) })
}

/// A line above the one of a key, if the key is the first on its line.
fn above(text: &str, key: Span, line: &str) -> Option<String> {
    let lines = yaml::Lines::of(text);
    let start = lines.start(lines.position(key.start() as usize).line);
    let indent = &text[start..key.start() as usize];
    let ends = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut out = text.to_owned();
    out.insert_str(start, &format!("{indent}{line}{ends}"));
    indent.chars().all(|it| it == ' ').then_some(out)
}

fn corpus() -> Option<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    corpus.join("index.jsonl").exists().then_some(corpus)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is readable");
    let entries = entries.map(|entry| entry.expect("the folder is readable").path());
    let nested = entries.map(|path| if path.is_dir() { files_below(&path) } else { vec![path] });
    nested.collect::<Vec<_>>().concat()
}

/// Puts each fault into a text and takes it out again. Counts what was seen, by fault, and what was refused, by reason.
fn try_all(path: &Path, text: &str, seen: &mut BTreeMap<&str, usize>, refused: &mut BTreeMap<String, usize>) {
    let facts = Facts::default();
    // What is wrong with the file without our doing is put right first.
    let (good, _) = repaired(text, &facts);
    assert_eq!(repaired(&good, &facts).0, good, "{}, the second time", path.display());
    for (name, fault) in FAULTS {
        let Some(faulty) = releases(&good, 0).iter().find_map(|release| fault(&good, release)) else {
            continue;
        };
        let (now, reasons) = repaired(&faulty.text, &facts);
        if now == faulty.text {
            for reason in &reasons {
                *refused.entry(format!("{name}: {reason}")).or_default() += 1;
            }
            assert!(!reasons.is_empty(), "{}: {name} was not found in\n{}", path.display(), faulty.text);
            continue;
        }
        match &faulty.expected {
            Expected::Bytes(bytes) => assert!(now == *bytes, "{}: {name}\n{now}", path.display()),
            Expected::Lines(more) => {
                assert_eq!(
                    now.lines().count(),
                    faulty.text.lines().count() + more,
                    "{}: {name}",
                    path.display()
                );
                let (says, said) = (yaml::documents(&now, 0), yaml::documents(&good, 0));
                let all: Vec<_> = says.into_iter().flatten().zip(said.into_iter().flatten()).collect();
                assert!(all.iter().all(|(says, said)| says == said), "{}: {name}\n{now}", path.display());
            }
        }
        if now != good {
            assert_eq!(repaired(&now, &facts).0, now, "{}: {name}, the second time", path.display());
        }
        *seen.entry(name).or_default() += 1;
    }
}

#[test]
fn a_fault_put_into_a_real_file_goes_without_a_trace() {
    let Some(corpus) = corpus() else {
        println!("skipped: no corpus");
        return;
    };
    let (mut files, mut seen, mut refused) = (0, BTreeMap::new(), BTreeMap::new());
    let mut texts = HashSet::new();
    for path in files_below(&corpus) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if !text.contains("HelmRelease") || releases(&text, 0).is_empty() {
            continue;
        }
        files += 1;
        // The same file at another commit has nothing new to tell.
        if texts.insert(text.clone()) {
            try_all(&path, &text, &mut seen, &mut refused);
            try_all(&path, &text.replace('\n', "\r\n"), &mut seen, &mut refused);
        }
    }
    let put_right: usize = seen.values().sum();
    println!(
        "{files} files with a release, {} different ones, as they are and with CRLF: {put_right} faults put right",
        texts.len()
    );
    println!("put right: {seen:#?}\nrefused: {refused:#?}");
    assert!(files > 2_000 && seen.len() == FAULTS.len(), "too little was seen");
    // What is refused is what v2 refuses, in fragments that have neither chart nor chartRef, and names that are anchors of others.
    let is_right = |reason: &String| {
        reason.contains("in the way of v2") || reason.contains("which other values are read from, too")
    };
    assert!(refused.keys().all(is_right), "{refused:#?}");
}
