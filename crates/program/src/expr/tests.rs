use dayfold::aggregate::Decimal;
use dayfold::source::TimeParser;
use dayfold::time::Calendar;
use proptest::prelude::*;

use super::*;

/// The row of the tests: `name type text`.
const ROW: &str = "i integer 7|n integer -12|z integer 0|big integer 170141183460469231731687303715884105727|\
    d decimal 2.50|e decimal -0.125|t text Hello|u text a,b,c|url text https://Me@Example.com:8080/a/b?q=1|\
    yes boolean true|no boolean false|day date 2024-05-01|at timestamp 2024-05-01T23:30:15.250Z|x untyped 42|\
    word untyped abc|gone integer |lost text |js text {\"a\":{\"b\":[1,2]}}|arr delay integer 5|user.id integer 9|Weird integer 3";

fn scope() -> (Scope, Vec<(Column, String)>) {
    let kinds = [
        Type::Boolean,
        Type::Integer,
        Type::Decimal,
        Type::Text,
        Type::Date,
        Type::Timestamp,
        Type::Untyped,
    ];
    let column = |part: &str| {
        let kind = kinds
            .iter()
            .find_map(|kind| part.split_once(&format!(" {kind} ")).map(|found| (*kind, found)));
        let (kind, (name, text)) = kind.unwrap();
        (
            Column { name: name.trim().to_owned(), kind, digits: None, text_since: None },
            text.to_owned(),
        )
    };
    let columns: Vec<(Column, String)> = ROW.split('|').map(column).collect();
    let names = columns.iter().map(|(column, _)| column.clone()).collect();
    (Scope::new(names, Calendar::new("America/New_York").unwrap()), columns)
}

fn eval(text: &str) -> Result<String, String> {
    let (mut scope, columns) = scope();
    let expression =
        Expression::compile(text, &mut scope).map_err(|error| format!("{}: {error}", error.at))?;
    let cells: Vec<Cell<'_>> = scope
        .used()
        .map(|column| {
            let (_, value) = columns.iter().find(|(known, _)| known == column).unwrap();
            let format = Format::new(column.kind, TimeParser::new());
            if value.is_empty() {
                Cell::Null
            } else {
                read(value.as_str().into(), &format).unwrap()
            }
        })
        .collect();
    let row = Row { cells: &cells };
    let cell = expression.eval(row).map_err(|error| error.to_string())?;
    Ok(if cell.is_null() { "null".to_owned() } else { cell.to_string() })
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, expect) in cases {
        assert_eq!(eval(text).as_deref(), Ok(*expect), "{text}");
    }
}

#[track_caller]
fn check_error(cases: &[(&str, &str)]) {
    for (text, expect) in cases {
        let found = eval(text).expect_err(text);
        assert!(found.contains(expect), "{text}: {found}");
    }
}

#[test]
fn arithmetic() {
    check(&[
        ("i + 1", "8"),
        ("i * d", "17.50"),
        ("d * e", "-0.31250"),
        ("i / 2", "3.500000000"),
        ("round(i / 3, 2)", "2.33"),
        ("round(2 / 3, 0)", "1"),
        ("-i % 4", "-3"),
        ("mod(n, 5)", "-2"),
        ("-d", "-2.50"),
        ("abs(e)", "0.125"),
        ("abs(n)", "12"),
        ("round(e, 2)", "-0.13"),
        ("floor(e)", "-1"),
        ("ceil(d)", "3"),
        ("round(n)", "-12"),
        ("1.10 + 2", "3.10"),
        ("d * (1 - 0.05)", "2.3750"),
        ("x + 1", "43"),
        ("gone + 1", "null"),
        ("2 + 3 * 4", "14"),
        ("day - DATE '2024-04-01'", "30"),
        ("day + 31", "2024-06-01"),
    ]);
}

#[test]
fn rows_are_refused_for_what_has_no_value() {
    check_error(&[
        ("i / z", "division by zero"),
        ("i % z", "division by zero"),
        ("big + 1", "the result of + is too large"),
        ("big * 2.0", "integer to decimal is too large"),
        ("word + 1", "'abc' is not a number"),
        ("CAST(t AS INTEGER)", "'Hello' is not an integer"),
        ("CAST(d AS DECIMAL(2, 2))", "2.50 does not fit decimal(2, 2)"),
    ]);
    check(&[
        ("i / NULLIF(z, 0)", "null"),
        ("TRY_CAST(t AS INTEGER)", "null"),
        ("no AND i / z > 1", "false"),
    ]);
}

#[test]
fn logic_has_three_values() {
    check(&[
        ("gone > 1", "null"),
        ("gone > 1 OR yes", "true"),
        ("gone > 1 AND no", "false"),
        ("gone > 1 AND yes", "null"),
        ("NOT (gone > 1)", "null"),
        ("gone IS NULL", "true"),
        ("gone IS NOT NULL", "false"),
        ("(gone > 1) IS UNKNOWN", "true"),
        ("yes IS TRUE", "true"),
        ("gone IS DISTINCT FROM 1", "true"),
        ("gone IS NOT DISTINCT FROM NULL", "true"),
        ("1 IN (1, NULL)", "true"),
        ("2 IN (1, NULL)", "null"),
        ("i IN (1, 7)", "true"),
        ("i NOT IN (1, 7)", "false"),
        ("gone IN (1)", "null"),
        ("i BETWEEN 7 AND 8", "true"),
        ("i NOT BETWEEN 7 AND 8", "false"),
        ("CASE WHEN gone > 1 THEN 1 ELSE 2 END", "2"),
        ("CASE i WHEN 7 THEN 'seven' END", "seven"),
        ("CASE WHEN no THEN 1 WHEN yes THEN 2.5 END", "2.5"),
        ("COALESCE(gone, 1.5)", "1.5"),
        ("COALESCE(lost, 'x')", "x"),
        ("NULLIF(i, 7)", "null"),
    ]);
}

#[test]
fn comparisons_are_of_like_values() {
    check(&[
        ("d = 2.5", "true"),
        ("i < d", "false"),
        ("big > 0.5", "true"),
        ("x > 5", "true"),
        ("t = 'Hello'", "true"),
        ("t < 'a'", "true"),
        ("x = '42'", "true"),
        ("day = '2024-05-01'", "true"),
        ("at > DATE '2024-05-01'", "true"),
        ("at > '2024-05-01T23:30:15Z'", "true"),
        ("i > '3'", "true"),
    ]);
    check_error(&[
        ("t = 1", "integer and text are not alike"),
        ("x = word", "neither side has a type"),
        ("i > 'many'", "'many' is not an integer"),
        ("i AND yes", "0: expected boolean left of AND or OR, found integer"),
        ("t + 1", "expected a number in a calculation, found text"),
        ("sum(i) + 1", "'sum' is a measure"),
    ]);
}

#[test]
fn texts() {
    check(&[
        ("lower(t)", "hello"),
        ("upper(t)", "HELLO"),
        ("trim('  a ')", "a"),
        ("trim(BOTH 'x' FROM 'xax')", "a"),
        ("ltrim('  a ')", "a "),
        ("substr(t, 2, 3)", "ell"),
        ("substr(t, 2)", "ello"),
        ("substring(t FROM 2 FOR 2)", "el"),
        ("concat(t, gone, i)", "Hello7"),
        ("t || '!'", "Hello!"),
        ("t || lost", "null"),
        ("split_part(u, ',', 2)", "b"),
        ("replace(t, 'l', 'LL')", "HeLLLLo"),
        ("replace(t, '', 'x')", "Hello"),
        ("CAST(replace(replace('1.234,50', '.', ''), ',', '.') AS DECIMAL(9, 2))", "1234.50"),
        ("length(t)", "5"),
        ("t LIKE 'H%o'", "true"),
        ("t NOT LIKE 'h%'", "true"),
        ("t ILIKE 'h%'", "true"),
        ("regexp_match(t, '^H.l+o$')", "true"),
        ("url_host(url)", "example.com"),
        ("url_path(url)", "/a/b"),
        ("json_get(js, 'a.b[1]')", "2"),
        ("x || word", "42abc"),
    ]);
    check_error(&[
        ("regexp_match(t, '(')", "regex parse error"),
        ("regexp_match(t, u)", "expected a regular expression as a text in '…'"),
        ("lowr(t)", "0: there is no function 'lowr': did you mean 'lower'?"),
        ("lower(t, u)", "lower has 2 arguments: expected a text"),
    ]);
}

#[test]
fn times_are_those_of_the_zone() {
    check(&[
        ("extract(hour FROM at)", "19"),
        ("extract(day FROM at)", "1"),
        ("extract(dow FROM day)", "3"),
        ("extract(second FROM at)", "15"),
        ("extract(millisecond FROM at)", "15250"),
        ("extract(epoch FROM at)", "1714606215.250"),
        ("extract(week FROM day)", "18"),
        ("CAST(at AS DATE)", "2024-05-01"),
        ("CAST(day AS TIMESTAMP)", "2024-05-01T04:00:00.000Z"),
        ("CAST('2024-05-01 10:00:00' AS TIMESTAMP)", "2024-05-01T14:00:00.000Z"),
        ("timestamp_seconds(1.5)", "1970-01-01T00:00:01.500Z"),
        ("timestamp_millis(-1)", "1969-12-31T23:59:59.999Z"),
        ("timestamp_micros(1999)", "1970-01-01T00:00:00.001Z"),
        ("parse_timestamp('01/05/2024 10:00', '%d/%m/%Y %H:%M')", "2024-05-01T14:00:00.000Z"),
        (
            "parse_timestamp('01/05/2024 10:00', '%d/%m/%Y %H:%M', 'UTC')",
            "2024-05-01T10:00:00.000Z",
        ),
    ]);
    check_error(&[
        ("extract(hour FROM day)", "a date has no hour"),
        ("extract(century FROM at)", "there is no field 'century'"),
        ("parse_timestamp(t, '%d', 'Mars')", "'Mars' is not a time zone"),
        ("timestamp_millis(at)", "expected a number as a number, found timestamp"),
    ]);
}

#[test]
fn columns_and_places() {
    check(&[
        ("arr delay", "5"),
        ("\"arr delay\" + 1", "6"),
        ("user.id", "9"),
        ("weird", "3"),
        ("CAST(d AS INTEGER)", "3"),
    ]);
    check_error(&[
        ("i + nn", "4: there is no column 'nn': did you mean 'n'?"),
        ("\"weird\" + 1", "0: there is no column 'weird': did you mean 'Weird'?"),
        ("i +\n  speed", "6: there is no column 'speed': expected one of"),
        ("i +", "3: expected an expression, found the end"),
        ("i 7", "2: expected the end of the expression, found '7'"),
        ("(SELECT 1)", "expected an expression over columns of one row, found '(SELECT 1)'"),
        ("i # 2", "there is no operator #: expected one of + - * / %"),
        ("", "0: empty"),
        ("'open", "Unterminated string"),
    ]);
    let deep = format!("{}1{}", "(".repeat(500), ")".repeat(500));
    check_error(&[
        (&deep, "within each other"),
        (&"1+".repeat(300), ""),
        (&vec!["i"; 300].join("+"), "within each other"),
    ]);
}

#[test]
fn calls_of_measures() {
    let call = |text: &str| {
        let (mut scope, _) = scope();
        let call =
            Expression::call(text, &mut scope).map_err(|error| format!("{}: {error}", error.at))?;
        let kinds: Vec<String> = call
            .arguments
            .iter()
            .map(|argument| format!("{}@{}", argument.expression.kind(), argument.at))
            .collect();
        Ok(format!("{}({})", call.name, kinds.join(", ")))
    };
    let check = |text: &str, expect: Result<&str, &str>| {
        let expect = expect.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(call(text), expect, "{text}");
    };
    check("count()", Ok("count()"));
    check("COUNT(*)", Ok("count()"));
    check("quantile(d, 0.99)", Ok("quantile(decimal@9, decimal@12)"));
    check("sum(i * 2)", Ok("sum(integer@4)"));
    check("i + 1", Err("0: expected the call of a measure, such as count() or sum(column)"));
    check("count(DISTINCT t)", Err("0: count(DISTINCT …) is distinct(…) here"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z0-9 '\"()+*/%.,<>=|_-]{0,60}", words in proptest::collection::vec("(i|d|t|x|gone|AND|OR|NOT|IN|CASE|WHEN|THEN|END|LIKE|BETWEEN|CAST|AS|INTEGER|\\(|\\)|,|=|\\+|/|0|1.5|'a'|NULL|extract|FROM|hour)", 0..20)) {
        let _ = eval(&text);
        let _ = eval(&words.join(" "));
    }

    #[test]
    fn oracle_sums_and_products_of_small_numbers(left in -1_000_000i64..1_000_000, right in -1_000i64..1_000) {
        let text = |op: &str| eval(&format!("{left} {op} ({right})")).unwrap();
        prop_assert_eq!(text("+"), (left + right).to_string());
        prop_assert_eq!(text("*"), (left * right).to_string());
        prop_assert_eq!(text("<"), (left < right).to_string());
    }
}

#[test]
fn what_has_a_bound_has_a_value_within_it() {
    const SMALL: i128 = 1 << 31;
    let bounded = [
        "i",
        "i + n",
        "i * n - 3",
        "-i",
        "d * 1.609",
        "d * i",
        "d * 0.333333333",
        "CASE WHEN d < 0 THEN -d ELSE n * 2 END",
        "COALESCE(NULLIF(i, 7), n, 9999999999)",
        "abs(d - i)",
        "length(t) + 1",
        "i > 2 AND t LIKE 'H%' OR d IN (1, i * 2)",
        "lower(t) || u",
    ];
    let rarely = [
        "i / n",
        "i % n",
        "i * n * i",
        "CAST(t AS INTEGER)",
        "day + i",
        "x + 1",
        "replace(t, u, t)",
    ];
    for text in bounded.iter().chain(&rarely) {
        let (mut scope, columns) = scope();
        let expression = Expression::compile(text, &mut scope).unwrap();
        let bound = expression.node.bound();
        assert_eq!(bound.is_some(), bounded.contains(text), "{text}");
        let Some(bound) = bound else { continue };
        for at in 0..5_usize.pow(3) {
            let pick = |place: u32| [-SMALL, -1, 0, 1, SMALL][at / 5_usize.pow(place) % 5];
            let cell = |column: &Column| match column.name.as_str() {
                "i" => Cell::Integer(pick(0)),
                "n" => Cell::Integer(pick(1)),
                "d" => Cell::Decimal(Decimal::from_billionths(pick(2) * 1_000_000_000, 9)),
                _ => {
                    let value = &columns.iter().find(|(known, _)| known == column).unwrap().1;
                    read(value.as_str().into(), &Format::new(column.kind, TimeParser::new()))
                        .unwrap()
                }
            };
            let cells: Vec<Cell<'_>> = scope.used().map(cell).collect();
            let row = Row { cells: &cells };
            assert!(row.is_small());
            let magnitude = match expression.eval(row).unwrap() {
                Cell::Integer(number) => number.unsigned_abs(),
                Cell::Decimal(number) => number.billionths().unsigned_abs().div_ceil(1_000_000_000),
                _ => 0,
            };
            assert!(magnitude <= bound, "{text}: {cells:?}");
        }
    }
    let large = [
        Cell::Integer(SMALL + 1),
        Cell::Decimal(Decimal::from_billionths(SMALL * 1_000_000_000 + 1, 9)),
    ];
    assert!(large.iter().all(|cell| !Row { cells: std::slice::from_ref(cell) }.is_small()));
}
