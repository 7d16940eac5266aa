//! What each Flux minor serves: HelmRelease and source versions, and what their schemas ask for.
//!
//! Read from the CRDs that Flux 2.0 to 2.10 install (helm-controller v0.35.0 to v1.7.1, source-controller v1.0.1 to
//! v1.10.1). The truth table test holds every row against a real API server with that CRD.

use std::{borrow::Cow, fmt, str::FromStr};

use super::schema::{CrdRules, HELM_CHART, OCI_REPOSITORY, Schema, Template};
use crate::helmrelease::{
    ChartField,
    ChartField::{
        CertSecretRef, Chart, Ignore, IgnoreMissingValuesFiles, Insecure, Interval, LayerSelector, Provider,
        ProxySecretRef, ReconcileStrategy, Ref, SecretRef, ServiceAccountName, SourceRef, Suspend, Timeout,
        Url, ValuesFile, ValuesFiles, Verify, Version,
    },
    ChartFields,
};

/// The API group of HelmRelease.
pub const HELM_GROUP: &str = "helm.toolkit.fluxcd.io";
/// The API group of the chart sources.
pub const SOURCE_GROUP: &str = "source.toolkit.fluxcd.io";

/// A Flux minor release, `2.0` to `2.10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flux(u8);

/// A Flux version that chartgate does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no Flux minor that chartgate knows; use one of {oldest} to {newest}, such as {newest}", oldest = Flux::OLDEST, newest = Flux::NEWEST)]
pub struct UnknownFlux {
    given: String,
}

const V2BETA1: &str = "v2beta1";
const V2BETA2: &str = "v2beta2";
const V2: &str = "v2";

const THREE_KINDS: &[Cow<'static, str>] =
    &[Cow::Borrowed("OCIRepository"), Cow::Borrowed("HelmChart"), Cow::Borrowed("ExternalArtifact")];
const TWO_KINDS: &[Cow<'static, str>] = &[Cow::Borrowed("OCIRepository"), Cow::Borrowed("HelmChart")];
const NO_KINDS: &[Cow<'static, str>] = &[];

const BOTH_TEMPLATE_KINDS: &[Cow<'static, str>] = &[Cow::Borrowed(HELM_CHART), Cow::Borrowed(OCI_REPOSITORY)];

/// The fields that `spec.chart.spec` allows in every version.
const ALWAYS: &[ChartField] = &[Chart, SourceRef, Version, Interval, ValuesFiles, ReconcileStrategy, Verify];
/// The fields that `spec.chart.spec` requires before Flux 2.10.
const REQUIRED: &[ChartField] = &[Chart, SourceRef];
/// The fields of a `spec.chart.spec` that makes an OCIRepository.
const INLINE: &[ChartField] = &[
    IgnoreMissingValuesFiles,
    Url,
    Ref,
    LayerSelector,
    Provider,
    SecretRef,
    ServiceAccountName,
    CertSecretRef,
    ProxySecretRef,
    Ignore,
    Insecure,
    Timeout,
    Suspend,
];

/// v2beta1, and v2beta2 in Flux 2.2.
const FIRST: Template = template(NO_KINDS, REQUIRED, &[ValuesFile], CrdRules::NONE);
/// v2beta2 from Flux 2.3 on.
const SECOND: Template =
    template(NO_KINDS, REQUIRED, &[ValuesFile, IgnoreMissingValuesFiles], CrdRules::ONE_SOURCE);
/// v2 in Flux 2.3 to 2.9.
const THIRD: Template = template(NO_KINDS, REQUIRED, &[IgnoreMissingValuesFiles], CrdRules::ONE_SOURCE);
/// v2 from Flux 2.10 on.
const WITH_KIND: Template = template(BOTH_TEMPLATE_KINDS, &[], INLINE, CrdRules::INLINE);

/// A template: its kinds, the fields that its `spec` requires, those that it allows besides [`ALWAYS`], and the rules
/// about it.
const fn template(
    kinds: &'static [Cow<'static, str>],
    required: &[ChartField],
    more: &[ChartField],
    rules: CrdRules,
) -> Template {
    Template {
        kinds: Cow::Borrowed(kinds),
        others: Cow::Borrowed(&[]),
        fields: Some(ChartFields::of(&[ALWAYS, more])),
        required: ChartFields::of(&[required]),
        rules,
        unknown_rules: Cow::Borrowed(&[]),
    }
}

/// A row: version, deprecated, chart required, kinds of chartRef, kind of sourceRef required, template.
const fn row(
    version: &'static str,
    deprecated: bool,
    chart_required: bool,
    chart_ref_kinds: &'static [Cow<'static, str>],
    source_kind_required: bool,
    template: Template,
) -> Schema {
    let (version, chart_ref_kinds) = (Cow::Borrowed(version), Cow::Borrowed(chart_ref_kinds));
    Schema { version, deprecated, chart_required, chart_ref_kinds, source_kind_required, template }
}

/// Served HelmRelease versions, oldest first, indexed by Flux minor.
static HELM_RELEASE: [&[Schema]; 11] = [
    /* 2.0 */ &[row(V2BETA1, false, true, NO_KINDS, false, FIRST)],
    /* 2.1 */ &[row(V2BETA1, false, true, NO_KINDS, false, FIRST)],
    /* 2.2 */
    &[row(V2BETA1, true, true, NO_KINDS, false, FIRST), row(V2BETA2, false, true, NO_KINDS, false, FIRST)],
    /* 2.3 */
    &[
        row(V2BETA1, true, false, TWO_KINDS, false, FIRST),
        row(V2BETA2, true, false, TWO_KINDS, false, SECOND),
        row(V2, false, false, TWO_KINDS, false, THIRD),
    ],
    /* 2.4 */ FLUX_2_4_TO_2_6,
    /* 2.5 */ FLUX_2_4_TO_2_6,
    /* 2.6 */ FLUX_2_4_TO_2_6,
    /* 2.7 */
    &[row(V2BETA2, true, false, TWO_KINDS, true, SECOND), row(V2, false, false, THREE_KINDS, true, THIRD)],
    /* 2.8 */ &[row(V2, false, false, THREE_KINDS, true, THIRD)],
    /* 2.9 */ &[row(V2, false, false, THREE_KINDS, true, THIRD)],
    /* 2.10 */ &[row(V2, false, false, THREE_KINDS, true, WITH_KIND)],
];

const FLUX_2_4_TO_2_6: &[Schema] = &[
    row(V2BETA1, true, true, TWO_KINDS, true, FIRST),
    row(V2BETA2, true, false, TWO_KINDS, true, SECOND),
    row(V2, false, false, TWO_KINDS, true, THIRD),
];

/// Served versions of the sources: kind, version, first and last Flux minor that serves it; newest version first.
static SOURCES: [(&str, &str, u8, u8); 9] = [
    ("OCIRepository", "v1", 6, 10),
    ("OCIRepository", "v1beta2", 0, 7),
    ("HelmChart", "v1", 3, 10),
    ("HelmChart", "v1beta2", 0, 7),
    ("HelmChart", "v1beta1", 0, 6),
    ("ExternalArtifact", "v1", 7, 10),
    ("HelmRepository", "v1", 3, 10),
    ("HelmRepository", "v1beta2", 0, 7),
    ("HelmRepository", "v1beta1", 0, 6),
];

// === impl Schema ===

impl Schema {
    /// Whether the schema itself refuses a release with both or neither of `spec.chart` and `spec.chartRef`: from Flux 2.3 on, but
    /// in v2beta1, which has no such rule.
    pub fn has_cel(&self) -> bool {
        !self.chart_ref_kinds.is_empty() && self.version != V2BETA1
    }
}

// === impl Flux ===

impl Flux {
    /// The oldest minor that chartgate knows.
    pub const OLDEST: Self = Self(0);
    /// The newest minor that chartgate knows; assumed where nothing else is said.
    pub const NEWEST: Self = Self(10);

    /// All known minors, oldest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (Self::OLDEST.0..=Self::NEWEST.0).map(Self)
    }

    /// Whether its kustomize-controller refuses a variable of `postBuild` without a value: from 1.9 on, which came with Flux 2.9.
    pub fn refuses_unset_variables(self) -> bool {
        self.0 >= 9
    }

    /// The HelmRelease versions that this minor serves, oldest first.
    pub fn served(self) -> &'static [Schema] {
        HELM_RELEASE[usize::from(self.0)]
    }

    /// The schema of a HelmRelease version, if this minor serves it.
    pub fn schema(self, version: &str) -> Option<&'static Schema> {
        self.served().iter().find(|schema| schema.version == version)
    }

    /// The schema of the newest version that this minor serves.
    pub fn newest_schema(self) -> &'static Schema {
        self.served().last().expect("every Flux minor serves a HelmRelease version")
    }

    /// This minor, or the newest one that serves a HelmRelease version if this one does not.
    ///
    /// A request that reached admission proves that its version is served, whatever we were told.
    #[must_use]
    pub fn serving(self, version: &str) -> Self {
        let other = || Self::all().rev().find(|flux| flux.schema(version).is_some());
        if self.schema(version).is_some() { self } else { other().unwrap_or(self) }
    }

    /// The first and the last of the minors that serve exactly these versions with these schemas.
    pub fn that_serve(schemas: &[Schema]) -> Option<(Self, Self)> {
        let mut all = Self::all().filter(|flux| flux.served() == schemas);
        let first = all.next()?;
        Some((first, all.next_back().unwrap_or(first)))
    }

    /// The first minor that no longer serves a HelmRelease version which older ones do.
    pub fn that_dropped(version: &str) -> Option<Self> {
        let last = Self::all().rev().find(|flux| flux.schema(version).is_some())?;
        Self::all().find(|flux| *flux > last)
    }

    /// The first minor that serves a HelmRelease version.
    pub fn that_brought(version: &str) -> Option<Self> {
        Self::all().find(|flux| flux.schema(version).is_some())
    }

    /// The first minor whose newest HelmRelease version has a field below `spec.chart.spec`.
    pub fn that_takes(field: ChartField) -> Option<Self> {
        Self::all().find(|flux| flux.newest_schema().template.takes(field))
    }

    /// The first minor whose `spec.chart` can make an OCIRepository.
    pub fn that_takes_inline() -> Option<Self> {
        Self::all().find(|flux| flux.newest_schema().template.takes_inline())
    }

    /// The versions of a source kind that this minor serves, newest first; none for a kind that it does not have.
    pub fn source_versions(self, kind: &str) -> impl Iterator<Item = &'static str> {
        SOURCES.iter().filter_map(move |&(name, version, first, last)| {
            (name == kind && (first..=last).contains(&self.0)).then_some(version)
        })
    }
}

impl Default for Flux {
    fn default() -> Self {
        Self::NEWEST
    }
}

impl fmt::Display for Flux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2.{}", self.0)
    }
}

impl FromStr for Flux {
    type Err = UnknownFlux;

    /// Reads `2.6`; also `v2.6` and `2.6.4`, as `flux version` prints them.
    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let mut parts = given.strip_prefix('v').unwrap_or(given).split('.');
        let minor = (parts.next() == Some("2")).then(|| parts.next()?.parse().ok()).flatten();
        let patch_is_fine =
            parts.next().is_none_or(|patch| patch.parse::<u16>().is_ok()) && parts.next().is_none();
        match minor {
            Some(minor) if patch_is_fine && minor <= Self::NEWEST.0 => Ok(Self(minor)),
            _ => Err(UnknownFlux { given: given.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_minor_as_people_write_it() {
        for given in ["2.6", "v2.6", "2.6.4", "v2.6.4"] {
            assert_eq!(given.parse(), Ok(Flux(6)), "{given}");
        }
        for (given, minor) in [("2.1", 1), ("2.10", 10), ("v2.10.1", 10)] {
            assert_eq!(given.parse(), Ok(Flux(minor)), "{given}");
        }
        assert_eq!(Flux::NEWEST.to_string(), "2.10");
    }

    #[test]
    fn refuses_what_it_does_not_know_and_names_what_it_does() {
        for given in
            ["", "2", "2.11", "2.100", "2.010x", "2.256", "3.0", "1.6", "2.x", "2.6.x", "2.6.4.1", "2.-1"]
        {
            let error = given.parse::<Flux>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "{given:?} is no Flux minor that chartgate knows; use one of 2.0 to 2.10, such as 2.10"
                )
            );
        }
    }

    #[test]
    fn a_request_proves_that_its_version_is_served() {
        assert_eq!(Flux::NEWEST.serving("v2"), Flux::NEWEST);
        assert_eq!(Flux::NEWEST.serving("v2beta2"), Flux(7));
        assert_eq!(Flux::NEWEST.serving("v2beta1"), Flux(6));
        assert_eq!(Flux::OLDEST.serving("v2"), Flux::NEWEST);
        assert_eq!(Flux(4).serving("v9"), Flux(4));
    }

    #[test]
    fn knows_when_a_version_came_and_went() {
        assert_eq!(Flux::that_dropped("v2beta1"), Some(Flux(7)));
        assert_eq!(Flux::that_dropped("v2beta2"), Some(Flux(8)));
        assert_eq!(Flux::that_dropped("v2"), None);
        assert_eq!(Flux::that_brought("v2"), Some(Flux(3)));
    }

    #[test]
    fn knows_a_flux_by_its_schemas() {
        assert_eq!(Flux::that_serve(Flux(5).served()), Some((Flux(4), Flux(6))));
        assert_eq!(Flux::that_serve(Flux(7).served()), Some((Flux(7), Flux(7))));
        assert_eq!(Flux::that_serve(Flux(9).served()), Some((Flux(8), Flux(9))));
        assert_eq!(Flux::that_serve(Flux(10).served()), Some((Flux(10), Flux(10))));
        assert_eq!(Flux::that_serve(&[]), None);
    }

    #[test]
    fn knows_when_a_field_of_the_chart_came() {
        assert_eq!(Flux::that_takes_inline(), Some(Flux(10)));
        assert_eq!(Flux::that_takes(Url), Some(Flux(10)));
        assert_eq!(Flux::that_takes(IgnoreMissingValuesFiles), Some(Flux(3)));
        assert_eq!(Flux::that_takes(Chart), Some(Flux(0)));
    }

    #[test]
    fn knows_the_source_versions_of_its_time() {
        assert_eq!(Flux(6).source_versions("OCIRepository").collect::<Vec<_>>(), ["v1", "v1beta2"]);
        assert_eq!(Flux(5).source_versions("OCIRepository").collect::<Vec<_>>(), ["v1beta2"]);
        assert_eq!(Flux(6).source_versions("ExternalArtifact").count(), 0);
    }
}
