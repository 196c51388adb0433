//! CSV as other programs write it: delimiters, comments, names, and rows of other lengths.

use super::*;
use crate::source::ColumnNames;

#[test]
fn delimiters() {
    for delimiter in [b';', b'\t', b'|'] {
        let content = "t;v\n1;\"a;b\"\n2;c,d\n".replace(';', &char::from(delimiter).to_string());
        let options = CsvOptions { delimiter, ..options() };
        let quoted = format!("2 1000 a{}b", char::from(delimiter));
        check_with(options, &content, &[&quoted, "3 2000 c,d"]);
    }
    for (delimiter, comment) in
        [(b'"', None), (b'\n', None), (b',', Some(b',')), (b',', Some(b'"'))]
    {
        let options = CsvOptions { delimiter, comment, ..options() };
        let error = CsvSource::open(input(b"t,v\n"), options).unwrap_err();
        assert!(matches!(error, SourceError::Options { .. }), "{error:?}");
    }
}

#[test]
fn comments() {
    let options = CsvOptions { comment: Some(b'#'), ..options() };
    let content = "# by \"a program\nt,v\n#\n1,#a\n#,\"\n\n2,\"b\n#c\"\n# end";
    check_with(options, content, &["4 1000 #a", "7 2000 b\n#c"]);
    check("t,v\n1,#\n", &["2 1000 #"]);
}

#[test]
fn names() {
    let numbers = CsvOptions {
        fields: vec!["2".to_owned()],
        names: ColumnNames::Numbers,
        ..CsvOptions::new("1")
    };
    check_with(
        numbers.clone(),
        "\u{FEFF}1,a,\n2,b\n3,c,\n",
        &["1 1000 a", "2 ! 2 fields where the first row has 3", "3 3000 c"],
    );
    let given = ["x", "t", "x", "v"].map(str::to_owned).to_vec();
    let given = CsvOptions { names: ColumnNames::Given(given), ..options() };
    check_with(
        given.clone(),
        ",1,,a\n1,a\n",
        &["1 1000 a", "2 ! 2 fields where the columns are 4"],
    );
    check_with(given.clone(), "", &[]);
    // They continue as they began.
    for (options, content) in [(numbers, "1,a\n2,b\n"), (given, ",1,,a\n,2,,b\n")] {
        let mut source = CsvSource::open(input(content.as_bytes()), options.clone()).unwrap();
        assert!(matches!(source.read(limit(1)), Ok(Read::Rows(_))));
        let consumed = source.consumed();
        let again = input(content.as_bytes());
        let mut source = CsvSource::resume_after(again, options, consumed).unwrap();
        assert_eq!(read_all(&mut source, 10).0, ["2 2000 b"]);
    }
}

#[test]
fn rows_of_other_lengths() {
    let options = CsvOptions { ragged: true, ..options() };
    check_with(
        options,
        "t,x,v\n1,x,a,,\n2,x\n3\n4,x,b,c\n5,x,d,\"\"\n6,,e\n",
        &[
            "2 1000 a",
            "3 2000 ",
            "4 3000 ",
            "5 ! 4 fields where the header has 3",
            "6 5000 d",
            "7 6000 e",
        ],
    );
}
