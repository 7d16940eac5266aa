//! Reading strings: from the bytes between two quotes to text.

use std::borrow::Cow;

use wide::u8x16;

use super::{Error, Problem, Reader, span};

const LANES: usize = 16;

/// The highest of the control characters, which JSON wants escaped.
const LAST_CONTROL: u8 = 0x1f;

/// How far ahead of a string its surroundings are checked with it. The strings of a review are short and stand close
/// together, and checking one by itself takes as long as finding its end.
const AHEAD: usize = 256;

/// A part of the input that is known to be UTF-8.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Checked<'a> {
    text: &'a str,
    /// The offset of its first byte.
    start: usize,
}

// === impl Checked ===

impl<'a> Checked<'a> {
    /// The text of `length` bytes from offset `position` on, if they are known.
    #[inline]
    fn get(self, position: usize, length: usize) -> Option<&'a str> {
        let start = position.checked_sub(self.start)?;
        self.text.get(start..start + length)
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Reads what follows an opening quote, the closing one included.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, Error> {
        let quote = self.position - 1;
        let plain = self.plain()?;
        if self.bytes.get(self.position) == Some(&b'"') {
            self.position += 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.escaped_text(plain, quote).map(Cow::Owned)
    }

    /// Continues behind `plain`, at something other than a quote. The string begins at offset `quote`.
    fn escaped_text(&mut self, plain: &str, quote: usize) -> Result<String, Error> {
        // A text is never longer than its escaped form, and a string that grows by doubling takes three times that.
        let longest = span::of_string(&self.bytes[quote..]).unwrap_or_default();
        let mut text = String::with_capacity(longest);
        text.push_str(plain);
        loop {
            match self.bytes.get(self.position) {
                Some(b'"') => break,
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(self.error(Problem::ControlCharacter)),
                None => return Err(self.cut()),
            }
            text.push_str(self.plain()?);
        }
        self.position += 1;
        Ok(text)
    }

    /// Reads up to the next quote, backslash or control character.
    #[inline]
    fn plain(&mut self) -> Result<&'a str, Error> {
        let length = plain_length(self.rest());
        let text = match self.checked.get(self.position, length) {
            Some(text) => text,
            None => self.check(length)?,
        };
        self.position += length;
        Ok(text)
    }

    /// The next `length` bytes as text. None of the bytes that can follow is ever part of a longer character, so it can be
    /// checked without them; that they are checked as well only saves time, and they may be anything.
    fn check(&mut self, length: usize) -> Result<&'a str, Error> {
        let rest = self.rest();
        let ahead = &rest[..length.max(AHEAD).min(rest.len())];
        let text = str::from_utf8(ahead).or_else(|error| match error.valid_up_to() {
            valid if valid >= length => str::from_utf8(&ahead[..valid]),
            _ => Err(error),
        });
        let text = text.map_err(|error| Error {
            problem: Problem::InvalidUtf8,
            offset: self.position + error.valid_up_to(),
        })?;
        self.checked = Checked { text, start: self.position };
        Ok(&text[..length])
    }

    /// Reads a backslash and what it escapes.
    fn escape(&mut self) -> Result<char, Error> {
        let escaped = match self.bytes.get(self.position + 1).ok_or(self.cut())? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => return self.unicode_escape(),
            same @ (b'"' | b'\\' | b'/') => char::from(*same),
            _ => return Err(self.error(Problem::InvalidEscape)),
        };
        self.position += 2;
        Ok(escaped)
    }

    /// Reads `\uXXXX`, and another one if the two are a pair of surrogates.
    fn unicode_escape(&mut self) -> Result<char, Error> {
        let first = self.code_unit(self.position).ok_or(self.error(Problem::InvalidEscape))?;
        let pair = [first, self.code_unit(self.position + 6).unwrap_or_default()];
        let character = char::decode_utf16(pair).next().and_then(Result::ok);
        self.position += 6 * character.map_or(1, char::len_utf16);
        Ok(character.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// The number in `\uXXXX`, if that is what stands there.
    fn code_unit(&self, position: usize) -> Option<u16> {
        let digits = self.bytes.get(position..position + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, digit| {
            let value = char::from(*digit).to_digit(16)?;
            Some(unit << 4 | u16::try_from(value).expect("a hexadecimal digit is below 16"))
        })
    }
}

/// The number of bytes up to the first quote, backslash or control character.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    let (vectors, rest) = bytes.as_chunks::<LANES>();
    for (index, vector) in vectors.iter().enumerate() {
        let vector = u8x16::new(*vector);
        let special = vector.simd_eq(u8x16::splat(b'"'))
            | vector.simd_eq(u8x16::splat(b'\\'))
            | vector.simd_eq(vector.min(u8x16::splat(LAST_CONTROL)));
        let special = special.to_bitmask();
        if special != 0 {
            return index * LANES + special.trailing_zeros() as usize;
        }
    }
    let start = bytes.len() - rest.len();
    start + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=LAST_CONTROL)).unwrap_or(rest.len())
}
