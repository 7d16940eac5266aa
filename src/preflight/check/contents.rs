//! Collects the content of the `OCIRepository` objects that releases take their charts from.

use foldhash::HashMap;

use crate::policy::OciRepository;
use crate::render::ends::{Kind, Object, Rendered};
use crate::render::flux::is_opaque;
use crate::yaml::Node;

/// A source by namespace and name.
type Name<'r> = (&'r str, &'r str);

/// Every `OCIRepository` that is rendered.
#[derive(Debug)]
pub(super) struct Contents<'r, 'a> {
    /// By the number of the end that prints it.
    by_end: Vec<HashMap<Name<'r>, Content<'r, 'a>>>,
    /// The end that prints it, for those that have one content alone, whatever prints them.
    anywhere: HashMap<Name<'r>, Option<usize>>,
}

/// An `OCIRepository`.
#[derive(Debug)]
pub(super) struct Content<'r, 'a> {
    /// The object.
    pub(super) node: &'r Node<'a>,
    /// The fields of it that rules read.
    pub(super) source: OciRepository,
}

// === impl Contents ===

impl<'r, 'a> Contents<'r, 'a> {
    pub(super) fn of(rendered: &'r Rendered<'a>) -> Self {
        let contents = |object: &'r Object<'a>| {
            Some(((object.namespace().unwrap_or_default(), object.name()), Content::of(&object.node)?))
        };
        let by_end: Vec<HashMap<_, _>> = rendered
            .ends
            .iter()
            .map(|end| {
                let sources = end.objects.iter().filter(|object| object.kind == Kind::OciRepository);
                sources.filter_map(contents).collect()
            })
            .collect();
        let mut anywhere: HashMap<Name<'r>, Option<usize>> = HashMap::default();
        for (end, sources) in by_end.iter().enumerate() {
            for (name, content) in sources {
                let known = anywhere.entry(*name).or_insert(Some(end));
                // Clusters may patch the same source in different ways; which one applies to a release of another end is not
                // guessed.
                if known.is_some_and(|known| by_end[known][name].source != content.source) {
                    *known = None;
                }
            }
        }
        Self { by_end, anywhere }
    }

    /// The `OCIRepository` that `spec.chartRef` of a release names: the one of its own end, else the one that all files agree on.
    pub(super) fn of_release<'s>(
        &'s self,
        end: usize,
        release: &'s Object<'s>,
    ) -> Option<&'s Content<'r, 'a>> {
        let reference = release.node.at(&["spec", "chartRef"])?;
        if reference.text_of(&["kind"]) != Some(Kind::OciRepository.name()) {
            return None;
        }
        let namespace = reference.text_of(&["namespace"]).filter(|namespace| !namespace.is_empty());
        let name = (namespace.or(release.namespace()).unwrap_or_default(), reference.text_of(&["name"])?);
        if is_opaque(name.0) || is_opaque(name.1) {
            return None;
        }
        let own = self.by_end.get(end).and_then(|sources| sources.get(&name));
        own.or_else(|| self.by_end[(*self.anywhere.get(&name)?)?].get(&name))
    }
}

// === impl Content ===

impl<'r, 'a> Content<'r, 'a> {
    fn of(node: &'r Node<'a>) -> Option<Self> {
        let mut json = br#"{"spec":"#.to_vec();
        node.get("spec")?.write_json(&mut json);
        json.push(b'}');
        let source = OciRepository::read(&json, |text| !is_opaque(text))?;
        Some(Self { node, source })
    }
}
