//! Reads every HelmRelease of a cluster and judges it: what the command and the scanner in the cluster have in common.

use kube::Client;

use crate::audit::Auditor;
use crate::cluster::ApiError;
use crate::cluster::pages::{self, Effort, Selection};

/// Has an auditor judge the selected releases, and counts in `effort` what reading them takes. `progress` hears how many were judged so far.
///
/// Of the releases only what is told of them is kept, and no more than one page of them is held at a time.
pub async fn scan(
    client: &Client,
    selection: &Selection,
    mut auditor: Auditor,
    effort: &mut Effort,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Auditor, ApiError> {
    let version = auditor.version().to_owned();
    pages::each(client, selection, &version, effort, |object| {
        auditor.judge(object);
        progress(auditor.judged());
    })
    .await?;
    for version in auditor.pending() {
        pages::each(client, selection, &version, effort, |object| {
            auditor.judge_again(&version, object);
            progress(auditor.judged());
        })
        .await?;
    }
    Ok(auditor)
}
