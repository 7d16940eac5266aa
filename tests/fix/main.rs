//! Fixes in files: what changes, what never does, and what is refused.

#![allow(clippy::print_stdout, reason = "a test says what it skipped and how much it saw")]

mod cases;
mod corpus;
mod diff;
mod findings;
mod plans;
mod properties;
mod schemas;

use chartgate::helmrelease::{Field, HelmRelease};
use chartgate::json::Reader;
use chartgate::policy::{self, Case, Facts, Finding, Operation, Settings, Subject};
use chartgate::preflight::fix::{self, Fix, Refusal, Scope};
use chartgate::report::{Edit, Excerpts, SuggestedFix};
use chartgate::yaml::{self, Node};
use json_patch::Patch;

/// Files in memory, numbered as they come.
struct Files(Vec<(&'static str, String)>);

impl Files {
    fn one(text: &str) -> Self {
        Self(vec![("a.yaml", text.to_owned())])
    }
}

impl Excerpts for Files {
    fn path(&self, file: u32) -> &str {
        self.0[file as usize].0
    }

    fn text(&self, file: u32) -> &str {
        &self.0[file as usize].1
    }
}

/// The first HelmRelease of a text.
fn release(text: &str) -> Node<'_> {
    releases(text, 0).into_iter().next().expect("there is a release")
}

fn operations(json: &str) -> Patch {
    serde_json::from_str(json).expect("the operations are a JSON patch")
}

/// What a text becomes by edits, written by hand here so that no code of the product is in it.
fn edited(text: &str, edits: &[Edit]) -> String {
    let mut out = text.to_owned();
    let mut ordered: Vec<_> = edits.iter().collect();
    ordered.sort_by_key(|edit| edit.span);
    for edit in ordered.into_iter().rev() {
        out.replace_range(edit.span.range(), &edit.text);
    }
    out
}

/// The text after the operations on its first release.
fn fixed(text: &str, json: &str) -> Result<String, Refusal> {
    let edits = fix::edits(&release(text), &operations(json), &Files::one(text))?;
    Ok(edited(text, &edits))
}

/// The releases of a file that can be read, in lists and by themselves.
fn releases(text: &str, file: u32) -> Vec<Node<'_>> {
    let documents = yaml::documents(text, file).into_iter().filter_map(Result::ok);
    let all = documents.flat_map(|document| match document.get("items") {
        Some(items) => items.items().to_vec(),
        None => vec![document],
    });
    all.filter(|it| it.text_of(&["kind"]) == Some("HelmRelease")).collect()
}

/// Judges an object, and asks for a fix of each finding.
fn judged(
    object: &Node<'_>,
    facts: &Facts,
    files: &dyn Excerpts,
) -> Vec<(Finding, Result<SuggestedFix, Refusal>)> {
    let mut json = Vec::new();
    object.write_json(&mut json);
    let Ok(Field::Set(release)) = HelmRelease::read(&mut Reader::new(&json)) else { return Vec::new() };
    let (name, namespace) = (release.name(), release.namespace());
    let subject = Subject {
        release: &release,
        old: None,
        name,
        namespace,
        operation: Operation::Create,
        manager: None,
    };
    let settings = Settings::default();
    let installed = facts.serving("");
    let scope = Scope { object, found_by: &[], settings: &settings, installed, files };
    let findings = policy::evaluate(&Case::new(subject, &settings, facts, installed));
    findings.into_iter().filter_map(|it| Some((it.clone(), fix::fix(&it, &scope)?))).collect()
}

/// What the fixes of all findings make of a file, and what they cannot do.
fn repaired(text: &str, facts: &Facts) -> (String, Vec<String>) {
    let files = Files::one(text);
    let (mut wanted, mut refused) = (Vec::new(), Vec::new());
    for object in releases(text, 0) {
        for (finding, suggested) in judged(&object, facts, &files) {
            match suggested {
                Ok(SuggestedFix { edits, .. }) => {
                    wanted.push(Fix { name: finding.rule.id.to_owned(), edits, ..Fix::default() });
                }
                Err(refusal) => refused.push(refusal.to_string()),
            }
        }
    }
    let plan = fix::plan(&wanted, &files);
    refused.extend(plan.refused.into_iter().map(|it| it.reason));
    (plan.files.into_iter().next().map_or_else(|| text.to_owned(), |rewrite| rewrite.text), refused)
}
