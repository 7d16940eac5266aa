//! What is stored already, judged: every HelmRelease of a cluster, what its next apply comes to, and how far its move from
//! `spec.chart` to `spec.chartRef` is.
//!
//! Pure: the objects and the facts are handed in. A release is judged at the version that its applier writes it at, by the same
//! evaluation and the same review as at admission, so that what is told here is what admission will do.

mod auditor;
mod next;
mod readiness;
mod release;
pub mod since;

use crate::policy::Level;

pub use auditor::{Auditor, Detail};
pub use next::{Change, Next, Outcome};
pub use readiness::{Blocker, Phase};
pub use release::{Applier, Finding, Owner, Release, Source};

/// What an audit comes to.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Every release, ordered by namespace and name.
    pub releases: Vec<Release>,
    /// The versions of HelmRelease that the cluster serves, oldest first.
    pub served: Vec<String>,
    /// What is not known of the cluster and why, in a line each; the audit says less for it.
    pub missing: Vec<String>,
}

// === impl Audit ===

impl Audit {
    /// Every finding with the release that it is about.
    pub fn findings(&self) -> impl Iterator<Item = (&Release, &Finding)> {
        self.releases
            .iter()
            .flat_map(|release| release.findings.iter().map(move |finding| (release, finding)))
    }

    /// How many findings are of a level.
    pub fn count(&self, level: Level) -> usize {
        self.findings().filter(|(_, finding)| finding.level == level).count()
    }

    /// The worst that was found.
    pub fn worst(&self) -> Option<Level> {
        self.findings().map(|(_, finding)| finding.level).max()
    }
}
