//! Models the artifact of a source: the files of a repository that source-controller hands to kustomize-controller.
//!
//! The facts are those of `github.com/fluxcd/pkg` (`artifact` 0.18, `sourceignore` 0.19), as source-controller 1.9 uses them: the patterns of
//! all `.sourceignore` files count from the top down, then those of `spec.ignore`; the last one that matches a file decides. Symbolic links
//! are left out.

mod glob;
mod pattern;
mod view;

use std::sync::OnceLock;

use foldhash::HashSet;

use super::tree::{File, Tree};
use crate::yaml::Str;

pub use pattern::{Pattern, last_match, patterns};
pub use view::View;

/// The patterns that source-controller always applies, before all others (`sourceignore.ExcludeVCS`).
const VCS: &str = ".git/\n.gitignore\n.gitmodules\n.gitattributes";

/// The patterns that it applies besides where a repository and its source have none (`ExcludeExt`, `ExcludeCI` and `ExcludeExtra`).
const OTHERS: &str = "*.jpg\n*.jpeg\n*.gif\n*.png\n*.wmv\n*.flv\n*.tar.gz\n*.zip\n.github/\n.circleci/\n.travis.yml\n.gitlab-ci.yml\n\
    appveyor.yml\n.drone.yml\ncloudbuild.yaml\ncodeship-services.yml\ncodeship-steps.yml\n**/.goreleaser.yml\n**/.sops.yaml\n**/.flux.yaml";

/// Decides, besides the tree, which files are in an artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Origin<'a> {
    /// The top of the source, as a folder of the tree.
    pub root: &'a str,
    /// The kind of the source.
    pub kind: SourceKind,
    /// `spec.ignore` of the source.
    pub ignore: Ignore<'a>,
}

/// The kind of a source, as far as it decides what is in the artifact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// A GitRepository. Its top may be above the folder that paths are relative to, as far as can be told from files.
    #[default]
    Git,
    /// An OCIRepository: what was pushed, from the top that paths are relative to.
    Oci,
    /// A Bucket: it has no default exclusions, and the `.sourceignore` at its top alone counts.
    Bucket,
}

/// `spec.ignore` of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Ignore<'a> {
    /// No object in the tree describes the source.
    #[default]
    Undescribed,
    /// Only the cluster knows it: it holds variables, or two objects of that name differ.
    Unknown,
    /// Its text; empty where the source has none.
    Known(Str<'a>),
}

/// How often files are held against patterns. Of 13 public repositories, the largest has 1,700 files that count, and none has a pattern.
pub(crate) const MAX_MATCHES: usize = 10_000_000;

/// The files of a tree that an artifact does not hold.
#[derive(Debug)]
pub struct Artifact<'a> {
    origin: Origin<'a>,
    patterns: Vec<Pattern>,
    /// The name of the file that each pattern is from, or `spec.ignore`.
    sources: Vec<String>,
    /// Whether there are too many to be tried, so that nothing is known.
    has_too_many_patterns: bool,
    /// The files that are certainly not in it.
    absent: HashSet<u32>,
    /// The files that are not in it as far as can be known; those among them that are not absent are neither listed nor missed.
    unlisted: HashSet<u32>,
}

/// Why a file is not in an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeftOut {
    Link,
    ByDefault,
    /// By a pattern, by its number.
    ByPattern(usize),
}

// === impl Artifact ===

impl<'a> Artifact<'a> {
    /// The artifact of a source in a tree.
    pub fn of(tree: &Tree<'a>, origin: Origin<'a>) -> Self {
        Self::within(tree, origin, &|_| true)
    }

    /// The same, where `may_match` is asked whether so many times a file may be held against a pattern. If not, nothing is left out.
    pub(crate) fn within(tree: &Tree<'a>, origin: Origin<'a>, may_match: &dyn Fn(usize) -> bool) -> Self {
        let (mut all, mut sources) = (Vec::new(), Vec::new());
        let root = tree.full_path(origin.root);
        for (folder, text) in tree.ignore_files() {
            let folder: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
            let counts = match origin.kind {
                SourceKind::Git => root.starts_with(&folder) || folder.starts_with(&root),
                SourceKind::Oci => folder.starts_with(&root),
                SourceKind::Bucket => folder == root,
            };
            if counts {
                all.extend(patterns(text, &folder));
                let below = folder.get(root.len()..).unwrap_or_default();
                let name = below.iter().chain(&[".sourceignore"]).copied().collect::<Vec<_>>().join("/");
                sources.resize(all.len(), name);
            }
        }
        if let Ignore::Known(text) = &origin.ignore {
            all.extend(patterns(text, &root));
            sources.resize(all.len(), "spec.ignore of the source".to_owned());
        }
        let matches = tree.below(origin.root).count().saturating_mul(all.len());
        let mut this = Self {
            origin,
            has_too_many_patterns: !may_match(matches),
            patterns: all,
            sources,
            absent: HashSet::default(),
            unlisted: HashSet::default(),
        };
        if this.has_too_many_patterns {
            return this;
        }
        for file in tree.below(this.origin.root) {
            let Some(left_out) = this.decide(tree, file.path, false) else { continue };
            this.unlisted.insert(file.id);
            if this.is_certain(left_out) {
                this.absent.insert(file.id);
            }
        }
        this
    }

    /// Whether it holds all files of the tree that are below its top.
    pub fn is_whole(&self, tree: &Tree<'a>) -> bool {
        !self.has_too_many_patterns
            && self.unlisted.is_empty()
            && tree.others().all(|path| self.decide(tree, path, false).is_none())
    }

    /// Whether a file is certainly not in it.
    fn lacks(&self, file: &File<'_>) -> bool {
        self.absent.contains(&file.id)
    }

    /// Whether a path that is no file of the tree, but a file that is not read or a folder, is certainly not in it.
    fn lacks_path(&self, tree: &Tree<'a>, path: &str, is_folder: bool) -> bool {
        self.decide(tree, path, is_folder).is_some_and(|left_out| self.is_certain(left_out))
    }

    /// Whether a file is not in it as far as can be known.
    fn may_lack(&self, file: &File<'_>) -> bool {
        self.unlisted.contains(&file.id)
    }

    /// Why it lacks a path.
    fn reason(&self, tree: &Tree<'a>, path: &str, is_folder: bool) -> Option<String> {
        self.decide(tree, path, is_folder).map(|left_out| match left_out {
            LeftOut::Link => "source-controller leaves links out".to_owned(),
            LeftOut::ByDefault => "source-controller leaves it out by default".to_owned(),
            LeftOut::ByPattern(number) => format!("{} leaves it out", self.sources[number]),
        })
    }

    fn decide(&self, tree: &Tree<'a>, path: &str, is_folder: bool) -> Option<LeftOut> {
        if tree.is_linked(path) {
            return Some(LeftOut::Link);
        }
        if self.has_too_many_patterns {
            return None;
        }
        if !self.patterns.is_empty()
            && let Some((is_left_out, number)) = last_match(&self.patterns, &tree.full_path(path), is_folder)
        {
            return is_left_out.then_some(LeftOut::ByPattern(number));
        }
        let below = path.strip_prefix(self.origin.root).unwrap_or(path).trim_start_matches('/');
        let is_default = self.origin.kind != SourceKind::Bucket
            && is_left_out_by_default(below, is_folder, self.patterns.is_empty());
        is_default.then_some(LeftOut::ByDefault)
    }

    /// Whether no `spec.ignore` that is not known here can decide otherwise.
    fn is_certain(&self, left_out: LeftOut) -> bool {
        match left_out {
            LeftOut::Link => true,
            // One pattern in it would bring most of them back.
            LeftOut::ByDefault => matches!(self.origin.ignore, Ignore::Known(_)),
            LeftOut::ByPattern(_) => self.origin.ignore != Ignore::Unknown,
        }
    }
}

/// Whether source-controller leaves out a path without being told to, where there is no pattern or where there are some.
pub(crate) fn is_left_out_by_default(path: &str, is_folder: bool, has_no_pattern: bool) -> bool {
    static DEFAULTS: OnceLock<[Vec<Pattern>; 2]> = OnceLock::new();
    // Folders may be called as files are, so every part counts. Most paths have a full stop before their extension alone, and no other part that
    // looks like a file; then no pattern has to be tried.
    let stem = path.strip_suffix(".yaml").or_else(|| path.strip_suffix(".yml")).unwrap_or(path);
    let is_plain = memchr::memchr(b'.', stem.as_bytes()).is_none()
        && !(stem.ends_with(['r', 'd', 's'])
            && ["appveyor", "cloudbuild", "codeship-services", "codeship-steps"]
                .iter()
                .any(|it| stem.ends_with(it)));
    if is_plain || !path.split('/').any(may_be_left_out) {
        return false;
    }
    let [vcs, others] = DEFAULTS.get_or_init(|| [VCS, OTHERS].map(|text| patterns(text, &[]).collect()));
    let parts: Vec<&str> = path.split('/').collect();
    let is_in = |patterns: &[Pattern]| last_match(patterns, &parts, is_folder).is_some();
    is_in(vcs) || has_no_pattern && is_in(others)
}

/// Whether a part of a path may match one of the default patterns.
fn may_be_left_out(part: &str) -> bool {
    match part.rsplit_once('.') {
        None => false,
        Some(
            (_, "jpg" | "jpeg" | "gif" | "png" | "wmv" | "flv" | "gz" | "zip")
            | ("appveyor" | "codeship-services" | "codeship-steps", "yml")
            | ("cloudbuild", "yaml"),
        ) => true,
        Some(_) => part.starts_with('.'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree<'a>(files: &[&'a str]) -> Tree<'a> {
        let mut tree = Tree::default();
        for path in files {
            tree.add(path, "");
        }
        tree
    }

    fn absent<'a>(tree: &Tree<'a>, ignore: Ignore<'a>) -> Vec<&'a str> {
        let artifact = Artifact::of(tree, Origin { ignore, ..Origin::default() });
        tree.files().iter().filter(|file| artifact.lacks(file)).map(|file| file.path).collect()
    }

    fn known(text: &'static str) -> Ignore<'static> {
        Ignore::Known(text.into())
    }

    #[test]
    fn the_defaults_hold_until_there_is_a_pattern() {
        let mut tree = tree(&[".github/a.yaml", "apps/cloudbuild.yaml", "apps/.sops.yaml", "apps/x.yaml"]);
        let defaults = [".github/a.yaml", "apps/cloudbuild.yaml", "apps/.sops.yaml"];
        assert_eq!(absent(&tree, known("")), defaults);
        assert_eq!(absent(&tree, known("# none\n")), defaults);
        assert_eq!(absent(&tree, known("docs/\n")), [] as [&str; 0]);
        // A spec.ignore that is not known may hold a pattern.
        assert_eq!(absent(&tree, Ignore::Undescribed), [] as [&str; 0]);
        tree.add_ignore_file("docs", "x.md\n");
        assert_eq!(absent(&tree, known("")), [] as [&str; 0]);
    }

    #[test]
    fn spec_ignore_comes_behind_all_files() {
        let mut tree = tree(&["apps/x.yaml", "apps/y.yaml"]);
        tree.add_ignore_file("apps", "*.yaml\n!y.yaml\n");
        tree.add_ignore_file("", "y.yaml\n");
        assert_eq!(absent(&tree, known("")), ["apps/x.yaml"]);
        assert_eq!(absent(&tree, Ignore::Undescribed), ["apps/x.yaml"]);
        assert_eq!(absent(&tree, Ignore::Unknown), [] as [&str; 0]);
        assert_eq!(absent(&tree, known("!/apps/x.yaml\n/apps/y.yaml\n")), ["apps/y.yaml"]);
    }

    #[test]
    fn a_link_and_what_is_below_it_are_left_out() {
        let mut tree = tree(&["apps/x.yaml", "linked/y.yaml", "linked-not/z.yaml"]);
        tree.add_link("linked");
        tree.add_link("apps/x.yaml");
        assert_eq!(absent(&tree, known("!*\n")), ["apps/x.yaml", "linked/y.yaml"]);
    }
}
