//! Real repositories, as their clusters see them: what is found in them is true, and nothing is missed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it skipped and how much it saw"
)]

mod pairs;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use chartgate::policy::{Facts, Flux, Settings};
use chartgate::preflight::collect::{Collected, collect};
use chartgate::preflight::{Criteria, check};
use chartgate::report::{Excerpts as _, Grade, Summary, json};
use chartgate::structural::Catalog;
use chartgate::yaml::Lines;
use serde_json::Value;

/// The errors that are in the trees whatever Flux is asked about, by tree and place, each held against what Flux itself would say.
///
/// - `movie-roulette`: the last document of the file uses an anchor that it does not define. `kustomize build` (5.8) of it: "yaml: unknown
///   anchor 'port' referenced", and kustomize-controller is made of the same code.
/// - `palworld` and `vrising`: a variable that no substituteFrom sets is empty, and `, ::ffff:` is no YAML where it stands. kustomize-controller's
///   own libraries (fluxcd/pkg/kustomize 1.35.4): "post build failed […] did not find expected node content".
const TRUE_ERRORS: [(&str, &str, &str); 4] = [
    (
        "joryirving+home-ops/mid-migration",
        "kubernetes/apps/base/games/palworld/helmrelease.yaml:98",
        "build-fails",
    ),
    (
        "joryirving+home-ops/mid-migration",
        "kubernetes/apps/base/games/vrising/helmrelease.yaml:66",
        "build-fails",
    ),
    (
        "joryirving+home-ops/mid-migration",
        "kubernetes/apps/base/media/plex/movie-roulette/helmrelease.yaml:71",
        "unreadable",
    ),
    MISSING_FOLDER,
];

/// The folder that a Flux Kustomization names and the tree does not have: what is in it holds no kind of Flux, so the corpus left it out.
///
/// That `kustomize build` fails of each file that a kustomization names and that is not there, is held against the file system instead.
const MISSING_FOLDER: (&str, &str, &str) =
    ("wahooli+gitops-repo/head", "infrastructure/platform/livingroom-pi/ci-excluded.yaml:12", "build-fails");

/// The warnings that are in the trees on the newest Flux.
///
/// - `kube-prometheus-stack` and `blackbox-exporter` are two Flux Kustomizations of one cluster with the same targetNamespace, and each
///   applies a `HelmRepository` of that name from a file of its own.
const TRUE_WARNINGS: [(&str, &str, &str); 5] = [
    (
        "tyriis+home-ops/head",
        "kubernetes/main/apps/observability/kube-prometheus-stack/app/helm-repository.yaml:6",
        "duplicate-source",
    ),
    // An OCIRepository without layerSelector, in a ResourceSet.
    (
        "xunholy+k8s-gitops/head",
        "kubernetes/clusters/cluster-00/flux-system/flux-instance/app/helmrelease.yaml:21",
        "layer-selector-missing",
    ),
    (
        "xunholy+k8s-gitops/head",
        "kubernetes/clusters/cluster-00/flux-system/flux-operator/app/helmrelease.yaml:21",
        "layer-selector-missing",
    ),
    (
        "xunholy+k8s-gitops/pre-chartref",
        "kubernetes/clusters/cluster-0/flux-system/flux-instance/app/helmrelease.yaml:21",
        "layer-selector-missing",
    ),
    (
        "xunholy+k8s-gitops/pre-chartref",
        "kubernetes/clusters/cluster-0/flux-system/flux-operator/app/helmrelease.yaml:21",
        "layer-selector-missing",
    ),
];

/// The trees from before v2, and how many manifests in each are at a version that the newest Flux does not serve.
const OLD: [(&str, usize); 3] = [
    ("billimek+k8s-gitops/2024-01", 56),
    ("hmcts+sds-flux-config/2024-01", 45),
    ("onedr0p+home-ops/2024-01", 86),
];

/// Releases that no kustomization names any more, and that lack `spec.interval`, which an overlay brought: no cluster takes them as they are.
const DORMANT: [(&str, &str); 1] =
    [("hmcts+sds-flux-config/head", "apps/darts-modernisation/darts-proxy/darts-proxy.yaml")];

/// The last Flux that serves all that is in the trees.
const SERVES_ALL: &str = "2.6";

/// What is told of one repository.
struct Told {
    findings: Vec<Finding>,
    /// The files with releases that were judged.
    judged: BTreeSet<String>,
    summary: Summary,
}

#[derive(Debug)]
struct Finding {
    grade: Grade,
    rule: &'static str,
    path: String,
    line: usize,
    what: String,
}

/// The corpus; without it, `None`, said aloud.
fn corpus() -> Option<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let found = corpus.join("index.jsonl").exists().then(|| corpus.canonicalize().expect("it is there"));
    if found.is_none() {
        eprintln!("skipped: no corpus");
    }
    found
}

/// Checks a folder by itself.
fn told(root: &Path, flux: Flux) -> Told {
    let collected = collect(&[root.to_owned()], &|_| {}).expect("the folder is there");
    let (settings, facts, catalog) = (Settings::default(), Facts::of(flux), Catalog::of_flux(flux));
    let criteria =
        Criteria { settings: &settings, facts: &facts, catalog: &catalog, baseline: None, fixes: true };
    let checked = check(&collected, criteria);
    let place = |file: u32| {
        let path = Path::new(checked.files.path(file));
        path.strip_prefix(root).expect("it is in the folder").display().to_string()
    };
    let findings = checked.report.diagnostics.iter().map(|diagnostic| {
        let span = diagnostic.location.expect("all that is told of files has a place").span;
        let line = Lines::of(checked.files.text(span.file())).position(span.start() as usize).line;
        let (grade, rule, what) = (diagnostic.grade, diagnostic.rule, diagnostic.what.clone());
        Finding { grade, rule, path: place(span.file()), line, what }
    });
    let judged = checked.report.judged.iter().filter_map(|judged| Some(place(judged.location?.span.file())));
    Told { findings: findings.collect(), judged: judged.collect(), summary: checked.report.summary }
}

/// The whole report on a folder, made by so many threads.
fn report(collected: &Collected, threads: usize) -> Vec<u8> {
    let flux = Flux::default();
    let (settings, facts, catalog) = (Settings::default(), Facts::of(flux), Catalog::of_flux(flux));
    let criteria =
        Criteria { settings: &settings, facts: &facts, catalog: &catalog, baseline: None, fixes: false };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("there are threads");
    let checked = pool.install(|| check(collected, criteria));
    let mut written = Vec::new();
    json::write(&checked.report, &checked.files, &mut written).expect("memory can be written");
    written
}

#[test]
fn the_report_is_the_same_on_any_number_of_threads() {
    let Some(corpus) = corpus() else { return };
    let collected = collect(&[corpus.join("trees")], &|_| {}).expect("the folder is there");
    let alone = report(&collected, 1);
    assert!(!alone.is_empty());
    for threads in [2, 3, 8] {
        assert!(report(&collected, threads) == alone, "{threads} threads tell something else");
    }
}

/// The index, one entry a document.
fn index(corpus: &Path) -> Vec<Value> {
    let text = fs::read_to_string(corpus.join("index.jsonl")).expect("the index is readable");
    text.lines().map(|line| serde_json::from_str(line).expect("the index is JSON")).collect()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The folders below `trees`, each a repository at one commit.
fn trees(corpus: &Path) -> Vec<String> {
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("the folder is readable");
        let names = entries.map(|entry| entry.expect("it is readable").file_name().display().to_string());
        names.collect::<BTreeSet<_>>()
    };
    let root = corpus.join("trees");
    let of = |repository: String| {
        let labels = names(&root.join(&repository));
        labels.into_iter().map(move |label| format!("{repository}/{label}"))
    };
    names(&root).into_iter().flat_map(of).collect()
}

/// What the index knows of the files of one tree, by their paths in it.
#[derive(Default)]
struct Known {
    /// Releases that are no patches, and have a chart or a chartRef or are given one by a patch.
    whole: BTreeSet<String>,
    /// Those of them that are not at v2.
    old: BTreeSet<String>,
    /// Chart sources that are not at v1.
    old_sources: BTreeSet<String>,
    /// Patches, also those of which a kustomization is made.
    patches: BTreeSet<String>,
    /// What is no YAML.
    templates: BTreeSet<String>,
}

fn known(index: &[Value], tree: &str) -> Known {
    let prefix = format!("trees/{tree}/");
    let mut known = Known::default();
    for entry in index {
        let Some(path) = text(entry, "path").strip_prefix(&prefix).map(str::to_owned) else { continue };
        let has = |role: &str| entry["kustomize_role"].as_array().is_some_and(|it| it.contains(&role.into()));
        let has_source = ["chart", "chartRef"].contains(&text(entry, "class"));
        match text(entry, "rec") {
            "hr" if has("patch") => _ = known.patches.insert(path),
            "patch" => _ = known.patches.insert(path),
            "source"
                if text(entry, "kind") != "GitRepository"
                    && text(entry, "apiVersion").contains("/v1beta") =>
            {
                known.old_sources.insert(path);
            }
            "unparseable" => _ = known.templates.insert(path),
            "hr" if has_source || has("resource") => {
                if text(entry, "apiVersion") != "helm.toolkit.fluxcd.io/v2" {
                    known.old.insert(path.clone());
                }
                known.whole.insert(path);
            }
            _ => {}
        }
    }
    // One file may hold a release and a patch of another.
    known.patches.retain(|path| !known.whole.contains(path));
    known
}

impl Finding {
    /// The path that a kustomization names and that is not there, if that is what is told.
    fn missing(&self) -> Option<PathBuf> {
        let named = self.what.strip_suffix(" is not there").filter(|_| self.rule == "build-fails")?;
        Some(Path::new(&self.path).parent().expect("it is a file").join(named))
    }
}

impl Told {
    /// What is told from a grade on, as `path:line` and rule, without what has to do with the age of the manifests.
    fn of_grade(&self, grade: Grade) -> BTreeSet<(String, &'static str)> {
        let found = self
            .findings
            .iter()
            .filter(|it| it.grade == grade && it.rule != "deprecated-api-version" && it.missing().is_none())
            // The CRD of Flux 2.7 is the first that has it.
            .filter(|it| !it.what.ends_with(".strategy is no field of HelmRelease v2 in Flux 2.6"));
        found.map(|it| (format!("{}:{}", it.path, it.line), it.rule)).collect()
    }

    /// Where a variable has no value, which Flux refuses from 2.9 on, as `path:line`.
    fn without_value(&self) -> BTreeSet<String> {
        let found = self.findings.iter().filter(|it| it.what.contains(" has no value, which Flux refuses"));
        found.map(|it| format!("{}:{}", it.path, it.line)).collect()
    }

    /// The files with a finding of a rule at a grade.
    fn files(&self, grade: Grade, rule: &str) -> BTreeSet<String> {
        let found = self.findings.iter().filter(|it| it.grade == grade && it.rule == rule);
        found.map(|it| it.path.clone()).collect()
    }

    /// The files with releases, or with sources, at an old version, at a grade.
    fn old(&self, grade: Grade, is_release: bool) -> BTreeSet<String> {
        let found =
            self.findings.iter().filter(|it| it.grade == grade && it.rule == "deprecated-api-version");
        found
            .filter(|it| it.what.starts_with("HelmRelease ") == is_release)
            .map(|it| it.path.clone())
            .collect()
    }
}

fn of_tree(list: &[(&str, &'static str, &'static str)], tree: &str) -> BTreeSet<(String, &'static str)> {
    let here = list.iter().filter(|(of, _, _)| *of == tree);
    here.map(|(_, place, rule)| ((*place).to_owned(), *rule)).collect()
}

#[test]
fn what_is_found_in_the_trees_is_true_and_every_whole_release_is_judged() {
    let Some(corpus) = corpus() else { return };
    let index = index(&corpus);
    let trees = trees(&corpus);
    let serves_all: Flux = SERVES_ALL.parse().expect("it is a Flux that there is");
    let (mut releases, mut patches, mut templates, mut errors, mut missing) = (0, 0, 0, 0, 0);
    for tree in &trees {
        let root = corpus.join("trees").join(tree);
        let known = known(&index, tree);
        let (newest, fitting) = (told(&root, Flux::NEWEST), told(&root, serves_all));
        // That these are refused, the controller's library says (tests/kustomize/flux/corpus.rs).
        let (without_value, listed) = (newest.without_value(), of_tree(&TRUE_ERRORS, tree));
        let mut of_newest = newest.of_grade(Grade::Error);
        of_newest.retain(|found| listed.contains(found) || !without_value.contains(&found.0));
        assert_eq!(of_newest, listed, "{tree}");
        assert!(fitting.without_value().is_empty(), "{tree}, {SERVES_ALL}");
        assert_eq!(newest.of_grade(Grade::Warning), of_tree(&TRUE_WARNINGS, tree), "{tree}");
        assert_eq!(fitting.of_grade(Grade::Error), of_tree(&TRUE_ERRORS, tree), "{tree}, {SERVES_ALL}");
        assert_age(tree, &newest, &fitting, &known);
        for path in newest.findings.iter().filter_map(Finding::missing) {
            assert!(!root.join(&path).exists(), "{tree}: {} is there", path.display());
            missing += 1;
        }
        assert_nothing_is_missed(tree, &newest, &known);
        let refused = newest.files(Grade::Error, "unreadable");
        releases += newest.summary.releases;
        patches += known.patches.len();
        templates += known.templates.difference(&refused).count();
        errors += newest.findings.iter().filter(|it| it.grade == Grade::Error).count();
    }
    println!(
        "{} trees, {releases} releases judged; {errors} errors on Flux {}; {missing} files that are named are not there; {} for another \
         reason; none in {patches} files of patches and \
         {templates} of templates",
        trees.len(),
        Flux::NEWEST,
        TRUE_ERRORS.len()
    );
    assert_eq!((trees.len(), templates), (26, 67));
    assert!(missing > 3_000, "the corpus leaves out what is not about Flux: {missing}");
}

/// A manifest that the newest Flux does not serve is one that the older deprecates, and the index knows them all.
fn assert_age(tree: &str, newest: &Told, fitting: &Told, known: &Known) {
    for is_release in [true, false] {
        assert_eq!(newest.old(Grade::Error, is_release), fitting.old(Grade::Warning, is_release), "{tree}");
    }
    // The index does not look into a ResourceSet.
    let sources = newest.old(Grade::Error, false);
    let is_in_set =
        |path: &&String| path.ends_with("/resourceset.yaml") || path.ends_with("/helmrelease.yaml");
    let more: Vec<_> = sources.difference(&known.old_sources).filter(|path| !is_in_set(path)).collect();
    assert_eq!(more, [] as [&String; 0], "{tree}");
    let missed: Vec<_> = known.old_sources.difference(&sources).collect();
    assert_eq!(missed, [] as [&String; 0], "{tree}");
    let gone = newest.old(Grade::Error, true);
    assert_eq!(gone, known.old, "{tree}");
    let count = OLD.iter().find(|(old, _)| *old == tree).map_or(0, |(_, count)| *count);
    assert_eq!(gone.len(), count, "{tree}");
}

/// Every whole release is judged, no patch is cried about, and each template is noted.
fn assert_nothing_is_missed(tree: &str, newest: &Told, known: &Known) {
    let missed = known.whole.difference(&newest.judged).map(|path| (tree, &**path));
    let dormant = DORMANT.iter().copied().filter(|(of, _)| *of == tree);
    assert_eq!(missed.collect::<Vec<_>>(), dormant.collect::<Vec<_>>(), "{tree}");
    let loud = newest.findings.iter().filter(|it| it.grade > Grade::Note && it.missing().is_none());
    let without_value = newest.without_value();
    let loud = loud.filter(|it| !without_value.contains(&format!("{}:{}", it.path, it.line)));
    let cried: Vec<_> = loud.filter(|it| known.patches.contains(&it.path)).collect();
    assert!(cried.is_empty(), "{tree}: {cried:?}");
    let told = &newest.files(Grade::Note, "not-judged") | &newest.files(Grade::Error, "unreadable");
    let silent: Vec<_> = known.templates.difference(&told).collect();
    assert_eq!(silent, [] as [&String; 0], "{tree}");
}

#[test]
fn each_oddity_is_refused_with_a_place_or_said_to_be_a_part() {
    let Some(corpus) = corpus() else { return };
    let root = corpus.join("oddities");
    let list = fs::read_to_string(root.join("index.json")).expect("the list is readable");
    let list: Vec<Value> = serde_json::from_str(&list).expect("the list is JSON");
    let told = told(&root, Flux::NEWEST);
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for oddity in &list {
        let path = text(oddity, "file").trim_start_matches("oddities/");
        let of_file: Vec<_> = told.findings.iter().filter(|it| it.path == path).collect();
        let unparseable = text(oddity, "class") == "unparseable";
        let is_expected = |it: &&&Finding| match it.rule {
            "unreadable" => unparseable,
            // A template in the one case, a part in the other.
            "not-judged" => true,
            "no-chart-source" | "partial-chart" => !unparseable && it.grade == Grade::Error,
            // What is odd in it is a field that no schema has, and no rule is about those.
            "deprecated-api-version" => path == "billimek+k8s-gitops/odd-chart-01.yaml",
            _ => false,
        };
        let finding = of_file.iter().find(is_expected);
        let finding = finding.unwrap_or_else(|| panic!("{path}: {of_file:?}"));
        *counts.entry((text(oddity, "class"), finding.rule)).or_default() += 1;
    }
    println!("{} oddities: {counts:?}", list.len());
    assert!(list.len() > 100, "only {} oddities", list.len());
}
