//! The data that every format tells.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::{policy::Level, yaml::Span};

/// Everything that there is to tell, in the order in which it is told.
#[derive(Debug, Default)]
pub struct Report {
    /// What was found, ordered by file, place and rule.
    pub diagnostics: Vec<Diagnostic>,
    /// What was judged, whatever came of it: each object of each file once, in the order of files and places.
    pub judged: Vec<Judged>,
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
    pub why: Cow<'static, str>,
    /// What to do; empty where nothing can be.
    pub help: Cow<'static, str>,
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
    pub ways: Vec<Vec<Arc<str>>>,
    /// What would put it right.
    pub fix: Option<SuggestedFix>,
    /// Why there is no fix, where one is known that cannot be made here.
    pub unfixed: Option<String>,
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

/// An object that was judged, by however many ways it is rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Which one.
    pub object: Object,
    /// Where it begins; nowhere where it is a live object.
    pub location: Option<Location>,
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
    /// The fields of the object that become others by it, as JSON pointers.
    pub fields: Vec<String>,
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

impl From<Level> for Grade {
    fn from(level: Level) -> Self {
        match level {
            Level::Note => Self::Note,
            Level::Warning => Self::Warning,
            Level::Error => Self::Error,
        }
    }
}

// === impl Report ===

impl Report {
    /// How many findings are of a grade.
    pub fn count(&self, grade: Grade) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.grade == grade).count()
    }

    /// How many findings `--fix` puts right.
    pub fn fixable(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.fix.is_some()).count()
    }
}

// === impl Diagnostic ===

impl Diagnostic {
    /// A finding with nothing but what every finding has.
    pub fn new(rule: &'static str, grade: Grade, what: impl Into<String>) -> Self {
        Self {
            rule,
            grade,
            what: what.into(),
            why: Cow::Borrowed(""),
            help: Cow::Borrowed(""),
            object: None,
            field: String::new(),
            location: None,
            related: Vec::new(),
            ways: Vec::new(),
            fix: None,
            unfixed: None,
            fingerprint: String::new(),
        }
    }

    /// The way by which the object is rendered, in a few words; of many the first, and how many more there are.
    pub(super) fn rendered(&self) -> Option<String> {
        let (first, more) = self.ways.split_first()?;
        let first = first.join(" -> ");
        Some(if more.is_empty() {
            format!("by {first}")
        } else {
            format!("by {first}, and {} more", more.len())
        })
    }
}

// === impl Object ===

/// As people name it: `HelmRelease apps/podinfo`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api_version: _, kind, namespace, name } = self;
        if namespace.is_empty() { write!(f, "{kind} {name}") } else { write!(f, "{kind} {namespace}/{name}") }
    }
}

// === impl Location ===

impl From<Span> for Location {
    fn from(span: Span) -> Self {
        Self { span }
    }
}
