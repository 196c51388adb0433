//! A reader that knows Parquet and the layouts, but nothing about the crate.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use apache_avro::types::Value as Avro;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use dayfold::time::Day;
use dayfold_lake::Layout;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::folder::Row;

pub(crate) struct Reader {
    table: PathBuf,
    layout: Layout,
}

impl Reader {
    pub(crate) fn new(table: PathBuf, layout: Layout) -> Reader {
        Reader { table, layout }
    }

    /// The data files that count, in order of their days.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match self.layout {
            Layout::Hive => files_below(&self.table, "parquet"),
            _ => self.metadata().map_or_else(Vec::new, |metadata| files_of(&metadata)),
        }
    }

    /// The newest metadata of an Iceberg table.
    pub(crate) fn metadata(&self) -> Option<serde_json::Value> {
        let versions = files_below(&self.table.join("metadata"), "json");
        let version = |path: &Path| -> Option<u64> {
            path.file_name()?
                .to_str()?
                .strip_prefix('v')?
                .strip_suffix(".metadata.json")?
                .parse()
                .ok()
        };
        let newest = versions.iter().max_by_key(|path| version(path))?;
        Some(serde_json::from_slice(&std::fs::read(newest).expect("metadata")).expect("JSON"))
    }

    /// All rows, by day and key.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for path in self.files() {
            let (column, day) = period_of(&path);
            let file = File::open(&path).expect("a file that counts is there");
            let batches = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
            for batch in batches.build().expect("Parquet") {
                let batch = batch.expect("rows");
                let Some(column) = column else {
                    // The table's first column is the period, whatever its grain.
                    let days = batch.column(0);
                    if let Some(time) = day.instant() {
                        let times = days.as_primitive::<TimestampMicrosecondType>();
                        assert!(times.values().iter().all(|of| *of == time * 1_000));
                    } else {
                        let days = days.as_primitive::<Date32Type>();
                        assert!(days.values().iter().all(|of| *of == day.0));
                    }
                    rows.extend(rows_of(&batch, day));
                    continue;
                };
                assert!(batch.column_by_name(column).is_none(), "Hive has it in the folder alone");
                rows.extend(rows_of(&batch, day));
            }
        }
        rows.sort();
        rows
    }
}

/// The period of a file: a date, or an hour. With Hive's layout also the column that the folder is named by, as in
/// `hour=2024-05-01 13%3A00%3A00`; in an Iceberg table files are named by it, as in `2024-05-01T130000Z_…`.
fn period_of(path: &Path) -> (Option<&str>, Day) {
    let folder = path.parent().and_then(|folder| folder.file_name()?.to_str()).expect("a folder");
    let (column, name) = match folder.split_once('=') {
        Some((column, name)) => (Some(column), name),
        None => {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            (None, name.split_once('_').expect("a period").0)
        }
    };
    let name = name.replace("%3A", "").replace(' ', "T");
    let Some((date, time)) = name.split_once('T') else {
        return (column, name.parse().expect("a date"));
    };
    let (hour, minute) = (&time[..2], &time[2..4]);
    (column, Day::parse_period(&format!("{date}T{hour}:{minute}:00Z")).expect("an hour"))
}

fn rows_of(batch: &RecordBatch, day: Day) -> Vec<Row> {
    let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("no {name}"));
    let sites = column("site").as_string::<i32>();
    let events = column("events").as_primitive::<Int64Type>();
    let totals = column("total").as_primitive::<Decimal128Type>();
    let most = column("most").as_primitive::<Decimal128Type>();
    assert_eq!((totals.precision(), totals.scale()), (38, 9));
    assert!(column("sealed").as_boolean().iter().all(|sealed| sealed == Some(true)));
    assert!(column("values_sketch").as_binary::<i32>().len() == batch.num_rows());
    let row = |at: usize| {
        let most = most.is_valid(at).then(|| most.value(at));
        (day.0, sites.value(at).to_owned(), events.value(at), totals.value(at), most)
    };
    (0..batch.num_rows()).map(row).collect()
}

/// The files that the current snapshot of a table names.
pub(crate) fn files_of(metadata: &serde_json::Value) -> Vec<PathBuf> {
    let current = &metadata["current-snapshot-id"];
    let snapshots = metadata["snapshots"].as_array().expect("a list");
    let snapshot = snapshots.iter().find(|snapshot| snapshot["snapshot-id"] == *current);
    let Some(snapshot) = snapshot else { return Vec::new() };
    let list = local(snapshot["manifest-list"].as_str().expect("a text"));
    let mut files = BTreeMap::new();
    for manifest in avro(&list) {
        for entry in avro(&local(&text(&manifest, "manifest_path"))) {
            let Avro::Int(status) = field(&entry, "status") else { panic!("a number") };
            let file = field(&entry, "data_file");
            let path = local(&text(&file, "file_path"));
            if status != 2 {
                let (_, day) = period_of(&path);
                assert_eq!(files.insert(day, path), None, "one file for a day");
            }
        }
    }
    files.into_values().collect()
}

fn avro(path: &Path) -> Vec<Avro> {
    let file = File::open(path).expect("what a snapshot names is there");
    apache_avro::Reader::new(file).expect("Avro").map(|value| value.expect("Avro")).collect()
}

fn field(value: &Avro, name: &str) -> Avro {
    let Avro::Record(fields) = value else { panic!("a record") };
    let (_, value) = fields.iter().find(|(field, _)| field == name).expect("a field");
    value.clone()
}

fn text(value: &Avro, name: &str) -> String {
    let Avro::String(text) = field(value, name) else { panic!("a text") };
    text
}

fn local(url: &str) -> PathBuf {
    PathBuf::from(url.strip_prefix("file://").expect("a file"))
}

/// All files below a folder with an extension, sorted.
fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|of| of == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}
