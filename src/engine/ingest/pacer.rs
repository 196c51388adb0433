//! The pace at which a source is played back.

use std::time::{Duration, Instant};

use crate::time::EventTime;

/// The longest sleep. Rows that become due meanwhile are read together, and whoever ends the reader waits at most this
/// long.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// Decides which rows of a source are due, by its clock.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// Milliseconds of the source's clock per millisecond of real time; `None` is as fast as possible.
    pace: Option<f64>,
    /// When the first row was due, by both clocks.
    began: Option<(Instant, EventTime)>,
}

impl Pacer {
    pub(crate) fn new(pace: Option<f64>) -> Pacer {
        Pacer { pace, began: None }
    }

    /// A row is due if it keeps the clock below this.
    pub(crate) fn due(&self) -> EventTime {
        match (self.pace, self.began) {
            (None, _) => EventTime::MAX,
            (Some(_), None) => EventTime::MIN,
            (Some(pace), Some((began, clock))) => {
                let passed = began.elapsed().as_secs_f64() * 1_000.0 * pace;
                clock.saturating_add(passed as i64).saturating_add(1)
            }
        }
    }

    /// Waits for the row that moves the clock to `clock`, or for a part of that time.
    pub(crate) fn wait(&mut self, clock: EventTime) {
        let Some(pace) = self.pace else { return };
        if self.began.is_none() {
            self.began = Some((Instant::now(), clock));
            return;
        }
        let left = clock.saturating_sub(self.due()).max(0) as f64 / pace / 1_000.0;
        std::thread::sleep(Duration::from_secs_f64(left.clamp(0.001, SLEEP_MAX.as_secs_f64())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_due_by_the_clock_of_the_source() {
        let mut pacer = Pacer::new(Some(1.0));
        assert_eq!(pacer.due(), EventTime::MIN, "the first row says where it begins");
        pacer.wait(5_000);
        assert!(pacer.due() > 5_000, "and is due at once");
        assert!(pacer.due() < 5_000 + 3_600_000);
        assert_eq!(Pacer::new(None).due(), EventTime::MAX);
    }
}
