//! Entries of a map that is written one on a line.

use std::ops::Range;

use super::text::{colon, end_of, is_blank_or_comment, line_break, line_end, line_start, next_line};
use super::{Piece, Why};
use crate::yaml::{Pair, Style, Written};

/// Lines for new entries, below all others of the map and above what follows it.
pub(super) fn insertion(text: &str, mapping: &Written<'_>, entries: &[String]) -> Result<Vec<Piece>, Why> {
    let (Some(first), Some(last)) = (mapping.pairs().first(), mapping.pairs().last()) else {
        return Err(Why::Layout);
    };
    let indent = indent_of(text, first).ok_or(Why::Layout)?;
    let at = line_end(text, end_of(text, last));
    if !is_blank_or_comment(&text[end_of(text, last)..at]) {
        return Err(Why::Layout);
    }
    let line_break = line_break(text, at);
    let lines = entries.iter().map(|entry| format!("{line_break}{:indent$}{entry}", ""));
    Ok(vec![Piece { range: at..at, text: lines.collect() }])
}

/// Takes an entry out, with its lines and the comment on the last of them; comments above and below it stay.
pub(super) fn removal(text: &str, mapping: &Written<'_>, index: usize) -> Result<Vec<Piece>, Why> {
    let pair = &mapping.pairs()[index];
    let (start, end) = (pair.key.at.start() as usize, end_of(text, pair));
    let cut = |range: Range<usize>| Ok(vec![Piece { range, text: String::new() }]);
    if mapping.pairs().len() == 1 {
        // A map that is left without a line would be read as null.
        return Ok(vec![Piece { range: start..end, text: "{}".to_owned() }]);
    }
    let last_line_end = line_end(text, end);
    if !is_blank_or_comment(&text[end..last_line_end]) {
        return Err(Why::Layout);
    }
    let line = line_start(text, start);
    if text[line..start].chars().all(|letter| letter == ' ') {
        let below = next_line(text, last_line_end);
        if below > last_line_end {
            return cut(line..below);
        }
        // The last line of a file that has no line end: the line above loses its own instead.
        let above = text[..line].strip_suffix('\n').map_or(line, str::len);
        let above = text[..above].strip_suffix('\r').map_or(above, str::len);
        return cut(above..end.max(last_line_end));
    }
    // `- key: value`: what is next takes its place behind the dash.
    let next = mapping.pairs().get(index + 1).ok_or(Why::Layout)?;
    let next_start = next.key.at.start() as usize;
    let only_space = text[last_line_end..next_start].trim().is_empty();
    if !only_space || next.key.is_anchored() || next.key.tagged {
        return Err(Why::Layout);
    }
    cut(start..next_start)
}

/// The column of a key. `None` where something else than a dash is before it.
fn indent_of(text: &str, pair: &Pair<'_>) -> Option<usize> {
    let start = pair.key.at.start() as usize;
    let before = &text[line_start(text, start)..start];
    before.chars().all(|letter| letter == ' ' || letter == '-').then_some(before.len())
}

/// Puts a value behind the colon of a key that has none.
pub(super) fn filled(text: &str, pair: &Pair<'_>, value: &str) -> Result<Piece, Why> {
    let key_end = pair.key.at.end() as usize;
    if pair.value.is_anchored() || pair.value.tagged {
        return Err(Why::Layout);
    }
    Ok(match colon(text, key_end) {
        Some(colon) => Piece { range: colon + 1..colon + 1, text: format!(" {value}") },
        None => Piece { range: key_end..key_end, text: format!(": {value}") },
    })
}

/// Puts a scalar in the place of one that has lines of its own (`|`, `>`), header and all.
pub(super) fn unblocked(text: &str, pair: &Pair<'_>, value: &str) -> Result<Piece, Why> {
    let start = colon(text, pair.key.at.end() as usize).ok_or(Why::Layout)? + 1;
    let header = text[start..line_end(text, start)].trim();
    let is_header = header.starts_with(['|', '>'])
        && header.chars().skip(1).all(|letter| letter.is_ascii_digit() || "+-".contains(letter));
    if !is_header {
        return Err(Why::Layout);
    }
    Ok(Piece { range: start..end_of(text, pair), text: format!(" {value}") })
}

/// The quotes of a key and of a plain value beside others: those of the last entry.
pub(super) fn styles(mapping: &Written<'_>) -> (Style, Style) {
    let style = |node: &Written<'_>| match &node.form {
        crate::yaml::Form::Scalar(_, Style::Single) => Style::Single,
        crate::yaml::Form::Scalar(_, Style::Double) => Style::Double,
        _ => Style::Plain,
    };
    mapping.pairs().last().map_or((Style::Plain, Style::Plain), |it| (style(&it.key), style(&it.value)))
}
