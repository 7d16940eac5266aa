//! The rules, one file each.

use super::{CHART_REF_KINDS, Case, Facts, Findings, Level, Names};

mod chart_and_chart_ref;
mod chart_ref_api_version;
mod chart_ref_kind;
mod chart_ref_name;
mod chart_ref_namespace;
mod chart_ref_needs_v2;
mod chart_ref_source_missing;
mod deprecated_api_version;
mod generated_chart_name;
mod managed_fields_version;
mod migration_order;
mod no_chart_source;
mod partial_chart;
mod values_files_lost;
mod version_annotation;

/// One thing that chartgate holds to be right.
#[derive(Debug)]
pub struct Rule {
    /// Its stable name.
    pub id: &'static str,
    /// How bad a finding is, unless the rule or the settings say otherwise.
    pub level: Level,
    /// Whether a denial is a matter of policy (403) and not of a malformed field (422), unless a finding says otherwise.
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
}

/// All rules, in the order in which they speak.
static ALL: [&Rule; 15] = [
    &chart_and_chart_ref::RULE,
    &no_chart_source::RULE,
    &partial_chart::RULE,
    &chart_ref_needs_v2::RULE,
    &chart_ref_kind::RULE,
    &chart_ref_name::RULE,
    &chart_ref_namespace::RULE,
    &chart_ref_api_version::RULE,
    &generated_chart_name::RULE,
    &deprecated_api_version::RULE,
    &managed_fields_version::RULE,
    &migration_order::RULE,
    &chart_ref_source_missing::RULE,
    &values_files_lost::RULE,
    &version_annotation::RULE,
];

/// All rules, in the order in which they speak.
pub fn all() -> &'static [&'static Rule] {
    &ALL
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
        Self { object, before: None, manager: None, flux: None, same_namespace_only: false, sources: None }
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
