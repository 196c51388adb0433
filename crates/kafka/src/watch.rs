//! Checks while a topic is read whether it is still the same topic, on a separate thread with a separate client.
//!
//! The client reports neither topic ids nor epochs. So a record that was read some time ago, the *anchor*, is read
//! again from time to time, and compared. While it is unchanged, the anchor moves to the last record read. It is in the
//! log as well: if a run is killed before it notices a change, the next run does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::client::{Client, Oauth, connect, lock};
use crate::error::KafkaError;
use crate::position::{Held, Last, Mark};
use crate::record::Record;

/// How often to check.
const EVERY: Duration = Duration::from_secs(5);

/// How often the thread checks whether it should end.
const WANTED: Duration = Duration::from_millis(200);

/// The state of a share's partitions, shared by the reader and the watch.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    partitions: HashMap<i32, Partition>,
    /// The error that was found.
    found: Option<(i32, Held, KafkaError)>,
}

#[derive(Clone, Copy, Debug)]
struct Partition {
    anchor: Last,
    last: Last,
    next: u64,
}

impl Watched {
    /// A partition is being read; these are its records in the log, if any.
    pub(crate) fn open(&mut self, id: i32, mark: Option<Mark>, next: u64) {
        self.partitions.remove(&id);
        if let Some(Mark { last, anchor }) = mark {
            self.partitions.insert(id, Partition { anchor, last, next });
        }
    }

    /// A record was read.
    pub(crate) fn read(&mut self, id: i32, last: Last) {
        let next = last.offset + 1;
        let partition = Partition { anchor: last, last, next };
        let partition = self.partitions.entry(id).or_insert(partition);
        (partition.last, partition.next) = (last, next);
    }

    /// For the log.
    pub(crate) fn mark(&self, id: i32, last: Last) -> Mark {
        let anchor = self.partitions.get(&id).map_or(last, |partition| partition.anchor);
        Mark { last, anchor }
    }

    /// The error that was found, if any.
    pub(crate) fn take_found(&mut self) -> Option<(i32, Held, KafkaError)> {
        self.found.take()
    }
}

/// The location of the topic.
pub(crate) struct WatchedTopic {
    pub(crate) topic: String,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) oauth: Option<Arc<Oauth>>,
}

/// Starts to watch, until `watched` is dropped.
pub(crate) fn watch<const OAUTH: bool>(place: WatchedTopic, watched: &Arc<Mutex<Watched>>) {
    let watched = Arc::downgrade(watched);
    let watching = move || {
        let mut client = None;
        let mut looked = Instant::now();
        while let Some(watched) = watched.upgrade() {
            if looked.elapsed() >= EVERY {
                look::<OAUTH>(&place, &watched, &mut client);
                looked = Instant::now();
            }
            drop(watched);
            std::thread::sleep(WANTED);
        }
    };
    let thread = std::thread::Builder::new().name("dayfold:watch".to_owned()).spawn(watching);
    thread.expect("the system gives a thread to the watch");
}

fn look<const OAUTH: bool>(
    place: &WatchedTopic,
    watched: &Mutex<Watched>,
    client: &mut Option<Client<OAUTH>>,
) {
    let partitions: Vec<_> =
        lock(watched).partitions.iter().map(|(id, partition)| (*id, *partition)).collect();
    if client.is_none() && !partitions.is_empty() {
        // The reader has the same settings, and reports what is wrong with them.
        *client = connect(&place.settings, place.oauth.clone()).ok().map(|(client, _)| client);
    }
    let Some(client) = client else { return };
    for (id, partition) in partitions {
        match compare(client, &place.topic, id, &partition) {
            Ok(Compared::Same) => {
                let mut watched = lock(watched);
                if let Some(now) = watched.partitions.get_mut(&id)
                    && now.anchor == partition.anchor
                {
                    now.anchor = partition.last;
                }
            }
            Ok(Compared::Unknown) => {}
            Ok(Compared::Other(held)) => {
                let error = wrong(&place.topic, id, &partition, held);
                lock(watched).found = Some((id, held, error));
            }
            // Try again next time: the reader waits as well, and reports it.
            Err(error) => tracing::debug!(%error, "the topic is not looked at"),
        }
    }
}

enum Compared {
    Same,
    /// The record is gone; retention may have removed it.
    Unknown,
    Other(Held),
}

fn compare<const OAUTH: bool>(
    client: &Client<OAUTH>,
    topic: &str,
    id: i32,
    partition: &Partition,
) -> Result<Compared, ClientError> {
    let held = held(client, topic, id)?;
    if partition.next > held.end {
        return Ok(Compared::Other(held));
    }
    let anchor = partition.anchor;
    if anchor.offset < held.first {
        return Ok(if partition.last.offset < held.first {
            Compared::Unknown
        } else {
            Compared::Same
        });
    }
    let found = read_at(client, topic, id, anchor.offset)?;
    Ok(match found {
        Some(found) if found.offset == anchor.offset && found.digest != anchor.digest => {
            Compared::Other(held)
        }
        Some(found) if found.offset == anchor.offset => Compared::Same,
        // Compaction has removed it.
        _ => Compared::Unknown,
    })
}

/// The first record at or after an offset.
fn read_at<const OAUTH: bool>(
    client: &Client<OAUTH>,
    topic: &str,
    id: i32,
    offset: u64,
) -> Result<Option<Last>, ClientError> {
    let mut list = TopicPartitionList::new();
    let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
    list.add_partition_offset(topic, id, offset)?;
    client.assign(&list)?;
    let begun = Instant::now();
    let found = loop {
        let left = ANSWER.saturating_sub(begun.elapsed());
        match client.poll(left) {
            Some(Ok(message)) if message.partition() == id => {
                break Some(Last::of(&Record { message: &message }));
            }
            Some(Ok(_)) => {}
            Some(Err(ClientError::PartitionEOF(_))) | None => break None,
            Some(Err(error)) => return Err(error),
        }
    };
    client.unassign()?;
    Ok(found)
}

fn wrong(topic: &str, id: i32, of: &Partition, held: Held) -> KafkaError {
    let topic = topic.to_owned();
    if of.next > held.end {
        let (committed, first, end) = (of.next, held.first, held.end);
        return KafkaError::Truncated { topic, partition: id, committed, end, first };
    }
    let (offset, committed, first) = (of.anchor.offset, of.next, held.first);
    KafkaError::Anew { topic, partition: id, offset, committed, first }
}

/// How long to wait for an answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(2);

/// The broker's offsets of a partition.
pub(crate) fn held<const OAUTH: bool>(
    client: &Client<OAUTH>,
    topic: &str,
    id: i32,
) -> Result<Held, ClientError> {
    let (first, end) = client.fetch_watermarks(topic, id, ANSWER)?;
    let number = |offset| u64::try_from(offset).unwrap_or_default();
    Ok(Held { first: number(first), end: number(end) })
}
