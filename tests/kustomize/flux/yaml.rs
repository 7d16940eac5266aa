//! Files of objects, as kubectl and kustomize read them: with the same values, or refused where they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use chartgate::render::Tree;
use chartgate::render::kustomize::Kustomize;
use chartgate::yaml;
use serde_json::Value;

use super::oracle::Oracle;
use crate::generator::Chance;
use crate::go_tools::announce;
use crate::oracle::{Printed, difference, json};

/// How many texts are read, unless `CHARTGATE_YAML_TEXTS` says otherwise. `CHARTGATE_SEED` takes others.
const TEXTS: u64 = 50_000;

/// What the changes start from, besides small files of the corpus.
const SEEDS: &[&str] = &[
    "apiVersion: v1\nkind: A\nmetadata:\n  name: a\n  labels: &l\n    app: web\nspec:\n  a: 1\n  b: [x, 'y', \"z\"]\n  c: {d: e, f: g}\n  h: &h\n    - i\n    - j: k\n      l: m\n  o: *h\n  p: |\n    q\n     r\n\n    s\n  t: >-\n    u\n    v\n  w: x y\n    z\n  <<: *l\n",
    "# a\n---\napiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: {a: 1.5, b: true, c: ~, d: -7}\n---\napiVersion: v1\nkind: A\nmetadata: {name: b}\nspec:\n- a\n-\n  b: c\n- - d\n  - e\n",
    "apiVersion: v1\nkind: A\nmetadata:\n  name: a\nspec:\n  version: 1.2.3\n  on: off\n  url: https://example.com/a#b\n  'quoted': 'it''s'\n  double: \"a\\tb\\n\"\n  folded: \"a\n    b\"\n  single: 'c\n    d'\n  empty:\n  last: end\n",
    "{\"apiVersion\": \"v1\", \"kind\": \"A\", \"metadata\": {\"name\": \"a\"}, \"spec\": {\"a\": [1, 2.5, true, null, \"x\\/y\"]}}\n",
];

/// What is put in.
const PIECES: &[&str] = &[
    "\n",
    " ",
    "  ",
    "    ",
    "-",
    "- ",
    ":",
    ": ",
    "#",
    " #",
    "'",
    "\"",
    "|",
    ">",
    "|+\n",
    "|2\n",
    ">-\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    ", ",
    "\t",
    "---\n",
    "\n---\n",
    "...\n",
    "\n...\n",
    "--- ",
    "---a",
    "\\",
    "?",
    "? ",
    "!",
    "%",
    "@",
    "`",
    "&",
    "*",
    "=",
    "~",
    "\r",
    "\r\n",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\u{a0}",
    "é",
    "\u{7f}",
    "\u{1}",
    "&a ",
    "*a",
    "*h",
    "*h ",
    "*h : ",
    "*h: ",
    "&app.x ",
    "&ä ",
    "&a:b ",
    "<<: *h\n",
    "<<: *l\n",
    "  <<: {n: 1}\n",
    "!!str ",
    "!!int ",
    "!!float ",
    "!!bool ",
    "!!null ",
    "!!binary ",
    "!!timestamp ",
    "!!map ",
    "!!seq ",
    "!!set ",
    "!!merge ",
    "! ",
    "!x ",
    "!<tag:yaml.org,2002:str> ",
    "1: x\n",
    "  1: x\n",
    "1.5: x\n",
    "true: x\n",
    "  yes: x\n",
    "null: x\n",
    "  ~: x\n",
    "  0x1F: x\n",
    "  a: x\n",
    "a: b\n",
    "  name: b\n",
    ".inf",
    "-.inf",
    ".nan",
    ".NaN",
    "012",
    "0o14",
    "0b11",
    "0x1F",
    "1_000",
    "+1",
    "1e3",
    "1e400",
    ".5",
    "5.",
    "2020-01-31",
    "2001-12-14t21:59:43.10-05:00",
    "y",
    "n",
    "yes",
    "No",
    "on",
    "OFF",
    "TRUE",
    "null",
    "190:20:30",
    "18446744073709551616",
    "9007199254740993",
    "\"\\x41\"",
    "\"\\u00e4\"",
    "\"\\/\"",
    "\"\\N\\_\\L\\P\"",
    "\"\\e\"",
    "\"\\\n",
    "\"a\\\n    b\"",
    "%YAML 1.1\n---\n",
    "%YAML 1.2\n---\n",
    "%TAG ! tag:example.com,2000:\n---\n",
    "{a: b}",
    "{a}",
    "[a: b]",
    "{a: , b}",
    "{? a : b}",
    "[]",
    "{}",
    "- - a\n",
    "{\"a\":b}",
    "{a:b}",
    "[a, ]",
    "[a,, b]",
];

/// A text, and what was changed of it.
fn text(seed: u64, seeds: &[String]) -> String {
    let mut numbers = Chance(seed);
    let mut text = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(3) {
        let places: Vec<usize> = match numbers.below(3) {
            // The starts of lines, where most is decided, or any place.
            0 => text.char_indices().map(|(at, _)| at).chain([text.len()]).collect(),
            1 => std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
            _ => std::iter::once(0).chain(text.match_indices([' ', '\n']).map(|(at, _)| at + 1)).collect(),
        };
        let first = numbers.below(places.len());
        let last =
            if numbers.below(4) == 0 { (first + numbers.below(6)).min(places.len() - 1) } else { first };
        let piece = if numbers.below(12) == 0 { "" } else { PIECES[numbers.below(PIECES.len())] };
        text.replace_range(places[first]..places[last], piece);
    }
    text
}

/// What is read here as kubectl would read it.
fn as_kubectl(text: &str) -> Printed {
    // It ends the last line, whether the file does or not.
    let ended = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
    let documents = yaml::documents(&ended, 0).into_iter();
    documents.map(|document| document.map(|node| node.to_json()).map_err(|error| error.message)).collect()
}

/// What is rendered here of a folder whose only resource is the text.
fn as_kustomize(text: &str) -> Printed {
    let mut tree = Tree::default();
    tree.add("kustomization.yaml", "resources: [objects.yaml]");
    tree.add("objects.yaml", text);
    let build = Kustomize::of(&tree).folder("").expect("it has a kustomization");
    // A file that is no YAML is reported by itself.
    if let Some(error) = tree.files()[1].documents().iter().find_map(|document| document.as_ref().err()) {
        return Err(error.message.clone());
    }
    match build.all_notes().into_iter().find(|note| note.reason.is_failure()) {
        Some(note) => Err(note.message.clone()),
        None => Ok(build.printed().iter().map(json).collect()),
    }
}

/// What is refused here and read there: the error says what becomes of it there, or that it is no YAML.
const REPORTED: &[&str] = &[
    "content behind the end of a document",
    "content on the line of ---",
    "a hidden line end",
    "a directive",
    "the anchor &",
    "the tag ",
    "no value in braces or brackets",
    "a key without a name",
    "a second merge key",
    "a ? in",
    "a : at the start of",
    "the number ",
    "a tab where a block",
    "a byte order mark",
    "a key over several lines",
    "while scanning a tag",
    "a tab in the indentation",
    "--- behind a lone carriage return",
    "the key ",
    "a BOM must not appear inside a document",
    // Of these, everything but a first word, list or map is dropped there.
    "a key that is a list or a map",
    "unclosed bracket",
    "misplaced bracket",
    "block sequence entries are not allowed",
    "\"-\" is only valid inside a block",
    "comments must be separated from other tokens",
    "invalid trailing content after",
    // A block or a text at the column of its key, and a block without an indentation.
    "simple key expected",
    "comment intercepting the multiline text",
    "wrongly indented line in block scalar",
];

/// The kind of difference where both read a text, and not the same. What kubectl reads where a merge key stands behind another key is not compared: what the
/// merge key brings counts then, and for kustomize what stands there (`findings/merge-key-behind-a-key.sh`).
const VALUE: &str = "another value";

/// How two readings differ, if they do and no error reports it: the kind of difference, and the difference.
fn compare(ours: &Printed, theirs: &Printed) -> Option<(String, String)> {
    match (ours, theirs) {
        (Err(_), Err(_)) => None,
        (Err(error), Ok(_)) if REPORTED.iter().any(|reported| error.starts_with(reported)) => None,
        (Ok(ours), Err(error)) => {
            Some((format!("only they refuse: {}", kind_of(error)), format!("{error}; here {ours:?}")))
        }
        (Err(error), Ok(theirs)) => {
            Some((format!("only we refuse: {}", kind_of(error)), format!("{error}; there {theirs:?}")))
        }
        (Ok(ours), Ok(theirs)) => {
            let list = |objects: &[Value]| Value::Array(objects.to_vec());
            let difference = difference(&list(ours), &list(theirs), "")?;
            let keyed: Vec<Value> = ours.iter().cloned().map(with_scalars_for_keys).collect();
            crate::oracle::difference(&list(&keyed), &list(theirs), "")?;
            Some((VALUE.to_owned(), difference))
        }
    }
}

/// Whether two readings differ in line ends alone, and the text has a folded block: one with deeper lines has a line end more once
/// kustomize has printed it (`findings/kustomize-folded-blocks-change.sh`).
fn is_folded_anew(text: &str, difference: &str) -> bool {
    let joined = |text: &str| text.replace("\\n", "");
    let sides = difference
        .split_once(": ")
        .and_then(|(_, sides)| sides.strip_suffix(" there")?.split_once(" here, "));
    text.contains('>') && sides.is_some_and(|(ours, theirs)| joined(ours) == joined(theirs))
}

/// Keys as kubectl has them, which reads them as values: `on` is `true`, and `0x1F` is 31. kustomize keeps them, and no rule asks for one.
fn with_scalars_for_keys(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(with_scalars_for_keys).collect(),
        Value::Object(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let as_value =
                    yaml::documents(&key, 0).into_iter().flatten().next().map(|node| node.to_json());
                let key = match as_value {
                    Some(scalar @ (Value::Bool(_) | Value::Number(_))) => scalar.to_string(),
                    _ => key,
                };
                (key, with_scalars_for_keys(value))
            });
            Value::Object(entries.collect())
        }
        other => other,
    }
}

/// Whether each document is an object. Both programs refuse what is none, a step later.
fn objects(documents: Printed) -> Printed {
    let documents = documents?;
    if documents.iter().all(Value::is_object) { Ok(documents) } else { Err("no object".to_owned()) }
}

/// An error without its places.
fn kind_of(error: &str) -> String {
    error.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).take(90).collect()
}

/// The texts to start from; `None` without a corpus. These few alone are changed into little else than what nobody writes, of which some is still read in
/// another way.
fn seeds() -> Option<Vec<String>> {
    let mut seeds: Vec<String> = SEEDS.iter().map(|seed| (*seed).to_owned()).collect();
    let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus"));
    if !corpus.is_dir() {
        return None;
    }
    let mut files = Vec::new();
    collect(corpus, &mut files);
    files.sort();
    let texts = files.iter().step_by(80).filter_map(|path| fs::read_to_string(path).ok());
    seeds.extend(texts.filter(|text| text.len() < 1_500 && text.contains("metadata:")));
    Some(seeds)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|it| it == "yaml") {
            files.push(path);
        }
    }
}

#[test]
fn files_of_objects_are_read_as_kubectl_and_kustomize_do() {
    let Some(seeds) = seeds() else {
        eprintln!("skipped: no corpus");
        return;
    };
    let Some(first) = Oracle::find() else { return };
    let Some(second) = Oracle::find() else { return };
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |number| number.parse().expect("it is set to a number"))
    };
    let (count, first_seed) = (number("CHARTGATE_YAML_TEXTS", TEXTS), number("CHARTGATE_SEED", 0) << 32);
    let work = |mut oracle: Oracle, start: u64| {
        let mut differences: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        let mut refused = [0, 0];
        for seed in (start..count).step_by(2) {
            let text = text(first_seed + seed, &seeds);
            let ours = as_kubectl(&text);
            // What holds itself is refused here, and not asked of programs that end with an error at best.
            if ours.as_ref().is_err_and(|error| error.starts_with("an alias to a value that holds it")) {
                continue;
            }
            let [kubectl, kustomize] = oracle.objects(&text);
            refused[0] += usize::from(kubectl.is_err());
            refused[1] += usize::from(kustomize.is_err());
            let sides = [
                (
                    "kubectl",
                    compare(&objects(ours), &objects(kubectl))
                        .filter(|(kind, _)| kind != VALUE || !text.contains("<<:")),
                ),
                (
                    "kustomize",
                    compare(&as_kustomize(&text), &kustomize).filter(|(_, it)| !is_folded_anew(&text, it)),
                ),
            ];
            for (side, difference) in sides {
                let Some((kind, difference)) = difference else { continue };
                differences.entry(format!("{side}: {kind}")).or_default().push((text.clone(), difference));
            }
        }
        (differences, refused)
    };
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| work(first, 0));
        let other = work(second, 1);
        (one.join().expect("a thread of the test ends"), other)
    });
    let mut differences = one.0;
    for (kind, more) in other.0 {
        differences.entry(kind).or_default().extend(more);
    }
    let all: usize = differences.values().map(Vec::len).sum();
    announce(&format!(
        "{count} texts, {} refused by kubectl and {} by kustomize, {all} read otherwise here",
        one.1[0] + other.1[0],
        one.1[1] + other.1[1]
    ));
    let mut list = String::new();
    for (kind, mut found) in differences {
        found.sort_by_key(|(text, _)| text.len());
        let _ = writeln!(list, "== {} × {kind}", found.len());
        for (text, difference) in found.iter().take(2) {
            let cut = |text: &str| text.chars().take(3000).collect::<String>();
            let _ = writeln!(list, "   {}\n   {}", cut(&format!("{text:?}")), cut(difference));
        }
    }
    assert!(all == 0, "{list}");
}
