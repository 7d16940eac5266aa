//! The parts of a running server, and their end.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{self, SignalKind};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::webhook::{Drained, Stage};

/// How long the parts besides the webhook may take to end. They have nothing to finish.
const REST_END: Duration = Duration::from_secs(1);

/// The exit code when a part of the server failed.
const EXIT_FAILED: u8 = 1;

/// The tasks of a server.
pub(super) struct Running {
    /// Where the webhook is between start and end.
    pub(super) stage: watch::Sender<Stage>,
    /// The webhook.
    pub(super) webhook: JoinHandle<Drained>,
    /// The same as `stage` for the plain port, which lives longer: probes ask until the end.
    pub(super) observe_stage: watch::Sender<Stage>,
    /// The plain port.
    pub(super) observe: JoinHandle<Drained>,
    /// What keeps certificate, settings and facts current, and writes Events.
    pub(super) keepers: JoinSet<()>,
}

/// A signal to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Terminate,
    Interrupt,
}

/// The signals to end, as they come.
pub(super) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

// === impl Running ===

impl Running {
    /// Serves until the first signal, then ends in order; a second signal ends at once.
    pub(super) async fn until(mut self, mut signals: Signals, delay: Duration) -> ExitCode {
        let first = tokio::select! {
            signal = signals.next() => signal,
            _ = &mut self.webhook => return failed("webhook"),
            _ = &mut self.observe => return failed("plain port"),
        };
        tracing::info!(signal = first.name(), "shutting down");
        let delay = match first {
            Signal::Terminate => delay,
            // A person waits at the keyboard, and no cluster has to learn anything.
            Signal::Interrupt => Duration::ZERO,
        };
        tokio::select! {
            code = self.end(delay) => code,
            second = signals.next() => {
                tracing::warn!(signal = second.name(), "ended at once by a second signal");
                ExitCode::from(second.exit_code())
            }
        }
    }

    async fn end(self, delay: Duration) -> ExitCode {
        let Self { stage, webhook, observe_stage, observe, keepers } = self;
        stage.send_replace(Stage::Leaving);
        sleep(delay).await;
        stage.send_replace(Stage::Draining);
        let Ok(Drained { cut }) = webhook.await else { return failed("webhook") };
        if cut > 0 {
            tracing::warn!(cut, "connections were cut: their requests took too long");
        }
        observe_stage.send_replace(Stage::Draining);
        // Either may be stuck in a file system, an API server or a slow client; nobody depends on them any more.
        let _ = timeout(REST_END, observe).await;
        let _ = timeout(REST_END, keepers.join_all()).await;
        tracing::info!("ended");
        ExitCode::SUCCESS
    }
}

fn failed(part: &str) -> ExitCode {
    tracing::error!("the {part} ended by itself");
    ExitCode::from(EXIT_FAILED)
}

// === impl Signals ===

impl Signals {
    /// From now on signals come here instead of killing the process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

// === impl Signal ===

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }

    /// What a shell shows for a process that the signal killed.
    fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 128 + 15,
            Self::Interrupt => 128 + 2,
        }
    }
}
