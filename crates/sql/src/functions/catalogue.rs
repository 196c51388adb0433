//! Functions with which clients read PostgreSQL's catalogue, in addition to those of `datafusion-pg-catalog`. Much of
//! what they ask for never exists here: comments, indexes, user-defined functions.

use datafusion::arrow::array::{Array, AsArray, Int32Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use datafusion::prelude::SessionContext;
use postgres_types::Type;

use crate::settings;
use crate::write::texts_as_json;

/// Registers them for statements.
pub(super) fn register(context: &SessionContext) {
    let text = || ScalarValue::Utf8(None);
    let yes = || ScalarValue::Boolean(Some(true));
    let no = || ScalarValue::Boolean(Some(false));
    let none = || ScalarValue::Int64(Some(0));
    let constants: [(&'static str, ScalarValue); 34] = [
        ("col_description", text()),
        ("obj_description", text()),
        ("shobj_description", text()),
        ("pg_get_function_arguments", text()),
        ("pg_get_function_identity_arguments", text()),
        ("pg_get_function_result", text()),
        ("pg_get_function_sqlbody", text()),
        ("pg_get_functiondef", text()),
        ("pg_get_indexdef", text()),
        ("pg_get_ruledef", text()),
        ("pg_get_serial_sequence", text()),
        ("pg_get_triggerdef", text()),
        ("pg_get_viewdef", text()),
        ("pg_tablespace_location", text()),
        ("inet_server_addr", text()),
        ("inet_client_addr", text()),
        ("to_regproc", ScalarValue::Int32(None)),
        ("pg_collation_is_visible", yes()),
        ("pg_conversion_is_visible", yes()),
        ("pg_function_is_visible", yes()),
        ("pg_statistics_obj_is_visible", yes()),
        ("pg_operator_is_visible", yes()),
        ("pg_opclass_is_visible", yes()),
        ("pg_type_is_visible", yes()),
        ("has_column_privilege", yes()),
        ("has_function_privilege", yes()),
        ("has_language_privilege", yes()),
        ("has_sequence_privilege", yes()),
        ("pg_has_role", yes()),
        ("pg_is_in_recovery", no()),
        ("pg_database_size", none()),
        ("pg_indexes_size", none()),
        ("pg_table_size", none()),
        ("inet_server_port", ScalarValue::Int32(None)),
    ];
    for (name, value) in constants {
        context.register_udf(ScalarUDF::from(Constant::new(name, value)));
    }
    context.register_udf(ScalarUDF::from(CurrentSetting(any())));
    context.register_udf(ScalarUDF::from(TypeNumber(any())));
    context.register_udf(ScalarUDF::from(Format(any())));
    context.register_udf(ScalarUDF::from(SizePretty(any())));
    context.register_udf(ScalarUDF::from(JsonObject(any())));
}

/// Any arguments, or none.
fn any() -> Signature {
    let signatures = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
    Signature::one_of(signatures, Volatility::Stable)
}

/// A function of any arguments with a constant value.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    value: ScalarValue,
    signature: Signature,
}

impl Constant {
    fn new(name: &'static str, value: ScalarValue) -> Constant {
        Constant { name, value, signature: any() }
    }
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// `current_setting('search_path')`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentSetting(Signature);

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_optional = args.args.get(1).is_some();
        let texts = texts(&args)?;
        let value = |name: &str| settings::value(&name.to_ascii_lowercase());
        let values = texts.iter().map(|row| {
            let Some(name) = row.first().and_then(Option::as_deref) else { return Ok(None) };
            match value(name) {
                None if !is_optional => {
                    exec_err!("unrecognized configuration parameter \"{name}\"")
                }
                value => Ok(value),
            }
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(std::sync::Arc::new(StringArray::from(values))))
    }
}

/// `to_regtype('bigint')`: the number of a type, or null.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeNumber(Signature);

impl ScalarUDFImpl for TypeNumber {
    fn name(&self) -> &str {
        "to_regtype"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = texts(&args)?.into_iter();
        let numbers: Int32Array = rows.map(|row| type_number(row.first()?.as_deref()?)).collect();
        Ok(ColumnarValue::Array(std::sync::Arc::new(numbers)))
    }
}

/// The number of a type that a column may have, by each of its names.
fn type_number(name: &str) -> Option<i32> {
    let name = name.trim().to_ascii_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    let (plain, _) = name.split_once('(').unwrap_or((name, ""));
    let of = match plain.trim_end() {
        "bool" | "boolean" => Type::BOOL,
        "int2" | "smallint" => Type::INT2,
        "int" | "int4" | "integer" => Type::INT4,
        "int8" | "bigint" => Type::INT8,
        "real" | "float4" => Type::FLOAT4,
        "float8" | "double precision" => Type::FLOAT8,
        "numeric" | "decimal" => Type::NUMERIC,
        "text" => Type::TEXT,
        "varchar" | "character varying" => Type::VARCHAR,
        "bytea" => Type::BYTEA,
        "date" => Type::DATE,
        "timestamp" | "timestamp without time zone" => Type::TIMESTAMP,
        "timestamptz" | "timestamp with time zone" => Type::TIMESTAMPTZ,
        "interval" => Type::INTERVAL,
        "name" => Type::NAME,
        "oid" => Type::OID,
        _ => return None,
    };
    i32::try_from(of.oid()).ok()
}

/// `format('%I.%I', schema, table)`, with `%s`, `%I`, `%L` and `%%`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Format(Signature);

impl ScalarUDFImpl for Format {
    fn name(&self) -> &str {
        "format"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = texts(&args)?.into_iter().map(|row| format(&row));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(std::sync::Arc::new(StringArray::from(rows))))
    }
}

fn format(row: &[Option<String>]) -> Result<Option<String>> {
    let Some((Some(pattern), values)) = row.split_first() else { return Ok(None) };
    let (mut out, mut values, mut chars) = (String::new(), values.iter(), pattern.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let kind = chars.next();
        if kind == Some('%') {
            out.push('%');
            continue;
        }
        let Some(value) = values.next() else {
            return exec_err!("format('{pattern}'): expected one more argument");
        };
        match (kind, value) {
            (Some('s'), value) => out.push_str(value.as_deref().unwrap_or_default()),
            (Some('I'), Some(name)) => out.push_str(&identifier(name)),
            (Some('L'), Some(text)) => {
                out.push('\'');
                out.push_str(&text.replace('\'', "''"));
                out.push('\'');
            }
            (Some('L'), None) => out.push_str("NULL"),
            _ => return exec_err!("format('{pattern}'): expected %s, %I, %L or %%"),
        }
    }
    Ok(Some(out))
}

/// A name in the form of a statement.
fn identifier(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name.chars().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// `pg_size_pretty(bytes)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SizePretty(Signature);

impl ScalarUDFImpl for SizePretty {
    fn name(&self) -> &str {
        "pg_size_pretty"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sizes = texts(&args)?.into_iter().map(|row| match row.first() {
            Some(Some(bytes)) => match bytes.parse() {
                Ok(bytes) => Ok(Some(size(bytes))),
                Err(_) => exec_err!("pg_size_pretty: '{bytes}' is no whole number"),
            },
            _ => Ok(None),
        });
        let sizes = sizes.collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(std::sync::Arc::new(StringArray::from(sizes))))
    }
}

fn size(bytes: i64) -> String {
    let (mut size, mut unit) = (bytes, "bytes");
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if size.unsigned_abs() < 10 * 1_024 {
            break;
        }
        (size, unit) = ((size + size.signum() * 512) / 1_024, next);
    }
    format!("{size} {unit}")
}

/// `json_build_object('name', value, …)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonObject(Signature);

impl ScalarUDFImpl for JsonObject {
    fn name(&self) -> &str {
        "json_build_object"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if !args.args.len().is_multiple_of(2) {
            return exec_err!("json_build_object: expected names and values in turn");
        }
        let rows = args.number_rows;
        let mut objects = vec!["{".to_owned(); rows];
        for (at, pair) in args.args.chunks(2).enumerate() {
            let [names, values] = pair else { continue };
            let names = names.cast_to(&DataType::Utf8, None)?.to_array(rows)?;
            let (names, values) = (texts_as_json(&names)?, texts_as_json(&values.to_array(rows)?)?);
            for ((object, name), value) in objects.iter_mut().zip(names).zip(values) {
                if name == "null" {
                    return exec_err!("json_build_object: a name is null");
                }
                object.push_str(if at > 0 { ", " } else { "" });
                object.push_str(&name);
                object.push_str(" : ");
                object.push_str(&value);
            }
        }
        objects.iter_mut().for_each(|object| object.push('}'));
        Ok(ColumnarValue::Array(std::sync::Arc::new(StringArray::from(objects))))
    }
}

/// The arguments of each row as texts.
fn texts(args: &ScalarFunctionArgs) -> Result<Vec<Vec<Option<String>>>> {
    let mut rows = vec![Vec::with_capacity(args.args.len()); args.number_rows];
    for argument in &args.args {
        let array = argument.cast_to(&DataType::Utf8, None)?.to_array(args.number_rows)?;
        let array = array.as_string::<i32>();
        for (at, row) in rows.iter_mut().enumerate() {
            row.push(array.is_valid(at).then(|| array.value(at).to_owned()));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, expect) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (-1_500_000, "-1465 kB"),
            (123_456_789_012, "115 GB"),
        ] {
            assert_eq!(size(bytes), expect);
        }
    }

    #[test]
    fn numbers_of_types() {
        for (name, expect) in [
            ("bigint", Some(20)),
            ("pg_catalog.int8", Some(20)),
            ("Character Varying (20)", Some(1_043)),
            ("timestamp with time zone", Some(1_184)),
            ("hstore", None),
        ] {
            assert_eq!(type_number(name), expect, "{name}");
        }
    }

    #[test]
    fn patterns() {
        let check = |row: &[Option<&str>], expect: Option<&str>| {
            let row: Vec<_> = row.iter().map(|value| value.map(str::to_owned)).collect();
            assert_eq!(format(&row).unwrap().as_deref(), expect, "{row:?}");
        };
        check(&[Some("%I.%I"), Some("public"), Some("by-page")], Some("public.\"by-page\""));
        check(&[Some("%s%% %L %L"), Some("5"), Some("it's"), None], Some("5% 'it''s' NULL"));
        check(&[None, Some("a")], None);
        for wrong in [&[Some("%s")][..], &[Some("%d"), Some("1")], &[Some("%I"), None]] {
            let row: Vec<_> = wrong.iter().map(|value| value.map(str::to_owned)).collect();
            assert!(format(&row).is_err(), "{wrong:?}");
        }
    }
}
