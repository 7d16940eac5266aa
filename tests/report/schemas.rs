//! The formats against the schemas that others, and we, have written for them.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use chartgate::report::Report;
use chartgate::report::text::TextOptions;
use serde_json::Value;

use crate::scene::{Files, example, rich};
use crate::{as_github, as_json, as_junit, as_sarif, as_text};

fn in_checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A schema of others; none, said aloud, where it is not there.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = in_checkout("../shared/schemas").join(name);
    if !path.exists() {
        skipped(&format!("no schema {name}"));
        return None;
    }
    Some(path)
}

/// A print macro would be captured and lost with every test that "passes".
fn skipped(why: &str) {
    io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}

pub(crate) fn json_file(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What a schema says against a document.
pub(crate) fn complaints(schema: &Value, document: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).unwrap();
    let errors = validator.iter_errors(document);
    errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn sarif_is_what_the_official_schema_asks_for() {
    let Some(path) = shared("sarif-schema-2.1.0.json") else { return };
    let schema = json_file(&path);
    let ((report, files), nothing) = (rich(), Report::default());
    for report in [&report, &nothing] {
        let mut log: Value = serde_json::from_str(&as_sarif(report, &files)).unwrap();
        assert_eq!(complaints(&schema, &log), [""; 0]);
        log["runs"][0]["columnKind"] = "bytes".into();
        assert_eq!(complaints(&schema, &log).len(), 1, "the schema is looked at");
    }
}

/// Whether xmllint holds a document valid; `None`, said aloud, where there is no xmllint.
pub(crate) fn xmllint(schema: &Path, document: &str) -> Option<Result<(), String>> {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("junit.xml");
    fs::write(&file, document).unwrap();
    let Ok(output) =
        Command::new("xmllint").args(["--nonet", "--noout", "--schema"]).arg(schema).arg(&file).output()
    else {
        let missing = "no xmllint: it is in Debian's package libxml2-utils";
        assert!(std::env::var_os("CHARTGATE_REQUIRE_XMLLINT").is_none(), "{missing}");
        skipped(missing);
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(if output.status.success() { Ok(()) } else { Err(said) })
}

#[test]
fn junit_is_what_ants_schema_asks_for() {
    let Some(schema) = shared("JUnit.xsd") else { return };
    let (report, files) = rich();
    for document in [as_junit(&report, &files), as_junit(&Report::default(), &Files::default())] {
        let Some(verdict) = xmllint(&schema, &document) else { return };
        assert_eq!(verdict, Ok(()), "{document}");
        let broken = document.replace("<properties/>", "");
        assert!(xmllint(&schema, &broken).unwrap().is_err(), "the schema is looked at");
    }
}

#[test]
fn json_is_what_its_documented_schema_asks_for() {
    let schema = json_file(&in_checkout("docs/report.schema.json"));
    let ((report, files), nothing) = (rich(), Report::default());
    for report in [&report, &nothing] {
        let document: Value = serde_json::from_str(&as_json(report, &files)).unwrap();
        assert_eq!(complaints(&schema, &document), [""; 0]);
    }
}

/// Every object of the schema lists all that there is, so a field that is new here has to be documented there.
#[test]
fn the_documented_schema_lets_nothing_undocumented_pass() {
    let schema = json_file(&in_checkout("docs/report.schema.json"));
    let (report, files) = rich();
    let document: Value = serde_json::from_str(&as_json(&report, &files)).unwrap();
    let places = ["", "/tool", "/summary", "/findings/0", "/findings/0/object", "/findings/0/location"];
    let more =
        ["/findings/0/location/start", "/findings/0/related/0", "/findings/1/fix", "/findings/1/fix/edits/0"];
    for place in places.into_iter().chain(more) {
        let mut changed = document.clone();
        changed.pointer_mut(place).unwrap()["undocumented"] = true.into();
        assert_eq!(complaints(&schema, &changed).len(), 1, "{place:?}");
    }
}

/// `UPDATE_GOLDEN=1` writes the examples anew.
#[test]
fn the_documentation_shows_what_is_really_written() {
    let (report, files) = example();
    let page = in_checkout("docs/report.md");
    let mut text = fs::read_to_string(&page).unwrap();
    let options = TextOptions { width: 100, ..TextOptions::default() };
    let examples = [
        ("text", as_text(&report, &files, options)),
        ("json", as_json(&report, &files)),
        ("github", as_github(&report, &files)),
    ];
    for (format, told) in examples {
        let marker = format!("<!-- example: {format} -->\n```");
        let (before, rest) = text.split_once(&marker).unwrap();
        let (language, shown) = rest.split_once('\n').unwrap();
        let end = if shown.starts_with("```") { 0 } else { shown.find("\n```").unwrap() + 1 };
        let (shown, after) = shown.split_at(end);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            text = format!("{before}{marker}{language}\n{told}{after}");
            fs::write(&page, &text).unwrap();
        } else {
            assert_eq!(shown, told, "{format}");
        }
    }
}
