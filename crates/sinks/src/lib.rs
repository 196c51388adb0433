//! Answers of a [Dayfold](dayfold) in other stores: each row of the chosen views is written when its merged answer has
//! changed, at a limited rate.
//!
//! A row is the answer for a period and a key, batch view and speed view together: the measures, whether all of it is
//! `sealed`, the `revision`, and `as_of`, a number that rises with each moment that is written. A [`Sink`] is a thread
//! that keeps a [`Store`] up to date. See `docs/sinks.md` in the repository for what each store promises.
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use dayfold::engine::Running;
//! use dayfold_sinks::{Sink, SinkError, SinkOptions, SinkStatus, Target};
//!
//! /// Follows a view until the sink that is returned is dropped.
//! fn follow(running: &Running, folder: &Path) -> Result<Sink, SinkError> {
//!     let target = Target::parse("file:///var/lib/answers")?;
//!     let options = SinkOptions::default().every(Duration::from_millis(500));
//!     let aside = folder.join("sinks/answers");
//!     let views = ["sales".to_owned()];
//!     let sink = Sink::start(running, folder, &aside, &views, target.store()?, options)?;
//!     for (view, SinkStatus { lag, error, .. }) in sink.status() {
//!         println!("{view} is {lag:?} behind {}", error.unwrap_or_default());
//!     }
//!     Ok(sink)
//! }
//! ```

#![warn(missing_debug_implementations)]

mod aside;
mod error;
mod feed;
mod followed;
mod row;
mod sealed;
mod sink;
mod status;
mod store;
mod stores;
mod target;

pub use error::{SinkError, StoreError};
pub use feed::{Change, ChangeKind, Changes, Feed, FeedError};
pub use row::{Row, Table};
pub use sink::{Sink, SinkOptions, SinkWatch};
pub use status::SinkStatus;
pub use store::{Opened, Stamp, Store, Sweep};
#[cfg(feature = "cassandra")]
pub use stores::Cassandra;
#[cfg(feature = "files")]
pub use stores::Files;
#[cfg(feature = "hbase")]
pub use stores::HBase;
#[cfg(feature = "kafka")]
pub use stores::Kafka;
#[cfg(feature = "mongodb")]
pub use stores::MongoDb;
#[cfg(feature = "postgres")]
pub use stores::Postgres;
#[cfg(feature = "redis")]
pub use stores::Redis;
#[cfg(feature = "webhook")]
pub use stores::Webhook;
pub use target::Target;
