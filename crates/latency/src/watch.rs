//! The clock of a run: the only one in the lab.

use std::time::{Duration, Instant};

/// Counts nanoseconds since the start of a run, on the monotonic clock. Copies count the same.
///
/// ```
/// use dayfold_latency::Watch;
///
/// let watch = Watch::start();
/// let late = watch.sleep_until(watch.now() + 1_000_000);
/// println!("woken {late} ns after the run began");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    started: Instant,
}

impl Watch {
    /// Starts a run now.
    pub fn start() -> Watch {
        Watch { started: Instant::now() }
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sleeps until `instant`, or somewhat later if the system delays it, and returns the time then.
    pub fn sleep_until(&self, instant: u64) -> u64 {
        loop {
            let now = self.now();
            if now >= instant {
                return now;
            }
            std::thread::sleep(Duration::from_nanos(instant - now));
        }
    }
}
