//! Views whose columns are known only at run time.
//!
//! A program that is written for its events has Rust types for keys and aggregates. A program that reads its views from
//! a file, or from the command line, has a [`ViewDef`]: events are rows of named, typed [`Columns`]; some columns are
//! the key and others go into measures. [`Key`] and [`State`] are one Rust type each, whatever they contain, and are
//! compiled once, in this crate. The definition fixes their content, and a data folder keeps its ids and its schema.
//!
//! ```
//! use dayfold::dynamic::{Columns, Event, Reduce, ViewDef};
//! use dayfold::schema::{Kind, Value};
//! use dayfold::serve::Query;
//! use dayfold::time::DayRange;
//! use dayfold::view::View;
//! use dayfold::{Cluster, dynamic, engine::LiveOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let columns = Columns::new([("site", Kind::Text), ("celsius", Kind::Decimal)])?;
//! let definition = ViewDef::new(View::new("by-site")?, columns)
//!     .key(["site"])?
//!     .measure("readings", Reduce::Count)?
//!     .measure("warmest", Reduce::Max("celsius".to_owned()))?;
//!
//! let mut engine = dynamic::Engine::new();
//! let by_site = engine.dynamic_view(definition.clone(), Event::fill);
//! let pusher = engine.live(LiveOptions::new(Event::time));
//! let running = dynamic::start(engine, Cluster::workers(1))?;
//!
//! let reading = |site: &str, celsius: &str| {
//!     Ok::<_, Box<dyn std::error::Error>>(Event::new(
//!         0,
//!         [site.into(), celsius.parse::<dayfold::aggregate::Decimal>()?.into()],
//!     ))
//! };
//! let pushed = pusher.push(vec![reading("roof", "-3.5")?, reading("roof", "12")?])?;
//! pushed.receipt.wait_visible(std::time::Duration::from_secs(10))?;
//!
//! let roof = definition.key_of(&[Value::Text("roof".to_owned())])?;
//! let state = by_site.ask(Query::point(roof, DayRange::ALL))?.value().unwrap();
//! let shown = definition.schema()?.present(&state)?;
//! assert_eq!(shown.iter().map(Value::to_string).collect::<Vec<_>>(), ["2", "12"]);
//! drop(pusher);
//! running.finish()?;
//! # Ok(())
//! # }
//! ```
//!
//! Events of any type can have dynamic views: [`Engine::dynamic_view`](crate::Engine::dynamic_view) takes a function
//! that fills a [`RowBuilder`]. [`Event`] is an event type for programs without their own.

mod cell;
mod columns;
mod define;
mod direct;
mod encoding;
mod engine;
mod error;
mod event;
mod filling;
mod key;
mod plan;
mod put;
mod row;
mod shown;
mod state;
#[cfg(test)]
mod tests;
mod top;
mod value;

pub use cell::MeasureState;
pub use columns::Columns;
pub use define::{Reduce, ViewDef};
pub use engine::{Engine, start};
pub use error::DefinitionError;
pub use event::{Event, EventBuilder};
pub use key::Key;
pub use row::{RowBuilder, RowError};
pub use state::State;
pub use value::RowValue;

pub(crate) use cell::MeasureKind;
pub(crate) use direct::ShownCells;
pub(crate) use encoding::{take_into, value_length};
use key::id_of;
pub(crate) use key::{put_end, put_value, read_values};
pub(crate) use put::PutValues;
