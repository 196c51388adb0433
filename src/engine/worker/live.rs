//! A worker's share in the live source of its process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Turning, log_entry};
use crate::engine::ingest::batch::Batch;
use crate::engine::ingest::deal::Data;
use crate::engine::ingest::live;
use crate::engine::ingest::receipt::Entered;
use crate::log::Entry;
use crate::speed::Counts;
use crate::time::EventTime;

impl<E: Send + Sync + 'static> Turning<'_, E> {
    /// Announces that the clock of this process's live source has passed the end of a day.
    pub(super) fn watch_clock(&mut self) {
        let (Some(queue), Some((source, next))) = (&self.start.live, self.live) else { return };
        let Some(watermark) = queue.watermark() else {
            self.live = None;
            self.start.shared.set_live(None);
            self.feed.broadcast(Data::End { source });
            return;
        };
        if watermark >= next {
            let views = self.start.shared.views();
            if let Some(floor) = views.iter().map(|view| view.floor_at(watermark)).max() {
                self.feed.broadcast(Data::Floor { source, floor });
            }
            let next = views.iter().map(|view| view.next_floor(watermark)).min();
            self.live = Some((source, next.unwrap_or(EventTime::MAX)));
        }
    }

    /// Enters pushed events, up to about `limit`. Any worker of the process may do so.
    pub(super) fn enter_live(&mut self, limit: usize) -> usize {
        let Some(queue) = self.start.live.as_ref().filter(|_| self.inputs.is_open()) else {
            return 0;
        };
        let mut rows = 0;
        while rows < limit {
            let Some(batch) = queue.take() else { break };
            rows += batch.events.len() + batch.refused as usize;
            self.start.shared.events.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
            self.start.shared.refused.fetch_add(batch.refused, Ordering::Relaxed);
            let live::Batch { events: pushed, refused, ticket, .. } = batch;
            if refused > 0 {
                self.inputs.count(Counts::refused(refused));
            }
            let pushed = Arc::new(pushed);
            let entry = Entry {
                moment: self.now,
                events: Arc::clone(&pushed),
                ranges: Vec::new(),
                extents: Vec::new(),
                refused: Vec::new(),
                refused_elsewhere: refused,
                once: None,
            };
            let Ok(number) = log_entry(&mut self.log, entry) else { break };
            self.inputs.send(&Batch::new(pushed), self.now.floor);
            let worker = self.worker.index() % self.start.shared.threads;
            let entered = Entered { worker, moment: self.now, number };
            ticket.set(entered).expect("a batch enters once");
        }
        rows
    }
}
