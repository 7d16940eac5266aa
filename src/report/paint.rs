//! Colours, as terminals understand them.

use crate::report::Grade;

/// Whether text is coloured. Whoever asks for it knows the terminal, and what `NO_COLOR` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Colour {
    /// Not at all.
    #[default]
    Never,
    /// By ANSI escape sequences.
    Always,
}

/// What something is, which decides what it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Error,
    Warning,
    Note,
    /// What the eye should find first.
    Strong,
    /// What is around an excerpt, and marks what has to do with it.
    Frame,
}

/// Paints, or does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(Colour);

// === impl Style ===

impl Style {
    pub(super) fn of(grade: Grade) -> Self {
        match grade {
            Grade::Error => Self::Error,
            Grade::Warning => Self::Warning,
            Grade::Note => Self::Note,
        }
    }

    /// The parameters of the sequence that turns it on: those that rustc's users know.
    fn sequence(self) -> &'static str {
        match self {
            Self::Error => "1;91",
            Self::Warning => "1;33",
            Self::Note => "1;92",
            Self::Strong => "1",
            Self::Frame => "1;94",
        }
    }
}

// === impl Paint ===

impl Paint {
    pub(super) fn new(colour: Colour) -> Self {
        Self(colour)
    }

    /// The text in its style. It must hold no control characters.
    pub(super) fn paint(self, style: Style, text: &str) -> String {
        match self.0 {
            Colour::Always if !text.is_empty() => format!("\u{1b}[{}m{text}\u{1b}[0m", style.sequence()),
            _ => text.to_owned(),
        }
    }
}
