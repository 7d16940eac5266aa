//! Reads the version of the API server (`/version`), which every authenticated user may read.

use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::time::sleep;

use super::facts::{Fact, State, Status, Store};
use super::watch::{Trouble, TroubleKind};
use super::{ApiError, in_time};
use crate::policy::Kubernetes;

/// How long a version counts as current. One answer of 300 bytes, and an upgrade of the API server takes minutes.
const CURRENT: Duration = Duration::from_mins(10);

/// The pause after a failed read.
const RETRY: Duration = Duration::from_secs(15);

/// Reads the version at the start, after the API server was unavailable, and periodically: an upgrade of one API server of
/// several interrupts no watch for long.
pub(super) async fn keep(client: Client, store: &Store) {
    let mut status = store.status();
    let mut is_known = false;
    loop {
        let read = in_time(client.apiserver_version()).await;
        let pause = match read {
            Ok(info) => {
                let version = Kubernetes::parse(&info.major, &info.minor);
                store.write(|facts| facts.kubernetes = version);
                is_known = true;
                store
                    .note(Fact::KubernetesVersion, State::Synced(format!("Kubernetes {}", info.git_version)));
                CURRENT
            }
            Err(error) => {
                store.note(Fact::KubernetesVersion, State::Troubled(trouble(&error), is_known));
                RETRY
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = reconnected(&mut status) => {}
        }
    }
}

/// Waits until a watch was lost and has come back.
async fn reconnected(status: &mut watch::Receiver<Status>) {
    let state = |status: &Status| status.of(Fact::HelmReleaseCrd).clone();
    for is_synced in [false, true] {
        let waited = status.wait_for(|status| {
            matches!(state(status), State::Troubled(..)) != is_synced
                && state(status).is_synced() == is_synced
        });
        // The store outlives the task that holds it.
        _ = waited.await;
    }
}

fn trouble(error: &ApiError) -> Trouble {
    let kind = match error.code() {
        Some(401 | 403) => TroubleKind::Forbidden,
        Some(404) => TroubleKind::Missing,
        _ => TroubleKind::Unavailable,
    };
    Trouble::new(kind, error.told())
}
