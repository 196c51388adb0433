//! Audits and rebuilds on their way from the requester to all workers, and back.

use std::collections::HashMap;
use std::sync::mpsc;

use crate::engine::ask::asking::WorkerView;
use crate::engine::ingest::deal::Upkeep;
use crate::engine::ingest::feed::Feed;
use crate::engine::upkeep::log_end::LogEnd;
use crate::engine::upkeep::maintenance::{MaintainError, Maintained};

/// What one worker knows about the running audits and rebuilds.
pub(crate) struct Tasks {
    worker: usize,
    peers: usize,
    /// The number of tasks requested here.
    asked: u64,
    /// The tasks requested here, by number.
    open: HashMap<u64, UnfinishedTask>,
    /// The worker that requested each task running here, and the view.
    from: HashMap<u64, (usize, String)>,
    /// Present if the log is not kept for ever.
    log_end: Option<LogEnd>,
}

struct UnfinishedTask {
    /// The number of workers that are not done.
    missing: usize,
    result: Result<Maintained, MaintainError>,
    reply: mpsc::SyncSender<Result<Maintained, MaintainError>>,
}

impl Tasks {
    pub(crate) fn new(worker: usize, peers: usize, log_end: Option<LogEnd>) -> Tasks {
        Tasks { worker, peers, asked: 0, open: HashMap::new(), from: HashMap::new(), log_end }
    }

    /// Takes new requests, continues running tasks, and passes on the results of those that have ended.
    pub(crate) fn step(&mut self, views: &mut [Box<dyn WorkerView>], feed: &mut Feed) {
        for asking in views.iter_mut() {
            while let Some((task, reply)) = asking.asked_task() {
                // No two workers give the same number.
                let id = self.asked * self.peers as u64 + self.worker as u64;
                self.asked += 1;
                let (missing, result) = (self.peers, Ok(Maintained::default()));
                self.open.insert(id, UnfinishedTask { missing, result, reply });
                let view = asking.name().to_owned();
                feed.broadcast(Upkeep::Begin { id, from: self.worker, view, task });
            }
            while let Some((id, result)) = asking.step_task() {
                if let Some((from, _)) = self.from.remove(&id) {
                    feed.deal(from, Upkeep::Done { id, worker: self.worker, result });
                }
            }
        }
        let received = std::mem::take(&mut *feed.tasks.borrow_mut());
        for deal in received {
            match deal {
                Upkeep::Begin { id, from, view, task } => {
                    let Some(asking) = views.iter_mut().find(|asking| asking.name() == view) else {
                        let result = Err(removed(&view));
                        feed.deal(from, Upkeep::Done { id, worker: self.worker, result });
                        continue;
                    };
                    self.from.insert(id, (from, view));
                    asking.begin_task(id, task);
                }
                Upkeep::Done { id, worker, result } => self.add(id, worker, result),
                Upkeep::Log(step, from) => {
                    self.log_end.iter_mut().for_each(|log| log.hear(step, from, feed));
                }
            }
        }
    }

    /// Continues to shorten the log, once everything of earlier runs is in.
    pub(crate) fn step_log(&mut self, views: &mut [Box<dyn WorkerView>], feed: &mut Feed) {
        self.log_end.iter_mut().for_each(|log| log.step(views, feed));
    }

    /// Ends the tasks of a view that is removed.
    pub(crate) fn forget(&mut self, view: &str, feed: &mut Feed) {
        for (id, (from, _)) in self.from.extract_if(|_, (_, of)| of == view) {
            let result = Err(removed(view));
            feed.deal(from, Upkeep::Done { id, worker: self.worker, result });
        }
    }

    fn add(&mut self, id: u64, worker: usize, result: Result<Maintained, String>) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.missing -= 1;
        match (result, &mut open.result) {
            (Ok(part), Ok(whole)) => whole.add(part),
            (Err(message), Ok(_)) => open.result = Err(MaintainError::Failed { worker, message }),
            (_, Err(_)) => {}
        }
        if open.missing == 0
            && let Some(UnfinishedTask { mut result, reply, .. }) = self.open.remove(&id)
        {
            if let Ok(whole) = &mut result {
                whole.findings.sort_by_key(|finding| finding.day);
            }
            // The requester may have given up.
            let _ = reply.try_send(result);
        }
    }
}

fn removed(view: &str) -> String {
    format!("view '{view}' was removed")
}
