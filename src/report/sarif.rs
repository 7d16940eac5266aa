//! SARIF 2.1.0, as code scanning takes it.
//!
//! What GitHub asks for beyond the standard: paths relative to the repository, a fingerprint for each result, help for
//! each rule, and no more than so many results.

mod uri;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::place::{Place, Places};
use super::rule::{RuleInfo, rules};
use super::visible::write_json;
use super::{Diagnostic, Edit, Excerpts, Grade, Object, Report, SuggestedFix};
use uri::artifact_location;

/// The key of our fingerprints; what makes one may change only together with its version.
const FINGERPRINT: &str = "chartgate/v1";

/// How many results GitHub takes in one run: it refuses a file with more.
const MAX_RESULTS: usize = 25_000;

/// A log with one run.
#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Value,
    invocations: [Value; 1],
    original_uri_base_ids: Value,
    column_kind: &'static str,
    results: Results<'a>,
}

/// What is told, each result made when it is written.
struct Results<'a> {
    told: Vec<&'a Diagnostic>,
    rules: &'a [RuleInfo],
    places: RefCell<Places<'a>>,
}

/// Tells a report as a SARIF log.
pub fn write(report: &Report, excerpts: &dyn Excerpts, out: &mut dyn Write) -> io::Result<()> {
    let rules: Vec<_> = rules().collect();
    let told = worst(&report.diagnostics, MAX_RESULTS);
    let left_out = report.diagnostics.len() - told.len();
    let run = Run {
        tool: json!({ "driver": driver(&rules) }),
        invocations: [invocation(left_out)],
        original_uri_base_ids: json!({
            uri::ROOT: { "description": { "text": "The directory that the paths are relative to." } },
        }),
        // As positions are counted everywhere here; a byte-order mark counts for nothing.
        column_kind: "unicodeCodePoints",
        results: Results { told, rules: &rules, places: RefCell::new(Places::new(excerpts)) },
    };
    let log = Log {
        schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        version: "2.1.0",
        runs: [run],
    };
    write_json(&log, out)
}

// === impl Results ===

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let results = self.told.iter();
        serializer.collect_seq(results.map(|told| result(told, self.rules, &mut self.places.borrow_mut())))
    }
}

/// All findings in their order; of too many, the worst.
fn worst(diagnostics: &[Diagnostic], most: usize) -> Vec<&Diagnostic> {
    let mut told: Vec<_> = diagnostics.iter().collect();
    if told.len() > most {
        told.sort_by_key(|diagnostic| std::cmp::Reverse(diagnostic.grade));
        told.truncate(most);
    }
    told
}

/// That the run went well, and what is not in the file.
fn invocation(left_out: usize) -> Value {
    let mut invocation = json!({ "executionSuccessful": true });
    if left_out > 0 {
        let text =
            format!("{left_out} findings were left out: code scanning takes no more than {MAX_RESULTS}.");
        invocation["toolExecutionNotifications"] =
            json!([{ "level": "warning", "message": { "text": text } }]);
    }
    invocation
}

fn driver(rules: &[RuleInfo]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let mut driver =
        json!({ "name": env!("CARGO_PKG_NAME"), "version": version, "semanticVersion": version });
    if let Some(homepage) = Some(env!("CARGO_PKG_HOMEPAGE")).filter(|homepage| !homepage.is_empty()) {
        driver["informationUri"] = homepage.into();
    }
    driver["rules"] = rules.iter().map(descriptor).collect();
    driver
}

/// What there is to say about a rule.
fn descriptor(rule: &RuleInfo) -> Value {
    let RuleInfo { id, grade, summary, why, help, policy } = rule;
    let severity = match grade {
        Grade::Error => "error",
        Grade::Warning => "warning",
        Grade::Note => "recommendation",
    };
    let mut markdown = format!("{summary}\n\n**Why**: {why}\n\n**Fix**: {help}\n");
    if let Some(policy) = policy {
        let _ = write!(markdown, "\nWrong:\n\n```yaml\n{}```\n", policy.bad.object);
        let _ = write!(markdown, "\nRight:\n\n```yaml\n{}```\n", policy.good.object);
    }
    json!({
        "id": id,
        "name": id,
        "shortDescription": { "text": summary },
        "fullDescription": { "text": format!("{summary} Why: {why}") },
        "help": { "text": format!("{summary}\nWhy: {why}\nFix: {help}"), "markdown": markdown },
        "defaultConfiguration": { "level": grade.as_str() },
        "properties": { "precision": "very-high", "problem.severity": severity, "tags": ["flux", "helm"] },
    })
}

fn result(diagnostic: &Diagnostic, rules: &[RuleInfo], places: &mut Places<'_>) -> Value {
    let Diagnostic { rule, grade, object, field, location, related, ways, fix, fingerprint, .. } = diagnostic;
    let mut result = json!({ "ruleId": rule });
    if let Some(index) = rules.iter().position(|known| known.id == *rule) {
        result["ruleIndex"] = index.into();
    }
    result["level"] = grade.as_str().into();
    result["message"] = json!({ "text": message(diagnostic) });
    result["locations"] = locations(location.map(|location| places.of(location)), object.as_ref());
    if !related.is_empty() {
        let related = related.iter().enumerate().map(|(index, related)| {
            json!({
                "id": index + 1,
                "physicalLocation": physical(&places.of(related.location)),
                "message": { "text": plain(&related.what) },
            })
        });
        result["relatedLocations"] = related.collect();
    }
    result["partialFingerprints"] = json!({ FINGERPRINT: fingerprint });
    if let Some(fix) = fix {
        result["fixes"] = json!([change(fix, places)]);
    }
    let mut properties = serde_json::Map::new();
    if !field.is_empty() {
        properties.insert("field".to_owned(), json!(field));
    }
    if !ways.is_empty() {
        properties.insert("ways".to_owned(), json!(ways));
    }
    if !properties.is_empty() {
        result["properties"] = properties.into();
    }
    result
}

/// What is wrong, as the first sentence; then all the rest. Code scanning shows a related place only where the message
/// has a link to it.
fn message(diagnostic: &Diagnostic) -> String {
    let Diagnostic { what, why, help, related, .. } = diagnostic;
    let mut message = plain(&format!("{what}."));
    for (index, related) in related.iter().enumerate() {
        let _ = write!(message, "\nSee: [{}]({})", link_text(&related.what), index + 1);
    }
    let rendered = diagnostic.rendered().unwrap_or_default();
    for (name, text) in [("Rendered", &*rendered), ("Why", why), ("Fix", help)] {
        if !text.is_empty() {
            let _ = write!(message, "\n{name}: {}", plain(text));
        }
    }
    message
}

/// A text in which nothing is a link: what a manifest says must not become one.
fn plain(text: &str) -> String {
    if text.contains("](") { link_text(text) } else { text.to_owned() }
}

/// A text as the text of a link.
fn link_text(text: &str) -> String {
    text.replace('\\', r"\\").replace('[', r"\[").replace(']', r"\]")
}

fn locations(place: Option<Place<'_>>, object: Option<&Object>) -> Value {
    let mut location = json!({});
    if let Some(place) = place {
        location["physicalLocation"] = physical(&place);
    }
    if let Some(object) = object {
        let Object { kind, namespace, name, .. } = object;
        let full = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
        location["logicalLocations"] = json!([{ "name": name, "fullyQualifiedName": full, "kind": kind }]);
    }
    if location == json!({}) { json!([]) } else { json!([location]) }
}

fn physical(place: &Place<'_>) -> Value {
    json!({ "artifactLocation": artifact_location(place.path), "region": region(place) })
}

fn region(place: &Place<'_>) -> Value {
    let Place { start, end, .. } = place;
    json!({ "startLine": start.line, "startColumn": start.column, "endLine": end.line, "endColumn": end.column })
}

/// A fix, as the replacements in each file.
fn change(fix: &SuggestedFix, places: &mut Places<'_>) -> Value {
    let SuggestedFix { what, edits, .. } = fix;
    let mut files = BTreeMap::<u32, (Value, Vec<Value>)>::new();
    for Edit { span, text } in edits {
        let place = places.of((*span).into());
        let mut replacement = json!({ "deletedRegion": region(&place) });
        if !text.is_empty() {
            replacement["insertedContent"] = json!({ "text": text });
        }
        let file = files.entry(span.file()).or_insert_with(|| (artifact_location(place.path), Vec::new()));
        file.1.push(replacement);
    }
    let changes = files.into_values().map(
        |(location, replacements)| json!({ "artifactLocation": location, "replacements": replacements }),
    );
    json!({ "description": { "text": plain(what) }, "artifactChanges": changes.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_a_manifest_is_no_link() {
        assert_eq!(plain("annotations[a/b] and ${X}"), "annotations[a/b] and ${X}");
        assert_eq!(plain(r"[click](https://x.test) \"), r"\[click\](https://x.test) \\");
    }

    #[test]
    fn of_too_many_the_worst_are_told() {
        let of = |grade| Diagnostic::new("unreadable", grade, "");
        let all = [of(Grade::Note), of(Grade::Error), of(Grade::Warning)];
        let grades = |most| worst(&all, most).iter().map(|told| told.grade).collect::<Vec<_>>();
        assert_eq!(grades(3), [Grade::Note, Grade::Error, Grade::Warning]);
        assert_eq!(grades(2), [Grade::Error, Grade::Warning]);
    }

    /// <https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support>
    #[test]
    fn rules_keep_to_what_code_scanning_shows() {
        for rule in rules() {
            let descriptor = descriptor(&rule);
            assert!(rule.id.len() <= 255);
            for description in ["shortDescription", "fullDescription"] {
                let text = descriptor[description]["text"].as_str().unwrap();
                assert!((1..=1024).contains(&text.chars().count()), "{}: {description}", rule.id);
            }
        }
    }
}
