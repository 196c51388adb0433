//! Yields the processor often, for threads that read much for a query while workers or lanes wait for their turn.
//!
//! The scheduler of Linux lets a running thread go on for some milliseconds, whatever its priority, before a thread
//! that has woken up gets the processor. A tick passes through several workers, and each of them would wait that long.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a thread runs before it yields.
const TURN: Duration = Duration::from_micros(100);

/// A thread runs for at least a quarter of the time that it had to wait, so always-busy workers leave it a fifth of a
/// processor.
const SHARE: u32 = 4;

/// While a lane seals, a thread that reads sealed files sleeps so many times as long as it ran.
const REST: u32 = 15;

/// It sleeps at most this long: it may have run so long only because it waited for something.
const REST_MAX: Duration = Duration::from_millis(10);

thread_local! {
    /// When this thread began its turn, and how long it may run.
    static HAD: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
    /// When this thread last let lanes run.
    static READ_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The number of lanes of this process that seal.
static SEALING: AtomicUsize = AtomicUsize::new(0);

/// A lane seals as long as this lives.
pub(crate) struct Sealing(());

impl Sealing {
    pub(crate) fn begin() -> Sealing {
        SEALING.fetch_add(1, Ordering::Relaxed);
        Sealing(())
    }
}

impl Drop for Sealing {
    fn drop(&mut self) {
        SEALING.fetch_sub(1, Ordering::Relaxed);
    }
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

/// Sleeps for a while if a lane seals: for a thread that reads sealed files, after each batch of rows. What it did with
/// the rows since the last call counts as reading.
///
/// A lower priority alone would not do. A lane yields often, so that workers can run, and each time the scheduler would
/// let this thread run for some milliseconds. When lanes fall behind, ingest waits for them.
pub(crate) fn let_lanes_run() {
    if SEALING.load(Ordering::Relaxed) > 0 {
        let ran = READ_SINCE.get().map_or(TURN, |since| since.elapsed());
        std::thread::sleep(REST_MAX.min(ran * REST));
    }
    READ_SINCE.set(Some(Instant::now()));
}
