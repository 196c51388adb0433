use std::io::Cursor;

use proptest::prelude::*;

use crate::source::{Consumed, CsvOptions, CsvSource, Input, Read, ReadLimit, RowFormat};
use crate::time::EventTime;

/// The time in `t`; the fields `v` and `u.id`.
fn options(format: RowFormat) -> CsvOptions {
    let fields = ["v", "u.id"].map(str::to_owned).to_vec();
    CsvOptions { fields, format, ..CsvOptions::new("t") }
}

fn read_on(source: &mut CsvSource, rows: usize) -> Vec<String> {
    let now = 4_102_444_800_000;
    let limit = ReadLimit { rows, clock: EventTime::MAX, bytes: u64::MAX, now };
    let mut lines = Vec::new();
    while let Read::Rows(block) = source.read(limit).unwrap() {
        for row in block.iter() {
            let [v, id] = [0, 1].map(|i| String::from_utf8_lossy(row.field(i)).into_owned());
            lines.push((row.line(), format!("{} {} {v}|{id}", row.line(), row.time())));
        }
        let refused = block.refused.iter();
        lines.extend(refused.map(|row| (row.line, format!("{} ! {}", row.line, row.reason))));
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

fn read(format: RowFormat, content: &[u8]) -> (Vec<String>, Consumed) {
    let input = Input::reader("test", Cursor::new(content.to_vec()));
    let mut source = CsvSource::open(input, options(format)).unwrap();
    (read_on(&mut source, 3), source.consumed())
}

#[track_caller]
fn check(line: &str, expect: &str) {
    assert_eq!(read(RowFormat::JsonLines, line.as_bytes()).0, [expect], "{line}");
}

#[test]
fn values_are_their_text() {
    check(r#"{"t":1,"v":"a\"\u00e9\n"}"#, "1 1000 a\"é\n|");
    check(
        r#"{"v":1.50e+2,"t":"1","u":{"id":10000000000000000000001}}"#,
        "1 1000 1.50e+2|10000000000000000000001",
    );
    check(r#"{"t":1,"v":true,"u":{"id":null}}"#, "1 1000 true|");
    check(r#"{"t":1,"v":{"a": [1, 2]},"u.id":7,"u":{"id":8}}"#, "1 1000 {\"a\": [1, 2]}|7");
    check("\u{feff}\r\n\n  {\"t\":1,\"u\":3} \r\n", "3 1000 |");
}

/// By the parser that CSV has, too.
#[test]
fn times_as_programs_write_them() {
    check(r#"{"t":1.48e9}"#, "1 1480000000000 |");
    check(r#"{"t":1651591054.5349035}"#, "1 1651591054534 |");
    check(r#"{"t":"2022-05-03 17:17:34.5 +0200"}"#, "1 1651591054500 |");
    let refused =
        "a date alone; expected a time of day and an offset as well, or a named zone for dates";
    check(r#"{"t":"2022-05-03"}"#, &format!("1 ! 't': {refused}"));
}

#[test]
fn bad_lines_are_refused() {
    check("[1]", "1 ! column 1: invalid type: sequence, expected an object");
    check(r#"{"t":1,}"#, "1 ! column 8: trailing comma");
    check(r#"{"t":1} x"#, "1 ! column 9: trailing characters");
    check(r#"{"t":1,"v":2,"v":2}"#, "1 ! column 19: the field \"v\" twice");
    check(r#"{"v":1}"#, "1 ! 't': empty; expected a time");
    let (lines, _) = read(RowFormat::JsonLines, b"{\"t\":1}\n{\"t\":1,\"v\":\"\xFF\"}\n{\"t\":2}");
    assert_eq!(lines, ["1 1000 |", "2 ! column 13: expected UTF-8", "3 2000 |"]);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // UTF-16 is read as UTF-8, of another length.
        prop_assume!(!bytes.starts_with(b"\xFF\xFE") && !bytes.starts_with(b"\xFE\xFF"));
        let (_, consumed) = read(RowFormat::JsonLines, &bytes);
        prop_assert_eq!(consumed.bytes, bytes.len() as u64);
    }

    #[test]
    fn lines_like_json_are_read_or_refused(text in "[\\[\\]{}:,\"\\\\tuv1. e\r\n-]{0,80}") {
        let (_, consumed) = read(RowFormat::JsonLines, text.as_bytes());
        prop_assert_eq!(consumed.bytes, text.len() as u64);
    }

    #[test]
    fn csv_and_json_of_the_same_data_are_the_same_rows(
        rows in prop::collection::vec((-9_i64..9, "[a-zé\",\\\\ ]{0,5}", "[a-z]{1,3}"), 0..20),
        stop in 0_usize..20,
    ) {
        let (mut csv, mut json) = ("t,v,u.id\n".to_owned(), "\n".to_owned());
        let mut middle = 1;
        for (at, (t, v, id)) in rows.iter().enumerate() {
            csv.push_str(&format!("{t},\"{}\",{id}\n", v.replace('"', "\"\"")));
            let v = serde_json::to_string(v).unwrap();
            json.push_str(&format!("{{\"u\":{{\"id\":\"{id}\"}},\"t\":{t},\"v\":{v}}}\n"));
            middle = if at < stop { json.len() } else { middle };
        }
        let (whole, _) = read(RowFormat::JsonLines, json.as_bytes());
        prop_assert_eq!(&whole, &read(RowFormat::Csv, csv.as_bytes()).0);
        // The same in two runs.
        let (mut lines, consumed) = read(RowFormat::JsonLines, &json.as_bytes()[..middle]);
        let input = Input::reader("test", Cursor::new(json.clone().into_bytes()));
        let options = options(RowFormat::JsonLines);
        let mut source = CsvSource::resume_after(input, options, consumed).unwrap();
        lines.extend(read_on(&mut source, 2));
        prop_assert_eq!(lines, whole);
    }
}

#[test]
fn a_line_that_is_too_long_costs_itself() {
    let long = "x".repeat(2 * crate::source::RECORD_MAX);
    let content =
        format!("{{\"t\":1,\"v\":\"a\"}}\n{{\"t\":2,\"v\":\"{long}\"}}\n{{\"t\":3,\"v\":\"c\"}}\n");
    let input = Input::reader("test", std::io::Cursor::new(content.into_bytes()));
    let mut source = CsvSource::open(input, options(RowFormat::JsonLines)).unwrap();
    let limit = ReadLimit { rows: 10, clock: EventTime::MAX, bytes: u64::MAX, now: 0 };
    let (mut lines, mut refused) = (Vec::new(), Vec::new());
    while let Read::Rows(block) = source.read(limit).unwrap() {
        lines.extend(block.iter().map(|row| row.line()));
        refused.extend(block.refused);
    }
    assert_eq!(lines, [1, 3]);
    let [refused] = &refused[..] else { panic!("one refusal") };
    assert!(refused.line == 2 && refused.reason.contains("are kept"), "{}", refused.reason);
    assert!(refused.row.starts_with(b"{\"t\":2,"));
}
