//! How a worker enters its shares of sources with partitions.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, mpsc};

use super::{Turning, log_entry};
use crate::engine::error::{EngineError, Outcome, outcome_of};
use crate::engine::ingest::batch::Batch;
use crate::engine::ingest::deal::Data;
use crate::engine::ingest::partitions::{FromShare, ReadBatch};
use crate::log::Entry;
use crate::source::Watermark;
use crate::speed::Counts;
use crate::time::EventTime;

impl<E: Send + Sync + 'static> Turning<'_, E> {
    /// Enters what was read of the shares, up to about `limit` events.
    pub(super) fn enter_shares(&mut self, limit: usize) -> usize {
        let mut rows = 0;
        for index in 0..self.shares.len() {
            while rows < limit && !self.shares[index].has_ended {
                match self.shares[index].found.try_recv() {
                    Ok(FromShare::Read(read)) => {
                        let watermark = read.watermark;
                        rows += self.enter_read(read);
                        self.watch_share(index, watermark);
                    }
                    Ok(FromShare::Ended) => self.end_share(index),
                    Ok(FromShare::Failed(error)) => {
                        self.feed.ask_to_stop(outcome_of(&error));
                        self.shares[index].has_ended = true;
                    }
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => {
                        let message = "the thread that reads a source ended early".to_owned();
                        self.feed.ask_to_stop(Outcome::Failed(message));
                        self.shares[index].has_ended = true;
                    }
                }
            }
        }
        rows
    }

    /// Enters records with the positions after them.
    fn enter_read(&mut self, read: ReadBatch<E>) -> usize {
        let ReadBatch { events, refused, extents, .. } = read;
        self.entered.extend(extents.iter().map(|(name, extent)| (name.clone(), extent.to)));
        let rows = events.len() + refused.len();
        if extents.is_empty() {
            return rows;
        }
        let shared = &self.start.shared;
        shared.events.fetch_add(events.len() as u64, Ordering::Relaxed);
        shared.refused.fetch_add(refused.len() as u64, Ordering::Relaxed);
        let events = Arc::new(events);
        let entry = Entry {
            moment: self.now,
            events: Arc::clone(&events),
            ranges: Vec::new(),
            extents,
            refused: refused.clone(),
            refused_elsewhere: 0,
            once: None,
        };
        // If the log has failed, the engine is about to stop.
        if log_entry(&mut self.log, entry).is_err() {
            return rows;
        }
        self.inputs.send(&Batch::new(events), self.now.floor);
        if !refused.is_empty() {
            self.inputs.count(Counts::refused(refused.len() as u64));
        }
        let mut keep = self.start.keep.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: Result<(), EngineError> = match &mut *keep {
            Some(keep) => refused.iter().try_for_each(keep),
            None => {
                for row in &refused {
                    tracing::warn!(
                        reason = row.reason,
                        "a record is refused, and kept in the log alone"
                    );
                }
                Ok(())
            }
        };
        if let Err(error) = kept {
            self.feed.ask_to_stop(outcome_of(&error));
        }
        rows
    }

    /// Notes how far this worker's partitions are when its floor rises.
    pub(super) fn tell_positions(&self, floor: EventTime) {
        if self.has_told && !self.shares.is_empty() {
            self.start.shared.cuts.rose(self.worker.index(), floor, &self.entered);
        }
    }

    /// Tells all workers when the clock of a share has passed the end of a day, or the share is quiet.
    fn watch_share(&mut self, index: usize, watermark: Watermark) {
        let views = self.start.shared.views();
        let share = &mut self.shares[index];
        let source = share.source;
        let floor_at = |time| views.iter().map(|view| view.floor_at(time)).max();
        match watermark {
            Watermark::Held(time) if time >= share.next || share.is_quiet => {
                share.is_quiet = false;
                let next = views.iter().map(|view| view.next_floor(time)).min();
                share.next = next.unwrap_or(EventTime::MAX);
                let floor = floor_at(time).unwrap_or(EventTime::MIN);
                self.feed.broadcast(Data::Floor { source, floor });
            }
            Watermark::Held(_) => {}
            Watermark::Quiet(time) => {
                share.is_quiet = true;
                let floor = time.and_then(floor_at).unwrap_or(EventTime::MIN);
                self.feed.broadcast(Data::Quiet { source, floor });
            }
        }
    }

    fn end_share(&mut self, index: usize) {
        let share = &mut self.shares[index];
        share.has_ended = true;
        let source = share.source;
        self.feed.broadcast(Data::End { source });
    }
}
