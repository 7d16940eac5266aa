//! Each format as it looks, and what its readers rely on.

use std::collections::BTreeMap;

use chartgate::report::text::TextOptions;
use chartgate::report::{Report, Summary};
use serde_json::Value;

use crate::scene::{Files, rich};
use crate::{all, as_github, as_json, as_junit, as_sarif, as_text};

#[test]
fn every_format_looks_as_it_did() {
    let (report, files) = rich();
    for (format, told) in all(&report, &files) {
        let told = told.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        // Sequences of colours are for eyes: here they are to be read.
        let told = told.replace('\u{1b}', "ESC");
        insta::assert_snapshot!(format, told);
    }
}

#[test]
fn the_same_report_is_the_same_bytes() {
    let ((report, files), (again, same_files)) = (rich(), rich());
    assert_eq!(all(&report, &files), all(&again, &same_files));
}

#[test]
fn nothing_found_is_said_in_every_format() {
    let report =
        Report { summary: Summary { files: 3, releases: 2, ..Summary::default() }, ..Report::default() };
    let files = Files::default();
    let said = "no findings in 3 files; 2 HelmReleases judged\n";
    assert_eq!(as_text(&report, &files, TextOptions::default()), said);
    assert_eq!(as_github(&report, &files), format!("chartgate: {said}"));
    let json: Value = serde_json::from_str(&as_json(&report, &files)).unwrap();
    assert_eq!(json["findings"], Value::Array(Vec::new()));
    let sarif: Value = serde_json::from_str(&as_sarif(&report, &files)).unwrap();
    assert_eq!(sarif["runs"][0]["results"], Value::Array(Vec::new()));
    let junit = as_junit(&report, &files);
    assert!(junit.contains("tests=\"1\" failures=\"0\""), "{junit}");
}

/// What the runner makes of a line: the command's name, its properties, and its text.
fn command(line: &str) -> (String, BTreeMap<String, String>, String) {
    let unescaped = |text: &str| {
        let text = text.replace("%3A", ":").replace("%2C", ",");
        text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    };
    let (head, text) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
    let (name, properties) = head.split_once(' ').unwrap();
    let properties = properties.split(',').map(|property| {
        let (key, value) = property.split_once('=').unwrap();
        (key.to_owned(), unescaped(value))
    });
    (name.to_owned(), properties.collect(), unescaped(text))
}

#[test]
fn the_runner_reads_back_what_was_meant() {
    let (report, files) = rich();
    let told = as_github(&report, &files);
    let commands: Vec<_> = told.lines().filter(|line| line.starts_with("::")).map(command).collect();
    assert_eq!(commands.len(), report.diagnostics.len());
    let names: Vec<_> = commands.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(
        names,
        ["error", "error", "error", "error", "warning", "warning", "warning", "notice"],
        "the worst first"
    );
    let (_, properties, text) = &commands[1];
    assert_eq!(properties["file"], "clusters/zürich/日本 #1, 100%.yaml");
    assert_eq!([&properties["line"], &properties["col"], &properties["endColumn"]], ["1", "41", "48"]);
    assert!(text.starts_with("spec.chartRef.kind: \"OCIRepo\" is not a kind"), "{text}");
    // A column without its line's end would be taken for one in the last line.
    let (_, properties, _) = &commands[2];
    assert_eq!((properties["line"].as_str(), properties["endLine"].as_str()), ("5", "12"));
    assert_eq!(properties.get("col"), None);
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

/// Columns are what `columnKind` says, whatever else the file holds.
#[test]
fn regions_cut_out_of_the_text_what_was_meant() {
    let (report, files) = rich();
    let sarif: Value = serde_json::from_str(&as_sarif(&report, &files)).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    let mut seen = 0;
    for (result, diagnostic) in run["results"].as_array().unwrap().iter().zip(&report.diagnostics) {
        let index = number(&result["ruleIndex"]);
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        let Some(location) = diagnostic.location else { continue };
        let text = &files.0[location.span.file() as usize].1;
        let Some(meant) = text.get(location.span.range()).filter(|meant| !meant.contains('\n')) else {
            continue;
        };
        let region = &result["locations"][0]["physicalLocation"]["region"];
        let [line, start, end] = ["startLine", "startColumn", "endColumn"].map(|key| number(&region[key]));
        let line = text.lines().nth(line - 1).unwrap().trim_start_matches('\u{feff}');
        let cut: String = line.chars().skip(start - 1).take(end - start).collect();
        assert_eq!(cut, meant);
        seen += 1;
    }
    assert!(seen >= 4, "{seen}");
}
