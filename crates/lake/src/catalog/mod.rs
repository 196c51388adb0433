//! A read-only catalogue with Iceberg's REST protocol: query engines mount lakes by one URL.
//!
//! Each answer is read from the lake at that moment: the newest metadata file of a table. Query engines read the data
//! from the store, with their own credentials; no data of a table passes through the catalogue.

mod answer;
mod namespaces;
mod routes;
mod tables;

use std::sync::Arc;

use crate::Lake;
use namespaces::Namespaces;

/// Lakes with Iceberg tables, each a namespace of a catalogue, which Spark, Trino, DuckDB and pyiceberg mount by its
/// URL.
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

    /// Adds the Iceberg tables of a lake as a namespace. Tables in Hive's layout are left out.
    #[must_use]
    pub fn namespace(mut self, name: &str, lake: Lake) -> Catalog {
        self.0.lakes.insert(name.to_owned(), lake);
        self
    }

    /// The routes of the protocol, from `/v1/config` on. They change nothing, and do not check tokens: the server that
    /// uses them does.
    pub fn router(self) -> axum::Router {
        routes::router(Arc::new(self.0))
    }
}
