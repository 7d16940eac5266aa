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
    /// Files with a variable and its value in each line.
    pub envs: Vec<Text<'a>>,
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
                    names.files.extend(items.clone().flat_map(files_of_generator));
                    names.envs.extend(items.flat_map(env_files));
                }
                "helmCharts" => {
                    let of_item =
                        |item| texts(item, "additionalValuesFiles").chain(one_text(item, "valuesFile"));
                    names.files.extend(items.flat_map(of_item));
                }
                "openapi" => names.fragments.extend(entry.value.text_of(&["path"])),
                _ => {}
            }
        }
        names
    }
}

/// The files that a generator copies. It may give a file another name: `name=path`.
fn files_of_generator<'a>(item: &Node<'a>) -> impl Iterator<Item = Text<'a>> {
    texts(item, "files").filter_map(|text| {
        let (_, path) = named_file(&text.text)?;
        Some(Text { text: path.to_owned().into(), at: text.at })
    })
}

/// The key and the path of an item of `files`: `path`, or `name=path`.
pub(super) fn named_file(text: &str) -> Option<(&str, &str)> {
    match text.split_once('=') {
        None => Some((text.rsplit('/').next().unwrap_or(text), text)),
        Some((key, path)) => {
            (!key.is_empty() && !path.is_empty() && !path.contains('=')).then_some((key, path))
        }
    }
}

/// The files of variables that a generator reads: `envs`, and `env`, which is the old name for one.
pub(super) fn env_files<'a>(item: &Node<'a>) -> impl Iterator<Item = Text<'a>> {
    texts(item, "envs").chain(one_text(item, "env"))
}

/// The texts in a list of an item.
pub(super) fn texts<'a>(item: &Node<'a>, list: &str) -> impl Iterator<Item = Text<'a>> {
    item.get(list).map(Node::items).unwrap_or_default().iter().filter_map(Text::of)
}

/// The text in a field of an item.
fn one_text<'a>(item: &Node<'a>, field: &str) -> Option<Text<'a>> {
    item.get(field).and_then(Text::of)
}
