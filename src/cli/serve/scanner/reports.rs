//! What a scan leaves in the cluster: a report in each namespace that has releases, and none elsewhere.

use std::collections::BTreeSet;

use kube::Client;
use serde_json::Value;
use time::OffsetDateTime;

use super::ScanError;
use crate::audit::{Audit, Release};
use crate::cluster::ApiError;
use crate::cluster::lease::Term;
use crate::cluster::reports::{Reports, Stored, served};
use crate::report::audit::openreports::{content, is_same, stamp};

/// How often the list of reports is begun anew, where its moment is gone before it was read.
const ATTEMPTS: u32 = 3;

/// What became of the reports.
#[derive(Debug)]
pub(super) struct Kept {
    /// What they are called.
    pub(super) kind: &'static str,
    pub(super) written: usize,
    pub(super) deleted: usize,
    pub(super) unchanged: usize,
}

/// Makes the reports say what was found, if the cluster takes any; `wrote` hears of each write, by its namespace.
///
/// What a report says already is not written again. Of two kinds that the cluster has, one is written, and ours of the other
/// are deleted: whoever shows both would show everything twice.
pub(super) async fn keep(
    client: &Client,
    audit: &Audit,
    term: &Term,
    wrote: &(dyn Fn(&str) + Sync),
) -> Result<Option<Kept>, ScanError> {
    let mut kinds = served(client).await.map_err(ScanError::Reports)?.into_iter();
    let Some(reports) = kinds.next() else { return Ok(None) };
    let kept = Kept { kind: reports.kind().as_str(), written: 0, deleted: 0, unchanged: 0 };
    let mut keeper = Keeper { reports, term, wrote, kept, seen: BTreeSet::new() };
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

struct Keeper<'k> {
    reports: Reports,
    term: &'k Term,
    wrote: &'k (dyn Fn(&str) + Sync),
    kept: Kept,
    /// The namespaces whose report was seen.
    seen: BTreeSet<String>,
}

// === impl Keeper ===

impl Keeper<'_> {
    /// Puts the reports right that there are. Of them no more than a page is held at a time.
    async fn compare(&mut self, releases: &[&[Release]]) -> Result<(), ScanError> {
        let (mut next, mut attempt) = (None, 1);
        loop {
            let mut page = match self.reports.page(next.take()).await {
                Ok(page) => page,
                Err(ApiError::Refused(error)) if attempt < ATTEMPTS && is_expired(&error) => {
                    attempt += 1;
                    continue;
                }
                Err(error) => return Err(ScanError::Reports(error)),
            };
            for stored in page.by_ref() {
                if self.seen.insert(stored.namespace.clone()) {
                    self.put_right(&stored, releases).await?;
                }
            }
            match page.next {
                Some(more) => next = Some(more),
                None => return Ok(()),
            }
        }
    }

    async fn put_right(&mut self, stored: &Stored, releases: &[&[Release]]) -> Result<(), ScanError> {
        let found = releases.binary_search_by(|of_one| (*of_one[0].namespace).cmp(&stored.namespace));
        let Ok(found) = found else {
            self.may_write()?;
            if self.reports.delete(stored).await.map_err(ScanError::Reports)? {
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
    ) -> Result<(), ScanError> {
        stamp(&mut content, OffsetDateTime::now_utc().unix_timestamp(), before);
        self.may_write()?;
        if self.reports.apply(namespace, content).await.map_err(ScanError::Reports)? {
            self.kept.written += 1;
            (self.wrote)(namespace);
        }
        Ok(())
    }

    /// Another replica may write by now. What was sent before that is whole, and the other's next scan puts it right.
    fn may_write(&self) -> Result<(), ScanError> {
        if self.term.is_ours() { Ok(()) } else { Err(ScanError::Deposed) }
    }
}

/// Whether the moment of a list is gone.
fn is_expired(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}
