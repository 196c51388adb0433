//! Reading Parquet files that may be damaged.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::ParquetError;

/// What the library of Parquet makes of a file: on some damage it panics, which is an error here.
pub(crate) fn guarded<T, E: From<ParquetError>>(
    read: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let read = catch_unwind(AssertUnwindSafe(read));
    let what = "its pages contradict each other";
    read.unwrap_or_else(|_| Err(ParquetError::General(what.to_owned()).into()))
}
