//! Resuming a source: after the consumed content, and through parts that are known already.

use super::*;
use crate::source::Tail;

/// Reads all of `before`, then resumes in `after`: what follows, or the error.
fn resume(before: &[u8], after: &[u8]) -> Result<Vec<String>, SourceError> {
    let mut source = open(before);
    let (_, error) = read_all(&mut source, 2);
    assert!(error.is_none(), "{error:?}");
    let mut source = CsvSource::resume_after(input(after), options(), source.consumed())?;
    let (lines, error) = read_all(&mut source, 2);
    assert!(error.is_none(), "{error:?}");
    Ok(lines)
}

#[track_caller]
fn check_grown(before: &str, more: &str, expect: &[&str]) {
    let after = format!("{before}{more}");
    assert_eq!(resume(before.as_bytes(), after.as_bytes()).unwrap(), expect);
}

#[track_caller]
fn check_changed(before: &str, after: &str, expect: &str) {
    let error = resume(before.as_bytes(), after.as_bytes()).unwrap_err();
    assert!(matches!(error, SourceError::Changed { .. }), "{error:?}");
    assert!(error.to_string().ends_with(expect), "{error}");
}

#[test]
fn a_file_that_has_grown() {
    check_grown("t,v\n1,a\n", "", &[]);
    check_grown("t,v\n1,a\n", "2,b\n", &["3 2000 b"]);
    check_grown(
        "\u{FEFF}t,v\n1,a\n",
        "\u{FEFF},b\n2,\"\n\"\n3,c\n",
        &[
            "3 ! 't': not a time; expected RFC 3339 with an offset such as 2013-01-01T10:59:00Z or a \
         number since 1970",
            "4 2000 \n",
            "6 3000 c",
        ],
    );
    check_grown("\n\nt,v\n", "2,b\n", &["4 2000 b"]);
    check_grown("t,v\n1,a\n\n\n", "\n2,b\n", &["6 2000 b"]);
    // Without the end of the last line, which follows.
    check_grown("t,v\n1,a", "", &[]);
    check_grown("t,v\n1,a", "\n2,b", &["3 2000 b"]);
    check_grown("t,v\r\n1,a", "\r\n2,b\r\n", &["3 2000 b"]);
    check_grown("t,v", "\n2,b\n", &["2 2000 b"]);
    check_grown("t,v\n1,\"a", "", &[]);
}

#[test]
fn a_file_that_has_changed() {
    check_changed(
        "t,v\n1,a\n",
        "t,v\n1,",
        &format!(
            "read before were 8 bytes with XXH3-128 {:032x}, now there are 6 bytes with XXH3-128 {:032x}",
            xxh3_128(b"t,v\n1,a\n"),
            xxh3_128(b"t,v\n1,"),
        ),
    );
    check_changed(
        "t,v\n1,a\n",
        "t,v\n1,b\n2,b\n",
        &format!("now there are 8 bytes with XXH3-128 {:032x}", xxh3_128(b"t,v\n1,b\n"),),
    );
    check_changed("t,v\n1,a\n", "x,y\n1,a\n", &format!("{:032x}", xxh3_128(b"x,y\n1,a\n")));
    check_changed("t,v\n1,a\n", "", &format!("0 bytes with XXH3-128 {:032x}", xxh3_128(b"")));
    let line = |line: u64| format!("the same and more of line {line}");
    check_changed("t,v\n1,a", "t,v\n1,ab\n", &line(2));
    check_changed("t,v\n1,a", "t,v\n1,a\r", &line(2));
    check_changed("t,v\n1,a\r", "t,v\n1,a\r\n", &line(2));
    check_changed("t,v\n1,\"a", "t,v\n1,\"a\"\n", &line(2));
    check_changed("t,v", "t,vv\n", &line(1));
}

#[test]
fn resuming_keeps_the_clock() {
    let content = b"t,a,v\n1,5,x\n1,3,y\n1,6,z\n";
    let mut source = CsvSource::open(input(content), with_arrival()).unwrap();
    assert!(matches!(source.read(limit(1)), Ok(Read::Rows(_))));
    let consumed = source.consumed();
    let mut source = CsvSource::resume_after(input(content), with_arrival(), consumed).unwrap();
    assert_eq!(source.clock(), 5_000);
    let stop = ReadLimit { clock: 6_000, ..limit(100) };
    let Read::Rows(block) = source.read(stop).unwrap() else { panic!("a row") };
    assert_eq!(show(&block, 1), ["3 1000 y"]);
    assert!(matches!(source.read(stop), Ok(Read::AtClock { .. })));
    let bytes = bincode::serialize(&consumed).unwrap();
    assert_eq!(bincode::deserialize::<Consumed>(&bytes).unwrap(), consumed);
}

/// Reads all, in blocks of these sizes; returns the rows of each block, and the state of the source after it.
fn blocks(source: &mut CsvSource, sizes: &[usize]) -> Vec<(Vec<String>, Consumed)> {
    let width = source.options.fields.len();
    let mut blocks = Vec::new();
    for size in sizes.iter().cycle() {
        let Read::Rows(block) = source.read(limit(*size)).unwrap() else { break };
        blocks.push((show(&block, width), source.consumed()));
    }
    // Blank lines may follow, or there may be only blank lines.
    blocks.push((Vec::new(), source.consumed()));
    blocks
}

/// Reads on up to a position that was recorded.
fn read_to(source: &mut CsvSource, bytes: u64, rows: usize) -> Vec<String> {
    let width = source.options.fields.len();
    let mut lines = Vec::new();
    // If there is an error, a record that ended with the file has grown.
    while let Ok(Read::Rows(block)) = source.read(ReadLimit { bytes, ..limit(rows) }) {
        lines.extend(show(&block, width));
    }
    lines
}

#[test]
fn a_known_part_that_ended_with_the_file_ends_there_when_the_file_has_grown() {
    let cases = [
        ("t,v\n1,a", "\n2,b\n", "3 2000 b"),
        ("t,v\n1,a", "\r\n\n2,b", "4 2000 b"),
        ("t,v\n1,a\n\n", "\n\n2,b\n", "6 2000 b"),
    ];
    for (before, more, expect) in cases {
        let mut source = open(before.as_bytes());
        read_all(&mut source, 10);
        let known = source.consumed();
        let mut source = open(format!("{before}{more}").as_bytes());
        assert_eq!(read_to(&mut source, known.bytes, 10), ["2 1000 a"]);
        assert_eq!(source.consumed(), known, "{before:?}, then {more:?}");
        assert_eq!(read_all(&mut source, 10).0, [expect]);
    }
}

proptest! {
    #[test]
    fn resuming_anywhere_goes_on_there(
        body in csv_bytes(60), first in 1usize..9, size in 1usize..9, buffer in 1usize..9,
    ) {
        let content = [b"\xEF\xBB\xBFt,v\n", body.as_slice()].concat();
        let mut source = open(&content);
        let _ = source.read(limit(first)).unwrap();
        let consumed = source.consumed();
        let expect = (read_all(&mut source, 3).0, source.consumed());
        let records = chunked(&content, size, buffer);
        let mut source = CsvSource::resume_records(records, options(), consumed).unwrap();
        prop_assert_eq!((read_all(&mut source, 3).0, source.consumed()), expect);
    }

    #[test]
    fn growth_is_a_change_if_it_changes_a_row(before in csv_bytes(12), more in csv_bytes(6)) {
        let before = [b"t,v\n", before.as_slice()].concat();
        let after = [before.as_slice(), &more].concat();
        let mut source = open(&before);
        let read = raw_rows(&mut source, 10);
        // A quote that was open at the end stays open, and the rows after it stay rows.
        let was_open = read_all(&mut open(&before), 10).0.iter().any(|line| line.contains("stays open"));
        let all = raw_rows(&mut open(&after), 10);
        match CsvSource::resume_after(input(&after), options(), source.consumed()) {
            Ok(mut source) => {
                let both = [read, raw_rows(&mut source, 10)].concat();
                prop_assert!(was_open || both == all);
            }
            Err(error) => {
                prop_assert!(matches!(error, SourceError::Changed { .. }), "{:?}", error);
                // A CR at the end followed by CRLF would leave the row as it was; it is refused all the same.
                let is_same = all.starts_with(&read) && !before.ends_with(b"\r");
                prop_assert!(was_open || !is_same, "{}", error);
            }
        }
    }

    #[test]
    fn a_source_cut_at_recorded_boundaries_reads_the_same(
        before in csv_bytes(40),
        more in csv_bytes(6),
        sizes in prop::collection::vec(1usize..6, 1..4),
        rows in 1usize..6,
        (size, buffer) in (1usize..9, 1usize..9),
    ) {
        let before = [b"t,v\n", before.as_slice()].concat();
        let recorded = blocks(&mut open(&before), &sizes);
        // The file has grown, perhaps with changed content.
        let after = [before.as_slice(), &more].concat();
        let (_, last) = recorded[recorded.len() - 1];
        let resumed = CsvSource::resume_after(input(&after), options(), last);
        let is_same = resumed.is_ok();
        let records = chunked(&after, size, buffer);
        let mut source = CsvSource::from_records(records, options()).unwrap();
        let mut lines = Vec::new();
        for (expect, consumed) in &recorded {
            let part = read_to(&mut source, consumed.bytes, rows);
            if is_same {
                prop_assert_eq!(&part, expect);
                prop_assert_eq!(&source.consumed(), consumed);
            }
            lines.extend(part);
        }
        if let Ok(mut resumed) = resumed {
            // A quote that was open at the end stays open, whatever follows.
            let was_open = lines.iter().any(|line| line.contains("stays open"));
            let rest = read_all(&mut source, rows).0;
            prop_assert_eq!(&rest, &read_all(&mut resumed, rows).0);
            lines.extend(rest);
            prop_assert!(was_open || lines == read_all(&mut open(&after), rows).0);
        } else {
            prop_assert_ne!(source.consumed(), last, "a change is noticed");
        }
    }
}

#[test]
fn a_last_line_without_its_end_is_held_if_asked() {
    let mut source = open(b"t,v\n1,a\n2,b");
    source.hold_rest(true);
    assert!(
        matches!(source.read(limit(9)), Ok(Read::Rows(block)) if show(&block, 1) == ["2 1000 a"])
    );
    assert!(matches!(source.read(limit(9)), Ok(Read::Rest)));
    assert_eq!((source.consumed().bytes, source.consumed().tail), (8, Tail::Line));
    // A part that earlier runs handed out ends where the file ended then.
    assert!(matches!(source.read(ReadLimit { bytes: 11, ..limit(9) }), Ok(Read::Rows(_))));
    assert_eq!(source.consumed().tail, Tail::Open);
    assert!(matches!(source.read(limit(9)), Ok(Read::End)));
}
