//! Entries of a map that is written in braces, as all of them are in JSON.

use super::text::{end_of, is_blank_or_comment, line_break, line_end, line_start, next_line};
use super::{Piece, Why};
use crate::yaml::{Form, Style, Written};

/// New entries behind the last one: on lines of their own if that has one.
pub(super) fn insertion(text: &str, mapping: &Written<'_>, entries: &[String]) -> Vec<Piece> {
    let Some(last) = mapping.pairs().last() else {
        let inside = mapping.at.start() as usize + 1;
        return vec![Piece { range: inside..inside, text: entries.join(", ") }];
    };
    let (key, end) = (last.key.at.start() as usize, end_of(text, last));
    let comma = comma_after(text, end);
    let line_end = line_end(text, comma.unwrap_or(end));
    let indent = &text[line_start(text, key)..key];
    let is_alone = indent.trim().is_empty() && is_blank_or_comment(&text[comma.unwrap_or(end)..line_end]);
    let trailing = if comma.is_some() { "," } else { "" };
    if !is_alone {
        let (at, before) = comma.map_or((end, ", "), |comma| (comma, " "));
        return vec![Piece { range: at..at, text: format!("{before}{}{trailing}", entries.join(", ")) }];
    }
    let separator = format!(",{}{indent}", line_break(text, line_end));
    let lines = format!("{}{}{trailing}", &separator[1..], entries.join(&separator));
    if comma.is_none() && end == line_end {
        return vec![Piece { range: end..end, text: format!(",{lines}") }];
    }
    let comma = comma.is_none().then(|| Piece { range: end..end, text: ",".to_owned() });
    comma.into_iter().chain([Piece { range: line_end..line_end, text: lines }]).collect()
}

/// Takes an entry out, with its comma and with its lines where it has them for itself.
pub(super) fn removal(text: &str, mapping: &Written<'_>, index: usize) -> Result<Vec<Piece>, Why> {
    let pairs = mapping.pairs();
    let (start, end) = (pairs[index].key.at.start() as usize, end_of(text, &pairs[index]));
    let comma = comma_after(text, end);
    let after = comma.unwrap_or(end);
    let is_last = index + 1 == pairs.len();
    let mut pieces = Vec::new();
    let before = index.checked_sub(1).map(|before| end_of(text, &pairs[before]));
    // Who loses the entry behind it loses its comma, unless the last entry had one, too.
    let orphan = before
        .filter(|_| is_last && comma.is_none())
        .map(|before| comma_after(text, before).map(|it| it - 1..it));
    let (line, line_end) = (line_start(text, start), line_end(text, after));
    let is_alone = text[line..start].trim().is_empty() && is_blank_or_comment(&text[after..line_end]);
    if is_alone && next_line(text, line_end) > line_end {
        pieces.extend(orphan.map(|comma| comma.ok_or(Why::Layout)).transpose()?);
        pieces.push(line..next_line(text, line_end));
    } else if is_last {
        // Of two commas, the one before and the one behind, one stays.
        let kept = |before: usize| comma.and_then(|_| comma_after(text, before)).unwrap_or(before);
        let from = before.map_or(start, kept);
        if !text[from..start].trim_start_matches(|it: char| it == ',' || it.is_whitespace()).is_empty() {
            return Err(Why::Layout);
        }
        pieces.push(from..after);
    } else {
        let next = pairs[index + 1].key.at.start() as usize;
        if !text[after..next].trim().is_empty() {
            return Err(Why::Layout);
        }
        pieces.push(start..next);
    }
    Ok(pieces.into_iter().map(|range| Piece { range, text: String::new() }).collect())
}

/// Whether a map is written as JSON has it, so that every text needs double quotes.
pub(super) fn is_json(mapping: &Written<'_>, parents: &[(&Written<'_>, usize)]) -> bool {
    let quotes_keys = |node: &Written<'_>| {
        let is_double = |key: &Written<'_>| matches!(key.form, Form::Scalar(_, Style::Double));
        matches!(node.form, Form::Mapping { flow: true, .. })
            && node.pairs().first().is_some_and(|pair| is_double(&pair.key))
    };
    let is_flow = matches!(mapping.form, Form::Mapping { flow: true, .. });
    let outer = || parents.iter().rev().map(|(parent, _)| *parent).find(|it| !it.pairs().is_empty());
    quotes_keys(mapping) || (is_flow && mapping.pairs().is_empty() && outer().is_some_and(quotes_keys))
}

/// The byte behind the comma that follows a value, if nothing but white space is in between.
fn comma_after(text: &str, end: usize) -> Option<usize> {
    let rest = text[end..].trim_start();
    rest.starts_with(',').then(|| text.len() - rest.len() + 1)
}
