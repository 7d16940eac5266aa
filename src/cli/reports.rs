//! What an audit leaves in the cluster: a report in each namespace that has releases, and none elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube::Client;
use serde_json::Value;
use thiserror::Error;
use time::OffsetDateTime;

use crate::audit::{Audit, Release};
use crate::cluster::ApiError;
use crate::cluster::reports::{Reports, Stored, served};
use crate::report::audit::openreports::{content, is_same, stamp};

/// After so many unanswered writes in a row, the rest is left to the next run: each may take ten seconds.
const UNANSWERED: usize = 3;

/// Maximum number of refusing namespaces that are named.
const NAMED: usize = 3;

/// How often the list of reports is begun anew, where its moment is gone before it was read.
const ATTEMPTS: u32 = 3;

/// What became of the reports.
#[derive(Debug)]
pub(super) struct Kept {
    /// What they are called.
    kind: &'static str,
    written: usize,
    deleted: usize,
    unchanged: usize,
    /// Each namespace whose report could not be written or deleted, and why.
    refused: BTreeMap<String, String>,
}

/// Why the reports are not kept.
#[derive(Debug, Error)]
pub enum KeepError {
    /// A report cannot be read or written.
    #[error("cannot keep the reports: {}", .0.told())]
    Api(ApiError),
    /// Somebody else writes them by now.
    #[error("another replica may scan by now")]
    Deposed,
}

/// Makes the reports say what was found, if the cluster takes any; `may_write` is asked before each write, and `wrote`
/// hears of it, by its namespace.
///
/// What a report says already is not written again. Of two kinds that the cluster has, one is written, and ours of the other
/// are deleted: whoever shows both would show everything twice.
pub(super) async fn keep(
    client: &Client,
    audit: &Audit,
    may_write: &(dyn Fn() -> bool + Sync),
    wrote: &(dyn Fn(&str) + Sync),
) -> Result<Option<Kept>, KeepError> {
    let mut kinds = served(client).await.map_err(KeepError::Api)?.into_iter();
    let Some(reports) = kinds.next() else { return Ok(None) };
    let kind = reports.kind().as_str();
    let kept = Kept { kind, written: 0, deleted: 0, unchanged: 0, refused: BTreeMap::new() };
    let mut keeper = Keeper { reports, may_write, wrote, kept, seen: BTreeSet::new(), unanswered: 0 };
    let releases: Vec<&[Release]> = namespaces(audit).collect();
    keeper.compare(&releases).await?;
    for of_one in &releases {
        if !keeper.seen.contains(&*of_one[0].namespace) {
            let content = keeper.content(of_one);
            keeper.write(&of_one[0].namespace, content, None).await?;
        }
    }
    for others in kinds {
        keeper.reports = others;
        keeper.seen.clear();
        keeper.compare(&[]).await?;
    }
    Ok(Some(keeper.kept))
}

/// The releases of each namespace.
fn namespaces(audit: &Audit) -> impl Iterator<Item = &[Release]> {
    audit.releases.chunk_by(|one, other| one.namespace == other.namespace)
}

/// What is said where the cluster takes no reports.
pub(super) const NO_KIND: &str = "no reports: neither openreports.io nor wgpolicyk8s.io is installed";

// === impl Kept ===

impl Kept {
    /// Each namespace whose report could not be written or deleted, and why.
    pub(super) fn refused(&self) -> &BTreeMap<String, String> {
        &self.refused
    }
}

/// `Reports: 2 written, 40 unchanged, 0 deleted`, and which namespaces refused.
impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, written, deleted, unchanged, refused } = self;
        write!(f, "{kind}s: {written} written, {unchanged} unchanged, {deleted} deleted")?;
        if !refused.is_empty() {
            write!(f, "; {} refused", refused.len())?;
        }
        for (place, (namespace, why)) in refused.iter().take(NAMED).enumerate() {
            write!(f, "{} {namespace}: {why}", if place == 0 { ":" } else { ";" })?;
        }
        if refused.len() > NAMED { write!(f, "; and {} more", refused.len() - NAMED) } else { Ok(()) }
    }
}

struct Keeper<'k> {
    reports: Reports,
    may_write: &'k (dyn Fn() -> bool + Sync),
    wrote: &'k (dyn Fn(&str) + Sync),
    kept: Kept,
    /// The namespaces whose report was seen.
    seen: BTreeSet<String>,
    /// Number of writes in a row that were not answered.
    unanswered: usize,
}

// === impl Keeper ===

impl Keeper<'_> {
    /// Puts the reports right that there are. Of them no more than a page is held at a time.
    async fn compare(&mut self, releases: &[&[Release]]) -> Result<(), KeepError> {
        let (mut next, mut attempt) = (None, 1);
        loop {
            let before = self.seen.len();
            let mut page = match self.reports.page(next.take()).await {
                Ok(page) => page,
                Err(error) if attempt < ATTEMPTS && error.is_expired() => {
                    attempt += 1;
                    continue;
                }
                Err(error) => return Err(KeepError::Api(error)),
            };
            for stored in page.by_ref() {
                if self.seen.insert(stored.namespace.clone()) {
                    self.put_right(&stored, releases).await?;
                }
            }
            match page.next {
                // An API server in order sends no page without an object.
                Some(_) if self.seen.len() == before && attempt == ATTEMPTS => {
                    return Err(KeepError::Api(ApiError::Endless));
                }
                Some(more) if self.seen.len() == before => (next, attempt) = (Some(more), attempt + 1),
                Some(more) => next = Some(more),
                None => return Ok(()),
            }
        }
    }

    async fn put_right(&mut self, stored: &Stored, releases: &[&[Release]]) -> Result<(), KeepError> {
        let found = releases.binary_search_by(|of_one| (*of_one[0].namespace).cmp(&stored.namespace));
        let Ok(found) = found else {
            self.may_write()?;
            let deleted = self.reports.delete(stored).await;
            if self.answered(&stored.namespace, deleted)? {
                self.kept.deleted += 1;
                (self.wrote)(&stored.namespace);
            }
            return Ok(());
        };
        let content = self.content(releases[found]);
        if is_same(&content, &stored.content) {
            self.kept.unchanged += 1;
            return Ok(());
        }
        self.write(&stored.namespace, content, Some(&stored.content)).await
    }

    fn content(&self, releases: &[Release]) -> Value {
        let mut content = content(releases);
        self.reports.kind().prune(&mut content);
        content
    }

    async fn write(
        &mut self,
        namespace: &str,
        mut content: Value,
        before: Option<&Value>,
    ) -> Result<(), KeepError> {
        stamp(&mut content, OffsetDateTime::now_utc().unix_timestamp(), before);
        self.may_write()?;
        let applied = self.reports.apply(namespace, content).await;
        if self.answered(namespace, applied)? {
            self.kept.written += 1;
            (self.wrote)(namespace);
        }
        Ok(())
    }

    /// Records that one namespace refuses its report (a quota, a policy, a right that is missing there): that is no reason
    /// to leave out the others. An API server that does not answer at all is.
    fn answered(&mut self, namespace: &str, answer: Result<bool, ApiError>) -> Result<bool, KeepError> {
        let error = match answer {
            Ok(done) => {
                self.unanswered = 0;
                return Ok(done);
            }
            Err(error) => error,
        };
        self.unanswered = if error.code().is_some() { 0 } else { self.unanswered + 1 };
        self.kept.refused.insert(namespace.to_owned(), error.told());
        if self.unanswered < UNANSWERED { Ok(false) } else { Err(KeepError::Api(error)) }
    }

    /// Another replica may write by now. What was sent before that is whole, and the other's next scan puts it right.
    fn may_write(&self) -> Result<(), KeepError> {
        if (self.may_write)() { Ok(()) } else { Err(KeepError::Deposed) }
    }
}
