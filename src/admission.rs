//! From an AdmissionReview on the wire to its answer. Pure: no socket, no clock, no other object.
//!
//! The wire types are our own: kube's put the patch on the wire as numbers, carry no code, reason or causes, and lose
//! the uid where a request cannot be read.

use std::borrow::Cow;

use json_patch::PatchOperation;

mod denial;
mod envelope;
mod incident;
pub mod namespaces;
mod ratchet;
mod request;
mod response;

pub use incident::{Incident, IncidentKind, MAX_NOTE_BYTES};
pub use request::BadReview;

pub use crate::policy::{Facts, Level, Mode, Operation, Settings};
use crate::{
    helmrelease::Field,
    policy::{self, Case, Finding, HELM_GROUP, Subject, is_subdomain},
};
use request::Review;
use response::Response;

/// The annotation that exempts an object, where the configuration allows it. Its value is the reason.
pub const EXEMPT: &str = "chartgate.dev/exempt";

/// The length in characters at which the reason for an exemption is cut in the API server's audit log.
const MAX_REASON: usize = 200;

/// Which webhook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// Before schema and CEL: patches what can be fixed, denies the rest in words of our own.
    Mutate,
    /// After them: the same judgement, no patch.
    Validate,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Allowed without a word.
    Allowed,
    /// Allowed and changed.
    Patched,
    /// Allowed with warnings.
    Warned,
    /// Denied.
    Denied,
    /// Allowed because its annotation asks for it and the configuration allows that.
    Exempt,
    /// Allowed because it is none of our business: being deleted, another kind, a subresource, or mode off.
    Skipped,
}

/// The answer to a review, and what is to be remembered of it.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The AdmissionReview to send back.
    pub body: Vec<u8>,
    /// What is logged and counted.
    pub record: Record<'a>,
}

/// What is logged and counted of one review.
#[derive(Debug)]
pub struct Record<'a> {
    /// The request's uid.
    pub uid: Cow<'a, str>,
    /// What was to be done to the object.
    pub operation: Operation,
    /// The object's namespace.
    pub namespace: Cow<'a, str>,
    /// The object's name; empty where the server is still to make one up.
    pub name: Cow<'a, str>,
    /// Who asked.
    pub user: Cow<'a, str>,
    /// The field manager that asked.
    pub manager: Option<Cow<'a, str>>,
    /// Whether nothing was to be stored.
    pub dry_run: bool,
    /// The mode in force.
    pub mode: Mode,
    /// What became of it.
    pub decision: Decision,
    /// Every finding, also those that were not said.
    pub findings: Vec<Counted>,
    /// The rules whose fixes were patched in.
    pub patched: Vec<&'static str>,
    /// What those who look after the object should hear of; nothing for most reviews.
    pub incident: Option<Incident>,
}

/// A finding as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The rule's id.
    pub rule: &'static str,
    /// The finding's level.
    pub level: Level,
    /// The most that the finding could do.
    pub mode: Mode,
}

/// What is done about the findings.
#[derive(Debug)]
struct Verdict {
    decision: Decision,
    mode: Mode,
    /// Why the object is exempt, in the words of who exempted it.
    reason: Option<String>,
    denied: Vec<Finding>,
    warnings: Vec<String>,
    /// What is said of the fixes in `patch`.
    healed: Vec<String>,
    patch: Vec<PatchOperation>,
    findings: Vec<Counted>,
    patched: Vec<&'static str>,
}

/// Judges one AdmissionReview.
pub fn review<'a>(
    body: &'a [u8],
    endpoint: Endpoint,
    settings: &Settings,
    facts: &Facts,
) -> Result<Answer<'a>, BadReview> {
    let review = Review::read(body)?.in_a_namespace()?;
    let verdict = judge(&review, endpoint, settings, facts);
    let body = Response::of(&review, &verdict, settings.docs.as_deref()).to_json();
    let incident = Incident::of(&review, &verdict);
    let Review { uid, operation, namespace, name, user, manager, dry_run, .. } = review;
    let Verdict { decision, mode, findings, patched, .. } = verdict;
    let record = Record {
        uid,
        operation,
        namespace,
        name,
        user,
        manager,
        dry_run,
        mode,
        decision,
        findings,
        patched,
        incident,
    };
    Ok(Answer { body, record })
}

/// What a review would come to, for who asks ahead of the API server.
#[derive(Debug)]
pub struct Foreseen {
    /// What would become of the request.
    pub decision: Decision,
    /// The rules that deny it, or whose fixes are patched in; else those with something to say.
    pub rules: Vec<&'static str>,
    /// What a denial would say; empty for any other decision.
    pub message: String,
    /// What would be patched.
    pub patch: Vec<PatchOperation>,
}

/// Judges one AdmissionReview as [`review`] does, without an answer.
pub fn foresee(
    body: &[u8],
    endpoint: Endpoint,
    settings: &Settings,
    facts: &Facts,
) -> Result<Foreseen, BadReview> {
    let Verdict { decision, denied, patch, findings, patched, .. } =
        judge(&Review::read(body)?, endpoint, settings, facts);
    let mut rules: Vec<_> = match decision {
        Decision::Denied => denied.iter().map(|finding| finding.rule.id).collect(),
        Decision::Patched => patched,
        _ => findings.iter().map(|finding| finding.rule).collect(),
    };
    rules.dedup();
    Ok(Foreseen { decision, rules, message: policy::blocks(&denied), patch })
}

fn judge(review: &Review<'_>, endpoint: Endpoint, settings: &Settings, facts: &Facts) -> Verdict {
    let mode = settings.mode_in(facts.modes.get(&*review.namespace).copied());
    let skipped = Verdict::allowed(Decision::Skipped, mode);
    let Field::Set(release) = &review.object else { return skipped };
    let concerns_us = review.group == HELM_GROUP
        && review.kind == "HelmRelease"
        && review.subresource.is_none()
        && matches!(review.operation, Operation::Create | Operation::Update)
        // The API server checks names after it has called /mutate, and refuses a name like this itself.
        && (review.name.is_empty() || is_subdomain(&review.name));
    // Flux removes its finalizer with an UPDATE; rejecting it would leave the release stuck.
    if !concerns_us || release.is_deleting() || mode == Mode::Off {
        return skipped;
    }
    let reason = if settings.exemptions { release.annotation(EXEMPT) } else { Field::Absent };
    if let Some(reason) = reason.filled() {
        let reason = Some(reason.chars().take(MAX_REASON).collect());
        return Verdict { reason, ..Verdict::allowed(Decision::Exempt, mode) };
    }
    let subject = Subject {
        release,
        old: review.old.set(),
        name: Some(&*review.name).filter(|name| !name.is_empty()),
        namespace: Some(&*review.namespace).filter(|namespace| !namespace.is_empty()),
        operation: review.operation,
        manager: review.manager.as_deref(),
    };
    let case = Case::new(subject, settings, facts, facts.serving(&review.version));
    let findings = policy::evaluate(&case);
    if findings.is_empty() {
        return Verdict::allowed(Decision::Allowed, mode);
    }
    decide(&case, findings, mode, endpoint)
}

fn decide(case: &Case<'_>, findings: Vec<Finding>, namespace: Mode, endpoint: Endpoint) -> Verdict {
    let mut verdict = Verdict::allowed(Decision::Allowed, namespace);
    let stored = ratchet::Stored::of(case);
    let patches = endpoint == Endpoint::Mutate;
    let keeps_spec = patches && stored.keeps_spec(&findings, namespace);
    for finding in findings {
        let mode = case.settings.mode_of(finding.rule.id, namespace);
        if mode == Mode::Off {
            continue;
        }
        verdict.findings.push(Counted { rule: finding.rule.id, level: finding.level, mode });
        let fix = finding.fix.as_ref().filter(|fix| patches && (!keeps_spec || stored.restores(fix)));
        match (mode, finding.level, fix) {
            (Mode::Enforce, _, Some(fix)) => {
                verdict.patch.extend(fix.operations.iter().cloned());
                verdict.patched.push(finding.rule.id);
                verdict.healed.extend(finding.healed());
                verdict.warnings.extend(finding.healed());
            }
            (Mode::Enforce, Level::Error, _) if !stored.excuses(&finding) => verdict.denied.push(finding),
            (Mode::Enforce | Mode::Warn, Level::Error | Level::Warning, _) => {
                verdict.warnings.push(finding.warning());
            }
            _ => {}
        }
    }
    // A finding that only accompanies another denial denies nothing on its own.
    if !verdict.denied.iter().any(|finding| finding.denies_alone) {
        verdict.warnings.extend(verdict.denied.drain(..).map(|finding| finding.warning()));
    }
    verdict.settle()
}

// === impl Verdict ===

impl Verdict {
    fn allowed(decision: Decision, mode: Mode) -> Self {
        let (denied, warnings, healed) = (Vec::new(), Vec::new(), Vec::new());
        let (patch, findings, patched) = (Vec::new(), Vec::new(), Vec::new());
        Self { decision, mode, reason: None, denied, warnings, healed, patch, findings, patched }
    }

    /// Settles what all of it comes to: who is denied is not patched.
    fn settle(mut self) -> Self {
        if !self.denied.is_empty() {
            self.patch.clear();
            self.patched.clear();
            let healed = std::mem::take(&mut self.healed);
            self.warnings.retain(|warning| !healed.contains(warning));
            self.decision = Decision::Denied;
        } else if !self.patch.is_empty() {
            self.patched.dedup();
            self.decision = Decision::Patched;
        } else if !self.warnings.is_empty() {
            self.decision = Decision::Warned;
        }
        self
    }
}

// === impl Decision ===

impl Decision {
    /// As it is logged and counted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Patched => "patched",
            Self::Warned => "warned",
            Self::Denied => "denied",
            Self::Exempt => "exempt",
            Self::Skipped => "skipped",
        }
    }
}

#[cfg(test)]
mod tests;
