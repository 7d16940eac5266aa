//! Lists the HelmReleases of a namespace page by page, on demand.

use std::ops::ControlFlow;

use kube::Client;

use super::ApiError;
use super::pages::{Effort, Resource, Selection, Size, each_until};

/// Maximum number of releases that are examined. More would not be named anyway.
const MAX_RELEASES: usize = 500;

/// Hands the first releases of a namespace to `look`, each as JSON, at a version that is served. Returns whether there are
/// more. No more than one small page is held at a time.
pub async fn look_into(
    client: &Client,
    namespace: &str,
    version: &str,
    mut look: impl FnMut(&[u8]),
) -> Result<bool, ApiError> {
    let selection =
        Selection { namespace: Some(namespace.to_owned()), labels: String::new(), size: Size::Small };
    let (mut looked_at, mut effort) = (0, Effort::default());
    let read = each_until(client, Resource::HelmReleases, &selection, version, &mut effort, |release| {
        if looked_at == MAX_RELEASES {
            return ControlFlow::Break(());
        }
        looked_at += 1;
        look(release.get().as_bytes());
        ControlFlow::Continue(())
    });
    Ok(read.await?.is_break())
}
