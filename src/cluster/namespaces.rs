//! Which modes namespaces ask for by their label.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Config;
use kube::{Api, Client, ResourceExt};

use super::facts::{Fact, State, Store};
use super::watch::{Anew, Compare, Follow, Trouble, follow};
use crate::policy::Mode;

type Object = PartialObjectMeta<Namespace>;

/// Follows the namespaces that have the label; of each, the value is all that is kept.
pub(super) async fn keep((client, anew): (Client, &Anew), store: &Store) {
    let config = Config::default().labels(Mode::LABEL);
    let mut modes = Modes { store, listed: HashMap::new(), unknown: BTreeSet::new(), known: false };
    follow(Api::<Object>::all(client), config, (anew, Compare::Objects), &mut modes).await;
}

struct Modes<'s> {
    store: &'s Store,
    /// What a list has brought so far.
    listed: HashMap<Box<str>, Mode>,
    /// The namespaces that ask for what is no mode.
    unknown: BTreeSet<Box<str>>,
    known: bool,
}

impl Modes<'_> {
    /// The mode that a namespace asks for; what is none is remembered, and told once.
    fn asked(&mut self, namespace: &Object) -> Option<Mode> {
        let name = namespace.name_any();
        let value = namespace.labels().get(Mode::LABEL)?;
        let mode = Mode::of_label(value);
        if mode.is_some() {
            self.unknown.remove(&*name);
        } else if self.unknown.insert(name.clone().into()) {
            tracing::warn!(namespace = name, value, "{} is none of off, audit, warn, enforce", Mode::LABEL);
        }
        mode
    }

    fn tell(&mut self) {
        self.known = true;
        let labelled = self.store.read().modes.len();
        self.store.note_unknown_modes(self.unknown.len());
        self.store
            .note(Fact::Namespaces, State::Synced(format!("{labelled} namespaces with a mode of their own")));
    }
}

impl Follow<Object> for Modes<'_> {
    fn begin(&mut self) {
        self.listed.clear();
        self.unknown.clear();
    }

    fn listed(&mut self, namespace: Object) {
        if let Some(mode) = self.asked(&namespace) {
            self.listed.insert(namespace.name_any().into(), mode);
        }
    }

    fn complete(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        self.store.write(|facts| facts.modes = listed);
        self.tell();
    }

    fn changed(&mut self, namespace: Object) {
        let (name, mode) = (namespace.name_any(), self.asked(&namespace));
        self.store.write(|facts| match mode {
            Some(mode) => facts.modes.insert(name.into(), mode),
            None => facts.modes.remove(&*name),
        });
        self.tell();
    }

    fn gone(&mut self, namespace: Object) {
        let name = namespace.name_any();
        self.unknown.remove(&*name);
        self.store.write(|facts| facts.modes.remove(&*name));
        self.tell();
    }

    fn resumed(&mut self) {
        self.tell();
    }

    fn troubled(&mut self, trouble: Trouble) {
        self.store.note(Fact::Namespaces, State::Troubled(trouble, self.known));
    }
}
