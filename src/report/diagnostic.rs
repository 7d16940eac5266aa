//! The data that every format tells.

use crate::yaml::Span;

/// Everything that there is to tell, in the order in which it is told.
#[derive(Debug, Default)]
pub struct Report {
    /// What was found, ordered by file, place and rule.
    pub diagnostics: Vec<Diagnostic>,
    /// What was looked at.
    pub summary: Summary,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Good to know.
    Note,
    /// Works today; should be looked at.
    Warning,
    /// The cluster refuses it, or it can never work.
    Error,
}

/// One thing that was found.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// The stable name of the rule: one of the policy, or one about reading and rendering.
    pub rule: &'static str,
    /// How bad it is.
    pub grade: Grade,
    /// What is wrong, in one line without a full stop.
    pub what: String,
    /// Why that matters; empty where nothing needs to be said.
    pub why: String,
    /// What to do; empty where nothing can be.
    pub help: String,
    /// The object that it is about.
    pub object: Option<Object>,
    /// The field, as the API server writes it (`spec.chartRef.kind`); empty where it is about no field.
    pub field: String,
    /// Where it stands; nowhere where it is about a live object or about no file.
    pub location: Option<Location>,
    /// What else is to be looked at.
    pub related: Vec<Related>,
    /// The ways by which the object is rendered, each as the files that lead to it, from the outermost; empty where the
    /// object is judged as its file has it.
    pub ways: Vec<Vec<String>>,
    /// What would put it right.
    pub fix: Option<SuggestedFix>,
    /// What tells it from all others and stays the same while the lines around it move.
    pub fingerprint: String,
}

/// An object of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// `metadata.namespace`; empty where none is known.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The bytes; the file is told by [`Excerpts`].
    pub span: Span,
}

/// A place that has to do with a finding, and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Where.
    pub location: Location,
    /// What, in a few words: `spec.chartRef is set here`.
    pub what: String,
}

/// A change to files that puts a finding right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuggestedFix {
    /// What it does, in a few words.
    pub what: String,
    /// The changes, which do not overlap.
    pub edits: Vec<Edit>,
}

/// A replacement of bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edit {
    /// What is replaced; empty where something is inserted.
    pub span: Span,
    /// What is put there.
    pub text: String,
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files that were read.
    pub files: usize,
    /// HelmReleases that were judged, counted once for each way in which they are rendered.
    pub releases: usize,
    /// HelmReleases that no kustomization reaches, judged as they stand.
    pub unreached: usize,
    /// Places that could not be rendered and so were not judged.
    pub not_judged: usize,
    /// Findings that a comment or a baseline keeps quiet about.
    pub ignored: usize,
}

/// Where the files of a report can be looked into.
pub trait Excerpts {
    /// The path of a file as the user knows it.
    fn path(&self, file: u32) -> &str;
    /// Its text.
    fn text(&self, file: u32) -> &str;
}

// === impl Grade ===

impl Grade {
    /// Its name: `error`, `warning`, `note`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}
