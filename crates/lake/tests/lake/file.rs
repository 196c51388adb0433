//! What readers find in the footer of a file: how it is sorted, and what lets them skip parts of it.

use dayfold_lake::{Lake, Layout};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use crate::folder::{Folder, Reading};
use crate::read::Reader;
use crate::{block_on, options};

/// More than one row group.
const MANY: usize = 70_000;

fn exported(readings: &[Reading]) -> (std::path::PathBuf, tempfile::TempDir) {
    let mut folder = Folder::new();
    folder.run(readings);
    let lake = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", lake.path().display());
    let exporting = Lake::open(&url, options(Layout::Iceberg)).expect("a lake");
    block_on(exporting.export(folder.path(), "readings")).expect("an export");
    let files = Reader::new(lake.path().join("readings"), Layout::Iceberg).files();
    assert_eq!(files.len(), 1);
    (files[0].clone(), lake)
}

fn metadata(path: &std::path::Path, index: PageIndexPolicy) -> ParquetMetaData {
    let file = std::fs::File::open(path).expect("a file");
    let options = ArrowReaderOptions::new().with_page_index_policy(index);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options);
    builder.expect("Parquet").metadata().as_ref().clone()
}

#[test]
fn large_files_have_groups_by_key_statistics_page_indexes_and_bloom_filters() {
    let names: Vec<String> = (0..MANY).map(|n| format!("site-{n:06}")).collect();
    let names: &'static [String] = names.leak();
    // Not in their order, which the file has to have.
    let readings: Vec<Reading> =
        names.iter().rev().map(|name| (0, name.as_str(), Some("2.5"))).collect();
    let (path, _lake) = exported(&readings);
    let metadata = metadata(&path, PageIndexPolicy::Required);
    let groups = metadata.row_groups();
    let rows: Vec<i64> = groups.iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows, [65_536, MANY as i64 - 65_536]);
    let columns = groups[0].schema_descr().columns();
    let at = |name: &str| columns.iter().position(|column| column.name() == name).expect(name);
    let sorted: Vec<i32> =
        groups[0].sorting_columns().expect("an order").iter().map(|by| by.column_idx).collect();
    assert_eq!(sorted, [at("day") as i32, at("site") as i32]);
    // Groups follow each other in the order of keys, and their statistics say so.
    let bounds = |group: usize| {
        let statistics = groups[group].column(at("site")).statistics().expect("statistics");
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.expect("a bound").to_vec());
        (text(statistics.min_bytes_opt()), text(statistics.max_bytes_opt()))
    };
    assert_eq!(bounds(0), (Ok(names[0].clone()), Ok(names[65_535].clone())));
    assert_eq!(bounds(1), (Ok(names[65_536].clone()), Ok(names[MANY - 1].clone())));
    for (group, of_group) in groups.iter().enumerate() {
        let column = |name: &str| of_group.column(at(name));
        assert!(column("site").bloom_filter_offset().is_some(), "keys have bloom filters");
        assert!(column("total").bloom_filter_offset().is_none(), "measures have none");
        assert!(column("total").statistics().is_some());
        assert!(column("values_sketch").statistics().is_none(), "nobody filters by sketches");
        assert!(column("site").column_index_offset().is_some(), "bounds of pages");
        assert!(column("site").offset_index_offset().is_some(), "places of pages");
        let pages = &metadata.offset_index().expect("an index")[group][at("site")];
        assert!(pages.page_locations().len() > 1 || group == 1, "a group has several pages");
    }
}

#[test]
fn small_files_have_statistics_and_nothing_that_repeats_them() {
    let (path, _lake) = exported(&[(0, "a", Some("1")), (0, "b", None)]);
    let metadata = metadata(&path, PageIndexPolicy::Optional);
    assert_eq!(metadata.num_row_groups(), 1);
    let columns = metadata.row_group(0).columns();
    for column in columns {
        assert_eq!(column.bloom_filter_offset(), None);
        assert_eq!((column.column_index_offset(), column.offset_index_offset()), (None, None));
        assert_eq!(column.dictionary_page_offset(), None);
    }
    // Null and the number: the statistics of an optional column.
    let most = columns.iter().find(|column| column.column_descr().name() == "most");
    let statistics = most.and_then(|column| column.statistics()).expect("statistics");
    assert_eq!(statistics.null_count_opt(), Some(1));
    assert_eq!(statistics.max_bytes_opt(), Some(&1_000_000_000_i128.to_be_bytes()[..]));
    // Readers find the types without Arrow's own schema.
    let keys = metadata.file_metadata().key_value_metadata().expect("what the file says of itself");
    let names: Vec<&str> = keys.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(names, ["dayfold.day", "dayfold.version"]);
}
