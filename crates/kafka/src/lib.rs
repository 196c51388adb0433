//! Topics of Apache Kafka as a source of Dayfold, each record exactly once; also of Azure Event Hubs, Redpanda, MSK and
//! others with the same protocol.
//!
//! [`Kafka`] defines the topic and the meaning of its records; give it to
//! [`Engine::partitioned`](dayfold::Engine::partitioned). Partitions are spread over all workers of all processes.
//! There is no consumer group: the positions are in the engine's log, committed together with the events. Records of
//! aborted transactions are never seen.
//!
//! - [`Record`]: a record, with its key, headers, partition, offset and [`Timestamp`]
//! - [`Time`]: which time is that of the event
//! - [`mod@format`]: formats of records: JSON, CSV, Avro, Protobuf, Debezium's envelope
//! - [`Lost`]: what to do when the broker no longer has the next record
//! - [`KafkaError`]: why a topic cannot be read any further
//!
//! `docs/kafka.md` in the repository is the guide.
//!
//! ```no_run
//! use dayfold_kafka::{Kafka, Lost, Timestamp, Token, Tombstones};
//!
//! // Texts, with the time at which the broker appended them. What the broker has removed is given up.
//! let texts = Kafka::new("localhost:9092", "notes", |record| {
//!     if matches!(record.timestamp(), Timestamp::Missing) {
//!         return Err("a record of an old producer, without a time".to_owned());
//!     }
//!     String::from_utf8(record.bytes().to_vec()).map_err(|error| error.to_string())
//! })
//! .lost(Lost::BeginAnew)
//! .tombstones(Tombstones::Pass)
//! .oauth(|| Ok(Token::new("…", "dayfold", 1_800_000_000_000)));
//! # let _ = texts;
//! ```

#![warn(missing_debug_implementations, clippy::exhaustive_enums)]

mod client;
mod error;
pub mod format;
mod plan;
mod position;
mod reader;
mod record;
mod source;
mod watch;

pub use client::Token;
pub use error::KafkaError;
pub use plan::{Time, Tombstones};
pub use position::{From, Lost};
pub use record::{Record, Timestamp};
pub use source::Kafka;
