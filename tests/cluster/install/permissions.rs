//! Least privilege: what the `ServiceAccount` may do is what the table below needs, and nothing else.
//!
//! Each verb on each resource and name of each rule is taken away in turn, at the real API server; the very requests that the
//! table has for it are then refused, and no other. So a grant without a need fails here as well as a need without a
//! grant.

mod scanner;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::NEWEST;
use crate::harness::{Cluster, Installation, Namespace, Write, eventually, manifests, say};

/// The API server hears of changed roles by watch.
const IN_EFFECT: Duration = Duration::from_secs(30);

const ROLES: &str = "rbac.authorization.k8s.io/v1";

/// Requests of one kind that chartgate makes.
struct Need {
    /// What does not work without; a fact by the name that it has in `chartgate_facts_synced`.
    feature: &'static str,
    group: &'static str,
    resource: &'static str,
    /// The one object that it is about; list and watch select it by field.
    name: Option<&'static str>,
    /// The namespace, if it is only one.
    namespace: Option<&'static str>,
    verbs: &'static [&'static str],
}

const fn need(
    feature: &'static str,
    (group, resource): (&'static str, &'static str),
    name: Option<&'static str>,
    namespace: Option<&'static str>,
    verbs: &'static [&'static str],
) -> Need {
    Need { feature, group, resource, name, namespace, verbs }
}

const WATCHED: &[&str] = &["list", "watch"];
const SOURCES: &str = "source.toolkit.fluxcd.io";
const WEBHOOKS: &str = "admissionregistration.k8s.io";
const SYSTEM: Option<&str> = Some("chartgate-system");
const OURS: Option<&str> = Some("chartgate");

const LEASES: (&str, &str) = ("coordination.k8s.io", "leases");

const CRDS: &str = "apiextensions.k8s.io";
const CRD: &str = "customresourcedefinitions";

#[rustfmt::skip] // A table.
const NEEDS: &[Need] = &[
    need("fact crd-helmreleases", (CRDS, CRD), Some("helmreleases.helm.toolkit.fluxcd.io"), None, WATCHED),
    need("fact crd-ocirepositories", (CRDS, CRD), Some("ocirepositories.source.toolkit.fluxcd.io"), None, WATCHED),
    need("fact crd-helmcharts", (CRDS, CRD), Some("helmcharts.source.toolkit.fluxcd.io"), None, WATCHED),
    need("fact crd-externalartifacts", (CRDS, CRD), Some("externalartifacts.source.toolkit.fluxcd.io"), None, WATCHED),
    need("fact crd-helmrepositories", (CRDS, CRD), Some("helmrepositories.source.toolkit.fluxcd.io"), None, WATCHED),
    need("fact namespaces", ("", "namespaces"), None, None, WATCHED),
    need("fact ocirepositories", (SOURCES, "ocirepositories"), None, None, WATCHED),
    need("fact helmcharts", (SOURCES, "helmcharts"), None, None, WATCHED),
    need("fact externalartifacts", (SOURCES, "externalartifacts"), None, None, WATCHED),
    need("scan, and warning on a new mode", ("helm.toolkit.fluxcd.io", "helmreleases"), None, None, &["list"]),
    need("force", ("kustomize.toolkit.fluxcd.io", "kustomizations"), None, None, &["list"]),
    need("fact prefilter-mutate", (WEBHOOKS, "mutatingwebhookconfigurations"), OURS, None, WATCHED),
    need("fact prefilter-validate", (WEBHOOKS, "validatingwebhookconfigurations"), OURS, None, WATCHED),
    // After the facts: what follows a configuration for either purpose loses the same right.
    need("live /mutate", (WEBHOOKS, "mutatingwebhookconfigurations"), OURS, None, &["get", "list", "watch", "patch"]),
    need("live /validate", (WEBHOOKS, "validatingwebhookconfigurations"), OURS, None, &["get", "list", "watch", "patch"]),
    need("events", ("events.k8s.io", "events"), None, None, &["create", "patch"]),
    need("scanning", LEASES, Some("chartgate-audit"), SYSTEM, &["get", "update"]),
    need("first scan", LEASES, None, SYSTEM, &["create"]),
    need("reports", ("openreports.io", "reports"), None, None, &["list", "create"]),
    need("a report", ("openreports.io", "reports"), OURS, None, &["patch", "delete"]),
    need("policy reports", ("wgpolicyk8s.io", "policyreports"), None, None, &["list", "create"]),
    need("a policy report", ("wgpolicyk8s.io", "policyreports"), OURS, None, &["patch", "delete"]),
    need("shared certificate", ("", "secrets"), Some("chartgate-tls"), SYSTEM, &["get", "list", "watch", "update"]),
    need("first certificate", ("", "secrets"), None, SYSTEM, &["create"]),
];

/// What is needed to keep certificates, and to tell of it.
const CERTIFICATES: [&str; 5] =
    ["live /mutate", "live /validate", "events", "shared certificate", "first certificate"];

/// Every verb that a rule could grant on an object.
const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// A role without one verb on one resource, or one name, of one rule, and which requests that takes away.
struct Less {
    role: Value,
    lost: Vec<String>,
}

#[test]
fn every_permission_is_needed_and_every_need_is_permitted() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    cluster.apply(&manifests("enforce"), &[]);
    settled(&cluster, &[]);
    let mut taken = 0;
    for role in cluster.kustomize(&manifests("enforce")).iter().filter(|object| is_role(object)) {
        for Less { role: less, lost } in each_less(role) {
            assert!(!lost.is_empty(), "nothing in the table needs what is missing in {less}");
            put(&cluster, &less);
            settled(&cluster, &lost);
            taken += 1;
        }
        put(&cluster, role);
        settled(&cluster, &[]);
    }
    // Two features may need the same.
    let grants = NEEDS.iter().flat_map(|need| {
        need.verbs.iter().map(move |verb| (verb, need.group, need.resource, need.name, need.namespace))
    });
    assert_eq!(taken, grants.collect::<BTreeSet<_>>().len(), "a need has one grant");
}

/// The same with the real thing, as far as it is there: chartgate counts a failure where a permission is missing, and
/// none where all are there. So the table does not ask for more than chartgate does.
#[test]
fn certificates_are_not_kept_without_any_one_of_their_permissions() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let installation = Installation::apply(&cluster, "enforce");
    settled(&cluster, &[]);
    assert_eq!(keep_certificates(&cluster, &installation), Ok(()));

    let mut shown = 0;
    for role in cluster.kustomize(&manifests("enforce")).iter().filter(|object| is_role(object)) {
        for Less { role: less, lost } in each_less(role) {
            if !lost.iter().any(|lost| CERTIFICATES.iter().any(|feature| lost.starts_with(feature))) {
                continue;
            }
            put(&cluster, &less);
            settled(&cluster, &lost);
            let kept = keep_certificates(&cluster, &installation);
            assert!(kept.is_err(), "nothing fails without {lost:?}");
            shown += 1;
        }
        put(&cluster, role);
        settled(&cluster, &[]);
    }
    assert_eq!(shown, 15, "permissions");
}

/// The same for facts: of each, the metric says whether it is known, and the log why not.
#[test]
fn facts_are_not_known_without_any_one_of_their_permissions() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let installation = Installation::apply(&cluster, "audit");
    settled(&cluster, &[]);
    installation.start_one();
    if !installation.has_metric("chartgate_facts_synced") {
        say("not shown: this chartgate asks for no facts yet");
        return;
    }
    let facts: Vec<_> = NEEDS.iter().filter_map(|need| need.feature.strip_prefix("fact ")).collect();
    let unknown = |facts: &[&str]| -> Vec<String> {
        let synced =
            |fact: &str| installation.metrics(&format!("chartgate_facts_synced{{fact=\"{fact}\"}}")) > 0;
        facts.iter().filter(|fact| !synced(fact)).map(ToString::to_string).collect()
    };
    eventually("all facts are known", IN_EFFECT, || {
        let unknown = unknown(&facts);
        if unknown.is_empty() { Ok(()) } else { Err(format!("{unknown:?}; {}", installation.logs())) }
    });
    assert!(!installation.logs().contains("is forbidden"), "{}", installation.logs());
    installation.kill_all();

    let mut shown = 0;
    for role in cluster.kustomize(&manifests("audit")).iter().filter(|object| is_role(object)) {
        for Less { role: less, lost } in each_less(role) {
            let Some(fact) = lost[0].strip_prefix("fact ").and_then(|lost| lost.split(':').next()) else {
                continue;
            };
            put(&cluster, &less);
            settled(&cluster, &lost);
            // A right is asked for when a watch begins.
            installation.launch();
            eventually(&format!("{lost:?} is missed"), IN_EFFECT, || {
                let (unknown, log) = (unknown(&[fact]), installation.logs());
                if log.contains("is forbidden") && unknown == [fact] { Ok(()) } else { Err(log) }
            });
            installation.kill_all();
            shown += 1;
        }
        put(&cluster, role);
        settled(&cluster, &[]);
    }
    assert_eq!(shown, 22, "permissions");
}

/// Has a replica do all that it can have to do: make the Secret, have it trusted, repair it twice, and say so. Fails
/// with the log at the first failure that is counted.
fn keep_certificates(cluster: &Cluster, installation: &Installation<'_>) -> Result<(), String> {
    let system = Namespace::existing(cluster, "chartgate-system");
    let (secrets, events) = (system.objects("v1", "secrets"), system.objects("events.k8s.io/v1", "events"));
    let by = Write::by("chartgate-tests");
    secrets.delete("chartgate-tls");
    for event in events.list().accepted()["items"].as_array().expect("a list has items") {
        events.delete(event["metadata"]["name"].as_str().expect("every object has a name")).accepted();
    }
    installation.trust("");
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        eventually(what, IN_EFFECT, || {
            // The log is written a moment after the counter.
            let failed = installation.metrics("chartgate_certificate_failures_total") > 0;
            let log = installation.logs();
            match failed {
                true if log.contains("is forbidden: User") => Ok(Err(log)),
                false if done() => Ok(Ok(())),
                _ => Err(log),
            }
        })
    };
    let repairs = || installation.metrics("chartgate_certificate_repairs_total");
    let said = |wanted: &dyn Fn(&Value) -> bool| {
        let found = events.list().accepted();
        found["items"].as_array().is_some_and(|found| found.iter().any(wanted))
    };
    let steps = || {
        wait("a replica is ready", &|| installation.ready() == 1)?;
        for (count, wanted) in [
            (1, &(|event: &Value| event["reason"] == "CertificateRepaired") as &dyn Fn(&Value) -> bool),
            (2, &|event: &Value| event["series"]["count"].as_u64() > Some(1)),
        ] {
            // A new authority is begun: what is trusted has to be read, and written, too.
            let broken = json!({"data": {"ca.key": ""}});
            secrets.merge_patch("chartgate-tls", &broken, by).accepted();
            wait("the Secret is repaired", &|| repairs() >= count && said(wanted))?;
        }
        // Watches that are refused are counted a moment after everything else has worked.
        wait("all has settled", &|| true)
    };
    installation.launch();
    let kept = steps();
    installation.kill_all();
    kept
}

#[test]
fn nothing_else_is_permitted_on_what_chartgate_is_about() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    cluster.apply(&manifests("enforce"), &[]);
    settled(&cluster, &[]);
    for Need { group, resource, name, .. } in NEEDS {
        for verb in VERBS {
            for name in [None, Some("another"), *name] {
                for namespace in [None, SYSTEM, Some("default")] {
                    let needed = NEEDS.iter().any(|need| {
                        (need.group, need.resource) == (*group, *resource)
                            && need.verbs.contains(&verb)
                            && (need.name.is_none() || need.name == name)
                            && (need.namespace.is_none() || need.namespace == namespace)
                    });
                    let permitted = may(&cluster, verb, (group, resource), name, namespace);
                    assert_eq!(permitted, needed, "{verb} {group}/{resource} {name:?} in {namespace:?}");
                }
            }
        }
    }
}

/// RBAC sees a name in a list or a watch only where the request selects by it. That it does is the API server's word.
#[test]
fn a_single_object_is_listed_and_watched_by_its_name() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    cluster.apply(&manifests("enforce"), &[]);
    settled(&cluster, &[]);
    let kubeconfig = cluster.kubeconfig_of("chartgate-system", "chartgate", None);
    let get = |path: &str| {
        let output = cluster.kubectl().env("KUBECONFIG", &kubeconfig).args(["get", "--raw", path]).output();
        let output = output.expect("kubectl starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    };
    for Need { group, resource, name, namespace, verbs, feature } in NEEDS {
        let (Some(name), true) = (name, verbs.contains(&"watch")) else { continue };
        let root = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/v1") };
        let namespace = namespace.map_or_else(String::new, |name| format!("/namespaces/{name}"));
        let all = format!("{root}{namespace}/{resource}");
        let one = format!("{all}?fieldSelector=metadata.name%3D{name}");
        get(&one).unwrap_or_else(|said| panic!("{feature}: {said}"));
        get(&format!("{one}&watch=true&timeoutSeconds=1")).unwrap_or_else(|said| panic!("{feature}: {said}"));
        let refused = get(&all).unwrap_err();
        assert!(refused.contains("is forbidden"), "{refused}");
    }
}

fn is_role(object: &Value) -> bool {
    object["kind"] == "Role" || object["kind"] == "ClusterRole"
}

/// The role without each of its grants in turn.
fn each_less(role: &Value) -> Vec<Less> {
    let mut all = Vec::new();
    for (index, rule) in role["rules"].as_array().expect("a role has rules").iter().enumerate() {
        let mut names: Vec<_> = texts(&rule["resourceNames"]).into_iter().map(Some).collect();
        if names.is_empty() {
            // A rule without names holds for every name.
            names.push(None);
        }
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                all.extend(names.iter().map(|name| less(role, index, (&verb, &resource, name.as_ref()))));
            }
        }
    }
    all
}

/// The role without one grant of one of its rules, which becomes what is left of it.
fn less(role: &Value, index: usize, (verb, resource, name): (&String, &String, Option<&String>)) -> Less {
    let whole = &role["rules"][index];
    let but = |field: &str, one: &String| -> Value {
        texts(&whole[field]).into_iter().filter(|found| found != one).collect()
    };
    let mut others = vec![json!({"resources": but("resources", resource)})];
    others.push(json!({"resources": [resource], "verbs": but("verbs", verb)}));
    if let Some(name) = name {
        let names = but("resourceNames", name);
        others.push(json!({"resources": [resource], "verbs": [verb], "resourceNames": names}));
    }
    let mut left = role.clone();
    let rules = left["rules"].as_array_mut().expect("a role has rules");
    rules.remove(index);
    for other in others {
        let other = other.as_object().expect("it is one line above");
        // An empty list would mean nothing at all, or every name.
        if other.values().all(|list| list != &json!([])) {
            let mut kept = whole.clone();
            kept.as_object_mut().expect("a rule is an object").extend(other.clone());
            rules.push(kept);
        }
    }
    let granted = |need: &&Need| {
        whole["apiGroups"] == json!([need.group])
            && need.resource == resource
            && need.verbs.contains(&verb.as_str())
            && name.is_none_or(|name| need.name == Some(name))
    };
    Less { role: left, lost: NEEDS.iter().filter(granted).map(|need| said(need, verb)).collect() }
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts.map(|text| text.as_str().expect("rules are made of texts").to_owned()).collect()
}

fn said(need: &Need, verb: &str) -> String {
    format!("{}: {verb} {}", need.feature, need.resource)
}

fn put(cluster: &Cluster, role: &Value) {
    let roles = match role["metadata"]["namespace"].as_str() {
        Some(namespace) => Namespace::existing(cluster, namespace).objects(ROLES, "roles"),
        None => cluster.objects(ROLES, "clusterroles"),
    };
    roles.replace(role, Write::by("chartgate-tests")).accepted();
}

/// Waits until exactly the given requests of the table are refused.
fn settled(cluster: &Cluster, lost: &[String]) {
    eventually("the roles are in effect", IN_EFFECT, || {
        let all = NEEDS.iter().flat_map(|need| need.verbs.iter().map(move |verb| (need, *verb)));
        let refused: Vec<_> = all
            .filter(|(need, verb)| {
                !may(cluster, verb, (need.group, need.resource), need.name, need.namespace)
            })
            .map(|(need, verb)| said(need, verb))
            .collect();
        if refused == lost { Ok(()) } else { Err(format!("refused are {refused:?}, expected {lost:?}")) }
    });
}

/// Asks the API server's own authorizer about the `ServiceAccount`.
fn may(
    cluster: &Cluster,
    verb: &str,
    (group, resource): (&str, &str),
    name: Option<&str>,
    namespace: Option<&str>,
) -> bool {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "system:serviceaccount:chartgate-system:chartgate",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:chartgate-system", "system:authenticated"],
            "resourceAttributes": {
                "verb": verb, "group": group, "resource": resource, "name": name, "namespace": namespace,
            },
        },
    });
    let reviews = cluster.objects("authorization.k8s.io/v1", "subjectaccessreviews");
    reviews.create(&review, Write::by("chartgate-tests")).accepted()["status"]["allowed"] == true
}
