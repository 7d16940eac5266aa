//! JSON Pointers (RFC 6901) as text: `/metadata/annotations/fluxcd.io~1version`.

use std::borrow::Cow;

/// A key as a pointer holds it.
pub fn escaped(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { key.replace('~', "~0").replace('/', "~1").into() } else { key.into() }
}

/// The keys and indexes of a pointer.
pub fn segments(pointer: &str) -> impl Iterator<Item = Cow<'_, str>> {
    pointer.split('/').skip(1).map(unescaped)
}

/// Whether a pointer names the same value as another one, or a value in it.
pub fn is_within(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The key that a segment of a pointer names.
pub fn unescaped(segment: &str) -> Cow<'_, str> {
    if segment.contains('~') { segment.replace("~1", "/").replace("~0", "~").into() } else { segment.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_as_it_was() {
        for key in ["a", "fluxcd.io/version", "a~b", "~1", ""] {
            assert_eq!(segments(&format!("/{}", escaped(key))).collect::<Vec<_>>(), [key]);
        }
        assert_eq!(segments("").count(), 0);
    }

    #[test]
    fn a_longer_name_is_not_within_a_shorter_one() {
        assert!(is_within("/spec/chart", "/spec/chart") && is_within("/spec/chart", "/spec/chart/spec"));
        assert!(!is_within("/spec/chart", "/spec/chartRef") && !is_within("/spec/chart", "/spec"));
    }
}
