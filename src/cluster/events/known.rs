//! Confirms with the API server which objects exist.
//!
//! Anybody who reaches the webhook's port can send a review of any object. So an Event is written only on an object that
//! the API server has under the same uid. Answers are cached, and look-ups are limited for each address that reviews come
//! from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

use super::Regarding;
use crate::cluster::allowance::{Allowances, Rate};

/// Maximum number of objects in the cache.
const MAX_REMEMBERED: usize = 1024;

/// Time for which an object that exists is cached.
const CONFIRMED_FOR: Duration = Duration::from_mins(1);

/// Time for which another uid, or none, is cached: the object may be created anew.
const REFUTED_FOR: Duration = Duration::from_secs(5);

/// Limits the look-ups for reviews from one address.
const PER_PEER: Rate = Rate { burst: 30, refill: Duration::from_millis(500) };

/// Maximum number of addresses with recent look-ups: those of the API servers, and some more.
const MAX_PEERS: usize = 64;

/// Caches which objects exist.
#[derive(Debug)]
pub(super) struct Known {
    /// The uid of an object by namespace and name, none where it does not exist, and the time of the look-up.
    objects: HashMap<(String, String), (Option<String>, Instant)>,
    allowances: Allowances<IpAddr>,
}

/// The cached knowledge of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// It exists.
    Confirmed,
    /// There is none of that uid.
    Refuted,
    /// The API server has to be asked, and may be.
    ToAsk,
    /// The API server would have to be asked, and the limit is reached.
    Limited,
}

// === impl Known ===

impl Known {
    pub(super) fn new() -> Self {
        Self { objects: HashMap::new(), allowances: Allowances::new(PER_PEER, MAX_PEERS) }
    }

    /// Looks an object up in the cache; [`Knowledge::ToAsk`] counts as a look-up.
    pub(super) fn of(&mut self, regarding: &Regarding, peer: IpAddr, now: Instant) -> Knowledge {
        let found = self.objects.get(&key(regarding));
        let knowledge = found.and_then(|(uid, at)| {
            let age = now.saturating_duration_since(*at);
            match uid.as_deref() == Some(&*regarding.uid) {
                true if age < CONFIRMED_FOR => Some(Knowledge::Confirmed),
                false if age < REFUTED_FOR => Some(Knowledge::Refuted),
                _ => None,
            }
        });
        knowledge.unwrap_or_else(|| {
            if self.allowances.take(&peer, now) { Knowledge::ToAsk } else { Knowledge::Limited }
        })
    }

    /// Caches the uid that the API server has for an object, and returns whether it is the expected one.
    pub(super) fn remember(&mut self, regarding: &Regarding, uid: Option<String>, now: Instant) -> bool {
        if self.objects.len() >= MAX_REMEMBERED {
            self.forget_oldest(now);
        }
        let confirmed = uid.as_deref() == Some(&*regarding.uid);
        self.objects.insert(key(regarding), (uid, now));
        confirmed
    }

    fn forget_oldest(&mut self, now: Instant) {
        self.objects.retain(|_, (_, at)| now.saturating_duration_since(*at) < CONFIRMED_FOR);
        if self.objects.len() >= MAX_REMEMBERED
            && let Some(oldest) =
                self.objects.iter().min_by_key(|(_, (_, at))| *at).map(|(key, _)| key.clone())
        {
            self.objects.remove(&oldest);
        }
    }
}

fn key(regarding: &Regarding) -> (String, String) {
    (regarding.namespace.clone(), regarding.name.clone())
}

/// Asks the API server for the uid of an object: a list of its metadata, which the right to list HelmReleases allows.
pub(super) async fn uid_of(client: Client, regarding: &Regarding) -> kube::Result<Option<String>> {
    let Regarding { api_version, namespace, name, .. } = regarding;
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = GroupVersionKind::gvk(group, version, "HelmRelease");
    let resource = ApiResource::from_gvk_with_plural(&kind, "helmreleases");
    let api = Api::<DynamicObject>::namespaced_with(client, namespace, &resource);
    let one = ListParams::default().fields(&format!("metadata.name={name}")).limit(1);
    let list = api.list_metadata(&one).await?;
    Ok(list.items.into_iter().find(|found| found.name_any() == *name).and_then(|found| found.uid()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::events::tests::happening;

    fn regarding(name: &str, uid: &str) -> Regarding {
        Regarding { name: name.into(), uid: uid.into(), ..happening("a").regarding }
    }

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn what_was_asked_is_remembered_for_a_while() {
        let (mut known, now) = (Known::new(), Instant::now());
        let (app, forged) = (regarding("app", "1"), regarding("app", "2"));
        assert_eq!(known.of(&app, PEER, now), Knowledge::ToAsk);
        assert!(known.remember(&app, Some("1".into()), now));
        assert_eq!(known.of(&app, PEER, now + CONFIRMED_FOR / 2), Knowledge::Confirmed);
        assert_eq!(known.of(&forged, PEER, now), Knowledge::Refuted);
        assert_eq!(known.of(&forged, PEER, now + REFUTED_FOR), Knowledge::ToAsk, "it may be made anew");
        assert_eq!(known.of(&app, PEER, now + CONFIRMED_FOR), Knowledge::ToAsk);
        assert!(!known.remember(&regarding("gone", "3"), None, now));
    }

    #[test]
    fn forged_reviews_are_asked_about_so_often_and_take_nothing_from_another_address() {
        let (mut known, now) = (Known::new(), Instant::now());
        let asked = (0..1000).filter(|index| {
            let forged = regarding(&format!("app-{index}"), "forged");
            let asks = known.of(&forged, PEER, now) == Knowledge::ToAsk;
            known.remember(&forged, None, now);
            asks
        });
        assert_eq!(asked.count(), 30);
        let honest = regarding("app", "1");
        assert_eq!(known.of(&honest, PEER, now), Knowledge::Limited);
        assert_eq!(known.of(&honest, [10, 0, 0, 1].into(), now), Knowledge::ToAsk);
    }

    #[test]
    fn only_so_many_objects_are_remembered() {
        let (mut known, now) = (Known::new(), Instant::now());
        for index in 0..2 * MAX_REMEMBERED {
            known.remember(&regarding(&format!("app-{index}"), "1"), None, now);
        }
        assert_eq!(known.objects.len(), MAX_REMEMBERED);
    }
}
