//! The patterns of `${A#pattern}`: `*`, `?`, `[a-z]`, `[^a-z]` and `\`, where `*` and `?` match a `/`, too.

use super::{Error, Work};

/// Why it is not decided whether a pattern matches.
enum Stop {
    /// It is no pattern.
    Malformed,
    /// Too much was compared.
    TooMuch(Error),
}

/// Whether a pattern matches a whole text; `None` where it turns out to be no pattern before that is decided.
pub(super) fn matches(pattern: &[char], text: &[char], work: &mut Work) -> Result<Option<bool>, Error> {
    match whole(pattern, text, work) {
        Ok(matches) => Ok(Some(matches)),
        Err(Stop::Malformed) => Ok(None),
        Err(Stop::TooMuch(error)) => Err(error),
    }
}

fn whole(mut pattern: &[char], mut text: &[char], work: &mut Work) -> Result<bool, Stop> {
    while !pattern.is_empty() {
        let stars = pattern.iter().take_while(|it| **it == '*').count();
        let (chunk, rest) = pattern[stars..].split_at(chunk_length(&pattern[stars..]));
        pattern = rest;
        if chunk.is_empty() {
            return Ok(true);
        }
        let fits = |after: &[char]| after.is_empty() || !rest.is_empty();
        let skips = if stars == 0 { 0 } else { text.len() };
        let mut found = None;
        for skip in 0..=skips {
            work.add(chunk.len()).map_err(Stop::TooMuch)?;
            if let Some(after) = chunk_matches(chunk, &text[skip..])?.filter(|after| fits(after)) {
                found = Some(after);
                break;
            }
        }
        let Some(after) = found else { return Ok(false) };
        text = after;
    }
    Ok(text.is_empty())
}

/// How much of a pattern there is before its next star.
fn chunk_length(pattern: &[char]) -> usize {
    let (mut at, mut in_class) = (0, false);
    while at < pattern.len() {
        match pattern[at] {
            '\\' if at + 1 < pattern.len() => at += 1,
            '[' => in_class = true,
            ']' => in_class = false,
            '*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    at
}

/// What is left of a text behind a piece of a pattern without stars that matches its start.
fn chunk_matches<'t>(mut chunk: &[char], mut text: &'t [char]) -> Result<Option<&'t [char]>, Stop> {
    while let [operator, after @ ..] = chunk {
        let [next, rest @ ..] = text else { return Ok(None) };
        chunk = after;
        let is_match = match operator {
            '[' => in_class(&mut chunk, *next)?,
            '?' => true,
            '\\' => {
                let [escaped, after @ ..] = chunk else { return Err(Stop::Malformed) };
                chunk = after;
                escaped == next
            }
            literal => literal == next,
        };
        if !is_match {
            return Ok(None);
        }
        text = rest;
    }
    Ok(Some(text))
}

/// Whether a class, whose `[` is gone, holds a character; takes the class.
fn in_class(class: &mut &[char], wanted: char) -> Result<bool, Stop> {
    let is_negated = class.first() == Some(&'^');
    if is_negated {
        *class = &class[1..];
    }
    let (mut holds, mut ranges) = (false, 0);
    while class.first() != Some(&']') || ranges == 0 {
        let low = bound(class)?;
        let mut high = low;
        if class.first() == Some(&'-') {
            *class = &class[1..];
            high = bound(class)?;
        }
        holds |= (low..=high).contains(&wanted);
        ranges += 1;
    }
    *class = &class[1..];
    Ok(holds != is_negated)
}

/// One end of a range.
fn bound(class: &mut &[char]) -> Result<char, Stop> {
    let (bound, rest) = match class {
        [] | ['-' | ']', ..] | ['\\'] => return Err(Stop::Malformed),
        ['\\', escaped, rest @ ..] => (*escaped, rest),
        [bound, rest @ ..] => (*bound, rest),
    };
    *class = rest;
    if rest.is_empty() { Err(Stop::Malformed) } else { Ok(bound) }
}
