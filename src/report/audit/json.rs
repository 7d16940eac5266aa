//! An audit as JSON for programs: a format of its own, which changes only together with its version. docs/audit.md
//! describes it, `chartgate audit --since` reads it again, and the page holds it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::audit::since::{Moved, Name, Since, Told, VERSION};
use crate::audit::{Applier, Audit, Blocker, Change, Finding, Next, Outcome, Owner, Phase, Release, Source};
use crate::policy::Level;
use crate::report::visible::write_json;

/// What an audit is told with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// When it was made (RFC 3339).
    pub taken_at: &'c str,
    /// The cluster, as the user knows it: the kubeconfig's context; empty where there is none.
    pub cluster: &'c str,
    /// What changed since an earlier one.
    pub since: Option<&'c Since>,
}

/// The document, as the page holds it too.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    version: u32,
    tool: Tool,
    taken_at: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cluster: &'a str,
    served: &'a [String],
    missing: &'a [String],
    summary: Counts,
    releases: Vec<ReleaseDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<SinceDocument<'a>>,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    releases: usize,
    errors: usize,
    warnings: usize,
    notes: usize,
    /// By [`Source`].
    sources: BTreeMap<&'static str, usize>,
    /// By [`Phase`].
    phases: BTreeMap<&'static str, usize>,
    /// By [`Outcome`].
    enforced: BTreeMap<&'static str, usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseDocument<'a> {
    namespace: &'a str,
    name: &'a str,
    version: &'a str,
    mode: &'static str,
    source: &'static str,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    applier: Option<ApplierDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kustomization: Option<&'a str>,
    owners: Vec<OwnerDocument<'a>>,
    blockers: Vec<BlockerDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<&'a str>,
    findings: Vec<FindingDocument<'a>>,
    enforced: NextDocument<'a>,
}

#[derive(Serialize)]
struct ApplierDocument<'a> {
    manager: &'a str,
    operation: &'static str,
    version: &'a str,
}

#[derive(Serialize)]
struct OwnerDocument<'a> {
    manager: &'a str,
    operation: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    fields: &'a [Box<str>],
}

#[derive(Serialize)]
struct BlockerDocument<'a> {
    what: &'a str,
    help: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingDocument<'a> {
    rule: &'static str,
    level: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
    what: &'a str,
    why: &'a str,
    help: &'a str,
    denies: bool,
    patched: bool,
}

#[derive(Serialize)]
struct NextDocument<'a> {
    outcome: &'static str,
    rules: &'a [&'static str],
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<&'a Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ChangeDocument<'a>>,
}

#[derive(Serialize)]
struct ChangeDocument<'a> {
    field: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SinceDocument<'a> {
    taken_at: &'a str,
    new: Vec<NameDocument<'a>>,
    gone: Vec<NameDocument<'a>>,
    moved: Vec<MovedDocument<'a>>,
    appeared: Vec<ToldDocument<'a>>,
    solved: Vec<ToldDocument<'a>>,
}

#[derive(Serialize)]
struct NameDocument<'a> {
    namespace: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct MovedDocument<'a> {
    #[serde(flatten)]
    release: NameDocument<'a>,
    from: &'a str,
    to: &'a str,
}

#[derive(Serialize)]
struct ToldDocument<'a> {
    #[serde(flatten)]
    release: NameDocument<'a>,
    rule: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
}

/// What the next apply of a release comes to that nothing is to be said about.
static NOTHING: Next = Next {
    outcome: Outcome::Allowed,
    rules: Vec::new(),
    message: String::new(),
    patch: None,
    changes: Vec::new(),
};

/// Tells an audit as JSON.
pub fn write(audit: &Audit, context: &Context<'_>, out: &mut dyn Write) -> io::Result<()> {
    write_json(&document(audit, context), out)
}

pub(super) fn document<'a>(audit: &'a Audit, context: &Context<'a>) -> Document<'a> {
    let Audit { releases, served, missing } = audit;
    Document {
        version: VERSION,
        tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
        taken_at: context.taken_at,
        cluster: context.cluster,
        served,
        missing,
        summary: Counts::of(audit),
        releases: releases.iter().map(ReleaseDocument::of).collect(),
        since: context.since.map(SinceDocument::of),
    }
}

// === impl Counts ===

impl Counts {
    fn of(audit: &Audit) -> Self {
        let count =
            |is: &dyn Fn(&Release) -> bool| audit.releases.iter().filter(|release| is(release)).count();
        Self {
            releases: audit.releases.len(),
            errors: audit.count(Level::Error),
            warnings: audit.count(Level::Warning),
            notes: audit.count(Level::Note),
            sources: Source::ALL.map(|it| (it.as_str(), count(&|release| release.source == it))).into(),
            phases: Phase::ALL.map(|it| (it.as_str(), count(&|release| release.phase == it))).into(),
            enforced: Outcome::ALL.map(|it| (it.as_str(), count(&|release| release.outcome() == it))).into(),
        }
    }
}

// === impl ReleaseDocument ===

impl<'a> ReleaseDocument<'a> {
    fn of(release: &'a Release) -> Self {
        let Release {
            namespace,
            name,
            version,
            mode,
            source,
            applier,
            kustomization,
            owners,
            phase,
            blockers,
            findings,
            next,
        } = release;
        Self {
            namespace,
            name,
            version,
            mode: mode.as_str(),
            source: source.as_str(),
            phase: phase.as_str(),
            applier: applier.as_deref().map(ApplierDocument::of),
            kustomization: kustomization.as_deref(),
            owners: owners.iter().map(OwnerDocument::of).collect(),
            blockers: blockers.iter().map(|Blocker { what, help }| BlockerDocument { what, help }).collect(),
            next_step: release.next_step(),
            findings: findings.iter().map(FindingDocument::of).collect(),
            enforced: NextDocument::of(next.as_deref().unwrap_or(&NOTHING)),
        }
    }
}

impl<'a> ApplierDocument<'a> {
    fn of(applier: &'a Applier) -> Self {
        let Applier { manager, applies, version } = applier;
        Self { manager, operation: if *applies { "Apply" } else { "Update" }, version }
    }
}

impl<'a> OwnerDocument<'a> {
    fn of(owner: &'a Owner) -> Self {
        let Owner { manager, operation, version, time, index: _, fields } = owner;
        Self { manager, operation, version, time: time.as_deref(), fields }
    }
}

impl<'a> FindingDocument<'a> {
    fn of(finding: &'a Finding) -> Self {
        let Finding { rule, level, field, what, why, help, denies, is_patched } = finding;
        Self { rule, level: level.as_str(), field, what, why, help, denies: *denies, patched: *is_patched }
    }
}

impl<'a> NextDocument<'a> {
    fn of(next: &'a Next) -> Self {
        let Next { outcome, rules, message, patch, changes } = next;
        let changes = changes.iter().map(|Change { field, before, after }| ChangeDocument {
            field,
            before: before.as_ref(),
            after: after.as_ref(),
        });
        Self { outcome: outcome.as_str(), rules, message, patch: patch.as_ref(), changes: changes.collect() }
    }
}

// === impl SinceDocument ===

impl<'a> SinceDocument<'a> {
    fn of(since: &'a Since) -> Self {
        let Since { taken_at, new, gone, moved, appeared, solved } = since;
        let names = |names: &'a [Name]| names.iter().map(NameDocument::of).collect();
        let told = |told: &'a [(Name, Told)]| told.iter().map(ToldDocument::of).collect();
        let moved = moved.iter().map(|Moved { release, from, to }| MovedDocument {
            release: NameDocument::of(release),
            from,
            to,
        });
        Self {
            taken_at,
            new: names(new),
            gone: names(gone),
            moved: moved.collect(),
            appeared: told(appeared),
            solved: told(solved),
        }
    }
}

impl<'a> NameDocument<'a> {
    fn of(name: &'a Name) -> Self {
        let Name { namespace, name } = name;
        Self { namespace, name }
    }
}

impl<'a> ToldDocument<'a> {
    fn of((release, told): &'a (Name, Told)) -> Self {
        let Told { rule, field } = told;
        Self { release: NameDocument::of(release), rule, field }
    }
}
