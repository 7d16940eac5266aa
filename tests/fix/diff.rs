//! `--diff`, held against the real `git apply` and `patch`.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

use chartgate::preflight::fix::unified;
use chartgate::report::Edit;
use chartgate::yaml::Span;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::edited;

/// Replaces each of some texts, which are there once.
fn replacing(old: &str, pairs: &[(&str, &str)]) -> Vec<Edit> {
    let edit = |(from, to): &(&str, &str)| {
        let start = old.find(from).expect("it is there");
        at(start..start + from.len(), to)
    };
    pairs.iter().map(edit).collect()
}

fn at(range: Range<usize>, text: &str) -> Edit {
    let narrow = |offset: usize| u32::try_from(offset).expect("it is a short text");
    Edit { span: Span::new(0, narrow(range.start), narrow(range.end)), text: text.to_owned() }
}

#[test]
fn shows_three_lines_around_and_says_where_no_line_end_is() {
    let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10";
    let diff = unified("apps/a.yaml", old, &replacing(old, &[("5", "five"), ("10", "ten")]));
    let shown = "--- a/apps/a.yaml\n+++ b/apps/a.yaml\n@@ -2,9 +2,9 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n-10\n\\ No newline at end of file\n+ten\n\\ No newline at end of file\n";
    assert_eq!(diff, shown);
    let diff = unified("a", "1\n2\n", &[at(1..1, "\nand\nmore")]);
    assert_eq!(diff, "--- a/a\n+++ b/a\n@@ -1,2 +1,4 @@\n 1\n+and\n+more\n 2\n");
    assert_eq!(unified("a", old, &[]), "");
    assert_eq!(unified("a", old, &replacing(old, &[("5", "5")])), "");
}

/// Whether a tool is here; where it is not, its part of the tests has nothing to ask.
fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// The file after a tool has applied the diff to it.
fn applied(tool: &[&str], path: &str, old: &str, diff: &str) -> String {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join(path);
    fs::create_dir_all(file.parent().expect("it is in the folder")).expect("the folder is ours");
    fs::write(&file, old).expect("the folder is ours");
    let mut command = Command::new(tool[0]);
    let command =
        command.args(&tool[1..]).current_dir(folder.path()).env("GIT_CEILING_DIRECTORIES", folder.path());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool is here");
    child.stdin.take().expect("it is piped").write_all(diff.as_bytes()).expect("the tool reads");
    let output = child.wait_with_output().expect("the tool ends");
    assert!(output.status.success(), "{}\n{diff}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(&file).expect("it is there still")
}

/// A text with any line ends, and edits anywhere in it.
fn changes() -> impl Strategy<Value = (String, Vec<Edit>)> {
    let line = || {
        prop_oneof![
            "[a-c]{0,2}",
            Just("- \"ä\"".to_owned()),
            Just("x\ry".to_owned()),
            Just("\\ No newline".to_owned())
        ]
    };
    let text = (prop::collection::vec(line(), 1..40), any::<bool>(), any::<bool>());
    let pieces = prop::collection::vec((any::<prop::sample::Index>(), 0_usize..8, "(\n|[ab\r]){0,4}"), 1..5);
    (text, pieces).prop_map(|((lines, crlf, last), pieces)| {
        let ends = if crlf { "\r\n" } else { "\n" };
        let text = format!("{}{}", lines.join(ends), if last { ends } else { "" });
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
        let mut edits: Vec<_> = pieces
            .iter()
            .map(|(place, length, new)| {
                let from = place.index(places.len());
                at(places[from]..places[(from + length).min(places.len() - 1)], new)
            })
            .collect();
        edits.sort();
        edits.dedup_by(|second, first| second.span.start() <= first.span.end());
        (text, edits)
    })
}

#[test]
fn the_real_tools_take_it() {
    let tools: [&[&str]; 2] = [&["git", "apply", "-"], &["patch", "--binary", "-s", "-p1"]];
    for tool in tools.into_iter().filter(|tool| has(tool[0])) {
        let seen = Cell::new(0);
        let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
        let run = TestRunner::new(config).run(&changes(), |(old, edits)| {
            let new = edited(&old, &edits);
            // An empty new file is one that is deleted; a fix deletes none.
            if old != new && !new.is_empty() && !old.is_empty() {
                prop_assert_eq!(
                    applied(tool, "apps/a.yaml", &old, &unified("apps/a.yaml", &old, &edits)),
                    new
                );
                seen.set(seen.get() + 1);
            }
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{tool:?}: {error}"));
        println!("{} took {} diffs", tool[0], seen.get());
    }
}

#[test]
fn git_takes_any_path() {
    if !has("git") {
        println!("skipped: no git");
        return;
    }
    for path in ["a b/c d.yaml", "ä/ö.yaml", "a\"b.yaml", "a\\b.yaml", "a\tb.yaml", "a\u{1}b.yaml"] {
        assert!(Path::new(path).is_relative());
        let diff = unified(path, "old\nx", &[at(0..3, "new")]);
        assert_eq!(applied(&["git", "apply", "-"], path, "old\nx", &diff), "new\nx", "{path:?}");
    }
}
