//! One rendered HelmRelease, by the rules that admission judges by.

use crate::helmrelease::{Field, HelmRelease};
use crate::json::Reader;
use crate::policy::{self, Case, Facts, Finding, OciRepository, Operation, Settings, Subject};
use crate::render::flux::is_opaque;
use crate::yaml::Node;

/// Judges a HelmRelease as if it were created: what a field is filled in with later is not guessed.
///
/// A field that /mutate fills in silently is no finding here: nobody has to write it. `source` is the OCIRepository that
/// `spec.chartRef` names, where the files hold it; `forced_by` is the Flux Kustomization that applies it with `spec.force`.
pub(super) fn judge(
    object: &Node<'_>,
    settings: &Settings,
    facts: &Facts,
    source: Option<&OciRepository>,
    forced_by: Option<&str>,
) -> Vec<Finding> {
    let mut json = Vec::with_capacity(512);
    write(object, &mut json);
    let Ok(Field::Set(release)) = HelmRelease::read(&mut Reader::new(&json)) else { return Vec::new() };
    let known = |text: &&str| !is_opaque(text);
    let subject = Subject {
        release: &release,
        old: None,
        name: release.name().filter(known),
        namespace: release.namespace().filter(known),
        operation: Operation::Create,
        manager: None,
    };
    // That a file names a version proves nothing about what is served.
    let case = Case::new(subject, settings, facts, facts.serving(""))
        .of_file()
        .with_source(source)
        .forced_by(forced_by);
    let mut findings = policy::evaluate(&case);
    findings.retain(|finding| is_said(finding, object, settings) && !depends_on_opaque(finding, object));
    findings
}

/// Only what rules read: a release may carry 200 KB of values.
fn write(object: &Node<'_>, json: &mut Vec<u8>) {
    json.extend_from_slice(br#"{"spec":"#);
    match object.get("spec") {
        Some(spec) if !spec.entries().is_empty() => {
            let read = spec.entries().iter().filter(|entry| matches!(&*entry.key.text, "chart" | "chartRef"));
            json.push(b'{');
            for entry in read {
                json.extend_from_slice(if entry.key.text == "chart" {
                    b"\"chart\":"
                } else {
                    b"\"chartRef\":"
                });
                entry.value.write_json(json);
                json.push(b',');
            }
            // Something has to stand behind the last comma.
            json.extend_from_slice(br#""interval":""}"#);
        }
        Some(spec) => spec.write_json(json),
        None => json.extend_from_slice(b"null"),
    }
    for (key, name) in
        [("apiVersion", ",\"apiVersion\":"), ("kind", ",\"kind\":"), ("metadata", ",\"metadata\":")]
    {
        if let Some(value) = object.get(key) {
            json.extend_from_slice(name.as_bytes());
            value.write_json(json);
        }
    }
    json.push(b'}');
}

fn is_said(finding: &Finding, object: &Node<'_>, settings: &Settings) -> bool {
    let silent = finding.fix.as_ref().is_some_and(|fix| fix.done.is_none());
    let filled_in = silent && super::place::field(object, &finding.at).is_none();
    let chosen = settings.rules.get(finding.rule.id).copied().unwrap_or_default();
    chosen.level.is_some() || !filled_in
}

/// Whether a finding is about a value that is not known here.
fn depends_on_opaque(finding: &Finding, object: &Node<'_>) -> bool {
    let field = super::place::field(object, &finding.at);
    field.and_then(|entry| entry.value.scalar()).is_some_and(|scalar| is_opaque(&scalar.text))
}
