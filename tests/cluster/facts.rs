//! What chartgate knows of the cluster that it runs in: modes of namespaces, the live CRD, and which sources there are.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    Answer, Chartgate, Cluster, Namespace, Options, Write, chart, chart_ref, eventually, release,
};

const NEWEST: &str = "2.9";
const SOURCES: (&str, &str) = ("source.toolkit.fluxcd.io/v1", "ocirepositories");

/// What a change in the cluster may take to count. It takes some ten milliseconds; the machine may be busy.
const SOON: Duration = Duration::from_secs(10);

/// The longest pause before a watch that failed is tried again, and as much for a busy machine.
pub(crate) const AFTER_A_PAUSE: Duration = Duration::from_secs(40);

fn me() -> Write<'static> {
    Write::by("me")
}

/// chartgate as it runs in a pod, with the administrator's rights.
fn in_cluster(cluster: &Cluster) -> Chartgate<'_> {
    let kubeconfig = cluster.kubeconfig();
    let chartgate =
        Chartgate::start(cluster, Options { kubeconfig: Some(&kubeconfig), ..Options::default() });
    for fact in ["crd-helmreleases", "namespaces", "ocirepositories", "helmcharts"] {
        is_synced(&chartgate, fact, true, SOON);
    }
    chartgate
}

fn is_synced(chartgate: &Chartgate<'_>, fact: &str, expected: bool, within: Duration) {
    let line = format!("chartgate_facts_synced{{fact=\"{fact}\"}} {}", u8::from(expected));
    eventually(&line, within, || {
        let metrics = chartgate.observe("/metrics");
        if metrics.lines().any(|found| found == line) {
            Ok(())
        } else {
            Err(chartgate.observe("/readyz?verbose"))
        }
    });
}

fn with_version(mut release: Value) -> Value {
    release["metadata"]["annotations"] = json!({"fluxcd.io/version": "v2"});
    release
}

/// Nothing is wrong with it, and nothing to be filled in.
fn clean(name: &str) -> Value {
    with_version(release("v2", name, &chart()))
}

/// It lacks the annotation, and the namespace of the reference.
pub(crate) fn fixable(name: &str) -> Value {
    release("v2", name, &chart_ref())
}

/// The schema accepts it, and no object can have the name that it refers to.
fn erroneous(namespace: &Namespace<'_>, name: &str) -> Value {
    with_version(release(
        "v2",
        name,
        &json!({"chartRef": {"kind": "HelmChart", "name": "Podinfo", "namespace": namespace.name()}}),
    ))
}

pub(crate) fn put_source(namespace: &Namespace<'_>, name: &str) {
    let source = json!({
        "apiVersion": SOURCES.0, "kind": "OCIRepository", "metadata": {"name": name},
        "spec": {"interval": "10m", "url": "oci://example.org/charts/podinfo"},
    });
    namespace.objects(SOURCES.0, SOURCES.1).create(&source, me()).accepted();
}

pub(crate) fn says(answer: &Answer, rule: &str) -> bool {
    answer.warnings.iter().any(|warning| warning.starts_with(&format!("[{rule}]")))
}

/// Waits until an erroneous release is treated as in `mode`.
fn is_in_mode(namespace: &Namespace<'_>, mode: &str) {
    is_in_mode_within(SOON, namespace, mode);
}

pub(crate) fn is_in_mode_within(time: Duration, namespace: &Namespace<'_>, mode: &str) {
    let releases = namespace.releases("v2");
    eventually(&format!("the mode {mode}"), time, || {
        let answer = releases.create(&erroneous(namespace, "probe"), me().dry_run());
        let denied = answer.message().contains("[chart-ref-name]");
        let seen = match (denied, says(&answer, "chart-ref-name")) {
            (true, _) => "enforce",
            (false, true) => "warn",
            (false, false) => "audit",
        };
        if seen == mode || (seen == "audit" && mode == "off") {
            Ok(())
        } else {
            Err(format!("{seen}: {answer:?}"))
        }
    });
}

#[test]
fn the_label_of_a_namespace_decides_what_is_done_in_it() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let chartgate = in_cluster(cluster);
    for (label, mode) in [
        (None, "enforce"),
        (Some("off"), "off"),
        (Some("audit"), "audit"),
        (Some("warn"), "warn"),
        (Some("enforce"), "enforce"),
        (Some("on"), "enforce"),
    ] {
        let labels: Vec<_> = label.map(|label| ("chartgate.dev/mode", label)).into_iter().collect();
        let namespace = chartgate.labelled_namespace("mode", &labels);
        put_source(&namespace, "podinfo");
        is_in_mode(&namespace, mode);
        let releases = namespace.releases("v2");
        let case = format!("label {label:?}");
        eventually(&case, SOON, || {
            let answer = releases.create(&fixable("source"), me().dry_run());
            if says(&answer, "chart-ref-source-missing") {
                Err("the source is not seen yet".into())
            } else {
                Ok(())
            }
        });
        for write in [me().dry_run(), me()] {
            let answer = releases.create(&clean("clean"), write);
            assert_eq!(answer.warnings, [] as [&str; 0], "{case}");
            assert_eq!(answer.accepted()["metadata"]["annotations"]["fluxcd.io/version"], "v2");

            let answer = releases.create(&fixable("fixable"), write);
            assert_eq!(says(&answer, "version-annotation"), mode == "warn", "{case}: {answer:?}");
            assert_eq!(answer.warnings.is_empty(), mode != "warn", "{case}: {answer:?}");
            let stored = answer.accepted();
            let filled = stored["metadata"]["annotations"]["fluxcd.io/version"] == "v2"
                && stored["spec"]["chartRef"]["namespace"] == namespace.name();
            assert_eq!(filled, mode == "enforce", "{case}: {stored}");

            let answer = releases.create(&erroneous(&namespace, "erroneous"), write);
            assert_eq!(says(&answer, "chart-ref-name"), mode == "warn", "{case}: {answer:?}");
            if mode == "enforce" {
                let refused = answer.refused();
                assert!(refused.contains("[chart-ref-name]"), "{case}: {refused}");
            } else {
                assert_eq!(answer.warnings.is_empty(), mode != "warn", "{case}: {answer:?}");
                answer.accepted();
            }
        }
    }
    let metrics = chartgate.observe("/metrics");
    for line in [
        "chartgate_reviews_total{operation=\"CREATE\",decision=\"skipped\",mode=\"off\",dry_run=\"false\"}",
        "chartgate_reviews_total{operation=\"CREATE\",decision=\"allowed\",mode=\"audit\",dry_run=\"true\"}",
        "chartgate_reviews_total{operation=\"CREATE\",decision=\"warned\",mode=\"warn\",dry_run=\"false\"}",
        "chartgate_reviews_total{operation=\"CREATE\",decision=\"denied\",mode=\"enforce\",dry_run=\"false\"}",
        "chartgate_findings_total{rule=\"chart-ref-name\",level=\"error\",mode=\"audit\"}",
        "chartgate_unknown_mode_namespaces 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn a_label_that_changes_counts_at_once() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let chartgate = in_cluster(cluster);
    let namespace = chartgate.labelled_namespace("relabelled", &[("chartgate.dev/mode", "audit")]);
    let namespaces = cluster.objects("v1", "namespaces");
    is_in_mode(&namespace, "audit");
    for (label, mode) in [(json!("warn"), "warn"), (json!("audit"), "audit"), (Value::Null, "enforce")] {
        let patch = json!({"metadata": {"labels": {"chartgate.dev/mode": label}}});
        namespaces.merge_patch(namespace.name(), &patch, me()).accepted();
        is_in_mode(&namespace, mode);
    }
}

#[test]
fn who_writes_the_label_hears_of_a_value_that_is_no_mode_and_of_what_the_mode_would_deny() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let chartgate = in_cluster(cluster);
    let namespace = chartgate.labelled_namespace("labelled", &[("chartgate.dev/mode", "audit")]);
    is_in_mode(&namespace, "audit");
    namespace.releases("v2").create(&erroneous(&namespace, "app"), me()).accepted();
    namespace.releases("v2").create(&clean("fine"), me()).accepted();
    let label = |mode: Value, write| {
        let patch = json!({"metadata": {"labels": {"chartgate.dev/mode": mode}}});
        let answer = cluster.objects("v1", "namespaces").merge_patch(namespace.name(), &patch, write);
        let warnings = answer.warnings.clone();
        answer.accepted();
        warnings
    };
    let denies = "enforce will deny changes of 1 HelmRelease: app (chart-ref-name)";
    eventually("the webhook for namespaces is in effect", SOON, || {
        let warnings = label(json!("enforce"), me().dry_run());
        if warnings == [denies] { Ok(()) } else { Err(format!("{warnings:?}")) }
    });
    assert_eq!(label(json!("warn"), me()), [] as [&str; 0]);
    let unknown = "chartgate.dev/mode: \"on\" is none of off, audit, warn, enforce; enforce holds";
    assert_eq!(label(json!("on"), me().dry_run()), [unknown, denies]);
    assert_eq!(label(Value::Null, me()), [denies], "without a label, the default holds");
}

#[test]
fn a_missing_source_is_warned_about_until_it_is_there() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let chartgate = in_cluster(cluster);
    let namespace = chartgate.namespace("source");
    let releases = namespace.releases("v2");
    let warns = |expected: bool| {
        eventually(&format!("a warning: {expected}"), SOON, || {
            let answer = releases.apply(&fixable("app"), me().dry_run());
            let expected: Vec<_> = expected
                .then(|| {
                    format!(
                        "[chart-ref-source-missing] OCIRepository \"{}/podinfo\" is not there",
                        namespace.name()
                    )
                })
                .into_iter()
                .collect();
            if answer.warnings == expected {
                answer.accepted();
                Ok(())
            } else {
                Err(format!("{answer:?}"))
            }
        });
    };
    warns(true);
    put_source(&namespace, "podinfo");
    warns(false);
    namespace.objects(SOURCES.0, SOURCES.1).delete("podinfo").accepted();
    warns(true);
}

#[test]
fn an_upgrade_of_flux_is_followed_without_a_restart() {
    if !Cluster::has_crds("2.6") {
        return;
    }
    let Some(cluster) = Cluster::start("2.6") else { return };
    // What is said by a flag is not what decides.
    let kubeconfig = cluster.kubeconfig();
    let options =
        Options { kubeconfig: Some(&kubeconfig), arguments: &["--flux", "2.3"], ..Options::default() };
    let chartgate = Chartgate::start(&cluster, options);
    is_synced(&chartgate, "crd-helmreleases", true, SOON);
    is_synced(&chartgate, "crd-externalartifacts", true, SOON);
    let report = chartgate.observe("/readyz?verbose");
    assert!(
        report.contains(
            "[+]crd-helmreleases ok: HelmRelease v2beta1, v2beta2, v2 as Flux 2.4 to 2.6, stored at v2\n"
        ),
        "{report}"
    );
    assert!(report.contains("[+]crd-externalartifacts ok: no ExternalArtifact\n"), "{report}");
    let namespace = chartgate.namespace("upgrade");
    let refused =
        namespace.releases("v2beta1").create(&release("v2beta1", "app", &chart_ref()), me()).refused();
    assert!(refused.contains("v2beta1 of this cluster requires spec.chart"), "{refused}");
    let artifact =
        release("v2", "app", &json!({"chartRef": {"kind": "ExternalArtifact", "name": "podinfo"}}));
    let refused = namespace.releases("v2").create(&artifact, me()).refused();
    assert!(refused.contains("\"ExternalArtifact\" is not allowed by this cluster"), "{refused}");

    cluster.upgrade_crds(NEWEST);
    let served = Instant::now();
    let answer = eventually("ExternalArtifact is allowed, and missed", SOON, || {
        let answer = namespace.releases("v2").create(&artifact, me().dry_run());
        if says(&answer, "chart-ref-source-missing") { Ok(answer) } else { Err(format!("{answer:?}")) }
    });
    let took = served.elapsed();
    answer.accepted();
    let report = chartgate.observe("/readyz?verbose");
    assert!(
        report.contains("[+]crd-helmreleases ok: HelmRelease v2 as Flux 2.8 to 2.9, stored at v2\n"),
        "{report}"
    );
    assert!(took < Duration::from_secs(5), "an upgrade of Flux counts only after {took:?}");
}

#[test]
fn without_rights_it_serves_says_so_and_takes_up_the_facts_when_they_are_granted() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let (kubeconfig, account) = cluster.account();
    let chartgate =
        Chartgate::start(cluster, Options { kubeconfig: Some(&kubeconfig), ..Options::default() });
    let namespace = chartgate.labelled_namespace("no-rights", &[("chartgate.dev/mode", "audit")]);
    is_in_mode(&namespace, "enforce");
    eventually("it says what it may not do", SOON, || {
        let report = chartgate.observe("/readyz?verbose");
        let told = |fact| report.contains(&format!("[!]{fact} degraded: ")) && report.contains("forbidden");
        let all = ["namespaces", "crd-helmreleases", "prefilter-mutate", "prefilter-validate"];
        if all.into_iter().all(told) { Ok(()) } else { Err(report) }
    });
    // What is not known is no mismatch.
    let mismatches = |webhook| format!("chartgate_prefilter_mismatch{{webhook=\"{webhook}\"}} 0\n");
    let metrics = chartgate.observe("/metrics");
    assert!(["mutate", "validate"].into_iter().all(|it| metrics.contains(&mismatches(it))), "{metrics}");
    assert_eq!(chartgate.observe("/readyz"), "ok\n", "the request alone is enough to serve");
    is_synced(&chartgate, "namespaces", false, SOON);
    is_synced(&chartgate, "ocirepositories", false, SOON);

    let by = me();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": account},
        "rules": [
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["source.toolkit.fluxcd.io"], "verbs": ["list", "watch"],
             "resources": ["ocirepositories", "helmcharts", "externalartifacts"]},
            {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"],
             "verbs": ["list", "watch"], "resourceNames": [
                "helmreleases.helm.toolkit.fluxcd.io", "ocirepositories.source.toolkit.fluxcd.io",
                "helmcharts.source.toolkit.fluxcd.io", "externalartifacts.source.toolkit.fluxcd.io",
                "helmrepositories.source.toolkit.fluxcd.io"]},
            {"apiGroups": ["admissionregistration.k8s.io"], "verbs": ["list", "watch"],
             "resourceNames": ["chartgate"],
             "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"]},
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account},
        "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": account}],
    });
    let (roles, bindings) = ("clusterroles", "clusterrolebindings");
    cluster.objects("rbac.authorization.k8s.io/v1", roles).create(&role, by).accepted();
    cluster.objects("rbac.authorization.k8s.io/v1", bindings).create(&binding, by).accepted();
    for fact in [
        "namespaces",
        "crd-helmreleases",
        "crd-helmrepositories",
        "ocirepositories",
        "externalartifacts",
        "prefilter-mutate",
        "prefilter-validate",
    ] {
        is_synced(&chartgate, fact, true, AFTER_A_PAUSE);
    }
    // Nobody has installed ours here. The facts about it and about what is right come one by one.
    let absent = "[+]prefilter-mutate ok: no MutatingWebhookConfiguration chartgate\n";
    eventually("the configurations are not there", AFTER_A_PAUSE, || {
        let report = chartgate.observe("/readyz?verbose");
        if report.contains(absent) { Ok(()) } else { Err(report) }
    });
    assert!(chartgate.observe("/metrics").contains(&mismatches("mutate")));
    is_in_mode(&namespace, "audit");
    let log = chartgate.process().log();
    let told =
        log.lines().filter(|line| line.contains("cannot watch a fact") && line.contains("\"namespaces\""));
    assert_eq!(told.count(), 1, "the same trouble is told once:\n{log}");
}

#[test]
fn an_api_server_that_is_away_at_the_start_and_goes_again_takes_no_review_with_it() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let mut door = cluster.door();
    let kubeconfig = cluster.kubeconfig_through(&door);
    let chartgate =
        Chartgate::start(cluster, Options { kubeconfig: Some(&kubeconfig), ..Options::default() });
    let namespace = chartgate.labelled_namespace("away", &[("chartgate.dev/mode", "audit")]);
    is_in_mode(&namespace, "enforce");
    is_synced(&chartgate, "namespaces", false, SOON);
    assert_eq!(chartgate.observe("/readyz"), "ok\n");

    door.open();
    is_synced(&chartgate, "namespaces", true, AFTER_A_PAUSE);
    is_in_mode(&namespace, "audit");
    // Each watch takes its own pause.
    eventually("the prefilter is known", AFTER_A_PAUSE, || {
        let report = chartgate.observe("/readyz?verbose");
        if report.contains("[+]prefilter-mutate ok: ") { Ok(()) } else { Err(report) }
    });

    door.shut();
    is_synced(&chartgate, "namespaces", false, AFTER_A_PAUSE);
    is_synced(&chartgate, "prefilter-mutate", false, AFTER_A_PAUSE);
    is_in_mode(&namespace, "audit");
    assert_eq!(chartgate.observe("/readyz"), "ok\n");
    let before = "; comparing what it was before: no MutatingWebhookConfiguration chartgate\n";
    let report = chartgate.observe("/readyz?verbose");
    assert!(report.contains("[!]prefilter-mutate degraded: ") && report.contains(before), "{report}");
    let patch = json!({"metadata": {"labels": {"chartgate.dev/mode": "warn"}}});
    cluster.objects("v1", "namespaces").merge_patch(namespace.name(), &patch, me()).accepted();

    door.open();
    is_synced(&chartgate, "namespaces", true, AFTER_A_PAUSE);
    is_in_mode(&namespace, "warn");
}
