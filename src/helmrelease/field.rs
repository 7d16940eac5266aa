//! A field that may be absent, odd, or right.

use std::borrow::Cow;

use crate::json::{Error, Kind, Reader};

/// One field of the object, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// Not there, or `null`.
    #[default]
    Absent,
    /// There, but not of the type that the schema asks for.
    WrongType(Kind),
    /// There, and of the right type.
    Set(T),
}

/// A field that holds a string.
pub type Text<'a> = Field<Cow<'a, str>>;

// === impl Field ===

impl<T> Field<T> {
    /// The value, if there is one of the right type.
    pub fn set(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Absent | Self::WrongType(_) => None,
        }
    }

    /// The value itself, if there is one of the right type.
    pub fn into_set(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Absent | Self::WrongType(_) => None,
        }
    }

    /// Whether there is nothing, or `null`.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Reads the next value: `read` is called where it is of the `wanted` kind.
    pub fn read<'a>(
        reader: &mut Reader<'a>,
        wanted: Kind,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Error>,
    ) -> Result<Self, Error> {
        match reader.kind()? {
            kind if kind == wanted => read(reader).map(Self::Set),
            Kind::Null => reader.skip().map(|_| Self::Absent),
            kind => reader.skip().map(|_| Self::WrongType(kind)),
        }
    }
}

impl<T: Default> Field<T> {
    /// Reads the next value as an object: `member` is called for each of its members, and consumes the value.
    pub fn read_members<'a>(
        reader: &mut Reader<'a>,
        mut member: impl FnMut(&mut T, &str, &mut Reader<'a>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        Self::read(reader, Kind::Object, |reader| {
            let mut value = T::default();
            reader.object(|key, reader| member(&mut value, &key, reader))?;
            Ok(value)
        })
    }
}

impl<'a> Text<'a> {
    /// The text, if there is one.
    pub fn text(&self) -> Option<&str> {
        self.set().map(AsRef::as_ref)
    }

    /// The text, if there is one that is not empty.
    pub fn filled(&self) -> Option<&str> {
        self.text().filter(|text| !text.is_empty())
    }

    /// Reads the next value as text.
    pub fn read_text(reader: &mut Reader<'a>) -> Result<Self, Error> {
        Self::read(reader, Kind::String, Reader::string)
    }
}
