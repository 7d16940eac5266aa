//! Scalars, and what stands in brackets.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2};

use super::Scanner;

/// What is left of the empty lines at the end of a block.
#[derive(Clone, Copy, PartialEq)]
enum Chomping {
    Strip,
    Clip,
    Keep,
}

/// Whether a text has tabs; `None` if it has characters that are out of the ordinary: controls, a byte-order mark, what Unicode calls none.
pub(super) fn has_tabs(text: &str) -> Option<bool> {
    let bytes = text.as_bytes();
    // Without an early end, and in blocks of a size that is known, so that many bytes are looked at in one step.
    let (blocks, rest) = bytes.as_chunks::<64>();
    let (mut odd, mut tabs, mut wide) = (false, false, false);
    let mut look = |block: &[u8]| {
        let (mut is_odd, mut is_tab, mut all) = (0, 0, 0);
        for &byte in block {
            let is_control = u8::from(byte < b' ') & u8::from(byte != b'\t') & u8::from(byte != b'\n');
            is_odd |= is_control | u8::from(byte == 0x7f);
            is_tab |= u8::from(byte == b'\t');
            all |= byte;
        }
        (odd, tabs, wide) = (odd || is_odd != 0, tabs || is_tab != 0, wide || all >= 0x80);
    };
    for block in blocks {
        look(block);
    }
    look(rest);
    let follows =
        |first: u8, odd: fn(&[u8]) -> bool| memchr_iter(first, bytes).any(|at| odd(&bytes[at + 1..]));
    let has_odd = odd
        // U+0080 to U+009F
        || (wide && follows(0xc2, |rest| rest[0] < 0xa0))
        // U+2028 and U+2029
        || (wide && follows(0xe2, |rest| matches!(rest, [0x80, 0xa8 | 0xa9, ..])))
        // U+FEFF, U+FFFE and U+FFFF
        || (wide && follows(0xef, |rest| matches!(rest, [0xbb, 0xbf, ..] | [0xbf, 0xbe | 0xbf, ..])));
    (!has_odd).then_some(tabs)
}

/// Whether a byte separates what is before it from what is behind it; the end of the text does, too.
pub(super) fn is_end(byte: Option<&u8>) -> bool {
    matches!(byte, None | Some(b' ' | b'\n'))
}

/// Whether a scalar without quotes may start so.
pub(super) fn is_plain_start(byte: u8) -> bool {
    !matches!(
        byte,
        b' ' | b'\t'
            | b'\n'
            | b'?'
            | b':'
            | b','
            | b'['
            | b']'
            | b'{'
            | b'}'
            | b'#'
            | b'&'
            | b'*'
            | b'!'
            | b'|'
            | b'>'
            | b'\''
            | b'"'
            | b'%'
            | b'@'
            | b'`'
    )
}

impl<'a> Scanner<'a> {
    /// The end of a scalar without quotes: the colon behind a key, the space before a comment, or the end of the line.
    pub(super) fn plain_end(&self, start: usize) -> usize {
        let mut at = start;
        loop {
            match self.bytes.get(at) {
                None | Some(b'\n') => return at,
                Some(b':') if is_end(self.bytes.get(at + 1)) => return at,
                Some(b'#') if self.bytes[at - 1] == b' ' => return at - 1,
                Some(_) => at += 1,
            }
        }
    }

    /// A value without quotes, and where it ends.
    pub(super) fn plain(&mut self, start: usize) -> Option<(Cow<'a, str>, usize)> {
        let (mut end, mut next) = self.plain_line(start)?;
        let mut text = Cow::Borrowed(&self.text[start..end]);
        while let Some((line, first, breaks)) = next.and_then(|line| self.continuation(line)) {
            // A comment ends a scalar, and a tab is out of the ordinary.
            if matches!(self.bytes[first], b'#' | b'\t') {
                return None;
            }
            self.line = line;
            (end, next) = self.plain_line(first)?;
            self.fold(text.to_mut(), breaks, &self.text[first..end]);
        }
        Some((text, end))
    }

    /// Where the part of a scalar without quotes ends that is on one line, and where the next line starts, unless the scalar ends here.
    fn plain_line(&self, start: usize) -> Option<(usize, Option<usize>)> {
        let end = self.plain_end(start);
        // What a tab means depends on what is around it.
        if self.has_tabs && memchr(b'\t', &self.bytes[start..end]).is_some() {
            return None;
        }
        let next = match self.bytes.get(end) {
            // A key where a value is.
            Some(b':') => return None,
            Some(b'\n') => Some(end + 1),
            _ => None,
        };
        Some((self.before_spaces(start, end), next))
    }

    /// The next line that says something, if it belongs to the value before it: where it starts, its first character, and how many lines are empty
    /// in between.
    fn continuation(&self, mut line: usize) -> Option<(usize, usize, usize)> {
        let mut breaks = 0;
        loop {
            let first = self.past_spaces(line);
            if self.bytes.get(first)? != &b'\n' {
                let column = self.levels.last()?.column;
                return (first - line > column).then_some((line, first, breaks));
            }
            breaks += 1;
            line = first + 1;
        }
    }

    /// Adds a line to a text: one line end becomes a space, and of several one less is left.
    fn fold(&self, text: &mut String, breaks: usize, line: &str) {
        if self.builder.skips_texts() {
            return;
        }
        if breaks == 0 {
            text.push(' ');
        }
        text.extend(std::iter::repeat_n('\n', breaks));
        text.push_str(line);
    }

    /// The text in quotes that end on the same line, and where they end.
    pub(super) fn quoted(&self, start: usize) -> Option<(Cow<'a, str>, usize)> {
        let (text, length) = in_quotes(self.bytes[start], &self.text[start + 1..self.line_end(start)])?;
        Some((text, start + 1 + length? + 1))
    }

    /// The text in quotes, and where they end, be it on another line.
    pub(super) fn quoted_over_lines(&mut self, start: usize) -> Option<(Cow<'a, str>, usize)> {
        let quote = self.bytes[start];
        let mut end = self.line_end(start);
        let (mut text, closed) = in_quotes(quote, &self.text[start + 1..end])?;
        if let Some(length) = closed {
            return Some((text, start + 1 + length + 1));
        }
        (text, _) = in_quotes(quote, self.text[start + 1..end].trim_end_matches(' '))?;
        loop {
            let (line, first, breaks) = self.continuation(end + 1)?;
            self.line = line;
            end = self.line_end(first);
            if self.has_tabs && memchr(b'\t', &self.bytes[first..end]).is_some() {
                return None;
            }
            let (last, closed) = in_quotes(quote, &self.text[first..end])?;
            if let Some(length) = closed {
                self.fold(text.to_mut(), breaks, &last);
                return Some((text, first + length + 1));
            }
            let (more, _) = in_quotes(quote, self.text[first..end].trim_end_matches(' '))?;
            self.fold(text.to_mut(), breaks, &more);
        }
    }

    /// Reads a literal or folded block; returns where its last line ends, which is where another one starts.
    pub(super) fn block(&mut self, start: usize, anchor: usize) -> Option<usize> {
        let is_folded = self.bytes[start] == b'>';
        let (chomping, header) = match self.bytes.get(start + 1) {
            Some(b'-') => (Chomping::Strip, start + 2),
            Some(b'+') => (Chomping::Keep, start + 2),
            _ => (Chomping::Clip, start + 1),
        };
        let mut line = self.end_of_line(header)?;
        let mut breaks = 0;
        let mut longest = 0;
        let mut first = self.past_spaces(line);
        while self.bytes.get(first) == Some(&b'\n') {
            (breaks, longest) = (breaks + 1, longest.max(first - line));
            line = first + 1;
            first = self.past_spaces(line);
        }
        let indent = first - line;
        let is_deeper = self.levels.last().is_some_and(|level| indent > level.column);
        if !is_deeper || longest > indent || matches!(self.bytes.get(first), None | Some(b'\t')) {
            return None;
        }
        let is_skipped = self.builder.skips_texts();
        let mut text = String::new();
        let (mut at, mut is_next, mut was_blank) = (first, false, false);
        loop {
            let end = at + memchr(b'\n', &self.bytes[at..])?;
            if !is_skipped {
                let is_blank = matches!(self.bytes[at], b' ' | b'\t');
                let is_joined = is_folded && is_next && !was_blank && !is_blank;
                if is_joined && breaks == 0 {
                    text.push(' ');
                } else {
                    let count = breaks + usize::from(is_next && !is_joined);
                    text.extend(std::iter::repeat_n('\n', count));
                }
                text.push_str(&self.text[at..end]);
                (is_next, was_blank) = (true, is_blank);
            }
            breaks = 0;
            line = end + 1;
            loop {
                let spaces = self.bytes[line..].iter().take(indent).take_while(|byte| **byte == b' ').count();
                at = line + spaces;
                if self.bytes.get(at) != Some(&b'\n') {
                    break;
                }
                breaks += 1;
                line = at + 1;
            }
            if at - line < indent || at == self.bytes.len() {
                break;
            }
        }
        if chomping != Chomping::Strip && !is_skipped {
            text.push('\n');
        }
        if chomping == Chomping::Keep && !is_skipped {
            text.extend(std::iter::repeat_n('\n', breaks));
        }
        self.builder.scalar(text.into(), false, self.span(first, at), anchor).ok()?;
        self.line = line;
        Some(line)
    }

    /// Reads a list or a map in brackets; returns where it ends.
    pub(super) fn flow(&mut self, start: usize, anchor: usize, depth: usize) -> Option<usize> {
        let depth = depth.checked_sub(1)?;
        let is_map = self.bytes[start] == b'{';
        let open = self.span(start, start + 1);
        if is_map {
            self.builder.begin_mapping(true, open, anchor).ok()?;
        } else {
            self.builder.begin_sequence(true, open, anchor).ok()?;
        }
        let close = if is_map { b'}' } else { b']' };
        let mut at = self.past_lines(start + 1)?;
        if self.bytes.get(at) != Some(&close) {
            loop {
                if is_map {
                    let end = self.flow_scalar(at)?;
                    if self.bytes.get(end) != Some(&b':') || self.bytes.get(end + 1) != Some(&b' ') {
                        return None;
                    }
                    at = self.past_spaces(end + 1);
                }
                let end = match *self.bytes.get(at)? {
                    b'[' | b'{' => self.flow(at, 0, depth)?,
                    b'*' => self.alias(at)?,
                    _ => self.flow_scalar(at)?,
                };
                at = self.past_lines(end)?;
                match *self.bytes.get(at)? {
                    b',' => at = self.past_lines(at + 1)?,
                    byte if byte == close => break,
                    _ => return None,
                }
                // Behind the last comma.
                if self.bytes.get(at) == Some(&close) {
                    break;
                }
            }
        }
        self.builder.end(self.span(at, at + 1)).ok()?;
        Some(at + 1)
    }

    /// Where the next part of a list or a map in brackets starts, be it on another line, which has to belong to the block around them.
    fn past_lines(&mut self, at: usize) -> Option<usize> {
        let mut at = self.past_spaces(at);
        while self.bytes.get(at) == Some(&b'\n') {
            let line = at + 1;
            at = self.past_spaces(line);
            let column = at - line;
            let is_inside = match self.levels.last() {
                Some(level) => column > level.column,
                // There, `---` and `...` may end the document.
                None => column > 0 || !matches!(self.bytes.get(at), Some(b'-' | b'.')),
            };
            if self.bytes.get(at) != Some(&b'\n') {
                if self.has_tabs || !is_inside {
                    return None;
                }
                self.line = line;
            }
        }
        Some(at)
    }

    /// Reads a scalar in brackets; returns where it ends.
    fn flow_scalar(&mut self, start: usize) -> Option<usize> {
        let first = *self.bytes.get(start)?;
        if matches!(first, b'"' | b'\'') {
            let (text, end) = self.quoted(start)?;
            self.builder.scalar(text.into(), false, self.span(start, end), 0).ok()?;
            return Some(end);
        }
        if !is_plain_start(first) || (first == b'-' && !self.bytes.get(start + 1)?.is_ascii_alphanumeric()) {
            return None;
        }
        let mut end = start;
        loop {
            match *self.bytes.get(end)? {
                // Whether it goes on on the next line shows there.
                b',' | b']' | b'}' | b'\n' => break,
                b':' if matches!(
                    self.bytes.get(end + 1)?,
                    b' ' | b'\n' | b',' | b'[' | b']' | b'{' | b'}'
                ) =>
                {
                    break;
                }
                // A question mark is refused there by the libraries of Go.
                b'[' | b'{' | b'?' => return None,
                b'#' if self.bytes[end - 1] == b' ' => return None,
                _ => end += 1,
            }
        }
        let end = self.before_spaces(start, end);
        let text = self.text[start..end].into();
        self.builder.scalar(text, true, self.span(start, end), 0).ok()?;
        Some(end)
    }
}

/// What is in quotes up to the end of a line, and where they end, if they do.
fn in_quotes(quote: u8, line: &str) -> Option<(Cow<'_, str>, Option<usize>)> {
    if quote == b'"' { double_quoted(line) } else { Some(single_quoted(line)) }
}

fn single_quoted(line: &str) -> (Cow<'_, str>, Option<usize>) {
    let bytes = line.as_bytes();
    let (mut end, mut is_escaped) = (memchr(b'\'', bytes), false);
    while let Some(at) = end.filter(|at| bytes.get(at + 1) == Some(&b'\'')) {
        is_escaped = true;
        end = memchr(b'\'', &bytes[at + 2..]).map(|length| at + 2 + length);
    }
    let text = &line[..end.unwrap_or(line.len())];
    (if is_escaped { text.replace("''", "'").into() } else { text.into() }, end)
}

/// Escapes are read if they stand for one character that is well known.
fn double_quoted(line: &str) -> Option<(Cow<'_, str>, Option<usize>)> {
    let bytes = line.as_bytes();
    let mut end = memchr2(b'"', b'\\', bytes);
    if end.is_none_or(|at| bytes[at] == b'"') {
        return Some((line[..end.unwrap_or(line.len())].into(), end));
    }
    let (mut text, mut start) = (String::new(), 0);
    while let Some(at) = end.filter(|at| bytes[*at] == b'\\') {
        text.push_str(&line[start..at]);
        let mut length = 2;
        text.push(match bytes.get(at + 1)? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'"' => '"',
            b'\\' => '\\',
            b'u' => {
                length = 6;
                let digits =
                    line.get(at + 2..at + 6).filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            _ => return None,
        });
        start = at + length;
        end = memchr2(b'"', b'\\', &bytes[start..]).map(|length| start + length);
    }
    text.push_str(&line[start..end.unwrap_or(line.len())]);
    Some((text.into(), end))
}
