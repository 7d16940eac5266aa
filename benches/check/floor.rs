//! The least that can be done with the same files, with the same walker, parser and threads.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use granit_parser::{Options, Parser};
use ignore::{WalkBuilder, WalkState};
use memchr::memmem;

/// How far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Each file is read and searched for a word.
    Search,
    /// The documents of each file that names a HelmRelease or a kustomization become events.
    Events,
}

/// Does it, and says what it saw.
pub(crate) fn run(folder: &Path, depth: Depth) {
    let (files, hits, events) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    WalkBuilder::new(folder).build_parallel().run(|| {
        Box::new(|entry| {
            let Ok(entry) = entry else { return WalkState::Continue };
            let path = entry.path();
            let is_manifest =
                path.extension().is_some_and(|it| ["yaml", "yml", "json"].iter().any(|known| it == *known));
            if !is_manifest || entry.file_type().is_some_and(|kind| kind.is_dir()) {
                return WalkState::Continue;
            }
            let Ok(bytes) = fs::read(path) else { return WalkState::Continue };
            files.fetch_add(1, Ordering::Relaxed);
            let names = |word: &str| memmem::find(&bytes, word.as_bytes()).is_some();
            let is_kustomization = path.file_stem().is_some_and(|stem| stem == "kustomization");
            if !(names("HelmRelease") || is_kustomization || names("kustomiz")) {
                return WalkState::Continue;
            }
            hits.fetch_add(1, Ordering::Relaxed);
            if depth == Depth::Events
                && let Ok(text) = std::str::from_utf8(&bytes)
            {
                let mut options = Options::default();
                options.set_emit_comments(false);
                let all = Parser::new_from_str_with_options(text, options);
                events.fetch_add(all.map_while(Result::ok).count(), Ordering::Relaxed);
            }
            WalkState::Continue
        })
    });
    println!("{} files, {} hits, {} events", files.into_inner(), hits.into_inner(), events.into_inner());
}
