//! A file that grows while it is read.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use super::*;

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// A file with this content, which is followed.
fn followed(content: &str) -> (tempfile::TempDir, PathBuf, CsvSource) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.csv");
    append(&path, content.as_bytes());
    let source = CsvSource::open(Input::follow(&path), options()).unwrap();
    (folder, path, source)
}

fn later(source: &mut CsvSource) {
    assert_eq!(source.read(limit(10)).unwrap(), Read::Later);
}

#[test]
fn a_row_is_read_when_its_line_has_an_end() {
    let (_folder, path, mut source) = followed("t,v\n1,a\n2,");
    let Read::Rows(block) = source.read(limit(10)).unwrap() else { panic!("a row") };
    assert_eq!(show(&block, 1), ["2 1000 a"], "at once, though the block is not full");
    later(&mut source);
    assert_eq!(source.consumed().bytes, 8);
    append(&path, b"b\r");
    later(&mut source);
    append(&path, b"\n\n\r");
    let Read::Rows(block) = source.read(limit(10)).unwrap() else { panic!("a row") };
    assert_eq!(show(&block, 1), ["3 2000 b"]);
    later(&mut source);
    append(&path, b"\n3,\"c\nd\"\n");
    let Read::Rows(block) = source.read(limit(10)).unwrap() else { panic!("a row") };
    assert_eq!(show(&block, 1), ["6 3000 c\nd"], "behind two blank lines");
    later(&mut source);
    let content = fs::read(&path).unwrap();
    assert_eq!(source.consumed().digest, xxh3_128(&content));
    assert_eq!(source.progress().bytes_total, Some(content.len() as u64));
}

#[test]
fn a_header_may_come_later() {
    let (_folder, path, mut source) = followed("");
    for piece in [&b"\xEF"[..], b"\xBB", b"\xBF", b"t", b",v"] {
        later(&mut source);
        append(&path, piece);
    }
    later(&mut source);
    append(&path, b"\n1,a\n");
    assert_eq!(read_all(&mut source, 10).0, ["2 1000 a"]);
    let (_folder, path, mut source) = followed("");
    append(&path, b"t,w\n");
    assert!(matches!(source.read(limit(1)), Err(SourceError::MissingColumn { .. })));
}

proptest! {
    #[test]
    fn it_reads_what_is_read_at_once(
        lines in prop::collection::vec("[a\"\r\n,1x]{0,6}", 0..12),
        cuts in prop::collection::vec(1_usize..9, 1..8),
    ) {
        // At most two lines to be waited for, after which each quote is known to stay open.
        let content = format!("t,v\n{}\n7,z\n7,z\n", lines.join("\n"));
        let options = CsvOptions { quoted_lines_max: 2, ..options() };
        let mut whole = CsvSource::open(input(content.as_bytes()), options.clone()).unwrap();
        let (expect, error) = read_all(&mut whole, 100);
        prop_assert!(error.is_none());
        let (_folder, path, _) = followed("");
        let mut source = CsvSource::open(Input::follow(&path), options).unwrap();
        let (mut lines, mut rest, mut cuts) = (Vec::new(), content.as_bytes(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            append(&path, piece);
            rest = more;
            let (found, error) = read_all(&mut source, 3);
            prop_assert!(error.is_none(), "{error:?}");
            lines.extend(found);
        }
        prop_assert_eq!(lines, expect);
        prop_assert_eq!(source.consumed(), whole.consumed());
    }
}

#[test]
fn an_open_quote_holds_nothing_up_for_more_lines_than_it_may_have() {
    let (_folder, path, mut source) = followed("t,v\n1,\"a\n");
    for line in 0..998 {
        append(&path, format!("{line},b\n").as_bytes());
        later(&mut source);
    }
    append(&path, b"7,c\n8");
    let (lines, error) = read_all(&mut source, 10);
    assert!(error.is_none() && lines.len() == 1_000, "{error:?}");
    assert_eq!(lines[0], "2 ! a quote stays open: none that follows closes the field");
    assert_eq!(lines[999], "1001 7000 c");
}

#[track_caller]
fn refuses(change: impl Fn(&Path), says: &str) {
    let (_folder, path, mut source) = followed("t,v\n1,a\n");
    read_all(&mut source, 10);
    change(&path);
    let error = source.read(limit(10)).unwrap_err().to_string();
    assert!(error.contains(says) && error.contains("in.csv"), "{error}");
    assert!(matches!(source.read(limit(10)), Err(SourceError::Failed { .. })));
}

#[test]
fn a_file_that_did_not_just_grow_is_an_error() {
    refuses(|path| fs::write(path, "t,v\n").unwrap(), "4 bytes, of which 8 were read");
    refuses(|path| fs::write(path, "t,v\n7,a\n8,b\n").unwrap(), "last 8 of the 8 bytes");
    refuses(|path| fs::rename(path, path.with_extension("1")).unwrap(), "removed or renamed");
    #[cfg(unix)]
    refuses(
        |path| {
            fs::rename(path, path.with_extension("1")).unwrap();
            append(path, b"t,v\n1,a\n2,b\n");
        },
        "another file has its name",
    );
}

#[test]
fn only_plain_files_can_be_followed() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| CsvSource::open(Input::follow(path), options()).unwrap_err();
    let gzip = open(&folder.path().join("in.csv.gz")).to_string();
    assert!(gzip.contains("gzip data"), "{gzip}");
    assert!(matches!(open(folder.path()), SourceError::CannotFollow { .. }));
    assert!(matches!(open(&folder.path().join("none.csv")), SourceError::Io { .. }));
}

#[test]
fn it_goes_on_behind_what_was_read_to_the_end() {
    for (before, more, expect) in [
        ("t,v\n1,a", "\n2,b\n", Some("3 2000 b")),
        ("t,v\n1,a", "\r\n2,b\n", Some("3 2000 b")),
        ("t,v\n1,a", "x\n", None),
        ("t,v\n1,a", "\rx\n", None),
        ("t,v\n1,\"a", "\"\n", None),
        ("t,v\n1,\"a\n2,b\n", "3,c\n", Some("4 3000 c")),
    ] {
        let mut whole = open(before.as_bytes());
        read_all(&mut whole, 10);
        let (_folder, path, _) = followed(before);
        let input = Input::follow(&path);
        let mut source = CsvSource::resume_after(input, options(), whole.consumed()).unwrap();
        later(&mut source);
        append(&path, &more.as_bytes()[..1]);
        let (mut lines, mut error) = read_all(&mut source, 10);
        if error.is_none() {
            append(&path, &more.as_bytes()[1..]);
            (lines, error) = read_all(&mut source, 10);
        }
        assert_eq!(lines, Vec::from_iter(expect), "{before:?}, then {more:?}");
        let changed = matches!(error, Some(SourceError::Changed { .. }));
        assert_eq!(changed, expect.is_none(), "{before:?}, then {more:?}: {error:?}");
    }
}
