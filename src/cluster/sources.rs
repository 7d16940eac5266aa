//! Which sources there are: names only, no contents.

use std::collections::HashSet;

use kube::core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta};
use kube::runtime::watcher::Config;
use kube::{Api, Client, ResourceExt};

use super::crd::{Newest, Served};
use super::facts::{Fact, State, Store};
use super::watch::{Anew, Compare, Follow, Trouble, TroubleKind, follow};
use crate::policy::{Names, SOURCE_GROUP};

/// How many sources of a kind are remembered, at some hundred bytes each. Where there are more, none is missed.
const MAX_SOURCES: usize = 50_000;

type Object = PartialObjectMeta<DynamicObject>;

/// Follows the sources of a kind, at the newest version that its CRD serves, whenever that changes.
pub(super) async fn keep(
    (client, anew): (Client, &Anew),
    store: &Store,
    (fact, kind, plural): (Fact, &'static str, &str),
    newest: &Newest,
) {
    let mut newest = newest.subscribe();
    loop {
        let served = newest.borrow_and_update().clone();
        let mut sources = Sources { store, fact, kind, listed: Names::new(), count: 0, known: false };
        let following = async {
            match served {
                None => std::future::pending::<()>().await,
                Some(Served::Nothing) => {
                    sources.complete();
                    std::future::pending::<()>().await;
                }
                Some(Served::At(version)) => {
                    let kind = GroupVersionKind::gvk(SOURCE_GROUP, &version, kind);
                    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
                    let api = Api::<Object>::all_with(client.clone(), &resource);
                    follow(api, Config::default(), (anew, Compare::Version), &mut sources).await;
                }
            }
        };
        tokio::select! {
            () = following => return,
            changed = newest.changed() => if changed.is_err() { return },
        }
    }
}

struct Sources<'s> {
    store: &'s Store,
    fact: Fact,
    kind: &'static str,
    /// What a list has brought so far.
    listed: Names,
    count: usize,
    known: bool,
}

impl Sources<'_> {
    /// Puts what is known in place, or takes it away where there is too much of it.
    fn tell(&mut self) {
        let Self { store, fact, kind, count, .. } = *self;
        self.known = count <= MAX_SOURCES;
        if self.known {
            store.note(fact, State::Synced(format!("{count} {kind} objects")));
        } else {
            store.write(|facts| facts.sources.remove(kind));
            let text = format!("there are more than {MAX_SOURCES} {kind} objects, so none is missed");
            store.note(fact, State::Troubled(Trouble::new(TroubleKind::TooMany, text), false));
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Names)) {
        self.store.write(|facts| {
            if let Some(names) = facts.sources.get_mut(self.kind) {
                change(names);
                self.count = names.values().map(HashSet::len).sum();
            }
        });
        self.tell();
    }
}

impl Follow<Object> for Sources<'_> {
    fn begin(&mut self) {
        self.listed = Names::new();
        self.count = 0;
    }

    fn listed(&mut self, source: Object) {
        self.count += 1;
        // What is too much is counted, and not kept.
        if self.count <= MAX_SOURCES {
            let (namespace, name) = (source.namespace().unwrap_or_default(), source.name_any());
            self.listed.entry(namespace.into()).or_default().insert(name.into());
        }
    }

    fn complete(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        self.store.write(|facts| facts.sources.insert(self.kind, listed));
        self.tell();
    }

    fn changed(&mut self, source: Object) {
        let (namespace, name) = (source.namespace().unwrap_or_default(), source.name_any());
        self.change(|names| {
            names.entry(namespace.into()).or_default().insert(name.into());
        });
    }

    fn gone(&mut self, source: Object) {
        let (namespace, name) = (source.namespace().unwrap_or_default(), source.name_any());
        self.change(|names| {
            if let Some(of_namespace) = names.get_mut(&*namespace) {
                of_namespace.remove(&*name);
                if of_namespace.is_empty() {
                    names.remove(&*namespace);
                }
            }
        });
    }

    fn resumed(&mut self) {
        self.tell();
    }

    fn troubled(&mut self, trouble: Trouble) {
        self.store.note(self.fact, State::Troubled(trouble, self.known));
    }
}
