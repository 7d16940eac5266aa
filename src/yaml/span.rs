//! Places in files.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{LazyLock, RwLock};

/// A range of bytes in a file.
///
/// There is one for every key and every value, and most of a tree is keys and values, so it is one word. What does not fit in there, which is
/// a range of more than 128 KiB, a place behind the first 128 MiB, or one in a file behind the first half million, is kept beside it for as
/// long as the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span(u64);

/// The same, of any size.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Wide {
    file: u32,
    start: u32,
    end: u32,
}

/// The bits of a word: whether it is the number of a wide one, the file, where the range starts, and how long it is.
const WIDE: u64 = 1 << 63;
const FILE: u32 = 19;
const START: u32 = 27;
const LENGTH: u32 = 17;

/// The wide ones, each once, so that equal words are equal ranges.
static ALL_WIDE: LazyLock<RwLock<AllWide>> = LazyLock::new(RwLock::default);

#[derive(Default)]
struct AllWide {
    by_number: Vec<Wide>,
    numbers: HashMap<Wide, usize>,
}

// === impl Span ===

impl Span {
    /// From a byte of a file up to another one, which is no part of it. The file is the number that its reader was given.
    pub fn new(file: u32, start: u32, end: u32) -> Self {
        let length = end.checked_sub(start);
        match length {
            Some(length) if file >> FILE == 0 && start >> START == 0 && length >> LENGTH == 0 => {
                Self((u64::from(file) << (START + LENGTH)) | (u64::from(start) << LENGTH) | u64::from(length))
            }
            _ => Wide { file, start, end }.into(),
        }
    }

    /// A range of a text in a file. No text is longer than a span can tell; an offset behind that is told as the last one.
    pub fn of(file: u32, range: Range<usize>) -> Self {
        let narrow = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self::new(file, narrow(range.start), narrow(range.end))
    }

    /// The file, by the number that its reader was given.
    pub fn file(self) -> u32 {
        self.wide().file
    }

    /// The first byte.
    pub fn start(self) -> u32 {
        self.wide().start
    }

    /// The byte after the last one.
    pub fn end(self) -> u32 {
        self.wide().end
    }

    /// The range, to slice the text of the file with.
    pub fn range(self) -> Range<usize> {
        let Wide { start, end, .. } = self.wide();
        start as usize..end as usize
    }

    /// From the same byte up to another one.
    #[must_use]
    pub fn up_to(self, end: u32) -> Self {
        let Wide { file, start, .. } = self.wide();
        Self::new(file, start, end)
    }

    fn wide(self) -> Wide {
        if self.0 & WIDE != 0 {
            let number = usize::try_from(self.0 & !WIDE).expect("it is the number of one in memory");
            return ALL_WIDE.read().expect("nothing panics while it holds the lock").by_number[number];
        }
        let bits = |from: u32, count: u32| {
            u32::try_from((self.0 >> from) & ((1 << count) - 1)).expect("no part has more than 32 bits")
        };
        let start = bits(LENGTH, START);
        Wide { file: bits(START + LENGTH, FILE), start, end: start + bits(0, LENGTH) }
    }
}

impl Ord for Span {
    /// By file, then by start, then by end.
    fn cmp(&self, other: &Self) -> Ordering {
        if (self.0 | other.0) & WIDE == 0 {
            return self.0.cmp(&other.0);
        }
        let parts = |span: Self| {
            let Wide { file, start, end } = span.wide();
            (file, start, end)
        };
        parts(*self).cmp(&parts(*other))
    }
}

impl PartialOrd for Span {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wide { file, start, end } = self.wide();
        write!(f, "{file}:{start}..{end}")
    }
}

impl From<Wide> for Span {
    fn from(wide: Wide) -> Self {
        let AllWide { by_number, numbers } =
            &mut *ALL_WIDE.write().expect("nothing panics while it holds the lock");
        let number = *numbers.entry(wide).or_insert_with(|| {
            by_number.push(wide);
            by_number.len() - 1
        });
        Self(WIDE | u64::try_from(number).expect("a word holds the number of one in memory"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of any size, those at the bounds more often than others.
    fn number() -> impl Strategy<Value = u32> {
        let bounds = [FILE, START, LENGTH].map(|bits| (1 << bits) - 2..(1_u32 << bits) + 2);
        let [file, start, length] = bounds;
        prop_oneof![any::<u32>(), 0..100_u32, file, start, length]
    }

    proptest! {
        #[test]
        fn whatever_is_put_in_comes_out_and_is_ordered_like_its_parts(
            one in (number(), number(), number()),
            other in (number(), number(), number()),
            is_same_file in any::<bool>(),
        ) {
            let other = if is_same_file { (one.0, other.1, other.2) } else { other };
            let span = |(file, start, end)| Span::new(file, start, end);
            let of = |span: Span| (span.file(), span.start(), span.end());
            prop_assert_eq!(of(span(one)), one);
            prop_assert_eq!(span(one).range(), one.1 as usize..one.2 as usize);
            prop_assert_eq!(of(span(one).up_to(other.2)), (one.0, one.1, other.2));
            prop_assert_eq!(span(one), span(one));
            prop_assert_eq!(span(one).cmp(&span(other)), one.cmp(&other));
        }
    }
}
