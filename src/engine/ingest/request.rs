//! Pushes with a key that this process has passed on, and their results.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::moment::Moment;
use crate::time::EventTime;

/// The number of requests of a process that may be open before another one waits.
const REQUESTS_OPEN: usize = 1_024;

/// A push on its way to the worker that owns its key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Given by the process that was asked.
    pub(crate) id: u64,
    pub(crate) key: String,
    pub(crate) digest: u128,
    /// The number of events.
    pub(crate) count: u32,
    /// Encoded by the log's codec.
    pub(crate) events: Vec<u8>,
}

/// The answer of that worker.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The events are durable. They entered at this moment; `None`: in an earlier run.
    In { repeated: bool, events: u64, moment: Option<Moment> },
    /// The key has come with other events.
    Reused,
    /// The bytes cannot be decoded as events.
    Unreadable,
}

/// The requests of a process that have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    last: u64,
    open: BTreeMap<u64, UnansweredPush>,
    unsent: VecDeque<Request>,
    /// The number of events of all open requests.
    events: usize,
}

#[derive(Debug)]
struct UnansweredPush {
    pushed: EventTime,
    events: usize,
    slot: Arc<OnceLock<Reply>>,
}

impl Requests {
    /// Whether another one has to wait; `limit` is in events.
    pub(crate) fn is_full(&self, limit: usize) -> bool {
        self.open.len() >= REQUESTS_OPEN || self.events >= limit.max(1)
    }

    pub(crate) fn add(&mut self, pushed: EventTime, mut request: Request) -> Arc<OnceLock<Reply>> {
        self.last += 1;
        request.id = self.last;
        let (events, slot) = (request.count as usize, Arc::default());
        self.open.insert(self.last, UnansweredPush { pushed, events, slot: Arc::clone(&slot) });
        self.events += events;
        self.unsent.push_back(request);
        slot
    }

    /// When the oldest request without an answer came; its events may not have entered.
    pub(crate) fn oldest(&self) -> Option<EventTime> {
        self.open.values().map(|open| open.pushed).min()
    }

    /// The next request to pass on.
    pub(crate) fn take(&mut self) -> Option<Request> {
        self.unsent.pop_front()
    }

    /// Notes the answer to a request.
    pub(crate) fn answer(&mut self, id: u64, reply: Reply) {
        if let Some(open) = self.open.remove(&id) {
            self.events -= open.events;
            open.slot.set(reply).expect("a request is answered once");
        }
    }
}
