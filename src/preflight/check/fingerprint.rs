//! What tells a finding from all others, and stays the same while the lines around it move.

use std::collections::HashMap;

use crate::preflight::files::Files;
use crate::report::{Diagnostic, Excerpts as _, fingerprint};

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
        diagnostic.fingerprint = fingerprint(&format!("{identity}\0{number}"));
        *number += 1;
    }
}
