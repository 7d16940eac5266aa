//! What each mode means: of the default, of a namespace's label and of a rule, and what is left of it in all places that
//! tell: the answer, the stored object, the API server's audit log, the metrics and the events.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Chartgate, Cluster, Namespace, Options, Write, chart, eventually, release, unique,
};

/// The one minor whose CRDs can be had everywhere.
const NEWEST: &str = "2.9";

/// What a change in the cluster may take to count. The machine may be busy.
const SOON: Duration = Duration::from_mins(1);

/// The rules that find something here.
const FIXABLE: &str = "version-annotation";
const ERRONEOUS: &str = "chart-ref-name";

/// Ordered from hands off to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Off,
    Audit,
    Warn,
    Enforce,
}

const MODES: [Mode; 4] = [Mode::Off, Mode::Audit, Mode::Warn, Mode::Enforce];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    /// Nothing is wrong with it, so the API server does not even ask.
    Clean,
    /// It lacks the annotation.
    Fixable,
    /// The schema accepts it, and no object can have the name that it refers to.
    Erroneous,
}

/// How often a review was counted, by decision and mode, of real writes.
type Counts = BTreeMap<(&'static str, &'static str), u64>;

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Audit => "audit",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        }
    }
}

impl Object {
    fn in_namespace(self, namespace: &Namespace<'_>, name: &str) -> Value {
        let source = match self {
            Self::Clean | Self::Fixable => chart(),
            Self::Erroneous => {
                json!({"chartRef": {"kind": "HelmChart", "name": "Podinfo", "namespace": namespace.name()}})
            }
        };
        let mut object = release("v2", name, &source);
        if self != Self::Fixable {
            object["metadata"]["annotations"] = json!({"fluxcd.io/version": "v2"});
        }
        object
    }

    /// The decision of `/mutate` in a namespace where `mode` holds, under a rule that may do `rule`.
    fn decision(self, mode: Mode, rule: Mode) -> Option<&'static str> {
        Some(match (self, mode, mode.min(rule)) {
            (Self::Clean, ..) => return None,
            (_, Mode::Off, _) => "skipped",
            (Self::Fixable, _, Mode::Enforce) => "patched",
            (Self::Erroneous, _, Mode::Enforce) => "denied",
            (_, _, Mode::Warn) => "warned",
            (_, _, Mode::Audit | Mode::Off) => "allowed",
        })
    }
}

#[test]
fn default_label_and_rule_decide_together() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let cases: Vec<_> = MODES
        .iter()
        .flat_map(|default| [None].into_iter().chain(MODES.map(Some)).map(move |rule| (*default, rule)))
        .collect();
    thread::scope(|scope| {
        for cases in cases.chunks(cases.len().div_ceil(4)) {
            scope.spawn(move || {
                for (default, rule) in cases {
                    of_configuration(cluster, *default, *rule);
                }
            });
        }
    });
}

/// All labels and objects under one configuration.
fn of_configuration(cluster: &Cluster, default: Mode, rule: Option<Mode>) {
    let of_rule = rule.map_or_else(|| "{}".into(), |rule| format!("{{mode: {}}}", rule.as_str()));
    let config = format!(
        "mode: {}\nrules: {{chart-ref-source-missing: {{mode: off}}, {FIXABLE}: {of_rule}, {ERRONEOUS}: {of_rule}}}\n",
        default.as_str()
    );
    let kubeconfig = cluster.kubeconfig();
    let chartgate = Chartgate::start(
        cluster,
        Options { config: Some(&config), kubeconfig: Some(&kubeconfig), ..Options::default() },
    );
    let mut counts = Counts::new();
    for label in [None].into_iter().chain(MODES.map(Some)) {
        let mode = label.unwrap_or(default);
        let labels: Vec<_> = label.map(|label| ("chartgate.dev/mode", label.as_str())).into_iter().collect();
        let namespace = chartgate.labelled_namespace("modes", &labels);
        is_known_to_be_in(cluster, &namespace, mode);
        let case = format!("default {default:?}, label {label:?}, rule {rule:?}");
        // Without one of its own, a rule may do whatever the namespace allows.
        let rule = rule.unwrap_or(Mode::Enforce);
        for object in [Object::Clean, Object::Fixable, Object::Erroneous] {
            for write in [Write::by("me").dry_run(), Write::by("me")] {
                let case = format!("{case}: {object:?}, {write:?}");
                is_treated(cluster, &namespace, (object, write), (mode, rule), &case);
            }
            count(&mut counts, object, mode, rule);
        }
        // Creations leave none, whatever the mode; tests/cluster/events.rs has those of updates.
        let events = namespace.objects("events.k8s.io/v1", "events").list().accepted();
        assert_eq!(events["items"], json!([]), "default {default:?}, label {label:?}");
    }
    let metrics = chartgate.observe("/metrics");
    for ((decision, mode), count) in counts {
        let line = format!(
            "chartgate_reviews_total{{operation=\"CREATE\",decision=\"{decision}\",mode=\"{mode}\",dry_run=\"false\"}} \
             {count}"
        );
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

/// One write, and all that it leaves but events and metrics.
fn is_treated(
    cluster: &Cluster,
    namespace: &Namespace<'_>,
    (object, write): (Object, Write<'_>),
    (mode, rule): (Mode, Mode),
    case: &str,
) {
    let name = format!("release-{}", unique());
    let answer = namespace.releases("v2").apply(&object.in_namespace(namespace, &name), write);
    let decision = object.decision(mode, rule);
    assert_eq!(answer.warnings.is_empty(), decision != Some("warned"), "{case}: {answer:?}");
    let of_rule = if object == Object::Fixable { FIXABLE } else { ERRONEOUS };
    let begins = format!("[{of_rule}] ");
    assert!(answer.warnings.iter().all(|warning| warning.starts_with(&begins)), "{case}: {answer:?}");
    let annotations = annotations(cluster, namespace, &name);
    let noted = |key: &str| annotations.get(&format!("mutate.chartgate.dev/{key}")).map(String::as_str);
    assert_eq!(noted("decision"), decision, "{case}: {annotations:?}");
    assert_eq!(noted("mode"), decision.map(|_| mode.as_str()), "{case}: {annotations:?}");
    let found = decision.filter(|_| mode.min(rule) != Mode::Off).map(|_| of_rule);
    assert_eq!(noted("rules"), found, "{case}: {annotations:?}");
    assert_eq!(noted("patched"), (decision == Some("patched")).then_some(of_rule), "{case}: {annotations:?}");
    is_stored_so(answer, object, decision, case);
}

fn is_stored_so(answer: Answer, object: Object, decision: Option<&str>, case: &str) {
    if decision == Some("denied") {
        let refused = answer.refused();
        assert!(refused.contains(&format!("[{ERRONEOUS}] ")), "{case}: {refused}");
        return;
    }
    let stored = answer.accepted();
    let annotated = stored["metadata"]["annotations"]["fluxcd.io/version"] == "v2";
    assert_eq!(annotated, object != Object::Fixable || decision == Some("patched"), "{case}: {stored}");
}

/// What the audit log has of the webhooks about a write, without the name of the test's registration.
fn annotations(cluster: &Cluster, namespace: &Namespace<'_>, name: &str) -> BTreeMap<String, String> {
    let entry = eventually("the write is in the audit log", SOON, || {
        let log = cluster.audit_log(namespace.name());
        log.into_iter().find(|entry| entry["objectRef"]["name"] == name).ok_or_else(|| name.to_owned())
    });
    let annotations = entry["annotations"].as_object().cloned().unwrap_or_default();
    let ours = annotations.into_iter().filter_map(|(key, value)| {
        let (_, ours) = key.split_once('.').filter(|(instance, _)| instance.starts_with("test-"))?;
        Some((ours.to_owned(), value.as_str()?.to_owned()))
    });
    ours.collect()
}

/// Waits until chartgate has heard of the namespace's label.
fn is_known_to_be_in(cluster: &Cluster, namespace: &Namespace<'_>, mode: Mode) {
    eventually(&format!("the mode {mode:?}"), SOON, || {
        let name = format!("probe-{}", unique());
        let probe = Object::Fixable.in_namespace(namespace, &name);
        namespace.releases("v2").apply(&probe, Write::by("me").dry_run());
        let annotations = annotations(cluster, namespace, &name);
        let found = annotations.get("mutate.chartgate.dev/mode");
        if found.is_some_and(|found| found == mode.as_str()) {
            Ok(())
        } else {
            Err(format!("{annotations:?}"))
        }
    });
}

/// Counts the reviews of one real write. Whoever passes `/mutate` and is not in order then comes to `/validate`, too.
fn count(counts: &mut Counts, object: Object, mode: Mode, rule: Mode) {
    let Some(decision) = object.decision(mode, rule) else { return };
    let reviews = if matches!(decision, "denied" | "patched") { 1 } else { 2 };
    *counts.entry((decision, mode.as_str())).or_default() += reviews;
}
