//! The keys that one worker owns, and the pushes that come with them.
//!
//! A key and its events are in one entry of this worker's log, so a crash leaves both or neither. A push is answered
//! when the entry is durable, and so is a repetition that comes meanwhile.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::engine::ingest::deal::Keyed;
use crate::engine::ingest::feed::Feed;
use crate::engine::ingest::request::{Reply, Request};
use crate::log::{Entry, EventCodec, LogWriter, ONCE_KEPT_MS, OnceKey};
use crate::moment::Moment;
use crate::time::EventTime;

/// The worker that owns a key: the same in all processes of a cluster.
pub(crate) fn owner_of(key: &str, peers: usize) -> usize {
    (xxh3_64(key.as_bytes()) % peers as u64) as usize
}

/// The keys of a worker.
pub(crate) struct Owner<E> {
    codec: EventCodec<E>,
    known: HashMap<Arc<str>, Known>,
    /// In order of arrival.
    order: VecDeque<(EventTime, Arc<str>)>,
    /// Answers to give when the entry of this number is durable: the worker, the request and the reply.
    due: BTreeMap<u64, Vec<(usize, u64, Reply)>>,
}

struct Known {
    digest: u128,
    at: EventTime,
    events: u64,
    /// The number of its entry in the log, and when it entered; 0 and `None` if in an earlier run.
    number: u64,
    moment: Option<Moment>,
}

impl<E: Send + Sync + 'static> Owner<E> {
    /// A worker that continues with these keys of earlier runs.
    pub(crate) fn new(codec: EventCodec<E>, mut keys: Vec<OnceKey>) -> Owner<E> {
        // For a key that expired and came again, the last occurrence counts.
        keys.sort_by_key(|key| key.at);
        let (known, order) = (HashMap::new(), VecDeque::new());
        let mut owner = Owner { codec, known, order, due: BTreeMap::new() };
        for OnceKey { key, digest, at, events } in keys {
            owner.note(&key, Known { digest, at, events, number: 0, moment: None });
        }
        owner
    }

    fn note(&mut self, key: &str, known: Known) {
        let key: Arc<str> = key.into();
        self.order.push_back((known.at, Arc::clone(&key)));
        self.known.insert(key, known);
    }

    /// Forgets keys that are older than a day.
    fn forget(&mut self, now: EventTime) {
        while let Some((at, key)) = self.order.pop_front_if(|(at, _)| is_past(*at, now)) {
            if self.known.get(&key).is_some_and(|known| known.at == at) {
                self.known.remove(&key);
            }
        }
    }

    /// Takes a push. Returns its events if they are to enter at `moment`; then the log has them.
    pub(crate) fn take(
        &mut self,
        (from, request): (usize, Request),
        (moment, now): (Moment, EventTime),
        log: &mut LogWriter<E>,
    ) -> Option<Arc<Vec<E>>> {
        self.forget(now);
        let Request { id, key, digest, count, events } = request;
        let mut answer = |number, reply| {
            self.due.entry(number).or_default().push((from, id, reply));
        };
        // If a clock was set back, keys are not in the order of their times.
        if let Some(known) = self.known.get(&key[..]).filter(|known| !is_past(known.at, now)) {
            let Known { events, number, moment, .. } = *known;
            if (known.digest, events) == (digest, u64::from(count)) {
                answer(number, Reply::In { repeated: true, events, moment });
            } else {
                answer(0, Reply::Reused);
            }
            return None;
        }
        let Some(events) = self.codec.decode(count, &events) else {
            answer(0, Reply::Unreadable);
            return None;
        };
        let (events, count) = (Arc::new(events), u64::from(count));
        let entry = Entry {
            moment,
            events: Arc::clone(&events),
            ranges: Vec::new(),
            extents: Vec::new(),
            refused: Vec::new(),
            refused_elsewhere: 0,
            once: Some(OnceKey { key: key.clone(), digest, at: now, events: count }),
        };
        // If the log has failed, the engine is about to stop, and none of this is answered.
        log.append(entry).ok()?;
        let number = log.handle().appended();
        let moment = Some(moment);
        answer(number, Reply::In { repeated: false, events: count, moment });
        self.note(&key, Known { digest, at: now, events: count, number, moment });
        Some(events)
    }

    /// Answers the pushes that are durable.
    pub(crate) fn answer(&mut self, log: &LogWriter<E>, feed: &mut Feed) {
        if self.due.is_empty() {
            return;
        }
        let later = self.due.split_off(&(log.handle().durable() + 1));
        let durable = std::mem::replace(&mut self.due, later);
        for (from, id, reply) in durable.into_values().flatten() {
            feed.deal(from, Keyed::Answer { id, reply });
        }
    }
}

fn is_past(at: EventTime, now: EventTime) -> bool {
    at.saturating_add(ONCE_KEPT_MS) <= now
}
