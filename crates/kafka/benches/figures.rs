//! The measurements of `figures.py`, one command each. That script starts them with a broker, and shows their output
//! beside other systems.
//!
//!     figures fill BROKERS TOPIC RECORDS          writes JSON records of 150 bytes into four partitions
//!     figures consume BROKERS TOPIC RECORDS       reads them with the client alone, and parses nothing
//!     figures read BROKERS TOPIC FOLDER WORKERS   reads them with an engine until their end, and counts and adds by day and user
//!     figures hold BROKERS TOPIC FOLDER WORKERS   the same, and waits to be killed once all is read and durable
//!     figures recover BROKERS TOPIC FOLDER WORKERS   starts again, and says when answers are there and what they add up to
//!     figures fresh BROKERS TOPIC FOLDER SECONDS  writes 10,000 records a second, and measures from acknowledgement to visibility
//!     figures deliver BROKERS TOPIC SECONDS       the same, from acknowledgement until the client alone has them
//!
//! Each prints one line of JSON.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on panics")]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{Measures, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_kafka::{Kafka, Record, Time};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

const PARTITIONS: i32 = 4;
const BEGIN: i64 = 1_704_067_200_000; // 2024-01-01
const LIMIT: Duration = Duration::from_secs(60);
/// The distance between records at which 10,000,000 records span thirty days.
const STEP_MS: i64 = 259;
const RATE: u64 = 10_000;

#[derive(Serialize, Deserialize)]
struct Event {
    at: i64,
    user: String,
    amount: i64,
}

fn read(record: &Record<'_>) -> Result<Event, String> {
    serde_json::from_slice(record.bytes()).map_err(|error| error.to_string())
}

/// A record of 150 bytes.
fn record(n: u64, at: i64, into: &mut String) {
    use std::fmt::Write;
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // Five digits, because numbers of JSON have no leading zeros.
    let (user, amount) = (mixed >> 54, 10_000 + (mixed >> 20) % 90_000);
    into.clear();
    write!(
        into,
        r#"{{"at":{at},"user":"u{user:06}","amount":{amount},"page":"/shop/{:020}","#,
        mixed
    )
    .unwrap();
    write!(into, r#""agent":"{:032x}{:08}"}}"#, u128::from(mixed) << 32, n % 100_000_000).unwrap();
    // What is left is blank.
    into.extend(std::iter::repeat_n(' ', 150usize.saturating_sub(into.len())));
    debug_assert_eq!(into.len(), 150);
}

fn create(brokers: &str, topic: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    let mut future = std::pin::pin!(admin.create_topics([&new], &AdminOptions::new()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while future.as_mut().poll(&mut context).is_pending() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn fill(brokers: &str, topic: &str, records: u64) {
    create(brokers, topic);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("linger.ms", "50").set("batch.size", "500000");
    let producer: BaseProducer = config.create().unwrap();
    let mut text = String::new();
    for n in 0..records {
        record(n, BEGIN + n as i64 * STEP_MS, &mut text);
        let partition = (n % PARTITIONS as u64) as i32;
        let mut next = BaseRecord::<(), str>::to(topic).partition(partition).payload(&text);
        while let Err((_, same)) = producer.send(next) {
            producer.poll(Duration::from_millis(10));
            next = same;
        }
    }
    producer.flush(LIMIT).unwrap();
    println!("{{\"records\":{records}}}");
}

fn consume(brokers: &str, topic: &str, records: u64) {
    let begun = Instant::now();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "figures");
    config.set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    config.set("queued.max.messages.kbytes", "65536");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut read, mut bytes) = (0, 0);
    while read < records {
        if let Some(message) = consumer.poll(LIMIT) {
            bytes += message.unwrap().payload().unwrap_or_default().len();
            read += 1;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{{\"seconds\":{seconds},\"records\":{read},\"bytes\":{bytes}}}");
}

type Amounts = ViewHandle<String, (Count, Sum)>;

fn start(
    brokers: &str,
    topic: &str,
    folder: &Path,
    workers: usize,
    ends: bool,
) -> (Running, Amounts) {
    let every = Durability::Every(Duration::from_millis(5));
    let mut engine = Engine::new().data(folder).log(every, |event: &Event| event.at);
    let view = View::new("amounts").unwrap();
    let amounts = engine.view(view, Measures::none(), |event: &Event| {
        Some((event.at, event.user.clone(), (Count::one(), Sum::of(event.amount))))
    });
    let kafka =
        Kafka::new(brokers, topic, read).time(Time::Event(Box::new(|event: &Event| event.at)));
    let kafka = if ends { kafka.until_end() } else { kafka };
    (engine.partitioned(kafka).start(Cluster::workers(workers)).unwrap(), amounts)
}

/// Rows, records and their sum, of all days.
fn totals(amounts: &Amounts) -> (usize, i64, i128) {
    let answer = amounts.ask(Query::rows(KeyRange::all(), DayRange::ALL)).unwrap();
    let (rows, mut count, mut sum) = (answer.items.len(), 0, 0);
    for item in answer.items {
        let (counted, added) = item.parts.merged().unwrap();
        (count, sum) = (count + counted.0, sum + added.value());
    }
    (rows, count, sum)
}

/// The peak memory of this process, in MiB.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

fn read_all(brokers: &str, topic: &str, folder: &Path, workers: usize, holds: bool) {
    let begun = Instant::now();
    let (running, amounts) = start(brokers, topic, folder, workers, !holds);
    let seconds = if holds {
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let progress = running.progress();
            let mut sources = progress.sources.iter();
            let is_read = progress.sources.len() == PARTITIONS as usize
                && sources.all(|source| source.lag == Some(0) && source.position > Some(0));
            if is_read && progress.log.is_some_and(|log| log.durable == log.appended) {
                break begun.elapsed().as_secs_f64();
            }
        }
    } else {
        while !running.wait_sealed(LIMIT).unwrap() {}
        begun.elapsed().as_secs_f64()
    };
    let (rows, count, sum) = totals(&amounts);
    let memory = memory_mib();
    println!(
        "{{\"seconds\":{seconds},\"rows\":{rows},\"records\":{count},\"sum\":{sum},\"memory_mib\":{memory}}}"
    );
    if holds {
        std::thread::sleep(Duration::from_secs(600));
    }
    running.finish().unwrap();
}

fn recover(brokers: &str, topic: &str, folder: &Path, workers: usize) {
    let begun = Instant::now();
    let (running, amounts) = start(brokers, topic, folder, workers, false);
    let (rows, count, sum) = totals(&amounts);
    let seconds = begun.elapsed().as_secs_f64();
    let replayed = running.progress().replayed;
    println!(
        "{{\"seconds\":{seconds},\"rows\":{rows},\"records\":{count},\"sum\":{sum},\"replayed\":{replayed}}}"
    );
    running.finish().unwrap();
}

/// When records were acknowledged, by partition and in their order there.
#[derive(Clone, Default)]
struct Acknowledged(Arc<[Mutex<Waiting>; PARTITIONS as usize]>);

/// Records that were not seen yet, and how many were seen before their producer got the acknowledgement.
#[derive(Default)]
struct Waiting {
    acknowledged: VecDeque<Instant>,
    seen_before: usize,
}

impl Acknowledged {
    /// How many milliseconds earlier the next record of a partition was acknowledged; `None` if it is not acknowledged
    /// yet.
    fn since(&self, partition: usize, now: Instant) -> f64 {
        let mut waiting = self.0[partition].lock().unwrap();
        let Some(at) = waiting.acknowledged.pop_front() else {
            waiting.seen_before += 1;
            return 0.0;
        };
        now.saturating_duration_since(at).as_secs_f64() * 1_000.0
    }
}

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let partition = result.as_ref().unwrap().partition();
        let mut waiting = self.0[partition as usize].lock().unwrap();
        match waiting.seen_before.checked_sub(1) {
            Some(left) => waiting.seen_before = left,
            None => waiting.acknowledged.push_back(Instant::now()),
        }
    }
}

/// Writes 10,000 records a second into a topic, on its own thread.
fn write_steadily(brokers: &str, topic: &str, total: u64) -> (Acknowledged, JoinHandle<()>) {
    let acknowledged = Acknowledged::default();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("linger.ms", "1");
    let producer: BaseProducer<Acknowledged> =
        config.create_with_context(acknowledged.clone()).unwrap();
    let topic = topic.to_owned();
    let writing = std::thread::spawn(move || {
        let (begun, mut text) = (Instant::now(), String::new());
        for n in 0..total {
            let due = begun + Duration::from_micros(n * 1_000_000 / RATE);
            while let Some(left) = due.checked_duration_since(Instant::now()) {
                producer.poll(left.min(Duration::from_millis(1)));
            }
            record(n, BEGIN + n as i64, &mut text);
            let partition = (n % PARTITIONS as u64) as i32;
            let next = BaseRecord::<(), str>::to(&topic).partition(partition).payload(&text);
            producer.send(next).map_err(|(error, _)| error).unwrap();
            producer.poll(Duration::ZERO);
        }
        producer.flush(LIMIT).unwrap();
    });
    (acknowledged, writing)
}

/// Prints how long it took, without the first second, which warms up.
fn print_waits(mut took: Vec<f64>) {
    let warm = (RATE as usize).min(took.len() / 4);
    let mut took = took.split_off(warm);
    took.sort_by(f64::total_cmp);
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    println!(
        "{{\"records\":{},\"p50_ms\":{:.2},\"p99_ms\":{:.2},\"max_ms\":{:.2}}}",
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// From acknowledgement until the client has the record: the share of broker and client, for any reader.
fn deliver(brokers: &str, topic: &str, seconds: u64) {
    create(brokers, topic);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "figures");
    config.set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let total = RATE * seconds;
    let (acknowledged, writing) = write_steadily(brokers, topic, total);
    let mut took = Vec::with_capacity(total as usize);
    while took.len() < total as usize {
        if let Some(message) = consumer.poll(LIMIT) {
            let partition = message.unwrap().partition();
            took.push(acknowledged.since(partition as usize, Instant::now()));
        }
    }
    writing.join().unwrap();
    print_waits(took);
}

fn fresh(brokers: &str, topic: &str, folder: &Path, seconds: u64) {
    create(brokers, topic);
    let mut engine = Engine::new();
    let every = Durability::Every(Duration::from_millis(5));
    engine = engine.data(folder).log(every, |event: &(i64, u64)| event.0);
    let view = View::new("arrived").unwrap();
    let arrived = engine
        .view(view, Measures::none(), |event: &(i64, u64)| Some((event.0, event.1, Count::one())));
    let kafka = Kafka::new(brokers, topic, |record: &Record<'_>| {
        Ok((read(record)?.at, record.partition() as u64))
    });
    let running = engine.partitioned(kafka).start(Cluster::workers(2)).unwrap();
    while running.progress().sources.len() < PARTITIONS as usize {
        std::thread::sleep(Duration::from_millis(50));
    }
    let total = RATE * seconds;
    let (acknowledged, writing) = write_steadily(brokers, topic, total);
    // Records in an answer were visible when it came; records not acknowledged by then took no time.
    let (mut seen, mut took) = ([0u64; PARTITIONS as usize], Vec::with_capacity(total as usize));
    while seen.iter().sum::<u64>() < total {
        let answer = arrived.ask(Query::rows(KeyRange::all(), DayRange::ALL)).unwrap();
        let now = Instant::now();
        let mut counts = [0u64; PARTITIONS as usize];
        for item in answer.items {
            counts[item.key.unwrap() as usize] += item.parts.merged().unwrap().0 as u64;
        }
        for (partition, count) in counts.into_iter().enumerate() {
            while seen[partition] < count {
                took.push(acknowledged.since(partition, now));
                seen[partition] += 1;
            }
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    writing.join().unwrap();
    print_waits(took);
    running.finish().unwrap();
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap();
    match args[..] {
        ["fill", brokers, topic, records] => fill(brokers, topic, number(records)),
        ["consume", brokers, topic, records] => consume(brokers, topic, number(records)),
        [what @ ("read" | "hold"), brokers, topic, folder, workers] => {
            read_all(brokers, topic, folder.as_ref(), number(workers) as usize, what == "hold");
        }
        ["recover", brokers, topic, folder, workers] => {
            recover(brokers, topic, folder.as_ref(), number(workers) as usize);
        }
        ["fresh", brokers, topic, folder, seconds] => {
            fresh(brokers, topic, folder.as_ref(), number(seconds));
        }
        ["deliver", brokers, topic, seconds] => deliver(brokers, topic, number(seconds)),
        _ => eprintln!("figures.py runs this: see there"),
    }
}
