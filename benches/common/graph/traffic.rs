//! The traffic between workers and processes, counted by timely.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use timely::communication::Hooks;
use timely::communication::logging::{CommunicationEvent, CommunicationEventBuilder};
use timely::logging::{CommChannelKind, TimelyEvent, TimelyEventBuilder};
use timely::logging_core::Logger;
use timely::worker::Worker;

/// The traffic that a worker received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    /// Records of each channel: all, from other workers, and from workers of other processes.
    records: HashMap<usize, [i64; 3]>,
    /// The channels of timely's progress messages.
    progress: HashSet<usize>,
}

impl Received {
    /// Begins to count on a worker that has no dataflow yet, in a process with this many workers.
    pub(crate) fn count(worker: &Worker, workers: usize) -> Rc<RefCell<Received>> {
        let counted = Rc::new(RefCell::new(Received::default()));
        let counting = Rc::clone(&counted);
        let count = move |_: &Duration, events: &mut Option<Vec<(Duration, TimelyEvent)>>| {
            let mut counted = counting.borrow_mut();
            for (_, event) in events.iter_mut().flat_map(|events| events.drain(..)) {
                match event {
                    TimelyEvent::Messages(message) if !message.is_send => {
                        let (source, target) = (message.source, message.target);
                        let is_from =
                            [true, source != target, source / workers != target / workers];
                        let records = counted.records.entry(message.channel).or_default();
                        for (records, is_from) in records.iter_mut().zip(is_from) {
                            *records += if is_from { message.record_count } else { 0 };
                        }
                    }
                    TimelyEvent::CommChannels(channel)
                        if matches!(channel.kind, CommChannelKind::Progress) =>
                    {
                        counted.progress.insert(channel.identifier);
                    }
                    _ => {}
                }
            }
        };
        let mut register = worker.log_register().expect("timely's logging is on");
        register.insert::<TimelyEventBuilder, _>("timely", count);
        counted
    }

    /// Rows of the speed view: all, from other workers, from other processes. No other channel has as many
    /// from others.
    pub(crate) fn rows(&self) -> [i64; 3] {
        self.records.values().copied().max_by_key(|records| records[1]).unwrap_or_default()
    }

    /// Whether this is a channel of progress messages.
    pub(crate) fn is_progress(&self, channel: usize) -> bool {
        self.progress.contains(&channel)
    }
}

/// Messages and bytes, headers included, that a process received from others, by channel.
pub(crate) type Wire = Arc<Mutex<HashMap<usize, (u64, u64)>>>;

/// Hooks that count the data over the sockets of this process. The counts are complete when timely has ended.
pub(crate) fn counting(wire: &Wire) -> Hooks {
    /// The length of the header that timely puts before each message.
    const HEADER: usize = 6 * size_of::<u64>();
    let wire = Arc::clone(wire);
    let log_fn = move |_| {
        let wire = Arc::clone(&wire);
        let count =
            move |_: &Duration, events: &mut Option<Vec<(Duration, CommunicationEvent)>>| {
                let mut wire = wire.lock().expect("no thread panics while it counts");
                for (_, event) in events.iter_mut().flat_map(|events| events.drain(..)) {
                    if let CommunicationEvent::Message(message) = event
                        && !message.is_send
                    {
                        let (messages, bytes) = wire.entry(message.header.channel).or_default();
                        *messages += 1;
                        *bytes += (HEADER + message.header.length) as u64;
                    }
                }
            };
        let logger = Logger::<CommunicationEventBuilder>::new;
        Some(logger(Instant::now(), Duration::ZERO, count))
    };
    Hooks { log_fn: Arc::new(log_fn), ..Hooks::default() }
}
