//! What is read here is what the parser reads.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::{Unread, read};
use crate::yaml::reader::{Asked, Reading, Twice, parse};
use crate::yaml::{Error, Node};

/// A text with all that is ordinary.
const ORDINARY: &str = "# c\n---\n# x\napiVersion: v1   # c\nkind:   \"HelmRelease\"\nmetadata: &m\n  name: &app foo\n  'x': *app\nspec:\n  a:\n  \
                        b: |\n    line1\n      line2\n\n    line3\n\n  c: >-\n\n    folded\n    more\n\n     x\n    y\n  d: []\n  e: {a: b, c: [1, 'x', \
                        *app]}\n  f:\n    - a\n    - b: 1\n      c: 2\n    -\n      d: 1\n    - - x\n      - y\n    - &z\n      k: v\n    -   # c\n  \
                        g:\n  - 1\n  -  2\n  h: &q\n    - 1\n  <<: *m\n  j: http://a:b#c\n  k: |+\n    keep\n\n  l: two\n    lines\n\n    and more\n  m: \
                        'it''s\n    over\n\n    lines'\n  n: \"a \\\"b\\\"\\n c\n    d\"\n  values:\n    u: [\n      a, 'b' ,\n      {c: d,\n     e: f\n      },\n     ]\n    o: 1\n    *app :\n      \"\\u00e4\\u2028\"\n    p: {q: [r]}\n    s: |\n      t\n\n---\nb: ö\n";

/// What mutations put in.
const PIECES: [&str; 30] = [
    "\n", " ", "  ", "-", "- ", ":", ": ", "#", " #", "&a ", "*a", "'", "\"", "|\n", ">-\n", "{", "}", "[",
    "]", ",", "\t", "---\n", "\\", "?", "!", "null", "a: b\n", "<<: *m\n", "é", "...",
];

const ALL: Reading = Reading { asked: &[], twice: Twice::Refused, only_names: false };
const ASKED: Reading =
    Reading { asked: &[Asked { kind: "HelmRelease", field: "spec", keys: &["chart"] }], ..ALL };

/// Whether a text is read here. What is read is compared with what the parser reads.
fn is_read(text: &str, reading: Reading) -> bool {
    let ours = match read(text, 3, reading) {
        Ok(ours) => ours,
        Err(Unread::Odd) => return false,
        Err(Unread::Passed) => {
            assert!(parse(text, 3, reading).is_none(), "no alias leads into what is passed over in\n{text}");
            return false;
        }
    };
    let parsed = parse(text, 3, reading).expect("an alias leads into what is passed over");
    let ours: Vec<Result<_, Error>> = ours.into_iter().map(Ok).collect();
    // Also where all of it stands, which equality does not look at.
    let (ours, parsed) = (format!("{ours:#?}"), format!("{parsed:#?}"));
    let differ = ours.lines().zip(parsed.lines()).find(|(one, other)| one != other);
    assert!(ours == parsed, "{differ:?} in\n{text}");
    true
}

/// What is read of a text whose objects nobody asks for but by name, and whether the names are those that all of it has.
fn names(text: &str) -> Option<String> {
    let reading = Reading { only_names: true, ..ALL };
    let (some, all) = (read(text, 0, reading).ok()?, parse(text, 0, ALL)?);
    let written = |documents: &[Node<'_>]| {
        let names = documents.iter().map(|document| {
            let names = ["apiVersion", "kind", "metadata", "items"].map(|key| document.get(key).cloned());
            (
                format!("{names:?}"),
                document.entries().iter().map(|it| format!("{:?}", it.key)).collect::<Vec<_>>(),
            )
        });
        names.collect::<Vec<_>>()
    };
    let all: Vec<_> = all.into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(written(&some), written(&all), "{text}");
    let mut json = Vec::new();
    for document in &some {
        document.write_json(&mut json);
    }
    Some(String::from_utf8(json).unwrap())
}

#[test]
fn of_an_object_that_nobody_asks_for_only_the_names_are_read() {
    for (text, json) in [
        (
            "kind: A\nspec:\n  a: 1\n\n  # c\n# c\n  b: [x, y]\nmetadata:\n  name: x\n",
            r#"{"kind":"A","spec":{},"metadata":{"name":"x"}}"#,
        ),
        (
            "kind: A\nlist:\n- a: 1\n  b: |\n    c\n\n- d\nmetadata: {name: x}\n",
            r#"{"kind":"A","list":[],"metadata":{"name":"x"}}"#,
        ),
        (
            "kind: A\nlist:\n  - a\n  - b\n---\nkind: B\ndata:\n  a: 1",
            r#"{"kind":"A","list":[]}{"kind":"B","data":{}}"#,
        ),
        (
            "kind: List\nitems:\n- kind: A\n  metadata:\n    name: x\n",
            r#"{"kind":"List","items":[{"kind":"A","metadata":{"name":"x"}}]}"#,
        ),
        ("kind: A\ntext:\n  more\n  of it\nnone:\n", r#"{"kind":"A","text":"more of it","none":null}"#),
        ("kind: A\nspec:\n  a: &a 1\n  b: *a\nend: 1\n", r#"{"kind":"A","spec":{},"end":1}"#),
    ] {
        assert_eq!(names(text).as_deref(), Some(json), "{text}");
    }
}

fn texts(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, found);
        } else if path.extension().is_some_and(|it| it == "yaml" || it == "yml") {
            found.extend(fs::read_to_string(&path));
        }
    }
}

#[test]
fn reads_what_people_write() {
    assert!(is_read(ORDINARY, ALL) && is_read(ORDINARY, ASKED));
    for text in [
        "",
        "# c",
        "a: 1",
        "- a\n-\n",
        "a:\n- b: c\n  d:\n- e",
        "a: |\n  x\n",
        "---\n---\na: b",
        "{\n \"a\": [1,\n\n2\n],\n}\n",
        "a: &b c\n*b : d\n",
    ] {
        assert!(is_read(text, ALL), "{text}");
    }
}

#[test]
fn leaves_to_the_parser_what_is_out_of_the_ordinary_or_a_fault() {
    for text in [
        "a: !!str 1",
        "%YAML 1.2\n---\na: 1",
        "? a\n: b",
        "a:\t1",
        "- b\n c:\td\n",
        "a: b\tc\n",
        "a: 1\r\nb: 2\r\n",
        "\u{feff}a: 1",
        "a: \u{0}",
        "a: |2\n   x\n",
        "a: |\n  x",
        "a: \"\\U000000e4\"",
        "a: \"\\ud83d\\ude00\"",
        "a: [b\n c]",
        "a:\n  b: [\n  c]",
        "a: [b, # c\n  d]",
        "a: {b:\n c}",
        "[a,\n... ]",
        "*a : b",
        "a\n",
        "a: 1\n...\n",
        "a: *b",
        "a: b: c",
        "a: 1\na: 2\n",
        "a: [1",
        "a: {b}",
        "a: 'b",
        "a: 'b' c",
        " a: 1\nb: 2\n",
        "a: 1\n  b: 2\n",
        "a:\n  - b\n c: d\n",
        "a: - b",
        "a: &x\nb: 1\n",
        "a:\n  &x - b\n",
        "&x a: b",
        "kind: HelmRelease\nspec:\n  values:\n    a: 1\n    a: 2\n",
        "kind: HelmRelease\nspec:\n  values:\n    a: *b\n",
    ] {
        assert!(read(text, 0, ASKED).is_err(), "{text}");
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "what is not tested is said")]
fn reads_a_corpus_as_the_parser_does() {
    let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus"));
    if !corpus.is_dir() {
        eprintln!("skipped: no corpus at {}", corpus.display());
        return;
    }
    let mut all = Vec::new();
    texts(corpus, &mut all);
    // Many are long, and a tenth of them says as much.
    let some: Vec<_> = all.iter().step_by(10).filter(|text| text.len() < 20_000).collect();
    let named = some.iter().filter(|text| names(text).is_some()).count();
    assert!(named * 10 > some.len() * 9, "of {named} of {} texts the names are read", some.len());
    let read = some.iter().filter(|text| is_read(text, ASKED)).count();
    assert!(read * 10 > some.len() * 9, "{read} of {} texts are ordinary", some.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_becomes_of_a_text_it_is_read_as_the_parser_does_or_not_at_all(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..PIECES.len(), 0_usize..40), 1..4),
        from in any::<prop::sample::Index>(),
    ) {
        let lines: Vec<&str> = ORDINARY.split_inclusive('\n').collect();
        let mut text: String = lines[from.index(lines.len())..].concat();
        for (at, piece, removed) in changes {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let first = at.index(places.len());
            // One in four takes something out, too.
            let last = if removed < 10 { (first + removed).min(places.len() - 1) } else { first };
            text.replace_range(places[first]..places[last], PIECES[piece]);
        }
        is_read(&text, ALL);
        is_read(&text, ASKED);
    }
}
