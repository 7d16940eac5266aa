//! Migrations that teams made: a release before and after, with its source and its kustomization, each as a small repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chartgate::policy::Flux;
use chartgate::report::Grade;
use serde_json::Value;

use super::{corpus, text, told};

/// The errors that are there after a migration, by pair and place.
///
/// - `017-volsync`: the commit leaves `dependsOn` twice in one map. `kustomize build` (5.8) of it: "mapping key "dependsOn" already defined".
const TRUE_ERRORS: [(&str, usize, &str); 1] = [("joryirving+home-ops/017-volsync", 27, "build-fails")];

/// What was found, by side, rule and grade.
type Counts = BTreeMap<(&'static str, &'static str, Grade), usize>;

#[test]
fn what_teams_migrated_to_has_no_error() {
    let Some(corpus) = corpus() else { return };
    let (mut counts, mut errors, mut old_sources) = (Counts::new(), Vec::new(), 0);
    let (begun, pairs) = (Instant::now(), pairs(&corpus));
    for (name, folder) in &pairs {
        let meta = fs::read_to_string(folder.join("meta.json")).expect("a pair is described");
        let meta: Value = serde_json::from_str(&meta).expect("the description is JSON");
        for side in ["before", "after"] {
            let scratch = tempfile::tempdir().expect("a temporary directory");
            let root = scratch.path().canonicalize().expect("it is there");
            build(&root, folder, &meta, side);
            let told = told(&root, Flux::NEWEST);
            for finding in told.findings {
                *counts.entry((side, finding.rule, finding.grade)).or_default() += 1;
                // A pair has one release of its folder.
                // Old sources are told apart from the releases by what is said of them.
                let is_of_source =
                    finding.rule == "deprecated-api-version" && !finding.what.starts_with("HelmRelease ");
                old_sources += usize::from(is_of_source && finding.grade == Grade::Error);
                if finding.grade == Grade::Error && finding.missing().is_none() && !is_of_source {
                    errors.push((name.clone(), side, finding.line, finding.rule));
                }
            }
            let is_refused = errors.iter().any(|(of, at, _, _)| (&**of, *at) == (name, side));
            assert!(told.summary.releases > 0 || is_refused, "{name} {side}: nothing was judged");
        }
    }
    println!("{} pairs in {:.1?}: {counts:?}; {old_sources} old sources", pairs.len(), begun.elapsed());
    let expected: Vec<_> =
        TRUE_ERRORS.iter().map(|&(name, line, rule)| (name.to_owned(), "after", line, rule)).collect();
    assert_eq!(errors, expected);
    assert_eq!(pairs.len(), 173);
}

/// The pairs by name.
fn pairs(corpus: &Path) -> BTreeMap<String, PathBuf> {
    let folders = |folder: PathBuf| {
        let entries = fs::read_dir(folder).expect("the folder is readable");
        entries.map(|entry| entry.expect("it is readable").path()).filter(|path| path.is_dir())
    };
    let all = folders(corpus.join("pairs")).flat_map(folders);
    let name = |path: &Path| {
        let name = path.strip_prefix(corpus.join("pairs")).expect("it is one of them");
        name.display().to_string()
    };
    all.map(|path| (name(&path), path)).collect()
}

/// Puts the files of one side where the repository has them.
fn build(root: &Path, pair: &Path, meta: &Value, side: &str) {
    let put = |path: &str, name: &str| {
        let from = pair.join(name);
        if !path.is_empty() && from.is_file() {
            let to = root.join(path);
            fs::create_dir_all(to.parent().expect("it is in the folder")).expect("the folder can be made");
            fs::copy(from, to).expect("the file can be copied");
        }
    };
    put(text(meta, "path"), &format!("{side}.yaml"));
    put(text(&meta[format!("{side}_source")], "path"), &format!("{side}-source.yaml"));
    let kustomization = format!("kustomization-{side}.yaml");
    put(text(&meta["kustomizations"], &kustomization), &kustomization);
}
