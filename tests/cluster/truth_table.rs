//! The verdict agrees with the API server: what chartgate says about `spec.chart` and `spec.chartRef` is held against
//! what a real API server does, for every Flux minor, every served version of HelmRelease, and every combination.
//!
//! Each combination is sent three times: to the API server alone, to the API server with chartgate as its webhook, and
//! to chartgate in process. There are no exceptions: what the API server changes before admission (it prunes a null in
//! a create, and keeps it in server-side apply) changes no verdict.

mod files;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chartgate::admission::{Endpoint, Facts, Settings, review};
use chartgate::policy::Flux;
use chartgate::structural::Catalog;
use chartgate::yaml;
use serde_json::{Value, json};

use crate::harness::{Answer, Chartgate, Cluster, Kubernetes, Namespace, Options, Write, release};

/// How many combinations there are at least where the CRDs of every minor are there.
const AT_LEAST: usize = 3_500;

/// Also those of Flux 2.10 alone.
const AT_LEAST_OF_NEWEST: usize = 900;

/// The rules that are stricter than the CRDs: helm-controller could do nothing with such a release, though the API server
/// accepts it.
const STRICTER: [&str; 5] =
    ["chart-and-chart-ref", "no-chart-source", "chart-ref-name", "chart-ref-needs-v2", "partial-chart"];

/// What the API server says when it refuses a field that its schema does not have, before it asks any webhook:
/// server-side apply, and strict decoding of a create.
const BEFORE_ADMISSION: [&str; 2] = ["field not declared in schema", "strict decoding error: unknown field"];

/// How an object gets to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Apply,
    Create,
}

/// One cell of the table: what is sent, and how.
pub(crate) struct Combination {
    version: String,
    chart: &'static str,
    chart_ref: &'static str,
    manner: Manner,
    pub(crate) object: Value,
}

/// What chartgate says in process.
enum Verdict {
    /// Allowed, with the object as it is after the patch.
    Allowed { patched: bool, object: Value },
    /// Denied by these rules.
    Denied { rules: Vec<String> },
}

/// What became of one combination.
struct Outcome {
    alone: Answer,
    with: Answer,
    verdict: Verdict,
    /// What the API server alone says of the patched object.
    healed: Option<Answer>,
}

/// One line of what is printed.
#[derive(Default)]
struct Row {
    combinations: usize,
    api_rejects: usize,
    chartgate_rejects: usize,
    patched_valid: usize,
    disagreements: usize,
}

/// Set, the whole table also runs at the newest Kubernetes, which takes as long once more.
const WHOLE: &str = "CHARTGATE_WHOLE_TRUTH_TABLE";

/// The minors that are tested at the newest Kubernetes where [`WHOLE`] is not set: the new one, and the most common ones.
const AT_NEWEST: [&str; 2] = ["2.10", "2.9"];

#[test]
fn the_verdict_agrees_with_the_api_server() {
    agrees(Kubernetes::Usual, |_| true);
}

#[test]
fn the_verdict_agrees_with_the_newest_api_server() {
    let whole = std::env::var_os(WHOLE).is_some();
    agrees(Kubernetes::Newest, |flux| whole || AT_NEWEST.contains(&flux));
}

/// Tests the minors that are `wanted`, newest first.
#[expect(clippy::print_stdout, reason = "the table is what one runs this test with --nocapture for")]
fn agrees(kubernetes: Kubernetes, wanted: impl Fn(&str) -> bool) {
    let (asked, left_out): (Vec<_>, Vec<_>) = Flux::all().rev().partition(|flux| wanted(&flux.to_string()));
    let (minors, missing): (Vec<_>, Vec<_>) =
        asked.into_iter().partition(|flux| Cluster::has_crds(&flux.to_string()));
    let Some(cluster) = Cluster::start_at(&minors[0].to_string(), kubernetes) else { return };
    let (mut table, mut disagreements, mut combinations) = (String::new(), Vec::new(), 0);
    for (index, flux) in minors.iter().enumerate() {
        if index > 0 {
            cluster.install_crds(&flux.to_string());
        }
        for (version, row) in judge_minor(&cluster, *flux, &mut disagreements) {
            combinations += row.combinations;
            writeln!(table, "{flux:<5} {version:<8} {}", row.cells()).expect("a string takes all");
        }
    }
    let version = cluster.get("/version").accepted()["gitVersion"].as_str().unwrap_or_default().to_owned();
    println!("kube-apiserver {version}\n{:<5} {:<8} {}\n{table}", "Flux", "version", Row::HEADER);
    println!("{combinations} combinations, {} disagreements", disagreements.len());
    for line in &disagreements {
        println!("{line}");
    }
    for flux in &missing {
        println!("not asked: the CRDs of Flux {flux} are not here");
    }
    if let [newest, .., oldest] = &*left_out {
        println!(
            "left out at {version}: Flux {oldest} to {newest}, which are asked at the usual one; {WHOLE}=1 asks them"
        );
    }
    let at_least = if left_out.is_empty() { AT_LEAST } else { AT_LEAST_OF_NEWEST };
    assert!(!missing.is_empty() || combinations >= at_least, "only {combinations} combinations");
    assert!(disagreements.is_empty(), "{} disagreements:\n{}", disagreements.len(), disagreements.join("\n"));
}

/// Asks about every combination of one minor, whose CRDs are installed.
fn judge_minor(cluster: &Cluster, flux: Flux, disagreements: &mut Vec<String>) -> Vec<(String, Row)> {
    let minor = flux.to_string();
    let chartgate = Chartgate::start(cluster, Options::with_arguments(&["--flux", &minor]));
    let (free, guarded) = (cluster.namespace("alone"), chartgate.namespace("guarded"));
    let versions = served(cluster);
    let known: BTreeSet<_> = flux.served().iter().map(|schema| schema.version.clone().into_owned()).collect();
    assert_eq!(versions, known, "served by Flux {flux}");
    let mut rows = Vec::new();
    for version in versions {
        let mut row = Row::default();
        for combination in combinations(&version, flux) {
            let outcome = Outcome::of(&combination, flux, &free, &guarded);
            let mut faults = outcome.faults();
            faults.extend(schema_disagrees(flux, &combination, &outcome.alone));
            row.count(&outcome);
            if faults.is_empty() {
                continue;
            }
            row.disagreements += 1;
            let Combination { version, chart, chart_ref, manner, .. } = &combination;
            disagreements.push(format!(
                "Flux {flux} {version}, chart {chart}, chartRef {chart_ref}, {manner:?}: {}; \
                 alone: {} {:?}; with chartgate: {} {:?}",
                faults.join("; "),
                outcome.alone.status,
                outcome.alone.message(),
                outcome.with.status,
                outcome.with.message()
            ));
        }
        rows.push((version, row));
    }
    rows
}

/// The versions of HelmRelease that the API server itself lists.
pub(crate) fn served(cluster: &Cluster) -> BTreeSet<String> {
    let group = cluster.get("/apis/helm.toolkit.fluxcd.io").accepted();
    let versions = group["versions"].as_array().expect("a group has versions").iter();
    versions.map(|version| version["version"].as_str().expect("a version has a name").to_owned()).collect()
}

/// A field of the spec, by a name; `None` is one that is not there.
type Choice = (&'static str, Option<Value>);

/// Every `spec.chart`, of any Flux; the two last are inline sources and so of a newer one.
fn charts() -> Vec<Choice> {
    let source = json!({"kind": "HelmRepository", "name": "podinfo"});
    vec![
        ("absent", None),
        ("null", Some(Value::Null)),
        ("only version", Some(json!({"spec": {"version": "6.5.4"}}))),
        ("only chart", Some(json!({"spec": {"chart": "podinfo"}}))),
        (
            "sourceRef without name",
            Some(json!({"spec": {"chart": "podinfo", "sourceRef": {"kind": "HelmRepository"}}})),
        ),
        ("whole", Some(json!({"spec": {"chart": "podinfo", "version": "6.5.4", "sourceRef": source}}))),
        ("whole, of kind HelmChart", helm_chart(&json!({"kind": "HelmChart"}), &json!({}))),
        ("OCIRepository", oci_repository(&json!({}))),
    ]
}

/// Every further `spec.chart` that Flux 2.10 alone decides about.
fn charts_with_kind() -> Vec<Choice> {
    let source = json!({"kind": "HelmRepository", "name": "podinfo"});
    let url = json!({"url": "oci://example.org/podinfo"});
    let some = |chart: Value| Some(chart);
    vec![
        ("empty", some(json!({}))),
        ("empty spec", some(json!({"spec": {}}))),
        ("only sourceRef", some(json!({"spec": {"sourceRef": source}}))),
        (
            "sourceRef without kind",
            some(json!({"spec": {"chart": "podinfo", "sourceRef": {"name": "podinfo"}}})),
        ),
        (
            "whole, with the defaults of 2.9",
            helm_chart(&json!({}), &json!({"version": "*", "reconcileStrategy": "ChartVersion"})),
        ),
        ("whole and ref", helm_chart(&json!({}), &json!({"ref": {"tag": "6.5.4"}, "insecure": true}))),
        ("whole and url", helm_chart(&json!({}), &url)),
        ("whole, of kind HelmChart, and url", helm_chart(&json!({"kind": "HelmChart"}), &url)),
        ("whole, of kind OCIRepository", helm_chart(&json!({"kind": "OCIRepository"}), &json!({}))),
        ("whole, of kind GitRepository", helm_chart(&json!({"kind": "GitRepository"}), &json!({}))),
        ("whole, of kind null", helm_chart(&json!({"kind": null}), &json!({}))),
        ("whole, of an empty kind", helm_chart(&json!({"kind": ""}), &json!({}))),
        ("OCIRepository, without spec", some(json!({"kind": "OCIRepository"}))),
        ("OCIRepository, without url", some(json!({"kind": "OCIRepository", "spec": {"interval": "5m"}}))),
        ("OCIRepository, empty url", oci_repository(&json!({"url": ""}))),
        ("OCIRepository, url of https", oci_repository(&json!({"url": "https://example.org/podinfo"}))),
        (
            "OCIRepository and its own",
            oci_repository(&json!({"ref": {"semver": "6.x"}, "interval": "5m",
            "layerSelector": {"operation": "copy"}, "secretRef": {"name": "a"}, "suspend": true})),
        ),
        (
            "OCIRepository and defaults",
            oci_repository(&json!({"version": "*", "reconcileStrategy": "ChartVersion"})),
        ),
        ("OCIRepository and chart", oci_repository(&json!({"chart": "podinfo"}))),
        ("OCIRepository and version", oci_repository(&json!({"version": "6.5.4"}))),
        ("OCIRepository and sourceRef", oci_repository(&json!({"sourceRef": source}))),
        ("OCIRepository and half a sourceRef", oci_repository(&json!({"sourceRef": {"kind": "Bucket"}}))),
        ("OCIRepository and reconcileStrategy", oci_repository(&json!({"reconcileStrategy": "Revision"}))),
        ("OCIRepository and valuesFiles", oci_repository(&json!({"valuesFiles": ["a.yaml"]}))),
        (
            "OCIRepository and ignoreMissingValuesFiles",
            oci_repository(&json!({"ignoreMissingValuesFiles": false})),
        ),
        ("url without kind", some(json!({"spec": url}))),
        ("url of kind HelmChart", some(json!({"kind": "HelmChart", "spec": url}))),
        ("url of kind ocirepository", some(json!({"kind": "ocirepository", "spec": url}))),
        ("url of kind Bucket", some(json!({"kind": "Bucket", "spec": url}))),
        ("unknown field", helm_chart(&json!({}), &json!({"urls": "oci://example.org/podinfo"}))),
        ("version beside spec", helm_chart(&json!({"version": "6.5.4"}), &json!({}))),
    ]
}

/// A whole chart of a HelmRepository, with more fields beside its spec and in it.
#[expect(clippy::unnecessary_wraps, reason = "a choice may be none")]
fn helm_chart(beside: &Value, more: &Value) -> Option<Value> {
    let mut chart = beside.clone();
    chart["spec"] = json!({"chart": "podinfo", "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}});
    json_patch::merge(&mut chart["spec"], more);
    Some(chart)
}

/// An inline source, with more fields in its spec.
#[expect(clippy::unnecessary_wraps, reason = "a choice may be none")]
fn oci_repository(more: &Value) -> Option<Value> {
    let mut spec = json!({"url": "oci://example.org/podinfo"});
    json_patch::merge(&mut spec, more);
    Some(json!({"kind": "OCIRepository", "spec": spec}))
}

/// Every `spec.chartRef`, of any Flux.
fn chart_refs() -> Vec<Choice> {
    let of_kind = |kind: &str| Some(json!({"kind": kind, "name": "podinfo"}));
    let shorthand = "OCIRepository/podinfo.apps";
    vec![
        ("absent", None),
        ("null", Some(Value::Null)),
        ("OCIRepository", of_kind("OCIRepository")),
        ("HelmChart", of_kind("HelmChart")),
        ("ExternalArtifact", of_kind("ExternalArtifact")),
        ("wrong-case kind", of_kind("ocirepository")),
        ("unknown kind", of_kind("Bucket")),
        ("no kind", Some(json!({"name": "podinfo"}))),
        ("no name", Some(json!({"kind": "OCIRepository"}))),
        ("shorthand without kind", Some(json!({"name": shorthand}))),
        ("shorthand with kind", Some(json!({"kind": "OCIRepository", "name": shorthand}))),
    ]
}

/// Those that only the newest Flux is tested with, because of their number.
fn more_chart_refs() -> Vec<Choice> {
    let with = |field: &str, value: &str| {
        let mut chart_ref = json!({"kind": "OCIRepository", "name": "podinfo"});
        chart_ref[field] = json!(value);
        Some(chart_ref)
    };
    vec![
        ("empty", Some(json!({}))),
        ("empty kind", with("kind", "")),
        ("empty name", with("name", "")),
        ("of another namespace", with("namespace", "elsewhere")),
        ("with apiVersion", with("apiVersion", "source.toolkit.fluxcd.io/v1")),
        ("with an apiVersion of before", with("apiVersion", "source.toolkit.fluxcd.io/v1beta2")),
    ]
}

pub(crate) fn combinations(version: &str, flux: Flux) -> Vec<Combination> {
    let (mut charts, mut chart_refs) = (charts(), chart_refs());
    if flux.newest_schema().template.takes_inline() {
        charts.extend(charts_with_kind());
        chart_refs.extend(more_chart_refs());
    }
    let mut all = Vec::new();
    for (chart, chart_value) in &charts {
        for (chart_ref, chart_ref_value) in &chart_refs {
            for manner in [Manner::Apply, Manner::Create] {
                let mut members = json!({});
                for (key, value) in [("chart", chart_value), ("chartRef", chart_ref_value)] {
                    if let Some(value) = value {
                        members[key] = value.clone();
                    }
                }
                let object = release(version, &format!("{version}-{}", all.len()), &members);
                all.push(Combination { version: version.to_owned(), chart, chart_ref, manner, object });
            }
        }
    }
    all
}

// === impl Manner ===

impl Manner {
    fn send(self, namespace: &Namespace<'_>, version: &str, object: &Value) -> Answer {
        let releases = namespace.releases(version);
        let write = Write::by("truth-table").dry_run();
        match self {
            Self::Apply => releases.apply(object, write),
            Self::Create => releases.create(object, write),
        }
    }
}

// === impl Combination ===

impl Combination {
    /// The object as it is stored in a namespace.
    fn object_in(&self, namespace: &str) -> Value {
        let mut object = self.object.clone();
        object["metadata"]["namespace"] = json!(namespace);
        object
    }

    /// The review of the object as it is sent, as if it were new in the namespace.
    fn asked(&self, namespace: &str) -> String {
        let Self { version, object, .. } = self;
        let kind = json!({"group": "helm.toolkit.fluxcd.io", "version": version, "kind": "HelmRelease"});
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "truth-table",
                "kind": kind,
                "name": object["metadata"]["name"],
                "namespace": namespace,
                "operation": "CREATE",
                "userInfo": {"username": "administrator"},
                "object": self.object_in(namespace),
                "oldObject": null,
                "dryRun": true,
                "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "truth-table"},
            },
        })
        .to_string()
    }
}

// === impl Verdict ===

impl Verdict {
    /// Judges the object as it is sent, as if it were new in the namespace.
    fn of(combination: &Combination, flux: Flux, namespace: &str) -> Self {
        let mut object = combination.object_in(namespace);
        let asked = combination.asked(namespace);
        let answer = review(asked.as_bytes(), Endpoint::Mutate, &Settings::default(), &Facts::of(flux))
            .expect("the review is complete");
        let answer: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
        let response = &answer["response"];
        if response["allowed"] == false {
            let message = response["status"]["message"].as_str().expect("a denial has a message");
            return Self::Denied { rules: rules_in(message) };
        }
        let patched = response["patch"].as_str();
        if let Some(patch) = patched {
            let patch = STANDARD.decode(patch).expect("a patch is sent as base64");
            let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("it is a JSON Patch");
            json_patch::patch(&mut object, &patch).expect("the patch applies to the object it is for");
        }
        Self::Allowed { patched: patched.is_some(), object }
    }
}

/// The rules that a denial names, one at the start of each block.
fn rules_in(message: &str) -> Vec<String> {
    let known = |id: &&str| chartgate::policy::find_rule(id).is_some();
    let ids = message.split('[').skip(1).filter_map(|rest| rest.split_once(']').map(|(id, _)| id));
    ids.filter(known).map(str::to_owned).collect()
}

// === impl Outcome ===

impl Outcome {
    fn of(combination: &Combination, flux: Flux, free: &Namespace<'_>, guarded: &Namespace<'_>) -> Self {
        let Combination { version, manner, object, .. } = combination;
        let alone = manner.send(free, version, object);
        let with = manner.send(guarded, version, object);
        let verdict = Verdict::of(combination, flux, guarded.name());
        let healed = match &verdict {
            Verdict::Allowed { object, .. } => {
                let mut object = object.clone();
                // The patch was for a release in the other namespace.
                object["metadata"]["namespace"] = json!(free.name());
                Some(manner.send(free, version, &object))
            }
            Verdict::Denied { .. } => None,
        };
        for answer in [Some(&alone), Some(&with), healed.as_ref()].into_iter().flatten() {
            let undeclared = answer.status == 500 && refused_before_admission(answer);
            assert!(answer.status < 500 || undeclared, "the API server itself failed: {answer:?}");
        }
        Self { alone, with, verdict, healed }
    }

    /// Everything in which the three do not agree.
    fn faults(&self) -> Vec<String> {
        let Self { alone, with, verdict, healed } = self;
        let mut faults = Vec::new();
        let early = refused_before_admission(with);
        match verdict {
            Verdict::Denied { rules } => {
                if is_accepted(with) {
                    faults.push(format!("in process denied by {rules:?}, accepted with chartgate"));
                } else if !early && rules_in(with.message()) != *rules {
                    faults.push(format!("in process denied by {rules:?}, refused for other reasons"));
                }
                let lax = rules.iter().find(|rule| !STRICTER.contains(&rule.as_str()));
                if let Some(rule) = lax.filter(|_| is_accepted(alone)) {
                    faults.push(format!("{rule} denies what the API server accepts"));
                }
            }
            Verdict::Allowed { .. } => {
                if !is_accepted(with) {
                    faults.push("in process allowed, refused with chartgate".to_owned());
                }
                if let Some(healed) = healed.as_ref().filter(|healed| !is_accepted(healed)) {
                    faults.push(format!("allowed as patched, refused as such: {}", healed.message()));
                }
            }
        }
        // What never reaches a webhook is refused in the same words whether there is one or not.
        if early != refused_before_admission(alone) {
            faults.push("refused before admission in one namespace only".to_owned());
        }
        faults
    }
}

/// Where the rule `schema` of `check`, which knows what a server-side apply does, says other than the API server.
fn schema_disagrees(flux: Flux, combination: &Combination, alone: &Answer) -> Option<String> {
    if combination.manner != Manner::Apply {
        return None;
    }
    let text = combination.object.to_string();
    let object = yaml::documents(&text, 0).remove(0).expect("JSON is YAML");
    let catalog = Catalog::of_flux(flux);
    let schema = catalog.schema("HelmRelease", &combination.version).expect("it is served");
    let faults = schema.faults(&object, &|_| true);
    (is_accepted(alone) != faults.is_empty()).then(|| format!("the rule schema reports {faults:?}"))
}

fn is_accepted(answer: &Answer) -> bool {
    answer.status < 300
}

fn refused_before_admission(answer: &Answer) -> bool {
    // A denial may quote the API server.
    let message = answer.message();
    let by_webhook = message.starts_with("admission webhook ");
    !is_accepted(answer) && !by_webhook && BEFORE_ADMISSION.iter().any(|text| message.contains(text))
}

// === impl Row ===

impl Row {
    const HEADER: &str = "combinations  API rejects  chartgate rejects  patched valid  disagreements";

    fn count(&mut self, outcome: &Outcome) {
        let Outcome { alone, with, verdict, .. } = outcome;
        self.combinations += 1;
        self.api_rejects += usize::from(!is_accepted(alone));
        match verdict {
            Verdict::Denied { .. } => self.chartgate_rejects += 1,
            Verdict::Allowed { patched, .. } => {
                self.patched_valid += usize::from(*patched && !is_accepted(alone) && is_accepted(with));
            }
        }
    }

    fn cells(&self) -> String {
        let Self { combinations, api_rejects, chartgate_rejects, patched_valid, disagreements } = self;
        format!(
            "{combinations:>12}  {api_rejects:>11}  {chartgate_rejects:>17}  {patched_valid:>13}  {disagreements:>13}"
        )
    }
}
