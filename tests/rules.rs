//! The examples that the rules come with are shown to users, so they must hold.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use chartgate::{
    helmrelease::{Field, HelmRelease},
    json::Reader,
    policy::{
        self, Case, CrossNamespace, Example, Finding, MAX_WARNING, OciRepository, Operation, Settings,
        Subject,
    },
    preflight,
};
use json_patch::Patch;
use serde_json::Value;

/// Judges a document as an update of `before`, or as new.
fn judge(document: &Value, example: &Example) -> Vec<Finding> {
    let json = |document: &Value| serde_json::to_vec(document).unwrap();
    let read = |bytes: &[u8], then: &mut dyn FnMut(&HelmRelease<'_>)| {
        let Field::Set(release) = HelmRelease::read(&mut Reader::new(bytes)).unwrap() else {
            panic!("no object")
        };
        then(&release);
    };
    let mut settings = Settings::default();
    if example.same_namespace_only {
        settings.chart_ref.cross_namespace = CrossNamespace::Deny;
    }
    let facts = example.facts();
    let before = example.before.map(|before| json(&preflight::documents(before).unwrap()[0]));
    let source = example.source.map(|source| json(&preflight::documents(source).unwrap()[0]));
    let source = source.map(|source| OciRepository::read(&source, |_| true).unwrap());
    let (object, mut findings) = (json(document), Vec::new());
    read(&object, &mut |release| {
        let mut judge = |old: Option<&HelmRelease<'_>>| {
            let operation = if old.is_some() { Operation::Update } else { Operation::Create };
            let (name, namespace, manager) = (release.name(), release.namespace(), example.manager);
            let subject = Subject { release, old, name, namespace, operation, manager };
            let case = Case::new(subject, &settings, &facts, facts.serving(""));
            findings = policy::evaluate(&case.with_source(source.as_ref()));
        };
        match &before {
            Some(before) => read(before, &mut |old| judge(Some(old))),
            None => judge(None),
        }
    });
    findings
}

fn document(example: &Example) -> Value {
    preflight::documents(example.object).unwrap().remove(0)
}

#[test]
fn a_bad_example_is_found_by_its_own_rule_and_by_no_other() {
    for rule in policy::rules() {
        let findings = judge(&document(&rule.bad), &rule.bad);
        assert!(findings.iter().any(|it| it.rule.id == rule.id), "{}", rule.id);
        // A finding that only accompanies others needs one.
        let alone = findings.iter().all(|it| it.denies_alone);
        let foreign = findings.iter().filter(|it| alone && it.rule.id != rule.id);
        assert_eq!(foreign.map(|it| it.rule.id).collect::<Vec<_>>(), [] as [&str; 0], "{}", rule.id);
    }
}

#[test]
fn a_good_example_is_found_by_none() {
    for rule in policy::rules() {
        let findings = judge(&document(&rule.good), &rule.good);
        let ids: Vec<_> = findings.iter().map(|finding| finding.rule.id).collect();
        assert_eq!(ids, [] as [&str; 0], "{}", rule.id);
    }
}

#[test]
fn a_bad_example_becomes_its_fixed_one_and_stays_there() {
    for rule in policy::rules() {
        let Some(fixed) = rule.fixed else { continue };
        let mut object = document(&rule.bad);
        let operations = judge(&object, &rule.bad)
            .into_iter()
            .filter_map(|it| it.fix)
            .flat_map(|fix| fix.operations)
            .collect();
        json_patch::patch(&mut object, &Patch(operations)).unwrap();
        assert_eq!(object, preflight::documents(fixed).unwrap()[0], "{}", rule.id);
        assert!(judge(&object, &rule.bad).is_empty(), "{}", rule.id);
    }
}

#[test]
fn every_warning_fits_a_line() {
    for rule in policy::rules() {
        for finding in judge(&document(&rule.bad), &rule.bad) {
            let warning = finding.warning();
            assert!(warning.chars().count() <= MAX_WARNING && !warning.contains('…'), "{warning}");
        }
    }
}
