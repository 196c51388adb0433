//! Avro.

use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::Reader;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{DecimalSchema, Schema};
use apache_avro::types::Value as AvroValue;
use dayfold::schema::Value;
use dayfold::time::Day;

use super::{Fields, Format, decimal_of, within};

/// A record of Avro.
///
/// With a schema registry, a value begins with a zero and the id of the writer's schema. Each record is read with its
/// own schema, so a schema may evolve. With embedded schemas, a value is an Avro file with one record. A reader's
/// schema, if given, determines the fields: fields that a writer did not know get its defaults.
///
/// Arrays and maps are left out. Times of day, durations and UUIDs keep their encoded form.
pub struct Avro {
    schemas: Schemas,
    reader: Option<Schema>,
}

/// Where the schema of a record comes from.
enum Schemas {
    Embedded,
    One(Box<Schema>),
    ById(Box<ById>),
}

type ById = dyn Fn(u32) -> Result<Arc<Schema>, String> + Send + Sync;

impl Avro {
    /// Each value is a file of Avro, with the schema in it.
    pub fn embedded() -> Avro {
        Avro { schemas: Schemas::Embedded, reader: None }
    }

    /// All values were written with this schema, and contain only the record.
    ///
    /// # Errors
    /// If it is not a schema.
    pub fn of_schema(schema: &str) -> Result<Avro, String> {
        Ok(Avro { schemas: Schemas::One(Box::new(parse(schema)?)), reader: None })
    }

    /// Schemas by their ids, as JSON, for example from a registry.
    pub fn by_id(schema: impl Fn(u32) -> Result<String, String> + Send + Sync + 'static) -> Avro {
        let known = std::sync::Mutex::new(HashMap::<u32, Arc<Schema>>::new());
        let by_id = move |id| {
            let lock = || known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(schema) = lock().get(&id) {
                return Ok(Arc::clone(schema));
            }
            let parsed = Arc::new(parse(&schema(id)?)?);
            lock().insert(id, Arc::clone(&parsed));
            Ok(parsed)
        };
        Avro { schemas: Schemas::ById(Box::new(by_id)), reader: None }
    }

    /// The schemas of a registry.
    #[cfg(feature = "registry")]
    pub fn registry(registry: super::Registry) -> Avro {
        Avro::by_id(move |id| registry.schema(id))
    }

    /// The wanted fields, whatever the writer knew: a schema to which the writers' schemas can be resolved.
    ///
    /// # Errors
    /// If it is not a schema.
    pub fn reader(self, schema: &str) -> Result<Avro, String> {
        Ok(Avro { reader: Some(parse(schema)?), ..self })
    }

    fn datum(&self, writer: &Schema, mut bytes: &[u8]) -> Result<Fields, String> {
        let datum = GenericDatumReader::builder(writer).maybe_reader_schema(self.reader.as_ref());
        let value = datum.build().and_then(|datum| datum.read_value(&mut bytes));
        let value = value.map_err(|error| format!("no record of the schema: {error}"))?;
        if !bytes.is_empty() {
            return Err(format!("{} bytes behind the record", bytes.len()));
        }
        fields_of(value, self.reader.as_ref().unwrap_or(writer))
    }
}

impl std::fmt::Debug for Avro {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Avro").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl Format for Avro {
    fn decode(&self, bytes: &[u8]) -> Result<Fields, String> {
        match &self.schemas {
            Schemas::One(schema) => self.datum(schema, bytes),
            Schemas::ById(schemas) => {
                let (id, datum) = super::id_of(bytes)?;
                self.datum(&*schemas(id)?, datum)
            }
            Schemas::Embedded => {
                let failed = |error: apache_avro::Error| format!("no file of Avro: {error}");
                let mut reader = match &self.reader {
                    Some(schema) => Reader::builder(bytes).reader_schema(schema).build(),
                    None => Reader::new(bytes),
                }
                .map_err(failed)?;
                let value = reader.next().ok_or("a file of Avro without a record")?;
                let value = value.map_err(failed)?;
                if reader.next().is_some() {
                    return Err("a file of Avro with several records".to_owned());
                }
                let schema = self.reader.as_ref().unwrap_or(reader.writer_schema());
                fields_of(value, schema)
            }
        }
    }
}

fn parse(schema: &str) -> Result<Schema, String> {
    Schema::parse_str(schema).map_err(|error| format!("no schema of Avro: {error}"))
}

fn fields_of(value: AvroValue, schema: &Schema) -> Result<Fields, String> {
    if !matches!(value, AvroValue::Record(_)) {
        return Err("the value is no record of Avro".to_owned());
    }
    let mut fields = Fields::default();
    add("", value, Some(schema), &mut fields)?;
    Ok(fields)
}

/// Adds a value and its nested values.
fn add(
    name: &str,
    value: AvroValue,
    schema: Option<&Schema>,
    fields: &mut Fields,
) -> Result<(), String> {
    match value {
        AvroValue::Record(values) => {
            let of = |inner: &str| match schema {
                Some(Schema::Record(record)) => {
                    record.fields.iter().find(|field| field.name == inner).map(|f| &f.schema)
                }
                _ => None,
            };
            for (inner, value) in values {
                add(&within(name, &inner), value, of(&inner), fields)?;
            }
            Ok(())
        }
        AvroValue::Union(index, value) => {
            let schema = match schema {
                Some(Schema::Union(union)) => union.variants().get(index as usize),
                _ => None,
            };
            add(name, *value, schema, fields)
        }
        AvroValue::Array(_) | AvroValue::Map(_) => Ok(()),
        value => {
            let value = scalar(value, schema);
            fields.push(name, value.map_err(|reason| format!("the field '{name}': {reason}"))?);
            Ok(())
        }
    }
}

fn scalar(value: AvroValue, schema: Option<&Schema>) -> Result<Value, String> {
    Ok(match value {
        AvroValue::Null => Value::Null,
        AvroValue::Boolean(is_so) => Value::Boolean(is_so),
        AvroValue::Int(number) | AvroValue::TimeMillis(number) => Value::Integer(number.into()),
        AvroValue::Long(number) | AvroValue::TimeMicros(number) => Value::Integer(number.into()),
        AvroValue::Float(number) => decimal_of(number)?,
        AvroValue::Double(number) => decimal_of(number)?,
        AvroValue::String(text) | AvroValue::Enum(_, text) => Value::Text(text),
        AvroValue::Bytes(bytes) | AvroValue::Fixed(_, bytes) => Value::Bytes(bytes),
        AvroValue::Date(day) => Value::Date(Day(day)),
        AvroValue::TimestampMillis(time) | AvroValue::LocalTimestampMillis(time) => {
            Value::Timestamp(time)
        }
        AvroValue::TimestampMicros(time) | AvroValue::LocalTimestampMicros(time) => {
            Value::Timestamp(time.div_euclid(1_000))
        }
        AvroValue::TimestampNanos(time) | AvroValue::LocalTimestampNanos(time) => {
            Value::Timestamp(time.div_euclid(1_000_000))
        }
        AvroValue::Uuid(id) => Value::Text(id.to_string()),
        AvroValue::Decimal(number) => {
            let Some(Schema::Decimal(DecimalSchema { scale, .. })) = schema else {
                return Err("a decimal number whose scale is not in its schema".to_owned());
            };
            let bytes = Vec::<u8>::try_from(&number).map_err(|error| error.to_string())?;
            decimal(&bytes, *scale)?
        }
        value => return Err(format!("values like {value:?} are not read")),
    })
}

/// A number with this many digits after the point, in two's complement, most significant byte first.
fn decimal(bytes: &[u8], scale: usize) -> Result<Value, String> {
    if bytes.len() > 16 {
        return Err("a decimal number of more than 16 bytes".to_owned());
    }
    let is_negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let begin = if is_negative { -1 } else { 0 };
    let number = bytes.iter().fold(begin, |number: i128, byte| number << 8 | i128::from(*byte));
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if is_negative { "-" } else { "" };
    decimal_of(format!("{sign}{whole}{}{fraction}", if scale == 0 { "" } else { "." }))
}

#[cfg(test)]
mod tests {
    use apache_avro::Writer;
    use apache_avro::types::Record;
    use apache_avro::writer::datum::GenericDatumWriter;

    use super::*;

    const FIRST: &str = r#"{"type":"record","name":"order","fields":[
        {"name":"id","type":"long"},
        {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"note","type":["null","string"]}]}"#;
    /// A field is gone, and one has come.
    const SECOND: &str = r#"{"type":"record","name":"order","fields":[
        {"name":"id","type":"long"},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"shop","type":"string","default":"main"}]}"#;

    fn first(id: i64) -> (Schema, AvroValue) {
        let schema = parse(FIRST).unwrap();
        let mut record = Record::new(&schema).unwrap();
        record.put("id", id);
        record.put("price", AvroValue::Decimal((-1_205_i32).to_be_bytes().into()));
        record.put("at", AvroValue::TimestampMillis(1_500));
        record.put("note", AvroValue::Union(1, Box::new("x".into())));
        let value = record.into();
        (schema, value)
    }

    fn datum(schema: &Schema, value: AvroValue) -> Vec<u8> {
        GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value).unwrap()
    }

    fn registered(id: u32, value: AvroValue, schema: &Schema) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend(datum(schema, value));
        bytes
    }

    #[test]
    fn each_record_is_read_with_the_schema_it_was_written_with() {
        let by_id = |id| match id {
            1 => Ok(FIRST.to_owned()),
            2 => Ok(SECOND.to_owned()),
            id => Err(format!("the registry has no schema {id}")),
        };
        let (schema, value) = first(7);
        let old = registered(1, value, &schema);
        let schema = parse(SECOND).unwrap();
        let mut record = Record::new(&schema).unwrap();
        record.put("id", 8i64);
        record.put("at", AvroValue::TimestampMillis(9));
        record.put("shop", "harbour");
        let new = registered(2, record.into(), &schema);

        let avro = Avro::by_id(by_id);
        let fields = avro.decode(&old).unwrap();
        assert_eq!((fields.integer("id"), fields.time("at")), (Ok(7), Ok(1_500)));
        assert_eq!(fields.get("price"), Some(&Value::Decimal("-12.05".parse().unwrap())));
        assert_eq!(fields.text("note"), Ok("x"));
        assert_eq!(avro.decode(&new).unwrap().text("shop"), Ok("harbour"));

        // Fields that the first writer did not know get the reader's default.
        let avro = Avro::by_id(by_id).reader(SECOND).unwrap();
        let shops =
            [&old, &new].map(|bytes| avro.decode(bytes).unwrap().text("shop").unwrap().to_owned());
        assert_eq!(shops, ["main", "harbour"]);
        assert!(avro.decode(&old).unwrap().get("note").is_none());

        for (bytes, expect) in [
            (&old[..3], "shorter than the number"),
            (b"\x01\x00\x00\x00\x01a", "begins with 1"),
            (b"\x00\x00\x00\x00\x09a", "has no schema 9"),
            (&old[..8], "no record of the schema"),
        ] {
            let told = avro.decode(bytes).unwrap_err();
            assert!(told.contains(expect), "{told}");
        }
    }

    #[test]
    fn schemas_may_be_embedded_or_given() {
        let (schema, value) = first(7);
        let mut writer = Writer::new(&schema, Vec::new()).unwrap();
        writer.append_value(value.clone()).unwrap();
        let file = writer.into_inner().unwrap();
        assert_eq!(Avro::embedded().decode(&file).unwrap().integer("id"), Ok(7));
        assert!(Avro::embedded().decode(&file[1..]).unwrap_err().contains("no file of Avro"));
        let datum = datum(&schema, value);
        let avro = Avro::of_schema(FIRST).unwrap();
        assert_eq!(avro.decode(&datum).unwrap().text("note"), Ok("x"));
        assert!(avro.decode(&[&datum[..], b"!"].concat()).unwrap_err().contains("1 bytes behind"));
        assert!(Avro::of_schema("{}").is_err());
    }

    #[test]
    fn decimal_numbers_are_exact() {
        let text = |bytes: &[u8], scale| decimal(bytes, scale).unwrap().to_string();
        assert_eq!(text(&[0x04, 0xD2], 2), "12.34");
        assert_eq!(text(&[0xFF], 0), "-1");
        assert_eq!(text(&[5], 3), "0.005");
        assert_eq!(text(&[], 1), "0.0");
        assert!(decimal(&[0; 17], 0).is_err());
    }
}
