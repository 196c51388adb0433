//! Manifests and lists of manifests: Avro files with the schemas of Iceberg's table specification, version 2.

use std::sync::LazyLock;

use apache_avro::schema::UnionSchema;
use apache_avro::types::Value as Avro;
use apache_avro::{Codec, DeflateSettings, Reader, Schema, Writer};
use dayfold::schema::Kind;
use dayfold::time::Day;
use miniz_oxide::deflate::CompressionLevel;

use crate::bounds::{Bound, Bounds};
use crate::columns::TableColumn;
use crate::{LakeError, period};

/// A manifest's entry for one of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Existing,
    Added,
    Deleted,
}

/// A data file, as in a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) status: Status,
    /// The snapshot that set its status.
    pub(super) snapshot: i64,
    /// The sequence number of the snapshot that added it.
    pub(super) sequence: i64,
    pub(super) day: Day,
    pub(super) path: String,
    pub(super) rows: i64,
    pub(super) bytes: i64,
    pub(super) nulls: Vec<(i32, i64)>,
    pub(super) least: Vec<(i32, Vec<u8>)>,
    pub(super) greatest: Vec<(i32, Vec<u8>)>,
}

/// A manifest, as in a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Manifest {
    pub(super) path: String,
    pub(super) bytes: i64,
    /// The sequence number of the snapshot that wrote it, and the least one of its files.
    pub(super) sequence: i64,
    pub(super) least_sequence: i64,
    pub(super) snapshot: i64,
    /// Files and rows that are added, existing, and deleted.
    pub(super) files: [i32; 3],
    pub(super) rows: [i64; 3],
    /// The first and the last day of its files.
    pub(super) days: (Day, Day),
}

const ENTRY: &str = r#"{"type":"record","name":"manifest_entry","fields":[
{"name":"status","type":"int","field-id":0},
{"name":"snapshot_id","type":["null","long"],"default":null,"field-id":1},
{"name":"sequence_number","type":["null","long"],"default":null,"field-id":3},
{"name":"file_sequence_number","type":["null","long"],"default":null,"field-id":4},
{"name":"data_file","field-id":2,"type":{"type":"record","name":"r2","fields":[
{"name":"content","type":"int","field-id":134},
{"name":"file_path","type":"string","field-id":100},
{"name":"file_format","type":"string","field-id":101},
{"name":"partition","field-id":102,"type":{"type":"record","name":"r102","fields":[
{"name":"PERIOD","type":["null",TYPE],"default":null,"field-id":1000}]}},
{"name":"record_count","type":"long","field-id":103},
{"name":"file_size_in_bytes","type":"long","field-id":104},
{"name":"value_counts","default":null,"field-id":109,"type":["null",{"type":"array","items":
{"type":"record","name":"k119_v120","fields":[{"name":"key","type":"int","field-id":119},
{"name":"value","type":"long","field-id":120}]}}]},
{"name":"null_value_counts","default":null,"field-id":110,"type":["null",{"type":"array","items":
{"type":"record","name":"k121_v122","fields":[{"name":"key","type":"int","field-id":121},
{"name":"value","type":"long","field-id":122}]}}]},
{"name":"lower_bounds","default":null,"field-id":125,"type":["null",{"type":"array","items":
{"type":"record","name":"k126_v127","fields":[{"name":"key","type":"int","field-id":126},
{"name":"value","type":"bytes","field-id":127}]}}]},
{"name":"upper_bounds","default":null,"field-id":128,"type":["null",{"type":"array","items":
{"type":"record","name":"k129_v130","fields":[{"name":"key","type":"int","field-id":129},
{"name":"value","type":"bytes","field-id":130}]}}]}
]}}]}"#;

const LIST: &str = r#"{"type":"record","name":"manifest_file","fields":[
{"name":"manifest_path","type":"string","field-id":500},
{"name":"manifest_length","type":"long","field-id":501},
{"name":"partition_spec_id","type":"int","field-id":502},
{"name":"content","type":"int","field-id":517},
{"name":"sequence_number","type":"long","field-id":515},
{"name":"min_sequence_number","type":"long","field-id":516},
{"name":"added_snapshot_id","type":"long","field-id":503},
{"name":"added_files_count","type":"int","field-id":504},
{"name":"existing_files_count","type":"int","field-id":505},
{"name":"deleted_files_count","type":"int","field-id":506},
{"name":"added_rows_count","type":"long","field-id":512},
{"name":"existing_rows_count","type":"long","field-id":513},
{"name":"deleted_rows_count","type":"long","field-id":514},
{"name":"partitions","default":null,"field-id":507,"type":["null",{"type":"array","element-id":508,"items":
{"type":"record","name":"r508","fields":[
{"name":"contains_null","type":"boolean","field-id":509},
{"name":"contains_nan","type":["null","boolean"],"default":null,"field-id":518},
{"name":"lower_bound","type":["null","bytes"],"default":null,"field-id":510},
{"name":"upper_bound","type":["null","bytes"],"default":null,"field-id":511}]}}]}
]}"#;

/// The schema of an entry, for a table that is partitioned by this column.
fn entry_schema(period: &TableColumn) -> Result<Schema, LakeError> {
    let kind = match period.kind {
        Kind::Timestamp => r#"{"type":"long","logicalType":"timestamp-micros"}"#,
        _ => r#"{"type":"int","logicalType":"date"}"#,
    };
    let schema = ENTRY.replace("PERIOD", &period.name).replace("TYPE", kind);
    Ok(with_maps(Schema::parse_str(&schema)?))
}

/// Marks times in a file's schema as UTC. The writer's parser drops this mark, and without it readers take them for
/// times without a zone.
fn with_utc(file: Vec<u8>) -> Vec<u8> {
    const KEY: &[u8] = b"\x16avro.schema";
    const TIME: &str = r#""logicalType":"timestamp-micros""#;
    let Some(at) = file.windows(KEY.len()).position(|bytes| bytes == KEY) else { return file };
    let at = at + KEY.len();
    // The length of the schema, as Avro writes numbers: seven bits a byte, with the sign in the lowest bit.
    let digits = file[at..].iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let zigzag = (0..digits).fold(0, |sum, n| sum | usize::from(file[at + n] & 0x7F) << (7 * n));
    let (from, to) = (at + digits, at + digits + zigzag / 2);
    let schema = String::from_utf8_lossy(&file[from..to]);
    let schema = schema.replace(TIME, &format!("{TIME},\"adjust-to-utc\":true"));
    let mut marked = file[..at].to_vec();
    let mut rest = schema.len() * 2;
    while rest > 0x7F {
        marked.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    marked.push(rest as u8);
    marked.extend_from_slice(schema.as_bytes());
    marked.extend_from_slice(&file[to..]);
    marked
}

static LIST_SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| Schema::parse_str(LIST).expect("a schema that was written here"));

/// The schema with its lists of pairs marked as maps. The parser drops this mark, because Avro itself does not know it,
/// but readers of Iceberg need it.
fn with_maps(schema: Schema) -> Schema {
    match schema {
        Schema::Record(mut record) => {
            for field in &mut record.fields {
                field.schema = with_maps(std::mem::replace(&mut field.schema, Schema::Null));
            }
            Schema::Record(record)
        }
        Schema::Union(union) => {
            let variants = union.variants().iter().cloned().map(with_maps).collect();
            Schema::Union(UnionSchema::new(variants).expect("the same alternatives"))
        }
        Schema::Array(mut array) => {
            array.attributes.insert("logicalType".to_owned(), "map".into());
            Schema::Array(array)
        }
        other => other,
    }
}

/// The codec of blocks. It is always named, because some readers reject a file without a codec.
fn codec() -> Codec {
    Codec::Deflate(DeflateSettings::new(CompressionLevel::BestSpeed))
}

/// The bytes of a manifest, for a table that is partitioned by `period`. `schema` and `spec` are the JSON of the
/// table's metadata.
pub(super) fn write_manifest(
    entries: &[Entry],
    period: &TableColumn,
    (schema_id, schema, spec): (i32, &str, &str),
) -> Result<Vec<u8>, LakeError> {
    let avro = entry_schema(period)?;
    let mut writer = Writer::with_codec(&avro, Vec::new(), codec())?;
    let about = [
        ("schema", schema.to_owned()),
        ("schema-id", schema_id.to_string()),
        ("partition-spec", spec.to_owned()),
        ("partition-spec-id", "0".to_owned()),
        ("format-version", "2".to_owned()),
        ("content", "data".to_owned()),
    ];
    for (key, value) in about {
        writer.add_user_metadata(key.to_owned(), value)?;
    }
    for entry in entries {
        writer.append_value(entry.to_avro(&period.name))?;
    }
    let file = writer.into_inner()?;
    Ok(if period.kind == Kind::Timestamp { with_utc(file) } else { file })
}

/// The files of a manifest; `path` is its name in errors.
pub(super) fn read_manifest(path: &str, bytes: &[u8]) -> Result<Vec<Entry>, LakeError> {
    let wrong = || LakeError::Table {
        path: path.to_owned(),
        what: "an entry of the manifest is not as expected".to_owned(),
    };
    let entries = Reader::new(bytes)?;
    entries.map(|entry| Entry::of_avro(&entry?).ok_or_else(wrong)).collect()
}

/// The bytes of a list of manifests.
pub(super) fn write_list(
    manifests: &[Manifest],
    (snapshot, parent, sequence): (i64, Option<i64>, i64),
) -> Result<Vec<u8>, LakeError> {
    let mut writer = Writer::with_codec(&LIST_SCHEMA, Vec::new(), codec())?;
    let parent = parent.map_or_else(|| "null".to_owned(), |parent| parent.to_string());
    let about = [
        ("snapshot-id", snapshot.to_string()),
        ("parent-snapshot-id", parent),
        ("sequence-number", sequence.to_string()),
        ("format-version", "2".to_owned()),
    ];
    for (key, value) in about {
        writer.add_user_metadata(key.to_owned(), value)?;
    }
    for manifest in manifests {
        writer.append_value(manifest.to_avro())?;
    }
    Ok(writer.into_inner()?)
}

/// The manifests of a list; `path` is its name in errors.
pub(super) fn read_list(path: &str, bytes: &[u8]) -> Result<Vec<Manifest>, LakeError> {
    let wrong = || LakeError::Table {
        path: path.to_owned(),
        what: "an entry of the list of manifests is not as expected".to_owned(),
    };
    Reader::new(bytes)?.map(|entry| Manifest::of_avro(&entry?).ok_or_else(wrong)).collect()
}

impl Entry {
    fn to_avro(&self, period: &str) -> Avro {
        let status = match self.status {
            Status::Existing => 0,
            Status::Added => 1,
            Status::Deleted => 2,
        };
        let counts = |counts: &[(i32, i64)]| {
            some(map(counts.iter().map(|(id, count)| (*id, Avro::Long(*count)))))
        };
        let bounds = |bounds: &[(i32, Vec<u8>)]| {
            some(map(bounds.iter().map(|(id, bytes)| (*id, Avro::Bytes(bytes.clone())))))
        };
        let values: Vec<(i32, i64)> = self.nulls.iter().map(|(id, _)| (*id, self.rows)).collect();
        let day = match period::micros(self.day) {
            Some(micros) => Avro::TimestampMicros(micros),
            None => Avro::Date(self.day.0),
        };
        let partition = record([(period, some(day))]);
        let file = record([
            ("content", Avro::Int(0)),
            ("file_path", Avro::String(self.path.clone())),
            ("file_format", Avro::String("PARQUET".to_owned())),
            ("partition", partition),
            ("record_count", Avro::Long(self.rows)),
            ("file_size_in_bytes", Avro::Long(self.bytes)),
            ("value_counts", counts(&values)),
            ("null_value_counts", counts(&self.nulls)),
            ("lower_bounds", bounds(&self.least)),
            ("upper_bounds", bounds(&self.greatest)),
        ]);
        record([
            ("status", Avro::Int(status)),
            ("snapshot_id", some(Avro::Long(self.snapshot))),
            ("sequence_number", some(Avro::Long(self.sequence))),
            ("file_sequence_number", some(Avro::Long(self.sequence))),
            ("data_file", file),
        ])
    }

    fn of_avro(value: &Avro) -> Option<Entry> {
        let status = match int(field(value, "status")?)? {
            0 => Status::Existing,
            1 => Status::Added,
            2 => Status::Deleted,
            _ => return None,
        };
        let file = field(value, "data_file")?;
        let Avro::Record(partition) = field(file, "partition")? else { return None };
        let day = match inner(&partition.first()?.1) {
            Avro::Date(day) => Day(*day),
            Avro::TimestampMicros(micros) => period::of_micros(*micros)?,
            _ => return None,
        };
        let longs = |name| entries_of(field(file, name)?, long);
        let texts = |name| entries_of(field(file, name)?, bytes);
        Some(Entry {
            status,
            snapshot: long(field(value, "snapshot_id")?)?,
            sequence: long(field(value, "sequence_number")?)?,
            day,
            path: text(field(file, "file_path")?)?,
            rows: long(field(file, "record_count")?)?,
            bytes: long(field(file, "file_size_in_bytes")?)?,
            nulls: longs("null_value_counts")?,
            least: texts("lower_bounds")?,
            greatest: texts("upper_bounds")?,
        })
    }
}

impl Manifest {
    /// The entry of a list for a manifest with these files.
    pub(super) fn of(
        path: String,
        bytes: usize,
        snapshot: (i64, i64),
        entries: &[Entry],
    ) -> Manifest {
        let count = |status| entries.iter().filter(move |entry| entry.status == status);
        let statuses = [Status::Added, Status::Existing, Status::Deleted];
        let days = entries.iter().map(|entry| entry.day);
        let alive = entries.iter().filter(|entry| entry.status != Status::Deleted);
        Manifest {
            path,
            bytes: bytes as i64,
            sequence: snapshot.1,
            least_sequence: alive.map(|entry| entry.sequence).min().unwrap_or(snapshot.1),
            snapshot: snapshot.0,
            files: statuses.map(|status| count(status).count() as i32),
            rows: statuses.map(|status| count(status).map(|entry| entry.rows).sum()),
            days: (days.clone().min().unwrap_or(Day::MIN), days.max().unwrap_or(Day::MIN)),
        }
    }

    fn to_avro(&self) -> Avro {
        let bound = |day: Day| {
            let bytes = match period::micros(day) {
                Some(micros) => micros.to_le_bytes().to_vec(),
                None => day.0.to_le_bytes().to_vec(),
            };
            some(Avro::Bytes(bytes))
        };
        let summary = record([
            ("contains_null", Avro::Boolean(false)),
            ("contains_nan", some(Avro::Boolean(false))),
            ("lower_bound", bound(self.days.0)),
            ("upper_bound", bound(self.days.1)),
        ]);
        record([
            ("manifest_path", Avro::String(self.path.clone())),
            ("manifest_length", Avro::Long(self.bytes)),
            ("partition_spec_id", Avro::Int(0)),
            ("content", Avro::Int(0)),
            ("sequence_number", Avro::Long(self.sequence)),
            ("min_sequence_number", Avro::Long(self.least_sequence)),
            ("added_snapshot_id", Avro::Long(self.snapshot)),
            ("added_files_count", Avro::Int(self.files[0])),
            ("existing_files_count", Avro::Int(self.files[1])),
            ("deleted_files_count", Avro::Int(self.files[2])),
            ("added_rows_count", Avro::Long(self.rows[0])),
            ("existing_rows_count", Avro::Long(self.rows[1])),
            ("deleted_rows_count", Avro::Long(self.rows[2])),
            ("partitions", some(Avro::Array(vec![summary]))),
        ])
    }

    fn of_avro(value: &Avro) -> Option<Manifest> {
        let count = |name| int(field(value, name)?);
        let rows = |name| long(field(value, name)?);
        let Avro::Array(summaries) = field(value, "partitions")? else { return None };
        let day = |name| {
            let bound = bytes(field(summaries.first()?, name)?)?;
            match bound.len() {
                8 => period::of_micros(i64::from_le_bytes(bound.try_into().ok()?)),
                _ => Some(Day(i32::from_le_bytes(bound.try_into().ok()?))),
            }
        };
        Some(Manifest {
            path: text(field(value, "manifest_path")?)?,
            bytes: rows("manifest_length")?,
            sequence: rows("sequence_number")?,
            least_sequence: rows("min_sequence_number")?,
            snapshot: rows("added_snapshot_id")?,
            files: [
                count("added_files_count")?,
                count("existing_files_count")?,
                count("deleted_files_count")?,
            ],
            rows: [
                rows("added_rows_count")?,
                rows("existing_rows_count")?,
                rows("deleted_rows_count")?,
            ],
            days: (day("lower_bound")?, day("upper_bound")?),
        })
    }
}

/// Longer texts and bytes are not used as bounds, because a cut upper bound would be wrong.
const BOUND_BYTES: usize = 128;

/// The number of nulls, and the bounds of the columns by which readers filter, in Iceberg's encoding of single values.
pub(super) fn statistics(columns: &[TableColumn], bounds: &[Bounds], entry: &mut Entry) {
    for (column, bounds) in columns.iter().zip(bounds) {
        entry.nulls.push((column.id, bounds.nulls as i64));
        let both =
            bounds.values.as_ref().map(|(least, greatest)| (least.single(), greatest.single()));
        if let Some((least, greatest)) = both
            && least.len().max(greatest.len()) <= BOUND_BYTES
        {
            entry.least.push((column.id, least));
            entry.greatest.push((column.id, greatest));
        }
    }
}

impl Bound {
    /// The value in Iceberg's encoding: integers little-endian, decimals big-endian in the least number of bytes.
    fn single(&self) -> Vec<u8> {
        match self {
            Bound::Text(text) => text.as_bytes().to_vec(),
            Bound::Long(number) => number.to_le_bytes().to_vec(),
            Bound::Decimal(number) => {
                let bytes = number.to_be_bytes();
                let sign = if *number < 0 { 0xFF } else { 0 };
                // A leading byte is redundant if the next one has the same sign.
                let needless = |pair: &[u8]| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0;
                let from = bytes.windows(2).take_while(|pair| needless(pair)).count();
                bytes[from..].to_vec()
            }
            Bound::Boolean(is_so) => vec![u8::from(*is_so)],
            Bound::Date(day) => day.to_le_bytes().to_vec(),
        }
    }
}

fn record<const N: usize>(fields: [(&str, Avro); N]) -> Avro {
    Avro::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

/// The second of two alternatives, of which the first is null.
fn some(value: Avro) -> Avro {
    Avro::Union(1, Box::new(value))
}

/// Maps with integers as keys are lists of pairs.
fn map(pairs: impl Iterator<Item = (i32, Avro)>) -> Avro {
    Avro::Array(
        pairs.map(|(key, value)| record([("key", Avro::Int(key)), ("value", value)])).collect(),
    )
}

/// A field of a record; for a union, the alternative that is present.
fn field<'a>(value: &'a Avro, name: &str) -> Option<&'a Avro> {
    let Avro::Record(fields) = value else { return None };
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| inner(value))
}

/// The present alternative of a union.
fn inner(value: &Avro) -> &Avro {
    match value {
        Avro::Union(_, value) => value,
        value => value,
    }
}

fn entries_of<T>(value: &Avro, read: impl Fn(&Avro) -> Option<T>) -> Option<Vec<(i32, T)>> {
    let Avro::Array(pairs) = value else { return None };
    pairs
        .iter()
        .map(|pair| Some((int(field(pair, "key")?)?, read(field(pair, "value")?)?)))
        .collect()
}

fn int(value: &Avro) -> Option<i32> {
    if let Avro::Int(number) = value { Some(*number) } else { None }
}

fn long(value: &Avro) -> Option<i64> {
    if let Avro::Long(number) = value { Some(*number) } else { None }
}

fn text(value: &Avro) -> Option<String> {
    if let Avro::String(text) = value { Some(text.clone()) } else { None }
}

fn bytes(value: &Avro) -> Option<Vec<u8>> {
    if let Avro::Bytes(bytes) = value { Some(bytes.clone()) } else { None }
}

#[cfg(test)]
mod tests {
    use dayfold::schema::Column;

    use super::*;

    #[test]
    fn manifests_of_hours_are_in_utc_and_come_back() {
        let period = |name: &str, kind| TableColumn::numbered(&[Column::new(name, kind)]).remove(0);
        let entry = |day| Entry {
            status: Status::Added,
            snapshot: 1,
            sequence: 1,
            day,
            path: "file:///x".to_owned(),
            rows: 2,
            bytes: 3,
            nulls: vec![(1, 0)],
            least: Vec::new(),
            greatest: Vec::new(),
        };
        let hour = Day::parse_period("2024-05-01T13:30:00Z").expect("an hour");
        for (column, day, is_utc) in [
            (period("hour", Kind::Timestamp), hour, true),
            (period("month", Kind::Date), Day(19_844), false),
        ] {
            let entries = [entry(day)];
            let about = (0, "{}", "[]");
            let file = write_manifest(&entries, &column, about).expect("a manifest");
            let mark = b"\"adjust-to-utc\":true";
            assert_eq!(file.windows(mark.len()).any(|bytes| bytes == mark), is_utc);
            assert_eq!(read_manifest("x", &file).expect("a manifest"), entries);
            let manifest = Manifest::of("x".to_owned(), 1, (1, 1), &entries);
            let list = write_list(std::slice::from_ref(&manifest), (1, None, 1)).expect("a list");
            assert_eq!(read_list("x", &list).expect("a list"), [manifest]);
        }
    }
}
