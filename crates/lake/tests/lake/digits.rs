//! Decimals whose digits after the point are known.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_schema::DataType;
use dayfold::Cluster;
use dayfold::aggregate::Decimal;
use dayfold::dynamic::{self, Columns, Event, Reduce, ViewDef};
use dayfold::engine::LiveOptions;
use dayfold::schema::Kind;
use dayfold::view::View;
use dayfold_lake::{Lake, LakeError, Layout};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::read::Reader;
use crate::{LAYOUTS, block_on, options};

const DAY_MS: i64 = 86_400_000;

/// Seals a price of a day, in a view whose prices have so many digits after the point.
fn run(folder: &Path, digits: Option<u8>, (day, price): (i64, &str)) {
    let columns = Columns::new([("shop", Kind::Text), ("price", Kind::Decimal)]).expect("columns");
    let columns = digits.map_or(columns.clone(), |digits| columns.scaled("price", digits));
    let view = View::new("sales").expect("a name");
    let price_of = || "price".to_owned();
    let definition = ViewDef::new(view, columns)
        .key(["shop"])
        .and_then(|definition| definition.measure("total", Reduce::Sum(price_of())))
        .and_then(|definition| definition.measure("mean", Reduce::Mean(price_of())))
        .expect("a definition");
    let mut engine = dynamic::Engine::new();
    engine.dynamic_view(definition, Event::fill);
    let pusher = engine.live(LiveOptions::new(Event::time));
    let running = dynamic::start(engine.data(folder), Cluster::workers(1)).expect("an engine");
    let price: Decimal = price.parse().expect("a number");
    let sale = Event::new(day * DAY_MS, ["a".into(), price.into()]);
    assert!(pusher.push(vec![sale]).expect("a push").refused.is_empty());
    drop(pusher);
    running.finish().expect("sealed days");
}

fn export(lake: &Path, folder: &Path, layout: Layout) -> Result<u64, LakeError> {
    let url = format!("file://{}", lake.display());
    let lake = Lake::open(&url, options(layout)).expect("a lake");
    let done = block_on(lake.export(folder, "sales"))?;
    let audit = block_on(lake.audit(folder, "sales", false))?;
    assert_eq!(audit.wrong, Vec::new());
    Ok(done.written)
}

/// The type and the values of a column, in all files.
fn column(files: &[PathBuf], name: &str) -> Vec<(DataType, i128)> {
    let mut found = Vec::new();
    for path in files {
        let file = File::open(path).expect("a file");
        let batches = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
        for batch in batches.build().expect("Parquet") {
            let batch = batch.expect("rows");
            let values = batch.column_by_name(name).expect(name).as_primitive::<Decimal128Type>();
            found.extend(values.iter().flatten().map(|value| (values.data_type().clone(), value)));
        }
    }
    found
}

fn type_in_iceberg(reader: &Reader, name: &str) -> String {
    let metadata = reader.metadata().expect("metadata");
    let schemas = metadata["schemas"].as_array().expect("schemas");
    let fields = schemas[0]["fields"].as_array().expect("fields");
    let field = fields.iter().find(|field| field["name"] == name).expect(name);
    field["type"].as_str().expect("a text").to_owned()
}

#[test]
fn decimals_have_their_digits() {
    for layout in LAYOUTS {
        let (folder, lake) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("a"));
        run(folder.path(), Some(2), (0, "1.25"));
        export(lake.path(), folder.path(), layout).expect("an export");
        let reader = Reader::new(lake.path().join("sales"), layout);
        let two = DataType::Decimal128(38, 2);
        assert_eq!(column(&reader.files(), "total"), [(two.clone(), 125)]);
        // A mean has digits of its own.
        let nine = DataType::Decimal128(38, 9);
        assert_eq!(column(&reader.files(), "mean"), [(nine, 1_250_000_000)]);
        if layout == Layout::Iceberg {
            assert_eq!(type_in_iceberg(&reader, "total"), "decimal(38, 2)");
            assert_eq!(type_in_iceberg(&reader, "mean"), "decimal(38, 9)");
        }

        // Fewer digits fit the table; more do not, and another table can have them.
        run(folder.path(), Some(1), (1, "7.5"));
        assert_eq!(export(lake.path(), folder.path(), layout).expect("an export"), 1);
        assert_eq!(column(&reader.files(), "total"), [(two.clone(), 125), (two, 750)]);
        run(folder.path(), Some(3), (2, "0.125"));
        let error = export(lake.path(), folder.path(), layout).expect_err("three digits");
        assert!(matches!(&error, LakeError::Column { column, .. } if column == "total"), "{error}");
        assert!(error.to_string().contains("export the view under another URL"), "{error}");
        let other = tempfile::tempdir().expect("a folder");
        assert_eq!(export(other.path(), folder.path(), layout).expect("an export"), 3);
        let values = column(&Reader::new(other.path().join("sales"), layout).files(), "total");
        assert_eq!(values.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1250, 7500, 125]);
    }
}

#[test]
fn a_table_keeps_its_digits_when_fewer_are_known() {
    for layout in LAYOUTS {
        let (folder, lake) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("a"));
        run(folder.path(), None, (0, "1.125"));
        export(lake.path(), folder.path(), layout).expect("an export");
        if layout == Layout::Hive {
            // As earlier versions wrote it.
            let path = lake.path().join("sales/_dayfold/days.json");
            let state = std::fs::read(&path).expect("a state");
            let mut state: serde_json::Value = serde_json::from_slice(&state).expect("JSON");
            assert!(state["digits"]["total"] == 9, "{state}");
            state.as_object_mut().expect("an object").remove("digits");
            std::fs::write(&path, state.to_string()).expect("a file");
        }
        run(folder.path(), Some(2), (1, "7.25"));
        export(lake.path(), folder.path(), layout).expect("an export");
        let reader = Reader::new(lake.path().join("sales"), layout);
        let nine = DataType::Decimal128(38, 9);
        let expected = [(nine.clone(), 1_125_000_000), (nine, 7_250_000_000)];
        assert_eq!(column(&reader.files(), "total"), expected);
        if layout == Layout::Iceberg {
            assert_eq!(type_in_iceberg(&reader, "total"), "decimal(38, 9)");
        }

        // A value of three digits was sealed before: it is never rounded to the two that are stated now.
        let other = tempfile::tempdir().expect("a folder");
        let error = export(other.path(), folder.path(), layout).expect_err("three digits");
        assert!(matches!(&error, LakeError::Value { column, .. } if column == "total"), "{error}");
        assert!(
            error.to_string().contains("1.125") && error.to_string().contains("rebuild"),
            "{error}"
        );
    }
}
