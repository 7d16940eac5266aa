//! What `--diff` shows, and `git apply` and `patch` take.
//!
//! The edits say what changes, so nothing is searched for, and the cost is that of the text's length.

use std::fmt::Write as _;
use std::ops::Range;

use super::edited;
use crate::report::Edit;
use crate::yaml::Span;

/// How many lines are shown around a change.
const CONTEXT: usize = 3;

/// Lines that give way to others.
struct Change {
    old: Range<usize>,
    new: Vec<String>,
}

/// The change of a file as a unified diff; empty where there is none. The path is relative to where the diff is applied.
///
/// The edits are all in this file, ordered, and do not overlap.
pub fn unified(path: &str, old: &str, edits: &[Edit]) -> String {
    // Lines end with `\n` for git and patch, and with nothing else.
    let lines: Vec<&str> = old.split_inclusive('\n').collect();
    let changes = changes(old, &lines, edits);
    let mut out = String::new();
    let mut grown: isize = 0;
    for hunk in changes.chunk_by(|before, after| after.old.start - before.old.end <= 2 * CONTEXT) {
        if out.is_empty() {
            out = format!("--- {}\n+++ {}\n", named("a", path), named("b", path));
        }
        write_hunk(hunk, &lines, &mut grown, &mut out);
    }
    out
}

/// The lines that edits change, without those that only stand beside a change.
fn changes(old: &str, lines: &[&str], edits: &[Edit]) -> Vec<Change> {
    let mut starts: Vec<usize> = Vec::with_capacity(lines.len() + 1);
    starts.extend(lines.iter().scan(0, |end, line| Some(std::mem::replace(end, *end + line.len()))));
    let line_of = |offset: u32| starts.partition_point(|start| *start <= offset as usize).saturating_sub(1);
    let end_of = |line: usize| starts.get(line + 1).copied().unwrap_or(old.len());
    let by_lines = edits.chunk_by(|before, after| line_of(after.span.start()) <= line_of(before.span.end()));
    let changes = by_lines.filter_map(|group| {
        let (first, last) = (group.first()?, group.last()?);
        let (from, to) = (line_of(first.span.start()), line_of(last.span.end()));
        let start = starts.get(from).copied().unwrap_or(0);
        let offset = u32::try_from(start).expect("the spans of a file are as narrow");
        let moved = group.iter().cloned().map(|mut edit| {
            let span = edit.span;
            edit.span = Span::new(span.file(), span.start() - offset, span.end() - offset);
            edit
        });
        let new = edited(&old[start..end_of(to)], moved.collect::<Vec<_>>().iter());
        let new: Vec<&str> = new.split_inclusive('\n').collect();
        let olds = &lines[from..lines.len().min(to + 1)];
        let above = olds.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let rest = olds[above..].iter().rev().zip(new[above..].iter().rev());
        let below = rest.take_while(|(old, new)| old == new).count();
        let change = Change {
            old: from + above..from + olds.len() - below,
            new: new[above..new.len() - below].iter().map(|line| (*line).to_owned()).collect(),
        };
        (!change.old.is_empty() || !change.new.is_empty()).then_some(change)
    });
    changes.collect()
}

/// Writes changes that are near each other. `grown` is how many lines those before them have added.
fn write_hunk(hunk: &[Change], lines: &[&str], grown: &mut isize, out: &mut String) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return };
    let shown = first.old.start.saturating_sub(CONTEXT)..lines.len().min(last.old.end + CONTEXT);
    let more = |change: &Change| change.new.len().cast_signed() - change.old.len().cast_signed();
    let added: isize = hunk.iter().map(more).sum();
    let start = shown.start.saturating_add_signed(*grown);
    let new = start..start + shown.len().saturating_add_signed(added);
    let _ = writeln!(out, "@@ -{} +{} @@", numbers(&shown), numbers(&new));
    *grown += added;
    let mut next = shown.start;
    for change in hunk {
        let context = lines[next..change.old.start].iter().map(|line| (' ', *line));
        let old = lines[change.old.clone()].iter().map(|line| ('-', *line));
        let new = change.new.iter().map(|line| ('+', line.as_str()));
        context.chain(old).chain(new).for_each(|(mark, line)| write_line(mark, line, out));
        next = change.old.end;
    }
    lines[next..shown.end].iter().for_each(|line| write_line(' ', line, out));
}

/// The first line, from 1, and how many there are. Of none, the one above is named.
fn numbers(lines: &Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => (lines.start + 1).to_string(),
        many => format!("{},{many}", lines.start + 1),
    }
}

fn write_line(mark: char, line: &str, out: &mut String) {
    out.push(mark);
    out.push_str(line);
    if !line.ends_with('\n') {
        out.push_str("\n\\ No newline at end of file\n");
    }
}

/// A path as git writes it: in quotes if it holds what ends a line or a quote, and with a tab behind it if it holds a space.
fn named(side: &str, path: &str) -> String {
    let path = format!("{side}/{path}");
    let needs_quotes = |letter: char| letter.is_control() || letter == '"' || letter == '\\';
    if !path.contains(needs_quotes) {
        return if path.contains(' ') { format!("{path}\t") } else { path };
    }
    let mut quoted = String::from("\"");
    for letter in path.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            letter if letter.is_control() => {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(quoted, "\\{byte:03o}");
                }
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
