//! The schemas by kind and version: those of a Flux minor, which are embedded, or those of CRDs.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::model::{Arena, Id, Schema};
use crate::policy::Flux;

/// The schemas of HelmRelease and the sources in Flux 2.0 to 2.10 in 33 KB. `tests/structural` makes it from the CRDs: without descriptions,
/// with an open `status`, and with each part once.
const FLUX: &str = include_str!("flux.json");

static EMBEDDED: LazyLock<Embedded> = LazyLock::new(Embedded::read);

/// The schemas of kinds, each by version.
type Kinds = BTreeMap<String, BTreeMap<String, Id>>;

/// The schemas of every Flux minor.
#[derive(Debug)]
struct Embedded {
    arena: Arena,
    /// By minor.
    minors: BTreeMap<String, Kinds>,
}

/// The schemas that objects are validated by.
#[derive(Debug)]
pub struct Catalog {
    /// Those of a Flux minor.
    flux: &'static Kinds,
    arena: Arena,
    /// The kinds whose CRDs were given. They replace those of Flux.
    kinds: Kinds,
}

// === impl Embedded ===

impl Embedded {
    fn read() -> Self {
        let data: Value = serde_json::from_str(FLUX).expect("a test reads it");
        let mut arena = Arena::of_shared(data["shared"].as_array().expect("it is a list"));
        let roots = data["roots"].as_array().expect("it is a list");
        let roots: Vec<Id> = roots.iter().map(|root| arena.add_kind(root)).collect();
        let index = |id: &Value| id.as_u64().and_then(|id| usize::try_from(id).ok()).expect("it is an index");
        let map = |value: &Value| value.as_object().expect("it is a map").clone().into_iter();
        let versions =
            |versions: &Value| map(versions).map(|(version, id)| (version, roots[index(&id)])).collect();
        let kinds = |kinds: &Value| map(kinds).map(|(kind, of_kind)| (kind, versions(&of_kind))).collect();
        let minors = map(&data["minors"]).map(|(minor, of_minor)| (minor, kinds(&of_minor))).collect();
        Self { arena, minors }
    }

    fn of(&self, flux: Flux) -> &Kinds {
        self.minors.get(&flux.to_string()).expect("a test reads every minor")
    }
}

// === impl Catalog ===

impl Catalog {
    /// The schemas of a Flux minor.
    pub fn of_flux(flux: Flux) -> Self {
        Self { flux: EMBEDDED.of(flux), arena: Arena::default(), kinds: Kinds::new() }
    }

    /// The schemas of CRDs, and those of a Flux minor for the kinds that they do not define.
    pub fn of_crds<'c>(crds: impl IntoIterator<Item = &'c Value>, flux: Flux) -> Self {
        let mut catalog = Self::of_flux(flux);
        for crd in crds {
            let Some(kind) = crd["spec"]["names"]["kind"].as_str() else { continue };
            let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
            let served = versions.filter(|version| version["served"] == true);
            let schemas = served.filter_map(|version| {
                let mut schema = version["schema"]["openAPIV3Schema"].clone();
                // The API server resets it on every write of the rest.
                schema["properties"]["status"] = Value::Object(serde_json::Map::default());
                Some((version["name"].as_str()?.to_owned(), catalog.arena.add_kind(&schema)))
            });
            let schemas = schemas.collect();
            catalog.kinds.insert(kind.to_owned(), schemas);
        }
        catalog
    }

    /// The schema of a version of a kind, if it is served.
    pub fn schema(&self, kind: &str, version: &str) -> Option<Schema<'_>> {
        let (arena, versions) = match self.kinds.get(kind) {
            Some(versions) => (&self.arena, versions),
            None => (&EMBEDDED.arena, self.flux.get(kind)?),
        };
        Some(arena.schema(*versions.get(version)?))
    }

    /// The first and the last Flux minor in which a version of a kind declares a field.
    pub fn minors_with(kind: &str, pointer: &str) -> Option<(Flux, Flux)> {
        let declares = |flux: &Flux| {
            let mut ids = EMBEDDED.of(*flux).get(kind).into_iter().flat_map(BTreeMap::values);
            ids.any(|id| EMBEDDED.arena.schema(*id).declares(pointer))
        };
        let mut with = Flux::all().filter(declares);
        let first = with.next()?;
        Some((first, with.next_back().unwrap_or(first)))
    }
}
