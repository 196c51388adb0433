//! Errors of exports to a lake.

use std::io;

use dayfold::rows::RowsError;
use dayfold::store::StoreError;

/// Why a view could not be exported, or read from a lake. The previous content of the lake is intact.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    /// The URL of the lake cannot be used.
    #[error("{url}: {what}")]
    Url {
        /// The URL, without secrets.
        url: String,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// The store failed, or cannot be reached. The exporter tries again.
    #[error("cannot {doing} {path}: {source}")]
    Store {
        /// The operation.
        doing: &'static str,
        /// The object.
        path: String,
        /// The store's error.
        #[source]
        source: object_store::Error,
    },
    /// The data folder cannot be read.
    #[error(transparent)]
    Folder(#[from] StoreError),
    /// A sealed day cannot be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The folder has no view of this name.
    #[error("the folder has no view '{view}': it has {known}")]
    NoView {
        /// The name.
        view: String,
        /// The views that it has.
        known: String,
    },
    /// A value does not fit its column.
    #[error("column '{column}': {value} does not fit: expected {expected}")]
    Value {
        /// The column.
        column: String,
        /// The value.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A column has another type than the table's column of that name.
    #[error(
        "{table}: column '{column}' is {found} in the view and {expected} in the table: export the view \
         under another URL, or rename the column"
    )]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type in the table.
        expected: String,
        /// Its type in the view.
        found: String,
    },
    /// A table was not written by this crate.
    #[error("{path} is not a table of this program: {what}")]
    Table {
        /// The object.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// Another program has repeatedly written the table in between.
    #[error("{table}: another program writes this table; give each program a table of its own")]
    Conflict {
        /// The table.
        table: String,
    },
    /// Another program has the table's lock, in a store without conditional puts. The exporter tries again.
    #[error(
        "{table}: another program writes this table, for {seconds} more seconds at least; the store has no conditional \
         puts, so only one program can"
    )]
    Locked {
        /// The table.
        table: String,
        /// How long its lock lasts, if it is not renewed.
        seconds: u64,
    },
    /// A temporary file could not be written.
    #[error("cannot write a temporary file: {0}")]
    Temporary(#[from] io::Error),
    /// Parquet could not be written or read.
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Columns could not be built.
    #[error("arrow: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// Avro could not be written or read.
    #[error("avro: {0}")]
    Avro(Box<apache_avro::Error>),
}

impl From<apache_avro::Error> for LakeError {
    fn from(error: apache_avro::Error) -> LakeError {
        LakeError::Avro(Box::new(error))
    }
}
