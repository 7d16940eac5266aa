//! The small inputs with their right answers, and the answers of kustomize to small builds, where they are at hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

/// What a case asks for.
#[derive(Clone, Copy, PartialEq)]
enum Want {
    Error,
    Warning,
    Clean,
    /// It can be read, whatever is found.
    Read,
}

use Want::{Clean, Error, Read, Warning};

/// The cases by number, with the arguments and what is right.
const CASES: &[(&str, &[&str], Want)] = &[
    ("01", &[], Error),
    ("02", &[], Error),
    ("03", &[], Error),
    ("04", &[], Error),
    ("05", &[], Warning),
    ("15", &[], Read),
    ("16", &[], Error),
    ("17", &[], Error),
    ("18", &[], Error),
    ("19", &["--flux", "2.3"], Warning),
    ("22", &[], Warning),
    ("29", &[], Clean),
    ("32", &[], Warning),
    ("34", &[], Error),
    ("38", &[], Read),
    ("39", &[], Error),
    ("40", &[], Clean),
    ("41", &[], Read),
    ("43", &[], Error),
    ("47", &[], Error),
    ("48", &[], Warning),
    ("52", &[], Error),
    ("53", &[], Read),
];

fn cases() -> Option<PathBuf> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases");
    let found = cases.join("kustomize/expected.tsv").exists().then_some(cases);
    if found.is_none() {
        eprintln!("skipped: no cases");
    }
    found
}

/// The exit code of a check, and its findings as level and rule.
fn told(folder: &Path, arguments: &[&str]) -> (i32, Vec<(String, String)>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chartgate"));
    command.args(["check", "--format=json"]).args(arguments).arg(".").env_clear().current_dir(folder);
    let output = command.output().expect("it starts");
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().expect("it lists findings").iter();
    let findings = findings.map(|finding| (text(finding, "level"), text(finding, "rule"))).collect();
    (output.status.code().expect("it was not killed"), findings)
}

#[test]
fn each_case_has_its_right_answer() {
    let Some(cases) = cases() else { return };
    let mut folders: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(cases).expect("the folder is readable") {
        let entry = entry.expect("it is readable");
        let name = entry.file_name().display().to_string();
        folders.insert(name.get(..2).unwrap_or_default().to_owned(), entry.path());
    }
    let mut wrong = Vec::new();
    for (number, arguments, want) in CASES {
        let (code, found) = told(&folders[*number], arguments);
        let has = |level: &str| found.iter().any(|(it, _)| it == level);
        let is_right = match want {
            Error => code == 1 && has("error"),
            Warning => code != 2 && (has("warning") || has("error")),
            Clean => code == 0,
            Read => code != 2,
        };
        println!("{number} {code} {found:?}");
        if !is_right {
            wrong.push((number, code, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_kustomize_refuses_of_small_builds_is_an_error_and_nothing_else_is() {
    let Some(cases) = cases() else { return };
    let cases = cases.join("kustomize");
    let expected = fs::read_to_string(cases.join("expected.tsv")).expect("the answers are readable");
    let (mut refused, mut built, mut wrong) = (0, 0, Vec::new());
    for line in expected.lines().skip(1) {
        let mut columns = line.split('\t');
        let (Some(folder), Some(answer)) = (columns.next(), columns.next()) else { continue };
        let Some(name) = folder.strip_suffix("/o") else { continue };
        let (_, found) = told(&cases.join(name), &["--allow-empty"]);
        let is_told = found
            .iter()
            .any(|(level, rule)| level == "error" && (rule == "build-fails" || rule == "unreadable"));
        *if answer == "refused" { &mut refused } else { &mut built } += 1;
        if is_told != (answer == "refused") {
            wrong.push((folder, answer, found));
        }
    }
    println!("{refused} builds that kustomize refuses, {built} that it makes");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(refused >= 20 && built > 40);
}
