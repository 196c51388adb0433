//! Snapshots, from the request of a thread to the worker that takes them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::slot::{Giver, Taker, slot};
use crate::moment::Moment;
use crate::time::EventTime;

/// The maximum time for which a snapshot is kept.
pub(crate) const SNAPSHOT_MAX: Duration = Duration::from_secs(300);

/// The numbers of snapshots, unique over all engines of this process.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// A message about a snapshot to every view.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep {
    /// Keep the present state, for this long.
    Hold { id: u64, limit: Duration },
    /// The snapshot is no longer wanted.
    Release { id: u64 },
}

/// The moment of a snapshot, and the time of the engine's clock then.
pub(crate) type Taken = (Moment, EventTime);

/// The requests for the worker.
#[derive(Default)]
pub(crate) struct Orders {
    pub(crate) wanted: Vec<(u64, Duration, Giver<Taken>)>,
    pub(crate) released: Vec<u64>,
    closed: bool,
}

/// Takes requests for snapshots.
#[derive(Default)]
pub(crate) struct Desk {
    orders: Mutex<Orders>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Requests a snapshot; returns its number and the place where its moment and time will be. `None` if the engine has
    /// stopped. The caller has to wake the worker.
    pub(crate) fn order(&self, limit: Duration) -> Option<(u64, Taker<Taken>)> {
        let (giver, taker) = slot();
        // The process id makes the numbers unique in a cluster.
        let process = u64::from(std::process::id()) << 32;
        let id = process + NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut orders = self.lock();
        if orders.closed {
            return None;
        }
        orders.wanted.push((id, limit, giver));
        Some((id, taker))
    }

    /// Releases a snapshot; returns whether the worker has something to do.
    pub(crate) fn release(&self, id: u64) -> bool {
        let mut orders = self.lock();
        if orders.closed {
            return false;
        }
        // A snapshot that was not taken yet is forgotten.
        let before = orders.wanted.len();
        orders.wanted.retain(|(other, ..)| *other != id);
        let is_taken = orders.wanted.len() == before;
        if is_taken {
            orders.released.push(id);
        }
        is_taken
    }

    /// The open requests.
    pub(crate) fn take(&self) -> Orders {
        let mut orders = self.lock();
        let closed = orders.closed;
        Orders { closed, ..std::mem::replace(&mut *orders, Orders { closed, ..Orders::default() }) }
    }

    /// Ends all waiting: nothing more will come.
    pub(crate) fn close(&self) {
        let mut orders = self.lock();
        orders.closed = true;
        let wanted = std::mem::take(&mut orders.wanted);
        drop(orders);
        drop(wanted);
    }
}
