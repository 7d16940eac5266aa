//! Finds where a value ends, 64 bytes at a time.
//!
//! Nearly all bytes of a large review belong to values that no rule reads, so the time of a review is the time of passing over them. A
//! byte is looked at together with 63 others: the vector unit tells where the quotes, backslashes and brackets of a block are, one bit
//! each, and what remains are a few operations on 64-bit words, whatever the block holds.

use wide::u8x16;

const BLOCK: usize = 64;
const LANES: usize = 16;

/// Bits 1, 3, 5 and so on.
const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;

/// The length of the object or array that `text` starts with, or `None` if it is cut off.
///
/// Only structure is looked at: every string ends, and as many brackets close as open.
pub(super) fn of_container(text: &[u8]) -> Option<usize> {
    let mut strings = Strings::default();
    let mut depth = 0;
    of(text, |block| {
        let quotes = strings.quotes(block);
        // Dashboards and configuration files are long strings: their brackets need not even be looked for.
        if quotes == 0 && strings.open != 0 {
            return None;
        }
        let inside = strings.inside(quotes);
        let opens = block.opens() & !inside;
        let closes = block.closes() & !inside;
        let closing = u64::from(closes.count_ones());
        if closing >= depth
            && let Some(end) = balanced(opens, closes, depth)
        {
            return Some(end);
        }
        depth += u64::from(opens.count_ones());
        depth -= closing;
        None
    })
}

/// The length of the string that `text` starts with, quotes included, or `None` if it is cut off.
pub(super) fn of_string(text: &[u8]) -> Option<usize> {
    // Most strings are short and plain, and then one vector is enough.
    if let Some(start) = text.get(1..).and_then(<[u8]>::first_chunk) {
        let start = u8x16::new(*start);
        let quotes = start.simd_eq(u8x16::splat(b'"')).to_bitmask();
        let backslashes = start.simd_eq(u8x16::splat(b'\\')).to_bitmask();
        if quotes.trailing_zeros() < backslashes.trailing_zeros() {
            return Some(quotes.trailing_zeros() as usize + 2);
        }
    }
    let mut strings = Strings::default();
    // The first quote opens; it is the one bit of the first block to leave out.
    let mut opening = 1;
    of(text, |block| {
        let quotes = strings.quotes(block) & !opening;
        opening = 0;
        (quotes != 0).then(|| quotes.trailing_zeros())
    })
}

/// Hands `text` block by block to `end`, until it finds the end in one.
#[inline]
fn of(text: &[u8], mut end: impl FnMut(&Block) -> Option<u32>) -> Option<usize> {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().enumerate() {
        if let Some(at) = end(&Block::new(block)) {
            return Some(index * BLOCK + at as usize + 1);
        }
    }
    // White space ends nothing, so what is found lies within the text.
    let mut last = [b' '; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    end(&Block::new(&last)).map(|at| blocks.len() * BLOCK + at as usize + 1)
}

/// The first position at which no bracket is open any more.
#[inline]
fn balanced(opens: u64, closes: u64, mut depth: u64) -> Option<u32> {
    let mut left = opens | closes;
    while left != 0 {
        let at = left.trailing_zeros();
        if opens >> at & 1 == 1 {
            depth += 1;
        } else {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
        left &= left - 1;
    }
    None
}

/// 64 bytes, as four vectors.
struct Block([u8x16; BLOCK / LANES]);

impl Block {
    #[inline]
    fn new(bytes: &[u8; BLOCK]) -> Self {
        let (lanes, _) = bytes.as_chunks::<LANES>();
        Self([u8x16::new(lanes[0]), u8x16::new(lanes[1]), u8x16::new(lanes[2]), u8x16::new(lanes[3])])
    }

    #[inline]
    fn quotes(&self) -> u64 {
        self.bits(|lane| lane.simd_eq(u8x16::splat(b'"')))
    }

    #[inline]
    fn backslashes(&self) -> u64 {
        self.bits(|lane| lane.simd_eq(u8x16::splat(b'\\')))
    }

    /// `[` and `{` differ in one bit, and no other byte becomes `{` when it is set. The same holds for `]` and `}`.
    #[inline]
    fn opens(&self) -> u64 {
        self.bits(|lane| (lane | u8x16::splat(0x20)).simd_eq(u8x16::splat(b'{')))
    }

    #[inline]
    fn closes(&self) -> u64 {
        self.bits(|lane| (lane | u8x16::splat(0x20)).simd_eq(u8x16::splat(b'}')))
    }

    /// One bit for each byte for which `test` holds, the first byte's the lowest.
    #[inline]
    fn bits(&self, test: impl Fn(u8x16) -> u8x16) -> u64 {
        let [a, b, c, d] = self.0.map(|lane| u64::from(test(lane).to_bitmask()));
        a | b << LANES | c << (2 * LANES) | d << (3 * LANES)
    }
}

/// What a block must know of the blocks before it.
#[derive(Default)]
struct Strings {
    /// All bits if the last block ended inside a string, else none.
    open: u64,
    /// 1 if the last byte of the last block escapes the first of the next, else 0.
    escaping: u64,
}

impl Strings {
    /// The quotes that open or close a string.
    #[inline]
    fn quotes(&mut self, block: &Block) -> u64 {
        block.quotes() & !self.escaped(block)
    }

    /// The bytes inside of strings, opening quotes included and closing quotes not.
    #[inline]
    fn inside(&mut self, quotes: u64) -> u64 {
        let inside = parities(quotes) ^ self.open;
        // The highest bit, everywhere.
        self.open = (inside.cast_signed() >> 63).cast_unsigned();
        inside
    }

    /// The bytes that a backslash escapes: those after an odd number of backslashes, and every second one within a run of them.
    #[inline]
    fn escaped(&mut self, block: &Block) -> u64 {
        let backslashes = block.backslashes();
        if backslashes == 0 {
            return std::mem::take(&mut self.escaping);
        }
        // A run starts at a backslash that is not escaped itself. Subtracting it from the odd bits borrows through the run, and so turns over exactly
        // every second byte from the one after its start up to and including the byte after its end, wherever the run starts.
        let starting = backslashes & !self.escaping;
        let followers = starting << 1;
        let alternating = (followers | ODD).wrapping_sub(starting) ^ ODD;
        let escaped = alternating ^ (backslashes | self.escaping);
        self.escaping = (alternating & backslashes) >> 63;
        escaped
    }
}

/// Bit n tells whether an odd number of the bits 0 to n is set.
#[inline]
fn parities(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^ bits << 32
}
