//! Writes rows of statements as JSON, CSV and Arrow's IPC format.

use std::fmt::Write as _;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use dayfold::rows::push_json;
use dayfold::schema::ValueRef;
use dayfold::time::Day;

use crate::SqlError;
use crate::numeric::Numeric;

/// Whole numbers up to this one are exact as doubles, in which readers of JSON may store numbers.
const EXACT: u128 = 1 << 53;

/// The format of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `{"columns":[{"name","kind","nullable"},…],"rows":[[…],…]}`. Whole numbers beyond ±2⁵³ and decimals are strings, as in all
    /// JSON of Dayfold.
    Json,
    /// An object for each row, one on each line.
    JsonLines,
    /// A line of names, then a line for each row. An empty cell is null, an empty text is `""`.
    Csv,
    /// A stream of Arrow's IPC format.
    Arrow,
}

/// Writes rows as they come. An answer consists of the output of [`Writer::begin`], of [`Writer::batch`] for each
/// batch, and of [`Writer::end`].
///
/// ```
/// use std::sync::Arc;
///
/// use dayfold_sql::arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use dayfold_sql::{Format, Writer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let visits = Arc::new(Int64Array::from(vec![Some(2), None])) as ArrayRef;
/// let rows = RecordBatch::try_from_iter([("visits", visits)])?;
/// let mut out = Vec::new();
/// let mut writer = Writer::new(Format::Csv, &rows.schema());
/// writer.begin(&mut out)?;
/// writer.batch(&rows, &mut out)?;
/// writer.end(&mut out)?;
/// assert_eq!(out, b"visits\n2\n\n");
/// # Ok(())
/// # }
/// ```
pub struct Writer {
    format: Format,
    schema: SchemaRef,
    /// The writer of Arrow's format, once it has begun.
    stream: Option<StreamWriter<Vec<u8>>>,
    has_rows: bool,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer that has written nothing yet.
    pub fn new(format: Format, schema: &Schema) -> Writer {
        // The planner's metadata of columns is not part of an answer.
        let fields = schema
            .fields()
            .iter()
            .map(|field| Field::new(field.name(), field.data_type().clone(), field.is_nullable()));
        let schema = SchemaRef::new(Schema::new(fields.collect::<Vec<_>>()));
        Writer { format, schema, stream: None, has_rows: false }
    }

    /// Writes what comes before the rows.
    ///
    /// # Errors
    /// [`SqlError`]: Arrow's format does not support a type.
    pub fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), SqlError> {
        match self.format {
            Format::JsonLines => {}
            Format::Csv => {
                let mut line = String::new();
                let names = self.schema.fields().iter();
                csv(names.map(|field| Shown::Value(ValueRef::Text(field.name()))), &mut line);
                out.extend_from_slice(line.as_bytes());
            }
            Format::Json => {
                let mut text = "{\"columns\":[".to_owned();
                for (at, field) in self.schema.fields().iter().enumerate() {
                    text.push_str(if at > 0 { ",{\"name\":" } else { "{\"name\":" });
                    push_json(ValueRef::Text(field.name()), &mut text);
                    text.push_str(",\"kind\":\"");
                    text.push_str(kind(field.data_type()));
                    text.push_str("\",\"nullable\":");
                    text.push_str(if field.is_nullable() { "true}" } else { "false}" });
                }
                text.push_str("],\"rows\":[");
                out.extend_from_slice(text.as_bytes());
            }
            Format::Arrow => {
                let stream = StreamWriter::try_new(Vec::new(), &self.schema).map_err(unwritten)?;
                let stream = self.stream.insert(stream);
                out.append(stream.get_mut());
            }
        }
        Ok(())
    }

    /// Writes the rows of a batch.
    ///
    /// # Errors
    /// [`SqlError`]: a value cannot be written.
    pub fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), SqlError> {
        if let Some(stream) = &mut self.stream {
            let columns = batch.columns().to_vec();
            // A batch without columns still has rows.
            let batch = match columns.is_empty() {
                true => batch.clone(),
                false => RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)
                    .map_err(unwritten)?,
            };
            stream.write(&batch).map_err(unwritten)?;
            out.append(stream.get_mut());
            return Ok(());
        }
        let columns = columns(batch)?;
        let mut text = String::new();
        for at in 0..batch.num_rows() {
            let row = columns.iter().map(|column| column.shown(at));
            match self.format {
                Format::Csv => csv(row, &mut text),
                Format::JsonLines => {
                    text.push('{');
                    for (number, (field, value)) in self.schema.fields().iter().zip(row).enumerate()
                    {
                        text.push_str(if number > 0 { "," } else { "" });
                        push_json(ValueRef::Text(field.name()), &mut text);
                        text.push(':');
                        value.push_json(&mut text);
                    }
                    text.push_str("}\n");
                }
                _ => {
                    text.push_str(if self.has_rows { ",\n[" } else { "\n[" });
                    for (number, value) in row.enumerate() {
                        text.push_str(if number > 0 { "," } else { "" });
                        value.push_json(&mut text);
                    }
                    text.push(']');
                }
            }
            self.has_rows = true;
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Writes what comes after the rows.
    ///
    /// # Errors
    /// [`SqlError`]: Arrow's stream cannot be ended.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), SqlError> {
        if self.format == Format::Json {
            out.extend_from_slice(if self.has_rows { b"\n]}\n" } else { b"]}\n" });
        }
        if let Some(stream) = &mut self.stream {
            stream.finish().map_err(unwritten)?;
            out.append(stream.get_mut());
        }
        Ok(())
    }
}

fn unwritten(error: ArrowError) -> SqlError {
    SqlError::run(error.into())
}

/// The rows of a batch as texts, in the form of CSV; null is `None`.
///
/// # Errors
/// [`SqlError`]: a column has a type without a text form.
pub fn texts(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>, SqlError> {
    let columns = columns(batch)?;
    let row = |at: usize| columns.iter().map(|column| column.shown(at).text()).collect();
    Ok((0..batch.num_rows()).map(row).collect())
}

/// Values as JSON, in the form of all JSON of Dayfold.
pub(crate) fn texts_as_json(array: &ArrayRef) -> datafusion::error::Result<Vec<String>> {
    let formatter = ArrayFormatter::try_new(array, &OPTIONS)?;
    let column = Column { array, formatter };
    let text = |at: usize| {
        let mut text = String::new();
        column.shown(at).push_json(&mut text);
        text
    };
    Ok((0..array.len()).map(text).collect())
}

/// The kind of a type, as views name it: `text`, `integer`, `decimal`, `boolean`, `date`, `timestamp` or `bytes`, and
/// also `float`. A value of any other type is written as a text.
pub fn kind(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Decimal128(_, 0) | DataType::Decimal256(_, 0) => "integer",
        DataType::Decimal128(..) | DataType::Decimal256(..) => "decimal",
        of if of.is_integer() => "integer",
        of if of.is_floating() => "float",
        DataType::Boolean => "boolean",
        DataType::Date32 => "date",
        DataType::Timestamp(..) => "timestamp",
        DataType::Binary => "bytes",
        _ => "text",
    }
}

const OPTIONS: FormatOptions<'static> = FormatOptions::new();

/// A column of a batch.
struct Column<'a> {
    array: &'a ArrayRef,
    /// For types that have no code here.
    formatter: ArrayFormatter<'a>,
}

fn columns(batch: &RecordBatch) -> Result<Vec<Column<'_>>, SqlError> {
    let columns = batch.columns().iter().map(|array| {
        let formatter = ArrayFormatter::try_new(array, &OPTIONS).map_err(unwritten)?;
        Ok(Column { array, formatter })
    });
    columns.collect()
}

/// A value that is about to be written.
enum Shown<'a> {
    Value(ValueRef<'a>),
    Numeric(Numeric),
    Float(f64, String),
    /// A value in its text form.
    Other(String),
}

impl Column<'_> {
    fn shown(&self, at: usize) -> Shown<'_> {
        let array = self.array;
        // A column without a type does not record which values are null.
        if array.is_null(at) || *array.data_type() == DataType::Null {
            return Shown::Value(ValueRef::Null);
        }
        let other = || Shown::Other(self.formatter.value(at).to_string());
        let integer = |number: i128| ValueRef::Integer(number);
        Shown::Value(match array.data_type() {
            DataType::Utf8 => ValueRef::Text(array.as_string::<i32>().value(at)),
            DataType::LargeUtf8 => ValueRef::Text(array.as_string::<i64>().value(at)),
            DataType::Utf8View => ValueRef::Text(array.as_string_view().value(at)),
            DataType::Binary => ValueRef::Bytes(array.as_binary::<i32>().value(at)),
            DataType::Boolean => ValueRef::Boolean(array.as_boolean().value(at)),
            DataType::Int8 => integer(array.as_primitive::<Int8Type>().value(at).into()),
            DataType::Int16 => integer(array.as_primitive::<Int16Type>().value(at).into()),
            DataType::Int32 => integer(array.as_primitive::<Int32Type>().value(at).into()),
            DataType::Int64 => integer(array.as_primitive::<Int64Type>().value(at).into()),
            DataType::UInt8 => integer(array.as_primitive::<UInt8Type>().value(at).into()),
            DataType::UInt16 => integer(array.as_primitive::<UInt16Type>().value(at).into()),
            DataType::UInt32 => integer(array.as_primitive::<UInt32Type>().value(at).into()),
            DataType::UInt64 => integer(array.as_primitive::<UInt64Type>().value(at).into()),
            DataType::Date32 => ValueRef::Date(Day(array.as_primitive::<Date32Type>().value(at))),
            DataType::Decimal128(_, scale) => {
                let number = array.as_primitive::<Decimal128Type>().value(at);
                return Shown::Numeric(Numeric::new(number, *scale));
            }
            DataType::Float32 => {
                let number = array.as_primitive::<Float32Type>().value(at);
                return Shown::Float(number.into(), float(&number));
            }
            DataType::Float64 => {
                let number = array.as_primitive::<Float64Type>().value(at);
                return Shown::Float(number, float(&number));
            }
            // Times with a zone are written in UTC; those of milliseconds as views write them.
            DataType::Timestamp(unit, Some(_)) => {
                let (time, per_second) = match unit {
                    TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(at), 1),
                    TimeUnit::Millisecond => {
                        (array.as_primitive::<TimestampMillisecondType>().value(at), 1_000)
                    }
                    TimeUnit::Microsecond => {
                        (array.as_primitive::<TimestampMicrosecondType>().value(at), 1_000_000)
                    }
                    TimeUnit::Nanosecond => {
                        (array.as_primitive::<TimestampNanosecondType>().value(at), 1_000_000_000)
                    }
                };
                match millis(time, per_second) {
                    Some(millis) => ValueRef::Timestamp(millis),
                    None => return other(),
                }
            }
            _ => return other(),
        })
    }
}

/// A time in milliseconds, if it has no smaller part.
fn millis(time: i64, per_second: i64) -> Option<i64> {
    match per_second / 1_000 {
        0 => time.checked_mul(1_000),
        per_milli => (time % per_milli == 0).then(|| time / per_milli),
    }
}

/// The shortest text that is read as the same number, with an exponent if that is shorter.
fn float(number: &dyn std::fmt::Debug) -> String {
    let text = format!("{number:?}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

impl Shown<'_> {
    fn text(&self) -> Option<String> {
        match self {
            Shown::Value(ValueRef::Null) => None,
            Shown::Value(value) => Some(value.to_string()),
            Shown::Numeric(number) => Some(number.to_string()),
            Shown::Float(_, text) | Shown::Other(text) => Some(text.clone()),
        }
    }

    fn push_json(&self, text: &mut String) {
        match self {
            Shown::Value(value) => push_json(*value, text),
            Shown::Numeric(number)
                if number.integer().is_some_and(|n| n.unsigned_abs() <= EXACT) =>
            {
                write!(text, "{number}").expect("memory takes every text");
            }
            Shown::Numeric(number) => push_json(ValueRef::Text(&number.to_string()), text),
            // JSON has no other numbers.
            Shown::Float(number, shown) if number.is_finite() => text.push_str(shown),
            Shown::Float(_, shown) | Shown::Other(shown) => push_json(ValueRef::Text(shown), text),
        }
    }
}

/// A line, quoted as in RFC 4180.
fn csv<'a>(row: impl Iterator<Item = Shown<'a>>, text: &mut String) {
    for (at, value) in row.enumerate() {
        if at > 0 {
            text.push(',');
        }
        match value.text() {
            None => {}
            Some(cell) if cell.is_empty() || cell.contains([',', '"', '\n', '\r']) => {
                text.push('"');
                text.push_str(&cell.replace('"', "\"\""));
                text.push('"');
            }
            Some(cell) => text.push_str(&cell),
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };
    use datafusion::arrow::ipc::reader::StreamReader;

    use super::*;

    fn batch() -> RecordBatch {
        let sum = Decimal128Array::from(vec![Some(9_007_199_254_740_993), Some(-7), None]);
        let decimal = Decimal128Array::from(vec![1_500_000_000, 2_000_000_000, 0]);
        let time = TimestampMicrosecondArray::from(vec![1_500_000, 1, 0]).with_timezone("UTC");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("t", Arc::new(StringArray::from(vec![Some("a,\"b\""), Some(""), None]))),
            ("n", Arc::new(Int64Array::from(vec![1, i64::MAX, -1]))),
            ("sum", Arc::new(sum.with_precision_and_scale(38, 0).unwrap())),
            ("d", Arc::new(decimal.with_precision_and_scale(38, 9).unwrap())),
            ("f", Arc::new(Float64Array::from(vec![0.5, f64::NAN, 1e300]))),
            ("day", Arc::new(Date32Array::from(vec![0, 19_844, -1]))),
            ("at", Arc::new(time)),
            ("is", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn written(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(format, &batch().schema());
        writer.begin(&mut out).unwrap();
        batches.iter().for_each(|batch| writer.batch(batch, &mut out).unwrap());
        writer.end(&mut out).unwrap();
        out
    }

    #[test]
    fn rows_as_text() {
        let text = |format| String::from_utf8(written(format, &[batch().slice(0, 2)])).unwrap();
        assert_eq!(
            text(Format::Csv),
            "t,n,sum,d,f,day,at,is\n\
             \"a,\"\"b\"\"\",1,9007199254740993,1.5,0.5,1970-01-01,1970-01-01T00:00:01.500Z,true\n\
             \"\",9223372036854775807,-7,2,NaN,2024-05-01,1970-01-01T00:00:00.000001Z,false\n"
        );
        assert_eq!(
            text(Format::JsonLines).lines().next().unwrap(),
            r#"{"t":"a,\"b\"","n":1,"sum":"9007199254740993","d":"1.5","f":0.5,"day":"1970-01-01","at":"1970-01-01T00:00:01.500Z","is":true}"#
        );
        let json = text(Format::Json);
        assert!(json.starts_with(r#"{"columns":[{"name":"t","kind":"text","nullable":true}"#));
        assert!(json.ends_with(
            "\n[\"\",\"9223372036854775807\",-7,2,\"NaN\",\"2024-05-01\",\"1970-01-01T00:00:00.000001Z\",false]\n]}\n"
        ));
        assert_eq!(
            written(Format::Csv, &[batch().slice(2, 1)]).split(|b| *b == b'\n').nth(1).unwrap(),
            b",-1,,0,1e300,1969-12-31,1970-01-01T00:00:00.000Z,"
        );
        assert!(written(Format::Json, &[]).ends_with(b"\"rows\":[]}\n"));
    }

    #[test]
    fn rows_as_arrow() {
        let bytes = written(Format::Arrow, &[batch(), batch().slice(1, 2)]);
        let read: Vec<_> =
            StreamReader::try_new(&bytes[..], None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, [batch(), batch().slice(1, 2)]);
    }
}
