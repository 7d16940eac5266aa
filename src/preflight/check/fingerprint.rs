//! What tells a finding from all others, and stays the same while the lines around it move.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::preflight::files::Files;
use crate::report::{Diagnostic, Excerpts as _, fingerprint};

/// Gives each finding its fingerprint: of the rule, the file, the object and the field, and of how many are alike in all of that.
///
/// Neither place nor wording is part of it: lines move, and texts are improved.
pub(super) fn give(found: &mut [Diagnostic], files: &Files<'_>) {
    let mut alike: HashMap<[&str; 5], usize> = HashMap::new();
    let number = |diagnostic| {
        let count = alike.entry(identity(diagnostic, files)).or_default();
        *count += 1;
        *count - 1
    };
    let numbers: Vec<_> = found.iter().map(number).collect();
    found.par_iter_mut().zip(numbers).for_each(|(diagnostic, number)| {
        let identity = identity(diagnostic, files).join("\0");
        diagnostic.fingerprint = fingerprint(&format!("{identity}\0{number}"));
    });
}

fn identity<'d>(diagnostic: &'d Diagnostic, files: &'d Files<'_>) -> [&'d str; 5] {
    let path = diagnostic.location.map_or("", |location| files.path(location.span.file));
    let object = diagnostic.object.as_ref();
    let (kind, name) = object.map(|object| (&*object.kind, &*object.name)).unwrap_or_default();
    [diagnostic.rule, path, kind, name, &diagnostic.field]
}
