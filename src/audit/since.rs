//! What changed since an earlier audit, which is known by its JSON report.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use thiserror::Error;

use super::{Audit, Finding, Release};

/// The version of the JSON report that is read here and written by `report`.
pub const VERSION: u32 = 1;

/// An earlier audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// When it was made (RFC 3339).
    pub taken_at: String,
    releases: BTreeMap<Name, Known>,
}

/// What an earlier audit knew of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    phase: String,
    findings: BTreeSet<Told>,
}

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Since {
    /// When the earlier audit was made (RFC 3339).
    pub taken_at: String,
    /// Releases that were not there.
    pub new: Vec<Name>,
    /// Releases that are not there any more.
    pub gone: Vec<Name>,
    /// Releases that came to another phase.
    pub moved: Vec<Moved>,
    /// Findings that were not there.
    pub appeared: Vec<(Name, Told)>,
    /// Findings that are not there any more, of releases that are.
    pub solved: Vec<(Name, Told)>,
}

/// A release that came to another phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which one.
    pub release: Name,
    /// The phase that it was in.
    pub from: String,
    /// The phase that it is in.
    pub to: String,
}

/// A release by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// What tells a finding from the others of its release; wording is no part of it, texts are improved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// The rule's id.
    pub rule: String,
    /// The field.
    pub field: String,
}

/// The file holds no report that can be compared with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EarlierError {
    /// It is no JSON report of an audit.
    #[error("is no JSON report of `chartgate audit`")]
    Json(#[from] serde_json::Error),
    /// Its version is another one.
    #[error("is a report of version {0}; this chartgate reads version {VERSION}")]
    Version(u32),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    version: u32,
    taken_at: String,
    releases: Vec<DocumentRelease>,
}

#[derive(Deserialize)]
struct DocumentRelease {
    namespace: String,
    name: String,
    phase: String,
    findings: Vec<DocumentFinding>,
}

#[derive(Deserialize)]
struct DocumentFinding {
    rule: String,
    #[serde(default)]
    field: String,
}

// === impl Earlier ===

impl Earlier {
    /// Reads a JSON report.
    pub fn read(json: &str) -> Result<Self, EarlierError> {
        let Document { version, taken_at, releases } = serde_json::from_str(json)?;
        if version != VERSION {
            return Err(EarlierError::Version(version));
        }
        let releases = releases.into_iter().map(|DocumentRelease { namespace, name, phase, findings }| {
            let findings = findings.into_iter().map(|DocumentFinding { rule, field }| Told { rule, field });
            (Name { namespace, name }, Known { phase, findings: findings.collect() })
        });
        Ok(Self { taken_at, releases: releases.collect() })
    }

    /// What is other in an audit of now.
    pub fn compare(&self, audit: &Audit) -> Since {
        let mut since = Since { taken_at: self.taken_at.clone(), ..Since::default() };
        let mut left: BTreeSet<&Name> = self.releases.keys().collect();
        for release in &audit.releases {
            let name = Name::of(release);
            let findings: BTreeSet<Told> = release.findings.iter().map(Told::of).collect();
            let told = |told: &Told| (name.clone(), told.clone());
            let Some(known) = self.releases.get(&name) else {
                since.appeared.extend(findings.iter().map(told));
                since.new.push(name);
                continue;
            };
            left.remove(&name);
            since.appeared.extend(findings.difference(&known.findings).map(told));
            since.solved.extend(known.findings.difference(&findings).map(told));
            let to = release.phase.as_str();
            if known.phase != to {
                since.moved.push(Moved { release: name, from: known.phase.clone(), to: to.to_owned() });
            }
        }
        since.gone = left.into_iter().cloned().collect();
        since
    }
}

// === impl Since ===

impl Since {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        let Self { taken_at: _, new, gone, moved, appeared, solved } = self;
        new.is_empty() && gone.is_empty() && moved.is_empty() && appeared.is_empty() && solved.is_empty()
    }
}

// === impl Name ===

impl Name {
    fn of(release: &Release) -> Self {
        Self { namespace: release.namespace.to_string(), name: release.name.to_string() }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

// === impl Told ===

impl Told {
    fn of(finding: &Finding) -> Self {
        Self { rule: finding.rule.to_owned(), field: finding.field.to_string() }
    }
}
