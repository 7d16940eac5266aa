//! Checks Flux 2.10: a `spec.chart` that makes an OCIRepository, the moves to it and from it, and CRDs that no known Flux
//! has.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Chartgate, Cluster, Kubernetes, Namespace, Options, Write, chart_ref, eventually, release,
};
use crate::scene::Scene;

const FLUX: &str = "2.10";
const APPLIER: &str = "kustomize-controller";
const OPTIONS: Options<'_> = Options::with_arguments(&["--flux", FLUX]);
const SOON: Duration = Duration::from_secs(20);

/// The message of the API server of 2.10 about a chart that lacks chart or sourceRef.
const TEMPLATE: &str =
    "chart.spec.chart and chart.spec.sourceRef must be set when chart.kind is not 'OCIRepository'";
const EITHER: &str = "either chart or chartRef must be set";

/// A chart of a HelmRepository that leaves the version open.
fn template() -> Value {
    json!({"chart": {"spec": {"chart": "podinfo", "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}}}})
}

/// A chart that makes an OCIRepository.
fn inline() -> Value {
    json!({"chart": {"kind": "OCIRepository", "spec": {"url": "oci://example.org/podinfo"}}})
}

/// The manifest that Flux applies.
fn apply(namespace: &Namespace<'_>, spec: &Value) -> Answer {
    let write = Write::by(APPLIER).forced();
    namespace.releases("v2").apply(&release("v2", "app", spec), write)
}

/// The edit that another user makes by hand.
fn edit(namespace: &Namespace<'_>, chart: &Value) {
    let patch = json!({"spec": {"chart": chart}});
    namespace.releases("v2").merge_patch("app", &patch, Write::by("lens")).accepted();
}

/// The outcome of a move where another manager owns a part of the chart.
struct History {
    name: &'static str,
    /// The manifest that Flux applies first; nothing where the other manager creates the release.
    first: Option<Value>,
    /// The write of the other manager: the chart of a merge patch, or the spec of the release that it creates.
    other: Value,
    then: Value,
    /// The answer of the API server alone.
    alone: &'static [&'static str],
    /// The answer of chartgate: it heals with a warning, or denies with a command that helps.
    with: Ending,
}

enum Ending {
    Healed(&'static str, fn(&Value) -> bool),
    Denied(&'static str),
}

fn histories() -> Vec<History> {
    let no_chart = |spec: &Value| spec["chart"].is_null();
    let is_inline = |spec: &Value| spec["chart"] == inline()["chart"];
    let is_template = |spec: &Value| spec["chart"] == template()["chart"];
    let spec = |spec: Value| json!({"spec": spec});
    vec![
        History {
            name: "chart with another's interval, to chartRef",
            first: Some(template()),
            other: spec(json!({"interval": "5m"})),
            then: chart_ref(),
            alone: &[EITHER, TEMPLATE],
            with: Ending::Healed(
                "[partial-chart] removed spec.chart.spec.interval, left by \"lens\"",
                no_chart,
            ),
        },
        History {
            name: "chart with another's version, to an inline source",
            first: Some(template()),
            other: spec(json!({"version": "6.5.4"})),
            then: inline(),
            alone: &["chart.spec.version cannot be set when chart.kind is 'OCIRepository'"],
            with: Ending::Healed(
                "[inline-chart-fields] removed spec.chart.spec.version, left by \"lens\"",
                is_inline,
            ),
        },
        History {
            name: "chart made by another, to an inline source",
            first: None,
            other: template(),
            then: inline(),
            alone: &[
                "chart.spec.chart cannot be set when chart.kind is 'OCIRepository'",
                "chart.spec.sourceRef cannot be set when chart.kind is 'OCIRepository'",
            ],
            with: Ending::Denied(
                "[inline-chart-fields] spec.chart.spec.chart, spec.chart.spec.sourceRef are left",
            ),
        },
        History {
            name: "inline source with another's interval, to chartRef",
            first: Some(inline()),
            other: spec(json!({"interval": "5m"})),
            then: chart_ref(),
            alone: &[EITHER, TEMPLATE],
            with: Ending::Healed(
                "[partial-chart] removed spec.chart.spec.interval, left by \"lens\"",
                no_chart,
            ),
        },
        History {
            name: "inline source made by another, to chartRef",
            first: None,
            other: inline(),
            then: chart_ref(),
            alone: &[EITHER],
            with: Ending::Denied("[chart-and-chart-ref] spec.chart and spec.chartRef are both set"),
        },
        History {
            name: "inline source with another's url, back to a chart",
            first: Some(inline()),
            other: spec(json!({"url": "oci://example.org/other"})),
            then: template(),
            alone: &["chart.spec.url requires chart.kind: 'OCIRepository'"],
            with: Ending::Healed("[chart-kind] removed spec.chart.spec.url, left by \"lens\"", is_template),
        },
        History {
            name: "inline source made by another, back to a chart",
            first: None,
            other: inline(),
            then: template(),
            alone: &["chart.spec.chart cannot be set when chart.kind is 'OCIRepository'"],
            with: Ending::Denied("[inline-chart-fields] spec.chart.kind, spec.chart.spec.url are left"),
        },
    ]
}

impl History {
    fn begin(&self, namespace: &Namespace<'_>) {
        if let Some(first) = &self.first {
            apply(namespace, first).accepted();
            edit(namespace, &self.other);
        } else {
            let object = release("v2", "app", &self.other);
            namespace.releases("v2").create(&object, Write::by("lens")).accepted();
        }
    }

    fn check(&self, cluster: &Cluster, chartgate: &Chartgate<'_>) {
        let name = self.name;
        let (alone, guarded) = (cluster.namespace("alone"), chartgate.namespace("guarded"));
        self.begin(&alone);
        self.begin(&guarded);
        let refused = apply(&alone, &self.then).refused();
        for part in self.alone {
            assert!(refused.contains(part), "{name}: {refused}");
        }
        let answer = apply(&guarded, &self.then);
        match &self.with {
            Ending::Healed(warning, holds) => {
                assert!(answer.warnings.iter().any(|it| it.starts_with(warning)), "{name}: {answer:?}");
                let spec = answer.accepted()["spec"].clone();
                assert!(holds(&spec), "{name}: {spec}");
            }
            Ending::Denied(said) => {
                let refused = answer.refused();
                assert!(refused.contains(said), "{name}: {refused}");
                let command = refused.lines().find_map(|line| Some(&line[line.find("kubectl patch")?..]));
                type_in(cluster, command.expect("a command is offered"));
            }
        }
        // It stays so at the next interval, without a warning. Right after a write, the API server first tries with the object
        // of its cache, which may be the one of before, and keeps the warnings of that attempt.
        let again = eventually("an apply without a warning", SOON, || {
            let again = apply(&guarded, &self.then);
            let is_quiet = again.warnings.is_empty() || matches!(self.with, Ending::Denied(_));
            if is_quiet { Ok(again) } else { Err(format!("{name}: {again:?}")) }
        });
        again.accepted();
    }
}

fn type_in(cluster: &Cluster, command: &str) {
    let kubectl = cluster.kubectl();
    let bin = Path::new(kubectl.get_program()).parent().expect("it is in a folder");
    let shell = Command::new("/bin/sh")
        .args(["-c", command])
        .env_clear()
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("HOME", bin)
        .env("PATH", bin)
        .output();
    let output = shell.expect("there is a shell");
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_another_manager_left_is_healed_or_denied_with_a_command_that_helps() {
    if !Cluster::has_crds(FLUX) {
        return;
    }
    for kubernetes in Kubernetes::ALL {
        let Some(cluster) = Cluster::start_at(FLUX, kubernetes) else { return };
        let chartgate = Chartgate::start(&cluster, OPTIONS);
        for history in histories() {
            history.check(&cluster, &chartgate);
        }
    }
}

#[test]
fn one_applier_moves_from_a_chart_to_an_inline_source_to_a_chart_ref_and_back() {
    if !Cluster::has_crds("2.9") || !Cluster::has_crds(FLUX) {
        return;
    }
    let Some(cluster) = Cluster::start("2.9") else { return };
    let (from_before, new) = (cluster.namespace("from-2-9"), cluster.namespace("new"));
    let stored = apply(&from_before, &template()).accepted();
    assert_eq!(stored["spec"]["chart"]["spec"]["reconcileStrategy"], "ChartVersion", "2.9 fills in defaults");
    cluster.upgrade_crds(FLUX);
    let kubeconfig = cluster.kubeconfig();
    let chartgate =
        Chartgate::start(&cluster, Options { kubeconfig: Some(&kubeconfig), ..Options::default() });
    let guarded = chartgate.namespace("guarded");
    let expected = "[+]crd-helmreleases ok: HelmRelease v2 as Flux 2.10, stored at v2\n";
    eventually(expected, SOON, || {
        let report = chartgate.observe("/readyz?verbose");
        if report.contains(expected) { Ok(()) } else { Err(report) }
    });
    for namespace in [&from_before, &new, &guarded] {
        for spec in [template(), inline(), chart_ref(), inline(), template(), chart_ref(), template()] {
            let answer = apply(namespace, &spec);
            let is_expected =
                |text: &String| text.contains("is not there") || text.starts_with("[chart-digest-upgrade] ");
            let unexpected = answer.warnings.iter().find(|warning| !is_expected(warning));
            assert_eq!(unexpected, None, "{spec}: {answer:?}");
            answer.accepted();
        }
    }
}

/// The CRD of 2.10 as a Flux 2.11 could have it: one field, one kind and one rule more, three rules less.
fn of_the_future(crd: &mut Value) {
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/chart";
    let chart = crd.pointer_mut(spec).expect("v2 is the only version, and has a chart");
    let template = &mut chart["properties"]["spec"]["properties"];
    template["mirror"] = json!({"type": "string"});
    chart["properties"]["kind"]["enum"].as_array_mut().expect("it is a list").push(json!("HelmBundle"));
    let rules = chart["x-kubernetes-validations"].as_array_mut().expect("it is a list");
    let dropped = [TEMPLATE, "chart.spec.version cannot be set", "chart.spec.url requires"];
    rules.retain(|rule| {
        !dropped.iter().any(|it| rule["message"].as_str().is_some_and(|said| said.starts_with(it)))
    });
    assert_eq!(rules.len(), 6, "three of nine are dropped");
    rules.push(json!({"rule": "!has(self.spec.mirror) || self.spec.mirror != ''", "message": "mirror must be filled"}));
}

#[test]
fn a_flux_that_nobody_knows_is_answered_from_its_schema_and_named_as_unknown() {
    if !Cluster::has_crds(FLUX) {
        return;
    }
    let Some(cluster) = Cluster::start(FLUX) else { return };
    let kubeconfig = cluster.kubeconfig();
    // The live CRD decides, and not the flag.
    let options = Options { kubeconfig: Some(&kubeconfig), ..OPTIONS };
    let chartgate = Chartgate::start(&cluster, options);
    let guarded = chartgate.namespace("future");
    let mut pinned = inline();
    pinned["chart"]["spec"]["version"] = json!("6.5.4");
    let eventually_refused = || {
        eventually("2.10 refuses a version", SOON, || {
            let answer = apply(&guarded, &pinned);
            if answer.status >= 400 { Ok(answer) } else { Err(format!("{answer:?}")) }
        })
    };
    assert!(eventually_refused().refused().contains("[inline-chart-fields] spec.chart.spec.version is set"));

    cluster.change_crd(FLUX, "HelmRelease", of_the_future);
    let expected = "[+]crd-helmreleases ok: HelmRelease v2 of an unknown Flux minor, judged by its schema; \
                    it has a rule that chartgate does not know: \"mirror must be filled\", stored at v2\n";
    eventually("it is named as unknown", SOON, || {
        let report = chartgate.observe("/readyz?verbose");
        if report.contains(expected) { Ok(()) } else { Err(report) }
    });
    let log = chartgate.process().log();
    assert!(log.contains("of an unknown Flux minor"), "{log}");

    let mut mirrored = template();
    mirrored["chart"]["spec"]["mirror"] = json!("oci://example.org");
    let mut bundle = template();
    bundle["chart"]["kind"] = json!("HelmBundle");
    let partial = json!({"chart": {"spec": {"version": "6.5.4"}}});
    let url = json!({"chart": {"spec": {"url": "oci://example.org/podinfo"}}});
    for spec in [&pinned, &mirrored, &bundle, &partial, &url] {
        apply(&guarded, spec).accepted();
    }
    // Errors that it still refuses are still denied, and those that only it can judge are left to it.
    let mut with_chart = inline();
    with_chart["chart"]["spec"]["chart"] = json!("podinfo");
    let refused = apply(&guarded, &with_chart).refused();
    assert!(refused.contains("[inline-chart-fields] spec.chart.spec.chart is set"), "{refused}");
    mirrored["chart"]["spec"]["mirror"] = json!("");
    assert!(apply(&guarded, &mirrored).refused().contains("mirror must be filled"));

    files_are_judged_by_it(&cluster, &[pinned, bundle, partial, url]);
}

/// `check` reads the same from the cluster and from a file; only a Flux that it knows refuses them.
fn files_are_judged_by_it(cluster: &Cluster, specs: &[Value]) {
    let mut scene = Scene::new(&[]);
    scene.beside(cluster.kubeconfig());
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/helmreleases.helm.toolkit.fluxcd.io";
    scene.write("crd.json.txt", cluster.get(crd).accepted().to_string());
    for (number, spec) in specs.iter().enumerate() {
        let object = release("v2", &format!("app-{number}"), spec);
        scene.write(&format!("{number}.yaml"), serde_saphyr::to_string(&object).expect("it can be written"));
    }
    for schemas in [&["--crd", "crd.json.txt"][..], &["--cluster"]] {
        let said = scene.check(&[schemas, &["--fail-on=error"]].concat());
        assert_eq!(said.code, 0, "{schemas:?}: {}{}", said.out, said.err);
    }
    let said = scene.check(&["--flux", FLUX, "--fail-on=error"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
}
