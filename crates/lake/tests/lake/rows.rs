//! Files of Parquet that are damaged: refused by name, wherever the damage shows.

use std::fs;
use std::path::Path;

use dayfold_lake::{ParquetRows, RowsFileError};

fn rows(path: &Path) -> Result<Vec<Vec<u8>>, RowsFileError> {
    let mut rows = ParquetRows::open(path, 0)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next_row()? {
        found.push(row.to_vec());
    }
    Ok(found)
}

#[test]
fn damage_is_found_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("of-others.parquet");
    for codec in ["zstd", "gzip", "int96"] {
        let from = format!("../program/tests/data/types.{codec}.parquet");
        let whole = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(from)).expect("a file");
        fs::write(&path, &whole).expect("a file");
        let expected = rows(&path).expect("a whole file");
        assert_eq!(expected.len(), 6);

        for length in (0..whole.len()).step_by(97) {
            fs::write(&path, &whole[..length]).expect("a file");
            let error = rows(&path).expect_err("a part of a file").to_string();
            assert!(error.contains("of-others.parquet: it cannot be read"), "{error}");
            assert!(error.contains("put a whole file in its place"), "{error}");
        }

        // Damage is an error, or other values where nothing shows it: never a panic, and never fewer rows of whole pages.
        let tail = whole.len() - 8;
        let size = whole[tail..tail + 4].try_into().map(u32::from_le_bytes).expect("four bytes");
        let pages = tail - size as usize;
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x5a;
            fs::write(&path, &damaged).expect("a file");
            match rows(&path) {
                Err(error) => {
                    assert!(error.to_string().contains("of-others.parquet: it"), "{error}")
                }
                Ok(found) if at < pages => assert_eq!(found.len(), 6, "{codec}: byte {at}"),
                Ok(_) => {}
            }
        }
    }
}
