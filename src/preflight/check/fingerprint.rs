//! What tells a finding from all others, and stays the same while the lines around it move.

use std::collections::HashMap;

use crate::preflight::files::Files;
use crate::report::{Diagnostic, Excerpts as _};

/// Gives each finding its fingerprint: of the rule, the file, the object and the field, and of how many are alike in all of that.
///
/// Neither place nor wording is part of it: lines move, and texts are improved.
pub(super) fn give(found: &mut [Diagnostic], files: &Files<'_>) {
    let mut alike: HashMap<String, usize> = HashMap::new();
    for diagnostic in found {
        let path = diagnostic.location.map_or("", |location| files.path(location.span.file));
        let object =
            diagnostic.object.as_ref().map(|object| (&*object.kind, &*object.name)).unwrap_or_default();
        let identity = [diagnostic.rule, path, object.0, object.1, &diagnostic.field].join("\0");
        let number = alike.entry(identity.clone()).or_default();
        diagnostic.fingerprint = format!("{:016x}", hash(&format!("{identity}\0{number}")));
        *number += 1;
    }
}

/// FNV-1a of 64 bits: the same on every machine and in every version, which the hashers of the standard library are not.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(
            (hash(""), hash("a"), hash("foobar")),
            (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8)
        );
    }
}
