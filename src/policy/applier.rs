//! Determines which field manager applies the spec of a HelmRelease, from `metadata.managedFields`.
//!
//! Many managers write to one release: the applier writes the manifest, helm-controller its finalizer, the flux CLI an
//! annotation, a user a field by hand. The applier is the manager that owns the source of the chart, because nobody can apply the
//! manifest without it; known appliers come before unknown ones. The time of the last write decides only between equals.

use super::owns;
use crate::{
    helmrelease::{HelmRelease, ManagedFields},
    json::{Error, Kind, Raw, Reader},
};

/// Managers that apply manifests, as they name themselves.
///
/// kustomize-controller and flux-operator (Apply), the flux CLI (`flux create`, Update), Argo CD (`argocd-controller`, and
/// `argocd-application-controller` before it), Helm 3 (Update) and 4 (Apply), helm-controller for the objects of a chart, and
/// kubectl: `kubectl` is its server-side apply, `kubectl-client-side-apply` the other one.
const KNOWN: [&str; 10] = [
    "kustomize-controller",
    "flux-operator",
    "argocd-controller",
    "argocd-application-controller",
    "helm",
    "helm-controller",
    "flux",
    "kubectl",
    "kubectl-client-side-apply",
    "kubectl-create",
];

/// Managers that write fields of a spec without applying it: edits by hand, a restore from a backup, and the name to which the
/// API server assigns everything from before the first server-side apply.
const NEVER: [&str; 7] = [
    "kubectl-edit",
    "kubectl-patch",
    "kubectl-annotate",
    "kubectl-label",
    "velero-server",
    "velero",
    "before-first-apply",
];

/// Where `kubectl apply` on the client side keeps the manifest; it is all that a bump of apiVersion changes there.
const LAST_APPLIED: [&str; 3] =
    ["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"];

/// How strong the claim of a manager is to be the applier; the later variant wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// A known manager that owns a part of the spec, not the source, without server-side apply.
    KnownPart,
    /// An unknown manager that owns the source without server-side apply.
    Source,
    /// A known manager that applies a part of the spec, not the source.
    KnownAppliedPart,
    /// A known manager that owns the source without server-side apply.
    KnownSource,
    /// An unknown manager that applies the source.
    AppliedSource,
    /// A known manager that applies the source.
    KnownAppliedSource,
}

/// The fields of `spec` that an entry owns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    any: bool,
    /// `chart.spec.chart`, `.sourceRef` or `.url`, or `chartRef`.
    source: bool,
}

/// The entry of the manager that applies the spec of a release; `None` where `managedFields` name none.
///
/// A manager without server-side apply has an entry for each version that it wrote at: it is the newest that holds a part of
/// the manifest.
pub fn applier<'r, 'a>(release: &'r HelmRelease<'a>) -> Option<&'r ManagedFields<'a>> {
    let entries = release.managed_fields();
    let claims = entries.iter().enumerate().filter_map(|(index, entry)| {
        // Times are RFC 3339 in UTC, so their order is that of their texts.
        Some(((Claim::of(entry)?, entry.time.text(), index), entry))
    });
    let (_, best) = claims.max_by_key(|(claim, _)| *claim)?;
    if best.is_apply() {
        return Some(best);
    }
    let own = entries.iter().filter(|entry| {
        entry.manager == best.manager && !entry.is_apply() && (share(entry).any || owns(entry, &LAST_APPLIED))
    });
    // In the same second, a version without "beta" is the newer one.
    own.max_by_key(|entry| (entry.time.text(), !is_beta(entry)))
}

fn is_beta(entry: &ManagedFields<'_>) -> bool {
    entry.api_version.text().is_some_and(|version| version.contains("beta"))
}

// === impl Claim ===

impl Claim {
    fn of(entry: &ManagedFields<'_>) -> Option<Self> {
        let manager = entry.manager.filled().filter(|manager| !NEVER.contains(manager))?;
        let is_known = KNOWN.contains(&manager);
        let Share { any, source } = share(entry);
        match (is_known, entry.is_apply(), source) {
            (true, true, true) => Some(Self::KnownAppliedSource),
            (false, true, true) => Some(Self::AppliedSource),
            (true, false, true) => Some(Self::KnownSource),
            (true, true, false) if any => Some(Self::KnownAppliedPart),
            (false, false, true) => Some(Self::Source),
            // `flux suspend` owns spec.suspend, and applies nothing.
            (true, false, false) if any && manager != "flux" => Some(Self::KnownPart),
            _ => None,
        }
    }
}

/// Reads the fields of `spec` that an entry owns, in one pass: a set may be as large as the values of the release.
fn share(entry: &ManagedFields<'_>) -> Share {
    let mut share = Share::default();
    if let Some(set) = entry.fields {
        // Bytes that are not JSON own nothing from there on.
        _ = members(&mut set.reader(), &mut |name, reader| match name {
            "f:spec" => {
                share.any = true;
                members(reader, &mut |name, reader| {
                    let value = reader.skip()?;
                    share.source |= name == "f:chartRef" || name == "f:chart" && owns_source(value)?;
                    Ok(())
                })
            }
            _ => reader.skip().map(|_| ()),
        });
    }
    share
}

/// Whether a set below `spec.chart` holds a field that every chart needs.
fn owns_source(chart: Raw<'_>) -> Result<bool, Error> {
    let mut found = false;
    members(&mut chart.reader(), &mut |name, reader| match name {
        "f:spec" => members(reader, &mut |name, reader| {
            // From Flux 2.10 on `url`, for spec.chart.kind OCIRepository.
            found |= ["f:chart", "f:sourceRef", "f:url"].contains(&name);
            reader.skip().map(|_| ())
        }),
        _ => reader.skip().map(|_| ()),
    })?;
    Ok(found)
}

fn members<'a>(
    reader: &mut Reader<'a>,
    member: &mut dyn FnMut(&str, &mut Reader<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    if reader.kind()? == Kind::Object {
        reader.object(|key, reader| member(&key, reader))
    } else {
        reader.skip().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(manager: &str, operation: &str, version: &str, time: u8, fields: &Value) -> Value {
        json!({
            "manager": manager, "operation": operation, "apiVersion": format!("helm.toolkit.fluxcd.io/{version}"),
            "time": format!("2026-01-01T00:00:{time:02}Z"), "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    }

    fn whole() -> Value {
        json!({"f:spec": {"f:interval": {}, "f:chart": {"f:spec": {"f:chart": {}, "f:sourceRef": {"f:name": {}}}}}})
    }

    fn interval() -> Value {
        json!({"f:spec": {"f:chart": {"f:spec": {"f:interval": {}}}}})
    }

    /// Manager and version of the applier.
    fn found(entries: &[Value]) -> Option<(String, String)> {
        let text = json!({"metadata": {"managedFields": entries}}).to_string();
        let release = HelmRelease::read(&mut Reader::new(text.as_bytes())).unwrap().into_set().unwrap();
        let text = |field: &crate::helmrelease::Text<'_>| field.text().unwrap().to_owned();
        applier(&release).map(|entry| (text(&entry.manager), text(&entry.api_version)))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be none")]
    fn is(manager: &str, version: &str) -> Option<(String, String)> {
        Some((manager.to_owned(), format!("helm.toolkit.fluxcd.io/{version}")))
    }

    #[test]
    fn a_tool_that_applied_one_field_is_not_the_applier() {
        let lens = entry("lens", "Apply", "v2beta2", 9, &interval());
        for flux in [
            entry("kustomize-controller", "Apply", "v2", 1, &whole()),
            entry("helm", "Update", "v2", 1, &whole()),
            entry("my-installer", "Update", "v2", 1, &whole()),
        ] {
            let manager = flux["manager"].as_str().unwrap().to_owned();
            assert_eq!(found(&[lens.clone(), flux.clone()]), is(&manager, "v2"));
            assert_eq!(found(&[flux, lens.clone()]), is(&manager, "v2"));
        }
        assert_eq!(found(&[lens]), None, "nobody is named who applies the rest");
    }

    #[test]
    fn each_kind_of_source_counts() {
        for spec in [
            json!({"chartRef": {"f:name": {}}}),
            json!({"chart": {"f:spec": {"f:url": {}}}}),
            json!({"chart": {"f:spec": {"f:sourceRef": {".": {}}}}}),
            json!({"chart": {"f:spec": {"f:chart": {}}}}),
        ] {
            let (name, below) = spec.as_object().unwrap().iter().next().unwrap();
            let own = json!({"f:spec": {format!("f:{name}"): below}});
            let entries =
                [entry("a", "Apply", "v2", 1, &own), entry("kubectl", "Update", "v2beta1", 2, &whole())];
            assert_eq!(found(&entries), is("a", "v2"), "{spec}");
        }
    }

    #[test]
    fn known_appliers_come_first_and_then_the_last_that_wrote() {
        let by = |manager, time| entry(manager, "Apply", "v2", time, &whole());
        assert_eq!(found(&[by("kustomize-controller", 1), by("lens", 2)]), is("kustomize-controller", "v2"));
        assert_eq!(
            found(&[by("kustomize-controller", 1), by("argocd-controller", 2)]),
            is("argocd-controller", "v2")
        );
        assert_eq!(
            found(&[by("kustomize-controller", 3), by("argocd-controller", 2)]),
            is("kustomize-controller", "v2")
        );
    }

    #[test]
    fn a_takeover_is_seen_in_the_first_apply() {
        let kubectl = entry("kubectl-client-side-apply", "Update", "v2beta2", 1, &whole());
        let flux = entry("kustomize-controller", "Apply", "v2", 2, &whole());
        assert_eq!(found(std::slice::from_ref(&kubectl)), is("kubectl-client-side-apply", "v2beta2"));
        assert_eq!(found(&[kubectl, flux]), is("kustomize-controller", "v2"));
    }

    #[test]
    fn edits_and_restores_are_no_applies() {
        for manager in NEVER {
            assert_eq!(found(&[entry(manager, "Update", "v2", 1, &whole())]), None, "{manager}");
        }
        let suspended = json!({"f:spec": {"f:suspend": {}}});
        assert_eq!(found(&[entry("flux", "Update", "v2", 1, &suspended)]), None);
        assert_eq!(found(&[entry("flux", "Update", "v2", 1, &whole())]), is("flux", "v2"));
        // A user that has moved a release by hand does not apply it: Flux takes it back.
        let moved = json!({"f:spec": {"f:chartRef": {"f:kind": {}, "f:name": {}}}});
        let rest = json!({"f:spec": {"f:interval": {}}});
        let entries =
            [entry("kustomize-controller", "Apply", "v2", 1, &rest), entry("k9s", "Update", "v2", 2, &moved)];
        assert_eq!(found(&entries), is("kustomize-controller", "v2"));
    }

    #[test]
    fn without_server_side_apply_the_newest_write_of_the_manifest_tells_the_version() {
        let last_applied = json!({"f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/last-applied-configuration": {}}}});
        let (name, finalizers) = ("kubectl-client-side-apply", json!({"f:metadata": {"f:finalizers": {}}}));
        let old = entry(name, "Update", "v2beta2", 1, &whole());
        for time in [1, 2] {
            let bumped = entry(name, "Update", "v2", time, &last_applied);
            assert_eq!(found(&[bumped.clone(), old.clone()]), is(name, "v2"));
            assert_eq!(found(&[old.clone(), bumped]), is(name, "v2"));
        }
        // helm-controller installs releases as part of a chart, and adds its finalizer to every release.
        let installed = entry("helm-controller", "Update", "v2beta2", 1, &whole());
        let finalized = entry("helm-controller", "Update", "v2", 2, &finalizers);
        assert_eq!(found(&[installed, finalized]), is("helm-controller", "v2beta2"));
    }

    #[test]
    fn what_is_no_field_set_owns_nothing() {
        for fields in
            [json!(null), json!(3), json!([]), json!({"f:spec": 3}), json!({"f:spec": {"f:chart": [1]}})]
        {
            assert_eq!(found(&[entry("a", "Apply", "v2", 1, &fields)]), None, "{fields}");
        }
        assert_eq!(found(&[]), None);
    }
}
