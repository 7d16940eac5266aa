//! The condition under which the API server need not ask us: a CEL expression that is false for a release that no rule
//! has a word about.
//!
//! Most of what a webhook call costs is the API server's share of it, so the cheapest call is one that is not made. The
//! expression is written from the same facts as the rules, and is sound: wherever it is false, [`crate::policy::evaluate`]
//! finds nothing. What it cannot say cheaply (who owns which field, for one) it leaves to the call.
//!
//! Flux has every release evaluated at every interval, and each part costs the API server 0.3 to 1 µs, so nothing is asked
//! twice, and nothing that the API server has seen to before: it decodes metadata as what it is, drops a null, and sends
//! apiVersion and namespace always. What may be missing, or null, as in a server-side apply, is no error, as `.?` finds
//! nothing in it. One thing can make the expression fail: a list in place of an object, in a release that is in order
//! otherwise, as nothing short of a look at its type would help. /mutate comes before the schema, which refuses that
//! whatever we think of it; at /validate there is nothing of that kind.

mod clause;
mod condition;
mod fit;

use std::collections::BTreeSet;
use std::fmt;
use std::iter;

pub use clause::Clause;
use clause::{list, no_filled_text, no_text, or_empty, quoted};
pub use condition::{OBSERVED, Webhook};
pub use fit::{Fit, Right};

use crate::policy::{
    CrossNamespace, Flux, HELM_CHART, HELM_GROUP, MAX_NAME, MAX_NAMESPACE, OCI_REPOSITORY, OCI_URL,
    SOURCE_GROUP, Schema, Settings,
};

/// The name of the condition that has it, in `matchConditions`.
pub const NAME: &str = "not-provably-clean";

/// The rules that no clause needs to speak of, and why.
pub const NEVER_ALONE: &[(&str, &str)] = &[
    ("no-chart-source", "without a chartRef a whole chart is asked for"),
    ("force-deletes", "it only stands beside what another rule finds"),
    (
        "chart-ref-source-missing",
        "it is about another object, which no condition can see: the audit tells it",
    ),
    ("unknown-chart-field", "the API server refuses such a field, or prunes it, before it asks"),
    ("source-url-has-tag", OF_SOURCE),
    ("oci-tag-mismatch", OF_SOURCE),
    ("semver-shadows-tag", OF_SOURCE),
    ("layer-selector-missing", OF_SOURCE),
];

/// Why no clause covers a rule about the content of a source.
const OF_SOURCE: &str =
    "it is about the content of a source, which admission does not read: check and audit report it";

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

/// What makes us be asked about a release, as clauses: where none holds, it is provably clean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefilter {
    /// Those for every release.
    pub always: Vec<Clause>,
    /// Those for one with a `spec.chartRef`.
    pub chart_ref: Vec<Clause>,
    /// Those for one whose `spec.chart` makes an OCIRepository; none where no Flux in question can.
    pub inline: Vec<Clause>,
    /// Those for one without either, which takes its chart from a HelmChart that `spec.chart` makes.
    pub chart: Vec<Clause>,
    /// The namespaces whose release `chartgate` is never judged, as [`Settings::installers`] has them.
    pub installers: Vec<String>,
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
        Self {
            always: facts.always(),
            chart_ref: facts.chart_ref(),
            inline: facts.inline(),
            chart: facts.chart(),
            installers: settings.installers.clone(),
        }
    }

    /// All clauses.
    pub fn clauses(&self) -> impl Iterator<Item = &Clause> {
        self.always.iter().chain(&self.chart_ref).chain(&self.inline).chain(&self.chart)
    }
}

impl fmt::Display for Prefilter {
    /// The expression, on several lines, with a comment before each clause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { always, chart_ref, inline, chart, installers: _ } = self;
        writeln!(
            f,
            "// False, so that chartgate is not called, where none of its rules has a word to say: where nothing of this holds."
        )?;
        writeln!(f, "(")?;
        for clause in always {
            clause.write(f, "  ")?;
            writeln!(f, " ||")?;
        }
        writeln!(f, "  (has(object.?spec.chartRef) ? (")?;
        write_all(f, chart_ref)?;
        if !inline.is_empty() {
            let kind = or_empty("object.?spec.?chart.?kind");
            writeln!(f, "  ) : {kind} == {} ? (", quoted(OCI_REPOSITORY))?;
            write_all(f, inline)?;
        }
        writeln!(f, "  ) : (")?;
        write_all(f, chart)?;
        write!(f, "  ))\n)")
    }
}

fn write_all(f: &mut fmt::Formatter<'_>, clauses: &[Clause]) -> fmt::Result {
    for (index, clause) in clauses.iter().enumerate() {
        clause.write(f, "    ")?;
        writeln!(f, "{}", if index + 1 < clauses.len() { " ||" } else { "" })?;
    }
    Ok(())
}

// === impl Facts ===

impl Facts<'_> {
    fn always(&self) -> Vec<Clause> {
        let api_version = quoted(&format!("{HELM_GROUP}/{}", self.version));
        let current = quoted(self.version);
        let mut all = vec![Clause::new(
            &["deprecated-api-version", "chart-ref-needs-v2"],
            "not the version of HelmRelease that stays, and needs no chart beside a chartRef",
            format!("object.apiVersion != {api_version}"),
        )];
        all.extend(self.settings.annotations.keys().enumerate().map(|(index, key)| {
            let says = if index == 0 { "the annotation is not current" } else { "" };
            let at = format!("object.?metadata.?annotations[?{}]", quoted(key));
            Clause::new(&["version-annotation"], says, format!("{} != {current}", or_empty(&at)))
        }));
        let behind = |object: &str| {
            format!(
                "{object}.?metadata.?managedFields.orValue([]).exists(entry,\n  {} != {api_version})",
                or_empty("entry.?apiVersion")
            )
        };
        all.push(Clause::new(
            &["managed-fields-version", "version-annotation"],
            "a manager's entry stayed behind at another version",
            behind("object"),
        ));
        if !self.settings.annotations.is_empty() {
            all.push(Clause::new(
                &["version-annotation"],
                "or leaves it now, which the annotation must show",
                behind("oldObject"),
            ));
        }
        all
    }

    fn chart_ref(&self) -> Vec<Clause> {
        let at = "object.spec.chartRef";
        let kinds = self.chart_ref_kinds();
        vec![
            Clause::new(
                &["chart-and-chart-ref", "partial-chart"],
                "not a chartRef alone",
                "has(object.spec.chart)".to_owned(),
            ),
            Clause::new(
                &["chart-ref-kind"],
                "of no kind that is always taken",
                format!("!({} in {})", or_empty(&format!("{at}.?kind")), list(kinds.iter().copied())),
            ),
            Clause::new(
                &["generated-chart-name", "cross-namespace-move"],
                "helm-controller still has to delete what it generated, which may be what is named here",
                "has(oldObject.?status.helmChart)".to_owned(),
            ),
            Clause::new(&["chart-ref-name"], "its name can be none", name(at)),
            Clause::new(
                &["chart-ref-namespace", "null-field"],
                "the namespace is not as the configuration asks for",
                self.namespace(at),
            ),
            Clause::new(
                &["chart-ref-api-version", "null-field"],
                "its version is set, and may not fit the kind",
                self.chart_ref_api_version(at, &kinds),
            ),
            Clause::new(
                &["migration-order", "values-files-lost", "chart-name-changes", "chart-digest-upgrade"],
                "just moved here from a chart",
                "has(oldObject.?spec.chart)".to_owned(),
            ),
        ]
    }

    fn chart(&self) -> Vec<Clause> {
        let source = "object.spec.chart.spec.sourceRef";
        let whole: &[&str] = &["partial-chart"];
        let kind = or_empty("object.?spec.?chart.?spec.?sourceRef.?kind");
        let mut all = vec![
            Clause::new(
                whole,
                "no whole chart",
                format!("!({kind} in {})", list(CHART_SOURCES.iter().copied())),
            ),
            Clause::new(whole, "", no_filled_text(source, "name")),
            Clause::new(whole, "", no_filled_text("object.spec.chart.spec", "chart")),
            Clause::new(
                &["null-field"],
                "an optional field is null, as in a server-side apply",
                "null in [object.spec.chart.?kind.orValue(0), object.spec.chart.spec.?interval.orValue(0),\n  \
                 object.spec.chart.spec.sourceRef.?namespace.orValue(0)]"
                    .to_owned(),
            ),
            Clause::new(
                &["deprecated-api-version"],
                "the source's version is set, and not current",
                self.source_api_version(&format!("{source}.apiVersion")),
            ),
        ];
        if self.takes_inline() {
            all.push(Clause::new(
                &["chart-kind"],
                "of another kind, or with what only that has",
                format!("has(object.spec.chart.kind) && object.spec.chart.kind != {}", quoted(HELM_CHART)),
            ));
            all.push(Clause::new(&["chart-kind"], "", "has(object.spec.chart.spec.url)".to_owned()));
        }
        all.extend(self.cross_namespace(source));
        all
    }

    /// The source is in another namespace than the release, where the configuration refuses that.
    fn cross_namespace(&self, source: &str) -> Vec<Clause> {
        if self.settings.chart_ref.cross_namespace == CrossNamespace::Allow {
            return Vec::new();
        }
        let rules: &[&str] = &["cross-namespace-move"];
        let foreign = format!("has({source}.namespace) && {source}.namespace != request.namespace");
        let named = Clause::new(rules, "the source is in another namespace", foreign);
        iter::once(named).chain(self.generated_elsewhere()).collect()
    }

    /// The source that helm-controller generated before is in another namespace, where the configuration refuses that.
    fn generated_elsewhere(&self) -> Option<Clause> {
        let generated = "oldObject.status.helmChart";
        let cel = format!(
            "has(oldObject.?status.helmChart) &&\n  !{generated}.startsWith(request.namespace + '/') &&\n  \
             !{generated}.startsWith('OCIRepository/' + request.namespace + '/')"
        );
        let says = "what helm-controller generated is in another namespace";
        let denies = self.settings.chart_ref.cross_namespace == CrossNamespace::Deny;
        denies.then(|| Clause::new(&["cross-namespace-move"], says, cel))
    }

    /// Whether some Flux in question has `spec.chart.kind`. Any other one prunes it, or refuses the request, before it
    /// calls chartgate.
    fn takes_inline(&self) -> bool {
        self.minors
            .iter()
            .any(|flux| flux.schema(self.version).is_some_and(|schema| schema.template.takes_inline()))
    }

    fn inline(&self) -> Vec<Clause> {
        if !self.takes_inline() {
            return Vec::new();
        }
        let at = "object.spec.chart.spec";
        let others = ["chart", "sourceRef", "valuesFiles", "ignoreMissingValuesFiles"];
        let others: Vec<_> = others.iter().map(|field| format!("has({at}.{field})")).collect();
        let but =
            |field: &str, allowed: &str| format!("has({at}.{field}) && {at}.{field} != {}", quoted(allowed));
        let mut all = vec![
            Clause::new(
                &["partial-chart", "chart-kind"],
                "an OCIRepository without the URL of one",
                format!(
                    "{} ||\n  !{at}.url.matches({})",
                    no_text("object.spec.chart.?spec", "url"),
                    quoted(OCI_URL)
                ),
            ),
            Clause::new(&["inline-chart-fields"], "with the fields of a HelmChart", others.join(" ||\n  ")),
            Clause::new(&["inline-chart-fields"], "", but("version", "*")),
            Clause::new(&["inline-chart-fields"], "", but("reconcileStrategy", "ChartVersion")),
            Clause::new(
                &["values-files-lost", "chart-name-changes", "chart-digest-upgrade"],
                "just moved here from a HelmChart",
                format!(
                    "has(oldObject.?spec.chart) && {} != {}",
                    or_empty("oldObject.?spec.chart.?kind"),
                    quoted(OCI_REPOSITORY)
                ),
            ),
        ];
        all.extend(self.generated_elsewhere());
        all
    }

    /// `spec.chart.spec.sourceRef.apiVersion`: there, and not the newest of every kind in every Flux.
    fn source_api_version(&self, at: &str) -> String {
        let newest = self
            .minors
            .iter()
            .flat_map(|flux| CHART_SOURCES.iter().filter_map(move |kind| flux.source_versions(kind).next()));
        let newest: BTreeSet<_> = newest.collect();
        match newest.first().filter(|_| newest.len() == 1) {
            Some(version) => {
                format!("has({at}) && {at} != {}", quoted(&format!("{SOURCE_GROUP}/{version}")))
            }
            None => format!("has({at})"),
        }
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
        let foreign = if chosen.fill_namespace {
            format!("{} != request.namespace", or_empty(&format!("{at}.?namespace")))
        } else {
            format!("has({at}.namespace) && {at}.namespace != request.namespace")
        };
        match chosen.cross_namespace {
            CrossNamespace::Deny => foreign,
            CrossNamespace::Allow => {
                format!(
                    "{foreign} &&\n  ({} || !{at}.namespace.matches('^{LABEL}$') ||\n    size({at}.namespace) > {MAX_NAMESPACE})",
                    no_text(at, "namespace")
                )
            }
        }
    }

    /// `spec.chartRef.apiVersion`: there, and not served for the kind in every Flux.
    fn chart_ref_api_version(&self, at: &str, kinds: &[&'static str]) -> String {
        let mut served = Vec::new();
        for kind in kinds {
            let served_by_all = |version: &&str| {
                self.minors.iter().all(|flux| flux.source_versions(kind).any(|served| served == *version))
            };
            let all = self.minors.iter().flat_map(|flux| flux.source_versions(kind));
            let all: BTreeSet<_> =
                all.filter(served_by_all).map(|version| format!("{SOURCE_GROUP}/{version}")).collect();
            if !all.is_empty() {
                let versions = list(all.iter().map(String::as_str));
                served.push(format!("{at}.kind == {} && {at}.apiVersion in {versions}", quoted(kind)));
            }
        }
        let set = format!("has({at}.apiVersion)");
        if served.is_empty() { set } else { format!("{set} &&\n  !({})", served.join(" ||\n    ")) }
    }
}

/// No name of an object, as [`crate::policy`] has it, in the reference at a path.
fn name(at: &str) -> String {
    let no_text = no_text(at, "name");
    format!("{no_text} ||\n  !{at}.name.matches('^{LABEL}([.]{LABEL})*$') ||\n  size({at}.name) > {MAX_NAME}")
}

#[cfg(test)]
mod tests;
