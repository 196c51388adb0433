//! The shape of a view for readers that do not know its Rust types: its columns, their kinds, and values.
//!
//! A [`ViewSchema`] is derived from the types of a view's keys and aggregates, and from the program's names of columns
//! ([`View::key_columns`](crate::view::View::key_columns), [`View::measure_names`](crate::view::View::measure_names)).
//! A data folder keeps it, so that its sealed days can be read without the program: see [`rows`](crate::rows).
//!
//! Names and kinds do not affect the content of a folder: a program may change them from run to run. The ids of the
//! types ([`Key::id`](crate::key::Key::id), [`Aggregate::id`](crate::aggregate::Aggregate::id)) define the encoding,
//! and a change of these is refused.
//!
//! ```
//! use dayfold::aggregate::{Count, Sum};
//! use dayfold::schema::{Column, Grain, Kind, Measure, SchemaError, Value, ViewSchema};
//! use dayfold::view::View;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let view = View::new("sales")?.grain(Grain::Month);
//! let view = view.key_columns(["shop"])?.measure_names([["sales"], ["cents"]])?;
//! let schema = ViewSchema::of::<String, (Count, Sum)>(&view)?;
//! assert_eq!(schema.key, [Column::new("shop", Kind::Text)]);
//! assert_eq!(schema.measures[0], Measure::new("sales", Kind::Integer).additive());
//! let shown = schema.present(&(Count(2), Sum::of(120)))?;
//! assert_eq!(shown, [Value::Integer(2), Value::Integer(120)]);
//!
//! // Two names for a key of one column.
//! let wrong = View::new("sales")?.key_columns(["shop", "till"])?;
//! let error = ViewSchema::of::<String, Count>(&wrong).unwrap_err();
//! assert!(matches!(error, SchemaError::Key { found: 2, expected: 1 }));
//! # Ok(())
//! # }
//! ```

mod column;
mod error;
pub(crate) mod former;
pub(crate) mod id;
mod json;
mod key;
mod key_codec;
mod leading;
pub(crate) mod names;
mod read_key;
mod reader;
mod row;
mod shape;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod types;
mod value;
mod view;

pub use crate::time::Grain;
pub use column::{Column, Kind, Measure};
pub(crate) use column::{additive, nullable, numbered, within};
pub use error::SchemaError;
pub use json::push_json;
pub(crate) use json::{json_list, push_json_text};
pub(crate) use key::columns_of;
pub(crate) use key_codec::{KeyCodec, NotAKey};
pub(crate) use leading::Leading;
pub(crate) use reader::{RowReader, Unread};
pub(crate) use row::Row;
pub use shape::{AggregateShape, Presented};
pub use text::ValueTextError;
pub(crate) use types::RowTypes;
pub use value::{Value, ValueRef};
pub use view::ViewSchema;
pub(crate) use view::period_of;
