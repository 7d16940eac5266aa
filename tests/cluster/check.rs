//! `chartgate check --cluster`: the live CRD and the live sources, beside what the files have.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Cluster, Write};
use crate::scene::{CHART, CHART_REF, SOURCE, Scene, release};

const NEWEST: &str = "2.9";
const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// The most that an answer about a cluster that cannot be asked may take; waiting for one that is late takes 30 seconds.
const AT_ONCE: Duration = Duration::from_secs(15);

/// A release named `name` in `namespace` whose chart comes from the source `source`.
fn named(namespace: &str, name: &str, source: &str) -> String {
    let text = release(&CHART_REF.replace("podinfo", source));
    text.replace("name: podinfo\n  namespace: apps", &format!("name: {name}\n  namespace: {namespace}"))
}

/// A kubeconfig for an account with these rights.
pub(crate) fn account_with(cluster: &Cluster, rules: &Value) -> PathBuf {
    let (kubeconfig, account) = cluster.account();
    let role =
        json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": account}, "rules": rules});
    let binding = json!({
        "apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account},
        "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": account}],
    });
    let by = Write::by("administrator");
    cluster.objects(RBAC, "clusterroles").create(&role, by).accepted();
    cluster.objects(RBAC, "clusterrolebindings").create(&binding, by).accepted();
    kubeconfig
}

#[test]
fn the_live_crd_decides_and_not_the_flux_that_would_be_assumed() {
    let Some(cluster) = Cluster::start("2.6") else { return };
    let old = release(CHART).replace("/v2\n", "/v2beta2\n");
    let new = release(&CHART_REF.replace("OCIRepository", "ExternalArtifact"));
    let mut scene = Scene::new(&[("old.yaml", &old), ("new.yaml", &new)]);
    scene.beside(cluster.kubeconfig());
    let said = |scene: &Scene| scene.lines(&["--cluster"]);
    assert_eq!(
        said(&scene),
        [
            "new.yaml:8:3: warning[chart-ref-source-missing]: ExternalArtifact \"apps/podinfo\" is not there",
            "new.yaml:9:11: error[chart-ref-kind]: spec.chartRef.kind \"ExternalArtifact\" is not allowed by this cluster",
            "old.yaml:1:13: warning[deprecated-api-version]: HelmRelease v2beta2 is deprecated; Flux 2.8 drops it: set \
             apiVersion to v2",
        ]
    );
    cluster.install_crds(NEWEST);
    assert_eq!(
        said(&scene),
        [
            "new.yaml:8:3: warning[chart-ref-source-missing]: ExternalArtifact \"apps/podinfo\" is not there",
            "old.yaml:1:13: error[deprecated-api-version]: HelmRelease \"v2beta2\" is not served by this cluster",
        ]
    );
}

#[test]
fn sources_of_the_cluster_and_of_the_files_count_together() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let namespace = cluster.namespace("check");
    let source = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "metadata": {"name": "live"},
        "spec": {"interval": "10m", "url": "oci://example.org/charts/podinfo"},
    });
    let sources = namespace.objects("source.toolkit.fluxcd.io/v1", "ocirepositories");
    sources.create(&source, Write::by("administrator")).accepted();
    let name = namespace.name();
    let file = SOURCE.replace("name: podinfo", "name: file").replace("apps", name);
    let mut scene = Scene::new(&[
        ("apps/kustomization.yaml", "resources: [live.yaml, file.yaml, nowhere.yaml, source.yaml]\n"),
        ("apps/live.yaml", &named(name, "live", "live")),
        ("apps/file.yaml", &named(name, "file", "file")),
        ("apps/nowhere.yaml", &named(name, "nowhere", "nowhere")),
        ("apps/source.yaml", &file),
        ("alone.yaml", &format!("{}---\n{}", named(name, "other", "live"), named(name, "missing", "gone"))),
    ]);
    scene.beside(cluster.kubeconfig());
    let missing = |path: &str, source: &str| {
        format!("{path}: warning[chart-ref-source-missing]: OCIRepository \"{name}/{source}\" is not there")
    };
    let all = [missing("alone.yaml:19:3", "gone"), missing("apps/nowhere.yaml:8:3", "nowhere")];
    assert_eq!(scene.lines(&["--cluster"]), all);
    // Without a cluster only the files count, and a file that nobody names says nothing about others.
    let files = [missing("apps/live.yaml:8:3", "live"), missing("apps/nowhere.yaml:8:3", "nowhere")];
    assert_eq!(scene.lines(&[]), files);
    // One file is enough where a cluster knows the others, and its own sources count, too.
    assert_eq!(scene.lines(&["--cluster", "alone.yaml"]), all[..1]);
    scene.write("alone.yaml", format!("{file}---\n{}", named(name, "file", "file")));
    assert_eq!(scene.lines(&["--cluster", "alone.yaml"]), [] as [&str; 0]);
}

#[test]
fn what_the_account_may_not_read_is_an_error_or_a_warning_and_never_a_finding() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let mut scene = Scene::new(&[
        ("kustomization.yaml", "resources: [release.yaml]\n"),
        ("release.yaml", &named("apps", "a", "nowhere")),
    ]);
    let crds = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| format!("{name}.toolkit.fluxcd.io")).collect();
        json!([{"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"],
            "verbs": ["list", "watch"], "resourceNames": names}])
    };
    let begun = Instant::now();
    scene.beside(cluster.account().0);
    let said = scene.check(&["--cluster"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.starts_with("error: cannot read the CRD of HelmRelease from the cluster: ")
            && said.err.contains("is forbidden"),
        "{}",
        said.err
    );
    let sources = [
        "ocirepositories.source",
        "helmcharts.source",
        "externalartifacts.source",
        "helmrepositories.source",
    ];
    let all = [&["helmreleases.helm"], &sources[..]].concat();
    for (names, unknown) in [
        (&["helmreleases.helm"][..], ["crd-ocirepositories", "crd-helmcharts", "crd-externalartifacts"]),
        (&all, ["ocirepositories", "helmcharts", "externalartifacts"]),
    ] {
        scene.beside(account_with(cluster, &crds(names)));
        let said = scene.check(&["--cluster", "--quiet"]);
        assert_eq!((said.code, &*said.out), (0, ""), "{}", said.err);
        for fact in unknown {
            let warning = said
                .err
                .lines()
                .find(|line| line.starts_with(&format!("warning: not known of the cluster: {fact}: ")));
            assert!(warning.is_some_and(|line| line.contains("is forbidden")), "{fact}: {}", said.err);
        }
        assert!(!said.err.contains(": namespaces: "), "nothing is judged by them: {}", said.err);
    }
    // Who may read what is judged by is told nothing.
    let mut rules = crds(&all);
    rules.as_array_mut().expect("it is a list").push(json!({
        "apiGroups": ["source.toolkit.fluxcd.io"],
        "resources": ["ocirepositories", "helmcharts", "externalartifacts", "helmrepositories"],
        "verbs": ["list", "watch"],
    }));
    scene.beside(account_with(cluster, &rules));
    let said = scene.check(&["--cluster", "--quiet"]);
    let finding =
        "release.yaml:8:3: warning[chart-ref-source-missing]: OCIRepository \"apps/nowhere\" is not there\n";
    assert_eq!((&*said.out, &*said.err), (finding, ""));
    assert!(begun.elapsed() < 3 * AT_ONCE, "{:?}", begun.elapsed());
}

#[test]
fn without_a_cluster_to_ask_it_says_so_at_once() {
    let Some(cluster) = Cluster::shared(NEWEST) else { return };
    let mut scene = Scene::new(&[("release.yaml", &release(CHART_REF))]);
    scene.beside("no-such-kubeconfig");
    let said = scene.check(&["--cluster"]);
    assert_eq!(said.code, 2);
    let expected =
        "error: this is no pod, and the kubeconfig cannot be used (set KUBECONFIG to one that can)";
    assert!(said.err.starts_with(expected), "{}", said.err);
    // A door that is shut refuses every connection.
    let begun = Instant::now();
    scene.beside(cluster.kubeconfig_through(&cluster.door()));
    let said = scene.check(&["--cluster"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.starts_with("error: cannot read the CRD of HelmRelease from the cluster: "),
        "{}",
        said.err
    );
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}
