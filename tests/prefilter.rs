//! The prefilter leaves out no release that a rule has a word about: an evaluator of CEL and our own judgement, side by
//! side. What the API server's own CEL makes of it is in `tests/cluster/prefilter.rs`.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test says how much it saw")]

use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use cel::{Context, Env, Program, Value as Cel};
use chartgate::{
    admission::{self, Endpoint, Facts},
    policy::{AnnotationValue, ChartRefSettings, CrossNamespace, Flux, Rule, Settings, rules},
    prefilter::{self, Cluster, Prefilter, Webhook},
    preflight,
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde_json::{Value, json};

#[path = "support/boundaries.rs"]
mod boundaries;

use boundaries::{Case, cases, clean};

/// As many as a promise about "every" release should have seen.
const CASES: usize = 20_000;

/// The same cases in every run, so that a failure can be looked at.
///
/// Without those that nobody stores, whatever we say: that the API server refuses them is shown at one.
fn generated(count: usize) -> impl Iterator<Item = Case> {
    let mut runner = TestRunner::deterministic();
    let strategy = cases(false);
    let all = std::iter::repeat_with(move || strategy.new_tree(&mut runner).unwrap().current());
    all.filter(Case::is_possible).take(count)
}

/// Every choice that the expression depends on.
fn configurations() -> Vec<Settings> {
    let mut all = Vec::new();
    for keys in [&["fluxcd.io/version"][..], &[], &["fluxcd.io/version", "example.org/version"]] {
        for fill_namespace in [true, false] {
            for cross_namespace in [CrossNamespace::Allow, CrossNamespace::Deny] {
                let annotations = keys.iter().map(|key| ((*key).to_owned(), AnnotationValue::ApiVersion));
                all.push(Settings {
                    annotations: annotations.collect(),
                    chart_ref: ChartRefSettings { fill_namespace, cross_namespace },
                    ..Settings::default()
                });
            }
        }
    }
    all
}

/// What the API server's CEL knows, as far as we use it. To make it is the most of the work.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(true)));

/// A condition, ready to be asked.
struct Condition(Program);

impl Condition {
    fn new(expression: &str) -> Self {
        Self(STANDARD.compile(expression).unwrap())
    }

    /// A prefilter by itself.
    fn of(prefilter: &Prefilter) -> Self {
        Self::new(&prefilter.to_string())
    }

    /// All of what a webhook is called by.
    fn shipped(webhook: Webhook, prefilter: &Prefilter) -> Self {
        Self::new(&webhook.condition(prefilter))
    }

    /// Whether we would be called.
    fn calls(&self, asked: &Asked) -> Result<bool, String> {
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        for (name, value) in &asked.variables {
            context.add_variable(*name, value.clone()).unwrap();
        }
        match self.0.execute(&context) {
            Ok(Cel::Bool(calls)) => Ok(calls),
            other => Err(format!("{other:?}")),
        }
    }
}

/// A review, and what a condition may know of it.
struct Asked {
    case: Case,
    review: Value,
    variables: [(&'static str, Cel); 3],
}

impl From<Case> for Asked {
    fn from(case: Case) -> Self {
        let review = case.review();
        let request = &review["request"];
        let variables =
            [("object", &request["object"]), ("oldObject", &request["oldObject"]), ("request", request)];
        let variables = variables.map(|(name, value)| (name, cel::to_value(value).unwrap()));
        Self { case, review, variables }
    }
}

/// What our rules find, as their ids.
fn findings(review: &Value, settings: &Settings, flux: Flux) -> Vec<&'static str> {
    let body = serde_json::to_vec(review).unwrap();
    let answer = admission::review(&body, Endpoint::Mutate, settings, &Facts::of(flux)).unwrap();
    answer.record.findings.iter().map(|finding| finding.rule).chain(answer.record.patched).collect()
}

/// The findings for a release that is left out, for the first Flux with any: of those that have all its fields, as no other
/// one lets it get that far.
fn unseen(asked: &Asked, settings: &Settings, minors: &[Flux]) -> Option<String> {
    let Asked { review, case, .. } = asked;
    minors.iter().filter(|flux| case.is_known_to(**flux)).find_map(|flux| {
        let found = findings(review, settings, *flux);
        (!found.is_empty()).then(|| format!("Flux {flux}: {found:?} is not seen: {review}"))
    })
}

/// Whether a review speaks against a condition: left out with a finding, or an error.
fn refutes(asked: &Asked, condition: &Condition, settings: &Settings, minors: &[Flux]) -> bool {
    condition.calls(asked).map_or(true, |calls| !calls && unseen(asked, settings, minors).is_some())
}

#[test]
fn what_is_left_out_has_no_finding_and_nothing_possible_is_an_error() {
    let all: Vec<_> = Flux::all().collect();
    let mut configurations = configurations();
    let mut conditions = Vec::new();
    for settings in configurations.drain(..) {
        let clusters = [Cluster::AnyFlux, Cluster::Flux(Flux::NEWEST), Cluster::Flux("2.6".parse().unwrap())];
        for cluster in clusters {
            let minors = match cluster {
                Cluster::AnyFlux => all.clone(),
                Cluster::Flux(flux) => vec![flux],
            };
            let condition = Condition::shipped(Webhook::Mutate, &Prefilter::of(&settings, cluster));
            conditions.push((settings.clone(), minors, condition));
        }
    }
    let mut left_out = 0;
    for (index, case) in generated(CASES).enumerate() {
        let (settings, minors, condition) = &conditions[index % conditions.len()];
        let asked = Asked::from(case);
        let calls = condition.calls(&asked);
        assert!(calls.is_ok(), "{calls:?}: {}", asked.review);
        if calls == Ok(false) {
            left_out += 1;
            assert_eq!(unseen(&asked, settings, minors), None);
        }
    }
    println!("{CASES} releases, {left_out} left out, 0 exceptions");
    assert!(left_out > CASES / 10, "only {left_out} were left out");
}

#[test]
fn no_clause_can_be_dropped() {
    let settings = Settings::default();
    let minors: Vec<_> = Flux::all().collect();
    let whole = Prefilter::of(&settings, Cluster::AnyFlux);
    let all: Vec<_> = generated(CASES).map(Asked::from).collect();
    let parts: [fn(&mut Prefilter) -> &mut Vec<prefilter::Clause>; 4] =
        [|it| &mut it.always, |it| &mut it.chart_ref, |it| &mut it.inline, |it| &mut it.chart];
    for part in parts {
        for index in 0..part(&mut whole.clone()).len() {
            let mut without = whole.clone();
            let clause = part(&mut without).remove(index);
            let condition = Condition::of(&without);
            let noticed = all.iter().any(|asked| refutes(asked, &condition, &settings, &minors));
            assert!(noticed, "nothing is lost without {}", clause.cel);
        }
    }
}

/// Every comparison and every look whether something is there, replaced by `false` and by `true`, each in an expression of
/// its own.
fn taken_for_granted(expression: &str) -> Vec<(String, [String; 2])> {
    let lines = expression.lines().filter(|line| !line.trim_start().starts_with("//"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut parts = vec![&*text];
    for between in ["&&", "||", " ? ", " : "] {
        parts = parts.into_iter().flat_map(|part| part.split(between)).collect();
    }
    let mut all = Vec::new();
    for part in parts {
        let mut atom = part.trim();
        let open = |atom: &str| atom.matches('(').count();
        let closed = |atom: &str| atom.matches(')').count();
        if let Some((_, inner)) = atom.split_once(".exists(entry,") {
            atom = inner.trim_start();
        }
        while open(atom) > closed(atom) {
            atom = atom.trim_start_matches('!').strip_prefix('(').unwrap().trim_start();
        }
        while open(atom) < closed(atom) {
            atom = atom.strip_suffix(')').unwrap().trim_end();
        }
        let at = atom.as_ptr() as usize - text.as_ptr() as usize;
        let with = |fixed| format!("{}{fixed}{}", &text[..at], &text[at + atom.len()..]);
        all.push((atom.to_owned(), [with("false"), with("true")]));
    }
    all
}

#[test]
fn nothing_in_a_clause_can_be_taken_for_granted() {
    let minors: Vec<_> = Flux::all().collect();
    let all: Vec<_> = generated(CASES).map(Asked::from).collect();
    let configurations = configurations();
    // By default; where no namespace is asked for; and what is asked for besides where it must be the release's own.
    for (settings, of) in
        [(&configurations[0], ""), (&configurations[2], ""), (&configurations[1], "!= request.namespace")]
    {
        let whole = Prefilter::of(settings, Cluster::AnyFlux).to_string();
        for (atom, fixed) in taken_for_granted(&whole).into_iter().filter(|(atom, _)| atom.contains(of)) {
            let is_missed = |expression: &String| {
                let condition = Condition::new(expression);
                all.iter().any(|asked| refutes(asked, &condition, settings, &minors))
            };
            assert!(fixed.iter().any(is_missed), "nothing is lost where this is taken for granted: {atom}");
        }
    }
}

#[test]
fn what_is_in_order_is_left_out() {
    let prefilter = Prefilter::of(&Settings::default(), Cluster::AnyFlux);
    for webhook in Webhook::ALL {
        let condition = Condition::shipped(webhook, &prefilter);
        for case in clean() {
            let asked = Asked::from(case);
            assert_eq!(condition.calls(&asked), Ok(false), "{webhook}: {}", asked.review);
        }
    }
}

/// A release that a rule has a word about, new or as an update of one with these changes.
fn bad(edits: &[(&str, Value)], old: Option<&[(&str, Value)]>) -> Asked {
    let edited = |edits: &[(&str, Value)]| {
        let mut object = clean().remove(0).object;
        object["metadata"]["annotations"] = json!({});
        for (at, value) in edits {
            let (parent, field) = at.rsplit_once('/').unwrap();
            object.pointer_mut(parent).unwrap()[field] = value.clone();
        }
        object
    };
    Case { object: edited(edits), old: old.map_or(Value::Null, edited) }.into()
}

#[test]
fn validate_is_not_asked_about_an_unchanged_generation_and_mutate_is() {
    const AT: &str = "/metadata/generation";
    let prefilter = Prefilter::of(&Settings::default(), Cluster::AnyFlux);
    let [mutate, validate] = Webhook::ALL.map(|webhook| Condition::shipped(webhook, &prefilter));
    let of = |generation: i64| [(AT, json!(generation))];
    let (one, two) = (of(1), of(2));
    for (new, old, is_asked) in [
        (&one[..], None, true),
        (&one, Some(&one[..]), false),
        (&two, Some(&one), true),
        // The API server leaves it out where it is 0, so that it is unchanged here, too.
        (&[], Some(&[]), false),
        (&one, Some(&[]), true),
        (&[], Some(&one), true),
    ] {
        let asked = bad(new, old);
        assert_eq!(validate.calls(&asked), Ok(is_asked), "{}", asked.review);
        assert_eq!(mutate.calls(&asked), Ok(true), "{}", asked.review);
    }
}

#[test]
fn neither_is_asked_about_a_deletion_or_our_own_release() {
    let settings = Settings::default();
    let prefilter = Prefilter::of(&settings, Cluster::AnyFlux);
    let (name, namespace, target) = ("/metadata/name", "/metadata/namespace", "/spec/targetNamespace");
    let (own, system, flux) = (json!("chartgate"), json!("chartgate-system"), json!("flux-system"));
    for webhook in Webhook::ALL {
        // With a prefilter and without one: a component takes it out.
        let observing = Condition::new(&webhook.observing(&settings));
        for condition in [Condition::shipped(webhook, &prefilter), observing] {
            for (edits, is_asked) in [
                (vec![], true),
                (vec![("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"))], false),
                (vec![(name, own.clone()), (namespace, flux.clone()), (target, system.clone())], false),
                (vec![(name, own.clone()), (namespace, system.clone())], false),
                (vec![(name, own.clone())], true),
                // A tenant may give a release this name, and install it into any namespace.
                (vec![(name, own.clone()), (target, system.clone())], true),
                (vec![(name, own.clone()), (namespace, flux.clone())], true),
                (vec![(namespace, flux.clone()), (target, system.clone())], true),
                (vec![(name, own.clone()), (namespace, system.clone()), (target, json!("apps"))], true),
                (vec![(target, system.clone())], true),
                (vec![("/metadata", json!({})), ("/spec", json!(3))], true),
            ] {
                let asked = bad(&edits, None);
                assert_eq!(condition.calls(&asked), Ok(is_asked), "{webhook}: {}", asked.review);
            }
        }
    }
}

#[test]
fn our_own_release_is_where_the_configuration_says() {
    let edits = |namespace: &str| {
        let at = [
            ("/metadata/name", "chartgate"),
            ("/metadata/namespace", namespace),
            ("/spec/targetNamespace", "chartgate-system"),
        ];
        at.map(|(at, value)| (at, json!(value)))
    };
    for (installers, unseen) in [(vec!["flux", "gitops"], vec!["flux", "gitops"]), (vec![], vec![])] {
        let installers = installers.into_iter().map(str::to_owned).collect();
        let settings = Settings { installers, ..Settings::default() };
        let prefilter = Prefilter::of(&settings, Cluster::AnyFlux);
        for webhook in Webhook::ALL {
            let observing = Condition::new(&webhook.observing(&settings));
            for condition in [Condition::shipped(webhook, &prefilter), observing] {
                for namespace in ["flux", "gitops", "flux-system", "chartgate-system"] {
                    let asked = bad(&edits(namespace), None);
                    assert_eq!(condition.calls(&asked), Ok(!unseen.contains(&namespace)), "{}", asked.review);
                }
            }
        }
    }
}

#[test]
fn every_bad_example_of_a_rule_is_seen() {
    let condition =
        Condition::shipped(Webhook::Validate, &Prefilter::of(&Settings::default(), Cluster::AnyFlux));
    // No condition can see an error that depends on another object; and a field that the CRD does not have never reaches
    // one.
    let can_be_seen = |rule: &&&Rule| {
        rule.bad.sources.is_none() && rule.bad.source.is_none() && rule.id != "unknown-chart-field"
    };
    for rule in rules().iter().filter(can_be_seen) {
        // The API server counts the generation on where the spec changes, before it asks /validate.
        let document = |text, generation: i64| {
            let mut document = preflight::documents(text).unwrap().remove(0);
            document["metadata"]["generation"] = json!(generation);
            document
        };
        let old = rule.bad.before.map_or(Value::Null, |before| document(before, 1));
        let mut settings = Settings::default();
        if rule.bad.same_namespace_only {
            settings.chart_ref.cross_namespace = CrossNamespace::Deny;
        }
        let own = Condition::shipped(Webhook::Validate, &Prefilter::of(&settings, Cluster::AnyFlux));
        let condition = if rule.bad.same_namespace_only { &own } else { &condition };
        let case = Case { object: document(rule.bad.object, 2), old };
        assert_eq!(condition.calls(&case.into()), Ok(true), "{}", rule.id);
    }
}

#[test]
fn the_corpus_is_left_out_after_one_pass_through_our_patch() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let Ok(index) = fs::read_to_string(corpus.join("index.jsonl")) else {
        eprintln!("skipped: no corpus");
        return;
    };
    let settings = Settings::default();
    let condition = Condition::of(&Prefilter::of(&settings, Cluster::AnyFlux));
    let (mut all, mut without_findings, mut left_out) = (0, 0, 0);
    for line in index.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        if entry["rec"] != "hr"
            || !["chart", "chartRef"].contains(&entry["class"].as_str().unwrap_or_default())
        {
            continue;
        }
        let text = fs::read_to_string(corpus.join(entry["path"].as_str().unwrap())).unwrap();
        let documents = preflight::documents(&text).unwrap_or_default();
        for mut object in documents.into_iter().filter(|document| document["kind"] == "HelmRelease") {
            object["metadata"]["namespace"] = json!("apps");
            let mut case = Case { object, old: Value::Null };
            let facts = Facts::of(Flux::NEWEST);
            let preview = preflight::preview(&case.review(), &settings, &facts).unwrap();
            if let preflight::Verdict::Patched { result, .. } = preview.verdict {
                case.object = result;
            }
            let asked = Asked::from(case);
            let calls = condition.calls(&asked).unwrap();
            let found = findings(&asked.review, &settings, Flux::NEWEST);
            assert!(calls || found.is_empty(), "{found:?} is not seen: {}", asked.review);
            all += 1;
            without_findings += usize::from(found.is_empty());
            left_out += usize::from(!calls);
        }
    }
    println!("{all} releases, {without_findings} without findings once patched, {left_out} left out");
    assert!(left_out * 100 >= without_findings * 99, "only {left_out} of {without_findings} are left out");
}

/// Holds what stands between two marks in a manifest to what belongs there, or writes it.
fn generated_in(file: &str, mark: &str, indent: usize, written: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests").join(file);
    let text = fs::read_to_string(&path).unwrap();
    let indent = " ".repeat(indent);
    let (opening, closing) = (format!("{indent}# >>> {mark}\n"), format!("{indent}# <<< {mark}\n"));
    let (before, rest) = text.split_once(&opening).unwrap();
    let (there, after) = rest.split_once(&closing).unwrap();
    let written: String = written.lines().flat_map(|line| [&indent, line, "\n"]).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{before}{opening}{written}{closing}{after}")).unwrap();
    } else {
        assert!(there == written, "{file} is out of date; run `just generate`");
    }
}

/// `just generate` has it write the manifests anew.
#[test]
fn the_manifests_carry_the_prefilter_of_the_default_configuration() {
    let prefilter = Prefilter::of(&Settings::default(), Cluster::AnyFlux);
    let indented =
        |expression: &str, by: &str| expression.lines().flat_map(|line| [by, line, "\n"]).collect::<String>();
    for (webhook, file) in
        Webhook::ALL.into_iter().zip(["10-mutating-webhook.yaml", "11-validating-webhook.yaml"])
    {
        let condition = indented(&webhook.condition(&prefilter), "    ");
        let first = format!("- name: {}\n  expression: |-\n{condition}", prefilter::NAME);
        generated_in(&format!("base/{file}"), "prefilter", 6, &first);
        let rest = indented(&webhook.observing(&Settings::default()), "  ");
        let rest = format!("name: {}\nexpression: |-\n{rest}", prefilter::OBSERVED);
        generated_in("components/observe-all/kustomization.yaml", webhook.as_str(), 10, &rest);
    }
}
