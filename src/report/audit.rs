//! What an audit of a cluster found, told. The formats that know only findings tell it as a [`Report`] of live objects.

pub mod html;
pub mod json;
pub mod openreports;
pub mod text;

use std::collections::HashMap;

use super::{Diagnostic, Excerpts, Grade, Judged, Object, Report, Summary};
use crate::audit::{Audit, Finding, Release};
use crate::policy::HELM_GROUP;

/// There are no files: nothing of a report about live objects has a place in one.
#[derive(Debug, Clone, Copy)]
pub struct NoFiles;

impl Excerpts for NoFiles {
    fn path(&self, _: u32) -> &'static str {
        ""
    }

    fn text(&self, _: u32) -> &'static str {
        ""
    }
}

/// The findings of an audit, for the formats that know findings only.
pub fn report(audit: &Audit) -> Report {
    let mut diagnostics = Vec::new();
    let mut fingerprints = Fingerprints::default();
    for (release, finding) in audit.findings() {
        let fingerprint = fingerprints.next(release, finding);
        diagnostics.push(Diagnostic {
            why: finding.why.to_string().into(),
            help: finding.help.to_string().into(),
            object: Some(object(release)),
            field: finding.field.to_string(),
            fingerprint,
            ..Diagnostic::new(finding.rule, Grade::from(finding.level), &*finding.what)
        });
    }
    let judged = audit.releases.iter().map(|release| Judged { object: object(release), location: None });
    Report {
        diagnostics,
        judged: judged.collect(),
        summary: Summary { releases: audit.releases.len(), ..Summary::default() },
    }
}

/// Tells findings from each other, the same in every run and format.
#[derive(Debug, Default)]
struct Fingerprints {
    alike: HashMap<String, usize>,
}

// === impl Fingerprints ===

impl Fingerprints {
    /// That of the next finding; findings come in their order.
    fn next(&mut self, release: &Release, finding: &Finding) -> String {
        let identity = [finding.rule, &release.namespace, &release.name, &finding.field].join("\0");
        let number = self.alike.entry(identity.clone()).or_default();
        let fingerprint = super::fingerprint(&format!("{identity}\0{number}"));
        *number += 1;
        fingerprint
    }
}

/// The object as reports name it.
fn object(release: &Release) -> Object {
    Object {
        api_version: format!("{HELM_GROUP}/{}", release.version),
        kind: "HelmRelease".to_owned(),
        namespace: release.namespace.to_string(),
        name: release.name.to_string(),
    }
}
