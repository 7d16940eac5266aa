//! The condition under which the API server need not ask us: a CEL expression that is false for a release that no rule
//! has a word about.
//!
//! Most of what a webhook call costs is the API server's share of it, so the cheapest call is one that is not made. The
//! expression is written from the same facts as the rules, and is sound: wherever it is false, [`crate::policy::evaluate`]
//! finds nothing. What it cannot say cheaply (who owns which field, for one) it leaves to the call. It never fails: a
//! field is looked at only behind a clause that says that it is there, and of the type that is asked for. An error would
//! refuse the request, or pass it unseen, by failure policy.

mod clause;
mod condition;
mod fit;

use std::collections::BTreeSet;
use std::fmt;

pub use clause::Clause;
use clause::{filled_text_at, list, map_at, quoted, text_at};
pub use condition::{OBSERVED, Webhook};
pub use fit::{Fit, Right};

use crate::policy::{
    CrossNamespace, Flux, HELM_GROUP, MAX_NAME, MAX_NAMESPACE, SOURCE_GROUP, Schema, Settings,
};

/// The name of the condition that has it, in `matchConditions`.
pub const NAME: &str = "not-provably-clean";

/// The rules that no clause needs to speak of, and why.
pub const NEVER_ALONE: &[(&str, &str)] = &[
    (
        "no-chart-source",
        "the expression is an alternative of a whole chart and a whole chartRef, so it cannot be true without either",
    ),
    (
        "chart-ref-source-missing",
        "it is about another object, which no condition can see: the audit tells it",
    ),
];

/// The most entries of managedFields that are looked at: far more than there ever are, and far from the number at which
/// the API server's cost limit would make the condition fail.
const MAX_ENTRIES: usize = 100;

/// What `spec.chart.spec.sourceRef.kind` may be, in every Flux.
const CHART_SOURCES: &[&str] = &["HelmRepository", "GitRepository", "Bucket"];

/// A DNS label, as a regular expression.
const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

/// Which Flux the expression has to be right about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cluster {
    /// Any that serves the newest version of HelmRelease: where they differ, we are asked.
    AnyFlux,
    /// One minor.
    Flux(Flux),
}

/// What makes a release provably clean, as clauses that all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefilter {
    /// What holds whatever the release takes its chart from.
    pub always: Vec<Clause>,
    /// What holds besides where it takes it from `spec.chart`.
    pub chart: Vec<Clause>,
    /// What holds besides where it takes it from `spec.chartRef`.
    pub chart_ref: Vec<Clause>,
}

/// What the clauses are written from.
struct Facts<'a> {
    settings: &'a Settings,
    /// The version of HelmRelease that a clean release has.
    version: &'static str,
    minors: Vec<Flux>,
}

// === impl Prefilter ===

impl Prefilter {
    /// The prefilter of a configuration.
    pub fn of(settings: &Settings, cluster: Cluster) -> Self {
        let version = &*Flux::NEWEST.newest_schema().version;
        let minors = match cluster {
            Cluster::AnyFlux => Flux::all().filter(|flux| flux.schema(version).is_some()).collect(),
            Cluster::Flux(flux) => vec![flux.serving(version)],
        };
        let facts = Facts { settings, version, minors };
        Self { always: facts.always(), chart: facts.chart(), chart_ref: facts.chart_ref() }
    }

    /// All clauses.
    pub fn clauses(&self) -> impl Iterator<Item = &Clause> {
        self.always.iter().chain(&self.chart).chain(&self.chart_ref)
    }
}

impl fmt::Display for Prefilter {
    /// The expression, on several lines, with a comment before each clause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { always, chart, chart_ref } = self;
        writeln!(f, "// False, so that chartgate is not called, where none of its rules has a word to say.")?;
        writeln!(f, "!(")?;
        for clause in always {
            clause.write(f, "  ")?;
            writeln!(f, " &&")?;
        }
        writeln!(f, "  ((")?;
        write_all(f, chart)?;
        writeln!(f, "  ) || (")?;
        write_all(f, chart_ref)?;
        write!(f, "  ))\n)")
    }
}

fn write_all(f: &mut fmt::Formatter<'_>, clauses: &[Clause]) -> fmt::Result {
    for (index, clause) in clauses.iter().enumerate() {
        clause.write(f, "    ")?;
        writeln!(f, "{}", if index + 1 < clauses.len() { " &&" } else { "" })?;
    }
    Ok(())
}

// === impl Facts ===

impl Facts<'_> {
    fn always(&self) -> Vec<Clause> {
        let api_version = quoted(&format!("{HELM_GROUP}/{}", self.version));
        let mut all = vec![
            Clause::new(
                &["deprecated-api-version", "chart-ref-needs-v2"],
                "the version of HelmRelease that stays, and needs no chart beside a chartRef",
                format!("has(object.apiVersion) && object.apiVersion == {api_version}"),
            ),
            Clause::new(&[], "", map_at("object.metadata")),
            Clause::new(&[], "", map_at("object.spec")),
        ];
        if !self.settings.annotations.is_empty() {
            all.push(Clause::new(
                &["version-annotation"],
                "the annotation is current",
                map_at("object.metadata.annotations"),
            ));
        }
        all.extend(self.settings.annotations.keys().map(|key| {
            let key = quoted(key);
            let current = quoted(self.version);
            let at = "object.metadata.annotations";
            Clause::new(&["version-annotation"], "", format!("{key} in {at} && {at}[{key}] == {current}"))
        }));
        let entries = "object.metadata.managedFields";
        all.push(Clause::new(
            &["managed-fields-version"],
            "no manager's entry stayed behind at another version",
            format!(
                "(!has({entries}) ||\n  type({entries}) == list && size({entries}) <= {MAX_ENTRIES} &&\n  \
                 {entries}.all(entry, type(entry) == map && has(entry.apiVersion) && entry.apiVersion == {api_version}))"
            ),
        ));
        all
    }

    fn chart(&self) -> Vec<Clause> {
        let spec = "object.spec.chart.spec";
        let source = "object.spec.chart.spec.sourceRef";
        let whole: &[&str] = &["partial-chart"];
        vec![
            Clause::new(
                &["chart-and-chart-ref", "chart-ref-kind"],
                "a whole chart alone",
                "!has(object.spec.chartRef)".to_owned(),
            ),
            Clause::new(whole, "", map_at("object.spec.chart")),
            Clause::new(whole, "", map_at(spec)),
            Clause::new(whole, "", filled_text_at(&format!("{spec}.chart"))),
            Clause::new(whole, "", map_at(source)),
            Clause::new(
                whole,
                "",
                format!("has({source}.kind) && {source}.kind in {}", list(CHART_SOURCES.iter().copied())),
            ),
            Clause::new(whole, "", filled_text_at(&format!("{source}.name"))),
            Clause::new(
                &["deprecated-api-version"],
                "the source's version, where it is set, is current",
                self.source_api_version(&format!("{source}.apiVersion")),
            ),
        ]
    }

    /// `spec.chart.spec.sourceRef.apiVersion`: absent, or the newest of every kind in every Flux.
    fn source_api_version(&self, at: &str) -> String {
        let newest = self
            .minors
            .iter()
            .flat_map(|flux| CHART_SOURCES.iter().filter_map(move |kind| flux.source_versions(kind).next()));
        let newest: BTreeSet<_> = newest.collect();
        match newest.first().filter(|_| newest.len() == 1) {
            Some(version) => {
                format!("(!has({at}) || {at} == {})", quoted(&format!("{SOURCE_GROUP}/{version}")))
            }
            None => format!("!has({at})"),
        }
    }

    fn chart_ref(&self) -> Vec<Clause> {
        let at = "object.spec.chartRef";
        let kinds = self.chart_ref_kinds();
        vec![
            Clause::new(
                &["chart-and-chart-ref", "partial-chart"],
                "a whole chartRef alone",
                "!has(object.spec.chart)".to_owned(),
            ),
            Clause::new(&["chart-ref-kind"], "", map_at(at)),
            Clause::new(
                &["chart-ref-kind"],
                "",
                format!("has({at}.kind) && {at}.kind in {}", list(kinds.iter().copied())),
            ),
            Clause::new(&["chart-ref-name"], "", name(&format!("{at}.name"))),
            Clause::new(
                &["chart-ref-namespace"],
                "the namespace is as the configuration asks for",
                self.namespace(&format!("{at}.namespace")),
            ),
            Clause::new(
                &["chart-ref-api-version"],
                "its version, where it is set, fits the kind",
                self.chart_ref_api_version(at, &kinds),
            ),
            Clause::new(
                &["generated-chart-name"],
                "not the HelmChart that helm-controller generates and deletes",
                format!(
                    "({at}.kind != 'HelmChart' || has(request.name) && has(request.namespace) &&\n  \
                     {at}.name != request.namespace + '-' + request.name)"
                ),
            ),
            Clause::new(
                &["migration-order", "values-files-lost"],
                "not just moved here from a chart",
                "(oldObject == null || type(oldObject) == map && has(oldObject.spec) &&\n  \
                 type(oldObject.spec) == map && !has(oldObject.spec.chart))"
                    .to_owned(),
            ),
        ]
    }

    /// The kinds that every Flux in question allows in a schema that can do without `spec.chart`.
    fn chart_ref_kinds(&self) -> Vec<&'static str> {
        let allows = |schema: &Schema, kind: &str| {
            !schema.deprecated
                && !schema.chart_required
                && schema.chart_ref_kinds.iter().any(|known| known == kind)
        };
        let schemas: Vec<_> = self.minors.iter().filter_map(|flux| flux.schema(self.version)).collect();
        let all = crate::policy::CHART_REF_KINDS.iter().copied();
        all.filter(|kind| schemas.iter().all(|schema| allows(schema, kind))).collect()
    }

    fn namespace(&self, at: &str) -> String {
        let chosen = self.settings.chart_ref;
        let named = match chosen.cross_namespace {
            CrossNamespace::Deny => format!("has(request.namespace) && {at} == request.namespace"),
            CrossNamespace::Allow => format!(
                "type({at}) == string && size({at}) <= {MAX_NAMESPACE} &&\n  {at}.matches('^{LABEL}$')"
            ),
        };
        if chosen.fill_namespace {
            format!("has({at}) && {named}")
        } else {
            format!("(!has({at}) || {named})")
        }
    }

    /// `spec.chartRef.apiVersion`: absent, or served for the kind in every Flux.
    fn chart_ref_api_version(&self, at: &str, kinds: &[&'static str]) -> String {
        let mut cel = format!("!has({at}.apiVersion)");
        for kind in kinds {
            let served_by_all = |version: &&str| {
                self.minors.iter().all(|flux| flux.source_versions(kind).any(|served| served == *version))
            };
            let all = self.minors.iter().flat_map(|flux| flux.source_versions(kind));
            let served: BTreeSet<_> =
                all.filter(served_by_all).map(|version| format!("{SOURCE_GROUP}/{version}")).collect();
            if !served.is_empty() {
                let versions = list(served.iter().map(String::as_str));
                cel = format!("{cel} ||\n  {at}.kind == {} && {at}.apiVersion in {versions}", quoted(kind));
            }
        }
        if cel.contains("||") { format!("({cel})") } else { cel }
    }
}

/// The name of an object, as [`crate::policy`] has it.
fn name(at: &str) -> String {
    let text = text_at(at);
    format!("{text} && size({at}) <= {MAX_NAME} &&\n  {at}.matches('^{LABEL}([.]{LABEL})*$')")
}

#[cfg(test)]
mod tests;
