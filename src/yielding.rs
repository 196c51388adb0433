//! Yields the processor often, for threads that read much for a query while workers wait for their turn.
//!
//! The scheduler of Linux lets a running thread go on for some milliseconds, whatever its priority, before a thread
//! that has woken up gets the processor. A tick passes through several workers, and each of them would wait that long.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a thread runs before it yields.
const TURN: Duration = Duration::from_micros(100);

/// A thread runs for at least a quarter of the time that it had to wait, so always-busy workers leave it a fifth of a
/// processor.
const SHARE: u32 = 4;

thread_local! {
    /// When this thread began its turn, and how long it may run.
    static HAD: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Yields the processor if this thread has had it for a while. Costs little: it reads the clock.
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
