//! Sealed days of a [Dayfold](dayfold) as Parquet files: an Iceberg table or Hive's layout, on disk and in object
//! stores.
//!
//! A sealed day is checked and complete, so DuckDB, Spark, Trino or Snowflake can read it. A [`Lake`] updates the
//! tables of views from a data folder: new days are added, amended days are replaced, and existing files are left
//! alone.
//!
//! Shape: the columns of a row are `day`, the columns of the key, the measures, and `sealed`. See `docs/lake.md` in the
//! repository.
//!
//! ```
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use dayfold_lake::{
//!     Audit, Export, ExportStatus, Exporter, ExporterOptions, Lake, LakeError, LakeOptions, Layout,
//! };
//!
//! /// Exports what is sealed, reads it back, and says what is wrong with it.
//! async fn once(folder: &Path) -> Result<usize, LakeError> {
//!     let options = LakeOptions::default().layout(Layout::Hive).sketches(false);
//!     let lake = Lake::open("file:///tmp/lake", options)?;
//!     let Export { written, unchanged, .. } = lake.export(folder, "by-carrier").await?;
//!     println!("{written} days are new or amended, {unchanged} are as they were");
//!     let Audit { wrong, .. } = lake.audit(folder, "by-carrier", false).await?;
//!     Ok(wrong.len())
//! }
//!
//! /// Exports what is being sealed, until the exporter is dropped.
//! fn always(lake: Lake, folder: &Path) -> Result<Exporter, LakeError> {
//!     let options = ExporterOptions::default().every(Duration::from_secs(10));
//!     let exporter = Exporter::start(lake, folder, ["by-carrier".to_owned()], options)?;
//!     for (view, ExportStatus { waiting, error, .. }) in exporter.status() {
//!         println!("{view}: {waiting} days wait {}", error.unwrap_or_default());
//!     }
//!     Ok(exporter)
//! }
//! assert!(matches!(Lake::open("ftp://host", LakeOptions::default()), Err(LakeError::Url { .. })));
//! ```

#![warn(missing_debug_implementations, clippy::exhaustive_enums)]

mod audit;
mod bounds;
#[cfg(feature = "catalog")]
mod catalog;
mod columns;
mod commit;
mod cut;
mod days;
mod error;
mod exporter;
mod file;
mod folder;
mod guard;
mod hive;
mod iceberg;
mod lake;
mod lock;
mod past;
mod period;
mod random;
#[cfg(feature = "rows")]
mod rows;
mod store;
mod table;

#[cfg(feature = "catalog")]
pub use catalog::Catalog;
pub use error::LakeError;
pub use exporter::{ExportStatus, Exporter, ExporterOptions};
pub use lake::{Audit, Export, Lake, LakeOptions, Layout};
pub use past::{Past, PastFile, PastRows};
#[cfg(feature = "rows")]
pub use rows::{ParquetRows, RowsFileError};
