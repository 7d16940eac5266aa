//! The memory that bodies may take: a bound for all together, and buffers that are used again.

use std::mem;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What buffers that wait to be used again may hold together: sixteen of a large release.
///
/// A buffer of hundreds of kilobytes that is freed after each review goes back to the system, and comes again page by
/// page; that can cost more than judging what it holds.
const MAX_SPARE_BYTES: usize = 6 * 1024 * 1024;

/// How much larger a buffer gets that is too small. There are few sizes so, and what one leaves behind fits the next: once one was freed, glibc
/// takes the others from its heap, and where many sizes leave their holes that grows to twice of what is in use.
const GROWTH: usize = 32;

/// Memory for bodies.
#[derive(Debug)]
pub(super) struct Memory {
    /// What one buffer holds at most.
    longest: usize,
    left: AtomicUsize,
    spare: Mutex<Spare>,
}

#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A part of the memory, until it is dropped.
#[derive(Debug)]
pub(super) struct Buffer<'a> {
    memory: &'a Memory,
    reserved: usize,
    bytes: Vec<u8>,
}

/// All memory is taken.
#[derive(Debug)]
pub(super) struct Exhausted;

// === impl Memory ===

impl Memory {
    /// Memory of so many bytes, for buffers of which none needs more than `longest`.
    pub(super) fn new(bytes: usize, longest: usize) -> Self {
        Self { longest, left: AtomicUsize::new(bytes), spare: Mutex::default() }
    }

    /// Sets `bytes` aside, without taking them from the system yet.
    pub(super) fn reserve(&self, bytes: usize) -> Result<Buffer<'_>, Exhausted> {
        self.take(bytes)?;
        Ok(Buffer { memory: self, reserved: bytes, bytes: Vec::new() })
    }

    fn take(&self, bytes: usize) -> Result<(), Exhausted> {
        // Nothing else is read or written on the strength of this number, so no order is needed.
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| Exhausted)
    }

    /// No code can panic while it holds the lock, so the spare buffers are sound all the same.
    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Spare ===

impl Spare {
    fn get(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let fits = self.buffers.iter().rposition(|buffer| buffer.capacity() >= bytes)?;
        let buffer = self.buffers.swap_remove(fits);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn put(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && self.bytes + buffer.capacity() <= MAX_SPARE_BYTES {
            buffer.clear();
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }
}

// === impl Buffer ===

impl Buffer<'_> {
    /// Gets the buffer ready for so many bytes.
    pub(super) fn prepare(&mut self, bytes: usize) {
        let spare = self.memory.spare().get(bytes);
        self.bytes = spare.unwrap_or_else(|| Vec::with_capacity(bytes));
    }

    /// Appends `data`, and sets more aside where there is no room for it.
    pub(super) fn extend(&mut self, data: &[u8]) -> Result<(), Exhausted> {
        let (length, capacity) = (self.bytes.len() + data.len(), self.bytes.capacity());
        if length > capacity {
            let room = length.max((GROWTH * capacity).min(self.memory.longest));
            let more = room.saturating_sub(self.reserved);
            self.memory.take(more)?;
            self.reserved += more;
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

impl Deref for Buffer<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        self.memory.left.fetch_add(self.reserved, Ordering::Relaxed);
        let bytes = mem::take(&mut self.bytes);
        if bytes.capacity() > 0 {
            self.memory.spare().put(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_taken_until_it_is_dropped() {
        let memory = Memory::new(100, 100);
        let first = memory.reserve(60).unwrap();
        assert!(memory.reserve(41).is_err());
        let second = memory.reserve(40).unwrap();
        assert!(memory.reserve(1).is_err());
        drop((first, second));
        assert!(memory.reserve(100).is_ok());
    }

    #[test]
    fn a_buffer_that_grows_takes_what_it_grows_by() {
        let memory = Memory::new(100, 50);
        let mut buffer = memory.reserve(10).unwrap();
        buffer.prepare(10);
        buffer.extend(&[1; 10]).unwrap();
        buffer.extend(&[2; 30]).unwrap();
        assert!(memory.reserve(51).is_err(), "it grew to the longest at once");
        buffer.extend(&[2; 10]).unwrap();
        assert!(buffer.extend(&[3; 60]).is_err());
        assert_eq!(buffer.len(), 50, "what does not fit is not taken in part");
        drop(buffer);
        assert!(memory.reserve(100).is_ok());
    }

    #[test]
    fn a_buffer_is_used_again_and_holds_nothing_of_before() {
        let memory = Memory::new(1000, 500);
        let mut buffer = memory.reserve(500).unwrap();
        buffer.prepare(500);
        buffer.extend(b"before").unwrap();
        let place = buffer.as_ptr();
        drop(buffer);
        let mut again = memory.reserve(400).unwrap();
        again.prepare(400);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }

    #[test]
    fn only_so_much_waits_to_be_used_again() {
        let memory = Memory::new(3 * MAX_SPARE_BYTES, MAX_SPARE_BYTES);
        let half = || {
            let mut buffer = memory.reserve(MAX_SPARE_BYTES / 2).unwrap();
            buffer.prepare(MAX_SPARE_BYTES / 2);
            buffer
        };
        drop([half(), half(), half()]);
        assert_eq!(memory.spare().buffers.len(), 2);
        assert_eq!(memory.spare().bytes, MAX_SPARE_BYTES);
    }
}
