//! The columns of a file of Parquet, which says itself what they are.

use std::path::Path;

use dayfold::schema::Kind;
use dayfold_lake::ParquetRows;

use crate::config::ColumnType;
use crate::expr::Type;

/// The columns of a file, in its order.
///
/// # Errors
/// If it cannot be read.
pub(super) fn columns(path: &Path) -> Result<Vec<(String, ColumnType)>, String> {
    let rows = ParquetRows::open(path, 0).map_err(|error| error.to_string())?;
    let column = |(name, kind): (String, Option<Kind>)| {
        let kind = match kind {
            Some(Kind::Integer) => Type::Integer,
            Some(Kind::Decimal) => Type::Decimal,
            Some(Kind::Boolean) => Type::Boolean,
            Some(Kind::Date) => Type::Date,
            Some(Kind::Timestamp) => Type::Timestamp,
            Some(Kind::Text | Kind::Bytes) => Type::Text,
            // Lists and objects are their JSON.
            _ => Type::Untyped,
        };
        (name, ColumnType { kind, scale: None })
    };
    Ok(rows.columns().into_iter().map(column).collect())
}
