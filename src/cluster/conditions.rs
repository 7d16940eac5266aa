//! Which requests lead to us: `matchConditions` in the webhook configurations.

use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use kube::core::ApiResource;
use serde_json::Value;

use super::ca_bundle::{CONFIGURATION, Kind};
use super::facts::{Fact, Store};
use super::named;

/// A webhook of a configuration, as far as it says when it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name, such as `mutate.chartgate.dev`.
    pub name: String,
    conditions: Vec<(String, String)>,
}

// === impl Webhook ===

impl Webhook {
    /// Its `matchConditions`, as name and expression.
    pub fn conditions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.conditions.iter().map(|(name, expression)| (name.as_str(), expression.as_str()))
    }
}

/// Follows our configuration of one kind.
pub(super) async fn keep(client: Client, store: &Store, kind: Kind) {
    let resource = match kind {
        Kind::Mutating => ApiResource::erase::<MutatingWebhookConfiguration>(&()),
        Kind::Validating => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
    };
    let take = &mut |store: &Store, configuration: Option<&Value>| take(store, kind, configuration);
    named::keep(client, store, Fact::of_conditions(kind), (&resource, CONFIGURATION), take).await;
}

/// Takes up the conditions of all webhooks, and says where they are from.
fn take(store: &Store, kind: Kind, configuration: Option<&Value>) -> String {
    let webhooks: Arc<[Webhook]> = configuration.map(webhooks_of).unwrap_or_default().into();
    store.note_webhooks(kind, webhooks);
    let no = if configuration.is_some() { "" } else { "no " };
    format!("{no}{kind} {CONFIGURATION}")
}

fn webhooks_of(configuration: &Value) -> Vec<Webhook> {
    fn list(value: &Value) -> &[Value] {
        value.as_array().map(Vec::as_slice).unwrap_or_default()
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let condition = |condition: &Value| (text(&condition["name"]), text(&condition["expression"]));
    let webhook = |webhook: &Value| Webhook {
        name: text(&webhook["name"]),
        conditions: list(&webhook["matchConditions"]).iter().map(condition).collect(),
    };
    list(&configuration["webhooks"]).iter().map(webhook).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::Flux;

    #[test]
    fn reads_the_conditions_of_every_webhook_and_tells_a_missing_configuration() {
        let store = Store::new(Flux::NEWEST);
        let live = || store.status().borrow().webhooks(Kind::Validating).map(<[Webhook]>::to_vec);
        assert_eq!(live(), None);
        let configuration = json!({"webhooks": [
            {"name": "a.example.org", "matchConditions": [{"name": "mine", "expression": "true"}]},
            {"name": "b.example.org"},
        ]});
        let told = take(&store, Kind::Validating, Some(&configuration));
        assert_eq!(told, "ValidatingWebhookConfiguration chartgate");
        let webhook = |name: &str, conditions| Webhook { name: name.into(), conditions };
        let mine = vec![("mine".to_owned(), "true".to_owned())];
        assert_eq!(live().unwrap(), [webhook("a.example.org", mine), webhook("b.example.org", Vec::new())]);
        assert_eq!(take(&store, Kind::Validating, None), "no ValidatingWebhookConfiguration chartgate");
        assert_eq!(live().unwrap(), []);
        assert_eq!(store.status().borrow().webhooks(Kind::Mutating), None);
    }
}
