//! What a `spec.chartRef` means, whichever way it is written.

use super::CHART_REF_KINDS;
use crate::helmrelease::ChartRef;

/// The longest name of an object (RFC 1123 subdomain), as the CRD has it.
pub const MAX_NAME: usize = 253;
/// The longest name of a namespace (RFC 1123 label), as the CRD has it.
pub const MAX_NAMESPACE: usize = 63;

/// The source that a `spec.chartRef` points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The kind in its canonical spelling, if it is a known one.
    pub kind: Option<&'static str>,
    /// The name.
    pub name: Option<&'a str>,
    /// The namespace, if one is named.
    pub namespace: Option<&'a str>,
    /// What `name` says if it is written as `Kind/name.namespace`.
    pub shorthand: Option<Shorthand<'a>>,
}

/// `Kind/name` or `Kind/name.namespace`, as `flux create helmrelease --chart-ref` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shorthand<'a> {
    /// The kind in its canonical spelling.
    pub kind: &'static str,
    /// The name.
    pub name: &'a str,
    /// The text behind the last dot, if there is one.
    pub namespace: Option<&'a str>,
}

// === impl Target ===

impl<'a> Target<'a> {
    /// Reads what a reference means. Where its fields contradict a shorthand, the fields count.
    pub(super) fn of(chart_ref: &'a ChartRef<'a>) -> Self {
        let shorthand = chart_ref.name.text().and_then(Shorthand::read);
        let kind = match chart_ref.kind.filled() {
            Some(kind) => canonical_kind(kind),
            None => chart_ref.kind.is_absent().then_some(shorthand).flatten().map(|shorthand| shorthand.kind),
        };
        let name = shorthand.map_or_else(|| chart_ref.name.filled(), |shorthand| Some(shorthand.name));
        let of_shorthand = shorthand.and_then(|shorthand| shorthand.namespace);
        Self { kind, name, namespace: chart_ref.namespace.filled().or(of_shorthand), shorthand }
    }
}

// === impl Shorthand ===

impl<'a> Shorthand<'a> {
    fn read(name: &'a str) -> Option<Self> {
        let (kind, rest) = name.split_once('/')?;
        let kind = canonical_kind(kind)?;
        let (name, namespace) = match rest.rsplit_once('.') {
            Some((name, namespace)) => (name, Some(namespace)),
            None => (rest, None),
        };
        let valid = is_subdomain(name) && namespace.is_none_or(is_label);
        valid.then_some(Self { kind, name, namespace })
    }
}

/// The canonical spelling of a kind that some Flux allows in `spec.chartRef`, however its letters are cased.
pub(super) fn canonical_kind(kind: &str) -> Option<&'static str> {
    CHART_REF_KINDS.iter().copied().find(|known| known.eq_ignore_ascii_case(kind))
}

/// Whether a text is a name as most objects have it: an RFC 1123 subdomain.
pub(super) fn is_subdomain(name: &str) -> bool {
    name.len() <= MAX_NAME && name.split('.').all(is_label_of_any_length)
}

/// Whether a text is a name as namespaces have it: an RFC 1123 label.
pub fn is_label(name: &str) -> bool {
    name.len() <= MAX_NAMESPACE && is_label_of_any_length(name)
}

fn is_label_of_any_length(label: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = label.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_shorthand_as_flux_create_does() {
        let read = |name| Shorthand::read(name).map(|it| (it.kind, it.name, it.namespace));
        assert_eq!(read("OCIRepository/podinfo"), Some(("OCIRepository", "podinfo", None)));
        assert_eq!(read("ocirepository/podinfo.apps"), Some(("OCIRepository", "podinfo", Some("apps"))));
        assert_eq!(read("HelmChart/a.b.apps"), Some(("HelmChart", "a.b", Some("apps"))));
        for nonsense in
            ["podinfo", "Bucket/podinfo", "OCIRepository/", "HelmChart/.apps", "HelmChart/a.", "HelmChart/A"]
        {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn tells_names_from_what_is_none() {
        for name in ["a", "a-b.c", "0", &"a".repeat(253)] {
            assert!(is_subdomain(name), "{name}");
        }
        for name in ["", "-a", "a-", "a..b", ".a", "A", "a_b", "a/b", "ä", &"a".repeat(254)] {
            assert!(!is_subdomain(name), "{name}");
        }
        assert!(is_label(&"a".repeat(63)) && !is_label(&"a".repeat(64)) && !is_label("a.b"));
    }
}
