//! Views over HTTP: JSON for programs, server-sent events for changes, and a page for people.
//!
//! A [`Server`] gets the views of an engine, with their schemas. It runs on its own thread with [`Server::serve`], or
//! inside a program's own axum with [`Server::router`]. It binds to the loopback interface unless another address is
//! given. `docs/http.md` in the repository lists all requests; a running server describes them at `/api/openapi.json`.
//!
//! ```
//! use dayfold::aggregate::Count;
//! use dayfold::engine::{LiveOptions, Measures};
//! use dayfold_http::Server;
//! use dayfold::time::EventTime;
//! use dayfold::view::View;
//! use dayfold::{Cluster, Engine};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! type Visit = (EventTime, String);
//!
//! let mut engine = Engine::<Visit>::new();
//! let view = View::new("per-page")?.key_columns(["page"])?.measure_names([["visits"]])?;
//! engine.view(view, Measures::none(), |(time, page)| {
//!     Some((*time, page.clone(), Count::one()))
//! });
//! let pusher = engine.live(LiveOptions::new(|visit: &Visit| visit.0));
//! let running = engine.start(Cluster::workers(1))?;
//!
//! let server = Server::new("visits")
//!     .observe(running.observer())
//!     .views(&running.views())
//!     .events(pusher, |json| {
//!         let page = json["page"].as_str().ok_or("page: expected a text")?;
//!         let time = json["time"].as_i64().ok_or("time: expected milliseconds UTC")?;
//!         Ok((time, page.to_owned()))
//!     })
//!     .serve("127.0.0.1:0")?;
//! println!("http://{}", server.address());
//! server.stop();
//! running.finish()?;
//! # Ok(())
//! # }
//! ```

#![warn(missing_debug_implementations, clippy::exhaustive_enums)]

mod accept;
mod answer;
mod app;
mod ask;
mod body;
mod changes;
mod connection;
mod counters;
mod current;
mod error;
mod events;
mod exports;
mod feeds;
mod guard;
mod json;
mod limits;
mod live;
mod metrics;
mod page;
mod parameters;
mod places;
mod question;
mod refusals;
mod refused;
mod role;
mod routes;
mod rows;
mod server;
mod serving;
mod sink;
mod sinks;
mod snapshot_routes;
mod snapshots;
mod sql;
mod sql_routes;
mod status;
#[cfg(feature = "tls")]
mod tls;
mod views;
mod written;

pub use exports::ExportNumbers;
pub use limits::Limits;
pub use refusals::{RefusedRow, RefusedRows};
pub use role::Role;
pub use server::Server;
pub use serving::{ServeError, Serving};
pub use sink::{Lines, Media};
pub use sinks::SinkNumbers;
pub use sql::{AnswerSql, SqlAnswer, SqlAnswering, SqlFormat, SqlQuery, SqlReason, SqlRefusal};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
