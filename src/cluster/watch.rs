//! One watch that never ends: lists, follows, and begins again after trouble, ever more slowly.
//!
//! A watch resumes at a version. Where etcd was restored from a snapshot, that version lies in the future: the API server
//! then sends nothing, and no error, until the cluster reaches it again, and the changes in between are never sent. So a
//! watch restarts with a list whenever the API server could not be reached, and a list is periodically compared with what
//! the watch has shown.

mod known;

use std::fmt::{self, Debug};
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::watcher::{self, Config, Error, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use self::known::Known;
use super::told;

pub(super) use self::known::Compare;

/// The pause after the first trouble; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause. A right that is granted, or an API server that comes back, is noticed that soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A watch that is begun again after trouble tells nothing when it succeeds. Without new trouble for so long, it did.
const SETTLED: Duration = Duration::from_secs(5);

/// Restarts watches: each by itself where a periodic list differs, and all where one has missed something. Clones share
/// their state.
#[derive(Clone, Debug)]
pub struct Anew {
    every: Duration,
    now: watch::Sender<()>,
}

/// What cannot be had, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of trouble; the same is told once.
    pub kind: TroubleKind,
    text: String,
}

/// What keeps a fact from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// Our account has no right to it.
    Forbidden,
    /// The API server does not have it.
    Missing,
    /// The API server cannot be asked, or answers with an error.
    Unavailable,
    /// It is more than we keep.
    TooMany,
}

/// Who takes up what a watch brings. What comes between `begin` and `complete` is everything that there is.
pub(super) trait Follow<K> {
    /// A whole list begins.
    fn begin(&mut self);
    /// An object of the list.
    fn listed(&mut self, object: K);
    /// The list was whole.
    fn complete(&mut self);
    /// An object is new or has changed.
    fn changed(&mut self, object: K);
    /// An object has gone.
    fn gone(&mut self, object: K);
    /// It stands well again after trouble: what was followed before still is.
    fn resumed(&mut self);
    /// It cannot be followed at the moment.
    fn troubled(&mut self, trouble: Trouble);
}

/// The reason for which following ended.
enum Ended {
    /// It has to restart with a list.
    Anew,
    /// No more events will come.
    Forever,
}

/// Follows the objects of `api`, forever. `compare` selects how a list is compared with the watched state.
pub(super) async fn follow<K>(
    api: Api<K>,
    config: Config,
    (anew, compare): (&Anew, Compare),
    follower: &mut (impl Follow<K> + Send),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut known = Known::new(compare);
    let mut pause = FIRST_PAUSE;
    while let Ended::Anew = follow_once(&api, &config, (anew, &mut known), &mut pause, follower).await {}
}

/// Follows from a list on until it has to restart.
async fn follow_once<K>(
    api: &Api<K>,
    config: &Config,
    (anew, known): (&Anew, &mut Known),
    pause: &mut Duration,
    follower: &mut (impl Follow<K> + Send),
) -> Ended
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut others = anew.now.subscribe();
    let mut events = pin!(watcher::watcher(api.clone(), config.clone()));
    let mut compare_at = Instant::now() + jittered(anew.every);
    // Whether a whole list is being followed, and whether there was trouble since.
    let (mut whole, mut trouble) = (false, false);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = sleep(SETTLED), if trouble && whole => {
                trouble = false;
                *pause = FIRST_PAUSE;
                follower.resumed();
                continue;
            }
            _ = others.changed() => return Ended::Anew,
            () = sleep_until(compare_at), if whole && !trouble => {
                compare_at = Instant::now() + anew.every;
                match known.is_outdated(api, config).await {
                    Some(outdated) if outdated.is_history() => {
                        tracing::warn!(what = ?outdated, "the API server's store was set back: everything is read anew");
                        anew.begin();
                        return Ended::Anew;
                    }
                    Some(_) => return Ended::Anew,
                    None => continue,
                }
            }
        };
        match event {
            Some(Ok(event)) => {
                known.heard(&event);
                match event {
                    Event::Init => {
                        whole = false;
                        follower.begin();
                        continue;
                    }
                    Event::InitApply(object) => {
                        follower.listed(object);
                        continue;
                    }
                    Event::InitDone => {
                        whole = true;
                        follower.complete();
                    }
                    Event::Apply(object) => follower.changed(object),
                    Event::Delete(object) => follower.gone(object),
                }
                if std::mem::take(&mut trouble) {
                    follower.resumed();
                }
                *pause = FIRST_PAUSE;
            }
            Some(Err(error)) => {
                let told = Trouble::of(&error);
                // A watch that was cut short, as each is now and then, is begun again at once.
                if trouble || !whole || told.kind != TroubleKind::Unavailable {
                    follower.troubled(told);
                }
                trouble = true;
                sleep(jittered(*pause)).await;
                *pause = (*pause * 2).min(LONGEST_PAUSE);
                // The API server was unavailable, and may be another one now.
                if whole && is_unreachable(&error) {
                    return Ended::Anew;
                }
            }
            None => {
                // The watcher never ends; if it ever does, no more events will come.
                follower.troubled(Trouble::new(TroubleKind::Unavailable, "the watch ended"));
                return Ended::Forever;
            }
        }
    }
}

/// Whether a watch could not start because nobody answered.
fn is_unreachable(error: &Error) -> bool {
    matches!(error, Error::WatchStartFailed(cause) if !matches!(cause, kube::Error::Api(_)))
}

/// Between half of a pause and all of it, so that replicas do not ask in step.
fn jittered(pause: Duration) -> Duration {
    // A new state of the hasher is random, which is all that is needed of it.
    let random = RandomState::new().hash_one(0_u8) % 512;
    pause / 2 + pause.mul_f64(f64::from(u16::try_from(random).expect("it is below 512")) / 1024.0)
}

// === impl Anew ===

impl Anew {
    /// Each watch is compared with a list so often.
    pub fn every(every: Duration) -> Self {
        Self { every, now: watch::Sender::new(()) }
    }

    /// How often a watch is compared with a list.
    pub fn period(&self) -> Duration {
        self.every
    }

    /// Makes every watch restart.
    pub fn begin(&self) {
        self.now.send_replace(());
    }
}

// === impl Trouble ===

impl Trouble {
    pub(super) fn new(kind: TroubleKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    fn of(error: &Error) -> Self {
        let code = match error {
            Error::InitialListFailed(kube::Error::Api(status))
            | Error::WatchStartFailed(kube::Error::Api(status))
            | Error::WatchFailed(kube::Error::Api(status))
            | Error::WatchError(status) => Some(status.code),
            _ => None,
        };
        let kind = match code {
            Some(401 | 403) => TroubleKind::Forbidden,
            Some(404) => TroubleKind::Missing,
            _ => TroubleKind::Unavailable,
        };
        Self::new(kind, told(error))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_at_least_half_and_at_most_whole() {
        for _ in 0..1000 {
            let pause = jittered(LONGEST_PAUSE);
            assert!(pause >= LONGEST_PAUSE / 2 && pause <= LONGEST_PAUSE, "{pause:?}");
        }
    }
}
