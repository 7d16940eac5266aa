//! Judges releases one by one, as they are listed, and keeps of each only what is told of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::next::Request;
use super::readiness;
use super::release::{self, Applier, Finding, Owner, Release, Source, text};
use super::{Audit, Next, Outcome};
use crate::helmrelease::{HelmRelease, ManagedFields};
use crate::json::Reader;
use crate::policy::{
    self, Case, Facts, HELM_GROUP, Level, Mode, OciRepository, Operation, Settings, Subject,
};

/// The name by which objects of a Flux Kustomization carry it (kustomize-controller, since its first version).
const KUSTOMIZATION: &str = "kustomize.toolkit.fluxcd.io/name";
const KUSTOMIZATION_NAMESPACE: &str = "kustomize.toolkit.fluxcd.io/namespace";

/// What a release is known by: namespace and name.
type Key = (Arc<str>, Box<str>);

/// Judges the releases of a cluster.
///
/// A release is judged at the version at which its applier writes it, so some have to be read a second time, at that version:
/// first each release goes to [`Auditor::judge`], then those of [`Auditor::pending`] to [`Auditor::judge_again`].
#[derive(Debug)]
pub struct Auditor {
    detail: Detail,
    settings: Settings,
    /// The same, with everything enforced.
    enforced: Settings,
    /// Without the modes of namespaces, so that everything is enforced everywhere.
    facts: Facts,
    modes: HashMap<Box<str>, Mode>,
    /// The `OCIRepositories` that a rule flags, by namespace and name. Most are in order, and there may be many.
    sources: HashMap<Box<str>, HashMap<Box<str>, OciRepository>>,
    /// The Kustomizations of Flux with `spec.force`, as `namespace/name`.
    forcing: HashSet<Box<str>>,
    /// Facts about the cluster that are unavailable, besides those that the caller reports.
    missing: Vec<String>,
    releases: Vec<Release>,
    pending: BTreeMap<Arc<str>, BTreeSet<Key>>,
    texts: HashSet<Arc<str>>,
    field_lists: HashSet<Arc<[Box<str>]>>,
    appliers: HashSet<Arc<Applier>>,
}

/// How much is kept of each release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// All of it.
    Everything,
    /// What it is, what was found, and whether its next apply passes: neither patches, nor messages, nor owners.
    Findings,
}

/// The name of a source.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    metadata: Name<'a>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// The labels of an object, which no rule reads.
#[derive(Deserialize)]
struct Labelled<'a> {
    #[serde(borrow)]
    metadata: Labels<'a>,
}

#[derive(Deserialize)]
struct Labels<'a> {
    #[serde(borrow, default)]
    labels: HashMap<Cow<'a, str>, Cow<'a, str>>,
}

// === impl Auditor ===

impl Auditor {
    /// Judges by these settings and facts.
    pub fn new(settings: &Settings, mut facts: Facts, detail: Detail) -> Self {
        let modes = std::mem::take(&mut facts.modes);
        Self {
            detail,
            settings: settings.clone(),
            enforced: Settings { mode: Mode::Enforce, ..settings.clone() },
            facts,
            modes,
            sources: HashMap::new(),
            forcing: HashSet::new(),
            missing: Vec::new(),
            releases: Vec::new(),
            pending: BTreeMap::new(),
            texts: HashSet::new(),
            field_lists: HashSet::new(),
            appliers: HashSet::new(),
        }
    }

    /// The version at which `OCIRepositories` are best listed: the newest that the cluster serves; nothing where it serves none.
    pub fn source_version(&self) -> Option<&str> {
        self.facts.serving("").source_versions("OCIRepository").first().copied()
    }

    /// Remembers an OCIRepository that a rule flags, for the releases that take their chart from it.
    pub fn source(&mut self, object: &RawValue) {
        let Some(source) = OciRepository::read(object.get().as_bytes(), |_| true) else { return };
        if !source.is_flagged(self.facts.serving("")) {
            return;
        }
        let Ok(Named { metadata: Name { namespace, name } }) = serde_json::from_str(object.get()) else {
            return;
        };
        self.sources.entry(namespace.as_ref().into()).or_default().insert(name.as_ref().into(), source);
    }

    /// Takes up which Kustomizations of Flux, as `namespace/name`, apply with `spec.force`.
    pub fn apply_with_force(&mut self, kustomizations: HashSet<Box<str>>) {
        self.forcing = kustomizations;
    }

    /// Records that a fact about the cluster is unavailable.
    pub fn lacks(&mut self, what: String) {
        self.missing.push(what);
    }

    /// The version at which releases are best listed: the newest that the cluster serves.
    pub fn version(&self) -> &str {
        &self.facts.serving("").newest_schema().version
    }

    /// Judges a release as it was listed at [`Self::version`], or keeps it in mind for a second reading. What is no release is
    /// passed over.
    pub fn judge(&mut self, object: &RawValue) {
        let Some(release) = read(object) else { return };
        let applier = policy::applier(&release);
        let applied_at = applier.and_then(version_of).unwrap_or_default();
        let is_elsewhere = applied_at != self.version() && self.serves(applied_at);
        if is_elsewhere {
            let key = self.key(&release);
            let version = self.text(applied_at);
            self.pending.entry(version).or_default().insert(key);
        } else {
            self.add(object, &release, applier);
        }
    }

    /// The versions at which some releases are to be read once more.
    pub fn pending(&self) -> Vec<Arc<str>> {
        self.pending.keys().cloned().collect()
    }

    /// Judges a release as it was listed at one of [`Self::pending`], if it is one of those that are to be read at it.
    pub fn judge_again(&mut self, version: &str, object: &RawValue) {
        let Some(release) = read(object) else { return };
        let key = self.key(&release);
        if self.pending.get_mut(version).is_some_and(|keys| keys.remove(&key)) {
            self.add(object, &release, policy::applier(&release));
        }
    }

    /// How many releases were judged so far.
    pub fn judged(&self) -> usize {
        self.releases.len()
    }

    /// All that was judged. `missing` says what is not known of the cluster.
    pub fn into_audit(self, mut missing: Vec<String>) -> Audit {
        missing.extend(self.missing);
        let served =
            self.facts.serving("").served().iter().map(|schema| schema.version.to_string()).collect();
        let mut releases = self.releases;
        releases
            .sort_unstable_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        Audit { releases, served, missing }
    }

    /// The OCIRepository that `spec.chartRef` of a release names, if a rule flags it.
    fn source_of(&self, release: &HelmRelease<'_>, namespace: &str) -> Option<&OciRepository> {
        let reference = release.chart_ref().set()?;
        let namespace = reference.namespace.filled().unwrap_or(namespace);
        self.sources.get(namespace)?.get(reference.name.filled()?)
    }

    fn serves(&self, version: &str) -> bool {
        self.facts.serving("").schema(version).is_some()
    }

    fn key(&mut self, release: &HelmRelease<'_>) -> Key {
        (self.text(release.namespace().unwrap_or_default()), release.name().unwrap_or_default().into())
    }

    fn add(&mut self, object: &RawValue, release: &HelmRelease<'_>, applier: Option<&ManagedFields<'_>>) {
        let (namespace, name) = self.key(release);
        let version = release.api_version.text().and_then(policy::helm_version).unwrap_or_default();
        let manager = applier.and_then(|entry| entry.manager.text());
        let label = self.modes.get(&*namespace).copied();
        let mode = self.settings.mode_in(label);

        let request = Request { namespace: &namespace, name: &name, version, manager };
        let kustomization = kustomization(object);
        let forced_by = kustomization.as_deref().filter(|name| self.forcing.contains(*name));
        let (findings, next) = self.findings(&request, object, release, applier, forced_by);
        let is_forced = forced_by.is_some() || policy::is_marked_for_force(release);
        let applier = applier.map(|entry| self.applier(entry));
        let owners = self.owners(release);
        let kustomization = kustomization.map(|name| self.text(&name));
        let source = Source::of(release);
        let behind = release.managed_fields().iter().filter_map(|entry| {
            let version = version_of(entry).filter(|version| *version != readiness::CURRENT)?;
            let manager = text(&entry.manager);
            Some(readiness::Behind {
                manager,
                version,
                applies: entry.is_apply(),
                served: self.serves(version),
            })
        });
        let behind = behind.collect();
        let mut annotated = self
            .settings
            .annotations
            .keys()
            .filter(|key| release.annotation(key).text() == Some(readiness::CURRENT));
        let (phase, blockers) = readiness::Facts {
            namespace: &namespace,
            name: &name,
            source,
            version,
            applier: applier.as_deref(),
            kustomization: kustomization.as_deref(),
            owners: &owners,
            behind,
            is_unowned: release.managed_fields().is_empty(),
            annotated: annotated.next().map(String::as_str),
            serves_current: self.serves(readiness::CURRENT),
            is_forced,
            let_go: &|index| self.denied_without_entry(&request, object, index),
        }
        .phase();
        let version = self.text(version);
        let (owners, blockers, next) = match self.detail {
            Detail::Everything => (owners, blockers, next),
            Detail::Findings => (Vec::new(), Vec::new(), next.map(|next| Box::new(next.in_short()))),
        };
        let told = Release {
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
        };
        self.releases.push(told);
    }

    /// The rules that would deny the command which removes one entry of `metadata.managedFields`.
    fn denied_without_entry(
        &self,
        request: &Request<'_>,
        stored: &RawValue,
        index: usize,
    ) -> Vec<&'static str> {
        let mut new: serde_json::Value = serde_json::from_str(stored.get()).expect("raw JSON is JSON");
        let entries = new.pointer_mut("/metadata/managedFields").and_then(|it| it.as_array_mut());
        let Some(entries) = entries.filter(|entries| index < entries.len()) else { return Vec::new() };
        entries.remove(index);
        let new = RawValue::from_string(new.to_string()).expect("a value is JSON");
        let request = Request { manager: Some("kubectl-patch"), ..*request };
        request.denied_by(&new, stored, &self.enforced, &self.facts)
    }

    /// What the rules find in it as it is, and what the next apply comes to.
    fn findings(
        &self,
        request: &Request<'_>,
        object: &RawValue,
        release: &HelmRelease<'_>,
        applier: Option<&ManagedFields<'_>>,
        forced_by: Option<&str>,
    ) -> (Vec<Finding>, Option<Box<Next>>) {
        let subject = Subject {
            release,
            old: Some(release),
            name: Some(request.name),
            namespace: Some(request.namespace),
            operation: Operation::Update,
            manager: request.manager,
        };
        let installed = self.facts.serving(request.version);
        let source = self.source_of(release, request.namespace);
        let case = Case::new(subject, &self.enforced, &self.facts, installed)
            .with_source(source)
            .forced_by(forced_by);
        let found = policy::evaluate(&case);
        // Nearly every release of a cluster is in order; to ask the webhooks' own code costs more than the rules do.
        let next = match refusal(release, applier, &self.facts) {
            Some(refused) => Some(refused),
            // Admission does not read sources, so it cannot be asked about a fault of a source alone.
            None if found.iter().all(|finding| finding.in_source.is_some()) => None,
            None => Some(request.foresee(object, &self.enforced, &self.facts)),
        };
        // A fix waits where the spec has another error that is tolerated.
        let is_made = |rule: &&'static str| match &next {
            Some(next) if next.outcome == Outcome::Patched => next.rules.contains(rule),
            Some(next) => next.outcome == Outcome::Refused,
            None => false,
        };
        let told = found.into_iter().filter_map(|finding| {
            let mode = self.enforced.mode_of(finding.rule.id, Mode::Enforce);
            (mode != Mode::Off).then(|| Finding {
                rule: finding.rule.id,
                level: finding.level,
                field: finding.field().into(),
                denies: mode == Mode::Enforce
                    && finding.level == Level::Error
                    && finding.denies_alone
                    && finding.fix.is_none()
                    && finding.in_source.is_none(),
                is_patched: mode == Mode::Enforce && finding.fix.is_some() && is_made(&finding.rule.id),
                what: finding.what.into(),
                why: finding.why.into(),
                help: finding.help.into(),
            })
        });
        (told.collect(), next.map(Box::new))
    }

    fn owners(&mut self, release: &HelmRelease<'_>) -> Vec<Owner> {
        let mut owners = Vec::new();
        for (index, entry) in release.managed_fields().iter().enumerate() {
            let fields = release::source_fields(entry);
            if fields.is_empty() {
                continue;
            }
            owners.push(Owner {
                manager: self.text(text(&entry.manager)),
                operation: self.text(text(&entry.operation)),
                version: self.text(version_of(entry).unwrap_or_default()),
                time: entry.time.filled().map(Into::into),
                index,
                fields: self.fields(fields),
            });
        }
        owners
    }

    /// The same text once, however many releases have it.
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&new));
        new
    }

    fn applier(&mut self, entry: &ManagedFields<'_>) -> Arc<Applier> {
        let new = Applier {
            manager: self.text(text(&entry.manager)),
            applies: entry.is_apply(),
            version: self.text(version_of(entry).unwrap_or_default()),
        };
        if let Some(known) = self.appliers.get(&new) {
            return Arc::clone(known);
        }
        let new = Arc::new(new);
        self.appliers.insert(Arc::clone(&new));
        new
    }

    fn fields(&mut self, fields: Vec<String>) -> Arc<[Box<str>]> {
        let fields: Vec<Box<str>> = fields.into_iter().map(String::into_boxed_str).collect();
        if let Some(known) = self.field_lists.get(&fields[..]) {
            return Arc::clone(known);
        }
        let new: Arc<[Box<str>]> = fields.into();
        self.field_lists.insert(Arc::clone(&new));
        new
    }
}

fn read(object: &RawValue) -> Option<HelmRelease<'_>> {
    HelmRelease::read(&mut Reader::new(object.get().as_bytes())).ok()?.into_set()
}

/// The version part of an entry's `apiVersion`.
fn version_of<'e>(entry: &'e ManagedFields<'_>) -> Option<&'e str> {
    entry.api_version.text().and_then(policy::helm_version)
}

/// Why the API server itself will refuse the next apply: before it asks any webhook, and whatever the release holds.
fn refusal(release: &HelmRelease<'_>, applier: Option<&ManagedFields<'_>>, facts: &Facts) -> Option<Next> {
    let applier = applier?;
    let served = |version: &str| facts.serving("").schema(version).is_some();
    let at = version_of(applier)?;
    if !served(at) {
        let message = format!(
            "the manifest is at {HELM_GROUP}/{at}, which the cluster does not serve: no matches for kind \"HelmRelease\""
        );
        return Some(Next::refused("deprecated-api-version", message));
    }
    // Only server-side apply merges by the entries: any other write passes, and leaves them as they are from Kubernetes 1.37 on.
    let gone = release.managed_fields().iter().filter_map(version_of).find(|version| !served(version))?;
    let message = format!(
        "managedFields name a version that is gone: request to convert CR to an invalid group/version: {HELM_GROUP}/{gone}"
    );
    applier.is_apply().then(|| Next::refused("managed-fields-version", message))
}

/// `namespace/name` of the Flux Kustomization that an object belongs to, by its labels.
fn kustomization(object: &RawValue) -> Option<String> {
    let labels = serde_json::from_str::<Labelled<'_>>(object.get()).ok()?.metadata.labels;
    Some(format!("{}/{}", labels.get(KUSTOMIZATION_NAMESPACE)?, labels.get(KUSTOMIZATION)?))
}
