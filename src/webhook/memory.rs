//! Bounds the memory for bodies that are still arriving: a limit for all of them together, fair shares, and reused
//! buffers.
//!
//! Memory is reserved as bytes arrive. When it is used up, a body waits in line for more, and meanwhile nothing is read from
//! its connection. Bodies that do not advance make room: at once where their address holds more than that of the first
//! in line, so that many connections from one place cannot exclude a caller elsewhere; otherwise after [`GRACE`].

use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::caller::Caller;

/// Minimum size that a body counts for: about as much as its connection and its task hold besides.
pub const LEAST_RESERVATION: usize = 64 * 1024;

/// How many bytes count as an advance: a TLS record, the piece in which a body arrives.
pub(super) const ADVANCE: usize = 16 * 1024;

/// How long a body may pause before another one may take its place. Within a cluster, the next
/// piece arrives after a millisecond; a client whose CPU is throttled pauses for a tenth of a second.
const GRACE: Duration = Duration::from_millis(250);

/// Maximum memory of the requests of one connection beyond the longest body.
const SHARE_BEYOND_THE_LONGEST: usize = 1024 * 1024;

/// What buffers that wait to be used again may hold together: sixteen of a large release.
///
/// A buffer of hundreds of kilobytes that is freed after each review goes back to the system, and comes again page by
/// page; that can cost more than judging what it holds. They count as used, and are freed first when memory is short.
const MAX_SPARE_BYTES: usize = 6 * 1024 * 1024;

/// By how much a buffer that is too small grows. The whole buffer counts, used or not: the heap of glibc gives it pages that
/// an earlier body has used. Few sizes mean that a freed buffer fits the next body and leaves no hole.
const GROWTH: usize = 4;

/// How many later bodies pass a body in line for each [`LEAST_RESERVATION`] that it is to take. An announced length bounds what its
/// sender can take; so small reviews pass a crowd of large bodies, and a large one is still served after so many small ones.
const PASSED_BY: u64 = 64;

/// How many bodies of one connection wait in line; more are refused. HTTP/1.1 has one at a time; over HTTP/2 a client could
/// otherwise hold a hundred tasks for nothing.
const MAX_WAITING: usize = 4;

/// Memory for bodies.
#[derive(Debug)]
pub(super) struct Memory {
    /// What one buffer holds at most.
    longest: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: usize,
    spare: Spare,
    /// Bodies that have not arrived as a whole, numbered as they come.
    arriving: HashMap<u64, Entry>,
    next: u64,
    /// How many of them wait in line.
    waiting: usize,
    /// How many bodies have arrived as a whole and are being judged.
    whole: usize,
}

#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
}

/// A body that has not arrived as a whole.
#[derive(Debug)]
struct Entry {
    caller: Arc<Caller>,
    reserved: usize,
    bytes: Vec<u8>,
    /// Its turn in line: later for a larger body.
    turn: u64,
    /// When it last advanced, and how long it was then.
    advanced: (Instant, usize),
    /// Whether it waits in line for more memory. It cannot advance until it gets some.
    waits: bool,
    /// Wakes the task that reads it: when it is first in line, or has made room for another one.
    waker: Option<Waker>,
}

/// A place in line: the first gets the next memory that is free. Addresses that hold little come first, then bodies that
/// came early and are small.
type Place = (usize, u64, u64);

/// Whether a body gets memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has got it.
    Now,
    /// It waits: its task is woken when something changes, and has to ask again at this time.
    Later(Option<Instant>),
}

/// How there can be more memory.
enum Room {
    /// This body makes room.
    By(u64),
    /// Some body will have stalled by then.
    At(Instant),
    /// A body is being judged, and soon done.
    Soon,
}

/// A place for a body that is arriving, until it is dropped. Another body may take it away.
#[derive(Debug)]
pub(super) struct Arriving<'a> {
    memory: &'a Memory,
    id: u64,
}

/// A body that has arrived as a whole. Nobody takes its memory away until it is dropped.
#[derive(Debug)]
pub(super) struct Buffer<'a> {
    memory: &'a Memory,
    caller: Arc<Caller>,
    reserved: usize,
    bytes: Vec<u8>,
}

/// All memory is taken, or the connection's share of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

// === impl Memory ===

impl Memory {
    /// Memory of so many bytes, for bodies of which none is longer than `longest`.
    pub(super) fn new(bytes: usize, longest: usize) -> Self {
        let (spare, arriving) = (Spare::default(), HashMap::new());
        let state = State { left: bytes, spare, arriving, next: 0, waiting: 0, whole: 0 };
        Self { longest, state: Mutex::new(state) }
    }

    /// Begins to read a body, which is to become as long as `expected`. It has no memory before its first piece is added.
    pub(super) fn enter(&self, caller: &Arc<Caller>, expected: Option<usize>, now: Instant) -> Arriving<'_> {
        let units = expected.unwrap_or(self.longest).min(self.longest) / LEAST_RESERVATION;
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        let entry = Entry {
            caller: Arc::clone(caller),
            reserved: 0,
            bytes: Vec::new(),
            turn: id + PASSED_BY * units as u64,
            advanced: (now, 0),
            waits: false,
            waker: None,
        };
        state.arriving.insert(id, entry);
        Arriving { memory: self, id }
    }

    /// Maximum memory of the requests of one connection together.
    fn share(&self) -> usize {
        self.longest + SHARE_BEYOND_THE_LONGEST
    }

    /// Size of a buffer that is to hold `length` bytes now, and `expected` at the end. An announcement costs its sender
    /// nothing, so it makes no buffer larger.
    fn room(&self, length: usize, capacity: usize, expected: Option<usize>) -> usize {
        let mut room = capacity.max(LEAST_RESERVATION);
        while room < length {
            room *= GROWTH;
        }
        room.min(expected.unwrap_or(self.longest)).max(length)
    }

    /// No code can panic while it holds the lock, so the data behind it is consistent all the same.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Reserves `bytes` more for a body, whose connection may hold `share` in all, or puts it in line.
    fn take(&mut self, id: u64, (bytes, share): (usize, usize), now: Instant) -> Result<Turn, Exhausted> {
        let caller = Arc::clone(&self.entry(id)?.caller);
        if caller.held() + bytes > share {
            return Err(Exhausted);
        }
        if bytes > 0 && self.first_in_line(Some(id)) != Some(id) {
            return self.wait(id, None);
        }
        while self.left < bytes {
            if let Some(buffer) = self.spare.buffers.pop() {
                self.left += buffer.capacity();
                continue;
            }
            match self.room_for(id, bytes, now) {
                Room::By(other) => self.evict(other),
                Room::At(time) => return self.wait(id, Some(time)),
                Room::Soon => return self.wait(id, None),
            }
        }
        self.left -= bytes;
        caller.hold(bytes);
        let entry = self.entry(id)?;
        entry.reserved += bytes;
        if mem::take(&mut entry.waits) {
            // That it waited is not its fault.
            entry.advanced.0 = now;
            self.waiting -= 1;
        }
        self.wake_the_first();
        Ok(Turn::Now)
    }

    fn wait(&mut self, id: u64, until: Option<Instant>) -> Result<Turn, Exhausted> {
        let entry = self.entry(id)?;
        if !entry.waits {
            let caller = Arc::clone(&entry.caller);
            let is_of_same = |entry: &&Entry| entry.waits && Arc::ptr_eq(&entry.caller, &caller);
            if self.arriving.values().filter(is_of_same).count() >= MAX_WAITING {
                return Err(Exhausted);
            }
            self.entry(id)?.waits = true;
            self.waiting += 1;
        }
        Ok(Turn::Later(until))
    }

    /// The body that gets the next memory, of those that wait and `asking`.
    fn first_in_line(&self, asking: Option<u64>) -> Option<u64> {
        if self.waiting == 0 {
            return asking;
        }
        let held = self.held_by_address();
        let line = self.arriving.iter().filter(|(id, entry)| entry.waits || Some(**id) == asking);
        line.map(|(id, entry)| place(&held, *id, entry)).min().map(|(.., id)| id)
    }

    /// How a body gets `bytes` more than there are.
    fn room_for(&self, id: u64, bytes: usize, now: Instant) -> Room {
        let held = self.held_by_address();
        let peer = self.arriving.get(&id).map(|entry| entry.caller.peer());
        let wanted = bytes + peer.and_then(|peer| held.get(&peer)).copied().unwrap_or_default();
        let heavier = held.iter().filter(|(other, held)| Some(**other) != peer && **held >= wanted);
        let heaviest = heavier.max_by_key(|(_, held)| **held).map(|(other, _)| *other);
        let others = || self.arriving.iter().filter(|(other, entry)| **other != id && entry.reserved > 0);
        if let Some(heaviest) = heaviest {
            let of_it = others().filter(|(_, entry)| entry.caller.peer() == heaviest);
            return of_it
                .min_by_key(|(_, entry)| entry.advanced.0)
                .map_or(Room::Soon, |(id, _)| Room::By(*id));
        }
        let advancing = others().filter(|(_, entry)| !entry.waits);
        if let Some((other, entry)) = advancing.min_by_key(|(_, entry)| entry.advanced.0) {
            let stalls = entry.advanced.0 + GRACE;
            return if stalls <= now { Room::By(*other) } else { Room::At(stalls) };
        }
        // Each waits for the others. The largest goes, and of those the last in line, so that the first can become whole: what is
        // half there may never be, and a usual review is small.
        let largest = others().max_by_key(|(id, entry)| (entry.reserved, place(&held, **id, entry)));
        largest.filter(|_| self.whole == 0).map_or(Room::Soon, |(id, _)| Room::By(*id))
    }

    /// Bytes that the arriving bodies of each address hold together.
    fn held_by_address(&self) -> HashMap<IpAddr, usize> {
        let mut held = HashMap::<IpAddr, usize>::new();
        for entry in self.arriving.values() {
            *held.entry(entry.caller.peer()).or_default() += entry.reserved;
        }
        held
    }

    /// The body, unless it had to make room.
    fn entry(&mut self, id: u64) -> Result<&mut Entry, Exhausted> {
        self.arriving.get_mut(&id).ok_or(Exhausted)
    }

    fn evict(&mut self, id: u64) {
        if let Some(waker) = self.remove(id).and_then(|entry| entry.waker) {
            waker.wake();
        }
    }

    /// Forgets a body and frees what it holds.
    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.arriving.remove(&id)?;
        self.waiting -= usize::from(entry.waits);
        self.give_back(&entry.caller, entry.reserved);
        Some(entry)
    }

    fn give_back(&mut self, caller: &Caller, bytes: usize) {
        self.left += bytes;
        caller.release(bytes);
    }

    /// To be called whenever memory has become free, or the line has changed.
    fn wake_the_first(&self) {
        let first = self.first_in_line(None).and_then(|id| self.arriving.get(&id));
        if let Some(waker) = first.and_then(|entry| entry.waker.as_ref()) {
            waker.wake_by_ref();
        }
    }
}

fn place(held: &HashMap<IpAddr, usize>, id: u64, entry: &Entry) -> Place {
    (held.get(&entry.caller.peer()).copied().unwrap_or_default(), entry.turn, id)
}

// === impl Spare ===

impl Spare {
    fn get(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let fit = self.buffers.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= bytes);
        let (smallest, _) = fit.min_by_key(|(_, buffer)| buffer.capacity())?;
        Some(self.buffers.swap_remove(smallest))
    }

    fn bytes(&self) -> usize {
        self.buffers.iter().map(Vec::capacity).sum()
    }
}

// === impl Arriving ===

impl<'a> Arriving<'a> {
    /// Appends `data`, once there is memory for it; `expected` is how long the body is to become. The task to wake is the
    /// one of the last call of [`Self::advanced`].
    pub(super) fn extend(
        &self,
        data: &[u8],
        expected: Option<usize>,
        now: Instant,
    ) -> Result<Turn, Exhausted> {
        let state = &mut *self.memory.state();
        let entry = state.entry(self.id)?;
        let (length, capacity) = (entry.bytes.len() + data.len(), entry.bytes.capacity());
        let reserved = entry.reserved;
        let (mut room, mut spare) = (capacity, None);
        if length > capacity {
            room = self.memory.room(length, capacity, expected);
            if capacity == 0 {
                spare = state.spare.get(expected.unwrap_or(room));
                room = spare.as_ref().map_or(room, Vec::capacity);
            }
        }
        let of_spare = spare.as_ref().map_or(0, Vec::capacity);
        let more = room.max(LEAST_RESERVATION).saturating_sub(reserved);
        state.left += of_spare;
        let turn = state.take(self.id, (more, self.memory.share()), now);
        if turn != Ok(Turn::Now) {
            state.left -= of_spare;
            state.spare.buffers.extend(spare);
            return turn;
        }
        let entry = state.entry(self.id)?;
        if let Some(spare) = spare {
            entry.bytes = spare;
        } else if room > capacity {
            entry.bytes.reserve_exact(room - entry.bytes.len());
        }
        entry.bytes.extend_from_slice(data);
        if length >= entry.advanced.1 + ADVANCE {
            entry.advanced = (now, length);
        }
        turn
    }

    /// How long the body is by now.
    pub(super) fn len(&self) -> usize {
        self.memory.state().arriving.get(&self.id).map_or(0, |entry| entry.bytes.len())
    }

    /// When the body last advanced. The task is woken where another body takes its place, which then is an error, and
    /// where it is first in line.
    pub(super) fn advanced(&self, context: &Context<'_>) -> Result<Instant, Exhausted> {
        let mut state = self.memory.state();
        let entry = state.entry(self.id)?;
        match &mut entry.waker {
            Some(waker) => waker.clone_from(context.waker()),
            waker => *waker = Some(context.waker().clone()),
        }
        Ok(entry.advanced.0)
    }

    /// The body has arrived as a whole.
    pub(super) fn complete(self) -> Result<Buffer<'a>, Exhausted> {
        let memory = self.memory;
        let mut state = memory.state();
        let entry = state.arriving.remove(&self.id).ok_or(Exhausted)?;
        state.whole += 1;
        drop(state);
        let Entry { caller, reserved, bytes, .. } = entry;
        Ok(Buffer { memory, caller, reserved, bytes })
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        let mut state = self.memory.state();
        if state.remove(self.id).is_some() {
            state.wake_the_first();
        }
    }
}

// === impl Buffer ===

impl Deref for Buffer<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.bytes);
        let capacity = bytes.capacity();
        let mut state = self.memory.state();
        state.whole -= 1;
        state.give_back(&self.caller, self.reserved);
        if capacity > 0 && capacity <= state.left && state.spare.bytes() + capacity <= MAX_SPARE_BYTES {
            bytes.clear();
            state.left -= capacity;
            state.spare.buffers.push(bytes);
        }
        state.wake_the_first();
    }
}

#[cfg(test)]
mod tests;
