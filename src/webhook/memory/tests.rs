use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

const KIB: usize = 1024;

/// A connection from 10.0.0.`last`.
fn caller(last: u8) -> Arc<Caller> {
    Caller::new([10, 0, 0, last].into())
}

fn left(memory: &Memory) -> usize {
    memory.state().left
}

fn is_evicted(body: &Arriving<'_>) -> bool {
    !body.memory.state().arriving.contains_key(&body.id)
}

/// A body of which nothing has arrived, with its memory.
fn enter<'a>(memory: &'a Memory, caller: &Arc<Caller>, now: Instant) -> Arriving<'a> {
    let body = memory.enter(caller, Some(0), now);
    assert_eq!(body.extend(&[], None, now), Ok(Turn::Now));
    body
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the body's task was woken since it last asked.
struct Task(Arc<Wakes>);

impl Task {
    fn of(body: &Arriving<'_>) -> Self {
        let wakes = Arc::new(Wakes::default());
        body.advanced(&Context::from_waker(&Arc::clone(&wakes).into())).unwrap();
        Self(wakes)
    }

    fn is_woken(&self) -> bool {
        self.0.0.swap(0, Ordering::Relaxed) > 0
    }
}

/// Memory for four bodies of which nothing has arrived.
fn memory_for_four() -> Memory {
    Memory::new(4 * LEAST_RESERVATION, 4 * LEAST_RESERVATION)
}

#[test]
fn a_body_reserves_the_least_at_first_and_more_as_its_bytes_arrive() {
    let memory = Memory::new(1000 * KIB, 900 * KIB);
    let now = Instant::now();
    let body = memory.enter(&caller(1), Some(0), now);
    assert_eq!(left(&memory), 1000 * KIB);
    body.extend(&[], Some(900 * KIB), now).unwrap();
    assert_eq!(left(&memory), 936 * KIB, "whatever it announces");
    body.extend(&vec![1; 60 * KIB], Some(900 * KIB), now).unwrap();
    assert_eq!(left(&memory), 936 * KIB);
    body.extend(&[2; 10 * KIB], Some(900 * KIB), now).unwrap();
    assert_eq!(left(&memory), 744 * KIB, "the next size is four times as large");
    let whole = body.complete().unwrap();
    assert_eq!(whole.len(), 70 * KIB);
    drop(whole);
    assert_eq!(left(&memory) + memory.state().spare.bytes(), 1000 * KIB);
}

#[test]
fn the_body_that_stalls_longest_makes_room() {
    let (memory, start) = (memory_for_four(), Instant::now());
    let first = enter(&memory, &caller(1), start);
    let second = enter(&memory, &caller(1), start + GRACE / 10);
    let others: Vec<_> = (0..2).map(|_| enter(&memory, &caller(1), start + GRACE)).collect();
    // Some bytes are no advance.
    first.extend(&[0; ADVANCE - 1], None, start + GRACE).unwrap();
    let next = enter(&memory, &caller(1), start + 2 * GRACE);
    assert!(is_evicted(&first) && first.extend(&[0], None, start).is_err());
    assert!(!is_evicted(&second) && !others.iter().any(is_evicted) && !is_evicted(&next));
}

#[test]
fn a_body_that_advances_is_not_evicted_for_one_from_the_same_address() {
    let (memory, start) = (memory_for_four(), Instant::now());
    let bodies: Vec<_> = (0..4).map(|_| enter(&memory, &caller(1), start)).collect();
    for body in &bodies {
        body.extend(&[0; ADVANCE], None, start + GRACE).unwrap();
    }
    let new = memory.enter(&caller(1), Some(0), start + GRACE);
    assert_eq!(new.extend(&[], None, start + GRACE), Ok(Turn::Later(Some(start + 2 * GRACE))));
    assert!(!bodies.iter().any(is_evicted));
    assert_eq!(new.extend(&[], None, start + 2 * GRACE), Ok(Turn::Now));
    assert_eq!(bodies.iter().filter(|body| is_evicted(body)).count(), 1);
}

#[test]
fn bodies_get_memory_in_the_order_in_which_they_came() {
    let (memory, now) = (memory_for_four(), Instant::now());
    let mut bodies: Vec<_> = (0..4).map(|_| enter(&memory, &caller(1), now)).collect();
    let line = [memory.enter(&caller(1), Some(0), now), memory.enter(&caller(1), Some(0), now)];
    let tasks = [Task::of(&line[0]), Task::of(&line[1])];
    assert_eq!(line[0].extend(&[], None, now), Ok(Turn::Later(Some(now + GRACE))));
    // It need not look at a clock: who is before it does.
    assert_eq!(line[1].extend(&[], None, now), Ok(Turn::Later(None)));
    bodies.pop();
    assert!(tasks[0].is_woken() && !tasks[1].is_woken());
    assert_eq!(
        line[1].extend(&[], None, now),
        Ok(Turn::Later(None)),
        "the memory that is free is the first one's"
    );
    assert_eq!(line[0].extend(&[], None, now), Ok(Turn::Now));
    assert!(tasks[1].is_woken(), "it is first now");
    let [first, second] = line;
    drop(first);
    assert!(tasks[1].is_woken());
    assert_eq!(second.extend(&[], None, now), Ok(Turn::Now));
}

#[test]
fn a_small_body_passes_larger_ones_in_line_and_not_for_ever() {
    let (memory, now) = (Memory::new(LEAST_RESERVATION, 64 * LEAST_RESERVATION), Instant::now());
    let holds = enter(&memory, &caller(1), now);
    let large = memory.enter(&caller(1), Some(2 * LEAST_RESERVATION), now);
    let small: Vec<_> = (0..2 * PASSED_BY).map(|_| memory.enter(&caller(1), Some(0), now)).collect();
    for body in small.iter().rev().chain([&large]) {
        assert!(matches!(body.extend(&[], None, now), Ok(Turn::Later(_))));
    }
    drop(holds);
    let (last, passing) = small.split_last().unwrap();
    for body in passing {
        assert!(matches!(large.extend(&[], None, now), Ok(Turn::Later(_))), "it is not its turn");
        assert_eq!(body.extend(&[], None, now), Ok(Turn::Now));
        body.memory.state().evict(body.id);
    }
    assert!(matches!(last.extend(&[], None, now), Ok(Turn::Later(_))), "this one came too late");
    assert_eq!(large.extend(&[], None, now), Ok(Turn::Now));
}

#[test]
fn a_body_that_waited_has_not_stalled() {
    let (memory, start) = (memory_for_four(), Instant::now());
    let later = start + 2 * GRACE;
    let whole: Vec<_> = (0..4).map(|_| enter(&memory, &caller(1), start).complete().unwrap()).collect();
    let waits = memory.enter(&caller(1), Some(0), start);
    assert_eq!(waits.extend(&[], None, start), Ok(Turn::Later(None)));
    drop(whole);
    assert_eq!(waits.extend(&[], None, later), Ok(Turn::Now));
    let others: Vec<_> = (0..3).map(|_| enter(&memory, &caller(1), later)).collect();
    let next = memory.enter(&caller(1), Some(0), later);
    assert_eq!(next.extend(&[], None, later), Ok(Turn::Later(Some(later + GRACE))));
    assert!(!is_evicted(&waits) && !others.iter().any(is_evicted));
}

#[test]
fn where_each_waits_for_the_others_the_largest_one_goes() {
    let (memory, now) = (memory_for_four(), Instant::now());
    let bodies = [(); 2].map(|()| memory.enter(&caller(1), Some(0), now));
    let piece = vec![0; LEAST_RESERVATION];
    for body in &bodies {
        assert_eq!(body.extend(&piece, Some(2 * piece.len()), now), Ok(Turn::Now));
    }
    assert_eq!(bodies[1].extend(&piece, Some(2 * piece.len()), now), Ok(Turn::Now));
    // The last waits for the first, which may end. Once both wait, neither can.
    assert_eq!(bodies[1].extend(&piece, None, now), Ok(Turn::Later(Some(now + GRACE))));
    assert_eq!(bodies[0].extend(&piece, Some(3 * piece.len()), now), Ok(Turn::Now));
    assert!(is_evicted(&bodies[1]) && !is_evicted(&bodies[0]));
}

#[test]
fn a_small_body_that_came_late_outlasts_a_large_one() {
    let (memory, now) = (memory_for_four(), Instant::now());
    let piece = vec![0; LEAST_RESERVATION];
    let [first, large, late] = [(); 3].map(|()| memory.enter(&caller(1), Some(0), now));
    for body in [&first, &large, &late, &large] {
        assert_eq!(body.extend(&piece, Some(2 * piece.len()), now), Ok(Turn::Now));
    }
    assert!(matches!(large.extend(&piece, None, now), Ok(Turn::Later(_))));
    assert!(matches!(late.extend(&piece, Some(2 * piece.len()), now), Ok(Turn::Later(_))));
    assert_eq!(first.extend(&piece, Some(2 * piece.len()), now), Ok(Turn::Now));
    assert!(is_evicted(&large) && !is_evicted(&late));
}

#[test]
fn few_bodies_of_one_connection_wait() {
    let (memory, now) = (memory_for_four(), Instant::now());
    let _whole: Vec<_> = (0..4).map(|_| enter(&memory, &caller(1), now).complete().unwrap()).collect();
    let one = caller(1);
    let line: Vec<_> = (0..=MAX_WAITING).map(|_| memory.enter(&one, Some(0), now)).collect();
    let turns: Vec<_> = line.iter().map(|body| body.extend(&[], None, now)).collect();
    assert!(turns[..MAX_WAITING].iter().all(Result::is_ok) && turns[MAX_WAITING].is_err());
    // Asking again is no second place in line.
    assert_eq!(line[0].extend(&[], None, now), Ok(Turn::Later(None)));
    assert_eq!(memory.enter(&caller(1), Some(0), now).extend(&[], None, now), Ok(Turn::Later(None)));
    drop(line);
    assert_eq!(memory.state().waiting, 0);
}

#[test]
fn the_address_that_holds_most_makes_room_for_another_one_at_once() {
    let (memory, now) = (memory_for_four(), Instant::now());
    let many: Vec<_> = (0..3).map(|_| enter(&memory, &caller(1), now)).collect();
    let few = enter(&memory, &caller(2), now);
    // One of address 1 waits, and may not be before the others.
    let waits = memory.enter(&caller(1), Some(0), now);
    assert!(matches!(waits.extend(&[], None, now), Ok(Turn::Later(Some(_)))));
    let new = enter(&memory, &caller(3), now);
    assert_eq!(many.iter().filter(|body| is_evicted(body)).count(), 1);
    assert!(!is_evicted(&few) && !is_evicted(&new));
    let also = enter(&memory, &caller(2), now);
    assert_eq!(many.iter().filter(|body| is_evicted(body)).count(), 2);
    // Nobody holds more than address 2 would now.
    assert!(matches!(memory.enter(&caller(2), Some(0), now).extend(&[], None, now), Ok(Turn::Later(_))));
    drop((few, new, also));
}

#[test]
fn the_requests_of_one_connection_share_what_it_may_hold() {
    let memory = Memory::new(100 * KIB * KIB, 192 * KIB);
    let (now, one) = (Instant::now(), caller(1));
    let fits = memory.share() / LEAST_RESERVATION;
    let mut bodies: Vec<_> = (0..fits).map(|_| enter(&memory, &one, now)).collect();
    assert!(memory.enter(&one, Some(0), now).extend(&[], None, now).is_err());
    assert!(
        memory.enter(&caller(1), Some(0), now).extend(&[], None, now).is_ok(),
        "another connection has its own share"
    );
    bodies.pop();
    assert!(memory.enter(&one, Some(0), now).extend(&[], None, now).is_ok());
    drop(bodies);
    assert_eq!((one.held(), left(&memory)), (0, 100 * KIB * KIB));
}

#[test]
fn a_whole_body_is_never_evicted() {
    let (memory, start) = (memory_for_four(), Instant::now());
    let whole: Vec<_> = (0..4).map(|_| enter(&memory, &caller(1), start).complete().unwrap()).collect();
    let waits = memory.enter(&caller(2), Some(0), start);
    let task = Task::of(&waits);
    assert_eq!(waits.extend(&[], None, start + 10 * GRACE), Ok(Turn::Later(None)));
    drop(whole);
    assert!(task.is_woken());
    assert_eq!(waits.extend(&[], None, start), Ok(Turn::Now));
}

#[test]
fn a_buffer_is_used_again_holds_nothing_of_before_and_counts_as_used() {
    let memory = Memory::new(1000 * KIB, 900 * KIB);
    let now = Instant::now();
    let body = memory.enter(&caller(1), Some(0), now);
    body.extend(b"before", Some(64 * KIB), now).unwrap();
    let whole = body.complete().unwrap();
    let place = whole.as_ptr();
    drop(whole);
    assert_eq!((left(&memory), memory.state().spare.bytes()), (936 * KIB, 64 * KIB));
    let again = memory.enter(&caller(1), Some(0), now);
    again.extend(b"again", Some(50 * KIB), now).unwrap();
    let again = again.complete().unwrap();
    assert_eq!((again.as_ptr(), &*again), (place, &b"again"[..]));
    drop(again);
    // Memory that is short is taken from it first.
    drop((0..15).map(|_| enter(&memory, &caller(1), now)).collect::<Vec<_>>());
    assert_eq!(left(&memory), 1000 * KIB);
}

#[test]
fn a_spare_buffer_that_a_body_may_not_have_stays_spare() {
    let memory = Memory::new(1000 * KIB, 300 * KIB);
    let (now, one) = (Instant::now(), caller(1));
    let body = memory.enter(&caller(1), Some(0), now);
    body.extend(&vec![0; 300 * KIB], Some(300 * KIB), now).unwrap();
    drop(body.complete().unwrap());
    let share = memory.share();
    one.hold(share);
    assert_eq!(memory.enter(&one, Some(0), now).extend(b"", Some(300 * KIB), now), Err(Exhausted));
    assert_eq!((left(&memory), memory.state().spare.bytes()), (700 * KIB, 300 * KIB));
}

#[test]
fn only_so_much_waits_to_be_used_again() {
    let memory = Memory::new(4 * MAX_SPARE_BYTES, MAX_SPARE_BYTES);
    let half = || {
        let body = memory.enter(&caller(1), Some(0), Instant::now());
        body.extend(&vec![0; MAX_SPARE_BYTES / 2], Some(MAX_SPARE_BYTES / 2), Instant::now()).unwrap();
        body.complete().unwrap()
    };
    drop([half(), half(), half()]);
    assert_eq!(memory.state().spare.bytes(), MAX_SPARE_BYTES);
}
