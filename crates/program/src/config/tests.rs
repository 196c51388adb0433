use super::*;
use std::time::Duration;

const GOOD: &str = r#"
[engine]
data = "d"
workers = 2
max_refused = "0.05%"

[sources.flights]
type = "file"
path = "flights.csv.gz"
format = { type = "csv", delimiter = "tab" }
event_time = "event_time"
arrival = "ingest_time"
max_ahead = "1d"
columns = { price = "decimal(2)" }

[views.by_carrier]
from = "flights"
zone = "America/New_York"
grace = "1h"
where = "arr_delay IS NOT NULL"
key = { carrier = "carrier", b = "b" }
measures = { z = "count()", a = "sum(distance)" }

[serve]
http = "127.0.0.1:8080"
"#;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Document::new(Path::new("dir/f.toml"), text)).map_err(|error| error.to_string())
}

#[test]
fn what_a_file_says() {
    let config = parse(GOOD).unwrap();
    assert_eq!((config.workers, config.max_refused), (Some(2), Some(MaxRefused::Share(500))));
    assert_eq!(config.data.as_deref(), Some(Path::new("dir/d")));
    assert_eq!(config.path("x.csv"), Path::new("dir/x.csv"));
    let source = &config.sources[0];
    assert!(matches!(source.format, FileFormat::Csv { delimiter: b'\t', header: true, .. }));
    assert_eq!(source.max_ahead, Some(Duration::from_secs(86_400)));
    assert_eq!(
        source.columns[0].1,
        ColumnType { kind: crate::expr::Type::Decimal, scale: Some(2) }
    );
    let view = &config.views[0];
    assert_eq!(
        (view.grace, view.from[0].value.as_str()),
        (Some(Duration::from_secs(3_600)), "flights")
    );
    let names: Vec<&str> =
        view.key.iter().chain(&view.measures).map(|(name, _)| name.value.as_str()).collect();
    assert_eq!(names, ["carrier", "b", "z", "a"], "in the order of the file");
    assert_eq!(config.serve.unwrap().http.unwrap().value, "127.0.0.1:8080");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let check = |from: &str, to: &str, expect: &str| {
        assert!(GOOD.contains(from), "{from}");
        let found = parse(&GOOD.replacen(from, to, 1)).expect_err(to);
        assert!(found.starts_with("dir/f.toml") && found.contains(expect), "{to}: {found}");
    };
    check(
        "workers = 2",
        "worker = 2",
        ":4:1: unknown key 'worker' in [engine]: did you mean 'workers'?",
    );
    check("workers = 2", "workers = 0", ":4:11: engine.workers: 0: expected 1 to 1024");
    check("\"0.05%\"", "\"many\"", ":5:15: engine.max_refused: 'many': expected a number of rows");
    check(
        "type = \"file\"",
        "type = \"fiel\"",
        ":8:8: sources.flights.type: 'fiel' is not known: expected one of file, kafka, http",
    );
    let of_kafka = match cfg!(feature = "kafka") {
        true => "has no 'brokers': expected brokers = [\"localhost:9092\"]",
        false => "built without the feature 'kafka'",
    };
    check("type = \"file\"", "type = \"kafka\"", of_kafka);
    check("path = \"flights.csv.gz\"", "", ":7:10: [sources.flights] has no 'path'");
    check(
        "max_ahead = \"1d\"",
        "max_ahead = 5",
        "sources.flights.max_ahead: expected a text, found integer",
    );
    check("\"1d\"", "\"1x\"", "'1x' is not a duration");
    check("decimal(2)", "decimal(12)", "is no type: expected text, integer");
    check(
        "from = \"flights\"",
        "from = \"flight\"",
        ":17:8: there is no source 'flight': did you mean 'flights'?",
    );
    check("America/New_York", "America/NewYork", "is not a time zone");
    check(
        "grace = \"1h\"",
        "grain = \"hours\"",
        "'hours' is not known: expected one of hour, day, week",
    );
    check("workers = 2", "log = \"90\"", "'90' is not a duration");
    check("workers = 2", "log = \"exporte\"", "at most 10000d, and not \"exported\" either");
    check("grace = \"1h\"", "keep = \"forever\"", "views.by_carrier.keep: leave it out");
    check("grace = \"1h\"", "keep = 400", "views.by_carrier.keep: expected a text");
    check("grace = \"1h\"", "keep = \"1y\"", "'1y' is not a duration");
    let rollup = "rollup = [\"hour\"]";
    check("grace = \"1h\"", rollup, "'hour': expected some of week, month, quarter, year");
    let kept = |rollup: &str, expect: &str| {
        check("grace = \"1h\"", &format!("keep = \"400d\"\nrollup = {rollup}"), expect);
    };
    kept("{ hour = \"1d\" }", "'hour': expected some of week, month, quarter, year");
    kept("{ month = \"1y\" }", "'1y' is not a duration");
    kept("{ month = \"400d\" }", "views.by_carrier.rollup.month: '400d' is no longer than 'keep'");
    kept("{ month = 1 }", "rollup.month: expected a text, found integer");
    kept(
        "{ week = \"forever\", month = \"forever\" }",
        "rollup: a month does not consist of whole weeks: expected only one of them",
    );
    kept(
        "{ month = \"900d\", year = \"800d\" }",
        "rollup: year is kept for a shorter time than month: expected at least as long",
    );
    let without = "rollup = { month = \"400d\" }";
    check("grace = \"1h\"", without, "the view has no 'keep': its periods are kept for ever");
    check("grace = \"1h\"", "revisions = 0", "expected a whole number from 1");
    check("grace = \"1h\"", "revisions = \"1y\"", "'1y' is not a duration");
    check("grace = \"1h\"", "revisions = true", "or a duration such as");
    let unknown = "units = { aa = \"mi\" }\nmeasures = {";
    check("measures = {", unknown, ":22:11: there is no measure 'aa': did you mean 'a'?");
    check(
        "measures = {",
        "measure = {",
        ":22:1: unknown key 'measure' in [views.by_carrier]: did you mean 'measures'?",
    );
    check(
        "[serve]",
        "[sinks.x]\n[serve]",
        if cfg!(feature = "sinks") {
            "[sinks.x] has no"
        } else {
            "this program was built without the feature 'sinks'"
        },
    );
    let postgres = |value: &str, expected: &str| {
        let expected = if cfg!(feature = "sql") { expected } else { "without the feature 'sql'" };
        check("[serve]", &format!("[serve]\npostgres = {value}"), expected);
    };
    postgres("{}", "has no 'listen': expected listen = \"127.0.0.1:5433\"");
    postgres("\"localhost\"", "'localhost': expected an address such as 127.0.0.1:5433");
    postgres(
        "{listen = \"0.0.0.0:5433\"}",
        "other machines reach this address: expected a users_file",
    );
    postgres("\"0.0.0.0:5433\"", "other machines reach this address: expected a users_file");
    postgres("{listen = \"127.0.0.1:0\", tls_key = \"k\"}", "has no 'tls_cert'");
    check("127.0.0.1:8080", "8080", "expected an address such as 127.0.0.1:8080");
    check("[views.by_carrier]", "[views.'by carrier']", "'by carrier' is not a name of a view");
    check("workers = 2", "workers = = 2", ":4:");
}

#[test]
fn how_many_rows_may_be_refused() {
    assert!(MaxRefused::Rows(2).is_exceeded(3, 10) && !MaxRefused::Rows(2).is_exceeded(2, 10));
    assert!(
        MaxRefused::Share(10_000).is_exceeded(2, 100)
            && !MaxRefused::Share(10_000).is_exceeded(1, 100)
    );
}
