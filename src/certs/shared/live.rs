//! What the API server trusts at the moment: the caBundle of every webhook that leads to us.

use rustls::pki_types::ServerName;
use time::OffsetDateTime;

use super::authority::Authority;
use crate::certs::pair::ServingPair;

/// The caBundles of all webhooks that call us.
///
/// No webhook at all is a known state: nobody calls, so everything may be shown.
#[derive(Clone, Debug, Default)]
pub struct Live {
    bundles: Option<Vec<Vec<Authority>>>,
}

// === impl Live ===

impl Live {
    /// The API server has not said yet.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// The caBundles as the API server holds them, one for each webhook; an absent one is empty.
    pub fn of<'a>(bundles: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self { bundles: Some(bundles.into_iter().map(Authority::readable_in).collect()) }
    }

    /// Whether each of these caBundles either is `known` or vouches for nothing of ours. Whoever then writes `known` to all
    /// of them undoes nothing that another server has written, however old `known` is.
    pub fn is_lost<'a>(
        bundles: impl IntoIterator<Item = &'a [u8]>,
        known: &str,
        now: OffsetDateTime,
    ) -> bool {
        let others = bundles.into_iter().filter(|bundle| *bundle != known.as_bytes());
        Self::of(others).ours(now).next().is_none()
    }

    /// Whether every caller would accept `pair` for the host `name` now.
    pub fn accepts(&self, pair: &ServingPair, name: &str, now: OffsetDateTime) -> bool {
        ServerName::try_from(name).is_ok_and(|name| self.verifies(pair, &name, now))
    }

    pub(super) fn is_known(&self) -> bool {
        self.bundles.is_some()
    }

    /// Whether whoever calls trusts what `authority` signs.
    pub(super) fn holds(&self, authority: &Authority) -> bool {
        self.all(|bundle| bundle.iter().any(|one| one.is_same_as(authority)))
    }

    /// Whether every call that is shown `pair` now would go on.
    pub(super) fn verifies(&self, pair: &ServingPair, name: &ServerName<'_>, now: OffsetDateTime) -> bool {
        self.all(|bundle| bundle.iter().any(|one| one.is_valid_at(now) && one.vouches_for(pair, name)))
    }

    /// Every authority of ours that somebody may still rely on.
    pub(super) fn ours(&self, now: OffsetDateTime) -> impl Iterator<Item = &Authority> {
        let all = self.bundles.iter().flatten().flatten();
        all.filter(move |authority| authority.is_ours() && authority.is_valid_at(now))
    }

    fn all(&self, holds: impl Fn(&[Authority]) -> bool) -> bool {
        self.bundles.as_ref().is_some_and(|bundles| bundles.iter().all(|bundle| holds(bundle)))
    }
}
