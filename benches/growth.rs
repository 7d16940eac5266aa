//! Whether the time of a check grows no faster than what a stranger writes: each shape once, and once with twice as much of it.
//!
//! Run it with `cargo bench --bench growth`. A ratio above [`LIMIT`] fails it. The least of several rounds counts, in which both sizes take turns: that is
//! the one that other work on the machine disturbed the least.

#![allow(clippy::print_stdout, reason = "a benchmark is run for what it prints")]

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

/// The most that twice as much may take, as a multiple.
const LIMIT: f64 = 2.3;

/// How often each size takes its turn.
const ROUNDS: usize = 7;

/// A file of some size.
type Shape = fn(usize) -> String;

/// What is written, and how much of it takes a few tenths of a second.
const SHAPES: &[(&str, usize, Shape)] = &[
    ("documents", 40_000, |count| {
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n".repeat(count)
    }),
    ("documents for the parser", 20_000, |count| "kind: ConfigMap\na: !!str b\n---\n".repeat(count)),
    ("faulty documents", 100_000, |count| format!("kind: HelmRelease\n---\n{}", "a: [\n---\n".repeat(count))),
    ("keys", 150_000, |count| lines("kind: HelmRelease\n", count, |text, at| writeln!(text, "k{at}: 1"))),
    ("keys that are passed over", 150_000, |count| {
        lines("kind: HelmRelease\nspec:\n  values:\n", count, |text, at| writeln!(text, "    k{at}: 1"))
    }),
    ("anchors and aliases", 60_000, |count| {
        let anchors = lines("kind: HelmRelease\n", count, |text, at| writeln!(text, "k{at}: &a{at} x"));
        lines(&anchors, count, |text, at| writeln!(text, "z{at}: *a{at}"))
    }),
    ("what a merge key brings", 60_000, |count| {
        let base = lines("kind: HelmRelease\nb: &b\n", count, |text, at| writeln!(text, "  k{at}: 1"));
        lines(&format!("{base}c:\n  <<: *b\n"), count, |text, at| writeln!(text, "  m{at}: 1"))
    }),
    ("a block", 400_000, |count| format!("kind: ConfigMap\ndata:\n  a: |\n{}", "    text\n".repeat(count))),
    ("a text in brackets", 200_000, |count| format!("kind: HelmRelease\na: [{}]\n", "x, ".repeat(count))),
    ("comments", 400_000, |count| format!("kind: HelmRelease\n{}", "# c\n".repeat(count))),
];

fn lines(start: &str, count: usize, line: fn(&mut String, usize) -> std::fmt::Result) -> String {
    (0..count).fold(start.to_owned(), |mut text, at| {
        line(&mut text, at).expect("memory can be written");
        text
    })
}

fn main() -> Result<ExitCode> {
    let mut has_held = true;
    println!("{:28} {:>9} {:>9} {:>6}   at most {LIMIT}", "", "once, s", "twice, s", "ratio");
    for (name, count, shape) in SHAPES {
        let folder = tempfile::tempdir()?;
        let files = [1, 2].map(|times| (folder.path().join(format!("{times}.yaml")), shape(count * times)));
        for (path, text) in &files {
            fs::write(path, text)?;
        }
        let mut least = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            for (index, (path, _)) in files.iter().enumerate() {
                let begun = Instant::now();
                let mut check = Command::new(env!("CARGO_BIN_EXE_chartgate"));
                check.args(["check", "--allow-empty"]).arg(path).stdout(Stdio::null()).stderr(Stdio::null());
                check.status().context("chartgate starts")?;
                least[index] = least[index].min(begun.elapsed().as_secs_f64());
            }
        }
        let ratio = least[1] / least[0];
        has_held &= ratio <= LIMIT;
        println!("{name:28} {:>9.3} {:>9.3} {ratio:>6.2}", least[0], least[1]);
    }
    Ok(if has_held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
