//! Reads the share of a worker.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dayfold::source::{Committed, More, Partitions, Share, Taken, Taking};
use dayfold::time::EventTime;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::client::{Client, Told, connect, lock};
use crate::error::KafkaError;
use crate::plan::Plan;
use crate::position::{From, Held, Last, Lost, Mark, Opening, open};
use crate::record::{Record, Timestamp};
use crate::watch::{ANSWER, Watched, WatchedTopic, held, watch};

/// How often to look for new partitions.
const REFRESH: Duration = Duration::from_secs(10);

/// The same, while the broker does not answer or partitions are not open yet.
const RETRY: Duration = Duration::from_millis(500);

/// How often positions are committed for Kafka's own tools.
const TELL_GROUP: Duration = Duration::from_secs(2);

pub(crate) struct Reader<E, const OAUTH: bool> {
    plan: Arc<Plan<E>>,
    share: Share,
    client: Arc<Client<OAUTH>>,
    told: Arc<Mutex<Told>>,
    watched: Arc<Mutex<Watched>>,
    /// By index.
    open: Vec<OpenPartition>,
    by_id: HashMap<i32, usize>,
    /// Partitions whose last record must be found first.
    opening: HashMap<i32, (Opening, Held)>,
    /// Whether all partitions that existed at the start are open or opening.
    all_found: bool,
    looked: Option<Instant>,
    told_group: Instant,
    trouble: Option<String>,
    /// The events of one record.
    events: Vec<E>,
    times: Vec<EventTime>,
}

/// A partition that is read.
struct OpenPartition {
    id: i32,
    epoch: u32,
    /// The offset of the next record.
    next: u64,
    last: Option<Last>,
    /// The position after markers that only brokers see, once all records before it are taken.
    behind: Option<u64>,
    is_at_end: bool,
    end: Option<u64>,
    /// Where the partition ended when it was opened.
    ended: u64,
    /// Whether it is paused because it is far ahead of others: the client fetches nothing from it.
    is_paused: bool,
}

impl<E: 'static, const OAUTH: bool> Reader<E, OAUTH> {
    pub(crate) fn new(plan: &Arc<Plan<E>>, share: &Share) -> Result<Self, KafkaError> {
        let (client, told) = connect(&plan.settings, plan.oauth.clone())?;
        let watched = Arc::default();
        let (topic, settings, oauth) =
            (plan.topic.clone(), plan.settings.clone(), plan.oauth.clone());
        watch::<OAUTH>(WatchedTopic { topic, settings, oauth }, &watched);
        Ok(Reader {
            plan: Arc::clone(plan),
            share: share.clone(),
            client: Arc::new(client),
            told,
            watched,
            open: Vec::new(),
            by_id: HashMap::new(),
            opening: HashMap::new(),
            all_found: false,
            looked: None,
            told_group: Instant::now(),
            trouble: Some("it is not connected yet".to_owned()),
            events: Vec::new(),
            times: Vec::new(),
        })
    }

    /// Looks for new partitions, when it is time.
    fn look(&mut self, into: &mut Taking<E>) -> Result<(), KafkaError> {
        let every = if self.all_found && self.trouble.is_none() { REFRESH } else { RETRY };
        if self.looked.is_some_and(|looked| looked.elapsed() < every) {
            return Ok(());
        }
        match self.find(into) {
            Ok(()) => self.all_found = true,
            Err(Failure::Trouble(trouble)) => self.trouble = Some(self.why(trouble)),
            Err(Failure::Failed(error)) => return Err(error),
        }
        self.looked = Some(Instant::now());
        Ok(())
    }

    fn find(&mut self, into: &mut Taking<E>) -> Result<(), Failure> {
        let topic = &self.plan.topic;
        let metadata = self.client.fetch_metadata(Some(topic), ANSWER)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        if let Some(error) = found.and_then(|found| found.error()) {
            let code = RDKafkaErrorCode::from(error);
            return Err(Failure::Trouble(format!("topic '{topic}': {code}")));
        }
        let partitions = found.map_or(&[][..], |found| found.partitions());
        if partitions.is_empty() {
            return Err(Failure::Trouble(format!("there is no topic '{topic}'")));
        }
        let mine = partitions.iter().map(|partition| partition.id()).filter(|id| {
            let number = usize::try_from(*id);
            let is_mine = number.is_ok_and(|number| self.share.has(number));
            is_mine && !self.by_id.contains_key(id) && !self.opening.contains_key(id)
        });
        for id in mine.collect::<Vec<_>>() {
            self.begin(id, into)?;
        }
        self.trouble = None;
        Ok(())
    }

    /// Begins to read a partition.
    fn begin(&mut self, id: i32, into: &mut Taking<E>) -> Result<(), Failure> {
        let topic = &self.plan.topic;
        let held = held(&self.client, topic, id)?;
        let committed = self.share.committed(&id.to_string());
        // A partition that is found later was created meanwhile, so all of it is new.
        let from = if self.all_found { From::Beginning } else { self.plan.from };
        let opening = open((topic, id), committed.as_ref(), held, from, self.plan.lost)?;
        self.assign(id, opening.offset())?;
        if opening.check.is_some() {
            self.opening.insert(id, (opening, held));
        } else {
            self.add(id, opening, held, None, into);
        }
        Ok(())
    }

    fn assign(&self, id: i32, offset: u64) -> Result<(), KafkaError> {
        let failed = |error: ClientError| KafkaError::Client { reason: error.to_string() };
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        list.add_partition_offset(&self.plan.topic, id, offset).map_err(failed)?;
        self.client.incremental_assign(&list).map_err(failed)
    }

    fn add(
        &mut self,
        id: i32,
        opening: Opening,
        held: Held,
        last: Option<Last>,
        into: &mut Taking<E>,
    ) {
        let Opening { start, anchor, .. } = opening;
        let (epoch, next) = (start.epoch, start.next);
        // If the last record is gone, there is nothing to compare with.
        let mark = last.zip(anchor).map(|(last, anchor)| Mark { last, anchor });
        lock(&self.watched).open(id, mark, next);
        let index = into.add(&id.to_string(), start);
        assert_eq!(index, self.open.len(), "partitions have one index here and there");
        tracing::info!(topic = self.plan.topic, partition = id, epoch, offset = next, "reads");
        let (behind, is_at_end, end) = (None, next >= held.end, Some(held.end));
        let ended = held.end;
        let is_paused = false;
        self.open.push(OpenPartition {
            id,
            epoch,
            next,
            last,
            behind,
            is_at_end,
            end,
            ended,
            is_paused,
        });
        self.by_id.insert(id, index);
    }

    /// The first result from a partition that is being opened: a record, or its end.
    fn found(
        &mut self,
        id: i32,
        record: Option<&Record<'_>>,
        into: &mut Taking<E>,
    ) -> Result<(), KafkaError> {
        let Some((opening, held)) = self.opening.remove(&id) else { return Ok(()) };
        let (epoch, next, check) = (opening.start.epoch, opening.start.next, opening.check);
        let found = record.map(Last::of);
        let is_other = check.zip(found).is_some_and(|(last, found)| {
            last.offset == found.offset && last.digest != found.digest
        });
        if !is_other {
            self.add(id, opening, held, check, into);
            return Ok(());
        }
        let offset = check.map_or(0, |last| last.offset);
        let topic = self.plan.topic.clone();
        let first = held.first;
        let error = KafkaError::Anew { topic, partition: id, offset, committed: next, first };
        if self.plan.lost == Lost::Stop {
            return Err(error);
        }
        tracing::warn!(%error, "accepted: reading begins anew");
        self.add(id, Opening::anew(epoch, held), held, None, into);
        self.connect_anew()
    }

    /// Replaces the client, so that it has no queued records from beyond the position where reading restarts.
    fn connect_anew(&mut self) -> Result<(), KafkaError> {
        let (client, told) = connect(&self.plan.settings, self.plan.oauth.clone())?;
        (self.client, self.told) = (Arc::new(client), told);
        self.open.iter_mut().for_each(|open| (open.is_at_end, open.is_paused) = (false, false));
        let open = self.open.iter().map(|open| (open.id, open.next));
        let opening = self.opening.iter().map(|(id, (opening, _))| (*id, opening.offset()));
        open.chain(opening).try_for_each(|(id, offset)| self.assign(id, offset))
    }

    fn record(
        &mut self,
        message: &BorrowedMessage<'_>,
        into: &mut Taking<E>,
    ) -> Result<(), KafkaError> {
        let record = Record { message };
        if !self.opening.is_empty() {
            let client = Arc::clone(&self.client);
            self.found(message.partition(), Some(&record), into)?;
            if !Arc::ptr_eq(&client, &self.client) {
                return Ok(());
            }
        }
        let Some(&index) = self.by_id.get(&message.partition()) else { return Ok(()) };
        let open = &mut self.open[index];
        // The record that was read again.
        if record.offset() < open.next {
            return Ok(());
        }
        open.next = record.offset() + 1;
        let last = Last::of(&record);
        (open.last, open.behind, open.is_at_end) = (Some(last), None, false);
        let (next, raw) = (open.next, record.bytes());
        let arrival = match record.timestamp() {
            Timestamp::Appended(arrival) => Some(arrival),
            Timestamp::Created(_) | Timestamp::Missing => None,
        };
        self.events.clear();
        self.times.clear();
        match self.plan.events(&record, &mut self.events, &mut self.times) {
            Ok(()) if self.events.is_empty() => into.passed(index, next),
            Ok(()) => {
                let events = self.times.drain(..).zip(self.events.drain(..));
                into.events(index, Taken::new(next, raw).arrival(arrival), events);
            }
            Err(reason) => into.refused(index, reason, raw, next),
        }
        Ok(())
    }

    /// A result of the client other than a record.
    fn failed(&mut self, error: ClientError, into: &mut Taking<E>) -> Result<(), KafkaError> {
        match error {
            ClientError::PartitionEOF(id) => {
                self.found(id, None, into)?;
                if let Some(&index) = self.by_id.get(&id) {
                    self.open[index].is_at_end = true;
                }
            }
            ClientError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::LogTruncation,
            ) => return Err(self.lost(&error)),
            ClientError::MessageConsumptionFatal(_) => {
                return Err(KafkaError::Client { reason: error.to_string() });
            }
            // It recovers by itself: a broker is away, or moved.
            error => self.trouble = Some(self.why(error.to_string())),
        }
        Ok(())
    }

    /// The error, with the client's details: for example that a password is wrong, and not only that no broker answers.
    fn why(&self, trouble: String) -> String {
        let told = lock(&self.told);
        match &told.error {
            Some(error) if !trouble.contains(error.as_str()) => format!("{trouble}: {error}"),
            _ => trouble,
        }
    }

    /// The partition whose position is lost.
    fn lost(&self, error: &ClientError) -> KafkaError {
        for partition in &self.open {
            let Ok(held) = held(&self.client, &self.plan.topic, partition.id) else { continue };
            let committed = Committed::new(partition.epoch, partition.next, Vec::new());
            let place = (&*self.plan.topic, partition.id);
            if let Err(lost) = open(place, Some(&committed), held, From::Beginning, Lost::Stop) {
                return lost;
            }
        }
        KafkaError::Client { reason: error.to_string() }
    }

    /// Whether the topic was found to be another one than was read.
    fn look_at_watch(&mut self, into: &mut Taking<E>) -> Result<(), KafkaError> {
        let found = lock(&self.watched).take_found();
        let Some((id, held, error)) = found else { return Ok(()) };
        let Some(&index) = self.by_id.get(&id).filter(|_| self.plan.lost == Lost::BeginAnew) else {
            return Err(error);
        };
        tracing::warn!(%error, "accepted: reading begins anew");
        let open = &mut self.open[index];
        let start = Opening::anew(open.epoch, held).start;
        (open.epoch, open.next) = (start.epoch, start.next);
        (open.last, open.behind) = (None, None);
        lock(&self.watched).open(id, None, open.next);
        into.anew(index, start);
        self.connect_anew()
    }

    /// Pauses fetching of partitions that are far ahead of others.
    fn pause(&mut self, into: &mut Taking<E>) -> Result<(), KafkaError> {
        let failed = |error: ClientError| KafkaError::Client { reason: error.to_string() };
        let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
        for (index, open) in self.open.iter_mut().enumerate() {
            let is_paused = into.is_paused(index);
            if std::mem::replace(&mut open.is_paused, is_paused) != is_paused {
                let list = if is_paused { &mut pause } else { &mut resume };
                list.add_partition(&self.plan.topic, open.id);
            }
        }
        if pause.count() > 0 {
            self.client.pause(&pause).map_err(failed)?;
        }
        if resume.count() > 0 {
            self.client.resume(&resume).map_err(failed)?;
        }
        Ok(())
    }

    /// Passes on the client's reports besides records. `drained` means that no record was waiting.
    fn tell(&mut self, drained: bool, into: &mut Taking<E>) {
        let told = {
            let mut told = lock(&self.told);
            let is_new = std::mem::take(&mut told.is_new);
            is_new.then(|| (told.is_up, told.error.clone(), std::mem::take(&mut told.partitions)))
        };
        for (index, open) in self.open.iter_mut().enumerate() {
            if let Some(behind) = open.behind.filter(|_| drained && open.is_at_end) {
                open.next = open.next.max(behind);
                open.behind = None;
                into.passed(index, open.next);
            }
        }
        if let Some((is_up, error, partitions)) = told {
            if !is_up && !self.open.is_empty() {
                let error = error.unwrap_or_else(|| "no broker is connected".to_owned());
                self.trouble = Some(error);
            } else if self.all_found {
                self.trouble = None;
            }
            for open in &mut self.open {
                let Some(ends) = partitions.get(&open.id) else { continue };
                open.end = u64::try_from(ends.stable).ok().or(open.end);
                let eof = u64::try_from(ends.eof).ok().filter(|_| ends.eof == ends.next);
                open.behind = eof.filter(|eof| *eof > open.next);
            }
        }
        let is_away = self.trouble.is_some();
        for (index, open) in self.open.iter().enumerate() {
            into.end(index, open.end, open.is_at_end && !is_away);
        }
        if self.all_found && self.opening.is_empty() {
            into.ready();
        }
    }

    fn tell_watch(&self) {
        let mut watched = lock(&self.watched);
        for open in &self.open {
            open.last.into_iter().for_each(|last| watched.read(open.id, last));
        }
    }

    /// Commits the positions to a group, for Kafka's own tools.
    fn tell_group(&mut self) {
        if self.plan.group.is_none() || self.told_group.elapsed() < TELL_GROUP {
            return;
        }
        self.told_group = Instant::now();
        let mut list = TopicPartitionList::new();
        for open in &self.open {
            let offset = Offset::Offset(i64::try_from(open.next).unwrap_or(i64::MAX));
            let added = list.add_partition_offset(&self.plan.topic, open.id, offset);
            added.unwrap_or_else(|error| tracing::warn!(%error, "a position is not told"));
        }
        if list.count() > 0
            && let Err(error) = self.client.commit(&list, CommitMode::Async)
        {
            tracing::warn!(%error, "the group is not told the positions; the log has them");
        }
    }

    /// Whether all records that existed at the start are taken.
    fn has_ended(&self) -> bool {
        let mut open = self.open.iter();
        self.all_found
            && self.opening.is_empty()
            && open.all(|open| open.is_at_end || open.next >= open.ended)
    }
}

impl<E: 'static, const OAUTH: bool> Partitions<E> for Reader<E, OAUTH> {
    fn take(&mut self, into: &mut Taking<E>, wait: Duration) -> io::Result<More> {
        self.look_at_watch(into).map_err(io::Error::other)?;
        self.look(into).map_err(io::Error::other)?;
        self.pause(into).map_err(io::Error::other)?;
        let client = Arc::clone(&self.client);
        let (mut waits, mut drained) = (wait, true);
        while !into.is_full() {
            let Some(polled) = client.poll(waits) else { break };
            match polled {
                Ok(message) => {
                    drained = false;
                    self.record(&message, into)
                }
                Err(error) => self.failed(error, into),
            }
            .map_err(io::Error::other)?;
            waits = Duration::ZERO;
            if !Arc::ptr_eq(&client, &self.client) {
                break;
            }
        }
        self.tell(drained && waits == wait, into);
        self.tell_watch();
        self.tell_group();
        let is_over = self.plan.until_end && self.has_ended();
        Ok(if is_over { More::Ended } else { More::Later })
    }

    fn mark(&self, partition: usize) -> Vec<u8> {
        let open = self.open.get(partition);
        let last = open.and_then(|open| Some((open.id, open.last?)));
        last.map_or_else(Vec::new, |(id, last)| lock(&self.watched).mark(id, last).encode())
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }
}

/// Why partitions are not found.
enum Failure {
    /// It is tried again.
    Trouble(String),
    Failed(KafkaError),
}

impl std::convert::From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Failure {
        Failure::Failed(error)
    }
}

impl std::convert::From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        Failure::Trouble(error.to_string())
    }
}
