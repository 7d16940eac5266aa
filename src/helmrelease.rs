//! A borrowed, lenient view of a HelmRelease, read straight from the bytes.
//!
//! Only what a rule reads is taken out of the input; everything else is skipped where it stands, so a release with
//! 200 KB of values costs little more than its length. Nothing is rejected here: a field of the wrong type is a
//! state of the view ([`Field::WrongType`]), because a webhook has to say something useful about exactly such
//! objects. `null` counts as absent, as it does in the API server, which prunes it before validation; except in
//! server-side apply, so that [`Spec`] says which of its fields were `null`.

use std::borrow::Cow;

use crate::json::{Error, Kind, Raw, Reader};

mod chart_fields;
mod field;
mod leaves;

pub use chart_fields::{ChartField, ChartFields};
pub use field::{Field, Text};
pub use leaves::{Leaves, Wanted, leaves};

/// Where the fields that rules speak of stand, as JSON Pointers (RFC 6901).
pub mod at {
    /// `apiVersion`
    pub const API_VERSION: &str = "/apiVersion";
    /// `metadata.annotations`
    pub const ANNOTATIONS: &str = "/metadata/annotations";
    /// `metadata.annotations[kustomize.toolkit.fluxcd.io/force]`
    pub const FORCE_ANNOTATION: &str = "/metadata/annotations/kustomize.toolkit.fluxcd.io~1force";
    /// `metadata.labels[kustomize.toolkit.fluxcd.io/force]`
    pub const FORCE_LABEL: &str = "/metadata/labels/kustomize.toolkit.fluxcd.io~1force";
    /// `metadata.managedFields`
    pub const MANAGED_FIELDS: &str = "/metadata/managedFields";
    /// `spec`
    pub const SPEC: &str = "/spec";
    /// `spec.chart`
    pub const CHART: &str = "/spec/chart";
    /// `spec.chart.kind`
    pub const CHART_KIND: &str = "/spec/chart/kind";
    /// `spec.chart.spec.url`
    pub const CHART_URL: &str = "/spec/chart/spec/url";
    /// `spec.chart.spec.sourceRef.apiVersion`
    pub const SOURCE_REF_API_VERSION: &str = "/spec/chart/spec/sourceRef/apiVersion";
    /// `spec.chart.spec.interval`
    pub const CHART_INTERVAL: &str = "/spec/chart/spec/interval";
    /// `spec.chart.spec.sourceRef.namespace`
    pub const SOURCE_REF_NAMESPACE: &str = "/spec/chart/spec/sourceRef/namespace";
    /// `spec.chartRef`
    pub const CHART_REF: &str = "/spec/chartRef";
    /// `spec.chartRef.apiVersion`
    pub const CHART_REF_API_VERSION: &str = "/spec/chartRef/apiVersion";
    /// `spec.chartRef.kind`
    pub const CHART_REF_KIND: &str = "/spec/chartRef/kind";
    /// `spec.chartRef.name`
    pub const CHART_REF_NAME: &str = "/spec/chartRef/name";
    /// `spec.chartRef.namespace`
    pub const CHART_REF_NAMESPACE: &str = "/spec/chartRef/namespace";
}

/// How many entries of `metadata.managedFields` are read.
///
/// kube-apiserver keeps ten for updates (apimachinery 0.35.4, `capManagersForUpdates`) and one for each manager that applies. An
/// entry takes up to fifty times its length as JSON, so reading millions of them would take the memory of all reviews.
pub const MAX_MANAGERS: usize = 256;

/// The HelmRelease as far as rules read it.
#[derive(Debug, Clone, Default)]
pub struct HelmRelease<'a> {
    /// `apiVersion`, such as `helm.toolkit.fluxcd.io/v2`.
    pub api_version: Text<'a>,
    /// `kind`.
    pub kind: Text<'a>,
    /// `metadata`.
    pub metadata: Field<Metadata<'a>>,
    /// `spec`.
    pub spec: Field<Spec<'a>>,
    /// `status`.
    pub status: Field<Status<'a>>,
}

/// `status` of the release.
#[derive(Debug, Clone, Default)]
pub struct Status<'a> {
    /// `helmChart`: the source that helm-controller generated from `spec.chart`; empty once that source is deleted.
    pub helm_chart: Text<'a>,
}

/// A source that helm-controller generated from `spec.chart`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneratedSource<'a> {
    /// Its kind.
    pub kind: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// `metadata` of the release.
#[derive(Debug, Clone, Default)]
pub struct Metadata<'a> {
    /// `name`.
    pub name: Text<'a>,
    /// `namespace`.
    pub namespace: Text<'a>,
    /// `uid`: what tells this object from one of the same name before or after it.
    pub uid: Text<'a>,
    /// Whether `deletionTimestamp` is set: the object only waits for its finalizers.
    pub deleting: bool,
    /// `annotations`, unread: kubectl keeps whole manifests in one of them, and there may be 300,000.
    pub annotations: Field<Raw<'a>>,
    /// `labels`, unread.
    pub labels: Field<Raw<'a>>,
    /// `managedFields`: who owns what, with `fieldsV1` unread; of a longer list the first [`MAX_MANAGERS`] entries.
    pub managed_fields: Field<Vec<ManagedFields<'a>>>,
}

/// One entry of `metadata.managedFields`.
#[derive(Debug, Clone, Default)]
pub struct ManagedFields<'a> {
    /// The field manager, such as `kustomize-controller`.
    pub manager: Text<'a>,
    /// `Apply` or `Update`.
    pub operation: Text<'a>,
    /// The subresource that it was written through; nothing for the object itself.
    pub subresource: Text<'a>,
    /// The version of the object that the paths were written in.
    pub api_version: Text<'a>,
    /// When the manager last changed what it owns (RFC 3339).
    pub time: Text<'a>,
    /// The `fieldsV1` set, unread.
    pub fields: Option<Raw<'a>>,
}

/// `spec` of the release.
#[derive(Debug, Clone)]
pub struct Spec<'a> {
    /// The whole of it, to see whether an update changes it.
    pub raw: Raw<'a>,
    /// `chart`: the template from which helm-controller creates a HelmChart or, from Flux 2.10, an OCIRepository.
    pub chart: Field<Chart<'a>>,
    /// `chartRef`: the source that already holds the chart.
    pub chart_ref: Field<ChartRef<'a>>,
    /// Whether `chart` is stated, and is `null`.
    pub chart_is_null: bool,
    /// Whether `chartRef` is stated, and is `null`.
    pub chart_ref_is_null: bool,
}

/// `spec.chart`.
#[derive(Debug, Clone)]
pub struct Chart<'a> {
    /// The whole of it, to name what is set in it.
    pub raw: Raw<'a>,
    /// `kind`, from Flux 2.10: the kind of object that the template creates. Absent means `HelmChart`.
    pub kind: Text<'a>,
    /// Whether `kind` is stated, and is `null`.
    pub kind_is_null: bool,
    /// The first of its fields that no known Flux has, if there is one.
    pub other: Option<Cow<'a, str>>,
    /// `spec.chart.spec`.
    pub spec: Field<ChartSpec<'a>>,
}

/// `spec.chart.spec`.
#[derive(Debug, Clone, Default)]
pub struct ChartSpec<'a> {
    /// The fields that are stated, those that are `null` included.
    pub stated: ChartFields<'a>,
    /// Those of them that are `null`.
    pub nulls: ChartFields<'a>,
    /// `chart`: name or path of the chart.
    pub chart: Text<'a>,
    /// `sourceRef`.
    pub source_ref: Field<SourceRef<'a>>,
    /// Whether `valuesFiles` or the older `valuesFile` names any file.
    pub values_files: bool,
    /// `version`: a semver range.
    pub version: Text<'a>,
    /// `reconcileStrategy`: `ChartVersion` or `Revision`.
    pub reconcile_strategy: Text<'a>,
    /// `url`, from Flux 2.10: where the OCIRepository pulls the chart from.
    pub url: Text<'a>,
}

/// `spec.chart.spec.sourceRef`.
#[derive(Debug, Clone, Default)]
pub struct SourceRef<'a> {
    /// `apiVersion`; helm-controller does not read it.
    pub api_version: Text<'a>,
    /// `kind`.
    pub kind: Text<'a>,
    /// `name`.
    pub name: Text<'a>,
    /// `namespace`; absent means that of the release.
    pub namespace: Text<'a>,
}

/// `spec.chartRef`.
#[derive(Debug, Clone, Default)]
pub struct ChartRef<'a> {
    /// `apiVersion`; helm-controller does not read it, the kind decides.
    pub api_version: Text<'a>,
    /// `kind`.
    pub kind: Text<'a>,
    /// `name`.
    pub name: Text<'a>,
    /// `namespace`; absent means that of the release.
    pub namespace: Text<'a>,
    /// Whether `apiVersion` is stated, and is `null`.
    pub api_version_is_null: bool,
    /// Whether `namespace` is stated, and is `null`.
    pub namespace_is_null: bool,
}

// === impl HelmRelease ===

impl<'a> HelmRelease<'a> {
    /// Reads the next value as a HelmRelease. `null`, as in the `oldObject` of a CREATE, is absent.
    pub fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |release: &mut Self, key, reader| {
            match key {
                "apiVersion" => release.api_version = Text::read_text(reader)?,
                "kind" => release.kind = Text::read_text(reader)?,
                "metadata" => release.metadata = Metadata::read(reader)?,
                "spec" => release.spec = Spec::read(reader)?,
                "status" => release.status = Status::read(reader)?,
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }

    /// `metadata.name`, or nothing where the server is still to make one up.
    pub fn name(&self) -> Option<&str> {
        self.metadata.set().and_then(|metadata| metadata.name.text())
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> Option<&str> {
        self.metadata.set().and_then(|metadata| metadata.namespace.filled())
    }

    /// `metadata.uid`, which an object has once it is stored.
    pub fn uid(&self) -> Option<&str> {
        self.metadata.set().and_then(|metadata| metadata.uid.filled())
    }

    /// Whether the object only waits for its finalizers.
    pub fn is_deleting(&self) -> bool {
        self.metadata.set().is_some_and(|metadata| metadata.deleting)
    }

    /// `spec.chart`.
    pub fn chart(&self) -> &Field<Chart<'a>> {
        self.spec.set().map_or(&Field::Absent, |spec| &spec.chart)
    }

    /// `spec.chartRef`.
    pub fn chart_ref(&self) -> &Field<ChartRef<'a>> {
        self.spec.set().map_or(&Field::Absent, |spec| &spec.chart_ref)
    }

    /// The source that `status.helmChart` names.
    ///
    /// helm-controller writes `<namespace>/<name>` for a HelmChart and, from 1.7 (Flux 2.10), `<kind>/<namespace>/<name>` for any
    /// other kind. It deletes exactly this source when `spec.chart` no longer generates it.
    pub fn generated_source(&self) -> Option<GeneratedSource<'_>> {
        let text = self.status.set()?.helm_chart.filled()?;
        let mut parts = text.rsplitn(3, '/');
        let (name, namespace) = (parts.next()?, parts.next()?);
        Some(GeneratedSource { kind: parts.next().unwrap_or("HelmChart"), namespace, name })
    }

    /// The value of one annotation.
    pub fn annotation(&self, key: &str) -> Text<'a> {
        self.metadata.set().map_or(Field::Absent, |metadata| value_of(&metadata.annotations, key))
    }

    /// The value of one label.
    pub fn label(&self, key: &str) -> Text<'a> {
        self.metadata.set().map_or(Field::Absent, |metadata| value_of(&metadata.labels, key))
    }

    /// The first [`MAX_MANAGERS`] entries of `metadata.managedFields`; none where there are none, or they are no list.
    pub fn managed_fields(&self) -> &[ManagedFields<'a>] {
        let entries = self.metadata.set().and_then(|metadata| metadata.managed_fields.set());
        entries.map_or(&[], Vec::as_slice)
    }
}

// === impl Status ===

impl<'a> Status<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |status: &mut Self, key, reader| {
            match key {
                "helmChart" => status.helm_chart = Text::read_text(reader)?,
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }
}

// === impl Metadata ===

impl<'a> Metadata<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |metadata: &mut Self, key, reader| {
            match key {
                "name" => metadata.name = Text::read_text(reader)?,
                "namespace" => metadata.namespace = Text::read_text(reader)?,
                "uid" => metadata.uid = Text::read_text(reader)?,
                "deletionTimestamp" => metadata.deleting = reader.skip()?.kind() != Kind::Null,
                "annotations" => metadata.annotations = Field::read(reader, Kind::Object, Reader::skip)?,
                "labels" => metadata.labels = Field::read(reader, Kind::Object, Reader::skip)?,
                "managedFields" => {
                    metadata.managed_fields = Field::read(reader, Kind::Array, ManagedFields::read_all)?;
                }
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }
}

/// The value of a key. One that cannot be read as a string is of the wrong type; the API server refuses those itself.
fn value_of<'a>(pairs: &Field<Raw<'a>>, key: &str) -> Text<'a> {
    pairs.set().and_then(|all| all.member(key)).map_or(Field::Absent, |raw| {
        Text::read_text(&mut raw.reader()).unwrap_or(Field::WrongType(raw.kind()))
    })
}

// === impl ManagedFields ===

impl<'a> ManagedFields<'a> {
    /// Whether its manager uses server-side apply; else it replaces or patches the object.
    pub fn is_apply(&self) -> bool {
        self.operation.text() == Some("Apply")
    }

    fn read_all(reader: &mut Reader<'a>) -> Result<Vec<Self>, Error> {
        let mut entries = Vec::new();
        reader.array(|reader| {
            if entries.len() == MAX_MANAGERS {
                return reader.skip().map(|_| ());
            }
            if let Field::Set(entry) = Self::read(reader)? {
                entries.push(entry);
            }
            Ok::<_, Error>(())
        })?;
        Ok(entries)
    }

    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |entry: &mut Self, key, reader| {
            match key {
                "manager" => entry.manager = Text::read_text(reader)?,
                "operation" => entry.operation = Text::read_text(reader)?,
                "subresource" => entry.subresource = Text::read_text(reader)?,
                "apiVersion" => entry.api_version = Text::read_text(reader)?,
                "time" => entry.time = Text::read_text(reader)?,
                "fieldsV1" => entry.fields = Some(reader.skip()?),
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }
}

// === impl Spec ===

impl<'a> Spec<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read(reader, Kind::Object, |reader| {
            let (mut chart, mut chart_ref) = (Field::Absent, Field::Absent);
            let (mut chart_is_null, mut chart_ref_is_null) = (false, false);
            let raw = reader.spanned(|reader| {
                reader.object(|key, reader| {
                    match &*key {
                        "chart" => {
                            chart = Chart::read(reader)?;
                            chart_is_null = chart.is_absent();
                        }
                        "chartRef" => {
                            chart_ref = ChartRef::read(reader)?;
                            chart_ref_is_null = chart_ref.is_absent();
                        }
                        _ => _ = reader.skip()?,
                    }
                    Ok::<_, Error>(())
                })
            })?;
            Ok(Self { raw, chart, chart_ref, chart_is_null, chart_ref_is_null })
        })
    }
}

// === impl Chart ===

impl<'a> Chart<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read(reader, Kind::Object, |reader| {
            let (mut kind, mut kind_is_null, mut other, mut spec) =
                (Field::Absent, false, None, Field::Absent);
            let raw = reader.spanned(|reader| {
                reader.object(|key, reader| {
                    match &*key {
                        "spec" => spec = ChartSpec::read(reader)?,
                        "kind" => {
                            kind = Text::read_text(reader)?;
                            kind_is_null = kind.is_absent();
                        }
                        "metadata" => _ = reader.skip()?,
                        _ => {
                            reader.skip()?;
                            other.get_or_insert(key);
                        }
                    }
                    Ok::<_, Error>(())
                })
            })?;
            Ok(Self { raw, kind, kind_is_null, other, spec })
        })
    }
}

impl<'a> ChartSpec<'a> {
    /// Whether a field is there, and not `null`.
    pub fn has(&self, field: ChartField) -> bool {
        self.stated.has(field) && !self.nulls.has(field)
    }

    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read(reader, Kind::Object, |reader| {
            let mut spec = Self::default();
            reader.object(|key, reader| spec.read_field(key, reader))?;
            Ok(spec)
        })
    }

    fn read_field(&mut self, name: Cow<'a, str>, reader: &mut Reader<'a>) -> Result<(), Error> {
        if reader.kind()? == Kind::Null {
            self.nulls.note(name.clone());
        }
        match self.stated.note(name) {
            Some(ChartField::Chart) => self.chart = Text::read_text(reader)?,
            Some(ChartField::SourceRef) => self.source_ref = SourceRef::read(reader)?,
            Some(ChartField::Version) => self.version = Text::read_text(reader)?,
            Some(ChartField::ReconcileStrategy) => self.reconcile_strategy = Text::read_text(reader)?,
            Some(ChartField::Url) => self.url = Text::read_text(reader)?,
            Some(ChartField::ValuesFile) => {
                self.values_files |= Text::read_text(reader)?.filled().is_some();
            }
            Some(ChartField::ValuesFiles) => {
                self.values_files |= Field::read(reader, Kind::Array, count)?.set() > Some(&0);
            }
            _ => _ = reader.skip()?,
        }
        Ok(())
    }
}

fn count(reader: &mut Reader<'_>) -> Result<usize, Error> {
    let mut elements = 0;
    reader.array(|reader| {
        elements += 1;
        reader.skip().map(|_| ())
    })?;
    Ok(elements)
}

impl<'a> SourceRef<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |source: &mut Self, key, reader| {
            match key {
                "apiVersion" => source.api_version = Text::read_text(reader)?,
                "kind" => source.kind = Text::read_text(reader)?,
                "name" => source.name = Text::read_text(reader)?,
                "namespace" => source.namespace = Text::read_text(reader)?,
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }
}

impl<'a> ChartRef<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Field<Self>, Error> {
        Field::read_members(reader, |chart_ref: &mut Self, key, reader| {
            match key {
                "apiVersion" => {
                    chart_ref.api_version = Text::read_text(reader)?;
                    chart_ref.api_version_is_null = chart_ref.api_version.is_absent();
                }
                "kind" => chart_ref.kind = Text::read_text(reader)?,
                "name" => chart_ref.name = Text::read_text(reader)?,
                "namespace" => {
                    chart_ref.namespace = Text::read_text(reader)?;
                    chart_ref.namespace_is_null = chart_ref.namespace.is_absent();
                }
                _ => _ = reader.skip()?,
            }
            Ok(())
        })
    }
}
