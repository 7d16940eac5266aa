//! From text to its parts.

use std::borrow::Cow;

use super::{Error, MAX_DEPTH};

/// A part of a text.
#[derive(Debug)]
pub(super) enum Part<'t> {
    /// What stays.
    Text(Cow<'t, str>),
    /// What is replaced.
    Function(Function<'t>),
}

/// `${PARAMETER}` with whatever follows the name.
#[derive(Debug)]
pub(super) struct Function<'t> {
    /// All of it, from the `$` to the `}`.
    pub(super) written: &'t str,
    /// The variable.
    pub(super) parameter: &'t str,
    /// The operator; empty where there is none. The length of a value (`${#A}`) is told from a cut prefix (`${A#b}`) by its having no arguments.
    pub(super) name: &'t str,
    /// What follows the operator.
    pub(super) arguments: Vec<Part<'t>>,
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    /// In how many substitutions it is.
    depth: usize,
}

/// The parts of a text.
pub(super) fn parse(text: &str) -> Result<Vec<Part<'_>>, Error> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let mut parts = Vec::new();
    while parser.at < text.len() {
        if parser.rest().starts_with("${") {
            parts.push(Part::Function(parser.function()?));
        } else {
            parts.push(Part::Text(parser.run(|_| true, &["$$"])));
        }
    }
    Ok(parts)
}

// === impl Parser ===

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes up to `most` characters of a set.
    fn take(&mut self, most: usize, is_one: impl Fn(char) -> bool) -> &'t str {
        let start = self.at;
        self.at +=
            self.rest().chars().take(most).take_while(|it| is_one(*it)).map(char::len_utf8).sum::<usize>();
        &self.text[start..self.at]
    }

    /// Takes text up to a `${` or a character that is not of a set. Of an escape, which begins with `$` or `\`, the second character is
    /// taken, whatever it is.
    fn run(&mut self, takes: impl Fn(char) -> bool, escapes: &[&str]) -> Cow<'t, str> {
        let mut run = Cow::Borrowed("");
        let mut start = self.at;
        while let Some(next) = self.peek() {
            let rest = self.rest();
            // Nearly none is one that a substitution or an escape begins with.
            let may_begin = matches!(next, '$' | '\\');
            if may_begin && escapes.iter().any(|escape| rest.starts_with(escape)) {
                run += &self.text[start..self.at];
                // The second character is a `$`, `/` or `\`, and so one byte.
                start = self.at + 1;
                self.at += 2;
            } else if may_begin && rest.starts_with("${") || !takes(next) {
                break;
            } else {
                self.at += next.len_utf8();
            }
        }
        run += &self.text[start..self.at];
        run
    }

    /// What begins with the `${` that comes next.
    fn function(&mut self) -> Result<Function<'t>, Error> {
        let start = self.at;
        self.at += 2;
        let is_length = self.peek() == Some('#');
        let mut name = if is_length { self.take(1, |it| it == '#') } else { "" };
        let parameter = self.take(usize::MAX, |it| it.is_alphabetic() || it.is_numeric() || it == '_');
        if parameter.is_empty() {
            return Err(if is_length { Error::BadSubstitution } else { Error::NoName });
        }
        let mut arguments = Vec::new();
        if !is_length {
            name = self.operator()?;
            self.arguments(name, &mut arguments)?;
        }
        if self.peek() != Some('}') {
            return Err(if name.is_empty() { Error::MissingClosingBrace } else { Error::BadSubstitution });
        }
        self.at += 1;
        Ok(Function { written: &self.text[start..self.at], parameter, name, arguments })
    }

    fn operator(&mut self) -> Result<&'t str, Error> {
        let rest = self.rest();
        let length = match self.peek() {
            Some(':') => match rest[1..].chars().next() {
                Some('=' | '-' | '?' | '+') => 2,
                // The library loses its place behind a colon that a longer character follows.
                Some(next) if next.is_ascii() => 1,
                _ => return Err(Error::BadSubstitution),
            },
            Some('=') => 1,
            Some(',' | '^') => return Ok(self.take(2, |it| it == ',' || it == '^')),
            Some('#') => return Ok(self.take(2, |it| it == '#')),
            Some('%') => return Ok(self.take(2, |it| it == '%')),
            Some('/') => 1 + usize::from(rest[1..].starts_with(['/', '#', '%'])),
            _ => 0,
        };
        self.at += length;
        Ok(&rest[..length])
    }

    /// What an operator is given, up to the closing brace.
    fn arguments(&mut self, name: &str, arguments: &mut Vec<Part<'t>>) -> Result<(), Error> {
        let not_closing = |it| it != '}';
        match name.as_bytes() {
            [] | [b',' | b'^', ..] => {}
            b":" => {
                arguments.push(self.argument(|it| it != ':' && it != '}', &[])?);
                if !self.take(usize::MAX, |it| it == ':').is_empty() {
                    arguments.push(self.argument(not_closing, &[])?);
                }
            }
            [b'#' | b'%', ..] => arguments.push(self.argument(not_closing, &[])?),
            [b'/', ..] => {
                let escapes = ["$$", "\\/", "\\\\"];
                arguments.push(self.argument(|it| it != '/', &escapes)?);
                if self.take(usize::MAX, |it| it == '/').is_empty() {
                    return Err(Error::BadSubstitution);
                }
                if self.peek() != Some('}') {
                    arguments.push(self.argument(not_closing, &escapes)?);
                }
            }
            _ => {
                while self.peek() != Some('}') {
                    arguments.push(self.argument(not_closing, &[])?);
                }
            }
        }
        Ok(())
    }

    /// Another function, or text of which there must be some.
    fn argument(&mut self, takes: impl Fn(char) -> bool, escapes: &[&str]) -> Result<Part<'t>, Error> {
        if self.rest().starts_with("${") {
            self.depth += 1;
            let function = if self.depth < MAX_DEPTH { self.function() } else { Err(Error::TooDeep) };
            self.depth -= 1;
            return function.map(Part::Function);
        }
        let start = self.at;
        let text = self.run(takes, escapes);
        if self.at == start { Err(Error::BadArgument) } else { Ok(Part::Text(text)) }
    }
}
