//! Compiles CAST from the parser's tree.

use sqlparser::ast::{DataType, ExactNumberInfo, TimezoneInfo};

use super::cast::Cast;
use super::cell::Type;
use super::compile::{Compiled, Compiler, Typed, fold};
use super::error::ExprError;
use super::node::Node;
use super::time::Zone;

impl Compiler<'_> {
    /// `CAST(typed AS data_type)`; `TRY_CAST` if a failure gives null.
    pub(crate) fn cast(&mut self, typed: Typed, data_type: &DataType, is_trying: bool) -> Compiled {
        let at = typed.at;
        let (kind, digits) = cast_type(data_type, at)?;
        let Typed { node, kind: found, .. } = match typed.kind {
            Type::Untyped => self.coerce(typed, Type::Text, "in CAST")?,
            _ => typed,
        };
        let is_possible = match (found, kind) {
            (found, kind) if found == kind => true,
            (Type::Null | Type::Text, _) | (_, Type::Text) => true,
            (Type::Integer | Type::Decimal, Type::Integer | Type::Decimal) => true,
            (Type::Integer, Type::Boolean) | (Type::Boolean, Type::Integer) => true,
            (Type::Date, Type::Timestamp) | (Type::Timestamp, Type::Date) => true,
            _ => false,
        };
        if !is_possible {
            let hint = match (found.is_number(), kind) {
                (true, Type::Timestamp) => {
                    ": use timestamp_seconds, timestamp_millis or timestamp_micros"
                }
                _ => "",
            };
            return Err(ExprError::new(at, format!("{found} cannot be cast to {kind}{hint}")));
        }
        let times = self.format(kind).times;
        let cast = Cast { kind, digits, zone: Zone::of(self.scope.zone()), times, is_trying };
        fold(Typed { node: Node::Cast(Box::new(node), cast), kind, at })
    }
}

/// Finds the type of an SQL name. All integers have 128 bits, under any name.
fn cast_type(data_type: &DataType, at: usize) -> Result<(Type, Option<(u8, u8)>), ExprError> {
    Ok(match data_type {
        DataType::Boolean | DataType::Bool => (Type::Boolean, None),
        DataType::Int(_) | DataType::Integer(_) | DataType::BigInt(_) | DataType::SmallInt(_) => {
            (Type::Integer, None)
        }
        DataType::TinyInt(_) | DataType::Int4(_) | DataType::Int8(_) | DataType::Int2(_) => {
            (Type::Integer, None)
        }
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => {
            (Type::Decimal, digits(*info, at)?)
        }
        DataType::Text | DataType::String(_) | DataType::Varchar(None) => (Type::Text, None),
        DataType::Date => (Type::Date, None),
        DataType::Timestamp(
            _,
            TimezoneInfo::None | TimezoneInfo::WithTimeZone | TimezoneInfo::Tz,
        ) => (Type::Timestamp, None),
        other => {
            let message = format!(
                "there is no type {other}: expected BOOLEAN, INTEGER, DECIMAL(digits, digits after the \
                 point), TEXT, DATE or TIMESTAMP"
            );
            return Err(ExprError::new(at, message));
        }
    })
}

fn digits(info: ExactNumberInfo, at: usize) -> Result<Option<(u8, u8)>, ExprError> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(None),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision), Ok(scale))
            if scale <= 9 && scale <= precision && precision - scale <= 20 && precision > 0 =>
        {
            Ok(Some((precision, scale)))
        }
        _ => {
            let message = format!(
                "DECIMAL({precision}, {scale}): expected at most 9 digits after the point and 20 before it"
            );
            Err(ExprError::new(at, message))
        }
    }
}
