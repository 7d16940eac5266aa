//! Decides which files of folders count only where something names or lists them: hidden ones, and those that no artifact of Flux holds.

use std::path::Path;

use rayon::iter::Either;
use rayon::prelude::*;

use super::{Collected, Source, Unreadable, key_of, read, relevance, weighed};
use crate::render::{
    Counts, MAX_MATCHES, Pattern, folder_of, is_left_out_by_default, last_match, patterns, with_folders_above,
};

/// The name of the files with source-controller's patterns.
pub(super) const IGNORE_FILE: &str = ".sourceignore";

/// Reads the hidden files where kustomize-controller may list them, and sets aside the files that count only where something names or lists
/// them. A file that the user names counts.
pub(super) fn set(collected: &mut Collected, is_given: &dyn Fn(&str) -> bool) {
    let can_lead = |source: &Source| source.counts == Counts::Always && relevance::can_lead(&source.text);
    collected.has_flux = collected.sources.iter().any(can_lead);
    let ignores = Ignores::of(collected);
    let hidden = std::mem::take(&mut collected.hidden);
    if collected.has_flux {
        read_hidden(collected, hidden);
    }
    collected.links.sort();
    collected.links.dedup();
    let (links, has_flux) = (&collected.links, collected.has_flux);
    let is_left_out = |key: &str| ignores.leave_out(key, has_flux) || has_flux && is_linked(links, key);
    for source in &mut collected.sources {
        source.is_aside |= is_left_out(source.key()) && !is_given(source.key());
        if source.is_aside && source.counts == Counts::Always {
            source.counts = Counts::Named;
        }
    }
    // Their content reaches no cluster.
    collected.unreadable.retain(|file| !ignores.leave_out(&file.key, has_flux) || is_given(&file.key));
    collected.ignore_files = ignores.files;
    collected.above = ignores.above;
}

fn read_hidden(collected: &mut Collected, hidden: Vec<(String, String)>) {
    let top = &collected.top;
    let read = hidden.into_par_iter().map(|(key, path)| match read(&top.join(&key)) {
        Ok(text) => {
            let (counts, text) = weighed(&key, text);
            Either::Left(Source { is_aside: true, ..Source::of(&key, path, counts, text) })
        }
        Err(why) => Either::Right(Unreadable { path, why, key }),
    });
    let (read, unreadable): (Vec<_>, Vec<_>) = read.partition_map(|it| it);
    collected.sources.extend(read);
    collected.unreadable_hidden = unreadable;
}

/// Whether a path is one of some sorted links, or below one.
fn is_linked(links: &[String], key: &str) -> bool {
    let is_link = |path: &str| links.binary_search_by(|link| link.as_str().cmp(path)).is_ok();
    !links.is_empty() && with_folders_above(key).any(is_link)
}

/// The `.sourceignore` files of a repository.
struct Ignores {
    /// The path of the folder that all keys are below, from the top of its repository.
    above: String,
    files: Vec<(String, String)>,
    patterns: Vec<Pattern>,
    /// Whether there are too many files and patterns to try them; then no artifact is rendered, which is an error there.
    is_too_much: bool,
}

// === impl Ignores ===

impl Ignores {
    /// Those that were found, and those in the folders above: up to the top of the repository, or where there is no `.git`, all.
    fn of(collected: &mut Collected) -> Self {
        let above = || collected.top.ancestors();
        let repository = above().find(|folder| folder.join(".git").exists());
        let highest = || above().filter(|folder| folder.join(IGNORE_FILE).is_file()).last();
        let top = repository.or_else(highest).unwrap_or(&collected.top);
        let above = key_of(&collected.top, top);
        let mut files: Vec<(String, String)> = Vec::new();
        for folder in collected.top.ancestors().skip(1).take_while(|folder| folder.starts_with(top)) {
            let text = read(&folder.join(IGNORE_FILE)).ok();
            files.extend(text.map(|text| (key_of(folder, top), text)));
        }
        for (key, text) in std::mem::take(&mut collected.ignore_files) {
            let folder = Path::new(&above).join(folder_of(&key));
            files.push((key_of(&folder, Path::new("")), text));
        }
        files.sort();
        let patterns =
            files.iter().flat_map(|(folder, text)| patterns(text, &parts(folder)).collect::<Vec<_>>());
        let patterns: Vec<_> = patterns.collect();
        let is_too_much = collected.sources.len().saturating_mul(patterns.len()) > MAX_MATCHES;
        Self { above, files, patterns, is_too_much }
    }

    /// Whether source-controller leaves out a file, as far as that is told in files; by default, where there is no pattern.
    fn leave_out(&self, key: &str, has_flux: bool) -> bool {
        if self.is_too_much {
            return false;
        }
        if self.patterns.is_empty() {
            return has_flux && is_left_out_by_default(key, false, true);
        }
        let mut path = parts(&self.above);
        path.extend(parts(key));
        last_match(&self.patterns, &path, false).is_some_and(|(is_left_out, _)| is_left_out)
    }
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}
