//! How far the reading threads of a process are, so that none of them runs too far ahead of the others.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use crate::source::Watermark;
use crate::time::EventTime;

/// The reading threads of a process. A thread whose partitions are all paused parks itself, and is woken when that may
/// have changed.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    /// The number of these threads if nothing else holds days open: no other process, and no other kind of source.
    alone: Option<usize>,
    threads: Mutex<Vec<(Thread, Watermark)>>,
}

impl Readers {
    pub(crate) fn new(alone: Option<usize>) -> Readers {
        Readers { alone, threads: Mutex::default() }
    }

    /// Adds the calling thread, and returns its number.
    pub(crate) fn enter(&self) -> usize {
        let mut threads = self.lock();
        threads.push((std::thread::current(), Watermark::Held(EventTime::MIN)));
        threads.len() - 1
    }

    /// The least clock that holds days open; `None` if that is not known here. Days close up to it as soon as the
    /// workers have what was read, which is not much: the queues between them are short.
    pub(crate) fn least(&self) -> Option<EventTime> {
        let threads = self.lock();
        if self.alone != Some(threads.len()) {
            return None;
        }
        let held = |(_, watermark): &(Thread, Watermark)| match watermark {
            Watermark::Held(clock) => Some(*clock),
            Watermark::Quiet(_) => None,
        };
        threads.iter().filter_map(held).min()
    }

    /// Sets how far a thread is, and wakes the others if it no longer holds them up.
    pub(crate) fn advance(&self, reader: usize, watermark: Watermark) {
        let before = std::mem::replace(&mut self.lock()[reader].1, watermark);
        if before != watermark && self.alone.is_some() {
            self.wake();
        }
    }

    /// Wakes all threads that are parked: days have closed.
    pub(crate) fn wake(&self) {
        self.lock().iter().for_each(|(thread, _)| thread.unpark());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Thread, Watermark)>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_clock_is_known_once_all_readers_are() {
        let readers = Readers::new(Some(2));
        let one = readers.enter();
        assert_eq!(readers.least(), None, "the other one may be behind it");
        let other = readers.enter();
        readers.advance(one, Watermark::Held(20));
        assert_eq!(readers.least(), Some(EventTime::MIN));
        readers.advance(other, Watermark::Held(10));
        assert_eq!(readers.least(), Some(10));
        readers.advance(other, Watermark::Quiet(None));
        assert_eq!(readers.least(), Some(20), "the other one has ended");
        let among_others = Readers::default();
        among_others.enter();
        assert_eq!(among_others.least(), None, "another process may be behind it");
    }
}
