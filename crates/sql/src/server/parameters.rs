//! Parameters of prepared statements, with the types that the client gave them.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_pg::datatypes::df::deserialize_parameters;
use bytes::Bytes;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlType, ExactNumberInfo, Expr, Statement, Value, visit_expressions_mut,
};
use dayfold_arrow::DECIMAL;
use pgwire::api::Type;
use pgwire::api::portal::Portal;
use pgwire::api::stmt::StoredStatement;
use pgwire::error::PgWireResult;

use super::error::of_code;

/// A decimal has no more digits than this on either side of the point.
const EXPONENT_MAX: u32 = 60;

/// The type to which a statement casts a parameter that the client sends with this one. Without the cast, a number with
/// a fraction would become an integer if the statement compares it with one.
fn read_as(sent: &Type) -> Option<SqlType> {
    let (precision, scale) = DECIMAL;
    match *sent {
        Type::FLOAT4 | Type::FLOAT8 => Some(SqlType::DoublePrecision),
        Type::NUMERIC => Some(SqlType::Numeric(ExactNumberInfo::PrecisionAndScale(
            u64::from(precision),
            i64::from(scale),
        ))),
        _ => None,
    }
}

/// Whether a statement casts parameters of these types.
pub(super) fn has_casts(types: &[Option<Type>]) -> bool {
    types.iter().flatten().any(|sent| read_as(sent).is_some())
}

/// The statement, in which parameters have the types that the client gave them.
pub(super) fn typed(mut statement: Statement, types: &[Option<Type>]) -> Statement {
    let of = |name: &str| {
        let number: usize = name.strip_prefix('$')?.parse().ok()?;
        read_as(types.get(number.checked_sub(1)?)?.as_ref()?)
    };
    let _ = visit_expressions_mut(&mut statement, |expr| {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
            && let Some(data_type) = of(name)
        {
            let parameter = Box::new(expr.clone());
            *expr = Expr::Cast {
                kind: CastKind::Cast,
                expr: parameter,
                data_type,
                array: false,
                format: None,
            };
        }
        ControlFlow::<()>::Continue(())
    });
    statement
}

/// The values that a client sends for the parameters of a statement, whose types are these as far as they are known.
pub(super) fn values<S: Clone>(
    portal: &Portal<S>,
    types: &[Option<DataType>],
) -> PgWireResult<ParamValues> {
    let sent = |at: usize| portal.statement.parameter_types.get(at).and_then(Option::as_ref);
    // A number stays as it was sent; the statement says what becomes of it.
    let expected = types.iter().enumerate().map(|(at, of)| match (sent(at), of) {
        (Some(sent), _) if read_as(sent).is_some() => None,
        (Some(&(Type::INT2 | Type::INT4 | Type::INT8)), Some(DataType::Decimal128(..))) => None,
        (_, of) => of.as_ref(),
    });
    let expected: Vec<_> = expected.collect();
    let values = deserialize_parameters(&with_plain_numbers(portal), &expected)?;
    let (_, scale) = DECIMAL;
    if let ParamValues::List(values) = &values {
        for (number, value) in (1..).zip(values) {
            if let ScalarValue::Decimal128(Some(unscaled), _, of) = value.value()
                && is_cut(*unscaled, *of, scale)
            {
                let message =
                    format!("parameter ${number} has more than {scale} digits after the point");
                return Err(of_code("22003", message));
            }
        }
    }
    Ok(values)
}

/// The same parameters, with decimals as digits: what reads them does not know texts such as `1E+20`.
fn with_plain_numbers<S: Clone>(portal: &Portal<S>) -> Portal<()> {
    let types = &portal.statement.parameter_types;
    let plain = |(at, value): (usize, &Option<Bytes>)| {
        let is_number = types.get(at) == Some(&Some(Type::NUMERIC));
        let text = value.as_deref().filter(|_| is_number && portal.parameter_format.is_text(at));
        let text = text.and_then(|text| without_exponent(std::str::from_utf8(text).ok()?));
        text.map(Bytes::from).or_else(|| value.clone())
    };
    let mut numbers = Portal::default();
    numbers.statement = Arc::new(StoredStatement::new(String::new(), (), types.clone()));
    numbers.parameter_format = portal.parameter_format.clone();
    numbers.parameters = portal.parameters.iter().enumerate().map(plain).collect();
    numbers
}

/// The digits of a number that is written with an exponent.
fn without_exponent(text: &str) -> Option<String> {
    let (number, exponent) = text.split_once(['e', 'E'])?;
    let exponent = exponent.parse().ok().filter(|by: &i32| by.unsigned_abs() <= EXPONENT_MAX)?;
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |number| ("-", number));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let zeros = |number: i32| "0".repeat(number.unsigned_abs() as usize);
    Some(match usize::try_from(point) {
        Err(_) | Ok(0) => format!("{sign}0.{}{digits}", zeros(point)),
        Ok(at) if at < digits.len() => format!("{sign}{}.{}", &digits[..at], &digits[at..]),
        Ok(at) => format!("{sign}{digits}{}", "0".repeat(at - digits.len())),
    })
}

/// Whether a decimal of scale `of` loses digits with this scale.
fn is_cut(unscaled: i128, of: i8, scale: i8) -> bool {
    let digits = u32::try_from(of.saturating_sub(scale)).unwrap_or(0);
    match 10i128.checked_pow(digits) {
        Some(factor) => unscaled % factor != 0,
        None => unscaled != 0,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn read(text: &str, types: &[Option<Type>]) -> String {
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, text).unwrap();
        typed(parsed.remove(0), types).to_string()
    }

    #[test]
    fn numbers_with_a_fraction_keep_their_types() {
        let types = [Some(Type::FLOAT8), None, Some(Type::NUMERIC), Some(Type::INT8)];
        assert!(has_casts(&types) && !has_casts(&types[3..]));
        let found = read("SELECT $1 FROM t WHERE a < $2 AND (b = $3 OR c IN ($4, $1))", &types);
        let expect = "SELECT CAST($1 AS DOUBLE PRECISION) FROM t WHERE a < $2 AND \
                      (b = CAST($3 AS NUMERIC(38,9)) OR c IN ($4, CAST($1 AS DOUBLE PRECISION)))";
        assert_eq!(found, expect);
    }

    #[test]
    fn exponents_are_written_out() {
        for (text, expect) in [
            ("1E+20", Some("100000000000000000000")),
            ("-1.25e-2", Some("-0.0125")),
            ("12.5E1", Some("125")),
            ("12.55E1", Some("125.5")),
            ("1E-9", Some("0.000000001")),
            ("1.5", None),
            ("1E+900", None),
            ("NaN", None),
            ("eE1", None),
        ] {
            assert_eq!(without_exponent(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn decimals_that_would_lose_digits_are_found() {
        assert!(!is_cut(15, 1, 9) && !is_cut(1_500, 11, 9) && !is_cut(0, 120, 9));
        assert!(is_cut(1_501, 11, 9) && is_cut(1, 120, 9));
    }
}
