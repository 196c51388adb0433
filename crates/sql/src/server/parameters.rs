//! Parameters of prepared statements, with the types that the client gave them.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_pg::datatypes::df::deserialize_parameters;
use bytes::Bytes;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlType, ExactNumberInfo, Expr, Fetch, LimitClause, Query, Statement,
    Value, VisitMut, VisitorMut,
};
use dayfold_arrow::DECIMAL;
use pgwire::api::Type;
use pgwire::api::portal::Portal;
use pgwire::api::stmt::StoredStatement;
use pgwire::error::PgWireResult;

use super::error::of_code;
use crate::numeric::{self, NumericError};

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
    let _ = VisitMut::visit(&mut statement, &mut Casts { types, limits: Vec::new() });
    statement
}

/// Casts parameters, except those of LIMIT and OFFSET, whose place says that they are integers.
struct Casts<'a> {
    types: &'a [Option<Type>],
    /// The limits of the queries that are being visited.
    limits: Vec<(Option<LimitClause>, Option<Fetch>)>,
}

impl VisitorMut for Casts<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.limits.push((query.limit_clause.take(), query.fetch.take()));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        (query.limit_clause, query.fetch) = self.limits.pop().unwrap_or_default();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let of = |name: &str| {
            let number: usize = name.strip_prefix('$')?.parse().ok()?;
            read_as(self.types.get(number.checked_sub(1)?)?.as_ref()?)
        };
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
        ControlFlow::Continue(())
    }
}

/// The values that a client sends for the parameters of a statement, whose types are these as far as they are known.
pub(super) fn values<S: Clone>(
    portal: &Portal<S>,
    types: &[Option<DataType>],
) -> PgWireResult<ParamValues> {
    let declared = &portal.statement.parameter_types;
    let sent = |at: usize| declared.get(at).and_then(Option::as_ref);
    let is_numeric = |at: usize| match (sent(at), types.get(at)) {
        (Some(sent), _) if *sent != Type::UNKNOWN => *sent == Type::NUMERIC,
        (_, expected) => matches!(expected, Some(Some(DataType::Decimal128(..)))),
    };
    // A number stays as it was sent, unless an integer is expected: a cast says what becomes of it.
    let expected = types.iter().enumerate().map(|(at, of)| match (sent(at), of) {
        (_, Some(of)) if of.is_integer() => Some(of),
        (Some(&(Type::FLOAT4 | Type::FLOAT8)), _) => None,
        (Some(&(Type::INT2 | Type::INT4 | Type::INT8)), Some(DataType::Decimal128(..))) => None,
        (_, of) => of.as_ref(),
    });
    let expected: Vec<_> = expected.collect();
    // Decimals are read here, with all of their digits.
    let mut others = Portal::default();
    others.statement = Arc::new(StoredStatement::new(String::new(), (), declared.clone()));
    others.parameter_format = portal.parameter_format.clone();
    others.parameters = portal.parameters.clone();
    let numerics: Vec<usize> = (0..portal.parameter_len()).filter(|at| is_numeric(*at)).collect();
    numerics.iter().for_each(|at| others.parameters[*at] = None);
    let ParamValues::List(mut values) = deserialize_parameters(&others, &expected)? else {
        return Err(of_code("XX000", "parameters have numbers"));
    };
    for at in numerics {
        let value = numeric(portal, at)?;
        values[at] = match expected.get(at).copied().flatten() {
            Some(of) if of.is_integer() => integer(value, of, at)?.into(),
            _ => value.into(),
        };
    }
    Ok(ParamValues::List(values))
}

/// A decimal as the client sent it.
fn numeric<S>(portal: &Portal<S>, at: usize) -> PgWireResult<ScalarValue> {
    let (precision, scale) = DECIMAL;
    let read = |bytes: &Bytes| match portal.parameter_format.is_text(at) {
        true => std::str::from_utf8(bytes)
            .map_err(|_| NumericError::Syntax)
            .and_then(|text| numeric::from_text(text, scale.unsigned_abs())),
        false => numeric::from_binary(bytes, scale.unsigned_abs()),
    };
    let unscaled = portal.parameters[at].as_ref().map(read).transpose().map_err(|error| {
        let code = if error == NumericError::Syntax { "22P02" } else { "22003" };
        of_code(code, format!("parameter ${}: {error}", at + 1))
    })?;
    Ok(ScalarValue::Decimal128(unscaled, precision, scale))
}

/// A decimal as an integer of this type.
fn integer(value: ScalarValue, of: &DataType, at: usize) -> PgWireResult<ScalarValue> {
    let whole = value.cast_to(of).ok();
    let is_same =
        |whole: &ScalarValue| whole.cast_to(&value.data_type()).is_ok_and(|back| back == value);
    whole.filter(is_same).ok_or_else(|| {
        of_code(
            "22023",
            format!("parameter ${}: '{value}' is no integer, which is expected there", at + 1),
        )
    })
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
        let limited = "SELECT a FROM t WHERE b > $1 LIMIT $1";
        let expect = "SELECT a FROM t WHERE b > CAST($1 AS DOUBLE PRECISION) LIMIT $1";
        assert_eq!(read(limited, &types), expect);
    }
}
