//! Snapshots on their way from other threads to the worker that takes them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::slot::{Giver, Taker, slot};
use crate::moment::Moment;

/// How long a snapshot is kept at most.
pub(crate) const SNAPSHOT_MAX: Duration = Duration::from_secs(300);

/// Numbers of snapshots, different for all engines of this process.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// What is said to every view about a snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep {
    /// Keep what there is now, for so long.
    Hold { id: u64, limit: Duration },
    /// It is not wanted any more.
    Release { id: u64 },
}

/// What the worker finds.
#[derive(Default)]
pub(crate) struct Orders {
    pub(crate) wanted: Vec<(u64, Duration, Giver<Moment>)>,
    pub(crate) released: Vec<u64>,
    closed: bool,
}

/// Where snapshots are asked for.
#[derive(Default)]
pub(crate) struct Desk {
    orders: Mutex<Orders>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Asks for a snapshot; returns its number and where its moment will be. Nothing if the engine has stopped.
    /// Whoever asks wakes the worker.
    pub(crate) fn order(&self, limit: Duration) -> Option<(u64, Taker<Moment>)> {
        let (giver, taker) = slot();
        // Processes of a cluster have numbers of their own.
        let process = u64::from(std::process::id()) << 32;
        let id = process + NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut orders = self.lock();
        if orders.closed {
            return None;
        }
        orders.wanted.push((id, limit, giver));
        Some((id, taker))
    }

    /// Whether there is something to do for the worker.
    pub(crate) fn release(&self, id: u64) -> bool {
        let mut orders = self.lock();
        if orders.closed {
            return false;
        }
        // One that nobody has taken yet is forgotten.
        let before = orders.wanted.len();
        orders.wanted.retain(|(other, ..)| *other != id);
        let is_taken = orders.wanted.len() == before;
        if is_taken {
            orders.released.push(id);
        }
        is_taken
    }

    /// What there is to do.
    pub(crate) fn take(&self) -> Orders {
        let mut orders = self.lock();
        let closed = orders.closed;
        Orders { closed, ..std::mem::replace(&mut *orders, Orders { closed, ..Orders::default() }) }
    }

    /// Whoever waits learns that nothing comes.
    pub(crate) fn close(&self) {
        let mut orders = self.lock();
        orders.closed = true;
        let wanted = std::mem::take(&mut orders.wanted);
        drop(orders);
        drop(wanted);
    }
}
