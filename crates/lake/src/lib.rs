//! Sealed days of a [Dayfold](dayfold) as Parquet files: an Iceberg table or Hive's layout, on disk and in object stores.
//!
//! A sealed day is final, checked and complete, so it is what DuckDB, Spark, Trino or Snowflake can mount. A
//! [`Lake`] brings the tables of views in step with a data folder: days that are new are added, days that were amended are
//! replaced, and what is there already is left alone.
//!
//! Shape: the columns of a row are `day`, those of the key, the measures, and `sealed`. See `docs/lake.md` in the repository.

mod audit;
mod columns;
mod commit;
mod error;
mod exporter;
mod file;
mod folder;
mod hive;
mod iceberg;
mod lake;
mod random;
mod store;
mod table;

pub use error::LakeError;
pub use exporter::{ExportStatus, Exporter, ExporterOptions};
pub use lake::{Audit, Export, Lake, LakeOptions, Layout};
