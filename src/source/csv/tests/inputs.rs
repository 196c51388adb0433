//! Kinds of input: compressed, in UTF-16, or not text.

use super::*;

/// The result of reading input with this name.
fn read_input(name: &str, bytes: &[u8]) -> Result<Vec<String>, SourceError> {
    let input = Input::reader(name, io::Cursor::new(bytes.to_vec()));
    let mut source = CsvSource::open(input, options())?;
    let (lines, error) = read_all(&mut source, 7);
    error.map_or(Ok(lines), Err)
}

/// `t,v`, `1,a`, `2,b` by `zstd -c` and `xz -c`.
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x04\x58\x61\x00\x00\x74\x2c\x76\x0a\x31\x2c\x61\x0a\x32\x2c\x62\x0a\x8f\xbc\x72\x1e";
const XZ: &[u8] = b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x0bt,v\n1,a\n2,b\n\x00\x2d\x82\xaa\xf0\x91\x93\x65\xb3\x00\x01\x24\x0c\xa6\x18\xd8\xd8\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04YZ";

#[test]
fn the_first_bytes_say_how_input_is_compressed() {
    let rows = ["2 1000 a", "3 2000 b"];
    let packed = [(gzip(b"t,v\n1,a\n2,b\n"), 8), (ZSTD.to_vec(), 4), (XZ.to_vec(), 8)];
    for (packed, zeros) in packed {
        // The name of a file does not matter: a file that is only called compressed is read as it is.
        for name in ["x.csv", "x.csv.gz", "x"] {
            assert_eq!(read_input(name, &packed).unwrap(), rows, "{name}");
        }
        // Two padded members, one after the other: the second header is a refused row.
        let padded = [packed.clone(), vec![0; zeros]].concat();
        assert_eq!(read_input("x", &padded).unwrap(), rows);
        let twice = read_input("x", &[padded, packed.clone()].concat()).unwrap();
        assert_eq!((twice.len(), twice[4].as_str()), (5, "6 2000 b"), "{twice:?}");
        for cut in 7..packed.len() {
            let error = read_input("x", &packed[..cut]).unwrap_err();
            let SourceError::Compressed { offset, cut_off, .. } = &error else {
                panic!("cut at {cut}: {error:?}");
            };
            assert!(*cut_off && *offset == cut as u64, "cut at {cut}: {error:?}");
        }
        let error = read_input("x", &[packed.clone(), b"rubbish".to_vec()].concat()).unwrap_err();
        assert!(matches!(error, SourceError::Compressed { cut_off: false, .. }), "{error:?}");
    }
    assert_eq!(read_input("x.csv.gz", b"t,v\n1,a\n2,b\n").unwrap(), rows);
    // A skippable frame lies between two others.
    let skipped = [ZSTD, b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc", ZSTD].concat();
    assert_eq!(read_input("x", &skipped).unwrap().len(), 5);
}

#[test]
fn utf_16_is_read_and_what_is_no_text_is_named() {
    let text = "t,v\n1,a\n2,\u{1F600}é\n";
    for little in [true, false] {
        let to_bytes = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        let marked = format!("\u{FEFF}{text}");
        let bytes: Vec<u8> = marked.encode_utf16().flat_map(to_bytes).collect();
        for bytes in [bytes.clone(), gzip(&bytes)] {
            assert_eq!(read_input("x", &bytes).unwrap(), ["2 1000 a", "3 2000 \u{1F600}é"]);
        }
        let error = read_input("x", &bytes[2..]).unwrap_err().to_string();
        assert!(error.contains("looks like UTF-16 without a byte order mark"), "{error}");
    }
    for (bytes, expect) in [
        (&b"PAR1\x15\x04"[..], "a Parquet file"),
        (b"PK\x03\x04\x14\x00", "a ZIP archive or an Excel workbook"),
        (b"BZh91AY", "bzip2 data"),
    ] {
        let error = read_input("x", bytes).unwrap_err().to_string();
        assert!(error.starts_with(&format!("'x' looks like {expect}")), "{error}");
    }
}

#[test]
fn what_is_no_csv_of_this_kind_is_named() {
    for (text, expect) in [
        ("{\"t\":1,\"v\":2}\n", "; it looks like JSON"),
        ("<!DOCTYPE html>\n", "; it looks like HTML or XML"),
        ("t;v\n1;a\n", "; it looks like CSV with the delimiter ;"),
        ("t\tv\n", "; it looks like CSV with the delimiter tab"),
        ("a,b\n", "which has 'a', 'b'"),
    ] {
        let error = read_input("x", text.as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with(expect), "{error}");
    }
}
