//! A managedFields entry at a version that the CRD lost or will lose.

use super::{Example, Rule, release};
use crate::{
    helmrelease::{ManagedFields, at},
    policy::{
        Case, FieldTree, Findings, Flux, HELM_GROUP, Kubernetes, Level, OldEntries, applier,
        case::{helm_version, setting},
        finding::quoted,
    },
};

/// Why an entry at a version that is gone is an error.
const GONE: &str = "every apply of the object fails with \"request to convert CR to an invalid group/version\", before any webhook is asked.";

pub(super) static RULE: Rule = Rule {
    id: "managed-fields-version",
    level: Level::Warning,
    policy: true,
    summary: "Every managedFields entry names a version that the CRD serves, and none older than the object's own.",
    why: "once the CRD drops that version, every apply of the object fails with \"request to convert CR to an invalid \
          group/version\"; Kubernetes 1.37 and newer keep the entry until it is rewritten, older ones drop all managedFields of \
          the object at the next other write, and with them who owns spec.chart.",
    help: "run flux migrate (CLI of Flux 2.7.1 or newer): it rewrites the apiVersion of every managedFields entry of all \
           Flux objects in the cluster, and changes nothing else in them; kustomize-controller v1.8.4 or newer does the same for \
           what it applies with its feature gate MigrateAPIVersion, and chartgate at every write with managedFields: migrate in \
           chartgate.yaml.",
    bad: Example::of(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\n  \
         annotations:\n    fluxcd.io/version: v2\n  managedFields:\n  - manager: helm-controller\n    operation: Update\n    \
         apiVersion: helm.toolkit.fluxcd.io/v2beta2\n    fieldsType: FieldsV1\n    fieldsV1: {\"f:metadata\": {\"f:finalizers\": {}}}\n\
         spec:\n  interval: 10m\n  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n",
    )
    .on("2.7"),
    good: Example::of(release!("  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n")),
    fixed: None,
    check,
};

/// Maximum number of entries that are reported one by one. Each tool that ever wrote the object may have one, and nothing bounds
/// their number.
const MOST: usize = 10;

fn check(case: &Case<'_>, findings: &mut Findings<'_>) {
    let served = case.installed.served();
    let place = |version: &str| served.iter().position(|schema| schema.version == version);
    let own = case.version.and_then(place);
    let entries = case.release().managed_fields();
    let old = entries.iter().enumerate().filter_map(|(index, entry)| {
        let version = entry.api_version.text().and_then(helm_version)?;
        let place = place(version);
        // Nearly every entry is in order, and a message about it would only be thrown away.
        (place.is_none() || place < own).then_some(Old { index, entry, version, is_gone: place.is_none() })
    });
    let old: Vec<_> = old.collect();
    let target = Target::of(case, own.is_some());
    let mut taken = Vec::new();
    let mut fixes = Vec::with_capacity(old.len());
    for it in &old {
        let target =
            target.as_ref().filter(|target| target.takes(case, it) && !taken.contains(&key(it.entry)));
        fixes.push(target.map(|target| setting(&it.at(), &target.api_version)));
        if target.is_some() {
            taken.push(key(it.entry));
        }
    }
    let (shown, more) = old.split_at(old.len().min(MOST));
    let mut fixes = fixes.into_iter();
    for (it, fix) in shown.iter().zip(&mut fixes) {
        let (manager, version) = (quoted(it.entry.manager.text().unwrap_or_default()), it.version);
        let report = if it.is_gone {
            let what = format!("managedFields of {manager} are at {}, which is gone", quoted(version));
            let why = Kubernetes::gone_entry(case.facts.kubernetes);
            findings.report(it.at(), what).level(Level::Error, case.settings).why(why)
        } else {
            let drops = Flux::that_dropped(version).map(|flux| format!(", gone in Flux {flux}"));
            let drops = drops.unwrap_or_default();
            let what = format!("managedFields of {manager} are at {version}{drops}: run flux migrate");
            findings.report(it.at(), what)
        };
        if let (Some(fix), Some(target)) = (fix, &target) {
            report.heal(vec![fix], format!("moved managedFields of {manager} to {}", target.version));
        }
    }
    if more.is_empty() {
        return;
    }
    let level = if more.iter().any(|it| it.is_gone) { Level::Error } else { Level::Warning };
    let what = format!("{} more entries of managedFields are at an older version", more.len());
    let mut report = findings.report(at::MANAGED_FIELDS, what).level(level, case.settings);
    if level == Level::Error {
        report = report.why(GONE);
    }
    // A fix puts all of a finding right.
    if let Some(fixes) = fixes.collect::<Option<Vec<_>>>() {
        report.fix(fixes);
    }
}

/// An entry at an older version than the object.
struct Old<'a> {
    index: usize,
    entry: &'a ManagedFields<'a>,
    version: &'a str,
    /// The CRD does not serve it any more.
    is_gone: bool,
}

/// The version to which `managedFields: migrate` moves entries: that of the request, as the live CRD has it.
///
/// `FieldManager.UpdateNoErrors` runs before admission, and what a webhook writes into managedFields is stored where it can be
/// decoded (apiserver v0.35.4 and v0.37.2, `managedFieldsValidatingAdmissionController`).
struct Target<'a> {
    version: &'a str,
    api_version: String,
    fields: &'a FieldTree,
    /// The entry of the manager that applies the release.
    applier: Option<&'a ManagedFields<'a>>,
}

impl Old<'_> {
    fn at(&self) -> String {
        format!("{}/{}/apiVersion", at::MANAGED_FIELDS, self.index)
    }
}

impl<'a> Target<'a> {
    fn of(case: &Case<'a>, is_served: bool) -> Option<Self> {
        let version =
            case.version.filter(|_| is_served && case.settings.managed_fields == OldEntries::Migrate)?;
        let fields = case.facts.fields.get(version)?;
        let applier = applier(case.release());
        Some(Self { version, api_version: format!("{HELM_GROUP}/{version}"), fields, applier })
    }

    /// Whether an entry may be moved: nothing is lost by it, neither a field nor another entry nor the only trace of the version
    /// that a manager still applies.
    fn takes(&self, case: &Case<'_>, old: &Old<'_>) -> bool {
        let applies =
            old.entry.is_apply() || self.applier.is_some_and(|applier| std::ptr::eq(applier, old.entry));
        let is_own = old.entry.manager.text().is_some_and(|manager| case.is_applier(manager));
        let is_trace = applies && !is_own && !old.is_gone;
        // The API server keeps one entry for each manager, operation and subresource at a version.
        let is_there = |entry: &ManagedFields<'_>| {
            entry.api_version.text() == Some(&*self.api_version) && key(entry) == key(old.entry)
        };
        !is_trace
            && !case.release().managed_fields().iter().any(is_there)
            && old.entry.fields.is_some_and(|fields| self.fields.has_all(fields))
    }
}

/// What distinguishes the entries at one version.
fn key<'a>(entry: &'a ManagedFields<'_>) -> [Option<&'a str>; 3] {
    [&entry.manager, &entry.operation, &entry.subresource].map(|text| text.filled())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        helmrelease::{Field, HelmRelease},
        json::Reader,
        policy::{Facts, Operation, Settings, Subject, evaluate},
    };

    const V2: &str = "helm.toolkit.fluxcd.io/v2";

    /// The operations on managedFields for an update at v2 by `flux`, with the CRD of Flux 2.6 and these fields below `spec`.
    fn moved(entries: &[Value], managed_fields: OldEntries) -> Vec<(String, String)> {
        let text = json!({"apiVersion": V2, "metadata": {"managedFields": entries}}).to_string();
        let Ok(Field::Set(release)) = HelmRelease::read(&mut Reader::new(text.as_bytes())) else {
            panic!("no object")
        };
        let six: Flux = "2.6".parse().unwrap();
        let schema = json!({"properties": {"spec": {"properties": {
            "interval": {}, "chart": {"x-kubernetes-preserve-unknown-fields": true},
        }}}});
        let facts = Facts {
            helm_release: Some(six.served().to_vec()),
            fields: [("v2".into(), FieldTree::of_version(&schema))].into(),
            ..Facts::default()
        };
        let settings = Settings { managed_fields, ..Settings::default() };
        let subject = Subject {
            release: &release,
            old: Some(&release),
            name: None,
            namespace: None,
            operation: Operation::Update,
            manager: Some("flux"),
        };
        let all = evaluate(&Case::new(subject, &settings, &facts, facts.serving("v2")));
        let fixes = all.into_iter().filter(|it| it.rule.id == RULE.id).filter_map(|it| it.fix);
        let operations = fixes.flat_map(|fix| fix.operations).map(|operation| json!(operation));
        let text = |operation: &Value, key: &str| operation[key].as_str().unwrap().to_owned();
        operations.map(|it| (text(&it, "path"), text(&it, "value"))).collect()
    }

    fn entry(manager: &str, operation: &str, version: &str, fields: &Value) -> Value {
        let version = format!("helm.toolkit.fluxcd.io/{version}");
        json!({"manager": manager, "operation": operation, "apiVersion": version, "fieldsV1": fields})
    }

    #[test]
    fn moves_what_other_managers_left_at_an_older_version_and_only_where_it_is_chosen() {
        let fields = json!({"f:metadata": {"f:finalizers": {}}, "f:spec": {"f:interval": {}}});
        let of = |manager: &str, version: &str| entry(manager, "Update", version, &fields);
        let entries = [of("lens", "v2beta2"), of("kubectl-edit", "v2"), of("flux", "v2beta1")];
        let at = |index: usize| (format!("/metadata/managedFields/{index}/apiVersion"), V2.to_owned());
        assert_eq!(moved(&entries, OldEntries::Migrate), [at(0), at(2)]);
        assert_eq!(moved(&entries, OldEntries::Keep), []);
        let many: Vec<_> = (0..20).map(|index| of(&format!("m{index}"), "v2beta2")).collect();
        assert_eq!(moved(&many, OldEntries::Migrate), (0..20).map(at).collect::<Vec<_>>());
    }

    #[test]
    fn moves_nothing_that_would_lose_a_field_an_entry_or_the_trace_of_an_applier() {
        let fields = json!({"f:spec": {"f:interval": {}}});
        let lost = json!({"f:spec": {"f:valuesFile": {}}});
        let applied = |manager: &str, version: &str| entry(manager, "Apply", version, &fields);
        let moves = |entries: &[Value]| moved(entries, OldEntries::Migrate).len();
        assert_eq!(moves(&[entry("kubectl-edit", "Update", "v2beta2", &lost)]), 0);
        let twice = |version: &str| entry("kubectl-edit", "Update", version, &fields);
        assert_eq!(moves(&[twice("v2beta2"), twice("v2")]), 0);
        assert_eq!(moves(&[twice("v2beta1"), twice("v2beta2")]), 1, "the second would replace the first");
        let mut status = twice("v2");
        status["subresource"] = json!("status");
        assert_eq!(moves(&[twice("v2beta2"), status]), 1);
        // Another applier's version shows what it still applies, as long as it can.
        assert_eq!(moves(&[applied("kustomize-controller", "v2beta2")]), 0);
        assert_eq!(moves(&[applied("kustomize-controller", "v2alpha1")]), 1);
        assert_eq!(moves(&[applied("flux", "v2beta2")]), 1);
        // Nor is there another trace of a manager without server-side apply.
        let source = json!({"f:spec": {"f:chart": {"f:spec": {"f:chart": {}, "f:sourceRef": {}}}}});
        assert_eq!(moves(&[entry("kubectl-client-side-apply", "Update", "v2beta2", &source)]), 0);
    }

    #[test]
    fn reports_ten_entries_and_counts_the_others() {
        let entry = r#"{"manager":"a","apiVersion":"helm.toolkit.fluxcd.io/v2beta1"}"#;
        let entries = vec![entry; 5_000].join(",");
        let text = format!(
            r#"{{"apiVersion":"helm.toolkit.fluxcd.io/v2","metadata":{{"managedFields":[{entries}]}}}}"#
        );
        let Ok(Field::Set(release)) = HelmRelease::read(&mut Reader::new(text.as_bytes())) else {
            panic!("no object")
        };
        let (settings, facts) = (Settings::default(), Facts::default());
        let (operation, manager) = (Operation::Update, None);
        let subject =
            Subject { release: &release, old: None, name: None, namespace: None, operation, manager };
        let all = evaluate(&Case::new(subject, &settings, &facts, facts.serving("v2")));
        let found: Vec<_> = all.iter().filter(|finding| finding.rule.id == RULE.id).collect();
        assert_eq!(found.len(), 11);
        // Of a longer list, the first 256 are read.
        assert_eq!(found[10].what, "246 more entries of managedFields are at an older version");
        assert_eq!((found[10].level, &*found[10].at), (Level::Error, at::MANAGED_FIELDS));
    }
}
