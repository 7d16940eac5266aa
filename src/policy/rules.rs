//! The rules, one file each.

use super::{CHART_REF_KINDS, Case, Facts, Findings, Level, Names, source};

mod chart_and_chart_ref;
mod chart_digest_upgrade;
mod chart_kind;
mod chart_name_changes;
mod chart_ref_api_version;
mod chart_ref_kind;
mod chart_ref_name;
mod chart_ref_namespace;
mod chart_ref_needs_v2;
mod chart_ref_source_missing;
mod cross_namespace_move;
mod deprecated_api_version;
mod force_deletes;
mod generated_chart_name;
mod inline_chart_fields;
mod layer_selector_missing;
mod managed_fields_version;
mod migration_order;
mod no_chart_source;
mod null_field;
mod oci_tag_mismatch;
mod partial_chart;
mod semver_shadows_tag;
mod source_url_has_tag;
mod unknown_chart_field;
mod values_files_lost;
mod version_annotation;

pub use chart_name_changes::{keeps_release, other_chart};
pub use force_deletes::is_marked_for_force;

/// One thing that chartgate holds to be right.
#[derive(Debug)]
pub struct Rule {
    /// Its stable name.
    pub id: &'static str,
    /// How bad a finding is, unless the rule or the settings say otherwise.
    pub level: Level,
    /// Whether it is a matter of policy, and not of an object that the API server refuses as Invalid (422), unless a finding
    /// states otherwise.
    pub policy: bool,
    /// What it asks for, in one sentence.
    pub summary: &'static str,
    /// Why that matters.
    pub why: &'static str,
    /// What to do about a finding.
    pub help: &'static str,
    /// A manifest that it finds fault with, and nothing else does.
    pub bad: Example,
    /// A manifest in order.
    pub good: Example,
    /// What the bad manifest becomes, where there is a fix.
    pub fixed: Option<&'static str>,
    pub(super) check: fn(&Case<'_>, &mut Findings<'_>),
}

/// A manifest that shows a rule at work. Shown to users, and run by the tests.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The HelmRelease as YAML.
    pub object: &'static str,
    /// What is in the cluster before, where the rule is about a change.
    pub before: Option<&'static str>,
    /// The field manager that asks.
    pub manager: Option<&'static str>,
    /// The Flux minor, where it is not the newest.
    pub flux: Option<&'static str>,
    /// Whether cross-namespace references are off.
    pub same_namespace_only: bool,
    /// The sources that are in the cluster (kind, namespace, name), where that is known.
    pub sources: Option<&'static [(&'static str, &'static str, &'static str)]>,
    /// The OCIRepository that `spec.chartRef` names as YAML, where the rule is about its content.
    pub source: Option<&'static str>,
}

/// All rules, in the order in which they speak.
static ALL: &[&Rule] = &[
    &chart_and_chart_ref::RULE,
    &no_chart_source::RULE,
    &partial_chart::RULE,
    &chart_kind::RULE,
    &inline_chart_fields::RULE,
    &unknown_chart_field::RULE,
    &chart_ref_needs_v2::RULE,
    &chart_ref_kind::RULE,
    // Before the rule that fills the same field in.
    &null_field::RULE,
    &chart_ref_name::RULE,
    &chart_ref_namespace::RULE,
    &chart_ref_api_version::RULE,
    &generated_chart_name::RULE,
    &cross_namespace_move::RULE,
    &deprecated_api_version::RULE,
    &managed_fields_version::RULE,
    &migration_order::RULE,
    &chart_ref_source_missing::RULE,
    &source_url_has_tag::RULE,
    &oci_tag_mismatch::RULE,
    &semver_shadows_tag::RULE,
    &layer_selector_missing::RULE,
    &values_files_lost::RULE,
    &chart_name_changes::RULE,
    &chart_digest_upgrade::RULE,
    &version_annotation::RULE,
    // The last one: it looks at what the others found.
    &force_deletes::RULE,
];

/// The rules about the `OCIRepository` that a release takes its chart from.
static OF_SOURCES: [source::Judge; 4] = [
    source_url_has_tag::fault,
    oci_tag_mismatch::fault,
    semver_shadows_tag::fault,
    layer_selector_missing::fault,
];

/// The check of a rule about an `OCIRepository`.
pub(super) fn of_sources() -> impl Iterator<Item = source::Judge> {
    OF_SOURCES.into_iter()
}

/// All rules, in the order in which they speak.
pub fn all() -> &'static [&'static Rule] {
    ALL
}

/// The rule of an id.
pub fn find(id: &str) -> Option<&'static Rule> {
    ALL.iter().copied().find(|rule| rule.id == id)
}

// === impl Example ===

impl Example {
    /// What is known of the cluster in which the example is what it says.
    pub fn facts(&self) -> Facts {
        let flux = self.flux.map(|flux| flux.parse().expect("examples name a Flux that there is"));
        let mut facts = Facts::of(flux.unwrap_or_default());
        if let Some(sources) = self.sources {
            facts.sources = CHART_REF_KINDS.iter().map(|kind| (*kind, Names::new())).collect();
            for (kind, namespace, name) in sources {
                let names = facts.sources.entry(kind).or_default();
                names.entry((*namespace).into()).or_default().insert((*name).into());
            }
        }
        facts
    }

    const fn of(object: &'static str) -> Self {
        Self {
            object,
            before: None,
            manager: None,
            flux: None,
            same_namespace_only: false,
            sources: None,
            source: None,
        }
    }

    const fn after(self, before: &'static str, manager: &'static str) -> Self {
        Self { before: Some(before), manager: Some(manager), ..self }
    }

    const fn on(self, flux: &'static str) -> Self {
        Self { flux: Some(flux), ..self }
    }

    const fn among(self, sources: &'static [(&'static str, &'static str, &'static str)]) -> Self {
        Self { sources: Some(sources), ..self }
    }

    const fn from(self, source: &'static str) -> Self {
        Self { source: Some(source), ..self }
    }

    const fn same_namespace_only(self) -> Self {
        Self { same_namespace_only: true, ..self }
    }
}

/// A HelmRelease in order but for the lines of `spec` that are given.
macro_rules! release {
    ($($spec:literal)+) => {
        concat!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: apps\n",
            "  annotations:\n    fluxcd.io/version: v2\nspec:\n  interval: 10m\n",
            $($spec),+
        )
    };
}

use release;

/// Releases and their findings, for the tests of a rule.
#[cfg(test)]
mod testing {
    use serde_json::{Value, json};

    use crate::helmrelease::{Field, HelmRelease};
    use crate::json::Reader;
    use crate::policy::{self, Case, Facts, Level, Operation, Settings, Subject};

    /// A finding as far as a test compares it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(super) struct Found {
        pub(super) rule: &'static str,
        pub(super) level: Level,
        pub(super) at: String,
        pub(super) what: String,
    }

    /// The HelmRelease `apps/podinfo` with these members of its spec.
    pub(super) fn release(spec: &Value) -> Value {
        json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"name": "podinfo", "namespace": "apps", "annotations": {"fluxcd.io/version": "v2"}},
            "spec": spec,
        })
    }

    fn view(text: &str) -> HelmRelease<'_> {
        let release = HelmRelease::read(&mut Reader::new(text.as_bytes())).ok();
        release.and_then(Field::into_set).expect("an object is given")
    }

    /// The findings of the rules in a request by default, as an update of `old` or as a create.
    pub(super) fn found(object: &Value, old: Option<&Value>) -> Vec<Found> {
        found_with(object, old, &Settings::default())
    }

    /// The findings of the rules in a request with these settings.
    pub(super) fn found_with(object: &Value, old: Option<&Value>, settings: &Settings) -> Vec<Found> {
        let (object, old) = (object.to_string(), old.map(Value::to_string));
        let release = view(&object);
        let old = old.as_deref().map(view);
        let subject = Subject {
            release: &release,
            old: old.as_ref(),
            name: release.name(),
            namespace: release.namespace(),
            operation: if old.is_some() { Operation::Update } else { Operation::Create },
            manager: None,
        };
        let facts = Facts::default();
        let case = Case::new(subject, settings, &facts, facts.serving("v2"));
        let findings = policy::evaluate(&case).into_iter();
        findings
            .map(|it| Found { rule: it.rule.id, level: it.level, at: it.at.into_owned(), what: it.what })
            .collect()
    }
}
