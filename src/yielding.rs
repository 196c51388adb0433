//! Lets others have the processor, often: for whoever reads much for a question while workers wait for their turn.
//!
//! The scheduler of Linux lets a thread that has begun go on for some milliseconds, whatever its priority, before another one that has
//! woken up gets the processor. A tick passes through several workers, and each of them would wait as long.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a thread goes on before it lets others have their turn.
const TURN: Duration = Duration::from_micros(100);

/// A thread goes on for at least this part of the time that it was kept from going on: workers that are always busy leave it
/// a fifth of a processor.
const SHARE: u32 = 4;

thread_local! {
    /// When this thread had its turn, and for how long it may go on.
    static HAD: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Lets others have the processor, if this thread has had it for a while. Costs little: a look at the clock.
pub(crate) fn let_others_run() {
    let now = Instant::now();
    let (since, turn) = HAD.get().unwrap_or((now, TURN));
    let ran = now.duration_since(since);
    if ran < turn {
        return HAD.set(Some((since, turn)));
    }
    std::thread::yield_now();
    let then = Instant::now();
    HAD.set(Some((then, TURN.max(then.duration_since(now) / SHARE))));
}
