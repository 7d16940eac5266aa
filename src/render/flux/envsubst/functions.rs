//! What the operators do with a value.

use std::borrow::Cow;

use super::pattern::matches;
use super::{Error, Work};

/// Whether an operator gives another value where the variable has none.
pub(super) fn is_default(name: &str) -> bool {
    matches!(name, "=" | ":=" | ":-" | ":?" | ":+")
}

/// Applies an operator.
pub(super) fn apply<'v>(
    name: &str,
    value: &'v str,
    arguments: &[String],
    work: &mut Work,
) -> Result<Cow<'v, str>, Error> {
    let first = arguments.first().map_or("", String::as_str);
    Ok(match name {
        "#" if arguments.is_empty() => value.len().to_string().into(),
        "," => of_first(value, |first| first.to_lowercase().collect()),
        ",," => value.to_lowercase().into(),
        "^" => of_first(value, |first| first.to_uppercase().collect()),
        "^^" => value.to_uppercase().into(),
        "#" | "##" => {
            let value: Vec<char> = value.chars().collect();
            let pattern: Vec<char> = first.chars().collect();
            let found = prefix(&value, &pattern, name == "##", work)?;
            value[found..].iter().collect::<String>().into()
        }
        "%" | "%%" => {
            let value: Vec<char> = value.chars().rev().collect();
            let pattern: Vec<char> = first.chars().rev().collect();
            let found = prefix(&value, &pattern, name == "%%", work)?;
            value[found..].iter().rev().collect::<String>().into()
        }
        ":" => return substring(value, arguments).map(Cow::Borrowed),
        "/" => value.replacen(first, second(arguments), 1).into(),
        "//" => value.replace(first, second(arguments)).into(),
        // An end that is replaced by nothing stays.
        "/#" | "/%" if arguments.len() < 2 => value.into(),
        "/#" => {
            value.strip_prefix(first).map_or(value.into(), |end| (second(arguments).to_owned() + end).into())
        }
        "/%" => value
            .strip_suffix(first)
            .map_or(value.into(), |start| (start.to_owned() + second(arguments)).into()),
        // What is no operator at all is taken for one that gives a default.
        _ if value.is_empty() => arguments.concat().into(),
        _ => value.into(),
    })
}

fn second(arguments: &[String]) -> &str {
    arguments.get(1).map_or("", String::as_str)
}

fn of_first(value: &str, change: impl Fn(char) -> String) -> Cow<'_, str> {
    let mut rest = value.chars();
    rest.next().map_or(value.into(), |first| (change(first) + rest.as_str()).into())
}

/// The length of the shortest or longest prefix that a pattern matches, without the empty one; zero where there is none, or the pattern turns out to be
/// no pattern.
fn prefix(value: &[char], pattern: &[char], is_longest: bool, work: &mut Work) -> Result<usize, Error> {
    let mut found = 0;
    for end in (1..=value.len()).rev() {
        match matches(pattern, &value[..end], work)? {
            None => return Ok(0),
            Some(true) if is_longest => return Ok(end),
            Some(true) => found = end,
            Some(false) => {}
        }
    }
    Ok(found)
}

/// `${A:offset}`, `${A:offset:length}`: counted in bytes; what is no number leaves the value as it is.
fn substring<'v>(value: &'v str, arguments: &[String]) -> Result<&'v str, Error> {
    let number = |index: usize| arguments.get(index).map(|text| text.parse::<i64>());
    let Some(Ok(offset)) = number(0) else { return Ok(value) };
    let size = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let start = if offset < 0 { offset.saturating_add(size).max(0) } else { offset };
    let end = match number(1) {
        None => size,
        Some(Err(_)) => return Ok(value),
        Some(Ok(length)) => start.saturating_add(length).min(size),
    };
    if start >= size && end >= size {
        return Ok("");
    }
    let place = |at: i64| usize::try_from(at).map_err(|_| Error::BadSubstring);
    value.get(place(start)?..place(end)?).ok_or(Error::BadSubstring)
}
