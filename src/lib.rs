//! A Lambda Architecture in one dataflow: exact statistics over event streams, with days that close.
//!
//! Events stream in. A *speed view* of the unfinished days is kept up to date in memory. A day that is over closes, and
//! is sealed: it becomes a *batch view*, an immutable file. A query is answered from both. For every view, key, range
//! of days and moment, this holds:
//!
//! ```text
//! answer = ⊕ { live revision of d [key] : d sealed }  ⊕  ⊕ { speed view of d [key], up to the moment }
//! ```
//!
//! Each event is in exactly one of the terms. The two layers are computed from one definition,
//! `event ↦ (event time, key, aggregate)`, and are combined by the same ⊕. The line between them is the frontier of the
//! dataflow, not a clock, so sealing a day changes no answer.
//!
//! # The smallest example
//!
//! ```
//! use dayfold::aggregate::Count;
//! use dayfold::serve::Query;
//! use dayfold::time::{DayRange, EventTime};
//! use dayfold::view::View;
//! use dayfold::{Archive, FoldDays, Moment};
//! use timely::dataflow::InputHandle;
//! use timely::dataflow::operators::Inspect;
//!
//! timely::execute_directly(|worker| {
//!     let mut visits = InputHandle::<Moment, _>::new();
//!     let mut queries = InputHandle::<Moment, _>::new();
//!     worker.dataflow(|scope| {
//!         let per_page = visits
//!             .to_stream(scope)
//!             .fold_days(
//!                 View::new("per-page").unwrap(),
//!                 &Archive::in_memory(),
//!                 |(time, page): &(EventTime, String)| Some((*time, page.clone(), Count::one())),
//!             )
//!             .unwrap();
//!         per_page
//!             .serve(queries.to_stream(scope))
//!             .inspect(|answer| assert_eq!(answer.value(), Some(Count(2))));
//!     });
//!     visits.send((0, "/home".to_owned()));
//!     visits.send((90_000_000, "/home".to_owned())); // The next day.
//!     queries.send(Query::point("/home".to_owned(), DayRange::ALL));
//! });
//! ```
//!
//! To use views without dataflow code, see [`Engine`].
//!
//! # The modules, in reading order
//!
//! - [`time`]: event time, days of a calendar in any time zone, ranges of days
//! - [`Moment`]: the timestamp of the dataflow, a floor and a tick
//! - [`key`]: what a view groups by; the encoding and the hash that files depend on
//! - [`aggregate`]: what is kept for each day and key; ⊕ and its laws
//! - [`mod@fold`]: what a view makes of an event, added in place
//! - [`view`]: a definition, and the pure decisions that follow from it: days, closings, floors
//! - `dataflow` ([`FoldDays`], [`DayView`]): the whole graph on one screen
//! - `collection` ([`FoldChanges`]): differential collections in and out, with retractions
//! - `speed`: combine, the tables of unsealed days, the deltas of later ticks, the stages of a seal
//! - [`archive`]: where sealed days go, and the threads that write them
//! - [`mod@batch`]: the file of a sealed day, byte by byte
//! - [`store`]: the data folder, its manifests, and how they are recovered
//! - [`log`]: every accepted event, append-only, and what of it is committed
//! - [`schema`]: the shape of a view without its Rust types: columns, kinds, values, ids
//! - [`rows`]: rows of sealed days for programs that do not know the types, as CSV, JSON or a table
//! - [`import`]: sealed days in your own dataflow, joined with the partitions that hold them
//! - [`serve`]: queries, answers, certificates, and the join that makes them
//! - [`source`]: rows of CSV and JSON lines, files and folders, records of your own source, partitions
//! - [`dynamic`]: views whose columns are known only when the program runs
//! - [`scan`]: any view of an engine, read without its Rust types, in batches of columns
//! - [`engine`]: views of a source, a folder and threads, without dataflow code
//! - [`cluster`]: workers and processes, and how they find each other
//!
//! Other crates are built on this one: `dayfold-http` serves views over HTTP, with a dashboard; `dayfold-kafka` reads
//! topics of Kafka; `dayfold-lake` writes sealed days as Parquet files; `dayfold-program` is the program `dayfold`,
//! whose views are defined in a file. `dayfold-latency` measures how long things take, in a Dayfold or in anything
//! else.
//!
//! `docs/architecture.md` and `docs/decisions.md` in the repository say how these fit together, and why.

#![warn(missing_debug_implementations, clippy::exhaustive_enums)]

pub mod aggregate;
pub mod archive;
pub mod batch;
mod closing;
pub mod cluster;
mod codec;
mod collection;
mod dataflow;
pub mod dynamic;
pub mod engine;
pub mod fold;
pub mod import;
mod journal;
pub mod key;
pub mod log;
mod moment;
mod number;
pub mod rows;
pub mod scan;
pub mod schema;
pub mod serve;
pub mod source;
mod speed;
pub mod store;
mod table;
pub mod time;
pub mod view;
mod yielding;
mod zones;

pub use archive::Archive;
pub use cluster::Cluster;
pub use collection::FoldChanges;
pub use dataflow::{DayView, FoldDays, ViewStatus};
pub use engine::Engine;
pub use fold::Fold;
pub use key::Key;
pub use moment::Moment;
pub use speed::ViewNumbers;

/// Compiles and runs the examples of the README with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Does the same for `docs/embedding.md`.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;
