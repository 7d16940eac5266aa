//! Sets up a fleet of releases, each applied by a Flux Kustomization of its own from artifacts in an OCI registry.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::states::{Era, Other, Place, STATES, State};
use crate::harness::{
    KustomizeController, Namespace, OciSource, SourceController, Write, chart, eventually, release,
};

/// How often each Kustomization reconciles.
const INTERVAL: &str = "10s";

/// How often one that has failed tries again. All of them do in the phase of wrong changes.
const RETRY: &str = "20s";

/// Three intervals take 30 s, and a publication a second or two; the machine may be busy.
const RECONCILED: Duration = Duration::from_mins(3);

/// The field manager of fields that neither source-controller nor helm-controller writes.
const WRITER: &str = "chartgate-tests";

/// A release of the fleet, with its manifest as it is in Git.
pub(super) struct Member {
    pub(super) state: &'static State,
    pub(super) name: String,
    pub(super) manifest: Value,
    /// At which the manifest is published.
    version: &'static str,
    published: bool,
}

/// The releases of one namespace and the artifact that they are applied from.
pub(super) struct Fleet<'a> {
    pub(super) namespace: Namespace<'a>,
    pub(super) members: Vec<Member>,
    controller: &'a KustomizeController,
    source: OciSource<'a>,
}

/// The `Ready` condition of a Kustomization: `Ok`, or the reason of the failure.
pub(super) type Ready = Result<(), String>;

// === impl Fleet ===

impl<'a> Fleet<'a> {
    /// A namespace with so many releases of each wanted state; nothing is published yet.
    pub(super) fn create(
        (controller, sources): (&'a KustomizeController, &'a SourceController),
        namespace: Namespace<'a>,
        releases: impl Fn(&State) -> usize,
    ) -> Self {
        let source = OciSource::create(sources, &namespace, "fleet");
        let mut fleet = Self { namespace, members: Vec::new(), controller, source };
        for state in STATES {
            for number in 1..=releases(state) {
                let name = format!("{}-{number}", state.name);
                let manifest = (state.manifest)(Place { namespace: fleet.namespace.name(), name: &name });
                fleet.members.push(Member { state, name, manifest, version: "v2", published: false });
            }
        }
        fleet
    }

    /// Makes the writes of other managers before Flux applies anything.
    pub(super) fn restore(&self) {
        for member in self.with(Other::Restore) {
            let object = release("v2", &member.name, &chart());
            self.namespace.releases("v2").create(&object, Write::by("velero-server")).accepted();
        }
    }

    /// Publishes the releases of an era at a version of the API, and waits until each was attempted.
    pub(super) fn add(&mut self, is_wanted: impl Fn(Era) -> bool, version: &'static str) {
        for member in &mut self.members {
            if is_wanted(member.state.era) {
                member.published = true;
                member.version = version;
            }
        }
        let revision = self.push();
        self.attempted(&revision);
    }

    /// Changes manifests in Git.
    pub(super) fn change(&mut self, change: impl Fn(&State, &mut Value, Place<'_>)) {
        let namespace = self.namespace.name();
        for Member { state, name, manifest, .. } in &mut self.members {
            change(state, manifest, Place { namespace, name });
        }
    }

    /// Pushes all manifests as one artifact, and creates the Kustomizations that are not there yet.
    pub(super) fn push(&self) -> String {
        let published: Vec<_> = self.members.iter().filter(|member| member.published).collect();
        let files: Vec<_> = published
            .iter()
            .map(|member| {
                let mut manifest = member.manifest.clone();
                manifest["apiVersion"] = json!(format!("helm.toolkit.fluxcd.io/{}", member.version));
                (format!("{}/release.yaml", member.name), manifest.to_string())
            })
            .collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let revision = self.source.push(&files);
        self.source.wait_until_pulled(&revision);
        let kustomizations = self.namespace.objects("kustomize.toolkit.fluxcd.io/v1", "kustomizations");
        let wanted = published.iter().map(|member| self.kustomization(member));
        kustomizations.apply_all(wanted, Write::by(WRITER).forced());
        revision
    }

    fn kustomization(&self, member: &Member) -> Value {
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": member.name},
            "spec": {
                "interval": INTERVAL, "retryInterval": RETRY, "timeout": "30s",
                "path": format!("./{}", member.name), "prune": true, "force": member.state.force,
                "targetNamespace": self.namespace.name(),
                "sourceRef": {"kind": "OCIRepository", "name": "fleet"},
            },
        })
    }

    /// The manifests as they are in Git.
    pub(super) fn manifests(&self) -> Vec<Value> {
        self.members.iter().map(|member| member.manifest.clone()).collect()
    }

    /// Goes back to what [`Self::manifests`] returned, as `git revert` does.
    pub(super) fn revert(&mut self, manifests: Vec<Value>) {
        for (member, manifest) in self.members.iter_mut().zip(manifests) {
            member.manifest = manifest;
        }
    }

    /// Waits until each Kustomization has attempted a revision, and returns the outcomes.
    pub(super) fn attempted(&self, revision: &str) -> BTreeMap<String, Ready> {
        // One that has failed is in progress again at each retry, so each is looked at for itself.
        let mut settled = BTreeMap::new();
        eventually("every Kustomization has attempted the revision", RECONCILED, || {
            let mut missing = Ok(());
            for (name, (attempted, ready)) in self.conditions() {
                match ready {
                    Some(ready) if attempted == revision => _ = settled.entry(name).or_insert(ready),
                    _ if settled.contains_key(&name) => {}
                    _ => missing = Err(format!("{name} is at {attempted} ({ready:?}), not at {revision}")),
                }
            }
            missing.map(|()| settled.clone())
        })
    }

    /// The revision that each Kustomization has attempted, and its `Ready` condition; `None` while it is in progress.
    fn conditions(&self) -> BTreeMap<String, (String, Option<Ready>)> {
        let kustomizations = self.namespace.objects("kustomize.toolkit.fluxcd.io/v1", "kustomizations");
        let listed = kustomizations.list().accepted();
        let listed = listed["items"].as_array().expect("a list has items").iter();
        listed
            .map(|object| {
                let status = &object["status"];
                let conditions = status["conditions"].as_array().into_iter().flatten();
                let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
                let ready = ready.and_then(|ready| match ready["status"].as_str() {
                    Some("True") => Some(Ok(())),
                    Some("False") => Some(Err(ready["message"].as_str().unwrap_or_default().to_owned())),
                    _ => None,
                });
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                (text(&object["metadata"]["name"]), (text(&status["lastAttemptedRevision"]), ready))
            })
            .collect()
    }

    /// How often the controller has reconciled anything so far: a mark in its log.
    pub(super) fn reconciliations(&self) -> usize {
        self.controller.reconciliations().len()
    }

    /// Waits until each Kustomization has reconciled at least so often since `mark`, and returns the first failure of
    /// each since then.
    pub(super) fn intervals(&self, count: usize, mark: usize) -> BTreeMap<String, Ready> {
        let namespace = self.namespace.name();
        eventually("every Kustomization has reconciled at its intervals", RECONCILED, || {
            let mut seen: BTreeMap<String, (usize, Ready)> = self
                .members
                .iter()
                .filter(|member| member.published)
                .map(|member| (member.name.clone(), (0, Ok(()))))
                .collect();
            for outcome in self.controller.reconciliations().into_iter().skip(mark) {
                if outcome.namespace != namespace {
                    continue;
                }
                if let Some((times, ready)) = seen.get_mut(&outcome.name) {
                    *times += 1;
                    *ready = std::mem::replace(ready, Ok(())).and(outcome.result);
                }
            }
            let behind: Vec<_> = seen.iter().filter(|(_, (times, _))| *times < count).collect();
            if !behind.is_empty() {
                return Err(format!("{behind:?}"));
            }
            Ok(seen.into_iter().map(|(name, (_, ready))| (name, ready)).collect())
        })
    }

    /// Makes the writes of other managers once a release is applied at v2beta1 (`true`) or at v2.
    pub(super) fn touch(&self, is_old: bool) {
        for member in &self.members {
            for other in member.state.others {
                if (*other == Other::OldStatus) == is_old {
                    self.write(*other, &member.name);
                }
            }
        }
    }

    fn write(&self, other: Other, name: &str) {
        let version = if other == Other::OldStatus { "v2beta1" } else { "v2" };
        let releases = self.namespace.releases(version);
        let helm_controller = Write::by("helm-controller");
        let namespace = self.namespace.name();
        let answer = match other {
            Other::Restore => return,
            Other::Finalizer => {
                let finalizer = json!({"metadata": {"finalizers": ["finalizers.fluxcd.io"]}});
                releases.merge_patch(name, &finalizer, helm_controller)
            }
            Other::GeneratedChart | Other::OldStatus => {
                let status = json!({"status": {"helmChart": format!("{namespace}/{namespace}-{name}")}});
                releases.status().merge_patch(name, &status, helm_controller)
            }
            Other::Edit => {
                let edit = json!({"spec": {"chart": {"spec": {"interval": "5m"}}}});
                releases.merge_patch(name, &edit, Write::by("lens"))
            }
        };
        answer.accepted();
    }

    /// Rewrites the version of every managedFields entry, as `flux migrate` does.
    pub(super) fn migrate(&self, is_wanted: impl Fn(Era) -> bool) {
        let releases = self.namespace.releases("v2");
        for member in self.members.iter().filter(|member| is_wanted(member.state.era)) {
            let mut entries = releases.get(&member.name).accepted()["metadata"]["managedFields"].clone();
            for entry in entries.as_array_mut().expect("every stored object has them") {
                entry["apiVersion"] = json!("helm.toolkit.fluxcd.io/v2");
            }
            let rewrite = json!([{"op": "replace", "path": "/metadata/managedFields", "value": entries}]);
            releases.json_patch(&member.name, &rewrite, Write::by("flux")).accepted();
        }
    }

    /// The uid of each release: a deleted one comes back with another.
    pub(super) fn uids(&self) -> BTreeMap<String, String> {
        let listed = self.namespace.releases("v2").list().accepted();
        let listed = listed["items"].as_array().expect("a list has items").iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        listed.map(|object| (text(&object["metadata"]["name"]), text(&object["metadata"]["uid"]))).collect()
    }

    fn with(&self, other: Other) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.state.others.contains(&other))
    }
}
