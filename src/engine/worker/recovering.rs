//! How a worker replays the log of earlier runs.

use std::sync::mpsc;

use super::{FromLog, TICKS_IN_FLIGHT, Turning};
use crate::engine::error::{Outcome, in_full};

use crate::view::View;

impl<E: Send + Sync + 'static> Turning<'_, E> {
    /// Replays a part of the log, or ends the recovery of this worker.
    pub(super) fn recover(&mut self) -> bool {
        // What is sealed belongs to this run, and after a crash all processes must find it as such. So the floor may
        // move on any worker only when the run has begun on all.
        let Some(replay) = self.replay.as_ref().filter(|_| self.begun) else { return false };
        if self.is_sealing_behind() {
            return false;
        }
        let views = self.start.shared.views();
        let (mut entered, mut floor) = (0, None);
        while self.in_flight.len() < TICKS_IN_FLIGHT && entered < self.start.tick_rows {
            match replay.try_recv() {
                Ok(FromLog::Events(batch)) => {
                    entered += batch.events.len();
                    self.inputs.send(&batch, self.now.floor);
                }
                Ok(FromLog::Passed(time)) => {
                    let skew = views.iter().map(View::skew_ms).max().unwrap_or(0);
                    // This is less than the floor of this run, which means that a worker has replayed its share.
                    let below = self.start.shared.floor.saturating_sub(1);
                    floor = Some(time.saturating_sub(skew).min(below));
                    break;
                }
                Ok(FromLog::Done) => {
                    self.replay = None;
                    floor = Some(self.start.shared.floor);
                    break;
                }
                Ok(FromLog::Failed(error)) => {
                    self.replay = None;
                    self.feed.ask_to_stop(Outcome::Failed(in_full(&error)));
                    return true;
                }
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => {
                    self.replay = None;
                    let message = "the thread that reads the log ended early".to_owned();
                    self.feed.ask_to_stop(Outcome::Failed(message));
                    return true;
                }
            }
        }
        if entered > 0 {
            self.end_tick();
        }
        self.raise_floor(floor);
        entered > 0 || floor.is_some()
    }
}
