//! Applies releases of every stored state under `manifests/enforce` by the real Flux: kustomize-controller from artifacts
//! that source-controller pulls, on the CRDs of Flux 2.9 that are then upgraded to 2.10 in place.
//!
//! Every Kustomization stays Ready unless its author changes something wrong. Each state has a control, a release of the
//! same history that no webhook is called for: where the API server alone refuses, chartgate does not have to help.

mod scene;
mod states;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use serde_json::json;

use self::scene::{Fleet, Ready};
use self::states::{Era, STATES};
use crate::harness::{CONFIGURATIONS, Cluster, Installation, Namespace, Write, release, say};

/// The label by which the webhooks leave out the namespace of the controls.
const CONTROL: &str = "chartgate-tests/control";

/// At least so many reconciliations of every Kustomization in each phase.
const INTERVALS: usize = 3;

/// The phases of the table. In all but [`WRONG`] a Kustomization has to be Ready wherever its control is.
const PHASES: [&str; 6] =
    ["before", "enforced, 2.9", "enforced, 2.10", "harmless change", "wrong change", "right change"];
const WRONG: usize = 4;

/// How each Kustomization did in each phase, by namespace and name.
#[derive(Default)]
struct Table {
    phases: [BTreeMap<(String, String), Ready>; PHASES.len()],
}

#[test]
fn every_kustomization_stays_ready_unless_its_author_changes_something_wrong() {
    let Some(cluster) = Cluster::start("2.9") else { return };
    if !(Cluster::has_crds("2.3") && Cluster::has_crds("2.10")) {
        return say("skipped: no corpus: the CRDs of Flux 2.3 and 2.10 are not in ../shared/crds");
    }
    let (Some(flux), Some(sources)) = (cluster.kustomize_controller(), cluster.source_controller()) else {
        return;
    };
    let start = Instant::now();
    let named = |name: &str, labels| Namespace::named(&cluster, name.to_owned(), labels);
    let at_once = |era| era != Era::Off;
    let [apps, late, control] = [
        (named("apps", &json!({})), Some(true)),
        (named("late", &json!({"chartgate.dev/mode": "off"})), Some(false)),
        (named("control", &json!({CONTROL: "true"})), None),
    ]
    .map(|(namespace, early)| {
        Fleet::create((flux, sources), namespace, |state| match early {
            Some(early) if early == at_once(state.era) => state.releases,
            Some(_) => 0,
            None => 1,
        })
    });
    let mut fleets = [apps, late, control];
    let mut table = Table::default();

    // Flux 2.3 stores what later versions refuse, and is upgraded.
    cluster.upgrade_release_crd("2.3");
    for fleet in &mut fleets {
        fleet.restore();
        fleet.add(|era| matches!(era, Era::V2beta1 { .. }), "v2beta1");
        fleet.touch(true);
    }
    for fleet in &mut fleets {
        fleet.add(|era| matches!(era, Era::V2beta1 { .. } | Era::Before), "v2");
        fleet.touch(false);
        fleet.migrate(|era| era == Era::V2beta1 { migrated: true });
    }
    cluster.upgrade_release_crd("2.9");
    let mark = flux.reconciliations().len();
    table.intervals(0, &fleets, mark);
    say(&format!("stored after {:?}", start.elapsed()));

    let mark = flux.reconciliations().len();
    let installation = Installation::apply(&cluster, "enforce");
    leave_out_controls(&cluster);
    installation.start();
    let bad = release("v2", "bad", &json!({"chartRef": {"kind": "OCIRepository", "name": "Podinfo"}}));
    installation.wait_until("a bad release is denied", &bad, |status, _| status >= 400);
    for fleet in &mut fleets[1..] {
        fleet.add(|era| era == Era::Off, "v2");
    }
    let unlabel = json!({"metadata": {"labels": {"chartgate.dev/mode": null}}});
    cluster.objects("v1", "namespaces").merge_patch("late", &unlabel, Write::by("me")).accepted();
    table.intervals(1, &fleets, mark);
    say(&format!("enforced after {:?}", start.elapsed()));

    let mark = flux.reconciliations().len();
    cluster.upgrade_crds("2.10");
    for fleet in &mut fleets {
        fleet.add(|era| era == Era::Flux210, "v2");
    }
    table.intervals(2, &fleets, mark);
    let uids = fleets.each_ref().map(Fleet::uids);
    say(&format!("upgraded after {:?}", start.elapsed()));

    for fleet in &mut fleets {
        fleet.change(|state, manifest, _| (state.harmless)(manifest));
    }
    table.publish(3, &fleets);
    let harmless: Vec<Vec<_>> = fleets.iter().map(Fleet::manifests).collect();
    for fleet in &mut fleets {
        fleet.change(|state, manifest, place| (state.wrong.0)(manifest, place));
    }
    table.publish(WRONG, &fleets);
    assert_eq!(fleets.each_ref().map(Fleet::uids)[..2], uids[..2], "a denial deletes nothing");
    for (fleet, manifests) in fleets.iter_mut().zip(harmless) {
        fleet.revert(manifests);
        fleet.migrate(|era| era == Era::V2beta1 { migrated: false });
        fleet.change(|state, manifest, place| (state.right)(manifest, place));
    }
    table.publish(5, &fleets);

    say(&format!("{}\nin {:?}", table.text(&fleets), start.elapsed()));
    let faults = table.faults(&fleets);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The webhooks as shipped, but for the namespace of the controls.
fn leave_out_controls(cluster: &Cluster) {
    let requirement = json!({"key": CONTROL, "operator": "DoesNotExist"});
    for plural in CONFIGURATIONS {
        let at = "/webhooks/0/namespaceSelector/matchExpressions/-";
        let patch = json!([{"op": "add", "path": at, "value": requirement}]);
        let written = cluster.objects("admissionregistration.k8s.io/v1", plural);
        written.json_patch("chartgate", &patch, Write::by("me")).accepted();
    }
}

// === impl Table ===

impl Table {
    /// Waits for [`INTERVALS`] more reconciliations. A single failure since `mark` counts.
    fn intervals(&mut self, phase: usize, fleets: &[Fleet<'_>], mark: usize) {
        let now = fleets[0].reconciliations();
        for fleet in fleets {
            fleet.intervals(INTERVALS, now);
        }
        for fleet in fleets {
            self.enter(phase, fleet, fleet.intervals(INTERVALS, mark));
        }
    }

    /// Publishes what authors have changed, and waits for the outcome.
    fn publish(&mut self, phase: usize, fleets: &[Fleet<'_>]) {
        let pushed: Vec<_> = fleets.iter().map(Fleet::push).collect();
        for (fleet, revision) in fleets.iter().zip(pushed) {
            self.enter(phase, fleet, fleet.attempted(&revision));
        }
    }

    fn enter(&mut self, phase: usize, fleet: &Fleet<'_>, outcomes: BTreeMap<String, Ready>) {
        let namespace = fleet.namespace.name();
        let outcomes = outcomes.into_iter().map(|(name, ready)| ((namespace.to_owned(), name), ready));
        self.phases[phase].extend(outcomes);
    }

    /// The outcomes of the releases of a state in a phase: those that chartgate guards, and the control.
    fn outcomes(&self, phase: usize, state: &str, fleets: &[Fleet<'_>]) -> [Vec<(String, &Ready)>; 2] {
        let (guarded, control) = fleets.split_at(fleets.len() - 1);
        [guarded, control].map(|fleets| {
            let members = fleets.iter().flat_map(|fleet| {
                let names = fleet.members.iter().filter(move |member| member.state.name == state);
                names.map(move |member| (fleet.namespace.name().to_owned(), member.name.clone()))
            });
            members
                .filter_map(|key| {
                    let ready = self.phases[phase].get(&key)?;
                    Some((key.1, ready))
                })
                .collect()
        })
    }

    /// One line a state: how many of its Kustomizations were Ready, and whether the control was.
    fn text(&self, fleets: &[Fleet<'_>]) -> String {
        let mut text = format!("\n{:<22}{:>9}", "state", "releases");
        for phase in PHASES {
            write!(text, "{phase:>18}").expect("memory can be written");
        }
        for state in STATES {
            write!(text, "\n{:<22}{:>9}", state.name, state.releases).expect("memory can be written");
            for phase in 0..PHASES.len() {
                let [guarded, control] = self.outcomes(phase, state.name, fleets);
                let ready = guarded.iter().filter(|(_, ready)| ready.is_ok()).count();
                let alone = match control.first() {
                    None => "-",
                    Some((_, Ok(()))) => "ready",
                    Some((_, Err(_))) => "not",
                };
                let cell =
                    if guarded.is_empty() { "-".to_owned() } else { format!("{ready}/{}", guarded.len()) };
                write!(text, "{:>18}", format!("{cell} ({alone})")).expect("memory can be written");
            }
        }
        text + "\n(in brackets: the same without chartgate)"
    }

    /// Returns the outcomes that differ from the expected ones.
    fn faults(&self, fleets: &[Fleet<'_>]) -> Vec<String> {
        let mut faults = Vec::new();
        for state in STATES {
            for (phase, title) in PHASES.iter().enumerate() {
                let [guarded, control] = self.outcomes(phase, state.name, fleets);
                let alone = control.first().is_some_and(|(_, ready)| ready.is_ok());
                for (name, ready) in guarded {
                    let fault = match ready {
                        Ok(()) if phase == WRONG => "it is Ready".to_owned(),
                        Err(message) if phase == WRONG && !message.contains(state.wrong.1) => {
                            format!("no {:?} in {message}", state.wrong.1)
                        }
                        Err(message) if phase != WRONG && (alone || phase == 5) => message.clone(),
                        _ => continue,
                    };
                    faults.push(format!("{name}, {title}: {fault}"));
                }
            }
        }
        faults
    }
}
