//! Builds a column from values.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use dayfold::schema::{Kind, Value};

use crate::{BILLIONTHS_MAX, FINE, decimal_type, step};

/// Readers expect integers of 64 bits.
const WIDE: &str = "an integer of at most 64 bits";

/// Builds a column of [`data_type`](crate::data_type) from values.
///
/// ```
/// use dayfold::schema::{Kind, Value};
/// use dayfold_arrow::Builder;
///
/// let mut visits = Builder::new(Kind::Integer);
/// visits.push(&Value::Integer(2))?;
/// visits.push(&Value::Null)?;
/// assert_eq!(visits.push(&Value::Boolean(true)), Err("a value of the column's kind"));
/// assert_eq!(visits.finish().len(), 2);
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    of: Of,
    /// Billionths in a unit of a decimal column.
    step: i128,
}

#[derive(Debug)]
enum Of {
    Text(StringBuilder),
    Integer(Int64Builder),
    Decimal(Decimal128Builder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
}

impl Builder {
    /// A column of a kind, without values.
    pub fn new(kind: Kind) -> Builder {
        let of = match kind {
            Kind::Text => Of::Text(StringBuilder::new()),
            Kind::Integer => Of::Integer(Int64Builder::new()),
            Kind::Decimal => Of::Decimal(decimals(None)),
            Kind::Boolean => Of::Boolean(BooleanBuilder::new()),
            Kind::Date => Of::Date(Date32Builder::new()),
            Kind::Timestamp => {
                Of::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            _ => Of::Bytes(BinaryBuilder::new()),
        };
        Builder { of, step: step(None) }
    }

    /// The same, of decimals with this many digits after the point. It must not have values yet.
    #[must_use]
    pub fn scaled(self, scale: Option<u8>) -> Builder {
        let of = match self.of {
            Of::Decimal(_) => Of::Decimal(decimals(scale)),
            other => other,
        };
        Builder { of, step: step(scale) }
    }

    /// Adds a value.
    ///
    /// # Errors
    /// What the column expects, if the value does not fit.
    pub fn push(&mut self, value: &Value) -> Result<(), &'static str> {
        match (&mut self.of, value) {
            (Of::Text(builder), Value::Text(text)) => builder.append_value(text),
            (Of::Text(builder), Value::Null) => builder.append_null(),
            (Of::Integer(builder), Value::Integer(number)) => {
                builder.append_value(i64::try_from(*number).map_err(|_| WIDE)?);
            }
            // A number beyond 127 bits comes as text.
            (Of::Integer(_), Value::Text(_)) => return Err(WIDE),
            (Of::Integer(builder), Value::Null) => builder.append_null(),
            (Of::Decimal(builder), Value::Decimal(number)) => {
                let billionths = number.billionths();
                if billionths.unsigned_abs() > BILLIONTHS_MAX {
                    return Err("a number of at most 29 digits before the point");
                }
                if billionths % self.step != 0 {
                    return Err(FINE);
                }
                builder.append_value(billionths / self.step);
            }
            (Of::Decimal(builder), Value::Null) => builder.append_null(),
            (Of::Boolean(builder), Value::Boolean(is_so)) => builder.append_value(*is_so),
            (Of::Boolean(builder), Value::Null) => builder.append_null(),
            (Of::Date(builder), Value::Date(day)) => builder.append_value(day.0),
            (Of::Date(builder), Value::Null) => builder.append_null(),
            (Of::Timestamp(builder), Value::Timestamp(time)) => {
                let micros = time.checked_mul(1_000);
                builder.append_value(micros.ok_or("a time whose microseconds fit 64 bits")?);
            }
            (Of::Timestamp(builder), Value::Null) => builder.append_null(),
            (Of::Bytes(builder), Value::Bytes(bytes)) => builder.append_value(bytes),
            (Of::Bytes(builder), Value::Null) => builder.append_null(),
            _ => return Err("a value of the column's kind"),
        }
        Ok(())
    }

    /// Returns the column so far, and begins the next one.
    pub fn finish(&mut self) -> ArrayRef {
        match &mut self.of {
            Of::Text(builder) => Arc::new(builder.finish()),
            Of::Integer(builder) => Arc::new(builder.finish()),
            Of::Decimal(builder) => Arc::new(builder.finish()),
            Of::Boolean(builder) => Arc::new(builder.finish()),
            Of::Date(builder) => Arc::new(builder.finish()),
            Of::Timestamp(builder) => Arc::new(builder.finish()),
            Of::Bytes(builder) => Arc::new(builder.finish()),
        }
    }
}

fn decimals(scale: Option<u8>) -> Decimal128Builder {
    Decimal128Builder::new().with_data_type(decimal_type(scale))
}
