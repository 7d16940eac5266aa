//! Reads every HelmRelease of a cluster and judges it: what the command and the scanner in the cluster have in common.

use kube::Client;

use crate::audit::Auditor;
use crate::cluster::ApiError;
use crate::cluster::kustomizations;
use crate::cluster::pages::{self, Effort, Resource, Selection};

/// The facts that are missing where the `OCIRepositories` cannot be listed.
const NO_SOURCES: &str = "ocirepositories";

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
    if let Some(version) = auditor.source_version().map(str::to_owned) {
        // A release may take its chart from any namespace, and labels select releases.
        let all = Selection { size: selection.size, ..Selection::default() };
        let listed = pages::each(client, Resource::OciRepositories, &all, &version, effort, |object| {
            auditor.source(object);
        })
        .await;
        if let Err(error) = listed {
            auditor.lacks(format!("{NO_SOURCES}: cannot list them with their content: {}", error.told()));
        }
    }
    // Few accounts may read them; without them, only the objects' own annotations show force.
    match kustomizations::with_force(client, selection, effort).await {
        Ok(forcing) => auditor.apply_with_force(forcing),
        Err(error) => auditor.lacks(format!(
            "which Kustomizations have spec.force, so force-deletes sees the annotation alone: {}",
            error.told()
        )),
    }
    let version = auditor.version().to_owned();
    pages::each(client, Resource::HelmReleases, selection, &version, effort, |object| {
        auditor.judge(object);
        progress(auditor.judged());
    })
    .await?;
    for version in auditor.pending() {
        pages::each(client, Resource::HelmReleases, selection, &version, effort, |object| {
            auditor.judge_again(&version, object);
            progress(auditor.judged());
        })
        .await?;
    }
    Ok(auditor)
}
