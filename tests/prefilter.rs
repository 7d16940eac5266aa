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
    policy::{AnnotationValue, ChartRefSettings, CrossNamespace, Flux, Settings, rules},
    prefilter::{self, Cluster, Prefilter},
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
fn generated(count: usize) -> impl Iterator<Item = Case> {
    let mut runner = TestRunner::deterministic();
    let strategy = cases(false);
    (0..count).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
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

/// A condition, ready to be asked.
struct Condition(Program);

impl Condition {
    fn of(prefilter: &Prefilter) -> Self {
        Self(Program::compile(&prefilter.to_string()).unwrap())
    }

    /// Whether we would be called.
    fn calls(&self, asked: &Asked) -> Result<bool, String> {
        // What it is made of is the most of the work.
        static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
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
    review: Value,
    variables: [(&'static str, Cel); 3],
}

impl From<Case> for Asked {
    fn from(case: Case) -> Self {
        let review = case.review();
        let request = &review["request"];
        let variables =
            [("object", &request["object"]), ("oldObject", &request["oldObject"]), ("request", request)];
        Self { variables: variables.map(|(name, value)| (name, cel::to_value(value).unwrap())), review }
    }
}

/// What our rules find, as their ids.
fn findings(review: &Value, settings: &Settings, flux: Flux) -> Vec<&'static str> {
    let body = serde_json::to_vec(review).unwrap();
    let answer = admission::review(&body, Endpoint::Mutate, settings, &Facts::of(flux)).unwrap();
    answer.record.findings.iter().map(|finding| finding.rule).chain(answer.record.patched).collect()
}

/// What a rule finds in a release that is left out, for the first Flux where it does.
fn unseen(review: &Value, settings: &Settings, minors: &[Flux]) -> Option<String> {
    minors.iter().find_map(|flux| {
        let found = findings(review, settings, *flux);
        (!found.is_empty()).then(|| format!("Flux {flux}: {found:?} is not seen: {review}"))
    })
}

/// Whether a review speaks against a condition: left out with a finding, or an error.
fn refutes(asked: &Asked, condition: &Condition, settings: &Settings, minors: &[Flux]) -> bool {
    condition.calls(asked).map_or(true, |calls| !calls && unseen(&asked.review, settings, minors).is_some())
}

#[test]
fn what_is_left_out_has_no_finding_and_no_field_of_any_type_is_an_error() {
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
            let condition = Condition::of(&Prefilter::of(&settings, cluster));
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
            assert_eq!(unseen(&asked.review, settings, minors), None);
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
    let parts: [fn(&mut Prefilter) -> &mut Vec<prefilter::Clause>; 3] =
        [|it| &mut it.always, |it| &mut it.chart, |it| &mut it.chart_ref];
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

/// Every comparison and every look whether something is there, replaced by `true`, each in an expression of its own.
fn taken_for_granted(expression: &str) -> Vec<(String, String)> {
    let lines = expression.lines().filter(|line| !line.trim_start().starts_with("//"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let body = text.strip_prefix("!(").and_then(|text| text.strip_suffix(')')).unwrap();
    let mut all = Vec::new();
    for part in body.split("&&").flat_map(|part| part.split("||")) {
        let mut atom = part.trim();
        let open = |atom: &str| atom.matches('(').count();
        let closed = |atom: &str| atom.matches(')').count();
        if let Some((_, inner)) = atom.split_once(".all(entry, ") {
            atom = inner;
        }
        while open(atom) > closed(atom) {
            atom = atom.strip_prefix('(').unwrap().trim_start();
        }
        while open(atom) < closed(atom) {
            atom = atom.strip_suffix(')').unwrap().trim_end();
        }
        let at = atom.as_ptr() as usize - body.as_ptr() as usize;
        let without = format!("!({}true{})", &body[..at], &body[at + atom.len()..]);
        all.push((atom.to_owned(), without));
    }
    all
}

#[test]
fn nothing_in_a_clause_can_be_taken_for_granted() {
    // A bound on the cost, which this evaluator does not count.
    const ONLY_COST: &str = "size(object.metadata.managedFields) <= 100";
    let minors: Vec<_> = Flux::all().collect();
    let all: Vec<_> = generated(CASES).map(Asked::from).collect();
    let configurations = configurations();
    // By default; where no namespace is asked for; and what is asked for besides where it must be the release's own.
    for (settings, of) in
        [(&configurations[0], ""), (&configurations[2], ""), (&configurations[1], "== request.namespace")]
    {
        let whole = Prefilter::of(settings, Cluster::AnyFlux).to_string();
        for (atom, without) in taken_for_granted(&whole).into_iter().filter(|(atom, _)| atom.contains(of)) {
            let condition = Condition(Program::compile(&without).unwrap());
            let noticed = || all.iter().any(|asked| refutes(asked, &condition, settings, &minors));
            assert!(
                atom == ONLY_COST || noticed(),
                "nothing is lost where this is taken for granted: {atom}"
            );
        }
    }
}

#[test]
fn what_is_in_order_is_left_out() {
    let condition = Condition::of(&Prefilter::of(&Settings::default(), Cluster::AnyFlux));
    for case in clean() {
        let asked = Asked::from(case);
        assert_eq!(condition.calls(&asked), Ok(false), "{}", asked.review);
    }
}

#[test]
fn every_bad_example_of_a_rule_is_seen() {
    let condition = Condition::of(&Prefilter::of(&Settings::default(), Cluster::AnyFlux));
    // What is bad only because of another object, no condition can see.
    for rule in rules().iter().filter(|rule| rule.bad.sources.is_none()) {
        let document = |text| preflight::documents(text).unwrap().remove(0);
        let old = rule.bad.before.map_or(Value::Null, document);
        let mut settings = Settings::default();
        if rule.bad.same_namespace_only {
            settings.chart_ref.cross_namespace = CrossNamespace::Deny;
        }
        let own = Condition::of(&Prefilter::of(&settings, Cluster::AnyFlux));
        let condition = if rule.bad.same_namespace_only { &own } else { &condition };
        let case = Case { object: document(rule.bad.object), old };
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

/// `just generate` has it write the manifests anew.
#[test]
fn the_manifests_carry_the_prefilter_of_the_default_configuration() {
    let expression = Prefilter::of(&Settings::default(), Cluster::AnyFlux).to_string();
    let lines: String = expression.lines().flat_map(|line| ["          ", line, "\n"]).collect();
    let condition = format!("      - name: {}\n        expression: |-\n{lines}", prefilter::NAME);
    let (opening, closing) = ("      # >>> prefilter\n", "      # <<< prefilter\n");
    for file in ["10-mutating-webhook.yaml", "11-validating-webhook.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base").join(file);
        let text = fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once(opening).unwrap();
        let (written, after) = rest.split_once(closing).unwrap();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, format!("{before}{opening}{condition}{closing}{after}")).unwrap();
        } else {
            assert!(written == condition, "{file} is out of date; run `just generate`");
        }
        // What follows counts on it: the patches of `chartgate config prefilter` and of observe-all.
        assert!(before.trim_end().lines().rev().any(|line| line == "    matchConditions:"));
    }
}
