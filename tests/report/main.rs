//! Each format as whole files, held against the schemas that others have written for it, and against hostile input.
//!
//! The official schemas of SARIF and JUnit are read from `../shared/schemas`, where they are there. JUnit's is asked of
//! xmllint, which is in Debian's package `libxml2-utils`. Without them those tests say `skipped: …`;
//! `CHARTGATE_REQUIRE_XMLLINT=1` makes a missing xmllint a failure.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod audit;
mod formats;
mod hostile;
mod scene;
mod schemas;

use chartgate::report::text::{Colour, TextOptions};
use chartgate::report::{Excerpts, Grade, Report, github, json, junit, sarif, text};
use time::UtcDateTime;

/// What a renderer writes.
fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn as_text(report: &Report, files: &dyn Excerpts, options: TextOptions) -> String {
    written(|out| text::write(report, files, &options, out))
}

fn as_json(report: &Report, files: &dyn Excerpts) -> String {
    written(|out| json::write(report, files, out))
}

fn as_sarif(report: &Report, files: &dyn Excerpts) -> String {
    written(|out| sarif::write(report, files, out))
}

fn as_junit(report: &Report, files: &dyn Excerpts) -> String {
    let options = junit::JunitOptions { timestamp: UtcDateTime::UNIX_EPOCH, fail_on: Some(Grade::Error) };
    written(|out| junit::write(report, files, &options, out))
}

fn as_github(report: &Report, files: &dyn Excerpts) -> String {
    written(|out| github::write(report, files, out))
}

/// What every format makes of a report.
fn all(report: &Report, files: &dyn Excerpts) -> [(&'static str, String); 7] {
    let options = TextOptions { width: 100, ..TextOptions::default() };
    [
        ("text", as_text(report, files, options)),
        ("quiet", as_text(report, files, TextOptions { quiet: true, ..options })),
        ("colour", as_text(report, files, TextOptions { colour: Colour::Always, ..options })),
        ("json", as_json(report, files)),
        ("sarif", as_sarif(report, files)),
        ("junit", as_junit(report, files)),
        ("github", as_github(report, files)),
    ]
}
