//! The fields of a kustomization file, with their types: `types.Kustomization` of `sigs.k8s.io/kustomize/api` 0.21 (kustomize 5.8), and all that it holds.

use Type::{Boolean, Integer, List, Map, Struct, Text, Texts};

/// The type of a value, as Go declares it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    /// `string`.
    Text,
    /// `bool`.
    Boolean,
    /// `int` and `int64`.
    Integer,
    /// `map[string]string`.
    Texts,
    /// `map[string]interface{}`.
    Map,
    /// A slice.
    List(&'static Type),
    /// A struct, or a pointer to one.
    Struct(&'static Fields),
}

/// A Go struct.
#[derive(Debug)]
pub(super) struct Fields {
    /// The display name of what it describes.
    pub(super) title: &'static str,
    /// Its fields, those of embedded structs among them.
    pub(super) all: &'static [Field],
}

/// A field of a Go struct.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name in JSON.
    pub(super) name: &'static str,
    /// The type of its value.
    pub(super) of: Type,
    /// Whether it belongs to an embedded struct. `sigs.k8s.io/yaml` converts no number or boolean to a text in such a field, and in
    /// nothing below it: it looks there by the type of the embedded struct (`convertToJSONableObject`, 1.6.0).
    pub(super) is_embedded: bool,
}

/// A kustomization file.
pub(super) static KUSTOMIZATION: Fields = Fields {
    title: "a kustomization file",
    all: &[
        embedded("kind", Text),
        embedded("apiVersion", Text),
        field("metadata", Struct(&METADATA)),
        field("openapi", Texts),
        field("namePrefix", Text),
        field("nameSuffix", Text),
        field("namespace", Text),
        field("commonLabels", Texts),
        field("labels", List(&Struct(&LABELS))),
        field("commonAnnotations", Texts),
        field("patchesStrategicMerge", List(&Text)),
        field("patchesJson6902", List(&Struct(&PATCH))),
        field("patches", List(&Struct(&PATCH))),
        field("images", List(&Struct(&IMAGE))),
        field("imageTags", List(&Struct(&IMAGE))),
        field("replacements", List(&Struct(&REPLACEMENT_FIELD))),
        field("replicas", List(&Struct(&REPLICA))),
        field("vars", List(&Struct(&VARIABLE))),
        field("sortOptions", Struct(&SORT_OPTIONS)),
        field("resources", List(&Text)),
        field("components", List(&Text)),
        field("crds", List(&Text)),
        field("bases", List(&Text)),
        field("configMapGenerator", List(&Struct(&CONFIG_MAP))),
        field("secretGenerator", List(&Struct(&SECRET))),
        field("helmGlobals", Struct(&HELM_GLOBALS)),
        field("helmCharts", List(&Struct(&HELM_CHART))),
        field("helmChartInflationGenerator", List(&Struct(&HELM_CHART_ARGS))),
        field("generatorOptions", Struct(&GENERATOR_OPTIONS)),
        field("configurations", List(&Text)),
        field("generators", List(&Text)),
        field("transformers", List(&Text)),
        field("validators", List(&Text)),
        field("buildMetadata", List(&Text)),
    ],
};

/// An item of `patches` and `patchesJson6902`.
pub(super) static PATCH: Fields = Fields {
    title: "a patch",
    all: &[
        field("path", Text),
        field("patch", Text),
        field("target", Struct(&SELECTOR)),
        field("options", Struct(&PATCH_OPTIONS)),
    ],
};

/// A replacement in a file of its own.
pub(super) static REPLACEMENT: Fields = Fields {
    title: "a replacement",
    all: &[field("source", SOURCE), field("targets", TARGETS), field("sourceValue", Text)],
};

static REPLACEMENT_FIELD: Fields = Fields {
    title: "a replacement",
    all: &[
        embedded("source", SOURCE),
        embedded("targets", TARGETS),
        embedded("sourceValue", Text),
        field("path", Text),
    ],
};

const SOURCE: Type = Struct(&REPLACEMENT_SOURCE);

const TARGETS: Type = List(&Struct(&REPLACEMENT_TARGET));

static REPLACEMENT_SOURCE: Fields = Fields {
    title: "the source of a replacement",
    all: &[
        embedded("group", Text),
        embedded("version", Text),
        embedded("kind", Text),
        embedded("name", Text),
        embedded("namespace", Text),
        field("fieldPath", Text),
        field("options", Struct(&REPLACEMENT_OPTIONS)),
    ],
};

static REPLACEMENT_TARGET: Fields = Fields {
    title: "the target of a replacement",
    all: &[
        field("select", Struct(&SELECTOR)),
        field("reject", List(&Struct(&SELECTOR))),
        field("fieldPaths", List(&Text)),
        field("options", Struct(&REPLACEMENT_OPTIONS)),
    ],
};

static REPLACEMENT_OPTIONS: Fields = Fields {
    title: "the options of a replacement",
    all: &[
        field("delimiter", Text),
        field("index", Integer),
        field("encoding", Text),
        field("create", Boolean),
    ],
};

static SELECTOR: Fields = Fields {
    title: "a target",
    all: &[
        embedded("group", Text),
        embedded("version", Text),
        embedded("kind", Text),
        embedded("name", Text),
        embedded("namespace", Text),
        field("annotationSelector", Text),
        field("labelSelector", Text),
    ],
};

static PATCH_OPTIONS: Fields = Fields {
    title: "the options of a patch",
    all: &[field("allowNameChange", Boolean), field("allowKindChange", Boolean)],
};

static METADATA: Fields = Fields {
    title: "the metadata of a kustomization file",
    all: &[
        field("name", Text),
        field("namespace", Text),
        field("labels", Texts),
        field("annotations", Texts),
    ],
};

static LABELS: Fields = Fields {
    title: "labels",
    all: &[
        field("pairs", Texts),
        field("includeSelectors", Boolean),
        field("includeTemplates", Boolean),
        field("includeVolumeClaimTemplates", Boolean),
        field("fields", List(&Struct(&FIELD_SPEC))),
    ],
};

static FIELD_SPEC: Fields = Fields {
    title: "a field of labels",
    all: &[
        embedded("group", Text),
        embedded("version", Text),
        embedded("kind", Text),
        field("path", Text),
        field("create", Boolean),
    ],
};

static IMAGE: Fields = Fields {
    title: "an image",
    all: &[
        field("name", Text),
        field("newName", Text),
        field("tagSuffix", Text),
        field("newTag", Text),
        field("digest", Text),
    ],
};

static REPLICA: Fields = Fields { title: "replicas", all: &[field("name", Text), field("count", Integer)] };

static VARIABLE: Fields = Fields {
    title: "a variable",
    all: &[
        field("name", Text),
        field("objref", Struct(&VARIABLE_OBJECT)),
        field("fieldref", Struct(&VARIABLE_FIELD)),
    ],
};

static VARIABLE_OBJECT: Fields = Fields {
    title: "the object of a variable",
    all: &[
        field("apiVersion", Text),
        embedded("group", Text),
        embedded("version", Text),
        embedded("kind", Text),
        field("name", Text),
        field("namespace", Text),
    ],
};

static VARIABLE_FIELD: Fields = Fields { title: "the field of a variable", all: &[field("fieldPath", Text)] };

static SORT_OPTIONS: Fields = Fields {
    title: "sortOptions",
    all: &[field("order", Text), field("legacySortOptions", Struct(&LEGACY_SORT_OPTIONS))],
};

static LEGACY_SORT_OPTIONS: Fields = Fields {
    title: "legacySortOptions",
    all: &[field("orderFirst", List(&Text)), field("orderLast", List(&Text))],
};

static GENERATOR_OPTIONS: Fields = Fields {
    title: "the options of a generator",
    all: &[
        field("labels", Texts),
        field("annotations", Texts),
        field("disableNameSuffixHash", Boolean),
        field("immutable", Boolean),
    ],
};

static CONFIG_MAP: Fields = Fields {
    title: "a generator",
    all: &[
        embedded("namespace", Text),
        embedded("name", Text),
        embedded("behavior", Text),
        embedded("literals", List(&Text)),
        embedded("files", List(&Text)),
        embedded("envs", List(&Text)),
        embedded("env", Text),
        embedded("options", Struct(&GENERATOR_OPTIONS)),
    ],
};

static SECRET: Fields = Fields {
    title: "a generator",
    all: &[
        embedded("namespace", Text),
        embedded("name", Text),
        embedded("behavior", Text),
        embedded("literals", List(&Text)),
        embedded("files", List(&Text)),
        embedded("envs", List(&Text)),
        embedded("env", Text),
        embedded("options", Struct(&GENERATOR_OPTIONS)),
        field("type", Text),
    ],
};

static HELM_GLOBALS: Fields =
    Fields { title: "helmGlobals", all: &[field("chartHome", Text), field("configHome", Text)] };

static HELM_CHART: Fields = Fields {
    title: "a chart of helmCharts",
    all: &[
        field("name", Text),
        field("version", Text),
        field("repo", Text),
        field("releaseName", Text),
        field("namespace", Text),
        field("additionalValuesFiles", List(&Text)),
        field("valuesFile", Text),
        field("valuesInline", Map),
        field("valuesMerge", Text),
        field("includeCRDs", Boolean),
        field("skipHooks", Boolean),
        field("apiVersions", List(&Text)),
        field("kubeVersion", Text),
        field("nameTemplate", Text),
        field("skipTests", Boolean),
        field("debug", Boolean),
        field("devel", Boolean),
    ],
};

static HELM_CHART_ARGS: Fields = Fields {
    title: "a chart of helmChartInflationGenerator",
    all: &[
        field("chartName", Text),
        field("chartVersion", Text),
        field("chartRepoUrl", Text),
        field("chartHome", Text),
        field("chartRepoName", Text),
        field("helmBin", Text),
        field("helmHome", Text),
        field("values", Text),
        field("valuesLocal", Map),
        field("valuesMerge", Text),
        field("releaseName", Text),
        field("releaseNamespace", Text),
        field("extraArgs", List(&Text)),
    ],
};

const fn field(name: &'static str, of: Type) -> Field {
    Field { name, of, is_embedded: false }
}

const fn embedded(name: &'static str, of: Type) -> Field {
    Field { name, of, is_embedded: true }
}

// === impl Fields ===

impl Fields {
    /// The field that a key stands for. Of the names of JSON, Go takes the one that is equal, else one that is so in upper or lower case.
    pub(super) fn named(&self, key: &str) -> Option<&Field> {
        let exact = self.all.iter().find(|field| field.name == key);
        exact.or_else(|| self.all.iter().find(|field| field.name.eq_ignore_ascii_case(key)))
    }
}
