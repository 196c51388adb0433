//! Compares chunks read ahead with records read one after the other: the same rows, whatever the chunks.

use super::*;
use crate::source::ahead::AheadOptions;

/// Everything handed out, up to the end.
type All = (Vec<String>, Vec<(u64, Vec<u8>)>, Consumed, EventTime, Option<String>);

/// Reads in blocks of this many rows, stopping at each second of the clock.
fn all(mut source: CsvSource, rows: usize) -> All {
    let (mut lines, mut raw, mut clock) = (Vec::new(), Vec::new(), EventTime::MIN);
    let width = source.options.fields.len();
    let error = loop {
        match source.read(ReadLimit { clock: clock.saturating_add(1_000), ..limit(rows) }) {
            Ok(Read::Rows(block)) => {
                assert!((1..=rows).contains(&(block.len() + block.refused.len())));
                lines.extend(show(&block, width));
                raw.extend(block.iter().map(|row| (row.line(), row.raw().to_vec())));
                raw.extend(block.refused.iter().map(|row| (row.line, row.row.clone())));
            }
            Ok(Read::AtClock { clock: at }) => {
                assert!(at >= clock.saturating_add(1_000));
                (clock, _) = (at, lines.push(format!("clock {at}")));
            }
            Ok(Read::End) => break None,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break Some(error.to_string()),
        }
    };
    raw.sort();
    let latest = source.latest();
    (lines, raw, source.consumed(), latest, error)
}

/// Reads one record after the other.
fn one_by_one(content: &[u8], options: CsvOptions) -> Option<All> {
    let mut source = CsvSource::open(input(content), options).ok()?;
    source.ahead = None;
    Some(all(source, 1_000))
}

fn ahead(content: &[u8], options: CsvOptions, read: usize, with: AheadOptions, rows: usize) -> All {
    let reader = Chunked { bytes: io::Cursor::new(content.to_vec()), size: read };
    let mut stream = Input::reader("test", reader).open().unwrap();
    if read.is_multiple_of(2) {
        // As a file, of which whole chunks are read at once.
        stream.set_total(content.len() as u64);
    }
    let mut source = CsvSource::from_records(Records::new(stream), options).unwrap();
    source.read_ahead_with(with);
    all(source, rows)
}

fn dialects() -> impl Strategy<Value = CsvOptions> {
    let lines = prop_oneof![Just(1), Just(2), Just(1_000)];
    (any::<bool>(), any::<bool>(), any::<bool>(), lines).prop_map(
        |(arrival, ragged, comment, quoted_lines_max)| CsvOptions {
            ragged,
            comment: comment.then_some(b'7'),
            quoted_lines_max,
            ahead_limit: 3_000,
            behind_limit: 4_000,
            ..if arrival { with_arrival() } else { options() }
        },
    )
}

/// How many threads cut chunks of how many bytes and rows.
fn chunks() -> impl Strategy<Value = AheadOptions> {
    let bytes = prop_oneof![1usize..40, Just(1 << 20)];
    (0usize..3, bytes, prop_oneof![1usize..5, Just(1_000)])
        .prop_map(|(threads, chunk, rows)| AheadOptions { threads, chunk, rows })
}

/// Rows and non-rows; most are good.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let good = prop_oneof![
        Just(&b"1,2,x\n"[..]),
        Just(&b"2,,y\r\n"[..]),
        Just(&b"3,3,\"a,b\"\n"[..]),
        Just(&b"4,4,\"a\nb\"\r\n"[..]),
        Just(&b"9,5,\"a\"\"b\"\n"[..]),
        Just(&b"5,5,a\"b\n"[..]),
        Just(&b"1,9,\n"[..]),
    ];
    let bad = prop_oneof![
        Just(&b"\n"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"7,comment\n"[..]),
        Just(&b"1,2\n"[..]),
        Just(&b"1,2,3,\n"[..]),
        Just(&b"1,2,3,\r,\n"[..]),
        Just(&b"x,2,3\n"[..]),
        Just(&b"1,x,3\n"[..]),
        Just(&b"1,2,\"a\"b\n"[..]),
        Just(&b"1,2,\"a\nb\"c\n"[..]),
        Just(&b"1,2,\""[..]),
        Just(&b"\""[..]),
        Just(&b","[..]),
        Just(&b"\r"[..]),
        Just(&b"\xFF\x00"[..]),
    ];
    let piece = prop_oneof![4 => good, 1 => bad];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn json_body() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        8 => Just(&br#"{"t":1,"a":2,"v":"x"}"#[..]),
        4 => Just(&br#" { "v" : "a\u0041\n" , "t" : 2.5e0 , "z" : [1, {"t": 2}] } "#[..]),
        4 => Just(&br#"{"t":"3","v":{"v":1},"w":"\\\"","a":null}"#[..]),
        1 => Just(&br#"{"t":-1,"v":-0.5E+3,"b":true,"c":false}"#[..]),
        1 => Just(&br#"{"t":1,"v":01}"#[..]),
        1 => Just(&br#"{"t":1,"t":2}"#[..]),
        1 => Just(&br#"{"t":1,"v":"\ud800"}"#[..]),
        1 => Just(&br#"{"t":1,"w":"\ud800"}"#[..]),
        1 => Just(&br#"{"t":1,"v":"\x"}"#[..]),
        1 => Just(&br#"{"\u0074":1,"v":2}"#[..]),
        1 => Just(&b"{\"t\":1,\"v\":\"\xFF\"}"[..]),
        1 => Just(&b"{\"t\":1,\"v\":\"\x01\"}"[..]),
        1 => Just(&br#"{"t":1,"v":nul}"#[..]),
        1 => Just(&br#"{"t":1,"v":"#[..]),
        1 => Just(&br#"{"t":1,}"#[..]),
        1 => Just(&br#"{"t":1} 2"#[..]),
        1 => Just(&br#"{}"#[..]),
        1 => Just(&br#"[1]"#[..]),
        1 => Just(&b""[..]),
        1 => Just(&b"7"[..]),
    ];
    let end = prop_oneof![4 => Just(&b"\n"[..]), 1 => Just(&b"\r\n"[..]), 1 => Just(&b"\r"[..])];
    prop::collection::vec((line, end).prop_map(|(line, end)| [line, end].concat()), 0..30)
        .prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn differential_chunks_of_csv(
        body in body(), options in dialects(), with in chunks(), (read, rows) in (1usize..40, 1usize..9),
        has_mark in any::<bool>(),
    ) {
        let mark: &[u8] = if has_mark { b"\xEF\xBB\xBF" } else { b"" };
        let content = [mark, b"t,a,v\n", body.as_slice()].concat();
        let expect = one_by_one(&content, options.clone()).unwrap();
        prop_assert_eq!(ahead(&content, options, read, with, rows), expect);
    }

    #[test]
    fn differential_chunks_of_any_bytes(
        body in csv_bytes(60), options in dialects(), with in chunks(), (read, rows) in (1usize..40, 1usize..9),
    ) {
        let content = [b"t,a,v\n", body.as_slice()].concat();
        let expect = one_by_one(&content, options.clone()).unwrap();
        prop_assert_eq!(ahead(&content, options, read, with, rows), expect);
    }

    #[test]
    fn differential_chunks_of_json_lines(
        body in json_body(), options in dialects(), with in chunks(), (read, rows) in (1usize..40, 1usize..9),
        paths in any::<bool>(),
    ) {
        let mut options = CsvOptions { format: RowFormat::JsonLines, ..options };
        if paths {
            options.fields.push("v.v".to_owned());
        }
        let expect = one_by_one(&body, options.clone()).unwrap();
        prop_assert_eq!(ahead(&body, options, read, with, rows), expect);
    }
}

#[test]
fn a_followed_file_is_read_ahead_as_far_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.csv");
    let content = b"t,v\n1,a\n2,\"b\nb\"\n3,c\n4,\"d\n";
    let mut written = Vec::new();
    let mut source = None;
    let mut lines = Vec::new();
    for &byte in content {
        written.push(byte);
        std::fs::write(&path, &written).unwrap();
        let source = source.get_or_insert_with(|| {
            let mut source = CsvSource::open(Input::follow(&path), options()).unwrap();
            source.read_ahead_with(AheadOptions { threads: 1, chunk: 5, rows: 2 });
            source
        });
        while let Read::Rows(block) = source.read(limit(9)).unwrap() {
            lines.extend(show(&block, 1));
        }
    }
    assert_eq!(lines, ["2 1000 a", "3 2000 b\nb", "5 3000 c"]);
    let position = source.unwrap().consumed();
    assert_eq!((position.bytes, position.line), (20, 6));
}
