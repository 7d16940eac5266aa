//! What a kustomization file names, whether it is rendered or not.

use super::kustomization::Text;
use crate::yaml::Node;

/// The paths in a kustomization file, from its folder; some are URLs.
#[derive(Debug, Default)]
pub struct Names<'n, 'a> {
    /// Files that hold objects, and folders.
    pub resources: Vec<&'n str>,
    /// Files of which something goes into objects, as YAML.
    pub fragments: Vec<&'n str>,
    /// Files of any sort, which are copied into objects as they are.
    pub files: Vec<Text<'a>>,
}

// === impl Names ===

impl<'n, 'a> Names<'n, 'a> {
    /// What the document of a kustomization file names.
    pub fn of(document: &'n Node<'a>) -> Self {
        let mut names = Self::default();
        for entry in document.entries() {
            let items = entry.value.items().iter();
            match &*entry.key.text {
                "resources" | "bases" | "components" => names.resources.extend(items.filter_map(Node::text)),
                "patches" | "patchesJson6902" | "replacements" => {
                    names.fragments.extend(items.filter_map(|item| item.text_of(&["path"])));
                }
                "patchesStrategicMerge"
                | "configurations"
                | "crds"
                | "transformers"
                | "generators"
                | "validators" => {
                    let paths = items.filter_map(Node::text).filter(|text| !text.contains('\n'));
                    names.fragments.extend(paths);
                }
                "configMapGenerator" | "secretGenerator" => {
                    names.files.extend(items.flat_map(files_of_generator));
                }
                "helmCharts" => {
                    names
                        .files
                        .extend(items.flat_map(|item| texts(item, "additionalValuesFiles", "valuesFile")));
                }
                "openapi" => names.fragments.extend(entry.value.text_of(&["path"])),
                _ => {}
            }
        }
        names
    }
}

/// The files that a generator reads. It may give a file another name: `name=path`.
pub(super) fn files_of_generator<'a>(item: &Node<'a>) -> Vec<Text<'a>> {
    let files = item.get("files").map(Node::items).unwrap_or_default().iter().filter_map(Text::of);
    let renamed = |text: Text<'a>| match text.text.split_once('=') {
        Some((_, path)) => Text { text: path.to_owned().into(), at: text.at },
        None => text,
    };
    files.map(renamed).chain(texts(item, "envs", "env")).collect()
}

/// The texts in a list of an item, and in another field.
fn texts<'a>(item: &Node<'a>, list: &str, field: &str) -> Vec<Text<'a>> {
    let listed = item.get(list).map(Node::items).unwrap_or_default();
    listed.iter().chain(item.get(field)).filter_map(Text::of).collect()
}
