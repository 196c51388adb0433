//! The values of parameters.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use dayfold::schema::Value;

use crate::SqlError;

/// The values in the form of the planner: each has the type that the statement expects, if it determines one and the
/// value does not change with it.
pub(crate) fn bind(
    values: &[Value],
    types: &[Option<DataType>],
) -> Result<Option<ParamValues>, SqlError> {
    if values.len() != types.len() {
        let message = format!(
            "the statement has {} parameters ($1 and so on), and there are {} values",
            types.len(),
            values.len()
        );
        return Err(SqlError::Parameters { message });
    }
    if values.is_empty() {
        return Ok(None);
    }
    let bound = values.iter().zip(types).zip(1..).map(|((value, of), number)| {
        let bound = bound(value, of.as_ref()).map(ScalarAndMetadata::from);
        bound.map_err(|why| SqlError::Parameters { message: format!("${number}: {why}") })
    });
    Ok(Some(ParamValues::List(bound.collect::<Result<_, _>>()?)))
}

fn bound(value: &Value, of: Option<&DataType>) -> Result<ScalarValue, String> {
    let (precision, scale) = dayfold_arrow::DECIMAL;
    let own = match value {
        Value::Null => ScalarValue::Null,
        Value::Text(text) => ScalarValue::from(text.as_str()),
        Value::Boolean(is_so) => ScalarValue::from(*is_so),
        Value::Integer(number) => match i64::try_from(*number) {
            Ok(number) => ScalarValue::from(number),
            Err(_) => ScalarValue::Decimal128(Some(*number), precision, 0),
        },
        Value::Decimal(number) => {
            ScalarValue::Decimal128(Some(number.billionths()), precision, scale)
        }
        Value::Date(day) => ScalarValue::Date32(Some(day.0)),
        Value::Timestamp(time) => {
            ScalarValue::TimestampMillisecond(Some(*time), Some("UTC".into()))
        }
        Value::Bytes(bytes) => ScalarValue::Binary(Some(bytes.clone())),
        other => return Err(format!("'{other}' is of a kind that this version does not know")),
    };
    let Some(of) = of else { return Ok(own) };
    let misfit = || format!("'{value}' is no {}", crate::write::kind(of));
    let is_number = matches!(value, Value::Integer(_) | Value::Decimal(_)) && of.is_numeric();
    let is_same = |to: &ScalarValue| to.cast_to(&own.data_type()).ok().as_ref() == Some(&own);
    match own.cast_to(of) {
        // A number that is none of the expected type is compared as it is.
        Ok(cast) if is_number && !is_same(&cast) => Ok(own),
        Err(_) if is_number => Ok(own),
        cast => cast.map_err(|_| misfit()),
    }
}
