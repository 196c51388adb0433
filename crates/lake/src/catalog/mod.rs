//! A catalogue of Iceberg's REST protocol, to be read only: engines mount lakes by one URL.
//!
//! What it answers is what the lake says at that moment: the newest metadata file of a table. Engines read the data from the store,
//! with credentials of their own; nothing of a table's data passes through here.

mod answer;
mod namespaces;
mod routes;
mod tables;

use std::sync::Arc;

use crate::Lake;
use namespaces::Namespaces;

/// Lakes with Iceberg tables, each a namespace of a catalogue that Spark, Trino, DuckDB and pyiceberg mount by its URL.
///
/// ```
/// use dayfold_lake::{Catalog, Lake, LakeError, LakeOptions};
///
/// fn routes() -> Result<axum::Router, LakeError> {
///     let lake = Lake::open("file:///tmp/lake", LakeOptions::default())?;
///     // Of the server of a program: its own layers decide who may ask.
///     Ok(axum::Router::new().nest_service("/iceberg", Catalog::new().namespace("lake", lake).router()))
/// }
/// # routes().expect("a router");
/// ```
#[derive(Debug, Default)]
pub struct Catalog(Namespaces);

impl Catalog {
    /// A catalogue without namespaces.
    pub fn new() -> Catalog {
        Catalog::default()
    }

    /// The same, with the Iceberg tables of a lake as one more namespace. Tables of Hive's layout are none of its tables.
    #[must_use]
    pub fn namespace(mut self, name: &str, lake: Lake) -> Catalog {
        self.0.lakes.insert(name.to_owned(), lake);
        self
    }

    /// The routes of the protocol, from `/v1/config` on. They change nothing, and ask nobody for a token: whoever serves them
    /// does.
    pub fn router(self) -> axum::Router {
        routes::router(Arc::new(self.0))
    }
}
