//! A place for one value, between a worker and a thread or task that waits for it.
//!
//! A new value replaces one that was not taken. So the worker never waits, and nothing accumulates.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::engine::restless::RESTLESS;

/// A new, empty slot.
pub(crate) fn slot<T>() -> (Giver<T>, Taker<T>) {
    let state = SlotState { value: None, waker: None, is_asleep: false, closed: false };
    let slot = Arc::new(Slot { state: Mutex::new(state), changed: Condvar::new() });
    (Giver { slot: Arc::clone(&slot) }, Taker { slot })
}

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<SlotState<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct SlotState<T> {
    value: Option<T>,
    /// The task that waits, if any.
    waker: Option<Waker>,
    /// Whether a thread waits. Waking nobody would still cost a system call.
    is_asleep: bool,
    closed: bool,
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, SlotState<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn change(&self, change: impl FnOnce(&mut SlotState<T>)) {
        let mut state = self.lock();
        change(&mut state);
        let (waker, is_asleep) = (state.waker.take(), std::mem::take(&mut state.is_asleep));
        drop(state);
        if is_asleep {
            self.changed.notify_one();
        }
        waker.into_iter().for_each(Waker::wake);
    }
}

/// The worker's end. After it is dropped, the other end can take the last value, and learns that it was the last.
#[derive(Debug)]
pub(crate) struct Giver<T> {
    slot: Arc<Slot<T>>,
}

impl<T> Giver<T> {
    /// Puts a value into the slot; it replaces one that was not taken.
    pub(crate) fn give(&self, value: T) {
        self.slot.change(|state| state.value = Some(value));
    }
}

impl<T> Giver<T> {
    /// Replaces a value that was not taken; if there is none, does nothing. Nobody is woken, because the waiting side
    /// was woken for the first value.
    pub(crate) fn renew(&self, value: T) -> bool {
        let mut state = self.slot.lock();
        let is_there = state.value.is_some();
        // The old value is dropped after the lock is released.
        let _before = if is_there { state.value.replace(value) } else { None };
        drop(state);
        is_there
    }
}

impl<T> Giver<VecDeque<T>> {
    /// Adds a value behind those that were not taken.
    pub(crate) fn push(&self, value: T) {
        self.slot.change(|state| state.value.get_or_insert_default().push_back(value));
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.slot.change(|state| state.closed = true);
    }
}

/// The slot is empty, and will stay so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// The receiving end, for one thread or one task at a time.
#[derive(Debug)]
pub(crate) struct Taker<T> {
    slot: Arc<Slot<T>>,
}

impl<T> Taker<T> {
    /// The value, if there is one.
    pub(crate) fn try_take(&self) -> Result<Option<T>, Closed> {
        taken(&mut self.slot.lock())
    }

    /// Waits for a value. After a limit, returns `None`.
    pub(crate) fn take(&self, limit: Option<Duration>) -> Result<Option<T>, Closed> {
        let started = Instant::now();
        let mut state = self.slot.lock();
        loop {
            if let Some(value) = taken(&mut state)? {
                return Ok(Some(value));
            }
            let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                state.is_asleep = false;
                return Ok(None);
            }
            if started.elapsed() < RESTLESS {
                drop(state);
                std::thread::yield_now();
                state = self.slot.lock();
                continue;
            }
            state.is_asleep = true;
            let changed = &self.slot.changed;
            state = match left {
                Some(left) => {
                    let waited = changed.wait_timeout(state, left);
                    waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
                }
                None => changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner()),
            };
        }
    }

    /// As [`Taker::take`], for a task.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Result<T, Closed>> {
        let mut state = self.slot.lock();
        match taken(&mut state) {
            Ok(Some(value)) => Poll::Ready(Ok(value)),
            Err(closed) => Poll::Ready(Err(closed)),
            Ok(None) => {
                match &mut state.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    waker => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

fn taken<T>(state: &mut SlotState<T>) -> Result<Option<T>, Closed> {
    match state.value.take() {
        None if state.closed => Err(Closed),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_value_waits_and_the_end_is_told_after_it() {
        let (giver, taker) = slot();
        assert_eq!(taker.try_take(), Ok(None));
        assert_eq!(taker.take(Some(Duration::ZERO)), Ok(None));
        giver.give(1);
        giver.give(2);
        drop(giver);
        assert_eq!(taker.take(None), Ok(Some(2)));
        assert_eq!(taker.take(None), Err(Closed));
    }

    #[test]
    fn threads_and_tasks_are_woken() {
        let (giver, taker) = slot();
        let thread = std::thread::spawn(move || (taker.take(None), taker));
        giver.give(1);
        let (value, taker) = thread.join().unwrap();
        assert_eq!(value, Ok(Some(1)));

        let (woken, mut context) = (Arc::new(Flag::default()), Context::from_waker(Waker::noop()));
        assert!(taker.poll_take(&mut context).is_pending());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(taker.poll_take(&mut Context::from_waker(&waker)).is_pending());
        giver.give(3);
        assert!(woken.0.load(std::sync::atomic::Ordering::Acquire), "the latest waker counts");
        assert_eq!(taker.poll_take(&mut context), Poll::Ready(Ok(3)));
        drop(giver);
        assert_eq!(taker.poll_take(&mut context), Poll::Ready(Err(Closed)));
    }

    #[derive(Default)]
    struct Flag(std::sync::atomic::AtomicBool);

    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::Release);
        }
    }
}
