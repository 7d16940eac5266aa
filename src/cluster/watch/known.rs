//! Compares the state that a watch has shown with a list.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use kube::api::ListParams;
use kube::core::ObjectList;
use kube::runtime::watcher::{Config, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// Time limit of a list that is only compared.
const DEADLINE: Duration = Duration::from_secs(10);

/// Page size of such a list, which requests only metadata.
const PAGE: u32 = 500;

/// How a list is compared with the watched state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Compare {
    /// Every object: for kinds with few objects.
    Objects,
    /// The version of the list alone, which must not lie before the watched one: for kinds with many objects, as it reads
    /// only one.
    Version,
}

/// The reason for which the watched state is outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outdated {
    /// The API server is at a version that lies before one that it has shown.
    SetBack,
    /// An object differs, was created or was deleted.
    Differs,
}

/// The watched state.
pub(super) struct Known {
    compare: Compare,
    /// The newest version that was seen of anything.
    newest: u64,
    /// By uid, the version of each object, where those are compared.
    objects: HashMap<String, String>,
    /// The objects of an unfinished list.
    listed: HashMap<String, String>,
}

// === impl Outdated ===

impl Outdated {
    /// Whether other watches are affected as well.
    pub(super) fn is_history(self) -> bool {
        self == Self::SetBack
    }
}

// === impl Known ===

impl Known {
    pub(super) fn new(compare: Compare) -> Self {
        Self { compare, newest: 0, objects: HashMap::new(), listed: HashMap::new() }
    }

    /// Takes up an event of the watch.
    pub(super) fn heard<K: Resource>(&mut self, event: &Event<K>) {
        match event {
            Event::Init => {
                // A list is the truth, whatever the watch has shown before.
                self.newest = 0;
                self.listed.clear();
            }
            Event::InitApply(object) => self.note(object, true, false),
            Event::InitDone => self.objects = std::mem::take(&mut self.listed),
            Event::Apply(object) => self.note(object, false, false),
            Event::Delete(object) => self.note(object, false, true),
        }
    }

    fn note(&mut self, object: &impl Resource, listed: bool, gone: bool) {
        let version = object.resource_version().unwrap_or_default();
        self.newest = self.newest.max(number(Some(&version)));
        if self.compare == Compare::Version {
            return;
        }
        let uid = object.uid().unwrap_or_default();
        let objects = if listed { &mut self.listed } else { &mut self.objects };
        if gone {
            objects.remove(&uid);
        } else {
            objects.insert(uid, version);
        }
    }

    /// Lists and compares; nothing where both agree, or the list is unavailable. A change of a moment ago may count as a
    /// difference: then one list too many is read, which is harmless.
    pub(super) async fn is_outdated<K>(&mut self, api: &Api<K>, config: &Config) -> Option<Outdated>
    where
        K: Resource + Clone + DeserializeOwned + Debug,
    {
        let mut listed = HashMap::new();
        let mut token = None;
        loop {
            // Without a resourceVersion the answer is as new as etcd is.
            let limit = if self.compare == Compare::Version { 1 } else { PAGE };
            let parameters = ListParams {
                field_selector: config.field_selector.clone(),
                label_selector: config.label_selector.clone(),
                continue_token: token.take(),
                limit: Some(limit),
                ..ListParams::default()
            };
            // Where it fails, the watch reports that, and restarts by itself.
            let Ok(Ok(page)) = timeout(DEADLINE, api.list_metadata(&parameters)).await else { return None };
            let ObjectList { metadata, items, .. } = page;
            if number(metadata.resource_version.as_deref()) < self.newest {
                return Some(Outdated::SetBack);
            }
            self.newest = self.newest.max(number(metadata.resource_version.as_deref()));
            if self.compare == Compare::Version {
                return None;
            }
            listed.extend(items.iter().map(|object| {
                (object.uid().unwrap_or_default(), object.resource_version().unwrap_or_default())
            }));
            token = metadata.continue_.filter(|token| !token.is_empty());
            if token.is_none() {
                return (listed != self.objects).then_some(Outdated::Differs);
            }
        }
    }
}

/// Parses a resourceVersion as a number (comparable since Kubernetes 1.35, and in fact in all before; KEP-5504). One that is
/// no number compares as the oldest.
fn number(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    use super::*;

    fn object(uid: &str, version: &str) -> ConfigMap {
        let metadata = ObjectMeta {
            uid: Some(uid.into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    #[test]
    fn what_was_heard_last_of_each_object_is_known() {
        let mut known = Known::new(Compare::Objects);
        for event in [
            Event::Init,
            Event::InitApply(object("a", "5")),
            Event::InitApply(object("b", "3")),
            Event::InitDone,
            Event::Apply(object("b", "7")),
            Event::Apply(object("c", "8")),
            Event::Delete(object("a", "9")),
        ] {
            known.heard(&event);
        }
        let expected = [("b", "7"), ("c", "8")].map(|(uid, version)| (uid.to_owned(), version.to_owned()));
        assert_eq!(known.objects, expected.into());
        assert_eq!(known.newest, 9);
        known.heard::<ConfigMap>(&Event::Init);
        assert_eq!(known.newest, 0, "a list begins a new history");
    }

    #[test]
    fn a_version_that_is_no_number_is_never_in_the_future() {
        assert_eq!([Some("12"), Some("x"), None].map(number), [12, 0, 0]);
    }
}
