//! The shipped prefilter at a real API server: what it leaves out, no rule has a word about.
//!
//! Every write reaches one webhook without conditions, and a second one behind the shipped prefilter. What only the
//! first sees is judged in process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread::{scope, sleep};
use std::time::Duration;
use std::{env, fs};

use chartgate::admission::{Endpoint, Facts, Settings, review};
use chartgate::policy::Flux;
use chartgate::prefilter::{self, Prefilter, Webhook};
use chartgate::preflight;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::boundaries::{APPLIER, TYPES, cases, clean, is_well_typed, set};
use crate::harness::{
    Answer, Chartgate, Cluster, Namespace, Options, Recorder, Source, Write, chart, chart_ref, eventually,
    release,
};
use crate::truth_table::{combinations, served};

/// How many releases are made for each Flux. Two of them make ten thousand.
const GENERATED: usize = 6_000;

/// How many writes are under way at once.
const WORKERS: usize = 8;

/// The label that tells one write from another; no rule reads labels.
const LABEL: &str = "case";

/// How long Flux is watched making no call, in seconds, where the environment does not say it.
const WINDOW: (&str, u64) = ("CHARTGATE_QUIET_SECONDS", 30);

#[test]
fn what_is_left_out_has_no_finding_on_flux_2_6() {
    compare("2.6");
}

#[test]
fn what_is_left_out_has_no_finding_on_flux_2_9() {
    compare("2.9");
}

#[test]
fn what_is_left_out_has_no_finding_on_flux_2_10() {
    compare("2.10");
}

/// One write to the API server.
struct Attempt {
    object: Value,
    manner: Manner,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Create,
    Apply,
    Replace,
    MergePatch,
}

/// What the two webhooks saw, by endpoint and case.
#[derive(Default)]
struct Seen {
    all: BTreeMap<(Endpoints, String), Vec<u8>>,
    prefiltered: BTreeSet<(Endpoints, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Endpoints {
    Mutate,
    Validate,
}

/// What came of a comparison.
#[derive(Default)]
struct Tally {
    writes: usize,
    reviews: usize,
    /// Reviews without a finding: no call could be worth more than the price of a call.
    clean: usize,
    left_out: usize,
    /// Writes of a wrong type that the API server refuses by itself.
    refused: usize,
    exceptions: Vec<String>,
}

#[expect(clippy::print_stdout, reason = "the figures are what one runs these tests with --nocapture for")]
fn compare(flux: &str) {
    let Some(cluster) = Cluster::shared(flux) else { return };
    let recorder = Recorder::beside_prefilter(cluster);
    let namespace = recorder.namespace("prefilter");
    let stored = store(cluster, &namespace);
    let versions = served(cluster);

    let generated = generated(&namespace, &stored, &versions);
    let minor = flux.parse().expect("a Flux that we know");
    let table = versions.iter().flat_map(|version| table(version, minor, &namespace)).collect();
    let mut exceptions = Vec::new();
    for (what, attempts) in [("generated", generated), ("of the truth table", table)] {
        let tally = tally(&recorder, &namespace, flux, &attempts);
        exceptions.extend(say(flux, what, tally));
    }
    match corpus(&versions, &namespace) {
        Some(corpus) => {
            exceptions.extend(say(flux, "of the corpus", tally(&recorder, &namespace, flux, &corpus)));
            let patched: Vec<_> = corpus.iter().map(|attempt| patched(attempt, flux)).collect();
            let tally = tally(&recorder, &namespace, flux, &patched);
            let worth_it = tally.left_out * 100 >= tally.clean * 99;
            exceptions.extend(say(flux, "of the corpus, once patched", tally));
            assert!(worth_it, "too few are left out");
        }
        None => println!("skipped: no corpus"),
    }
    let some = &exceptions[..exceptions.len().min(5)];
    assert!(exceptions.is_empty(), "{} exceptions, such as\n{}", exceptions.len(), some.join("\n"));
}

#[expect(clippy::print_stdout, reason = "the figures are what one runs these tests with --nocapture for")]
fn say(flux: &str, what: &str, tally: Tally) -> Vec<String> {
    let Tally { writes, reviews, clean, left_out, refused, exceptions } = tally;
    println!(
        "Flux {flux}: {writes} releases {what}, {reviews} reviews, {clean} without findings, {left_out} left out, {refused} \
         refused for their types, {} exceptions",
        exceptions.len()
    );
    exceptions
}

/// Makes all writes, and judges every review of the webhook without conditions that the other one did not get.
///
/// A write of a wrong type may make a condition fail, or pass it, where the API server refuses it whatever we say.
fn tally(recorder: &Recorder<'_>, namespace: &Namespace<'_>, flux: &str, attempts: &[Attempt]) -> Tally {
    recorder.take_all();
    let ignored = Namespace::create(recorder.cluster(), "ignored", &json!({}));
    let numbered: Vec<_> = attempts.iter().enumerate().collect();
    let refused: BTreeSet<_> = scope(|scope| {
        let ignored = &ignored;
        let workers: Vec<_> = numbered
            .chunks(numbered.len().div_ceil(WORKERS).max(1))
            .map(|share| {
                let refused = |(number, attempt): &(usize, &Attempt)| {
                    attempt.is_refused(*number, namespace, ignored).then_some(number.to_string())
                };
                scope.spawn(move || share.iter().filter_map(refused).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no write is lost")).collect()
    });
    let seen = Seen::of(recorder.take_all());
    let mut tally =
        Tally { writes: attempts.len(), reviews: seen.all.len(), refused: refused.len(), ..Tally::default() };
    let facts = Facts::of(flux.parse().expect("a Flux that we know"));
    for (key, body) in &seen.all {
        let endpoint = match key.0 {
            Endpoints::Mutate => Endpoint::Mutate,
            Endpoints::Validate => Endpoint::Validate,
        };
        let answer = review(body, endpoint, &Settings::default(), &facts).expect("the API server sent it");
        let found = answer.record;
        let is_clean = found.findings.is_empty() && found.patched.is_empty();
        let left_out = !seen.prefiltered.contains(key);
        tally.clean += usize::from(is_clean);
        tally.left_out += usize::from(left_out);
        if left_out && !is_clean && !refused.contains(&key.1) {
            tally.exceptions.push(format!("{:?} in {}", found.findings, String::from_utf8_lossy(body)));
        }
    }
    tally
}

// === impl Seen ===

impl Seen {
    fn of(recorded: Vec<(String, axum::body::Bytes)>) -> Self {
        let mut seen = Self::default();
        for (path, body) in recorded {
            let review: Value = serde_json::from_slice(&body).expect("the API server sends JSON");
            let Some(case) = review["request"]["object"]["metadata"]["labels"][LABEL].as_str() else {
                continue;
            };
            let case = case.to_owned();
            _ = match path.as_str() {
                "mutate" => seen.all.insert((Endpoints::Mutate, case), body.into()).is_some(),
                "validate" => seen.all.insert((Endpoints::Validate, case), body.into()).is_some(),
                "prefiltered/mutate" => seen.prefiltered.insert((Endpoints::Mutate, case)),
                "prefiltered/validate" => seen.prefiltered.insert((Endpoints::Validate, case)),
                other => panic!("nothing is registered for {other}"),
            };
        }
        seen
    }
}

// === impl Attempt ===

impl Attempt {
    /// Sends the write, and tells whether the API server refuses it for its types, whatever a webhook says.
    fn is_refused(&self, number: usize, namespace: &Namespace<'_>, ignored: &Namespace<'_>) -> bool {
        let refused = |answer: &Answer| [400, 422].contains(&answer.status) && !is_well_typed(&self.object);
        let answer = self.send(namespace, number);
        assert!(answer.status < 599, "{}: {answer:?}", self.object);
        if !answer.message().contains("resulted in error") {
            return refused(&answer);
        }
        // The condition failed, and is quoted. That must never be felt where the release could be stored, so not at /validate,
        // which comes after the schema.
        let validating =
            Webhook::Validate.condition(&Prefilter::of(&Settings::default(), prefilter::Cluster::AnyFlux));
        assert!(!answer.message().contains(&validating), "{}: {answer:?}", self.object);
        let mut alone = Self { object: self.object.clone(), manner: Manner::Create };
        alone.object["metadata"]["namespace"] = json!(ignored.name());
        let own = alone.send(ignored, number);
        assert!(refused(&own), "the condition failed, and the API server says {own:?} to {}", self.object);
        true
    }

    /// Sends the write as a dry run.
    fn send(&self, namespace: &Namespace<'_>, number: usize) -> Answer {
        let Self { object, manner } = self;
        let mut object = object.clone();
        object["metadata"]["labels"] = json!({LABEL: number.to_string()});
        let version =
            object["apiVersion"].as_str().and_then(|it| it.rsplit_once('/')).map_or("v2", |it| it.1);
        let releases = namespace.releases(version);
        let write = Write::by(APPLIER).dry_run();
        match manner {
            Manner::Create => releases.create(&object, write),
            Manner::Apply => releases.apply(&object, write.forced()),
            Manner::Replace => releases.replace(&object, write),
            Manner::MergePatch => {
                let name =
                    object["metadata"]["name"].as_str().expect("what is patched has a name").to_owned();
                releases.merge_patch(&name, &object, write)
            }
        }
    }
}

/// Stores what is updated: releases as they come to be, by several managers, at several versions.
fn store(cluster: &Cluster, namespace: &Namespace<'_>) -> Vec<Value> {
    let mut all = Vec::new();
    let mut apply = |name: &str, version: &str, spec: &Value| {
        let mut object = release(version, name, spec);
        object["metadata"]["annotations"] = json!({"fluxcd.io/version": "v2"});
        let write = Write::by(APPLIER).forced();
        all.push(namespace.releases(version).apply(&object, write).accepted()["metadata"]["name"].clone());
    };
    let whole = |kind: &str| json!({"chartRef": {"kind": kind, "name": "a", "namespace": namespace.name()}});
    let mut with_files = chart();
    with_files["chart"]["spec"]["valuesFiles"] = json!(["values-prod.yaml"]);
    apply("chart", "v2", &chart());
    apply("values-files", "v2", &with_files);
    apply("edited", "v2", &chart());
    apply("chart-ref", "v2", &whole("OCIRepository"));
    apply("chart-ref-unfilled", "v2", &chart_ref());
    apply("helm-chart", "v2", &whole("HelmChart"));
    apply("generated", "v2", &whole("HelmChart"));
    for version in served(cluster) {
        apply(&format!("chart-{version}"), &version, &chart());
    }
    let edit = json!({"spec": {"chart": {"spec": {"interval": "5m"}}}});
    namespace.releases("v2").merge_patch("edited", &edit, Write::by("lens")).accepted();
    // As helm-controller leaves it until it has seen the move.
    let generated = json!({"status": {"helmChart": format!("{}/podinfo-source", namespace.name())}});
    let status = namespace.releases("v2").status();
    status.merge_patch("generated", &generated, Write::by("helm-controller")).accepted();
    let names = all.iter().map(|name| name.as_str().expect("every object has a name"));
    names.map(|name| namespace.releases("v2").get(name).accepted()).collect()
}

/// Releases at the boundaries of every rule, new and as updates of what is stored.
fn generated(namespace: &Namespace<'_>, stored: &[Value], versions: &BTreeSet<String>) -> Vec<Attempt> {
    let mut runner = TestRunner::deterministic();
    let strategy = cases(true);
    let manners = [Manner::Create, Manner::Apply, Manner::Apply, Manner::Replace, Manner::MergePatch];
    let attempt = |index: usize| {
        let mut object = strategy.new_tree(&mut runner).expect("nothing is rejected").current().object;
        let is_served = |version: &Value| {
            let version = version.as_str().and_then(|it| it.strip_prefix("helm.toolkit.fluxcd.io/"));
            version.is_some_and(|version| versions.contains(version))
        };
        if !is_served(&object["apiVersion"]) {
            object["apiVersion"] = json!("helm.toolkit.fluxcd.io/v2");
        }
        let manner = manners[index % manners.len()];
        // Half of what is applied is new.
        let old = (manner != Manner::Create && index % (2 * manners.len()) != 1)
            .then(|| &stored[index % stored.len()]);
        let name = old.map_or(json!("podinfo"), |old| old["metadata"]["name"].clone());
        settle(&mut object, namespace.name(), name.as_str().expect("a name is text"));
        let metadata = object["metadata"].as_object_mut().expect("it is left as it is");
        if manner != Manner::Create {
            metadata.remove("generateName");
        } else if metadata.contains_key("generateName") {
            metadata.remove("name");
        }
        match (manner, old) {
            (Manner::Replace, Some(old)) => {
                metadata.insert("resourceVersion".into(), old["metadata"]["resourceVersion"].clone());
                // Half of them come as a client sends them that read the object first.
                if index.is_multiple_of(2) {
                    metadata.insert("managedFields".into(), old["metadata"]["managedFields"].clone());
                }
            }
            (Manner::Apply | Manner::MergePatch, _) => _ = metadata.remove("managedFields"),
            _ => {}
        }
        Attempt { object, manner }
    };
    (0..GENERATED).map(attempt).collect()
}

/// Puts the namespace and the name that there are in the place of those that the generator writes.
fn settle(object: &mut Value, namespace: &str, name: &str) {
    object["metadata"]["name"] = json!(name);
    object["metadata"]["namespace"] = json!(namespace);
    let Some(chart_ref) = object.pointer_mut("/spec/chartRef").and_then(Value::as_object_mut) else { return };
    for (field, from, to) in
        [("namespace", "apps", namespace), ("name", "apps-podinfo", &format!("{namespace}-{name}"))]
    {
        if let Some(value) = chart_ref.get_mut(field).filter(|value| **value == *from) {
            *value = json!(to);
        }
    }
}

/// The truth table's combinations, as they are and with what our patch would add to them.
fn table(version: &str, flux: Flux, namespace: &Namespace<'_>) -> Vec<Attempt> {
    let dressed = |object: &Value| {
        let mut object = object.clone();
        object["metadata"]["annotations"] = json!({"fluxcd.io/version": version});
        if let Some(chart_ref) = object.pointer_mut("/spec/chartRef").and_then(Value::as_object_mut) {
            chart_ref.insert("namespace".into(), json!(namespace.name()));
        }
        object
    };
    combinations(version, flux)
        .into_iter()
        .flat_map(|combination| {
            let object = combination.object;
            [(dressed(&object), Manner::Create), (dressed(&object), Manner::Apply), (object, Manner::Create)]
        })
        .map(|(object, manner)| Attempt { object, manner })
        .collect()
}

/// The HelmReleases of the corpus that this Flux serves.
fn corpus(versions: &BTreeSet<String>, namespace: &Namespace<'_>) -> Option<Vec<Attempt>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let index = fs::read_to_string(corpus.join("index.jsonl")).ok()?;
    let mut all = Vec::new();
    for line in index.lines() {
        let entry: Value = serde_json::from_str(line).expect("the index is JSON");
        let whole = ["chart", "chartRef"].contains(&entry["class"].as_str().unwrap_or_default());
        if entry["rec"] != "hr" || !whole {
            continue;
        }
        let path = entry["path"].as_str().expect("an entry has a path");
        let text = fs::read_to_string(corpus.join(path)).expect("a file of the index is readable");
        for mut object in preflight::documents(&text).unwrap_or_default() {
            let version =
                object["apiVersion"].as_str().and_then(|it| it.strip_prefix("helm.toolkit.fluxcd.io/"));
            if object["kind"] == "HelmRelease" && version.is_some_and(|version| versions.contains(version)) {
                object["metadata"]["namespace"] = json!(namespace.name());
                all.push(Attempt { object, manner: Manner::Create });
            }
        }
    }
    Some(all)
}

/// The same write, as our patch leaves it.
fn patched(attempt: &Attempt, flux: &str) -> Attempt {
    let Attempt { object, manner } = attempt;
    let facts = Facts::of(flux.parse().expect("a Flux that we know"));
    let preview = preflight::preview(object, &Settings::default(), &facts).expect("it is a HelmRelease");
    let object = match preview.verdict {
        preflight::Verdict::Patched { result, .. } => result,
        _ => object.clone(),
    };
    Attempt { object, manner: *manner }
}

#[test]
fn what_is_of_a_wrong_type_is_refused_by_the_api_server_itself_or_seen() {
    for flux in ["2.6", "2.9", "2.10"] {
        let Some(cluster) = Cluster::shared(flux) else { return };
        let recorder = Recorder::beside_prefilter(cluster);
        let namespace = recorder.namespace("wrong-types");
        let mut stored = store(cluster, &namespace);
        stored.retain(|old| {
            ["chart", "chart-ref", "helm-chart"].map(Some).contains(&old["metadata"]["name"].as_str())
        });
        let attempts = wrongly_typed(&stored);
        let tally = tally(&recorder, &namespace, flux, &attempts);
        assert!(
            tally.refused * 2 > tally.writes,
            "most fields have one type, and {} were refused",
            tally.refused
        );
        let exceptions = say(flux, "of wrong types", tally);
        assert!(exceptions.is_empty(), "{}", exceptions.join("\n"));
    }
}

#[test]
fn as_many_managers_as_a_request_can_name_are_no_error() {
    let Some(cluster) = Cluster::shared("2.9") else { return };
    let chartgate = Chartgate::start(cluster, Options { failure_policy: "Fail", ..Options::default() });
    let namespace = chartgate.namespace("managers");
    let entry = |index: usize| {
        json!({
            "manager": index.to_string(), "operation": "Apply", "apiVersion": "helm.toolkit.fluxcd.io/v2",
            "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:interval": {}}},
        })
    };
    let mut object = release("v2", "managers", &chart());
    object["metadata"]["annotations"] = json!({"fluxcd.io/version": "v2"});
    // Of what a new object names, nothing is kept.
    object = namespace.releases("v2").create(&object, Write::by(APPLIER)).accepted();
    object["metadata"]["managedFields"] = (0..15_000).map(entry).collect();
    let bytes = object.to_string().len();
    assert!(
        (2_500_000..3_000_000).contains(&bytes),
        "the API server takes 3 MiB, and these are {bytes} bytes"
    );
    let before = left_out(cluster, &chartgate);
    let replaced = namespace.releases("v2").replace(&object, Write::by(APPLIER).dry_run()).accepted();
    let kept = replaced["metadata"]["managedFields"].as_array().map_or(0, Vec::len);
    assert!(kept >= 15_000, "{kept} are kept");
    assert_eq!(left_out(cluster, &chartgate) - before, 2);
}

/// Releases in order but for one field, which is of each wrong type once, in every manner of writing.
fn wrongly_typed(stored: &[Value]) -> Vec<Attempt> {
    // The path of a request names version and namespace: what is sent with others never gets to a webhook.
    const OF_THE_PATH: [&str; 3] = ["/apiVersion", "/metadata", "/metadata/namespace"];
    let wrong =
        [json!(null), json!(3), json!(true), json!([]), json!(["v2"]), json!([{}]), json!("v2"), json!({})];
    let mut all = Vec::new();
    for old in stored {
        for (at, _) in TYPES.iter().filter(|(at, _)| !OF_THE_PATH.contains(at)) {
            let (parent, _) = at.rsplit_once('/').expect("a pointer has a slash");
            if old.pointer(parent).is_none() {
                continue;
            }
            for value in &wrong {
                for manner in [Manner::Create, Manner::Apply, Manner::Replace, Manner::MergePatch] {
                    let mut object = old.clone();
                    // /validate does not look at a spec that is stored so already.
                    object["spec"]["interval"] = json!("11m");
                    let metadata = object["metadata"].as_object_mut().expect("it was stored");
                    if manner == Manner::Create {
                        metadata.insert("name".into(), json!("new"));
                    }
                    if manner != Manner::Replace {
                        metadata.retain(|field, _| !["resourceVersion", "uid"].contains(&&**field));
                    }
                    if manner == Manner::Apply {
                        metadata.remove("managedFields");
                    }
                    set(&mut object, at, value);
                    all.push(Attempt { object, manner });
                }
            }
        }
    }
    all
}

#[test]
fn a_release_that_is_in_order_is_left_out() {
    let Some(cluster) = Cluster::shared("2.9") else { return };
    let recorder = Recorder::beside_prefilter(cluster);
    let namespace = recorder.namespace("in-order");
    let mut attempts = Vec::new();
    // Flux 2.9 has no spec.chart.kind.
    for mut case in clean().into_iter().filter(|case| case.object["spec"]["chart"]["kind"].is_null()) {
        settle(&mut case.object, namespace.name(), "podinfo");
        case.object["metadata"].as_object_mut().expect("it is an object").remove("managedFields");
        attempts.extend(
            [Manner::Create, Manner::Apply].map(|manner| Attempt { object: case.object.clone(), manner }),
        );
    }
    let tally = tally(&recorder, &namespace, "2.9", &attempts);
    assert_eq!((tally.left_out, tally.reviews), (2 * attempts.len(), 2 * attempts.len()));
}

#[test]
fn the_component_takes_the_prefilter_out_and_the_printed_patch_replaces_it() {
    let Some(cluster) = Cluster::shared("2.9") else { return };
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let file = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("it can be written");
    let files = ["10-mutating-webhook.yaml", "11-validating-webhook.yaml"];
    for name in files {
        file(
            name,
            &fs::read_to_string(manifests.join("base").join(name)).expect("the manifest is committed"),
        );
    }
    let component = manifests.join("components/observe-all/kustomization.yaml");
    fs::create_dir(dir.path().join("observe-all")).expect("it can be made");
    file(
        "observe-all/kustomization.yaml",
        &fs::read_to_string(component).expect("the component is committed"),
    );
    let patches = Webhook::ALL.map(|webhook| {
        let mut print = std::process::Command::new(env!("CARGO_BIN_EXE_chartgate"));
        let arguments = ["config", "prefilter", "--flux=2.10", "--format=patch", "--webhook"];
        let printed = print.args(arguments).arg(webhook.as_str()).output().expect("it runs");
        file(&format!("{webhook}.json"), &String::from_utf8_lossy(&printed.stdout));
        let kind = match webhook {
            Webhook::Mutate => "MutatingWebhookConfiguration",
            Webhook::Validate => "ValidatingWebhookConfiguration",
        };
        json!({"path": format!("{webhook}.json"), "target": {"kind": kind, "name": "chartgate"}})
    });

    let build = |more: Value| {
        let mut kustomization = json!({"resources": files});
        kustomization
            .as_object_mut()
            .expect("it is one")
            .extend(more.as_object().expect("it is one").clone());
        file("kustomization.yaml", &kustomization.to_string());
        let output = cluster.kubectl().arg("kustomize").arg(dir.path()).output().expect("kubectl was built");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let built = preflight::documents(&text).expect("kustomize writes YAML");
        assert_eq!(built.len(), 2);
        built.into_iter().map(|it| it["webhooks"][0]["matchConditions"].clone()).collect::<Vec<_>>()
    };
    let only = |name: &str, expression: String| json!([{"name": name, "expression": expression}]);
    let of = |flux| Prefilter::of(&Settings::default(), flux);
    let shipped =
        |webhook: Webhook| only(prefilter::NAME, webhook.condition(&of(prefilter::Cluster::AnyFlux)));
    assert_eq!(build(json!({})), Webhook::ALL.map(shipped));
    let observing = |webhook: Webhook| only(prefilter::OBSERVED, webhook.observing(&Settings::default()));
    assert_eq!(build(json!({"components": ["observe-all"]})), Webhook::ALL.map(observing));
    let newest = |webhook: Webhook| {
        only(prefilter::NAME, webhook.condition(&of(prefilter::Cluster::Flux(Flux::NEWEST))))
    };
    assert_eq!(build(json!({"patches": patches})), Webhook::ALL.map(newest));
}

#[test]
fn a_release_that_is_still_to_be_named_is_seen() {
    let Some(cluster) = Cluster::shared("2.9") else { return };
    let chartgate = Chartgate::start(cluster, Options::default());
    let namespace = chartgate.namespace("unnamed");
    let mut unnamed = release("v2", "app", &chart());
    unnamed["metadata"] = json!({"generateName": "app-"});
    let created = namespace.releases("v2").create(&unnamed, Write::by(APPLIER)).accepted();
    assert_eq!(created["metadata"]["annotations"], json!({"fluxcd.io/version": "v2"}));
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are what one runs these tests with --nocapture for")]
fn flux_makes_no_call_after_the_first_apply_until_somebody_changes_something() {
    let Some(cluster) = Cluster::shared("2.9") else { return };
    let Some(controller) = cluster.kustomize_controller() else { return };
    let chartgate = Chartgate::start(cluster, Options::default());
    let namespace = chartgate.namespace("quiet");
    let source = Source::create(controller, &namespace);
    let kustomizations = namespace.objects("kustomize.toolkit.fluxcd.io/v1", "kustomizations");
    let often = json!({"spec": {"interval": "5s"}});
    kustomizations.merge_patch("source", &often, Write::by("chartgate-tests")).accepted();

    let specs = [chart(), chart_ref()];
    let releases: Vec<_> =
        (0..10).map(|index| release("v2", &format!("app-{index}"), &specs[index % 2])).collect();
    let publish = |releases: &[Value]| {
        let files: Vec<_> = releases.iter().map(Value::to_string).collect();
        let names: Vec<_> = (0..files.len()).map(|index| format!("{index}.yaml")).collect();
        let files: Vec<_> = names.iter().map(String::as_str).zip(files.iter().map(String::as_str)).collect();
        source.publish(&files).expect("every release is in order")
    };
    publish(&releases);
    let calls = || sum(&chartgate.observe("/metrics"), "chartgate_reviews_total{", "");
    let first = calls();
    assert!(first >= 20, "each release was seen in a dry run and in the apply: {first}");

    let window =
        env::var(WINDOW.0).ok().map_or(WINDOW.1, |seconds| seconds.parse().expect("a number of seconds"));
    let before = left_out(cluster, &chartgate);
    sleep(Duration::from_secs(window));
    let looks = left_out(cluster, &chartgate) - before;
    println!("{} calls in {window} s, {looks} left out", calls() - first);
    assert_eq!(calls(), first);
    // Every release is applied, as a dry run, once in an interval, and either webhook is left out.
    assert!(looks >= 10 * (window / 5).saturating_sub(2), "Flux looked {looks} times");

    let mut changed = releases;
    changed[1]["spec"]["chartRef"]["kind"] = json!("ocirepository");
    publish(&changed);
    eventually("the changed release is seen", Duration::from_secs(30), || {
        if calls() > first { Ok(()) } else { Err(format!("{first} calls")) }
    });
    assert_eq!(namespace.releases("v2").get("app-1").accepted()["spec"]["chartRef"]["kind"], "OCIRepository");
}

/// How often the API server has left out this chartgate.
fn left_out(cluster: &Cluster, chartgate: &Chartgate<'_>) -> u64 {
    let metrics = cluster.get("/metrics").accepted();
    let metrics = metrics.as_str().expect("metrics are text");
    sum(metrics, "apiserver_admission_match_condition_exclusions_total{", chartgate.instance())
}

/// The sum of all series whose line starts with one text and contains another.
fn sum(metrics: &str, start: &str, part: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(start) && line.contains(part));
    let values = lines.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter counts")]
    values.map(|value| value.expect("a series ends with its value") as u64).sum()
}
