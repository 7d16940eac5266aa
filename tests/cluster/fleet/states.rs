//! Lists the states in which releases may be stored when chartgate is installed, and the next changes of their authors.

use serde_json::{Value, json};

use crate::harness::{chart, chart_ref, release};

/// A state, and changes that start from it.
pub(super) struct State {
    /// Also the first part of the releases' names.
    pub(super) name: &'static str,
    pub(super) releases: usize,
    pub(super) era: Era,
    pub(super) others: &'static [Other],
    /// Whether the Kustomizations have `spec.force`, which deletes a live object on an Invalid (422).
    pub(super) force: bool,
    /// The manifest at v2, as the author has it in Git.
    pub(super) manifest: fn(Place<'_>) -> Value,
    /// A change that must stay possible.
    pub(super) harmless: fn(&mut Value),
    /// A change that must be denied, and a text that the denial contains.
    pub(super) wrong: (fn(&mut Value, Place<'_>), &'static str),
    /// The change that fixes the release, or the move to `chartRef` where nothing has to be fixed.
    pub(super) right: fn(&mut Value, Place<'_>),
}

/// When a release was stored. Each is the only time at which its state is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// Under the CRD of Flux 2.3, at v2beta1, whose schema lets both and neither pass; later bumped to v2.
    V2beta1 {
        /// Whether `flux migrate` ran before the upgrade. Without it no apply succeeds on Flux 2.9 (error C).
        migrated: bool,
    },
    /// At v2 under the CRD of Flux 2.3, before chartgate was installed.
    Before,
    /// On Flux 2.9 with chartgate, in a namespace with `chartgate.dev/mode: off` that loses the label later.
    Off,
    /// On Flux 2.10 with chartgate.
    Flux210,
}

/// A write to a release by another manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// helm-controller's finalizer.
    Finalizer,
    /// helm-controller's `status.helmChart`, which names the generated HelmChart.
    GeneratedChart,
    /// The same, from before the bump to v2.
    OldStatus,
    /// An edit of `spec.chart.spec.interval`, which the manifest leaves out.
    Edit,
    /// A restore creates the whole object before Flux applies it.
    Restore,
}

/// Where a release is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

// === impl Place ===

impl Place<'_> {
    /// The name of the HelmChart that helm-controller generates for a `spec.chart`.
    fn generated(self) -> String {
        format!("{}-{}", self.namespace, self.name)
    }

    fn release(self, spec: &Value) -> Value {
        release("v2", self.name, spec)
    }

    fn chart(self) -> Value {
        self.release(&chart())
    }

    /// A `chartRef` without namespace, which /mutate fills in.
    fn chart_ref(self, kind: &str, name: &str) -> Value {
        self.release(&json!({"chartRef": {"kind": kind, "name": name}}))
    }

    /// A `chartRef` with its namespace.
    fn whole_chart_ref(self, kind: &str, name: &str) -> Value {
        let mut release = self.chart_ref(kind, name);
        release["spec"]["chartRef"]["namespace"] = json!(self.namespace);
        release
    }

    fn both(self) -> Value {
        let mut release = self.chart();
        release["spec"]["chartRef"] = chart_ref()["chartRef"].clone();
        release
    }

    fn inline(self) -> Value {
        let spec = json!({"url": "oci://registry.invalid/charts/podinfo", "ref": {"tag": "6.5.4"}});
        self.release(&json!({"chart": {"kind": "OCIRepository", "spec": spec}}))
    }
}

// Changes.

fn annotate(release: &mut Value) {
    release["metadata"]["annotations"]["note"] = json!("reviewed");
}

fn suspend(release: &mut Value) {
    release["spec"]["suspend"] = json!(true);
}

fn change_values(release: &mut Value) {
    release["spec"]["values"] = json!({"replicas": 2});
}

fn change_values_too(release: &mut Value, _: Place<'_>) {
    change_values(release);
}

/// The half-done move: `chartRef` is set and `chart` is kept.
fn add_chart_ref(release: &mut Value, _: Place<'_>) {
    release["spec"]["chartRef"] = chart_ref()["chartRef"].clone();
}

/// The half-done way back.
fn add_chart(release: &mut Value, _: Place<'_>) {
    release["spec"]["chart"] = chart()["chart"].clone();
}

/// The move, with a version that an overlay still pins.
fn move_but_pin(release: &mut Value, place: Place<'_>) {
    move_to_oci(release, place);
    release["spec"]["chart"] = json!({"spec": {"version": "6.5.5"}});
}

fn move_to_generated(release: &mut Value, place: Place<'_>) {
    drop_chart(release);
    release["spec"]["chartRef"] = json!({"kind": "HelmChart", "name": place.generated()});
}

fn name_badly(release: &mut Value, _: Place<'_>) {
    release["spec"]["chartRef"]["name"] = json!("Pod_Info");
}

fn name_badly_in_other_words(release: &mut Value, _: Place<'_>) {
    release["spec"]["chartRef"]["name"] = json!("Pod Info");
}

fn move_to_oci(release: &mut Value, _: Place<'_>) {
    drop_chart(release);
    release["spec"]["chartRef"] = chart_ref()["chartRef"].clone();
}

fn move_to_chart(release: &mut Value, _: Place<'_>) {
    drop_chart(release);
    release["spec"]["chartRef"] = json!({"kind": "HelmChart", "name": "podinfo"});
}

/// The way back.
fn move_back(release: &mut Value, _: Place<'_>) {
    release["spec"].as_object_mut().expect("every release has a spec").remove("chartRef");
    release["spec"]["chart"] = chart()["chart"].clone();
}

fn drop_chart(release: &mut Value) {
    release["spec"].as_object_mut().expect("every release has a spec").remove("chart");
}

const BOTH: &str = "[chart-and-chart-ref] ";
const NEITHER: &str = "[no-chart-source] ";
const PARTIAL: &str = "[partial-chart] ";
const NAME: &str = "[chart-ref-name] ";
const INLINE: &str = "[inline-chart-fields] ";
const GENERATED: &str = "[generated-chart-name] ";

/// Not a denial of chartgate: the API server fails before it calls a webhook.
const LOST: &str = "request to convert CR to an invalid group/version";

/// Starts each row below: a clean `spec.chart`.
const CHART: State = State {
    name: "chart",
    releases: 2,
    era: Era::Before,
    others: &[],
    force: false,
    manifest: |place| place.chart(),
    harmless: change_values,
    wrong: (add_chart_ref, BOTH),
    right: move_to_oci,
};

/// Starts each row below that has a `chartRef`.
const CHART_REF: State = State {
    name: "chartref",
    manifest: |place| place.whole_chart_ref("OCIRepository", "podinfo"),
    wrong: (name_badly, NAME),
    right: move_back,
    ..CHART
};

/// Starts each row below that was stored at v2beta1.
const OLD: State = State { era: Era::V2beta1 { migrated: true }, harmless: annotate, ..CHART };

/// Starts each row below for which nobody ran `flux migrate` before the upgrade to Flux 2.9.
const STALE: State = State { era: Era::V2beta1 { migrated: false }, wrong: (add_chart_ref, LOST), ..OLD };

pub(super) const STATES: &[State] = &[
    State { releases: 4, ..CHART },
    State { name: "chart-by-flux", others: &[Other::Finalizer, Other::GeneratedChart], ..CHART },
    State {
        name: "chart-to-generated",
        others: &[Other::Finalizer, Other::GeneratedChart],
        wrong: (move_to_generated, GENERATED),
        right: move_to_chart,
        ..CHART
    },
    State {
        name: "chart-values-files",
        manifest: |place| {
            let mut release = place.chart();
            release["spec"]["chart"]["spec"]["valuesFiles"] = json!(["values-prod.yaml"]);
            release
        },
        right: move_to_chart,
        ..CHART
    },
    State { name: "chart-edited", others: &[Other::Edit], wrong: (move_but_pin, PARTIAL), ..CHART },
    State {
        name: "chart-restored",
        others: &[Other::Restore],
        wrong: (move_to_oci, BOTH),
        // A part that another manager owns as a whole stays until that manager releases it. See partial-chart.
        right: |release, _| annotate(release),
        ..CHART
    },
    State {
        name: "chart-annotated",
        manifest: |place| {
            let mut release = place.chart();
            release["metadata"]["annotations"] = json!({"fluxcd.io/version": "v1"});
            release
        },
        ..CHART
    },
    State { name: "chart-late", era: Era::Off, ..CHART },
    State { name: "chart-force", force: true, ..CHART },
    State { releases: 4, ..CHART_REF },
    State {
        name: "chartref-bare",
        manifest: |place| place.chart_ref("OCIRepository", "podinfo"),
        harmless: suspend,
        ..CHART_REF
    },
    State {
        name: "chartref-elsewhere",
        manifest: |place| {
            let mut release = place.chart_ref("OCIRepository", "podinfo");
            release["spec"]["chartRef"]["namespace"] = json!("flux-system");
            release
        },
        right: move_to_oci,
        ..CHART_REF
    },
    State {
        name: "chartref-api-version",
        manifest: |place| {
            let mut release = place.chart_ref("OCIRepository", "podinfo");
            release["spec"]["chartRef"]["apiVersion"] = json!("source.toolkit.fluxcd.io/v1beta2");
            release
        },
        ..CHART_REF
    },
    State {
        name: "chartref-to-chart",
        manifest: |place| place.chart_ref("HelmChart", "podinfo"),
        wrong: (add_chart, BOTH),
        ..CHART_REF
    },
    State {
        name: "generated-new",
        era: Era::Off,
        manifest: |place| place.chart_ref("HelmChart", &place.generated()),
        right: move_to_oci,
        ..CHART_REF
    },
    State {
        name: "generated-stored",
        others: &[Other::GeneratedChart],
        manifest: |place| {
            let mut release = place.chart_ref("HelmChart", &place.generated());
            // Suspended, it keeps the HelmChart until it is resumed.
            release["spec"]["suspend"] = json!(true);
            release
        },
        harmless: annotate,
        wrong: (change_values_too, GENERATED),
        right: move_to_chart,
        ..CHART_REF
    },
    State {
        name: "name-shorthand",
        era: Era::Off,
        manifest: |place| place.chart_ref("OCIRepository", "OCIRepository/podinfo"),
        harmless: annotate,
        wrong: (add_chart, BOTH),
        ..CHART_REF
    },
    State {
        name: "name-bad-bare",
        manifest: |place| place.chart_ref("OCIRepository", "Podinfo"),
        harmless: annotate,
        wrong: (change_values_too, NAME),
        right: move_to_oci,
        ..CHART_REF
    },
    State {
        name: "name-bad",
        era: Era::Off,
        manifest: |place| place.whole_chart_ref("OCIRepository", "Podinfo"),
        harmless: suspend,
        wrong: (name_badly_in_other_words, NAME),
        right: move_to_oci,
        ..CHART_REF
    },
    State {
        name: "name-bad-suspended",
        manifest: |place| {
            let mut release = place.chart_ref("HelmChart", "Podinfo");
            release["spec"]["suspend"] = json!(true);
            release
        },
        harmless: |release| release["spec"]["suspend"] = json!(false),
        wrong: (change_values_too, NAME),
        right: move_to_chart,
        ..CHART_REF
    },
    State { name: "old-chart", ..OLD },
    State {
        name: "old-chartref",
        manifest: |place| place.chart_ref("OCIRepository", "podinfo"),
        wrong: (name_badly, NAME),
        right: move_back,
        ..OLD
    },
    State { name: "both-bare", manifest: |place| place.both(), wrong: (change_values_too, BOTH), ..OLD },
    State {
        name: "both",
        manifest: |place| {
            let mut release = place.both();
            release["spec"]["chartRef"]["namespace"] = json!(place.namespace);
            release
        },
        wrong: (change_values_too, BOTH),
        right: move_back,
        ..OLD
    },
    State {
        name: "both-force",
        force: true,
        manifest: |place| place.both(),
        wrong: (change_values_too, BOTH),
        ..OLD
    },
    State {
        name: "neither",
        manifest: |place| place.release(&json!({})),
        wrong: (change_values_too, NEITHER),
        ..OLD
    },
    State { name: "stale-applier", ..STALE },
    State { name: "stale-status", others: &[Other::OldStatus], ..STALE },
    State {
        name: "inline",
        era: Era::Flux210,
        manifest: |place| place.inline(),
        wrong: (|release, _| release["spec"]["chart"]["spec"]["chart"] = json!("podinfo"), INLINE),
        ..CHART
    },
    State {
        name: "inline-to-both",
        era: Era::Flux210,
        manifest: |place| place.inline(),
        right: move_back,
        ..CHART
    },
];
