//! What a shared Secret holds, read with suspicion, and written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::authority::Authority;
use crate::certs::generate::Signer;
use crate::certs::pair::{ServingPair, in_utc};

/// The data of a Secret, by key.
pub type Data = BTreeMap<String, Vec<u8>>;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// Every authority to trust, the one that signs first.
const AUTHORITIES: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
/// When the authorities behind the first are no longer needed, as RFC 3339.
const RETIRE_AT: &str = "retire-at";

/// One thing that is wrong with the content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// There is nothing under this key.
    Missing {
        /// The key.
        key: &'static str,
    },
    /// What is there cannot be used.
    Unusable {
        /// What cannot be used, and why, in words that quote no key.
        reason: String,
    },
    /// The authority is none that chartgate made.
    ForeignAuthority,
    /// The key is not that of the authority.
    ForeignAuthorityKey,
    /// None of the authorities signed the certificate.
    ForeignCertificate,
    /// The certificate is for other names.
    OtherNames,
    /// It is not valid now.
    OutOfTime {
        /// The key under which it stands.
        key: &'static str,
        /// From when until when it is valid.
        validity: String,
    },
}

/// A pair in the Secret, and who signed it.
pub(super) struct Leaf {
    pub(super) pair: Arc<ServingPair>,
    /// The place of its authority among the authorities.
    pub(super) signed_by: usize,
    certificate_pem: Vec<u8>,
    key_pem: Vec<u8>,
}

/// What a Secret holds that can be used. No part of it has a `Debug` that shows a key.
pub(super) struct Content {
    /// Whom to trust: ours alone, the one that signs first.
    pub(super) authorities: Vec<Authority>,
    /// The key of the first authority, where it is valid now.
    pub(super) signer: Option<Signer>,
    /// The pair to serve, where it is valid now.
    pub(super) leaf: Option<Leaf>,
    /// When the authorities behind the first may go.
    pub(super) retire_at: Option<OffsetDateTime>,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
}

// === impl Content ===

impl Content {
    pub(super) fn read(data: &Data, name: &ServerName<'_>, now: OffsetDateTime) -> Self {
        let mut problems = Vec::new();
        let authorities = read_authorities(data, &mut problems);
        let signer = or_note(read_signer(data, &authorities, now), &mut problems);
        let leaf = or_note(read_leaf(data, &authorities, name, now), &mut problems);
        let retire_at = or_note(read_retirement(data), &mut problems).flatten();
        Self { authorities, signer, leaf, retire_at, problems }
    }

    /// What every caBundle has to hold. It depends on the content alone, not on this machine's clock: two replicas
    /// must never differ about it.
    pub(super) fn bundle(&self) -> String {
        self.authorities.iter().map(Authority::to_pem).collect()
    }

    /// Puts another authority first, whose key signs from now on.
    pub(super) fn begin(&mut self, authority: &str, signer: Signer) {
        let authority = Authority::readable_in(authority.as_bytes());
        if let Some(leaf) = &mut self.leaf {
            leaf.signed_by += authority.len();
        }
        self.authorities.splice(0..0, authority);
        self.signer = Some(signer);
    }

    /// Replaces the pair by one that the first authority signed.
    pub(super) fn replace_leaf(&mut self, (certificate, key): (String, String)) -> Result<(), Problem> {
        let (certificate_pem, key_pem) = (certificate.into_bytes(), key.into_bytes());
        let pair = Arc::new(pair(&certificate_pem, &key_pem)?);
        self.leaf = Some(Leaf { pair, signed_by: 0, certificate_pem, key_pem });
        Ok(())
    }

    /// Keeps `authority` in the bundle, behind the others.
    pub(super) fn remember(&mut self, authority: &Authority) {
        if !self.authorities.iter().any(|one| one.is_same_as(authority)) {
            self.authorities.push(authority.clone());
        }
    }

    /// Puts the retirement of the other authorities off to `at`, if it is not later already.
    pub(super) fn retire_not_before(&mut self, at: OffsetDateTime) {
        self.retire_at = Some(self.retire_at.map_or(at, |before| before.max(at)));
    }

    /// Drops the authorities behind the first that nobody needs, and says whether there was one.
    pub(super) fn retire(&mut self, now: OffsetDateTime) -> bool {
        let Some(Leaf { signed_by, .. }) = self.leaf else { return false };
        let before = self.authorities.len();
        if signed_by == 0 && self.retire_at.is_some_and(|at| at <= now) {
            self.authorities.truncate(1);
            self.retire_at = None;
        }
        let mut place = 0..;
        self.authorities.retain(|authority| {
            // What has expired vouches for nobody.
            place.next() <= Some(signed_by) || authority.not_after() >= now
        });
        self.authorities.len() < before
    }

    /// The data of the Secret, in place of what it was. Other keys stay: somebody may have put them there for himself.
    pub(super) fn write(self, before: &Data) -> Data {
        let bundle = self.bundle();
        let Self { authorities, signer, leaf, retire_at, problems: _ } = self;
        let mut data = before.clone();
        data.insert(AUTHORITIES.into(), bundle.into_bytes());
        if let Some(signer) = signer {
            data.insert(AUTHORITY_KEY.into(), signer.to_pem().into_bytes());
        }
        if let Some(Leaf { certificate_pem, key_pem, .. }) = leaf {
            data.insert(CERTIFICATE.into(), certificate_pem);
            data.insert(KEY.into(), key_pem);
        }
        data.remove(RETIRE_AT);
        if let Some(at) = retire_at.filter(|_| authorities.len() > 1) {
            data.insert(RETIRE_AT.into(), in_utc(at).into_bytes());
        }
        data
    }
}

fn or_note<T>(read: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    read.map_err(|problem| problems.push(problem)).ok()
}

fn get<'a>(data: &'a Data, key: &'static str) -> Result<&'a [u8], Problem> {
    data.get(key).map(Vec::as_slice).filter(|text| !text.is_empty()).ok_or(Problem::Missing { key })
}

fn unusable(reason: impl Into<String>) -> Problem {
    Problem::Unusable { reason: reason.into() }
}

fn read_authorities(data: &Data, problems: &mut Vec<Problem>) -> Vec<Authority> {
    let Some(text) = or_note(get(data, AUTHORITIES), problems) else { return Vec::new() };
    let Some(all) = Authority::all_in(text).filter(|all| !all.is_empty()) else {
        problems.push(unusable(format!("{AUTHORITIES} holds something else than certificates")));
        return Vec::new();
    };
    let (ours, foreign): (Vec<_>, Vec<_>) = all.into_iter().partition(Authority::is_ours);
    if !foreign.is_empty() {
        problems.push(Problem::ForeignAuthority);
    }
    ours
}

fn read_signer(data: &Data, authorities: &[Authority], now: OffsetDateTime) -> Result<Signer, Problem> {
    let text = get(data, AUTHORITY_KEY)?;
    let signer = str::from_utf8(text).ok().and_then(Signer::from_pem);
    let signer = signer.ok_or_else(|| unusable(format!("{AUTHORITY_KEY} holds no key that can sign")))?;
    let Some(first) = authorities.first().filter(|first| first.public_key() == signer.public_key()) else {
        return Err(Problem::ForeignAuthorityKey);
    };
    if !first.is_valid_at(now) {
        return Err(out_of_time(AUTHORITIES, first.not_before(), first.not_after()));
    }
    Ok(signer)
}

fn read_leaf(
    data: &Data,
    authorities: &[Authority],
    name: &ServerName<'_>,
    now: OffsetDateTime,
) -> Result<Leaf, Problem> {
    let (certificate_pem, key_pem) = (get(data, CERTIFICATE)?.to_vec(), get(data, KEY)?.to_vec());
    let pair = pair(&certificate_pem, &key_pem)?;
    if !pair.names().dns.iter().any(|dns| *dns == name.to_str()) {
        return Err(Problem::OtherNames);
    }
    if !pair.is_valid_at(now) {
        return Err(out_of_time(CERTIFICATE, pair.not_before(), pair.not_after()));
    }
    let signed_by = authorities.iter().position(|authority| authority.vouches_for(&pair, name));
    let signed_by = signed_by.ok_or(Problem::ForeignCertificate)?;
    Ok(Leaf { pair: Arc::new(pair), signed_by, certificate_pem, key_pem })
}

fn pair(certificate: &[u8], key: &[u8]) -> Result<ServingPair, Problem> {
    ServingPair::from_pem((Path::new(CERTIFICATE), certificate), (Path::new(KEY), key))
        .map_err(|error| unusable(error.to_string()))
}

fn read_retirement(data: &Data) -> Result<Option<OffsetDateTime>, Problem> {
    let Some(text) = data.get(RETIRE_AT) else { return Ok(None) };
    let at = str::from_utf8(text).ok().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    at.map(Some).ok_or_else(|| unusable(format!("{RETIRE_AT} holds no point in time")))
}

fn out_of_time(key: &'static str, from: OffsetDateTime, until: OffsetDateTime) -> Problem {
    Problem::OutOfTime { key, validity: format!("from {} until {}", in_utc(from), in_utc(until)) }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key } => write!(f, "{key} is missing"),
            Self::Unusable { reason } => f.write_str(reason),
            Self::ForeignAuthority => {
                write!(f, "{AUTHORITIES} holds an authority that chartgate did not make")
            }
            Self::ForeignAuthorityKey => {
                write!(f, "{AUTHORITY_KEY} is not the key of the first certificate in {AUTHORITIES}")
            }
            Self::ForeignCertificate => {
                write!(f, "no authority in {AUTHORITIES} signed the certificate in {CERTIFICATE}")
            }
            Self::OtherNames => write!(f, "the certificate in {CERTIFICATE} is not for this Service"),
            Self::OutOfTime { key, validity } => {
                write!(f, "the certificate in {key} is not valid now, but {validity}")
            }
        }
    }
}
