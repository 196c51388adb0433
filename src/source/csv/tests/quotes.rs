//! A bad record costs one line: quotes that stay open or close too early, and records that are too long.

use super::*;

/// Bounds of a record that a test can reach.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    bytes: usize,
    quoted_lines: u64,
    comment: Option<u8>,
}

/// A record: its line, its bytes without the end of the line, and its fields if it is good.
type Record = (u64, Vec<u8>, Option<Vec<Vec<u8>>>);

/// Finds records in another way: with all of the content at hand, and each line examined by itself.
fn oracle(content: &[u8], bounds: Bounds) -> Vec<Record> {
    let (mut records, mut rest, mut line) = (Vec::new(), content, 1);
    while !rest.is_empty() {
        let first = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let is_comment = rest.first().copied() == bounds.comment;
        if is_comment || matches!(&rest[..first], b"\n" | b"\r\n") {
            (rest, line) = (&rest[first..], line + 1);
            continue;
        }
        let good = oracle_record(rest, bounds);
        let (length, fields) =
            good.map_or((first, None), |(length, fields)| (length, Some(fields)));
        let bytes = &rest[..length];
        let ending = if bytes.ends_with(b"\r\n") { 2 } else { usize::from(bytes.ends_with(b"\n")) };
        let kept = if length > bounds.bytes { bounds.bytes } else { length - ending };
        records.push((line, bytes[..kept].to_vec(), fields));
        line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        rest = &rest[length..];
    }
    records
}

/// The length and the fields of the record at the beginning of `rest`, if it is good.
fn oracle_record(rest: &[u8], bounds: Bounds) -> Option<(usize, Vec<Vec<u8>>)> {
    let (mut fields, mut at) = (Vec::new(), 0);
    let end = loop {
        let mut field = Vec::new();
        if rest.get(at) == Some(&b'"') {
            at += 1;
            while rest.get(at) != Some(&b'"') || rest.get(at + 1) == Some(&b'"') {
                field.push(*rest.get(at)?);
                at += if rest[at] == b'"' { 2 } else { 1 };
            }
            at += 1;
        } else {
            let is_end = |byte: &u8| matches!(byte, b',' | b'\n');
            let length = rest[at..].iter().position(is_end).unwrap_or(rest.len() - at);
            field.extend_from_slice(&rest[at..at + length]);
            at += length;
            if rest.get(at) == Some(&b'\n') && field.ends_with(b"\r") {
                field.pop();
                at -= 1;
            }
        }
        fields.push(field);
        match &rest[at..] {
            [] => break at,
            [b',', ..] => at += 1,
            [b'\n', ..] => break at + 1,
            [b'\r', b'\n', ..] => break at + 2,
            _ => return None,
        }
    };
    let quoted = &rest[..end - usize::from(rest[..end].ends_with(b"\n"))];
    let quoted_lines = quoted.iter().filter(|byte| **byte == b'\n').count() as u64;
    (end <= bounds.bytes && quoted_lines < bounds.quoted_lines).then_some((end, fields))
}

fn records(content: &[u8], bounds: Bounds, size: usize, buffer: usize) -> Records {
    let options = CsvOptions {
        comment: bounds.comment,
        quoted_lines_max: bounds.quoted_lines,
        ..CsvOptions::new("t")
    };
    let mut records = chunked(content, size, buffer).written_as(&options);
    records.set_bounds(bounds.bytes, usize::MAX);
    records
}

fn rest(records: &mut Records) -> Vec<Record> {
    let mut found = Vec::new();
    while records.find().unwrap() == FoundRecord::Record {
        let fields = (0..records.fields()).map(|i| records.field(i).to_vec()).collect();
        let fields = records.refusal().is_none().then_some(fields);
        found.push((records.line(), records.raw().to_vec(), fields));
        records.accept();
    }
    found
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let comment = prop::option::of(Just(b'a'));
    (1_usize..40, 1_u64..5, comment).prop_map(|(bytes, quoted_lines, comment)| Bounds {
        bytes,
        quoted_lines,
        comment,
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"\"\",\n\n\r a".to_vec()), 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn oracle_records_of_any_bytes(
        content in bytes(), bounds in bounds(), size in 1_usize..9, buffer in 1_usize..9,
    ) {
        let mut records = records(&content, bounds, size, buffer);
        prop_assert_eq!(rest(&mut records), oracle(&content, bounds));
        prop_assert_eq!(records.position(), content.len() as u64);
        prop_assert_eq!(records.digest(), xxh3_128(&content));
        let ends = content.iter().filter(|byte| **byte == b'\n').count() as u64;
        prop_assert_eq!(records.line(), ends + 1);
    }

    #[test]
    fn records_go_on_from_and_up_to_any_of_them(
        content in bytes(), bounds in bounds(), size in 1_usize..9, at in 0_usize..20,
    ) {
        let expect = oracle(&content, bounds);
        let at = at.min(expect.len());
        let mut whole = records(&content, bounds, size, 3);
        for _ in 0..at {
            prop_assert_eq!(whole.find().unwrap(), FoundRecord::Record);
            whole.accept();
        }
        let (position, digest) = (whole.position(), whole.digest());
        prop_assert_eq!(digest, xxh3_128(&content[..position as usize]));
        let mut resumed = records(&content, bounds, size, 5);
        resumed.skip_to(position, 0).unwrap();
        prop_assert_eq!(resumed.digest(), digest);
        if resumed.continue_from(whole.line(), whole.tail()).unwrap() {
            prop_assert_eq!(&rest(&mut resumed)[..], &expect[at..]);
        }
        let mut stopped = records(&content, bounds, size, 4);
        stopped.stop_at(position);
        prop_assert_eq!(&rest(&mut stopped)[..], &expect[..at]);
        prop_assert_eq!((stopped.position(), stopped.digest()), (position, digest));
        stopped.stop_at(u64::MAX);
        prop_assert_eq!(&rest(&mut stopped)[..], &expect[at..]);
    }
}

#[test]
fn one_bad_row_costs_no_other() {
    let open = "! a quote stays open: none that follows closes the field";
    let stray = "! a quoted field goes on behind its closing quote; expected a delimiter or the end of the line";
    check("t,v\n1,\"a\n2,b\n3,c\n", &[&format!("2 {open}"), "3 2000 b", "4 3000 c"]);
    check("t,v\n1,\"a\"b\n2,b\n", &[&format!("2 {stray}"), "3 2000 b"]);
    check(
        "t,v\n1,\"a\nb\"c\n2,b\n",
        &[&format!("2 {open}"), "3 ! 1 fields where the header has 2", "4 2000 b"],
    );
    check("t,v\n1,\"a\" \r\n2,\"b\"\r\n", &[&format!("2 {stray}"), "3 2000 b"]);
    check("t,v\n1,\"a\nb\n\"\n2,\"b", &["2 1000 a\nb\n", &format!("5 {open}")]);
    // The bound of lines.
    let lines = |count: usize| format!("t,v\n1,\"{}\"\n2,b\n", "\n".repeat(count));
    check(&lines(999), &[&format!("2 1000 {}", "\n".repeat(999)), "1002 2000 b"]);
    let mut source = open_with(&lines(1_000), 1_000);
    let (found, _) = read_all(&mut source, 10);
    assert_eq!(found[0], "2 ! a quote stays open: none that follows closes the field");
    assert_eq!(found[found.len() - 1], "1003 2000 b");
}

fn open_with(content: &str, quoted_lines_max: u64) -> CsvSource {
    let options = CsvOptions { quoted_lines_max, ..options() };
    CsvSource::open(input(content.as_bytes()), options).unwrap()
}

/// Lines that open a quote from outside, and leave it open from inside: if each were read on its own up to the
/// bound, these two megabytes would be read 130,000 times, and this test would take an hour.
#[test]
fn a_quote_on_each_line_is_read_in_linear_time() {
    let line = "1\",\",\"\"\n";
    let content = format!("t,v\n{}7,z\n", line.repeat(200_000));
    let mut source = open_with(&content, u64::MAX);
    let (found, error) = read_all(&mut source, 4_096);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found.len(), 200_001);
    assert!(found[0].contains("stays open"), "{}", found[0]);
    assert_eq!(found[200_000], "200002 7000 z");
}
