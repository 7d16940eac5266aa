//! Iterates over the members and elements of a value, one at a time, to compare two values.

use std::borrow::Cow;

use super::{Error, Kind, Problem, Raw, Reader};

/// The members of an object, in their order. Ends after an error.
#[derive(Debug)]
pub struct Members<'a>(Items<'a>);

/// The elements of an array, in their order. Ends after an error.
#[derive(Debug)]
pub struct Elements<'a>(Items<'a>);

#[derive(Debug)]
struct Items<'a> {
    reader: Reader<'a>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Within,
    Ended,
}

// === impl Raw ===

impl<'a> Raw<'a> {
    /// The members of an object; none where the value is something else.
    pub fn members(self) -> Members<'a> {
        Members(Items::of(self, Kind::Object))
    }

    /// The elements of an array; none where the value is something else.
    pub fn elements(self) -> Elements<'a> {
        Elements(Items::of(self, Kind::Array))
    }

    /// The member of an object by its key. Where it occurs more than once, the last one counts.
    pub fn member(self, key: &str) -> Option<Self> {
        let named = self.members().map_while(Result::ok).filter(|(name, _)| name == key);
        named.last().map(|(_, value)| value)
    }
}

// === impl Items ===

impl<'a> Items<'a> {
    fn of(value: Raw<'a>, kind: Kind) -> Self {
        let state = if value.kind() == kind { State::Before } else { State::Ended };
        Self { reader: value.reader(), state }
    }

    /// Reads the next item by `read`, up to the `closing` bracket.
    fn next<T>(
        &mut self,
        closing: u8,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        let read =
            self.goes_on(closing).and_then(|goes_on| goes_on.then(|| read(&mut self.reader)).transpose());
        let read = read.transpose();
        self.state = if matches!(read, Some(Ok(_))) { State::Within } else { State::Ended };
        read
    }

    fn goes_on(&mut self, closing: u8) -> Result<bool, Error> {
        match self.state {
            State::Before => {
                self.reader.position += 1;
                Ok(self.reader.peek()? != closing)
            }
            State::Within => Ok(!self.reader.ends(closing, "`,` or the end")?),
            State::Ended => Ok(false),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<(Cow<'a, str>, Raw<'a>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(b'}', |reader| {
            let name = reader.string()?;
            if reader.peek()? != b':' {
                return Err(reader.error(Problem::Expected("`:`")));
            }
            reader.position += 1;
            Ok((name, reader.skip()?))
        })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Raw<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(b']', Reader::skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Raw<'_> {
        Reader::new(json.as_bytes()).skip().unwrap()
    }

    #[test]
    fn hands_out_every_member_and_element_once() {
        let members = |json| raw(json).members().map(|it| it.map(|(key, value)| (key, value.bytes())));
        assert_eq!(
            members(r#" { "a" : [1] ,"b\u0041":{"c":2}} "#).collect::<Result<Vec<_>, _>>().unwrap(),
            [("a".into(), &b"[1]"[..]), ("bA".into(), br#"{"c":2}"#)]
        );
        assert_eq!((members("{}").count(), members("[1]").count(), members("3").count()), (0, 0, 0));
        let elements = |json| raw(json).elements().map(|it| it.map(Raw::bytes));
        assert_eq!(
            elements(r#"[ 1, "a" ,[]]"#).collect::<Result<Vec<_>, _>>().unwrap(),
            [&b"1"[..], br#""a""#, b"[]"]
        );
        assert_eq!((elements("[]").count(), elements("{}").count()), (0, 0));
    }

    #[test]
    fn ends_with_an_error_where_something_else_stands() {
        for json in [r#"{"a":1 "b":2}"#, r#"{"a" 1}"#, "{1:2}", r#"{"a":}"#, r#"{"a":1,}"#] {
            let all: Vec<_> = raw(json).members().collect();
            assert_eq!(all.iter().filter(|it| it.is_err()).count(), 1, "{json}");
            assert!(all.last().unwrap().is_err(), "{json}");
        }
        assert!(raw("[1 2]").elements().last().unwrap().is_err());
    }

    #[test]
    fn finds_the_last_of_a_repeated_member() {
        assert_eq!(raw(r#"{"a":1,"a":2}"#).member("a").map(Raw::bytes), Some(&b"2"[..]));
        assert_eq!(raw(r#"{"a":1}"#).member("b"), None);
    }
}
