//! What was already stored may stay: an update is denied only for what it introduces.

use std::cell::OnceCell;

use serde_json::Value;

use crate::{
    helmrelease::HelmRelease,
    policy::{self, Case, Finding, Operation, Subject},
};

/// What the object in the cluster already had wrong, worked out when it is first asked for.
pub(super) struct Stored<'c> {
    case: &'c Case<'c>,
    faults: OnceCell<Vec<Finding>>,
    spec_changes: OnceCell<bool>,
}

// === impl Stored ===

impl<'c> Stored<'c> {
    pub(super) fn of(case: &'c Case<'c>) -> Self {
        Self { case, faults: OnceCell::new(), spec_changes: OnceCell::new() }
    }

    /// Whether a fault was there before, and the update leaves `spec` alone but for `suspend`.
    pub(super) fn excuses(&self, finding: &Finding) -> bool {
        let Some(old) = self.case.subject.old else { return false };
        let faults = self.faults.get_or_init(|| self.faults_of(old));
        // The specs are compared last: taking two large ones apart costs far more than the rules do.
        faults.iter().any(|fault| fault.rule.id == finding.rule.id && fault.at == finding.at)
            && !self.spec_changes.get_or_init(|| changes_spec(old, self.case.subject.release))
    }

    fn faults_of(&self, old: &HelmRelease<'_>) -> Vec<Finding> {
        let Case { subject, settings, facts, installed, .. } = self.case;
        let before =
            Subject { release: old, old: None, operation: Operation::Create, manager: None, ..*subject };
        policy::evaluate(&Case::new(before, settings, facts, *installed))
    }
}

/// Whether an update changes `spec`. Suspending is no change: it is what one does with a broken release.
fn changes_spec(old: &HelmRelease<'_>, new: &HelmRelease<'_>) -> bool {
    fn text<'r>(release: &'r HelmRelease<'_>) -> Option<&'r [u8]> {
        Some(release.spec.set()?.raw.bytes())
    }
    let without_suspend = |release: &HelmRelease<'_>| {
        let mut spec = serde_json::from_slice::<Value>(text(release)?).ok()?;
        spec.as_object_mut()?.remove("suspend");
        Some(spec)
    };
    text(old) != text(new) && without_suspend(old) != without_suspend(new)
}
