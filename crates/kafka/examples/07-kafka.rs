//! A topic of Apache Kafka, by day and key, each record exactly once.
//!
//!     .ci/kafka cargo run -p dayfold-kafka --example 07-kafka
//!
//! Two runs over one topic, the second after more was written. `.ci/kafka` starts a broker at `$KAFKA_BROKERS`.
//! Before: `06-own-source`.

use std::path::Path;
use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::Measures;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_kafka::format::{Format, Json};
use dayfold_kafka::{Kafka, Record, Time};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

type Reading = (EventTime, String, i64); // Milliseconds UTC, meter, watt-hours.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Makes an event of a record, or says why it is not one: such a record is counted and kept aside.
fn read(record: &Record<'_>) -> Result<Reading, String> {
    let fields = Json.decode(record.bytes())?;
    let used = i64::try_from(fields.integer("wh")?).map_err(|error| error.to_string())?;
    let meter = record.key().ok_or("a reading without a meter")?;
    Ok((fields.time("at")?, String::from_utf8_lossy(meter).into_owned(), used))
}

fn run(brokers: &str, topic: &str, folder: &Path) -> Outcome {
    let every = Durability::Every(Duration::from_millis(10));
    let mut engine = Engine::new().data(folder).log(every, |reading: &Reading| reading.0);
    let used = engine.view(View::new("used")?, Measures::none(), |(at, meter, wh): &Reading| {
        Some((*at, meter.clone(), (Count::one(), Sum::of(*wh))))
    });
    // It ends at the present end of the topic; without `until_end` it goes on for ever.
    let source = Kafka::new(brokers, topic, read)
        .time(Time::Event(Box::new(|reading: &Reading| reading.0)))
        .until_end();
    let engine = engine.partitioned(source).refused(|refused| {
        println!("refused: {}", refused.reason);
        Ok(())
    });
    let running = engine.start(Cluster::workers(2))?;
    while !running.wait_sealed(Duration::from_secs(1))? {}
    let answer = used.ask(Query::point("kitchen".to_owned(), DayRange::ALL))?;
    let (count, sum) = answer.value().ok_or("no readings")?;
    println!("kitchen: {} readings, {} Wh", count.0, sum.value());
    for source in running.progress().sources {
        println!("{} is read up to {}", source.name, source.position.unwrap_or(0));
    }
    running.finish()?;
    Ok(())
}

fn main() -> Outcome {
    let brokers = std::env::var("KAFKA_BROKERS").map_err(|_| "name a broker in KAFKA_BROKERS")?;
    let topic = format!("readings-{}", std::process::id());
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &brokers).create()?;
    let write = |meter: &str, text: &str| {
        let record = BaseRecord::to(&topic).key(meter).payload(text);
        producer.send(record).map_err(|(error, _)| error)
    };
    create(&brokers, &topic)?;
    let folder = tempfile::tempdir()?;
    write("kitchen", r#"{"at":"2024-05-01T12:00:00Z","wh":250}"#)?;
    write("kitchen", r#"{"at":"2024-05-01T13:00:00Z","wh":"much"}"#)?;
    write("cellar", r#"{"at":"2024-05-01T12:00:00Z","wh":40}"#)?;
    producer.flush(Duration::from_secs(30))?;
    run(&brokers, &topic, folder.path())?;
    write("kitchen", r#"{"at":"2024-05-02T12:00:00Z","wh":100}"#)?;
    producer.flush(Duration::from_secs(30))?;
    run(&brokers, &topic, folder.path())
}

/// Makes the topic, with four partitions.
fn create(brokers: &str, topic: &str) -> Outcome {
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    use rdkafka::client::DefaultClientContext;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let new = NewTopic::new(topic, 4, TopicReplication::Fixed(1));
    let options = AdminOptions::new();
    let mut made = Box::pin(admin.create_topics([&new], &options));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    // The client's own thread completes it.
    loop {
        match made.as_mut().poll(&mut context) {
            std::task::Poll::Ready(made) => break drop(made?),
            std::task::Poll::Pending => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    Ok(())
}
