//! A set of certificates that several servers share through one Secret, without a leader among them.
//!
//! Everything here is a decision: what the Secret holds and what the API server trusts go in; what to present, what to
//! write and when to look again comes out. Who reads and writes is `webhook`'s business.
//!
//! # What the Secret holds
//!
//! `tls.crt` and `tls.key` are the pair to serve. `ca.crt` is what every caBundle has to hold: all authorities to trust,
//! the one that signs first, its key under `ca.key`. Every write depends on the version that was read, so of two
//! replicas that do the same at once, one is told to look again. A crash leaves the Secret in one of these states:
//!
//! | `ca.crt` | `tls.crt` signed by | what comes next |
//! |---|---|---|
//! | A | A | a new leaf when it is due; a new authority in time before A ends |
//! | B, A | A | everywhere B goes into caBundle; when it is there, and API servers had time to notice, a leaf by B |
//! | B, A | B | A stays until the last leaf that it signed has expired (`retire-at`) |
//!
//! So a replica that knows only the old state, and one that knows only the new, are both trusted all the time.
//!
//! # Clocks
//!
//! A clock that is wrong must not make replicas undo each other's work. So a new leaf is valid as far back as its
//! authority, and a new authority as far back as the one before it: a clock that runs ahead may renew early, but what
//! it makes is valid for everybody.

mod authority;
mod content;
mod lifetimes;
mod live;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use time::OffsetDateTime;

use self::authority::Authority;
use self::content::{Content, Leaf};
use super::CertError;
use super::generate::{Signer, Validity};
use super::pair::{Names, ServingPair};

pub use self::content::{Data, Problem};
pub use self::lifetimes::{Lifetimes, LifetimesError};
pub use self::live::Live;

/// The label that says that a Secret is ours, and may be overwritten.
pub const OWNER_LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "chartgate");

/// Labels and annotations of cert-manager start so.
const CERT_MANAGER: [&str; 2] = ["cert-manager.io/", "controller.cert-manager.io/"];

/// However far away the next date is. Nothing depends on it: it is there for what nobody has thought of.
const LOOK_AGAIN: Duration = Duration::from_hours(1);

/// However near the next date is.
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_millis(200);

/// How long a server that starts without a usable Secret waits for the caBundles: whom they trust may be other replicas,
/// and has to stay trusted.
const WAIT_FOR_TRUST: Duration = Duration::from_secs(5);

/// Two clocks: what certificates are about may be set back and forth, what has passed may not.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The date.
    pub now: OffsetDateTime,
    /// How long this process runs.
    pub uptime: Duration,
}

/// The Secret as it was found.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// Its data.
    pub data: &'a Data,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: &'a BTreeMap<String, String>,
}

/// To whom a Secret belongs that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// cert-manager, by this label or annotation.
    CertManager {
        /// The key.
        by: String,
    },
    /// Somebody: it does not carry [`OWNER_LABEL`].
    Somebody,
}

/// What to do now.
pub struct Decision {
    /// The pair to present from now on; nothing where that does not change.
    pub present: Option<Arc<ServingPair>>,
    /// What every caBundle has to hold; nothing where the Secret does not say.
    pub bundle: Option<String>,
    /// What to write in place of what was found.
    pub write: Option<Write>,
    /// How long it may take to the next decision, if nothing happens before.
    pub look_again: Duration,
    /// To whom the Secret belongs, where it is not ours: it is neither used nor touched.
    pub not_ours: Option<Owner>,
    /// Why calls would fail at the moment.
    pub unready: Option<Unready>,
}

/// New data for the Secret.
pub struct Write {
    /// All of it.
    pub data: Data,
    /// Why.
    pub why: Why,
    /// Whether there is a new leaf among it.
    pub leaf: bool,
    /// Whether there is a new authority among it.
    pub authority: bool,
}

/// Why a Secret is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is none.
    Missing,
    /// It cannot be used as it is.
    Broken(Vec<Problem>),
    /// The leaf comes to its end.
    LeafDue,
    /// The authority comes to its end.
    AuthorityDue,
    /// The new authority is trusted everywhere.
    AuthorityTrusted,
    /// An old authority is not needed any more.
    AuthorityRetired,
}

/// Why calls would fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// There is no certificate yet.
    NoCertificate,
    /// The Secret belongs to somebody else.
    NotOurs(Owner),
    /// The webhook configurations have not been read yet.
    TrustUnknown,
    /// A webhook configuration does not trust the certificate.
    NotTrusted,
}

/// Keeps one server's view of the set that it shares.
pub struct Keeper {
    names: Names,
    name: ServerName<'static>,
    lifetimes: Lifetimes,
    jitter: f64,
    served: Option<Served>,
    held: Vec<Held>,
}

/// What this server presents.
struct Served {
    pair: Arc<ServingPair>,
    authority: Authority,
}

/// An authority that every caBundle has held since.
struct Held {
    authority: Authority,
    since: Duration,
}

/// What a look at the Secret led to, before it is decided what to present.
struct Next {
    write: Option<Write>,
    look_again: Duration,
}

// === impl Keeper ===

impl Keeper {
    /// For the Service `service` of `namespace`. `jitter`, from 0 to 1, should differ from replica to replica.
    pub fn new(service: &str, namespace: &str, lifetimes: Lifetimes, jitter: f64) -> Self {
        let name = format!("{service}.{namespace}.svc");
        let name = ServerName::try_from(name).expect("the names of a Service and a namespace are DNS labels");
        let names = Names::of_service(service, namespace);
        Self { names, name, lifetimes, jitter, served: None, held: Vec::new() }
    }

    /// What to do, now that the Secret is as it was found and the API server trusts what is live.
    ///
    /// The caller presents what he is told to at once; the next decision relies on it.
    pub fn decide(
        &mut self,
        found: Option<Found<'_>>,
        live: &Live,
        moment: Moment,
    ) -> Result<Decision, CertError> {
        if let Some(owner) = found.and_then(|found| owner(&found)) {
            // What is presented already stays good for as long as it is trusted.
            let unready = self.unready(live, moment.now).map(|_| Unready::NotOurs(owner.clone()));
            let (present, bundle, write, look_again) = (None, None, None, LOOK_AGAIN);
            return Ok(Decision { present, bundle, write, look_again, not_ours: Some(owner), unready });
        }
        let nothing = Data::new();
        let data = found.map_or(&nothing, |found| found.data);
        let content = Content::read(data, &self.name, moment.now);
        self.note_what_is_held(&content, live, moment);
        let present = self.present(&content, live, moment);
        // What was found without a pair to serve is about to be replaced: nobody should trust the rest of it.
        let bundle = content.leaf.is_some().then(|| content.bundle());
        let Next { write, look_again } = self.next(content, found.is_some(), data, live, moment)?;
        let unready = self.unready(live, moment.now);
        Ok(Decision { present, bundle, write, look_again, not_ours: None, unready })
    }

    /// What every caBundle has to hold while the Secret is as it was found.
    pub fn bundle(&self, found: Found<'_>, now: OffsetDateTime) -> Option<String> {
        if owner(&found).is_some() {
            return None;
        }
        let content = Content::read(found.data, &self.name, now);
        content.leaf.is_some().then(|| content.bundle())
    }

    fn unready(&self, live: &Live, now: OffsetDateTime) -> Option<Unready> {
        let Some(Served { pair, .. }) = &self.served else { return Some(Unready::NoCertificate) };
        if !live.is_known() {
            return Some(Unready::TrustUnknown);
        }
        (!live.verifies(pair, &self.name, now)).then_some(Unready::NotTrusted)
    }

    fn note_what_is_held(&mut self, content: &Content, live: &Live, moment: Moment) {
        self.held.retain(|held| live.holds(&held.authority));
        for authority in &content.authorities {
            if live.holds(authority) && self.held_for(authority, moment).is_none() {
                self.held.push(Held { authority: authority.clone(), since: moment.uptime });
            }
        }
    }

    /// How long every caBundle has held an authority, as far as we have seen.
    fn held_for(&self, authority: &Authority, moment: Moment) -> Option<Duration> {
        let held = self.held.iter().find(|held| held.authority.is_same_as(authority))?;
        Some(moment.uptime.saturating_sub(held.since))
    }

    /// How long an authority still has to stand in the caBundles before anybody may rely on it.
    fn settles_in(&self, authority: &Authority, moment: Moment) -> Option<Duration> {
        let held = self.held_for(authority, moment)?;
        Some(self.lifetimes.settle().saturating_sub(held))
    }

    /// Takes up the pair of the Secret, unless callers trust only the one that is presented.
    fn present(&mut self, content: &Content, live: &Live, moment: Moment) -> Option<Arc<ServingPair>> {
        let Leaf { pair, signed_by, .. } = content.leaf.as_ref()?;
        let authority = &content.authorities[*signed_by];
        if let Some(served) = &self.served {
            if served.pair.is_same_as(pair) {
                return None;
            }
            let trusts = |pair| live.verifies(pair, &self.name, moment.now);
            let may_change = !served.pair.is_valid_at(moment.now)
                || served.authority.is_same_as(authority)
                || self.settles_in(authority, moment) == Some(Duration::ZERO)
                || (trusts(pair) && !trusts(&served.pair));
            if !may_change {
                return None;
            }
        }
        self.served = Some(Served { pair: Arc::clone(pair), authority: authority.clone() });
        Some(Arc::clone(pair))
    }

    fn next(
        &self,
        mut content: Content,
        exists: bool,
        before: &Data,
        live: &Live,
        moment: Moment,
    ) -> Result<Next, CertError> {
        let now = moment.now;
        let had_leaf = content.leaf.is_some();
        if !had_leaf && !live.is_known() && moment.uptime < WAIT_FOR_TRUST {
            return Ok(Next { write: None, look_again: LOOK_AGAIN_AT_MOST });
        }
        let settles_in = content.authorities.first().and_then(|first| self.settles_in(first, moment));
        let is_moving = content.leaf.as_ref().is_some_and(|leaf| leaf.signed_by > 0);
        let trusted = is_moving && settles_in == Some(Duration::ZERO);

        let authority_due = content
            .authorities
            .first()
            .is_none_or(|first| first.not_after() - self.lifetimes.authority_margin(self.jitter) <= now);
        let new_authority = content.signer.is_none() || (authority_due && !is_moving);
        let leaf_due = content
            .leaf
            .as_ref()
            .is_some_and(|leaf| leaf.pair.not_after() - self.lifetimes.leaf_margin(self.jitter) <= now);
        let new_leaf = !had_leaf || (!new_authority && if is_moving { trusted } else { leaf_due });

        let why = if !exists {
            Some(Why::Missing)
        } else if !content.problems.is_empty() {
            Some(Why::Broken(content.problems.clone()))
        } else if new_authority {
            Some(Why::AuthorityDue)
        } else if new_leaf && is_moving {
            Some(Why::AuthorityTrusted)
        } else if new_leaf {
            Some(Why::LeafDue)
        } else {
            None
        };
        if let Some(old) = content.leaf.as_ref().filter(|_| new_leaf && is_moving) {
            let at = old.pair.not_after();
            content.retire_not_before(at);
        }
        if new_authority {
            self.begin_authority(&mut content, now)?;
        }
        if new_leaf {
            self.sign_leaf(&mut content, now)?;
        }
        if !had_leaf {
            self.remember_who_is_trusted(&mut content, live, now);
        }
        let retired = content.retire(now);
        let Some(why) = why.or(retired.then_some(Why::AuthorityRetired)) else {
            return Ok(Next { write: None, look_again: self.look_again(&content, settles_in, now) });
        };
        let data = content.write(before);
        let write = Some(Write { data, why, leaf: new_leaf, authority: new_authority });
        Ok(Next { write, look_again: LOOK_AGAIN_AT_MOST })
    }

    fn begin_authority(&self, content: &mut Content, now: OffsetDateTime) -> Result<(), CertError> {
        let signer = Signer::generate()?;
        let mut validity = Validity::of(signed(self.lifetimes.authority()), now);
        if let Some(before) = content.authorities.iter().map(Authority::not_before).min() {
            validity.not_before = validity.not_before.min(before);
        }
        content.begin(&signer.authority(validity)?, signer);
        Ok(())
    }

    fn sign_leaf(&self, content: &mut Content, now: OffsetDateTime) -> Result<(), CertError> {
        let signer = content.signer.as_ref().expect("where there is none, an authority was begun");
        let first = content.authorities.first().expect("a signer is the key of the first");
        let not_after = (now + self.lifetimes.leaf()).min(first.not_after());
        let validity = Validity { not_before: first.not_before(), not_after };
        let pair = signer.pair(&self.names, validity)?;
        content.replace_leaf(pair).expect("what was made a line above can be read");
        Ok(())
    }

    /// Where the pair was lost, other replicas may still present what they know, and we too.
    fn remember_who_is_trusted(&self, content: &mut Content, live: &Live, now: OffsetDateTime) {
        let before = content.authorities.len();
        let served = self.served.iter().filter(|served| served.pair.is_valid_at(now));
        for authority in served.map(|served| &served.authority).chain(live.ours(now)) {
            content.remember(authority);
        }
        if content.authorities.len() > before {
            content.retire_not_before(now + self.lifetimes.leaf());
        }
    }

    /// When something of this comes to pass: a renewal, a retirement, the end of a wait.
    fn look_again(&self, content: &Content, settles_in: Option<Duration>, now: OffsetDateTime) -> Duration {
        let mut dates = Vec::new();
        if let Some(leaf) = &content.leaf {
            dates.push(leaf.pair.not_after() - self.lifetimes.leaf_margin(self.jitter));
            dates.push(leaf.pair.not_after());
        }
        if let Some(first) = content.authorities.first() {
            dates.push(first.not_after() - self.lifetimes.authority_margin(self.jitter));
        }
        dates.extend(content.retire_at);
        let waits = dates.into_iter().filter_map(|date| Duration::try_from(date - now).ok());
        let waits = waits.chain(settles_in.filter(|wait| !wait.is_zero()));
        waits.min().unwrap_or(LOOK_AGAIN).clamp(LOOK_AGAIN_AT_MOST, LOOK_AGAIN)
    }
}

/// A span of at most a century, as certificates count.
fn signed(span: Duration) -> time::Duration {
    span.try_into().unwrap_or(time::Duration::MAX)
}

/// To whom a Secret belongs, if not to us.
fn owner(found: &Found<'_>) -> Option<Owner> {
    let Found { data: _, labels, annotations } = found;
    let mut keys = annotations.keys().chain(labels.keys());
    if let Some(key) = keys.find(|key| CERT_MANAGER.iter().any(|prefix| key.starts_with(prefix))) {
        return Some(Owner::CertManager { by: key.clone() });
    }
    let (label, ours) = OWNER_LABEL;
    (labels.get(label).map(String::as_str) != Some(ours)).then_some(Owner::Somebody)
}

// === impl Owner ===

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CertManager { by } => {
                write!(
                    f,
                    "it belongs to cert-manager ({by}): mount it and name the directory with --certs, or "
                )?;
                write!(f, "delete it and its Certificate, and chartgate makes its own")
            }
            Self::Somebody => {
                let (label, ours) = OWNER_LABEL;
                write!(
                    f,
                    "chartgate did not make it (no label {label}={ours}): mount it and name the directory with "
                )?;
                write!(f, "--certs, or delete it, and chartgate makes its own")
            }
        }
    }
}

// === impl Why ===

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there was none"),
            Self::Broken(problems) => {
                for (place, problem) in problems.iter().enumerate() {
                    write!(f, "{}{problem}", if place == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Self::LeafDue => f.write_str("the certificate comes to its end"),
            Self::AuthorityDue => {
                f.write_str("the CA comes to its end: its successor is trusted from now on")
            }
            Self::AuthorityTrusted => f.write_str("the new CA is trusted everywhere: it signs from now on"),
            Self::AuthorityRetired => f.write_str("an old CA is not needed any more"),
        }
    }
}

// === impl Unready ===

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("there is no certificate yet"),
            Self::NotOurs(owner) => write!(f, "the Secret is left alone: {owner}"),
            Self::TrustUnknown => f.write_str("the webhook configurations have not been read yet"),
            Self::NotTrusted => f.write_str("a caBundle does not hold the CA of the served certificate"),
        }
    }
}
