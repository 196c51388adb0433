use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::source::RECORD_MAX;

mod ahead;
mod follow;
mod inputs;
mod quotes;
mod resuming;
mod shapes;

/// Returns at most `size` bytes per read.
struct Chunked {
    bytes: io::Cursor<Vec<u8>>,
    size: usize,
}

impl io::Read for Chunked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let size = self.size.min(into.len());
        self.bytes.read(&mut into[..size])
    }
}

fn input(content: &[u8]) -> Input {
    Input::reader("test", io::Cursor::new(content.to_vec()))
}

/// The time in `t`, the field `v`.
fn options() -> CsvOptions {
    CsvOptions { fields: vec!["v".to_owned()], ..CsvOptions::new("t") }
}

/// The clock in `a` besides.
fn with_arrival() -> CsvOptions {
    CsvOptions { arrival: Some("a".to_owned()), ..options() }
}

fn open(content: &[u8]) -> CsvSource {
    CsvSource::open(input(content), options()).unwrap()
}

/// 2100-01-01.
const NOW: EventTime = 4_102_444_800_000;

fn limit(rows: usize) -> ReadLimit {
    ReadLimit { rows, clock: EventTime::MAX, bytes: u64::MAX, now: NOW }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Rows as `line time fields`, refusals as `line ! reason`, in the order of lines.
fn show(block: &RowBlock, width: usize) -> Vec<String> {
    let mut lines: Vec<(u64, String)> = block
        .iter()
        .map(|row| {
            let fields: Vec<String> = (0..width).map(|i| text(row.field(i))).collect();
            (row.line(), format!("{} {} {}", row.line(), row.time(), fields.join("|")))
        })
        .chain(
            block
                .refused
                .iter()
                .map(|refused| (refused.line, format!("{} ! {}", refused.line, refused.reason))),
        )
        .collect();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Reads to the end, or to an error.
fn read_all(source: &mut CsvSource, rows: usize) -> (Vec<String>, Option<SourceError>) {
    let width = source.options.fields.len();
    let mut lines = Vec::new();
    loop {
        match source.read(limit(rows)) {
            Ok(Read::Rows(block)) => {
                assert!((1..=rows).contains(&(block.len() + block.refused.len())));
                lines.extend(show(&block, width));
            }
            Ok(Read::AtClock { .. } | Read::AtBytes) => panic!("it has no such limit"),
            Ok(Read::End | Read::Rest | Read::Later) => return (lines, None),
            Err(error) => return (lines, Some(error)),
        }
    }
}

#[track_caller]
fn check_with(options: CsvOptions, content: &str, expect: &[&str]) {
    let mut source = CsvSource::open(input(content.as_bytes()), options).unwrap();
    let (lines, error) = read_all(&mut source, 1_000);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(lines, expect, "{content:?}");
    let consumed = source.consumed();
    assert_eq!(consumed.bytes, content.len() as u64);
    assert_eq!(consumed.digest, xxh3_128(content.as_bytes()));
}

#[track_caller]
fn check(content: &str, expect: &[&str]) {
    check_with(options(), content, expect);
}

#[track_caller]
fn check_open(content: &[u8], expect: &str) {
    let error = CsvSource::open(input(content), options()).unwrap_err();
    assert_eq!(error.to_string(), expect);
}

#[test]
fn rfc_4180() {
    check("t,v\n1,a\n2,b\n", &["2 1000 a", "3 2000 b"]);
    check("t,v\n1,a\n2,b", &["2 1000 a", "3 2000 b"]);
    check("t,v\r\n1,a\r\n2,b\r\n", &["2 1000 a", "3 2000 b"]);
    check("t,v\r\n1,a\n2,b\r\n", &["2 1000 a", "3 2000 b"]);
    check("\u{FEFF}t,v\n1,a\n", &["2 1000 a"]);
    check("\u{FEFF}\"t\",v\n1,a\n", &["2 1000 a"]);
    check("v,x,t\na,,1\n", &["2 1000 a"]);
    check("\"t\",\"v\"\n\"1\",\"a,\"\"b\"\"\"\n", &["2 1000 a,\"b\""]);
    check("t,v\n1,\"a\"\r\n2,\"\"\r\n", &["2 1000 a", "3 2000 "]);
    check("t,v\n1,\"a\r\nb\n\"\n2,c\n", &["2 1000 a\r\nb\n", "5 2000 c"]);
    check("\"t\",\"v\n\",v\n1,,a\n", &["3 1000 a"]);
    check("t,v\n1, a \n", &["2 1000  a "]);
}

#[test]
fn what_rfc_4180_does_not_say() {
    // Quotes in the middle of a field are data.
    check("t,v\n1,a\"b\n3,a\"\"\n", &["2 1000 a\"b", "3 3000 a\"\""]);
    // A CR that no LF follows is data.
    check("t,v\n1,a\rb\n2,b\r\r\n3,c\r", &["2 1000 a\rb", "3 2000 b\r", "4 3000 c\r"]);
    // A byte order mark is data where no file begins.
    check(
        "t,v\n\u{FEFF}1,a\n",
        &[
            "2 ! 't': not a time; expected RFC 3339 with an offset such as 2013-01-01T10:59:00Z or a \
         number since 1970",
        ],
    );
    check("\u{FEFF}\u{FEFF}x,t,v\n,1,a\n", &["2 1000 a"]);
}

#[test]
fn blank_lines() {
    check("t,v\n\n1,a\n\r\n\n2,b\n\n\r\n", &["3 1000 a", "6 2000 b"]);
    check("\n\r\nt,v\n1,a\n", &["4 1000 a"]);
    check("\u{FEFF}\nt,v\n1,a\n", &["3 1000 a"]);
    let one = CsvOptions::new("t");
    let empty = "! 't': empty; expected a time";
    check_with(one.clone(), "t\n\n\"\"\n1\n", &[&format!("3 {empty}"), "4 1000 "]);
    check_with(
        one,
        "t\n \n",
        &[
            "2 ! 't': not a time; expected RFC 3339 with an offset such as 2013-01-01T10:59:00Z or a \
         number since 1970",
        ],
    );
}

#[test]
fn rows_refused() {
    check(
        "t,v\n1\n1,a\n1,a,\n,,,\n",
        &[
            "2 ! 1 fields where the header has 2",
            "3 1000 a",
            "4 ! 3 fields where the header has 2",
            "5 ! 4 fields where the header has 2",
        ],
    );
    let many = format!("t,v\n{}\r\n1,a\n", ",".repeat(100));
    check(&many, &["2 ! 101 fields where the header has 2", "3 1000 a"]);
    check(
        "t,v\n1,a\n2,\"b\n3,c\n",
        &["2 1000 a", "3 ! a quote stays open: none that follows closes the field", "4 3000 c"],
    );
    check("t,v\n1,\"", &["2 ! a quote stays open: none that follows closes the field"]);
    check("t,v\n1,\"a\"\"", &["2 ! a quote stays open: none that follows closes the field"]);
    check("t,v\n1,\"a\"", &["2 1000 a"]);
    check(
        "t,v\n,a\n9999-12-31T00:00:00Z,b\n",
        &[
            "2 ! 't': empty; expected a time",
            "3 ! 't': out of range; expected a time in the years -9998 to 9998",
        ],
    );
}

#[test]
fn refused_rows_are_kept_as_they_stand() {
    let mut source = open(b"t,v\n\"x\",\"\xFF\"\"\r\n\"\r\n1\r\n1,\"\n");
    let mut refused = Vec::new();
    while let Read::Rows(block) = source.read(limit(10)).unwrap() {
        refused.extend(block.refused);
    }
    let rows: Vec<&[u8]> = refused.iter().map(|refused| refused.row.as_slice()).collect();
    assert_eq!(rows, [&b"\"x\",\"\xFF\"\"\r\n\""[..], b"1", b"1,\""]);
    assert_eq!(source.progress().refused, 3);
}

#[test]
fn selected_fields() {
    let names = ["v", "t", "v"].map(str::to_owned).to_vec();
    check_with(
        CsvOptions { fields: names, ..CsvOptions::new("t") },
        "t,v\n1,a\n",
        &["2 1000 a|1|a"],
    );
    check_with(CsvOptions::new("t"), "t,v\n1,a\n", &["2 1000 "]);
}

#[test]
fn headers() {
    check("t,v", &[]);
    check("t,v\n", &[]);
    check("t,v\n\r\n\n", &[]);
    check_open(b"", "no header");
    check_open(b"\n\r\n", "no header");
    check_open(b"\xEF\xBB\xBF", "no header");
    check_open(
        b"t,v,x,v\n",
        "'test': the header has the column 'v' twice, and it is asked for; rename one, or name the columns",
    );
    check_open(
        b"t,V,,\xFF\x1B\n",
        "'test': no column 'v' in the header, which has 't', 'V', '', '\\xff\\u{1b}'",
    );
    check_open(
        b"t,\"v\n",
        "'test': the first row, in line 1, names no columns: a quote stays open: none that follows closes the field",
    );
    // Columns that are not selected may have any names.
    check("t,v,,,x,x,\u{0}\n1,a,,,,,\n", &["2 1000 a"]);
    let long = ",".repeat(HEADER_MAX + 1);
    let expect = "'test': the header does not end within the first 1048576 bytes";
    check_open(long.as_bytes(), expect);
    check_open(format!("{}t,v\n", "\n".repeat(HEADER_MAX)).as_bytes(), expect);
}

#[test]
fn a_record_is_bounded() {
    let good = "x".repeat(RECORD_MAX - 10);
    let mut source = open(format!("t,v\n1,{good}\n2,b\n").as_bytes());
    let (lines, error) = read_all(&mut source, 10);
    assert!(error.is_none() && lines.len() == 2, "{error:?}");

    let long = "x".repeat(RECORD_MAX);
    let mut source = open(format!("t,v\n1,a\n2,\"{long}\n3,c\n4,{long}{long}\n5,d").as_bytes());
    let (lines, error) = read_all(&mut source, 10);
    assert!(error.is_none(), "{error:?}");
    let too_long = |line: u64, bytes: usize| {
        format!(
            "{line} ! a line of {bytes} bytes, of which 65536 are kept; at most 16777216 are read"
        )
    };
    let expect =
        ["2 1000 a", &too_long(3, RECORD_MAX + 3), "4 3000 c", &too_long(5, 2 * RECORD_MAX + 2)];
    assert_eq!(lines[..4], expect);
    assert_eq!(lines[4..], ["6 5000 d"]);
    assert!(source.records.buffer_len() <= 2 * RECORD_MAX);
}

#[test]
fn it_stops_before_the_clock() {
    let mut source = open(b"t,v\n1,a\n3,b\n2,c\nx,d\n\n4,e\n1,f\n9,g\n");
    let mut read =
        |clock: i64| match source.read(ReadLimit { clock: clock * 1_000, ..limit(100) }).unwrap() {
            Read::Rows(block) => (show(&block, 1).join(", "), source.clock()),
            Read::AtClock { clock } => (format!("AtClock {clock}"), source.clock()),
            Read::AtBytes => ("AtBytes".to_owned(), source.clock()),
            Read::End => ("End".to_owned(), source.clock()),
            Read::Rest | Read::Later => panic!("nothing is followed or held here"),
        };
    assert_eq!(read(1), ("AtClock 1000".to_owned(), EventTime::MIN));
    assert_eq!(read(2), ("2 1000 a".to_owned(), 1_000));
    assert_eq!(read(3), ("AtClock 3000".to_owned(), 1_000), "the row that would reach 3");
    let (lines, clock) = read(4);
    assert!(lines.starts_with("3 3000 b, 4 2000 c, 5 ! 't'"), "{lines}");
    assert_eq!((clock, read(4)), (3_000, ("AtClock 4000".to_owned(), 3_000)));
    assert_eq!(read(0), ("AtClock 4000".to_owned(), 3_000), "a limit behind the clock");
    assert_eq!(read(5), ("7 4000 e, 8 1000 f".to_owned(), 4_000));
    assert_eq!(read(10), ("9 9000 g".to_owned(), 9_000));
    assert_eq!(read(10), ("End".to_owned(), 9_000));
    assert_eq!(read(0), ("End".to_owned(), 9_000));
}

#[test]
fn what_is_pending_is_not_consumed() {
    let mut source = open(b"t,v\n1,a\n\n3,b\n");
    let stop = ReadLimit { clock: 2_000, ..limit(100) };
    assert!(matches!(source.read(stop), Ok(Read::Rows(_))));
    assert!(matches!(source.read(stop), Ok(Read::AtClock { .. })));
    let consumed = source.consumed();
    assert_eq!((consumed.bytes, consumed.line, consumed.clock), (9, 4, 1_000));
    assert_eq!(consumed.digest, xxh3_128(b"t,v\n1,a\n\n"));
    assert_eq!(source.progress().rows, 1);
}

#[test]
fn arrivals_are_the_clock() {
    let content = "t,a,v\n5,10,x\n7,,x\n8,9,x\n9,x,x\n,50,x\n11,11,x\n200000,12,x\n1,20,x\n1\n";
    let mut source = CsvSource::open(input(content.as_bytes()), with_arrival()).unwrap();
    let mut clocks = Vec::new();
    while let Read::Rows(block) = source.read(limit(1)).unwrap() {
        let accepted = if block.is_empty() { "refused" } else { "row" };
        clocks.push((accepted, source.clock() / 1_000, source.warned));
    }
    assert_eq!(
        clocks,
        [
            ("row", 10, false),
            ("row", 10, true),
            ("row", 10, true),
            // An unreadable arrival, no event time, two days ahead of 12, too few fields.
            ("refused", 10, true),
            ("refused", 10, true),
            ("row", 11, true),
            ("refused", 11, true),
            ("row", 20, true),
            ("refused", 20, true),
        ]
    );
}

#[test]
fn arrivals_stop_it_whatever_the_event_time() {
    let content = b"t,a,v\n50,1,x\n60,,y\n1,2,z\n";
    let mut source = CsvSource::open(input(content), with_arrival()).unwrap();
    let stop = ReadLimit { clock: 2_000, ..limit(100) };
    let Read::Rows(block) = source.read(stop).unwrap() else { panic!("two rows") };
    assert_eq!(show(&block, 1), ["2 50000 x", "3 60000 y"]);
    assert!(matches!(source.read(stop), Ok(Read::AtClock { .. })));
}

#[test]
fn events_ahead_of_the_clock() {
    let day = 86_400_000;
    let content = format!("t,v\n{},a\n{},b\n1,c\n", NOW + day, NOW + day + 1);
    let ahead =
        "3 ! the event is 86400001 ms ahead of the wall clock; at most 86400000 ms are accepted";
    check(&content, &[&format!("2 {} a", NOW + day), ahead, "4 1000 c"]);
    check_with(
        with_arrival(),
        "t,a,v\n86401,,a\n86401,1,b\n86401x,1,c\n86402,1,d\n86402,2,e\n",
        &[
            "2 86401000 a",
            "3 86401000 b",
            "4 ! 't': not a time; expected RFC 3339 with an offset such as 2013-01-01T10:59:00Z or \
             a number since 1970",
            "5 ! the event is 86401000 ms ahead of its arrival; at most 86400000 ms are accepted",
            "6 86402000 e",
        ],
    );
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A few thousand rows that do not compress to nothing.
fn rows(count: u64) -> Vec<u8> {
    let mut content = b"t,v\n".to_vec();
    for i in 0..count {
        let v = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        writeln!(content, "{i},{v}").unwrap();
    }
    content
}

#[test]
fn gzip_of_several_members() {
    let content = rows(5_000);
    let (first, second) = content.split_at(30_001);
    let packed = [gzip(first), gzip(b""), gzip(second)].concat();
    let size = packed.len() as u64;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.csv.GZ");
    std::fs::write(&path, packed).unwrap();
    let mut source = CsvSource::open(Input::file(&path), options()).unwrap();
    let (lines, error) = read_all(&mut source, 1_000);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(lines, read_all(&mut open(&content), 77).0);
    let progress = source.progress();
    let expect = Progress { rows: 5_000, refused: 0, bytes_read: size, bytes_total: Some(size) };
    assert_eq!(progress, expect);
    assert_eq!(source.consumed().digest, xxh3_128(&content));
}

/// Opens and reads; the number of rows before the error.
fn gzip_error(packed: Vec<u8>) -> (usize, SourceError) {
    match CsvSource::open(Input::reader("x.csv.gz", io::Cursor::new(packed)), options()) {
        Err(error) => (0, error),
        Ok(mut source) => {
            let (lines, error) = read_all(&mut source, 100);
            (lines.len(), error.expect("damage is not an end"))
        }
    }
}

#[test]
fn gzip_cut_off_anywhere_is_an_error() {
    let packed = gzip(&rows(60));
    assert!(matches!(gzip_error(Vec::new()), (0, SourceError::NoHeader { .. })));
    for cut in 1..packed.len() {
        let (_, error) = gzip_error(packed[..cut].to_vec());
        let SourceError::Compressed { name, offset, cut_off: true, .. } = &error else {
            panic!("cut at {cut}: {error:?}");
        };
        assert_eq!((name.as_str(), *offset), ("x.csv.gz", cut as u64));
    }
    // Also within the second member.
    let twice = [packed.clone(), gzip(b"99,x\n")].concat();
    for cut in packed.len() + 1..twice.len() {
        let (_, error) = gzip_error(twice[..cut].to_vec());
        assert!(matches!(error, SourceError::Compressed { cut_off: true, .. }), "{cut}: {error:?}");
    }
}

#[test]
fn rows_before_the_damage_are_handed_out() {
    let packed = gzip(&rows(50_000));
    let (lines, error) = gzip_error(packed[..packed.len() - 20].to_vec());
    assert!(lines > 40_000, "{lines}");
    let expect = format!("'x.csv.gz': gzip data cut off at byte {} of the", packed.len() - 20);
    assert!(error.to_string().starts_with(&expect), "{error}");
}

#[test]
fn corrupt_gzip_is_an_error() {
    let packed = gzip(&rows(100));
    for place in [0, 1, packed.len() - 8, packed.len() - 4, packed.len() - 1] {
        let mut packed = packed.clone();
        packed[place] ^= 0x10;
        let (_, error) = gzip_error(packed);
        assert!(
            matches!(error, SourceError::Compressed { cut_off: false, .. }),
            "{place}: {error:?}"
        );
    }
    let (_, error) = gzip_error([packed, b"rubbish that follows".to_vec()].concat());
    assert!(matches!(error, SourceError::Compressed { .. }), "{error:?}");
}

/// Interrupted at every other call; fails after so many bytes.
struct Failing {
    bytes: io::Cursor<Vec<u8>>,
    calls: usize,
    fails: bool,
}

impl io::Read for Failing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls % 2 == 1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = into.len().min(7);
        match self.bytes.read(&mut into[..size])? {
            0 if self.fails => Err(io::Error::other("the disk is gone")),
            read => Ok(read),
        }
    }
}

#[test]
fn errors_of_the_system() {
    for name in ["x.csv", "x.csv.gz"] {
        let content = rows(50);
        let bytes = if name == "x.csv" { content.clone() } else { gzip(&content) };
        for fails in [false, true] {
            let bytes = io::Cursor::new(bytes.clone());
            let reader = Failing { bytes, calls: 0, fails };
            let mut source = CsvSource::open(Input::reader(name, reader), options()).unwrap();
            let (lines, error) = read_all(&mut source, 7);
            assert_eq!(lines.len(), 50, "{name}");
            assert_eq!(matches!(error, Some(SourceError::Io { .. })), fails, "{name} {error:?}");
            assert_eq!(error.map(|error| error.to_string()).is_some(), fails);
        }
    }
    let error = CsvSource::open(Input::file("/nowhere/x.csv"), options()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read '/nowhere/x.csv'");
    let error = CsvSource::open(Input::file("/"), options()).unwrap_err();
    assert!(matches!(error, SourceError::Io { .. }), "a folder: {error:?}");
}

#[test]
fn inputs_have_names() {
    assert_eq!(Input::argument("-").name(), "standard input");
    assert_eq!(Input::argument("a.csv").name(), "a.csv");
}

/// Bytes that matter to a CSV reader, and a few others.
fn csv_bytes(length: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b","[..]),
        Just(&b"\n"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"\r"[..]),
        Just(&b"\""[..]),
        Just(&b"\"\""[..]),
        Just(&b"1,"[..]),
        Just(&b"7,x\n"[..]),
        Just(&b"\xEF\xBB\xBF"[..]),
        Just(&b"\xFF"[..]),
    ];
    prop::collection::vec(piece, 0..length).prop_map(|pieces| pieces.concat())
}

fn chunked(content: &[u8], size: usize, buffer: usize) -> Records {
    let reader = Chunked { bytes: io::Cursor::new(content.to_vec()), size };
    Records::with_buffer(Input::reader("test", reader).open().unwrap(), buffer)
}

/// Rows and refusals with their raw bytes.
fn raw_rows(source: &mut CsvSource, rows: usize) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while let Read::Rows(block) = source.read(limit(rows)).unwrap() {
        let accepted = block.iter().map(|row| (row.line(), row.raw().to_vec()));
        let refused = block.refused.iter().map(|refused| (refused.line, refused.row.clone()));
        found.extend(accepted.chain(refused));
    }
    found.sort();
    found
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(content in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(mut source) = CsvSource::open(input(&content), CsvOptions::new("t")) {
            raw_rows(&mut source, 3);
        }
        let mut source = open(&[b"t,v\n", content.as_slice()].concat());
        raw_rows(&mut source, 3);
        prop_assert_eq!(source.consumed().bytes, content.len() as u64 + 4);
    }

    #[test]
    fn sizes_of_blocks_and_reads_change_nothing(
        body in csv_bytes(60), size in 1usize..9, buffer in 1usize..9,
    ) {
        let content = [b"t,v\n", body.as_slice()].concat();
        let mut source = open(&content);
        let expect = (read_all(&mut source, 1_000).0, source.consumed());
        for rows in [1, 7, 1_000] {
            let mut source =
                CsvSource::from_records(chunked(&content, size, buffer), options()).unwrap();
            prop_assert_eq!(&(read_all(&mut source, rows).0, source.consumed()), &expect);
        }
    }
}
