//! Tests of changes to topics, with a broker at `$KAFKA_BROKERS` (`.ci/kafka cargo test -p dayfold-kafka`). Without a
//! broker, these tests say so and pass.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{EngineError, Measures, Running, ViewHandle};
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::TimeParser;
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_kafka::{Kafka, Lost, Record, Time, Timestamp, Token, Tombstones};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

type Event = (i64, String, i64);
type Counts = ViewHandle<String, (Count, Sum)>;

const LIMIT: Duration = Duration::from_secs(60);

/// A separate topic for a test.
struct Topic {
    brokers: String,
    name: String,
    producer: BaseProducer,
    admin: AdminClient<DefaultClientContext>,
}

impl Topic {
    /// `None` without a broker.
    fn new(name: &str, partitions: i32) -> Option<Topic> {
        let Ok(brokers) = std::env::var("KAFKA_BROKERS") else {
            eprintln!("SKIPPED: no broker at $KAFKA_BROKERS");
            return None;
        };
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &brokers).set("topic.metadata.refresh.interval.ms", "500");
        let (producer, admin) = (config.create().unwrap(), config.create().unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let topic = Topic { brokers, name: format!("{name}-{now}"), producer, admin };
        topic.create(partitions);
        Some(topic)
    }

    fn create(&self, partitions: i32) {
        let new = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(LIMIT));
        // One that was just deleted may still be there.
        let begun = Instant::now();
        loop {
            let made = wait(self.admin.create_topics([&new], &options)).unwrap();
            match &made[0] {
                Ok(_) => return,
                Err(_) if begun.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(100)),
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn delete(&self) {
        wait(self.admin.delete_topics(&[&self.name], &AdminOptions::new())).unwrap();
    }

    fn grow(&self, partitions: usize) {
        let more = NewPartitions::new(&self.name, partitions);
        wait(self.admin.create_partitions([&more], &AdminOptions::new())).unwrap();
    }

    fn remove_before(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).unwrap();
        wait(self.admin.delete_records(&list, &AdminOptions::new())).unwrap();
    }

    fn write(&self, partition: i32, values: impl IntoIterator<Item = i64>) {
        for value in values {
            let text = value.to_string();
            let record = BaseRecord::<str, str>::to(&self.name).partition(partition);
            let mut record = record.key("k").payload(&text).timestamp(value * 1_000);
            let begun = Instant::now();
            // The producer may not know a new partition yet.
            while let Err((error, same)) = self.producer.send(record) {
                assert!(begun.elapsed() < LIMIT, "{error}");
                self.producer.poll(Duration::from_millis(100));
                record = same;
            }
        }
        self.producer.flush(LIMIT).unwrap();
    }

    fn kafka(&self) -> Kafka<Event> {
        Kafka::new(&self.brokers, &self.name, read)
    }
}

fn read(record: &Record<'_>) -> Result<Event, String> {
    let text = std::str::from_utf8(record.bytes()).map_err(|error| error.to_string())?;
    let value = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    let time = record.timestamp().millis().ok_or("no time")?;
    Ok((time, record.partition().to_string(), value))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    // The client's own thread completes it.
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

struct Program {
    running: Running,
    counts: Counts,
    refused: Arc<Mutex<Vec<String>>>,
}

fn start(folder: &Path, workers: usize, kafka: Kafka<Event>) -> Program {
    let every = Durability::Every(Duration::from_millis(5));
    let mut engine = Engine::new().data(folder).log(every, |event: &Event| event.0);
    let counts = engine.view(View::new("counts").unwrap(), Measures::none(), |event: &Event| {
        Some((event.0, event.1.clone(), (Count::one(), Sum::of(event.2))))
    });
    let refused = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&refused);
    let engine = engine.partitioned(kafka).refused(move |row| {
        keep.lock().unwrap().push(row.reason.clone());
        Ok(())
    });
    Program { running: engine.start(Cluster::workers(workers)).unwrap(), counts, refused }
}

impl Program {
    fn count(&self, partition: i32) -> (i64, i128) {
        let key = partition.to_string();
        let answer = self.counts.ask(Query::point(key, DayRange::ALL)).unwrap();
        answer.value().map_or((0, 0), |(count, sum)| (count.0, sum.value()))
    }

    /// Waits until exactly this many are counted.
    #[track_caller]
    fn expect(&self, partition: i32, count: i64, sum: i128) {
        let begun = Instant::now();
        while self.count(partition).0 < count && begun.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(self.count(partition), (count, sum));
    }

    fn error(self) -> String {
        match self.running.wait_sealed(LIMIT) {
            Err(EngineError::Input { message }) => message,
            other => panic!("it has not stopped: {other:?}"),
        }
    }
}

#[test]
fn a_topic_grows_and_other_numbers_of_workers_go_on() {
    let Some(topic) = Topic::new("grows", 2) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (run, workers) in [1, 3, 2].into_iter().enumerate() {
        let run = run as i64;
        let program = start(folder.path(), workers, topic.kafka().group("shown"));
        topic.write(0, run * 100..(run + 1) * 100);
        topic.write(1, [7]);
        let records = (run + 1) * 100;
        program.expect(0, records, i128::from(records * (records - 1) / 2));
        program.expect(1, run + 1, 7 * i128::from(run + 1));
        program.running.finish().unwrap();
    }
    // A new partition is found while it runs.
    let program = start(folder.path(), 2, topic.kafka());
    program.expect(0, 300, 44_850);
    topic.grow(3);
    topic.write(2, [1, 2, 3]);
    program.expect(2, 3, 6);
    let sources = program.running.progress().sources;
    let names: Vec<_> = sources.iter().map(|source| source.name.clone()).collect();
    assert_eq!(names, [0, 1, 2].map(|partition| format!("{}/{partition}", topic.name)));
    assert!(sources.iter().all(|source| source.trouble.is_none()), "{sources:?}");
    program.running.finish().unwrap();
}

#[test]
fn a_partition_far_ahead_of_another_is_paused_until_that_follows() {
    const DAY: i64 = 86_400;
    let Some(topic) = Topic::new("ahead", 2) else { return };
    let folder = tempfile::tempdir().unwrap();
    // The reader of the first partition waits for this beyond three days.
    let gate = Arc::new(Mutex::new(()));
    let (closed, waits) = (gate.lock().unwrap(), Arc::clone(&gate));
    let slow = move |record: &Record<'_>| {
        let event = read(record)?;
        if record.partition() == 0 && event.2 >= 3 * DAY {
            drop(waits.lock());
        }
        Ok(event)
    };
    let kafka = Kafka::new(&topic.brokers, &topic.name, slow);
    let kafka = kafka.time(Time::Event(Box::new(|event: &Event| event.0)));
    let program = start(folder.path(), 2, kafka);
    // The client takes a timestamp of 0 for none.
    let first = [1, DAY, 2 * DAY];
    topic.write(0, first);
    topic.write(1, first);
    program.expect(0, 3, i128::from(1 + 3 * DAY));
    program.expect(1, 3, i128::from(1 + 3 * DAY));

    let ahead = (3 * DAY..200 * DAY).step_by(170);
    let (records, sum) = (ahead.clone().count() as i64, ahead.clone().sum::<i64>());
    topic.write(0, [3 * DAY]);
    topic.write(1, ahead);
    let begun = Instant::now();
    let partition = loop {
        let sources = program.running.progress().sources;
        match sources.into_iter().find(|source| source.paused) {
            Some(paused) => break paused,
            None if begun.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(5)),
            None => panic!("nothing was paused: {:?}", program.running.progress().sources),
        }
    };
    assert_eq!(partition.name, format!("{}/1", topic.name));
    assert!(partition.position.is_some_and(|position| position < records as u64), "{partition:?}");

    drop(closed);
    // The other one continues as well, because otherwise it would hold days open.
    topic.write(0, [200 * DAY]);
    program.expect(1, 3 + records, i128::from(1 + 3 * DAY + sum));
    program.expect(0, 5, i128::from(1 + 206 * DAY));
    program.running.finish().unwrap();
}

#[test]
fn records_that_are_gone_stop_it_or_are_given_up() {
    let Some(topic) = Topic::new("gone", 1) else { return };
    let folder = tempfile::tempdir().unwrap();
    topic.write(0, 0..10);
    let program = start(folder.path(), 1, topic.kafka());
    program.expect(0, 10, 45);
    program.running.finish().unwrap();
    topic.write(0, 10..20);
    topic.remove_before(0, 15);
    let error = start(folder.path(), 2, topic.kafka()).error();
    assert!(error.contains(&format!("topic '{}', partition 0", topic.name)), "{error}");
    assert!(error.contains("at offset 10") && error.contains("still has is 15"), "{error}");
    // Twice: the second time nothing is lost.
    for _ in 0..2 {
        let program = start(folder.path(), 1, topic.kafka().lost(Lost::BeginAnew));
        program.expect(0, 15, 45 + 15 + 16 + 17 + 18 + 19);
        program.running.finish().unwrap();
    }
}

#[test]
fn a_topic_made_anew_stops_it_or_is_read_as_well() {
    let Some(topic) = Topic::new("anew", 1) else { return };
    let folder = tempfile::tempdir().unwrap();
    topic.write(0, 0..10);
    let program = start(folder.path(), 1, topic.kafka());
    program.expect(0, 10, 45);
    program.running.finish().unwrap();
    topic.delete();
    topic.create(1);
    topic.write(0, 100..105);
    let error = start(folder.path(), 1, topic.kafka()).error();
    assert!(error.contains("at offset 10, and the partition ends at 5"), "{error}");
    topic.write(0, 105..115);
    let error = start(folder.path(), 1, topic.kafka()).error();
    assert!(error.contains("at offset 9, which was read last"), "{error}");
    let anew: i128 = (100..115).sum();
    for _ in 0..2 {
        let program = start(folder.path(), 2, topic.kafka().lost(Lost::BeginAnew));
        program.expect(0, 25, 45 + anew);
        program.running.finish().unwrap();
    }
}

/// A topic that is deleted and recreated under a running engine, with more records than were read before.
#[test]
fn a_topic_made_anew_while_it_is_read_stops_it() {
    let Some(topic) = Topic::new("again", 1) else { return };
    let folder = tempfile::tempdir().unwrap();
    topic.write(0, 0..10);
    let program = start(folder.path(), 1, topic.kafka());
    program.expect(0, 10, 45);
    topic.delete();
    topic.create(1);
    topic.write(0, 100..130);
    let error = program.error();
    assert!(error.contains(&format!("topic '{}', partition 0", topic.name)), "{error}");
    assert!(error.contains("is another one now") && error.contains("BeginAnew"), "{error}");
    // The next run notices it as well, however much was read meanwhile.
    let error = start(folder.path(), 2, topic.kafka()).error();
    assert!(error.contains("was made anew") && error.contains("BeginAnew"), "{error}");
    // All records of the new topic count besides those read before, which may include some of the new ones.
    let program = start(folder.path(), 1, topic.kafka().lost(Lost::BeginAnew));
    let anew: i128 = (100..130).sum();
    let begun = Instant::now();
    while program.count(0).0 < 40 || program.running.progress().sources[0].lag != Some(0) {
        assert!(begun.elapsed() < LIMIT, "{:?}", program.count(0));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(program.count(0).1 >= 45 + anew);
    program.running.finish().unwrap();
}

/// TLS, and SASL in all its forms, with the test's own certificate authority.
#[test]
fn secured_listeners() {
    let Some(topic) = Topic::new("secured", 2) else { return };
    topic.write(0, 0..10);
    topic.write(1, 0..20);
    let variable = |name: &str| std::env::var(name).unwrap();
    let (tls, sasl, authority) =
        (variable("KAFKA_SSL"), variable("KAFKA_SASL"), variable("KAFKA_CA"));
    let at = |brokers: &str, settings: &[(&str, &str)]| {
        let kafka = Kafka::new(brokers, &topic.name, read).set("ssl.ca.location", &authority);
        settings.iter().fold(kafka, |kafka, (key, value)| kafka.set(key, value))
    };
    let by = |mechanism: &str, password: &str| {
        let settings = [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", mechanism),
            ("sasl.username", "alice"),
            ("sasl.password", password),
        ];
        at(&sasl, &settings)
    };
    let oauth = || {
        let kafka = by("OAUTHBEARER", "");
        kafka.oauth(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let claims = format!(r#"{{"sub":"alice","iat":{now},"exp":{}}}"#, now + 600);
            let token = format!("{}.{}.", base64(br#"{"alg":"none"}"#), base64(claims.as_bytes()));
            let expires = (now as i64 + 600) * 1_000;
            Ok(Token::new(token, "alice", expires))
        })
    };
    let ways = [
        ("TLS", at(&tls, &[("security.protocol", "ssl")])),
        ("PLAIN", by("PLAIN", "secret")),
        ("SCRAM-SHA-256", by("SCRAM-SHA-256", "secret")),
        ("SCRAM-SHA-512", by("SCRAM-SHA-512", "secret")),
        ("OAUTHBEARER", oauth()),
    ];
    for (way, kafka) in ways {
        let folder = tempfile::tempdir().unwrap();
        let program = start(folder.path(), 2, kafka.until_end());
        assert!(program.running.wait_sealed(LIMIT).unwrap(), "{way}");
        assert_eq!((program.count(0), program.count(1)), ((10, 45), (20, 190)), "{way}");
        program.running.finish().unwrap();
    }
    // A client without access waits, and reports why.
    let unknown = Kafka::new(&tls, &topic.name, read).set("security.protocol", "ssl");
    for (kafka, expect) in [(by("PLAIN", "wrong"), "uthentication"), (unknown, "certificate")] {
        let folder = tempfile::tempdir().unwrap();
        let program = start(folder.path(), 1, kafka);
        let begun = Instant::now();
        loop {
            let sources = program.running.progress().sources;
            let trouble: String = sources.into_iter().filter_map(|of| of.trouble).collect();
            if trouble.contains(expect) {
                break;
            }
            assert!(begun.elapsed() < LIMIT, "expected '{expect}' in '{trouble}'");
            std::thread::sleep(Duration::from_millis(50));
        }
        program.running.finish().unwrap();
    }
}

/// Base 64 for addresses, without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let three = |chunk: &[u8]| {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        let digit = move |at: usize| DIGITS[(bits >> (18 - 6 * at)) as usize & 63] as char;
        (0..=chunk.len()).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(three).collect()
}

#[test]
fn what_is_no_event_is_kept_with_its_place() {
    let Some(topic) = Topic::new("refused", 1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let send = |payload: Option<&str>, at: Option<&str>| {
        let header = |value| OwnedHeaders::new().insert(Header { key: "at", value: Some(value) });
        let mut record = BaseRecord::<str, str>::to(&topic.name).partition(0).key("k");
        (record.payload, record.headers) = (payload, at.map(header));
        topic.producer.send(record).unwrap();
    };
    send(Some("1"), Some("2024-05-01T00:00:00Z"));
    send(Some("x"), Some("2024-05-01T00:00:00Z"));
    send(None, Some("2024-05-01T00:00:00Z"));
    send(Some("2"), None);
    send(Some("3"), Some("yesterday"));
    send(Some("4"), Some("2024-05-02T00:00:00Z"));
    topic.producer.flush(LIMIT).unwrap();
    let time = Time::Header("at".to_owned(), TimeParser::new());
    let program = start(folder.path(), 1, topic.kafka().time(time).until_end());
    assert!(program.running.wait_sealed(LIMIT).unwrap());
    assert_eq!(program.count(0), (2, 5));
    let refused = program.refused.lock().unwrap().clone();
    let name = &topic.name;
    assert_eq!(refused[0], format!("{name}/0, 1: 'x' is no number"));
    assert!(refused[1].starts_with(&format!("{name}/0, 2: ")) && refused[1].contains("tombstone"));
    assert!(refused[2].contains("no header 'at'") && refused[3].contains("header 'at'"));
    assert_eq!(refused.len(), 4);
    program.running.finish().unwrap();
    // Where the program reads them.
    let other = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(0));
    let tombstones = Arc::clone(&seen);
    let read = move |record: &Record<'_>| {
        assert!(matches!(record.timestamp(), Timestamp::Created(_)));
        *tombstones.lock().unwrap() += i32::from(record.payload().is_none());
        let time = record.timestamp().millis().unwrap();
        Ok((time, "all".to_owned(), record.key().map_or(0, |key| key.len() as i64)))
    };
    let kafka = Kafka::new(&topic.brokers, &topic.name, read).tombstones(Tombstones::Read);
    let program = start(other.path(), 2, kafka.until_end());
    assert!(program.running.wait_sealed(LIMIT).unwrap());
    assert_eq!(*seen.lock().unwrap(), 1);
    program.running.finish().unwrap();
}

/// A position is after transaction markers, and aborted records are never counted.
#[test]
fn aborted_transactions_leave_nothing_and_no_lag() {
    let Some(topic) = Topic::new("aborted", 1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &topic.brokers).set("transactional.id", &topic.name);
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    let program = start(folder.path(), 1, topic.kafka());
    for (round, commit) in [(0, true), (1, false), (2, true), (3, false)] {
        producer.begin_transaction().unwrap();
        for value in round * 10..(round + 1) * 10 {
            let text = value.to_string();
            let record = BaseRecord::<str, str>::to(&topic.name).partition(0).payload(&text);
            producer.send(record.key("k").timestamp(value)).unwrap();
        }
        producer.flush(LIMIT).unwrap();
        if commit {
            producer.commit_transaction(LIMIT).unwrap();
        } else {
            producer.abort_transaction(LIMIT).unwrap();
        }
    }
    program.expect(0, 20, 45 + 245);
    let begun = Instant::now();
    let position = loop {
        let source = program.running.progress().sources[0].clone();
        if source.position == Some(44) && source.lag == Some(0) || begun.elapsed() > LIMIT {
            break (source.position, source.lag);
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(position, (Some(44), Some(0)), "40 records and four marks");
    program.running.finish().unwrap();
    // The records read before are removed, with their markers: nothing is missing.
    topic.remove_before(0, 44);
    topic.write(0, [100]);
    let program = start(folder.path(), 1, topic.kafka());
    program.expect(0, 21, 45 + 245 + 100);
    program.running.finish().unwrap();
}
