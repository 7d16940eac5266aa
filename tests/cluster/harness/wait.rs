//! Waiting by asking: every wait has a deadline, and says what it waited for and what the last answer was.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Often enough that no test feels it, seldom enough that two busy cores do not.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until the answer is `Ok`, and panics with the last `Err` once `within` has passed.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(last) if start.elapsed() > within => {
                panic!("{what}: not within {within:?}; last seen: {last}")
            }
            Err(_) => sleep(PAUSE),
        }
    }
}
