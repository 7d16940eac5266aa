//! Takes up changed certificate files while serving.

use std::pin::pin;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::{Stage, reached};
use crate::certs::Presented;
use crate::certs::reload::{POLL_INTERVAL, Polled, Reloader};
use crate::telemetry::Metrics;

/// Looks at the files until the process drains, and logs and counts what comes of it.
pub async fn keep_certificate_current(
    mut reloader: Reloader,
    presented: Arc<Presented>,
    metrics: Arc<Metrics>,
    stage: watch::Receiver<Stage>,
) {
    let mut draining = pin!(reached(Stage::Draining, stage));
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut draining => return,
            _ = ticks.tick() => {}
        }
        // The file system may hang; the reviews on this thread must not.
        let looked = spawn_blocking(move || {
            let polled = reloader.poll(OffsetDateTime::now_utc());
            (reloader, polled)
        });
        let Ok((again, polled)) = looked.await else {
            tracing::error!("looking at the certificate files failed: they are not looked at any more");
            return;
        };
        reloader = again;
        report(&polled, &presented, &metrics);
    }
}

fn report(polled: &Polled, presented: &Presented, metrics: &Metrics) {
    match polled {
        Polled::Unchanged => {}
        Polled::Replaced => {
            let Some(pair) = presented.pair() else { return };
            let not_after = pair.not_after();
            metrics.serves_certificate_until(not_after);
            tracing::info!(%not_after, "serving a changed certificate");
        }
        Polled::Kept(error) => {
            metrics.certificate_reload_failed();
            tracing::error!(error = error as &dyn std::error::Error, "keeping the old certificate");
        }
    }
}
