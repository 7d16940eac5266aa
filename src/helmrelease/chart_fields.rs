//! The fields of `spec.chart.spec`: which of them an object states, and which of them a schema has.

use std::borrow::Cow;

/// Maximum number of kept names that are no [`ChartField`]: more of them are no mistake of an author, and a body full of
/// names must not cost more memory than its length.
const MOST_OTHERS: usize = 16;

/// A field of `spec.chart.spec` in the CRD of some Flux from 2.0 to 2.10 (helm-controller v0.35.0 to v1.7.1), the usual
/// ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after its field")]
pub enum ChartField {
    Chart,
    SourceRef,
    Version,
    Interval,
    ValuesFiles,
    ReconcileStrategy,
    Verify,
    IgnoreMissingValuesFiles,
    ValuesFile,
    Url,
    Ref,
    LayerSelector,
    Provider,
    SecretRef,
    ServiceAccountName,
    CertSecretRef,
    ProxySecretRef,
    Ignore,
    Insecure,
    Timeout,
    Suspend,
}

/// A set of fields of `spec.chart.spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChartFields<'a> {
    known: u32,
    others: Vec<Cow<'a, str>>,
}

// === impl ChartField ===

impl ChartField {
    const ALL: [(Self, &'static str); 21] = [
        (Self::Chart, "chart"),
        (Self::SourceRef, "sourceRef"),
        (Self::Version, "version"),
        (Self::Interval, "interval"),
        (Self::ValuesFiles, "valuesFiles"),
        (Self::ReconcileStrategy, "reconcileStrategy"),
        (Self::Verify, "verify"),
        (Self::IgnoreMissingValuesFiles, "ignoreMissingValuesFiles"),
        (Self::ValuesFile, "valuesFile"),
        (Self::Url, "url"),
        (Self::Ref, "ref"),
        (Self::LayerSelector, "layerSelector"),
        (Self::Provider, "provider"),
        (Self::SecretRef, "secretRef"),
        (Self::ServiceAccountName, "serviceAccountName"),
        (Self::CertSecretRef, "certSecretRef"),
        (Self::ProxySecretRef, "proxySecretRef"),
        (Self::Ignore, "ignore"),
        (Self::Insecure, "insecure"),
        (Self::Timeout, "timeout"),
        (Self::Suspend, "suspend"),
    ];

    /// The field of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, it)| *it == name).map(|(field, _)| *field)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

// === impl ChartFields ===

impl<'a> ChartFields<'a> {
    /// The known fields of all these lists.
    pub const fn of(lists: &[&[ChartField]]) -> Self {
        let mut known = 0;
        let mut list = 0;
        // A constant function can have no other kind of loop.
        while list < lists.len() {
            let mut index = 0;
            while index < lists[list].len() {
                known |= lists[list][index].bit();
                index += 1;
            }
            list += 1;
        }
        Self { known, others: Vec::new() }
    }

    /// Whether a field is in it.
    pub const fn has(&self, field: ChartField) -> bool {
        self.known & field.bit() != 0
    }

    /// Adds a field that an object states; returns it where it is a known one.
    pub(super) fn note(&mut self, name: Cow<'a, str>) -> Option<ChartField> {
        let field = ChartField::named(&name);
        match field {
            Some(field) => self.known |= field.bit(),
            None if self.others.len() < MOST_OTHERS => self.others.push(name),
            None => {}
        }
        field
    }

    /// The names of those that are not in another set, the known ones first.
    pub fn not_in<'s>(&'s self, allowed: &'s ChartFields<'_>) -> impl Iterator<Item = &'s str> {
        let unknown = self.known & !allowed.known;
        let known = ChartField::ALL.iter().filter(move |(field, _)| unknown & field.bit() != 0);
        let others = self.others.iter().filter(|name| !allowed.others.contains(name));
        known.map(|(_, name)| *name).chain(others.map(|name| &**name))
    }
}

impl<'a> FromIterator<Cow<'a, str>> for ChartFields<'a> {
    /// The set of all these names, such as those of a schema.
    fn from_iter<I: IntoIterator<Item = Cow<'a, str>>>(names: I) -> Self {
        let mut set = Self::default();
        for name in names {
            match ChartField::named(&name) {
                Some(field) => set.known |= field.bit(),
                None => set.others.push(name),
            }
        }
        set.others.sort();
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_and_has_a_place_of_its_own() {
        for (index, (field, name)) in ChartField::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, index);
            assert_eq!((ChartField::named(name), field.as_str()), (Some(field), name));
        }
    }

    #[test]
    fn names_what_another_set_lacks() {
        let stated: ChartFields<'_> = ["url", "chart", "foo", "bar"].map(Cow::Borrowed).into_iter().collect();
        let schema: ChartFields<'_> = ["chart", "foo"].map(Cow::Borrowed).into_iter().collect();
        assert_eq!(stated.not_in(&schema).collect::<Vec<_>>(), ["url", "bar"]);
        assert_eq!(schema.not_in(&stated).count(), 0);
    }

    #[test]
    fn keeps_few_names_that_nobody_knows() {
        let mut stated = ChartFields::default();
        for index in 0..1_000 {
            assert_eq!(stated.note(format!("field-{index}").into()), None);
        }
        assert_eq!(stated.not_in(&ChartFields::default()).count(), MOST_OTHERS);
    }
}
