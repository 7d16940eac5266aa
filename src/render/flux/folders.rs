//! The folders of a tree, and the list that kustomize-controller makes of one that has no kustomization file.

use foldhash::HashSet;

use crate::render::{File, Tree, View, folder_of, join};

/// The folders in which there is a file, or below which there is one.
#[derive(Debug, Default)]
pub(crate) struct Folders<'a>(HashSet<&'a str>);

// === impl Folders ===

impl<'a> Folders<'a> {
    pub(crate) fn of(tree: &Tree<'a>) -> Self {
        let mut folders = HashSet::default();
        let told = tree.told_folders().iter().copied();
        for mut folder in told.chain(tree.files().iter().map(File::folder)) {
            while folders.insert(folder) && !folder.is_empty() {
                folder = folder_of(folder);
            }
        }
        Self(folders)
    }

    /// A folder as the tree has it, if it is there.
    pub(crate) fn get(&self, folder: &str) -> Option<&'a str> {
        self.0.get(folder).copied()
    }
}

/// What kustomize-controller lists as the resources of a folder without a kustomization file, by paths from there: its YAML files and those below, and in
/// place of a folder with a kustomization file the folder itself. In the order in which it walks.
pub(crate) fn listed(view: &View<'_, '_>, folder: &str) -> Vec<String> {
    let prefix = if folder.is_empty() { 0 } else { folder.len() + 1 };
    let mut paths: Vec<&str> = view.listed_below(folder).map(|file| &file.path[prefix..]).collect();
    paths.sort_by(|one, other| in_order(one).cmp(in_order(other)));
    let mut listed = Vec::new();
    let mut skipped: Option<&str> = None;
    for path in paths {
        let is_below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        if skipped.is_some_and(is_below) {
            continue;
        }
        if let Some(below) = kustomization_above(view, folder, path) {
            skipped = Some(below);
            listed.push(below.to_owned());
        } else if path.rsplit_once('.').is_some_and(|(_, extension)| matches!(extension, "yaml" | "yml")) {
            listed.push(path.to_owned());
        }
    }
    listed
}

/// The hidden files that kustomize-controller would list and cannot read, each with the reason. Others are reported wherever they are.
pub(crate) fn unreadable<'v>(view: &'v View<'_, '_>, folder: &str) -> Vec<(&'v str, &'v str)> {
    let mut hidden = view.tree().unreadable_hidden(folder);
    hidden.retain(|(path, _)| {
        let below = path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/');
        matches!(path.rsplit_once('.'), Some((_, "yaml" | "yml")))
            && kustomization_above(view, folder, below).is_none()
            && view.reason(path).is_none()
    });
    hidden
}

/// What paths are compared by, so that the parts of one are compared with those of the other.
fn in_order(path: &str) -> impl Iterator<Item = u8> {
    path.bytes().map(|byte| if byte == b'/' { 0 } else { byte })
}

/// The outermost folder with a kustomization file on the way from a folder to a path below it.
fn kustomization_above<'p>(view: &View<'_, '_>, folder: &str, path: &'p str) -> Option<&'p str> {
    let slashes = path.match_indices('/').map(|(at, _)| &path[..at]);
    slashes
        .into_iter()
        .find(|below| join(folder, below).is_some_and(|folder| view.kustomization(&folder).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Artifact, Origin};

    #[test]
    fn a_list_takes_files_and_folders_with_a_kustomization() {
        let mut tree = Tree::default();
        for path in [
            "a/b/c/deep.yml",
            "a/b/.sops.yaml",
            "a/.github/x.yaml",
            "a/z.json",
            "a/b-c/kustomization.yml",
            "a/b-c/below/y.yaml",
            "a/.hidden.yaml",
            "other/x.yaml",
        ] {
            tree.add(path, "");
        }
        let view = View::of(&tree, Artifact::of(&tree, Origin::default()));
        assert_eq!(listed(&view, "a"), [".hidden.yaml", "b/c/deep.yml", "b-c"]);
        assert_eq!(listed(&view, ""), ["a/.hidden.yaml", "a/b/c/deep.yml", "a/b-c", "other/x.yaml"]);
    }

    #[test]
    fn knows_every_folder() {
        let mut tree = Tree::default();
        tree.add("a/b/c.yaml", "");
        let folders = Folders::of(&tree);
        assert!(["", "a", "a/b"].iter().all(|folder| folders.get(folder) == Some(folder)));
        assert!(["a/b/c.yaml", "b"].iter().all(|folder| folders.get(folder).is_none()));
    }
}
