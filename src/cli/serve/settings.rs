//! The settings in force, which follow their file.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::admission::Settings;
use crate::certs::shared::Lifetimes;
use crate::config::reload::{POLL_INTERVAL, Polled, Reloader};
use crate::config::{Audit, ConfigError, Configuration};
use crate::telemetry::Metrics;
use crate::webhook::Stage;
use crate::webhook::observe::Check;

/// The settings in force, and what is wrong with their file, if something is.
pub(super) struct InForce {
    /// A review takes one snapshot and keeps to it.
    pub(super) settings: ArcSwap<Settings>,
    audit: ArcSwap<Audit>,
    /// Read once: who keeps the certificate was told at the start.
    certificates: Lifetimes,
    failure: ArcSwapOption<String>,
    replaced: watch::Sender<()>,
}

impl InForce {
    /// Reads the file, if there is one, and says who keeps up with it.
    pub(super) fn open(
        file: Option<PathBuf>,
        metrics: &Metrics,
    ) -> Result<(Arc<Self>, Option<Reloader>), ConfigError> {
        let opened = file.map(|file| Reloader::open(&file)).transpose()?;
        let (Configuration { settings, certificates, audit }, reloader) =
            opened.map_or_else(Default::default, |(configuration, it)| (configuration, Some(it)));
        metrics.loaded_config_at(OffsetDateTime::now_utc());
        let settings = ArcSwap::from_pointee(settings);
        let audit = ArcSwap::from_pointee(audit);
        let (failure, replaced) = (ArcSwapOption::empty(), watch::Sender::new(()));
        Ok((Arc::new(Self { settings, audit, certificates, failure, replaced }), reloader))
    }

    /// Changes whenever other settings come in force.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    /// Whether, and how, what the cluster holds is scanned.
    pub(super) fn audit(&self) -> Audit {
        **self.audit.load()
    }

    /// How long certificates live that are made here. A change of it waits for the next start.
    pub(super) fn certificates(&self) -> Lifetimes {
        self.certificates
    }

    /// The detail about the file for a report of readiness. Not a condition: the old settings do their work.
    pub(super) fn detail(self: &Arc<Self>, reloader: &Reloader) -> Check {
        let (in_force, file) = (Arc::clone(self), reloader.path().display().to_string());
        Check::detail("config", move || match &*in_force.failure.load() {
            None => Ok(file.clone()),
            Some(failure) => Err(format!("keeping the old settings: {failure}")),
        })
    }

    fn take_up(&self, polled: Polled, metrics: &Metrics) {
        match polled {
            Polled::Unchanged => {}
            Polled::Replaced(Configuration { settings, certificates, audit }) => {
                metrics.loaded_config_at(OffsetDateTime::now_utc());
                tracing::info!(mode = settings.mode.as_str(), "using a changed configuration");
                if certificates != self.certificates {
                    tracing::warn!("changed lifetimes of certificates count from the next start on");
                }
                self.settings.store(Arc::new(settings));
                self.audit.store(Arc::new(audit));
                self.replaced.send_replace(());
                self.failure.store(None);
            }
            Polled::Kept(error) => {
                metrics.config_reload_failed();
                tracing::error!(error = &error as &dyn std::error::Error, "keeping the old configuration");
                self.failure.store(Some(Arc::new(error.to_string())));
            }
        }
    }
}

/// Looks at the file until the process drains.
pub(super) async fn keep_current(
    mut reloader: Reloader,
    in_force: Arc<InForce>,
    metrics: Arc<Metrics>,
    mut stage: watch::Receiver<Stage>,
) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stage.wait_for(|now| *now >= Stage::Draining) => return,
            _ = ticks.tick() => {}
        }
        // The file system may hang; the reviews on this thread must not.
        let looked = spawn_blocking(move || {
            let polled = reloader.poll();
            (reloader, polled)
        });
        let Ok((again, polled)) = looked.await else {
            tracing::error!("looking at the configuration failed: it is not looked at any more");
            return;
        };
        reloader = again;
        in_force.take_up(polled, &metrics);
    }
}
