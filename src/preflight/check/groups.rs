//! Objects that are called HelmRelease and are none of Flux.

use rayon::prelude::*;

use super::plain;
use super::release::object_of;
use crate::policy::HELM_GROUP;
use crate::preflight::place;
use crate::render::Tree;
use crate::render::ends::{expand, group_of};
use crate::report::rule::OTHER_HELM_RELEASE;
use crate::report::{Diagnostic, Grade};
use crate::yaml::Node;

/// The group of the HelmReleases of the Helm Operator, which belongs to Flux 1.
const HELM_OPERATOR: &str = "helm.fluxcd.io";

/// The findings about documents of kind HelmRelease in another API group.
pub(super) fn others(tree: &Tree<'_>) -> Vec<Diagnostic> {
    let files = tree.files().par_iter().filter(|file| file.stands_alone());
    let found = files.flat_map_iter(|file| {
        let documents = file.documents().iter().flatten().flat_map(expand);
        documents.filter_map(diagnostic).collect::<Vec<_>>()
    });
    found.collect()
}

fn diagnostic(node: &Node<'_>) -> Option<Diagnostic> {
    let group = group_of(node).filter(|group| *group != HELM_GROUP)?;
    if node.text_of(&["kind"]) != Some("HelmRelease") {
        return None;
    }
    let what = if group == HELM_OPERATOR {
        format!("a HelmRelease of the Helm Operator ({HELM_OPERATOR}), and none of Flux 2")
    } else {
        format!("no HelmRelease of Flux: its API group is {HELM_GROUP}, not {group:?}")
    };
    Some(Diagnostic {
        what,
        object: Some(object_of(node)),
        field: "apiVersion".to_owned(),
        location: Some(place::of(node, "/apiVersion").into()),
        ..plain(OTHER_HELM_RELEASE, Grade::Warning)
    })
}
