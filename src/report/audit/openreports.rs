//! What an audit found in one namespace, as the content of a `Report` of openreports.io or of a `PolicyReport` of
//! wgpolicyk8s.io, which differ in nothing else. Policy Reporter shows either.
//!
//! The report of a namespace is about many releases, so it has no `scope`: Policy Reporter would take that for the object of
//! every result.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{Fingerprints, object};
use crate::audit::{Finding, Outcome, Release};
use crate::policy::{Level, Mode};
use crate::report::{Object, fingerprint};

/// Who says so, in `source`. Policy Reporter keeps sources apart by it.
const SOURCE: &str = "chartgate";

/// What results are grouped by.
const CATEGORY: &str = "Flux HelmRelease";

/// The most results that a report holds. What shows reports reads all of them whenever one changes.
const MAX_RESULTS: usize = 1000;

/// The most that results may take as JSON: etcd takes 1.5 MiB by default, and an object is stored with its `managedFields`.
const MAX_BYTES: usize = 800_000;

/// What a timestamp adds to a result.
const TIMESTAMP_BYTES: usize = r#","timestamp":{"seconds":1234567890,"nanos":0}"#.len();

/// What a report may hold.
#[derive(Debug, Clone, Copy)]
struct Limits {
    results: usize,
    bytes: usize,
}

/// What became of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    Skip,
    Warn,
    Fail,
}

/// How many results there are of each verdict.
#[derive(Debug, Clone, Copy, Default)]
struct Counts([usize; 4]);

/// The content of the report about the releases of one namespace, without timestamps; see [`stamp`].
///
/// Each error and warning is a result, and each release without either one more, with the result `pass`. Notes are for
/// nobody to act upon, and only named there. The worst come first, so that what does not fit is the least.
pub fn content(releases: &[Release]) -> Value {
    within(releases, Limits { results: MAX_RESULTS, bytes: MAX_BYTES })
}

/// Whether a stored report says the same, whenever it was written.
pub fn is_same(content: &Value, stored: &Value) -> bool {
    let members = content.as_object().into_iter().flatten();
    members.into_iter().all(|(key, value)| match (key.as_str(), value, stored.get(key)) {
        ("results", Value::Array(ours), Some(Value::Array(theirs))) => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(one, other)| is_same_result(one, other))
        }
        (_, value, stored) => stored == Some(value),
    })
}

/// Gives each result the time (seconds since the epoch) at which it was found: now, or what the report of before says of
/// the same result.
pub fn stamp(content: &mut Value, now: i64, before: Option<&Value>) {
    let results = |value: &Value| value["results"].as_array().cloned().unwrap_or_default();
    let before = before.map(results).unwrap_or_default();
    let known: HashMap<&str, &Value> =
        before.iter().filter_map(|result| Some((id(result)?, result))).collect();
    for result in content["results"].as_array_mut().into_iter().flatten() {
        let same = id(result).and_then(|id| known.get(id)).filter(|before| is_same_result(result, before));
        let known = same.and_then(|before| before.get("timestamp")).cloned();
        result["timestamp"] = known.unwrap_or_else(|| json!({"seconds": now, "nanos": 0}));
    }
}

fn id(result: &Value) -> Option<&str> {
    result["properties"]["resultID"].as_str()
}

fn is_same_result(ours: &Value, stored: &Value) -> bool {
    let (Some(ours), Some(stored)) = (ours.as_object(), stored.as_object()) else { return false };
    let members = stored.keys().filter(|key| *key != "timestamp").count();
    ours.len() == members && ours.iter().all(|(key, value)| stored.get(key) == Some(value))
}

fn within(releases: &[Release], limits: Limits) -> Value {
    let (mut counts, mut left_out) = (Counts::default(), Counts::default());
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for verdict in Verdict::ALL {
        for said in releases.iter().flat_map(said).filter(|said| said.verdict == verdict) {
            counts.add(verdict);
            // One place is kept for the word about what is left out. What is, is not made: there may be ten times as much.
            let fits = left_out.sum() == 0 && kept.len() + 1 < limits.results;
            let result = fits.then(|| said.result());
            bytes += result.as_ref().map_or(0, |result| result.to_string().len() + TIMESTAMP_BYTES);
            match result {
                Some(result) if bytes <= limits.bytes => kept.push(result),
                _ => left_out.add(verdict),
            }
        }
    }
    if left_out.sum() > 0 {
        let namespace = releases.first().map_or("", |release| &release.namespace);
        kept.push(left_out_result(namespace, kept.len(), left_out));
    }
    json!({"source": SOURCE, "summary": counts.summary(), "results": kept})
}

/// Something to be said about a release.
struct Said<'r> {
    release: &'r Release,
    verdict: Verdict,
    /// What was found, and its fingerprint; nothing where the release passes.
    finding: Option<(&'r Finding, String)>,
}

/// What is said about a release, in the order of its findings.
fn said(release: &Release) -> Vec<Said<'_>> {
    let is_exempt = release.mode == Mode::Off || release.outcome() == Outcome::Skipped;
    // A release is part of what tells its findings from all others.
    let mut fingerprints = Fingerprints::default();
    let mut all = Vec::new();
    for finding in &release.findings {
        let id = fingerprints.next(release, finding);
        let verdict = match finding.level {
            Level::Note => continue,
            _ if is_exempt => Verdict::Skip,
            Level::Warning => Verdict::Warn,
            Level::Error => Verdict::Fail,
        };
        all.push(Said { release, verdict, finding: Some((finding, id)) });
    }
    if all.is_empty() {
        all.push(Said { release, verdict: Verdict::Pass, finding: None });
    }
    all
}

// === impl Said ===

impl Said<'_> {
    fn result(&self) -> Value {
        let Self { release, verdict, finding } = self;
        match finding {
            Some((finding, id)) => found(release, finding, *verdict, id),
            None => passed(release),
        }
    }
}

fn found(release: &Release, finding: &Finding, verdict: Verdict, id: &str) -> Value {
    let Finding { rule, level, field, what, why, help, denies, is_patched } = finding;
    let enforced = match (denies, is_patched) {
        (true, _) => "denied",
        (false, true) => "patched",
        (false, false) => "allowed",
    };
    let mut properties = properties(release, id);
    for (key, value) in [("field", &**field), ("why", why), ("help", help), ("enforced", enforced)] {
        if !value.is_empty() {
            properties.insert(key.to_owned(), value.into());
        }
    }
    let severity = match level {
        Level::Error => "high",
        Level::Warning => "medium",
        Level::Note => "low",
    };
    result((rule, rule), (verdict, severity), what, Some(&object(release)), properties)
}

/// A release that has no error and no warning. One result for each release and not one for each rule, as there are many
/// more of these than of all others.
fn passed(release: &Release) -> Value {
    let notes: Vec<_> = release.findings.iter().map(|finding| finding.rule).collect();
    let id = fingerprint(&["pass", &release.namespace, &release.name].join("\0"));
    let mut properties = properties(release, &id);
    if !notes.is_empty() {
        properties.insert("notes".to_owned(), notes.join(",").into());
    }
    let what = "no rule finds an error, or a reason to warn";
    result((SOURCE, "every-rule"), (Verdict::Pass, "info"), what, Some(&object(release)), properties)
}

/// Says what the report had no room for.
fn left_out_result(namespace: &str, kept: usize, left_out: Counts) -> Value {
    let what = format!(
        "{} results more are left out, the least important ones: a report holds {kept} of these; `chartgate audit -n {namespace}` tells all",
        left_out.sum(),
    );
    let mut properties = Map::new();
    let id = fingerprint(&["left-out", namespace].join("\0"));
    properties.insert("resultID".to_owned(), id.into());
    for verdict in Verdict::ALL {
        properties.insert(verdict.as_str().to_owned(), left_out.of(verdict).to_string().into());
    }
    result((SOURCE, "left-out"), (Verdict::Skip, "info"), &what, None, properties)
}

/// What every result says of its release. All values are texts.
fn properties(release: &Release, id: &str) -> Map<String, Value> {
    let members = [
        // Policy Reporter's own; else it takes two findings that differ in their field for one.
        ("resultID", id),
        ("chartSource", release.source.as_str()),
        ("phase", release.phase.as_str()),
        ("mode", release.mode.as_str()),
    ];
    members.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
}

fn result(
    (policy, rule): (&str, &str),
    (verdict, severity): (Verdict, &str),
    what: &str,
    about: Option<&Object>,
    properties: Map<String, Value>,
) -> Value {
    let mut result = json!({
        "source": SOURCE,
        // Policy Reporter selects by policy, never by rule: so each rule is one.
        "policy": policy,
        "rule": rule,
        "category": CATEGORY,
        "severity": severity,
        "result": verdict.as_str(),
        "scored": verdict != Verdict::Warn,
        "message": what,
    });
    result["properties"] = Value::Object(properties);
    if let Some(Object { api_version, kind, namespace, name }) = about {
        let resource = json!({"apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name});
        result["resources"] = json!([resource]);
    }
    result
}

// === impl Verdict ===

impl Verdict {
    /// The worst first.
    const ALL: [Self; 4] = [Self::Fail, Self::Warn, Self::Skip, Self::Pass];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

// === impl Counts ===

impl Counts {
    fn add(&mut self, verdict: Verdict) {
        self.0[verdict as usize] += 1;
    }

    fn of(self, verdict: Verdict) -> usize {
        self.0[verdict as usize]
    }

    fn sum(self) -> usize {
        self.0.iter().sum()
    }

    /// With those that were left out, and without the word about them.
    fn summary(self) -> Value {
        let counts = Verdict::ALL.map(|verdict| (verdict.as_str().to_owned(), self.of(verdict).into()));
        let mut summary: Map<String, Value> = counts.into_iter().collect();
        summary.insert("error".to_owned(), 0.into());
        Value::Object(summary)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::audit::{Auditor, Detail};
    use crate::policy::{Facts, Flux, Settings};

    /// Releases as an audit has them: of each, its name and the members of its spec.
    fn judged(releases: &[(&str, Value)]) -> Vec<Release> {
        let mut auditor = Auditor::new(&Settings::default(), Facts::of(Flux::default()), Detail::Findings);
        for (name, spec) in releases {
            let object = json!({
                "apiVersion": "helm.toolkit.fluxcd.io/v2",
                "kind": "HelmRelease",
                "metadata": {"name": name, "namespace": "apps", "annotations": {"fluxcd.io/version": "v2"}},
                "spec": spec,
            });
            auditor.judge(&RawValue::from_string(object.to_string()).unwrap());
        }
        auditor.into_audit(Vec::new()).releases
    }

    fn of_kind(kind: &str) -> Value {
        json!({"interval": "1h", "chartRef": {"kind": kind, "name": "podinfo", "namespace": "apps"}})
    }

    /// One that passes, one with an error, and another one that passes.
    fn three() -> Vec<Release> {
        judged(&[("a", of_kind("HelmChart")), ("b", of_kind("Chart")), ("c", of_kind("OCIRepository"))])
    }

    fn verdicts(content: &Value) -> Vec<&str> {
        let results = content["results"].as_array().unwrap().iter();
        results.map(|result| result["result"].as_str().unwrap()).collect()
    }

    #[test]
    fn the_worst_come_first() {
        let content = content(&three());
        assert_eq!(verdicts(&content), ["fail", "pass", "pass"]);
        assert_eq!(content["summary"], json!({"fail": 1, "warn": 0, "skip": 0, "pass": 2, "error": 0}));
    }

    #[test]
    fn what_does_not_fit_is_counted_in_the_last_result() {
        let whole = within(&three(), Limits { results: 4, bytes: MAX_BYTES });
        assert_eq!(verdicts(&whole).len(), 3, "one place is kept for it");
        for limits in [Limits { results: 2, bytes: MAX_BYTES }, Limits { results: 4, bytes: 900 }] {
            let cut = within(&three(), limits);
            assert_eq!(verdicts(&cut), ["fail", "skip"], "{limits:?}");
            assert_eq!(cut["summary"], whole["summary"]);
            let last = &cut["results"][1];
            assert_eq!(
                last["message"],
                "2 results more are left out, the least important ones: a report holds 1 of these; `chartgate audit -n apps` tells all"
            );
            assert_eq!(
                (&last["properties"]["pass"], &last["properties"]["fail"]),
                (&json!("2"), &json!("0"))
            );
        }
    }

    #[test]
    fn a_report_that_differs_in_times_alone_is_the_same() {
        let content = content(&three());
        let mut stored = content.clone();
        stamp(&mut stored, 100, None);
        stored["metadata"] = json!({"name": "chartgate"});
        assert!(is_same(&content, &stored));
        for (at, wrong) in [
            ("/summary/fail", json!(0)),
            ("/results/0/message", json!("all is well")),
            ("/results/0/properties/help", json!("do nothing")),
            ("/results/1", json!({})),
            ("/source", json!("somebody")),
            ("/results", json!([])),
        ] {
            let mut other = stored.clone();
            *other.pointer_mut(at).unwrap() = wrong;
            assert!(!is_same(&content, &other), "{at}");
        }
        stored["results"][0]["more"] = json!("of somebody else");
        assert!(!is_same(&content, &stored));
    }

    #[test]
    fn a_result_keeps_the_time_at_which_it_was_found() {
        let mut before = content(&judged(&[("a", of_kind("HelmChart")), ("b", of_kind("Chart"))]));
        stamp(&mut before, 100, None);
        // What is found in b is not what it was.
        let mut after = content(&judged(&[
            ("a", of_kind("HelmChart")),
            ("b", of_kind("Charts")),
            ("c", of_kind("Chart")),
        ]));
        stamp(&mut after, 200, Some(&before));
        let of = |name: &str| {
            let mut results = after["results"].as_array().unwrap().iter();
            results.find(|result| result["resources"][0]["name"] == name).unwrap()["timestamp"]["seconds"]
                .clone()
        };
        assert_eq!([of("a"), of("b"), of("c")], [json!(100), json!(200), json!(200)]);
    }
}
