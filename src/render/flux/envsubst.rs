//! Variables in text, as kustomize-controller replaces them: the dialect of `github.com/fluxcd/pkg/envsubst`.
//!
//! It looks like a shell's and is not quite: `${A-b}` is an error, `${A:+b}` means the same as `${A:-b}`, and lengths are bytes. The library
//! itself answers the same in the tests.

mod functions;
mod parser;
mod pattern;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use thiserror::Error as ThisError;

use parser::Part;

/// What is known of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable<'v> {
    /// It has this value.
    Known(&'v str),
    /// It has none.
    Unset,
    /// It has none, which is an error where nothing is given in its place.
    Missing,
    /// It may have a value that is nowhere here: in a Secret, or set in the cluster.
    Unknown,
}

/// A text after its variables are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluated<'t> {
    /// The text. What depends on an unknown variable is still there as it was written.
    pub text: Cow<'t, str>,
    /// Whether something in it depends on an unknown variable.
    pub is_opaque: bool,
    /// How much was done for it, in bytes that were written and characters that were compared.
    pub work: usize,
}

/// How much is done for a text.
#[derive(Debug, Default)]
struct Work(usize);

/// How deep substitutions may be nested in one another. Nobody writes more than a few.
const MAX_DEPTH: usize = 100;

/// How much may be done for one text. An object of Kubernetes is no longer than 3 MiB.
const MAX_WORK: usize = 4_000_000;

/// The library would refuse the text, and kustomize-controller everything that the Kustomization holds.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum Error {
    /// Something that is no substitution follows `${`.
    #[error("bad substitution")]
    BadSubstitution,
    /// The end of the text comes first, or something that no name can be followed by.
    #[error("missing closing brace")]
    MissingClosingBrace,
    /// No name follows `${`.
    #[error("unable to parse variable name")]
    NoName,
    /// What should be there is not, or the text ends in it.
    #[error("unable to parse substitution within function")]
    BadArgument,
    /// It is nested deeper than is read here. The library reads it.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// It becomes too long, or takes too long. The library has no such limit.
    #[error("it becomes longer than an object of Kubernetes may be, or a pattern takes too long")]
    TooMuch,
    /// A variable has no value, and the text gives none in its place.
    #[error("the variable {0} has no value, which Flux refuses from 2.9 on (StrictPostBuildSubstitutions)")]
    NotSet(String),
    /// An offset or length that is outside of the value, or inside of a character.
    #[error("a substring that is none")]
    BadSubstring,
}

/// Replaces the variables of a text. One without a `$` is given back as it is.
pub fn evaluate<'t, 'v>(
    text: &'t str,
    variable: &dyn Fn(&str) -> Variable<'v>,
) -> Result<Evaluated<'t>, Error> {
    if !text.contains('$') {
        return Ok(Evaluated { text: Cow::Borrowed(text), is_opaque: false, work: 0 });
    }
    let parts = parser::parse(text)?;
    let mut work = Work::default();
    let (text, is_opaque) = write(&parts, variable, &mut work)?;
    Ok(Evaluated { text: Cow::Owned(text), is_opaque, work: work.0 })
}

fn write<'v>(
    parts: &[Part<'_>],
    variable: &dyn Fn(&str) -> Variable<'v>,
    work: &mut Work,
) -> Result<(String, bool), Error> {
    let (mut all, mut is_opaque) = (String::new(), false);
    for part in parts {
        let before = all.len();
        match part {
            Part::Text(text) => all.push_str(text),
            Part::Function(function) => {
                let mut arguments = Vec::new();
                let mut has_opaque = false;
                for argument in &function.arguments {
                    let (text, opaque) = write(std::slice::from_ref(argument), variable, work)?;
                    has_opaque |= opaque;
                    arguments.push(text);
                }
                let value = match variable(function.parameter) {
                    Variable::Known(value) => value,
                    Variable::Missing if !functions::is_default(function.name) => {
                        return Err(Error::NotSet(function.parameter.to_owned()));
                    }
                    Variable::Unset | Variable::Missing => "",
                    Variable::Unknown => {
                        is_opaque = true;
                        all.push_str(function.written);
                        continue;
                    }
                };
                if !has_opaque {
                    all.push_str(&functions::apply(function.name, value, &arguments, work)?);
                } else if functions::is_default(function.name) {
                    // A default is used as a whole or not at all.
                    is_opaque |= value.is_empty();
                    all.push_str(&functions::apply(function.name, value, &arguments, work)?);
                } else {
                    is_opaque = true;
                    all.push_str(function.written);
                }
            }
        }
        work.add(all.len() - before)?;
    }
    Ok((all, is_opaque))
}

// === impl Work ===

impl Work {
    fn add(&mut self, more: usize) -> Result<(), Error> {
        self.0 = self.0.saturating_add(more);
        if self.0 > MAX_WORK { Err(Error::TooMuch) } else { Ok(()) }
    }
}
