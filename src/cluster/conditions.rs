//! Reads from the webhook configurations which requests reach chartgate, and what happens to them while no replica
//! answers.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Client;
use kube::core::ApiResource;
use serde_json::Value;

use super::ca_bundle::{CONFIGURATION, Kind};
use super::facts::{Fact, Store};
use super::named;
use super::watch::Anew;

/// A webhook of a configuration, as far as it says when it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name, such as `mutate.chartgate.dev`.
    pub name: String,
    /// The path that is called, such as `/mutate`.
    pub path: String,
    /// The namespace and the name of the Service that is called, if it is one.
    pub service: Option<(String, String)>,
    /// The CA that the API server trusts when it calls; empty where none is set.
    pub ca_bundle: Vec<u8>,
    /// Whether it has rules. A webhook without rules is never called.
    pub has_rules: bool,
    /// Whether a call that fails refuses the request.
    pub fails_closed: bool,
    conditions: Vec<(String, String)>,
    /// The namespaces that `namespaceSelector` leaves out by `kubernetes.io/metadata.name`, see [`Self::leaves_out`].
    by_name: Vec<ByName>,
}

/// What a selector requires of the name of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ByName {
    In(Vec<String>),
    NotIn(Vec<String>),
}

/// The label that holds the name of each namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

// === impl Webhook ===

impl Webhook {
    /// Whether its selector leaves out a namespace by its name. Other labels of namespaces are not known.
    pub fn leaves_out(&self, namespace: &str) -> bool {
        let is_in = |names: &[String]| names.iter().any(|name| name == namespace);
        self.by_name.iter().any(|by_name| match by_name {
            ByName::In(names) => !is_in(names),
            ByName::NotIn(names) => is_in(names),
        })
    }

    /// Its `matchConditions`, as name and expression.
    pub fn conditions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.conditions.iter().map(|(name, expression)| (name.as_str(), expression.as_str()))
    }
}

/// Follows our configuration of one kind.
pub(super) async fn keep(client: (Client, &Anew), store: &Store, kind: Kind) {
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
    list(&configuration["webhooks"]).iter().map(webhook_of).collect()
}

fn webhook_of(webhook: &Value) -> Webhook {
    let condition = |condition: &Value| (text(&condition["name"]), text(&condition["expression"]));
    let service = &webhook["clientConfig"]["service"];
    Webhook {
        name: text(&webhook["name"]),
        path: text(&service["path"]),
        service: service.is_object().then(|| (text(&service["namespace"]), text(&service["name"]))),
        ca_bundle: STANDARD.decode(text(&webhook["clientConfig"]["caBundle"])).unwrap_or_default(),
        has_rules: !list(&webhook["rules"]).is_empty(),
        // The API server fills in `Fail`.
        fails_closed: webhook["failurePolicy"] != "Ignore",
        conditions: list(&webhook["matchConditions"]).iter().map(condition).collect(),
        by_name: by_name(&webhook["namespaceSelector"]),
    }
}

fn by_name(selector: &Value) -> Vec<ByName> {
    let names = |values: &Value| list(values).iter().map(text).collect();
    let label = selector["matchLabels"][NAME_LABEL].as_str();
    let expressions = list(&selector["matchExpressions"]).iter();
    let expressions = expressions.filter(|expression| expression["key"] == NAME_LABEL);
    let expressions = expressions.filter_map(|expression| match expression["operator"].as_str()? {
        "In" => Some(ByName::In(names(&expression["values"]))),
        "NotIn" => Some(ByName::NotIn(names(&expression["values"]))),
        _ => None,
    });
    label.map(|name| ByName::In(vec![name.to_owned()])).into_iter().chain(expressions).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
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
        let webhook = |name: &str, conditions| Webhook {
            name: name.into(),
            path: String::new(),
            service: None,
            ca_bundle: Vec::new(),
            has_rules: false,
            fails_closed: true,
            conditions,
            by_name: Vec::new(),
        };
        let mine = vec![("mine".to_owned(), "true".to_owned())];
        assert_eq!(live().unwrap(), [webhook("a.example.org", mine), webhook("b.example.org", Vec::new())]);
        assert_eq!(take(&store, Kind::Validating, None), "no ValidatingWebhookConfiguration chartgate");
        assert_eq!(live().unwrap(), []);
        assert_eq!(store.status().borrow().webhooks(Kind::Mutating), None);
    }

    #[test]
    fn reads_what_is_called_when_and_which_namespaces_are_left_out() {
        let configuration = json!({"webhooks": [{
            "name": "validate.chartgate.dev",
            "clientConfig": {"service": {"namespace": "gate", "name": "chartgate", "path": "/validate"}},
            "failurePolicy": "Ignore",
            "rules": [{}],
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["gate", "kube-system"]},
                {"key": "team", "operator": "NotIn", "values": ["apps"]},
            ]},
        }]});
        let [webhook] = &webhooks_of(&configuration)[..] else { panic!("there is one") };
        assert_eq!(webhook.service, Some(("gate".to_owned(), "chartgate".to_owned())));
        assert_eq!((&*webhook.path, webhook.has_rules, webhook.fails_closed), ("/validate", true, false));
        assert!(webhook.leaves_out("gate") && webhook.leaves_out("kube-system"));
        assert!(!webhook.leaves_out("apps"), "another label is about something else");
        let only = json!({"matchLabels": {"kubernetes.io/metadata.name": "apps"}});
        assert_eq!(by_name(&only), [ByName::In(vec!["apps".to_owned()])]);
    }
}
