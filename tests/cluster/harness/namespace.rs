//! A fresh namespace per test, so that tests can share a server.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::request::{Objects, Write};
use super::unique;

/// A namespace of a cluster; it stays until the server goes.
pub(crate) struct Namespace<'a> {
    cluster: &'a Cluster,
    name: String,
}

// === impl Namespace ===

impl<'a> Namespace<'a> {
    pub(crate) fn create(cluster: &'a Cluster, purpose: &str, labels: &Value) -> Self {
        Self::named(cluster, format!("{purpose}-{}", unique()), labels)
    }

    /// One with exactly this name.
    pub(crate) fn named(cluster: &'a Cluster, name: String, labels: &Value) -> Self {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": labels},
        });
        cluster.objects("v1", "namespaces").create(&namespace, Write::by("chartgate-tests")).accepted();
        Self { cluster, name }
    }

    /// One that is there already, with a name that manifests fix.
    pub(crate) fn existing(cluster: &'a Cluster, name: &str) -> Self {
        Self { cluster, name: name.to_owned() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The objects of any namespaced resource, such as `("source.toolkit.fluxcd.io/v1", "gitrepositories")`.
    pub(crate) fn objects(&self, api_version: &str, resource: &str) -> Objects {
        Objects::new(self.cluster.client(), api_version, resource, Some(&self.name))
    }

    /// Hands an object to kubectl, as a user does, and returns what it says: `kubectl(&["apply"], &object)`.
    pub(crate) fn kubectl(&self, arguments: &[&str], object: &Value) -> Output {
        let mut kubectl = self
            .cluster
            .kubectl()
            .args(arguments)
            .args(["--namespace", self.name(), "--filename=-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl was built with the server");
        let stdin = kubectl.stdin.take().expect("it is piped");
        { stdin }.write_all(object.to_string().as_bytes()).expect("kubectl reads its input");
        kubectl.wait_with_output().expect("kubectl ends")
    }

    /// kubectl, as administrator, in this namespace.
    pub(crate) fn kubectl_command(&self) -> Command {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["--namespace", self.name()]);
        kubectl
    }

    /// The `HelmRelease` objects, as the given version of the API shows them.
    pub(crate) fn releases(&self, version: &str) -> Objects {
        self.objects(&format!("helm.toolkit.fluxcd.io/{version}"), "helmreleases")
    }
}
