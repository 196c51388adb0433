//! A look-up on a thread of the pool: how it delivers its pieces, and what ends it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use super::reading::{Read, Reader};
use super::{Cut, Item, Piece};
use crate::aggregate::Aggregate;
use crate::archive::{ArchiveError, Held, LivePart, Pool, Step};
use crate::key::Key;
use crate::speed::Lease;
use crate::store::StoreError;
use crate::yielding::let_others_run;

/// The most items of a piece.
const PIECE_ITEMS: usize = 1_024;

/// The output of jobs, which the operator sends on.
pub(super) enum Out<K: Key, A: Aggregate> {
    Piece(Piece<K, A>),
    /// No more of this is wanted.
    Gone(Id),
    /// Files that were opened, to be kept open.
    Opened(Vec<LivePart<K, A>>),
    Failed(ArchiveError),
}

/// The worker that asked, and its number.
pub(super) type Id = (u64, u64);

/// The output queue of jobs.
pub(super) struct Outbox<K: Key, A: Aggregate> {
    out: Mutex<Vec<Out<K, A>>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl<K: Key, A: Aggregate> Outbox<K, A> {
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Outbox { out: Mutex::default(), wake: Box::new(wake) }
    }

    pub(super) fn put(&self, out: Out<K, A>) {
        self.out.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(out);
        (self.wake)();
    }

    pub(super) fn take(&self) -> Vec<Out<K, A>> {
        std::mem::take(&mut *self.out.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// Messages from the operator to a job.
pub(super) struct Control {
    state: Mutex<Said>,
    pool: Pool,
}

struct Said {
    /// How many pieces may be sent.
    credit: u64,
    is_cancelled: bool,
    /// The asker takes no more before it has everything.
    is_stopped: bool,
    /// The job, if it waits.
    waiting: Option<Box<dyn Step>>,
}

impl Control {
    pub(super) fn new(credit: u64, pool: Pool) -> Arc<Control> {
        let state = Said { credit, is_cancelled: false, is_stopped: false, waiting: None };
        Arc::new(Control { state: Mutex::new(state), pool })
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn change(&self, change: impl FnOnce(&mut Said)) {
        let mut said = self.lock();
        change(&mut said);
        let waiting = said.waiting.take();
        drop(said);
        waiting.into_iter().for_each(|job| self.pool.submit(job));
    }

    /// One more piece may be sent.
    pub(super) fn more(&self) {
        self.change(|said| said.credit = said.credit.saturating_add(1));
    }

    /// No more is wanted.
    pub(super) fn cancel(&self) {
        self.change(|said| said.is_cancelled = true);
    }

    /// No more pieces will be asked for: pieces not sent by then are dropped.
    pub(super) fn stop(&self) {
        self.change(|said| said.is_stopped = said.credit < u64::MAX / 2);
    }

    /// Lets the job look at its lease.
    pub(super) fn look(&self) {
        self.change(|_| {});
    }
}

/// A look-up, and what is ready of it.
pub(super) struct Job<K: Key, A: Aggregate> {
    pub(super) id: Id,
    /// A piece without items; the other fields are the same in all pieces.
    pub(super) blank: Piece<K, A>,
    pub(super) reader: Option<Reader<K, A>>,
    pub(super) lease: Arc<Lease>,
    pub(super) control: Arc<Control>,
    pub(super) out: Arc<Outbox<K, A>>,
    pub(super) pool: Pool,
    pub(super) ready: VecDeque<Item<K, A>>,
    pub(super) held: Option<Held>,
    pub(super) is_read: bool,
    /// The operator knows how it ended.
    pub(super) is_told: bool,
}

impl<K: Key, A: Aggregate> Job<K, A> {
    fn send(&mut self, items: Vec<Item<K, A>>, is_last: bool, cut: Option<Cut>) {
        let blank = self.blank.clone();
        self.is_told |= is_last;
        self.out.put(Out::Piece(Piece { items, is_last, cut, ..blank }));
    }

    /// Sends ready pieces, as far as the credit allows. Returns whether the job is over.
    fn send_ready(&mut self) -> bool {
        while !self.ready.is_empty() {
            let mut said = self.control.lock();
            if said.credit == 0 {
                return false;
            }
            said.credit -= u64::from(said.credit < u64::MAX / 2);
            drop(said);
            let items = self.ready.drain(..self.ready.len().min(PIECE_ITEMS)).collect();
            let is_last = self.is_read && self.ready.is_empty();
            self.send(items, is_last, None);
        }
        self.held = None;
        if self.is_read && !self.is_told {
            self.send(Vec::new(), true, None);
        }
        self.is_told
    }

    fn read(&mut self) -> Result<(), ArchiveError> {
        let (control, lease) = (&self.control, &self.lease);
        let goes_on = || {
            let_others_run();
            !control.lock().is_cancelled && !lease.is_over()
        };
        let Some(reader) = &mut self.reader else { return Ok(()) };
        match reader.read(&self.pool, &goes_on)? {
            Read::Items(items) => {
                let bytes = items.iter().map(Item::bytes).sum();
                self.ready.extend(items);
                self.held = Some(self.pool.hold(bytes));
            }
            Read::End(opened) => {
                self.is_read = true;
                // The data that it read is not kept longer than needed.
                self.reader = None;
                if !opened.is_empty() {
                    self.out.put(Out::Opened(opened));
                }
            }
        }
        Ok(())
    }
}

impl<K: Key, A: Aggregate> Step for Job<K, A> {
    fn step(mut self: Box<Self>) -> Option<Box<dyn Step>> {
        let said = self.control.lock();
        let (is_cancelled, is_stopped) = (said.is_cancelled, said.is_stopped);
        drop(said);
        if is_cancelled {
            self.is_told = true;
            self.out.put(Out::Gone(self.id));
            return None;
        }
        if self.lease.is_over() {
            self.send(Vec::new(), true, Some(Cut::Expired));
            return None;
        }
        if self.send_ready() {
            return None;
        }
        if !self.ready.is_empty() {
            if is_stopped {
                self.send(Vec::new(), true, Some(Cut::Stopped));
                return None;
            }
            let control = Arc::clone(&self.control);
            let mut said = control.lock();
            if said.credit == 0 && !said.is_cancelled {
                said.waiting = Some(self);
                return None;
            }
            drop(said);
            return Some(self);
        }
        let read = self.read();
        if let Err(ArchiveError::Store(StoreError::Superseded { day, since, .. })) = read {
            self.send(Vec::new(), true, Some(Cut::Superseded { day, since: since.day }));
            return None;
        }
        if let Err(error) = read {
            self.is_told = true;
            self.out.put(Out::Failed(error));
            return None;
        }
        // If the lease ended during reading, or nobody wants the answer any more, this window is not whole. The next
        // step checks that first.
        Some(self)
    }
}

impl<K: Key, A: Aggregate> Drop for Job<K, A> {
    fn drop(&mut self) {
        if !self.is_told {
            self.out.put(Out::Failed(ArchiveError::Panicked));
        }
    }
}
