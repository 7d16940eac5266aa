//! What tells a finding from all others, and stays the same while the lines around it move.

use std::fmt::Write as _;

use foldhash::HashMap;
use rayon::prelude::*;

use crate::preflight::files::Files;
use crate::report::{Diagnostic, Excerpts as _, fingerprint};

/// Gives each finding its fingerprint: of the rule, the file, the object and the field, and of how many are alike in all of that.
///
/// Neither place nor wording is part of it: lines move, and texts are improved. The findings are ordered by file.
pub(super) fn give(found: &mut [Diagnostic], files: &Files<'_>) {
    let by_file = found.par_chunk_by_mut(|one, other| path_of(one, files) == path_of(other, files));
    by_file.for_each(|found| {
        let mut alike: HashMap<String, usize> = HashMap::default();
        for diagnostic in found {
            let mut identity = identity(diagnostic, files).join("\0");
            let count = alike.entry(identity.clone()).or_default();
            write!(identity, "\0{count}").expect("memory can be written");
            diagnostic.fingerprint = fingerprint(&identity);
            *count += 1;
        }
    });
}

fn identity<'d>(diagnostic: &'d Diagnostic, files: &'d Files<'_>) -> [&'d str; 5] {
    let path = path_of(diagnostic, files);
    let object = diagnostic.object.as_ref();
    let (kind, name) = object.map(|object| (&*object.kind, &*object.name)).unwrap_or_default();
    [diagnostic.rule, path, kind, name, &diagnostic.field]
}

fn path_of<'f>(diagnostic: &Diagnostic, files: &'f Files<'_>) -> &'f str {
    diagnostic.location.map_or("", |location| files.path(location.span.file()))
}
