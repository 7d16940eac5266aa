//! What is known about the cluster, read beforehand. Plain data: who reads it, and when, is `cluster`'s business.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use super::{FieldTree, Flux, Kubernetes, Mode, Schema};

/// The names of objects of one kind, by namespace.
pub type Names = HashMap<Box<str>, HashSet<Box<str>>>;

/// What is known about the cluster. By default nothing, and the newest Flux is assumed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The Flux minor that is assumed where the cluster says nothing.
    pub flux: Flux,
    /// The HelmRelease versions that the cluster serves, oldest first, once its CRD was read. The live CRD decides.
    pub helm_release: Option<Vec<Schema>>,
    /// The fields that each of those versions has.
    pub fields: BTreeMap<Box<str>, FieldTree>,
    /// The version of the API server, where it is known. It changes texts, and never a patch.
    pub kubernetes: Option<Kubernetes>,
    /// The versions of the source kinds that the cluster serves, newest first.
    ///
    /// `None` where no cluster is asked. Where one is, a kind that is missing is one that nothing is known about yet.
    pub source_versions: Option<BTreeMap<&'static str, Vec<String>>>,
    /// The modes that namespaces ask for by their label; those that ask for none, or in words that are none, are not
    /// here.
    pub modes: HashMap<Box<str>, Mode>,
    /// The sources that there are, by kind; a kind that is missing is one that nothing is known about.
    pub sources: BTreeMap<&'static str, Names>,
}

/// What a release is judged by: the versions that the live CRD serves, else those of a Flux minor.
#[derive(Debug, Clone, Copy)]
pub struct Installed<'a> {
    schemas: &'a [Schema],
    facts: &'a Facts,
    /// The minor, where that and not the live CRD decides.
    flux: Option<Flux>,
}

// === impl Facts ===

impl Facts {
    /// A Flux minor is all that is known.
    pub fn of(flux: Flux) -> Self {
        Self { flux, ..Self::default() }
    }

    /// What a release at a version of the API is judged by.
    ///
    /// That a request is here proves that its version is served, whatever we were told or have not heard yet. A
    /// version that is empty proves nothing.
    pub fn serving(&self, version: &str) -> Installed<'_> {
        let live = self.helm_release.as_deref();
        let live = live.filter(|live| version.is_empty() || live.iter().any(|it| it.version == version));
        match live {
            Some(schemas) => Installed { schemas, facts: self, flux: None },
            None => Installed::told(self.flux.serving(version), self),
        }
    }

    /// Whether a source is in the cluster, where that is known.
    pub fn has_source(&self, kind: &str, namespace: &str, name: &str) -> Option<bool> {
        let names = self.sources.get(kind)?;
        Some(names.get(namespace).is_some_and(|names| names.contains(name)))
    }
}

// === impl Installed ===

impl<'a> Installed<'a> {
    /// What a release is judged by, whether its version is served or not.
    pub fn told(flux: Flux, facts: &'a Facts) -> Self {
        Self { schemas: flux.served(), facts, flux: Some(flux) }
    }

    /// The served versions of HelmRelease, oldest first.
    pub fn served(self) -> &'a [Schema] {
        self.schemas
    }

    /// The schema of a HelmRelease version, if that is served.
    pub fn schema(self, version: &str) -> Option<&'a Schema> {
        self.schemas.iter().find(|schema| schema.version == version)
    }

    /// The schema of the newest version that is served.
    pub fn newest_schema(self) -> &'a Schema {
        self.schemas.last().expect("what serves no version is not taken for installed")
    }

    /// The versions of a source kind that are served, newest first; none for a kind that is not there or not known.
    pub fn source_versions(self, kind: &str) -> Vec<&'a str> {
        match &self.facts.source_versions {
            Some(live) => live.get(kind).into_iter().flatten().map(String::as_str).collect(),
            None => self.flux.unwrap_or(self.facts.flux).source_versions(kind).collect(),
        }
    }

    /// Whether that may change while we serve, with what the cluster holds. What may change never decides a patch.
    pub fn source_versions_may_change(self) -> bool {
        self.facts.source_versions.is_some()
    }

    /// The first and the last Flux minor that serve the same versions; nothing where no known one does.
    pub fn minors(self) -> Option<(Flux, Flux)> {
        match self.flux {
            Some(flux) => Some((flux, flux)),
            None => Flux::that_serve(self.schemas),
        }
    }

    /// The Flux minor, where that and not the live CRD decides.
    pub fn flux(self) -> Option<Flux> {
        self.flux
    }
}

impl fmt::Display for Installed<'_> {
    /// `Flux 2.6`, or `this cluster` where it was asked itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flux {
            Some(flux) => write!(f, "Flux {flux}"),
            None => f.write_str("this cluster"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(flux: &str) -> Facts {
        let flux: Flux = flux.parse().unwrap();
        Facts { helm_release: Some(flux.served().to_vec()), ..Facts::default() }
    }

    #[test]
    fn the_live_schemas_decide_and_not_the_flux_that_was_named() {
        let facts = live("2.6");
        let installed = facts.serving("v2beta1");
        assert!(installed.schema("v2beta1").unwrap().chart_required);
        assert_eq!(installed.to_string(), "this cluster");
        let flux = |minor: &str| minor.parse().unwrap();
        assert_eq!(installed.minors(), Some((flux("2.4"), flux("2.6"))));
        assert_eq!(Facts::of(flux("2.6")).serving("v2").minors(), Some((flux("2.6"), flux("2.6"))));
        assert_eq!(Facts::of("2.6".parse().unwrap()).serving("v2beta1").to_string(), "Flux 2.6");
    }

    #[test]
    fn a_request_at_a_version_that_was_not_heard_of_yet_is_judged_by_a_flux_that_has_it() {
        let facts = live("2.9");
        assert_eq!(facts.serving("v2beta1").to_string(), "Flux 2.6");
        assert_eq!(facts.serving("").to_string(), "this cluster");
    }

    #[test]
    fn a_kind_that_was_not_read_yet_is_not_missed() {
        let mut facts = Facts::default();
        assert_eq!(facts.has_source("HelmChart", "apps", "podinfo"), None);
        facts.sources.insert("HelmChart", Names::new());
        assert_eq!(facts.has_source("HelmChart", "apps", "podinfo"), Some(false));
        let names = facts.sources.get_mut("HelmChart").unwrap();
        names.entry("apps".into()).or_default().insert("podinfo".into());
        assert_eq!(facts.has_source("HelmChart", "apps", "podinfo"), Some(true));
    }
}
