//! Reads patches and files of replacements, in which kustomize (5.8) takes a key twice.

use memchr::memmem;

use super::engine::Kustomize;
use super::inline::Unreadable;
use super::kustomization::Text;
use super::merge::DIRECTIVE;
use crate::json::Kind;
use crate::render::tree::{File, Note, Reason};
use crate::yaml::{Node, Reading, Twice};

/// A patch or a file of replacements.
pub(super) struct Fragment<'a> {
    /// The documents that can be read.
    pub(super) documents: Vec<Node<'a>>,
    /// The notes about keys that are there twice.
    pub(super) duplicates: Vec<Note>,
}

/// Where a fragment is written.
#[derive(Clone, Copy)]
pub(super) enum Place<'p, 't, 'a> {
    /// In a file of its own.
    File(&'p File<'a>),
    /// In a text of another file.
    Text(&'p Text<'t>),
}

impl<'a> Fragment<'a> {
    /// Reads a patch: of a strategic merge patch, both values of a key that is there twice; of a JSON patch the last one. A patch with
    /// directives is read in whole, since they may be in `spec.values`.
    pub(super) fn patch(
        place: Place<'_, '_, 'a>,
        kustomize: &Kustomize<'_, 'a>,
        notes: &mut Vec<Note>,
    ) -> Self {
        Self::read(place, kustomize, notes, |first| first.kind() == Kind::Array)
    }

    /// Reads a file of replacements.
    pub(super) fn replacements(
        place: Place<'_, '_, 'a>,
        kustomize: &Kustomize<'_, 'a>,
        notes: &mut Vec<Note>,
    ) -> Self {
        Self::read(place, kustomize, notes, |_| true)
    }

    fn read(
        place: Place<'_, '_, 'a>,
        kustomize: &Kustomize<'_, 'a>,
        notes: &mut Vec<Note>,
        last_counts: impl Fn(&Node<'a>) -> bool,
    ) -> Self {
        let mut found = Vec::new();
        let mut documents = place.documents(kustomize, Twice::Refused, &mut found);
        if !found.iter().any(|error| error.is_duplicate_key) {
            notes.extend(found.into_iter().map(refused));
            if let Place::File(file) = place
                && has_directives(file.text)
            {
                documents = Self::whole(file, kustomize);
            }
            return Self { documents, duplicates: Vec::new() };
        }
        found.clear();
        let mut documents = place.documents(kustomize, Twice::Kept, &mut found);
        notes.extend(found.into_iter().map(refused));
        let keys: Vec<_> = documents.iter().flat_map(Node::duplicate_keys).cloned().collect();
        let counts = if documents.first().is_some_and(last_counts) {
            documents = place.documents(kustomize, Twice::LastWins, &mut Vec::new());
            "last"
        } else {
            "first"
        };
        let duplicates = keys.into_iter().map(|key| {
            let message =
                format!("the key {:?} is there twice: kustomize takes the {counts} value", key.text);
            Note::new(key.at, Reason::Lenient, message)
        });
        Self { documents, duplicates: duplicates.collect() }
    }

    /// The readable documents of a file, with what is elided elsewhere.
    fn whole(file: &File<'a>, kustomize: &Kustomize<'_, 'a>) -> Vec<Node<'a>> {
        let read = kustomize.file(file, Reading::default());
        read.documents.iter().filter_map(|document| document.clone().ok()).collect()
    }
}

/// Whether a patch may hold directives.
pub(super) fn has_directives(text: &str) -> bool {
    memmem::find(text.as_bytes(), DIRECTIVE.as_bytes()).is_some()
}

impl<'a> Place<'_, '_, 'a> {
    /// The documents that can be read; the others are found faulty.
    fn documents(
        self,
        kustomize: &Kustomize<'_, 'a>,
        twice: Twice,
        found: &mut Vec<Unreadable>,
    ) -> Vec<Node<'a>> {
        let reading = Reading { twice, ..Reading::default() };
        let read = match self {
            // It is read already, and only in part.
            Self::File(file) if twice == Twice::Refused => {
                let documents = file.documents().iter();
                let documents = documents
                    .map(|document| document.clone().map_err(|error| Unreadable::of(&error, file.id)));
                return documents.filter_map(|document| document.map_err(|it| found.push(it)).ok()).collect();
            }
            Self::File(file) => kustomize.file(file, reading),
            Self::Text(text) => kustomize.inline(text, reading),
        };
        let documents = read.documents.iter().cloned();
        documents.filter_map(|document| document.map_err(|it| found.push(it)).ok()).collect()
    }
}

fn refused(Unreadable { at, message, .. }: Unreadable) -> Note {
    Note::new(at, Reason::Refused, message)
}
