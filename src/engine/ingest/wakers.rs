//! Tasks that wait for the same change, as threads wait at a `Condvar`.

use std::collections::BTreeMap;
use std::task::Waker;

#[derive(Debug, Default)]
pub(crate) struct Wakers {
    number: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl Wakers {
    /// Notes that a task waits. However often it is polled, it takes one place.
    pub(crate) fn wait(&mut self, place: &mut Option<u64>, waker: &Waker) {
        let place = *place.get_or_insert_with(|| {
            self.number += 1;
            self.number
        });
        self.waiting.insert(place, waker.clone());
    }

    /// Forgets a task that no longer waits.
    pub(crate) fn leave(&mut self, place: Option<u64>) {
        place.and_then(|place| self.waiting.remove(&place));
    }

    /// All waiting tasks. They must be woken while no lock is held, because a waker may run what it wakes.
    #[must_use]
    pub(crate) fn take(&mut self) -> BTreeMap<u64, Waker> {
        std::mem::take(&mut self.waiting)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}
