//! A pull reader over JSON bytes that borrows what it can and passes over what nobody asks for at several gigabytes a second.
//!
//! Valid JSON (RFC 8259) is read exactly as `serde_json` reads it. Two leniencies, both on purpose:
//!
//! - **Inside a skipped value only structure is checked**: strings end, and as many brackets close as open. The API server has parsed and
//!   written anew whatever it sends, and nothing is ever built from skipped bytes, so looking closer would cost time and protect nobody. All that
//!   is *read*, that is keys, strings, booleans and the structure around them, is checked in full.
//! - **A lone surrogate escape (`\ud800`) becomes U+FFFD**, as in Go's `encoding/json`. A review must never be lost to a character that
//!   the API server accepts, and the verdict must be about the text as Kubernetes sees it.
//!
//! No input makes the reader panic, recurse, or take more than linear time.

mod members;
pub mod pointer;
#[cfg(test)]
mod properties;
mod same;
mod span;
#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;
use std::fmt;

pub use members::{Elements, Members};
pub use same::{View, same};
use text::Checked;

/// What a JSON value is, told by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number, of whatever size and precision
    Number,
    /// A string
    String,
    /// An array
    Array,
    /// An object
    Object,
}

/// The text of one JSON value, exactly as it stands in the input.
///
/// Only [`Reader::skip`] and [`Reader::spanned`] make one, so the structure of the text is known to be sound.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a> {
    kind: Kind,
    bytes: &'a [u8],
}

/// Reads JSON from front to back, one value at a time.
///
/// A member that occurs twice is handed out twice. After an error the reader stands somewhere within the faulty value and is of no further use.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    checked: Checked<'a>,
}

/// What is wrong with the JSON, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {offset}")]
pub struct Error {
    /// What is wrong.
    pub problem: Problem,
    /// The offset of the byte that shows it, from the start of what the [`Reader`] was given.
    pub offset: usize,
}

/// What can be wrong with JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The input ends within a value.
    #[error("unexpected end")]
    Cut,
    /// No JSON value starts like this.
    #[error("no JSON value")]
    NoValue,
    /// A value of one kind where another was asked for.
    #[error("expected {wanted}, found {found}")]
    WrongKind {
        /// The kind asked for.
        wanted: Kind,
        /// The kind that is there.
        found: Kind,
    },
    /// Something else than the punctuation that belongs here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A control character, which JSON wants escaped, in a string.
    #[error("control character in a string")]
    ControlCharacter,
    /// A backslash with something behind it that is no escape.
    #[error("invalid escape")]
    InvalidEscape,
    /// A string that is not UTF-8.
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// Something after the end of the document.
    #[error("trailing characters")]
    Trailing,
}

// === impl Kind ===

impl Kind {
    /// The kind's name as JSON's own specification has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    fn starting_with(byte: u8) -> Option<Self> {
        match byte {
            b'n' => Some(Self::Null),
            b't' | b'f' => Some(Self::Boolean),
            b'-' | b'0'..=b'9' => Some(Self::Number),
            b'"' => Some(Self::String),
            b'[' => Some(Self::Array),
            b'{' => Some(Self::Object),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Raw ===

impl<'a> Raw<'a> {
    /// The text itself, without white space around it.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// A reader of this value alone. Its offsets count from the start of the value.
    pub fn reader(self) -> Reader<'a> {
        Reader::new(self.bytes)
    }

    /// What the value is.
    pub fn kind(self) -> Kind {
        self.kind
    }
}

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({})", self.bytes.escape_ascii())
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// A reader that stands before the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, checked: Checked::default() }
    }

    /// The offset of the byte that is read next.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The kind of the value that comes next, which stays unread.
    pub fn kind(&mut self) -> Result<Kind, Error> {
        let first = self.peek()?;
        Kind::starting_with(first).ok_or(self.error(Problem::NoValue))
    }

    /// Passes over the next value, whatever it is.
    pub fn skip(&mut self) -> Result<Raw<'a>, Error> {
        let kind = self.kind()?;
        let text = self.rest();
        let length = match kind {
            Kind::Null | Kind::Boolean => self.literal(text)?.len(),
            Kind::Number => text.iter().position(|byte| !is_in_numbers(*byte)).unwrap_or(text.len()),
            Kind::String => span::of_string(text).ok_or(self.cut())?,
            Kind::Array | Kind::Object => span::of_container(text).ok_or(self.cut())?,
        };
        self.position += length;
        Ok(Raw { kind, bytes: &text[..length] })
    }

    /// Reads a string. It is borrowed unless it holds escapes.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.expect_kind(Kind::String)?;
        self.position += 1;
        self.text()
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool, Error> {
        self.expect_kind(Kind::Boolean)?;
        let literal = self.literal(self.rest())?;
        self.position += literal.len();
        Ok(literal == "true")
    }

    /// Reads an object: calls `member` with each key, to consume exactly the value.
    pub fn object<E: From<Error>>(
        &mut self,
        mut member: impl FnMut(Cow<'a, str>, &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect_kind(Kind::Object)?;
        self.position += 1;
        if self.peek()? == b'}' {
            self.position += 1;
            return Ok(());
        }
        loop {
            if self.peek()? != b'"' {
                return Err(self.error(Problem::Expected("a member's name")).into());
            }
            self.position += 1;
            let name = self.text()?;
            if self.peek()? != b':' {
                return Err(self.error(Problem::Expected("`:`")).into());
            }
            self.position += 1;
            member(name, self)?;
            if self.ends(b'}', "`,` or `}`")? {
                return Ok(());
            }
        }
    }

    /// Reads an array: calls `element` for each element, to consume exactly that.
    pub fn array<E: From<Error>>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect_kind(Kind::Array)?;
        self.position += 1;
        if self.peek()? == b']' {
            self.position += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            if self.ends(b']', "`,` or `]`")? {
                return Ok(());
            }
        }
    }

    /// The text of the next value, which `read` must consume exactly.
    pub fn spanned<E: From<Error>>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<Raw<'a>, E> {
        let kind = self.kind()?;
        let start = self.position;
        read(self)?;
        Ok(Raw { kind, bytes: &self.bytes[start..self.position] })
    }

    /// Makes sure that nothing but white space remains.
    pub fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            Ok(_) => Err(self.error(Problem::Trailing)),
            Err(_) => Ok(()),
        }
    }

    /// Whether the list of members or elements ends here with `closing`, else it goes on after a comma.
    #[inline]
    fn ends(&mut self, closing: u8, expected: &'static str) -> Result<bool, Error> {
        let next = self.peek()?;
        if next != b',' && next != closing {
            return Err(self.error(Problem::Expected(expected)));
        }
        self.position += 1;
        Ok(next == closing)
    }

    fn expect_kind(&mut self, wanted: Kind) -> Result<(), Error> {
        let found = self.kind()?;
        if found == wanted { Ok(()) } else { Err(self.error(Problem::WrongKind { wanted, found })) }
    }

    fn literal(&self, text: &[u8]) -> Result<&'static str, Error> {
        ["true", "false", "null"]
            .into_iter()
            .find(|literal| text.starts_with(literal.as_bytes()))
            .ok_or(self.error(Problem::NoValue))
    }

    /// The next byte that is not white space, which stays unread.
    #[inline]
    fn peek(&mut self) -> Result<u8, Error> {
        match self.bytes.get(self.position) {
            // The API server sends no white space between values.
            Some(byte) if *byte > b' ' => Ok(*byte),
            _ => self.peek_behind_space(),
        }
    }

    fn peek_behind_space(&mut self) -> Result<u8, Error> {
        let space =
            self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
        self.position += space;
        self.bytes.get(self.position).copied().ok_or(self.cut())
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    fn error(&self, problem: Problem) -> Error {
        Error { problem, offset: self.position }
    }

    fn cut(&self) -> Error {
        Error { problem: Problem::Cut, offset: self.bytes.len() }
    }
}

fn is_in_numbers(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}
