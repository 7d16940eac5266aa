//! Counts callers that are refused because of their certificate, and logs them at a limited rate.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::certs::ClientFailure;
use crate::cluster::allowance::{Allowance, Rate};

/// Limits how often a refused caller is logged.
const RATE: Rate = Rate { burst: 5, refill: Duration::from_secs(10) };

/// The log of refused callers.
#[derive(Debug)]
pub(super) struct Uncertified {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    allowance: Allowance,
    /// How many were not logged since the last one that was.
    unlogged: u64,
}

// === impl Uncertified ===

impl Uncertified {
    pub(super) fn new() -> Self {
        let allowance = Allowance::new(RATE, Instant::now());
        Self { state: Mutex::new(State { allowance, unlogged: 0 }) }
    }

    /// Logs a caller that was refused, unless too many were.
    pub(super) fn refused(&self, peer: IpAddr, failure: ClientFailure) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.allowance.take(Instant::now()) {
            state.unlogged += 1;
            return;
        }
        let unlogged = std::mem::take(&mut state.unlogged);
        let why = match failure {
            ClientFailure::Missing => {
                "it presents no client certificate; an API server presents the one of its \
                 --admission-control-config-file"
            }
            ClientFailure::Untrusted => "its certificate is not for clients, or not signed by the client CA",
            ClientFailure::Expired => "its certificate has expired or is not valid yet",
            ClientFailure::Name => "its common name is none of --client-name",
            ClientFailure::NoAuthority => "no client CA is loaded",
        };
        tracing::warn!(%peer, reason = failure.as_str(), unlogged, "refused a caller: {why}");
    }
}
