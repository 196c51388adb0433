//! Tests of formats, and of rows of folders that are whole, amended or damaged.

use super::*;

fn columns() -> Vec<Column> {
    vec![
        Column::new("day", Kind::Date),
        Column::new("a,b", Kind::Text),
        Column::new("n", Kind::Integer),
        Column::new("x", Kind::Decimal),
    ]
}

fn rows() -> Vec<Vec<Value>> {
    let text = |text: &str| Value::Text(text.to_owned());
    let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
    let day = Value::Date("2024-05-01".parse().unwrap());
    vec![
        vec![day.clone(), text("say \"hi\",\nthen"), Value::Integer(1 << 53), decimal("1.50")],
        vec![day.clone(), text(""), Value::Integer((1 << 53) + 1), decimal("7")],
        vec![day, Value::Null, Value::Integer(-3), Value::Null],
    ]
}

fn written(format: Format, rows: &[Vec<Value>]) -> String {
    let mut out = Vec::new();
    let mut writer = Writer::new(format, &columns(), &mut out);
    writer.begin().unwrap();
    rows.iter().for_each(|row| writer.row(row).unwrap());
    writer.end().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn csv_tells_null_from_an_empty_text() {
    let expected = "day,\"a,b\",n,x\n\
        2024-05-01,\"say \"\"hi\"\",\nthen\",9007199254740992,1.50\n\
        2024-05-01,\"\",9007199254740993,7\n\
        2024-05-01,,-3,\n";
    assert_eq!(written(Format::Csv, &rows()), expected);
    assert_eq!(written(Format::Csv, &[]), "day,\"a,b\",n,x\n");
}

#[test]
fn json_keeps_numbers_exact() {
    let expected = r#"[
{"day":"2024-05-01","a,b":"say \"hi\",\nthen","n":9007199254740992,"x":"1.50"},
{"day":"2024-05-01","a,b":"","n":"9007199254740993","x":7},
{"day":"2024-05-01","a,b":null,"n":-3,"x":null}
]
"#;
    assert_eq!(written(Format::Json, &rows()), expected);
    assert_eq!(written(Format::Json, &[]), "[]\n");
    let lines = expected.lines().filter(|line| line.starts_with('{'));
    let lines: String = lines.map(|line| format!("{}\n", line.trim_end_matches(','))).collect();
    assert_eq!(written(Format::JsonLines, &rows()), lines);
    assert_eq!(written(Format::JsonLines, &[]), "");
}

#[test]
fn a_table_is_as_wide_as_its_first_rows() {
    let expected = "day         a,b                            n     x\n\
        2024-05-01  say \"hi\",\u{FFFD}then  9007199254740992  1.50\n\
        2024-05-01                  9007199254740993     7\n\
        2024-05-01  -                             -3     -\n";
    assert_eq!(written(Format::Table, &rows()), expected);
    let many: Vec<_> = rows().into_iter().cycle().take(1_001).collect();
    assert_eq!(written(Format::Table, &many).lines().count(), 1_002);
}
