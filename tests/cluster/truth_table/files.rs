//! The verdict on files is the cluster's: the same combinations, written to files and judged by `chartgate check`.
//!
//! A file is what Flux applies, so it is held against server-side apply, with no webhook in between. `--flux`, `--crd` and `--cluster` have
//! to say the same, and all of them what admission says, rule by rule, besides the rule `schema`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chartgate::admission::{Endpoint, Facts, Settings, review};
use chartgate::policy::{Flux, Level};
use serde_json::Value;

use super::{AT_LEAST, Combination, Manner, STRICTER, combinations, is_accepted, served};
use crate::harness::{Answer, Cluster, Namespace};
use crate::scene::Scene;

/// The rules that make an error of a file.
type Rules = BTreeSet<String>;

/// How many files came to what.
#[derive(Default)]
struct Row {
    files: usize,
    api_refuses: usize,
    check_refuses: usize,
    /// The API server takes it, and helm-controller could do nothing with it.
    never_works: usize,
    disagreements: usize,
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is what one runs this test with --nocapture for")]
fn files_are_judged_as_the_api_server_will() {
    let (minors, missing): (Vec<_>, Vec<_>) =
        Flux::all().rev().partition(|flux| Cluster::has_crds(&flux.to_string()));
    let Some(cluster) = Cluster::start(&minors[0].to_string()) else { return };
    let (mut table, mut disagreements, mut files) = (String::new(), Vec::new(), 0);
    for (index, flux) in minors.iter().enumerate() {
        if index > 0 {
            cluster.install_crds(&flux.to_string());
        }
        let free = cluster.namespace("files");
        for version in served(&cluster) {
            let row = judge(&cluster, *flux, &free, &version, &mut disagreements);
            files += row.files;
            writeln!(table, "{flux:<5} {version:<8} {}", row.cells()).expect("a string takes all");
        }
    }
    println!("{:<5} {:<8} {}\n{table}", "Flux", "version", Row::HEADER);
    println!("{files} files, {} disagreements", disagreements.len());
    for flux in &missing {
        println!("not asked: the CRDs of Flux {flux} are not here");
    }
    // The table has each combination twice, as it knows of two ways to the API server.
    assert!(!missing.is_empty() || files >= AT_LEAST / 2, "only {files} files");
    assert!(disagreements.is_empty(), "{} disagreements:\n{}", disagreements.len(), disagreements.join("\n"));
}

/// Judges every combination of one version, whose CRD is installed.
fn judge(
    cluster: &Cluster,
    flux: Flux,
    free: &Namespace<'_>,
    version: &str,
    disagreements: &mut Vec<String>,
) -> Row {
    let applied = |combination: &Combination| combination.manner == Manner::Apply;
    let combinations: Vec<_> = combinations(version, flux).into_iter().filter(applied).collect();
    let mut scene = Scene::new(&[]);
    scene.beside(cluster.kubeconfig());
    for (number, combination) in combinations.iter().enumerate() {
        let object = combination.object_in(free.name());
        scene.write(&file(number), serde_saphyr::to_string(&object).expect("an object can be written"));
    }
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/helmreleases.helm.toolkit.fluxcd.io";
    let crd = cluster.get(crd).accepted();
    scene.write("crd.json.txt", crd.to_string());
    let minor = flux.to_string();
    let told = [&["--flux", &*minor][..], &["--crd", "crd.json.txt"], &["--cluster"]]
        .map(|schemas| errors(&scene, schemas, combinations.len()));
    let mut row = Row::default();
    for (number, combination) in combinations.iter().enumerate() {
        let of_file = |told: &BTreeMap<String, Rules>| told.get(&file(number)).cloned().unwrap_or_default();
        let [check, by_crd, by_cluster] = told.each_ref().map(of_file);
        let alone = Manner::Apply.send(free, version, &combination.object);
        let admission = denied(combination, flux, free.name());
        let mut faults = faults(&check, &admission, &alone);
        for (by, other) in [("--crd", by_crd), ("--cluster", by_cluster)] {
            if other != check {
                faults.push(format!("{by} says {other:?}, --flux says {check:?}"));
            }
        }
        row.count(&check, &alone, faults.len());
        if !faults.is_empty() {
            let Combination { chart, chart_ref, .. } = combination;
            disagreements.push(format!(
                "Flux {flux} {version}, chart {chart}, chartRef {chart_ref}: {}; alone: {} {:?}",
                faults.join("; "),
                alone.status,
                alone.message()
            ));
        }
    }
    row
}

fn file(number: usize) -> String {
    format!("{number}.yaml")
}

/// Everything in which check, admission and the API server do not agree.
fn faults(check: &Rules, admission: &Rules, alone: &Answer) -> Vec<String> {
    let mut faults = Vec::new();
    // Admission leaves the schema to the API server.
    let by_policy: Rules = check.iter().filter(|rule| *rule != "schema").cloned().collect();
    if by_policy != *admission {
        faults.push(format!("check says {check:?}, admission says {admission:?}"));
    }
    let is_stricter = check.iter().any(|rule| STRICTER.contains(&rule.as_str()));
    match (is_accepted(alone), check.is_empty()) {
        (true, false) if !is_stricter => faults.push(format!("{check:?} of what the API server accepts")),
        (false, true) => faults.push("nothing found in what the API server refuses".to_owned()),
        _ => {}
    }
    faults
}

/// The rules by which /validate denies the object, which knows no fixes.
fn denied(combination: &Combination, flux: Flux, namespace: &str) -> Rules {
    let asked = combination.asked(namespace);
    let answer = review(asked.as_bytes(), Endpoint::Validate, &Settings::default(), &Facts::of(flux));
    let findings = answer.expect("the review is complete").record.findings;
    let errors = findings.into_iter().filter(|finding| finding.level == Level::Error);
    errors.map(|finding| finding.rule.to_owned()).collect()
}

/// The errors that `check` finds, by file.
fn errors(scene: &Scene, schemas: &[&str], files: usize) -> BTreeMap<String, Rules> {
    let arguments = [schemas, &["--format=json"]].concat();
    let said = scene.check(&arguments);
    assert_eq!((said.code, &*said.err), (1, ""), "{arguments:?}: {}", said.out);
    let report: Value = serde_json::from_str(&said.out).expect("a report is JSON");
    assert_eq!(report["summary"]["releases"], files, "{arguments:?}");
    let mut errors: BTreeMap<String, Rules> = BTreeMap::new();
    for finding in report["findings"].as_array().expect("a report has findings") {
        if finding["level"] == "error" {
            let text = |value: &Value| value.as_str().expect("it is a text").to_owned();
            errors.entry(text(&finding["location"]["path"])).or_default().insert(text(&finding["rule"]));
        }
    }
    errors
}

// === impl Row ===

impl Row {
    const HEADER: &str = "files  API refuses  check refuses  never works  disagreements";

    fn count(&mut self, check: &Rules, alone: &Answer, faults: usize) {
        self.files += 1;
        self.api_refuses += usize::from(!is_accepted(alone));
        self.check_refuses += usize::from(!check.is_empty());
        self.never_works += usize::from(is_accepted(alone) && !check.is_empty());
        self.disagreements += usize::from(faults > 0);
    }

    fn cells(&self) -> String {
        let Self { files, api_refuses, check_refuses, never_works, disagreements } = self;
        format!("{files:>5}  {api_refuses:>11}  {check_refuses:>13}  {never_works:>11}  {disagreements:>13}")
    }
}
