//! One object that is followed by its name, and may be there or not.

use kube::core::{ApiResource, DynamicObject};
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use serde_json::Value;

use super::facts::{Fact, State, Store};
use super::watch::{Anew, Compare, Follow, Trouble, follow};

/// Follows one object of the cluster, as it is on the wire: what concerns us is read where it does, and the rest is
/// dropped. `take` takes up what was heard, nothing where there is no such object, and says what it is.
pub(super) async fn keep(
    (client, anew): (Client, &Anew),
    store: &Store,
    fact: Fact,
    (resource, name): (&ApiResource, &str),
    take: &mut (dyn FnMut(&Store, Option<&Value>) -> String + Send),
) {
    let mut object = Named { store, fact, listed: false, told: None, take };
    // In the way that a right to that name allows.
    let by_name = Config::default().fields(&format!("metadata.name={name}"));
    let api = Api::<DynamicObject>::all_with(client, resource);
    follow(api, by_name, (anew, Compare::Objects), &mut object).await;
}

struct Named<'s> {
    store: &'s Store,
    fact: Fact,
    /// Whether the list that is coming in has it.
    listed: bool,
    /// What was told last, of what is in use now.
    told: Option<String>,
    take: &'s mut (dyn FnMut(&Store, Option<&Value>) -> String + Send),
}

impl Named<'_> {
    fn take(&mut self, object: Option<&Value>) {
        let told = (self.take)(self.store, object);
        self.store.note(self.fact, State::Synced(told.clone()));
        self.told = Some(told);
    }
}

impl Follow<DynamicObject> for Named<'_> {
    fn begin(&mut self) {
        self.listed = false;
    }

    fn listed(&mut self, object: DynamicObject) {
        self.listed = true;
        self.take(Some(&object.data));
    }

    fn complete(&mut self) {
        if !self.listed {
            self.take(None);
        }
    }

    fn changed(&mut self, object: DynamicObject) {
        self.take(Some(&object.data));
    }

    fn gone(&mut self, _: DynamicObject) {
        self.take(None);
    }

    fn resumed(&mut self) {
        if let Some(told) = &self.told {
            self.store.note(self.fact, State::Synced(told.clone()));
        }
    }

    fn troubled(&mut self, trouble: Trouble) {
        self.store.note(self.fact, State::Troubled(trouble, self.told.is_some()));
    }
}
