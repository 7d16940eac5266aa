//! What a `spec.chartRef` means, whichever way it is written.

use super::CHART_REF_KINDS;
use crate::helmrelease::{ChartRef, Field};

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

/// The `spec.chartRef` after every fix of the rules, whether each was applied or not.
///
/// Without `apiVersion`: helm-controller does not read it, and the fix sets one that is served.
#[derive(Debug, PartialEq, Eq)]
struct Fixed<'a> {
    kind: Option<&'a str>,
    name: Option<&'a str>,
    namespace: Option<&'a str>,
}

/// Whether two references differ only in the details that a fix of the rules changes: how the kind is spelled, whether a
/// shorthand is split into its fields, whether a namespace that is the release's `own` is written out, and which `apiVersion`
/// is set.
pub fn differ_by_fixes_alone(one: &ChartRef<'_>, other: &ChartRef<'_>, own: Option<&str>) -> bool {
    // Of another type, nothing is known of what it was changed to.
    let is_known = |it: &ChartRef<'_>| {
        let ChartRef { api_version, kind, name, namespace, .. } = it;
        ![api_version, kind, name, namespace].iter().any(|text| matches!(text, Field::WrongType(_)))
    };
    is_known(one) && is_known(other) && Fixed::of(one, own) == Fixed::of(other, own)
}

// === impl Fixed ===

impl<'a> Fixed<'a> {
    fn of(chart_ref: &'a ChartRef<'a>, own: Option<&'a str>) -> Self {
        let shorthand = chart_ref.name.text().and_then(Shorthand::read).filter(|it| it.fits(chart_ref));
        let kind = chart_ref.kind.filled().or(shorthand.map(|it| it.kind));
        let name = shorthand.map(|it| it.name).or(chart_ref.name.filled());
        let namespace = chart_ref.namespace.filled().or(shorthand.and_then(|it| it.namespace)).or(own);
        Self { kind: kind.map(|kind| canonical_kind(kind).unwrap_or(kind)), name, namespace }
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

    /// Whether kind and namespace of the surrounding reference agree with it, or are absent.
    pub(super) fn fits(self, chart_ref: &ChartRef<'_>) -> bool {
        let same_kind = match &chart_ref.kind {
            Field::Absent => true,
            Field::WrongType(_) => false,
            Field::Set(kind) => kind.is_empty() || canonical_kind(kind) == Some(self.kind),
        };
        let same_namespace = match (&chart_ref.namespace, self.namespace) {
            (Field::Set(own), Some(other)) => own.is_empty() || own == other,
            (Field::WrongType(_), _) => false,
            _ => true,
        };
        same_kind && same_namespace
    }
}

/// The canonical spelling of a kind that some Flux allows in `spec.chartRef`, however its letters are cased.
pub(super) fn canonical_kind(kind: &str) -> Option<&'static str> {
    CHART_REF_KINDS.iter().copied().find(|known| known.eq_ignore_ascii_case(kind))
}

/// Whether a text is a name as most objects have it: an RFC 1123 subdomain.
pub fn is_subdomain(name: &str) -> bool {
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
    use crate::json::Kind;

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
    fn references_differ_by_a_fix_alone_however_they_are_written() {
        fn reference(fields: [&'static str; 3]) -> ChartRef<'static> {
            let text = |text: &'static str| if text == "-" { Field::Absent } else { Field::Set(text.into()) };
            let [kind, name, namespace] = fields.map(text);
            ChartRef { kind, name, namespace, ..ChartRef::default() }
        }
        let differ_by_fixes_alone =
            |one, other| differ_by_fixes_alone(&reference(one), &reference(other), Some("apps"));
        let whole = ["OCIRepository", "podinfo", "apps"];
        for same in [
            ["OCIRepository", "podinfo", "-"],
            ["ocirepository", "podinfo", ""],
            ["-", "OCIRepository/podinfo", "-"],
            ["", "ocirepository/podinfo.apps", "-"],
            ["OciRepository", "OCIRepository/podinfo.apps", "apps"],
        ] {
            assert!(differ_by_fixes_alone(whole, same), "{same:?}");
        }
        for other in [
            ["HelmChart", "podinfo", "apps"],
            ["-", "podinfo", "apps"],
            ["OCIRepository", "podinfo", "other"],
            ["OCIRepository", "other", "apps"],
            ["OCIRepository", "-", "apps"],
            // Only the author knows which of the two is meant.
            ["HelmChart", "OCIRepository/podinfo.apps", "apps"],
            ["OCIRepository", "OCIRepository/podinfo.other", "apps"],
        ] {
            assert!(!differ_by_fixes_alone(whole, other), "{other:?}");
        }
        assert!(!differ_by_fixes_alone(["Bucket", "a", "-"], ["bucket", "a", "-"]), "no kind of a chartRef");
        let odd = ChartRef { namespace: Field::WrongType(Kind::Number), ..reference(whole) };
        assert!(!super::differ_by_fixes_alone(&odd, &odd, None));
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
