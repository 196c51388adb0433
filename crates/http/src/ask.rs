//! The question of a request, as a scan of a view.

use dayfold::scan::{Scan, ScanError, ScanKeys};
use dayfold::schema::{Column, Kind, Value, ViewSchema};
use dayfold::time::Grain;

use crate::error::ApiError;
use crate::parameters::Days;

/// A question to a view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// One key, or all of them.
    Value { key: Option<Vec<String>>, days: Days },
    /// The same, period by period; `by` is their grain, if it differs from that of the view.
    Series { key: Option<Vec<String>>, days: Days, by: Option<Grain> },
    /// The `n` keys with the greatest value of the measure of this name, after the first `skip` of them.
    Top { by: String, n: u32, skip: u32, days: Days },
    /// Keys that begin with `prefix`, at most `limit`.
    Keys { prefix: Vec<String>, limit: u32 },
}

impl Ask {
    /// The scan that answers: one row for each item of the answer, and a total row if there are several. It has the
    /// columns of `columns`.
    ///
    /// # Errors
    /// 400 for a key that the view cannot have, or a window that it cannot answer.
    pub(crate) fn scan(
        &self,
        schema: &ViewSchema,
        columns: impl Iterator<Item = String>,
    ) -> Result<Scan, ApiError> {
        let one = |key: &Option<Vec<String>>| match key {
            Some(texts) => one_key(schema, texts),
            None => Ok(ScanKeys::All),
        };
        let scan = match self {
            Ask::Value { key, days } => days.of(Scan::total().keys(one(key)?), schema)?,
            Ask::Series { key, days, by } => {
                let series = Scan::by_period().keys(one(key)?).total_row();
                by_grain(days.of(series, schema)?, *by)
            }
            // One more shows whether there are more.
            Ask::Top { by, n, skip, days } => {
                days.of(Scan::top(skip + n + 1, by).total_row(), schema)?
            }
            Ask::Keys { prefix, limit } => {
                Scan::by_key().keys(key_prefix(schema, prefix)?).limit((*limit).into()).total_row()
            }
        };
        Ok(scan.shown().layers().columns(columns))
    }

    /// The columns that identify the rows of the answer.
    pub(crate) fn leading<'a>(&self, schema: &'a ViewSchema) -> Vec<&'a str> {
        match self {
            Ask::Value { .. } => Vec::new(),
            Ask::Series { by, .. } => vec![by.unwrap_or(schema.grain).name()],
            Ask::Top { .. } | Ask::Keys { .. } => {
                schema.key.iter().map(|column| &column.name[..]).collect()
            }
        }
    }

    /// The parameter for keys.
    pub(crate) fn keys_parameter(&self) -> &'static str {
        match self {
            Ask::Keys { .. } => "prefix",
            _ => "key",
        }
    }
}

/// The same scan by a grain, if one is given.
pub(crate) fn by_grain(scan: Scan, grain: Option<Grain>) -> Scan {
    match grain {
        Some(grain) => scan.by(grain),
        None => scan,
    }
}

/// A key with one text for each of its columns.
///
/// # Errors
/// 400 if it is not valid.
pub(crate) fn one_key(schema: &ViewSchema, texts: &[String]) -> Result<ScanKeys, ApiError> {
    if texts.len() != schema.key.len() {
        let message = format!(
            "a key of view '{}' is {}: expected the parameter key {} times, found {}",
            schema.name,
            columns_text(schema),
            schema.key.len(),
            texts.len()
        );
        return Err(ApiError::parameter("key", message));
    }
    values(schema, "key", texts).map(ScanKeys::One)
}

/// The values of a key that has been checked.
pub(crate) fn key_values(schema: &ViewSchema, texts: &[String]) -> Vec<Value> {
    values(schema, "key", texts).unwrap_or_default()
}

/// Keys with these first columns; if the last one is a text, it may be only a beginning.
///
/// # Errors
/// 400 if there are none.
pub(crate) fn key_prefix(schema: &ViewSchema, texts: &[String]) -> Result<ScanKeys, ApiError> {
    if texts.len() > schema.key.len() {
        let message = format!(
            "a key of view '{}' is {}: expected the parameter prefix {} times at most",
            schema.name,
            columns_text(schema),
            schema.key.len()
        );
        return Err(ApiError::parameter("prefix", message));
    }
    let values = values(schema, "prefix", texts)?;
    Ok(match values.last() {
        None => ScanKeys::All,
        Some(Value::Text(_)) => ScanKeys::StartingWith(values),
        Some(_) => ScanKeys::Prefix(values),
    })
}

fn columns_text(schema: &ViewSchema) -> String {
    schema.key.iter().map(|column| &column.name[..]).collect::<Vec<_>>().join(", ")
}

fn values(schema: &ViewSchema, parameter: &str, texts: &[String]) -> Result<Vec<Value>, ApiError> {
    let value = |(column, text): (&Column, &String)| {
        value_of(column, text).map_err(|why| {
            ApiError::parameter(parameter, format!("{parameter} ({}): {why}", column.name))
        })
    };
    schema.key.iter().zip(texts).map(value).collect()
}

/// Null, in a column that may be null.
const NULL: &str = "\\N";

/// The value of a column. If the column may be null, `\N` is null, and a text that begins with a backslash has one more
/// in front.
fn value_of(column: &Column, text: &str) -> Result<Value, String> {
    let text = match (column.nullable, column.kind) {
        (true, _) if text == NULL => return Ok(Value::Null),
        (true, Kind::Text) => match text.strip_prefix('\\') {
            Some(rest) if rest.starts_with('\\') => rest,
            Some(_) => {
                return Err(format!(
                    "'{text}': expected {NULL} for null, or two backslashes for one"
                ));
            }
            None => text,
        },
        _ => text,
    };
    Value::of_text(column.kind, text).map_err(|error| error.to_string())
}

/// The error of a scan, as an HTTP answer. `keys` is the parameter for keys.
pub(crate) fn refusal(error: &ScanError, keys: &str) -> ApiError {
    let message = error.to_string();
    match error {
        ScanError::Column { .. } | ScanError::NoColumns => ApiError::parameter("columns", message),
        ScanError::Removed { .. } => ApiError::parameter("from", message),
        ScanError::Limit => ApiError::parameter("limit", message),
        ScanError::Rank { .. } | ScanError::Grain { .. } | ScanError::Unsealed { .. } => {
            ApiError::parameter("by", message)
        }
        ScanError::Cursor { .. } => ApiError::parameter("after", message),
        ScanError::Values { .. } | ScanError::Value { .. } | ScanError::Keys { .. } => {
            ApiError::parameter(keys, message)
        }
        ScanError::Presented { .. } => ApiError::internal("not_presented", message),
        ScanError::Stopped | ScanError::NotStarted => ApiError::unavailable("stopped", message),
        ScanError::Busy { .. } => ApiError::unavailable("busy", message),
        ScanError::Expired { .. } => ApiError::expired(message),
        _ => ApiError::unavailable("no_answer", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_has_a_text_of_its_own_where_it_may_be() {
        let column = |nullable| {
            let column = Column::new("c", Kind::Text);
            if nullable { column.nullable() } else { column }
        };
        let text = |text: &str| Ok(Value::Text(text.to_owned()));
        for (written, nullable, other) in [
            ("", text(""), text("")),
            ("a\\", text("a\\"), text("a\\")),
            ("\\N", Ok(Value::Null), text("\\N")),
            ("\\\\N", text("\\N"), text("\\\\N")),
        ] {
            assert_eq!(value_of(&column(true), written), nullable, "{written}");
            assert_eq!(value_of(&column(false), written), other, "{written}");
        }
        assert!(value_of(&column(true), "\\x").is_err());
        let number = Column::new("c", Kind::Integer).nullable();
        assert_eq!(value_of(&number, "\\N"), Ok(Value::Null));
        assert_eq!(value_of(&number, "-7"), Ok(Value::Integer(-7)));
        assert!(value_of(&number, "").unwrap_err().contains("expected a whole number"));
    }
}
