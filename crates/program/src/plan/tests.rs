use std::path::Path;

use super::*;
use crate::config::Document;

const CSV: &str =
    "at,carrier,delay,plane\n2024-05-01T10:00:00Z,UA,5,N1\n2024-05-01T11:00:00Z,B6,-2.5,\n";

const FILE: &str = r#"
[sources.flights]
type = "file"
path = "flights.csv"
event_time = "at"

[views.by_carrier]
from = "flights"
zone = "America/New_York"
where = "delay IS NOT NULL"
key = { carrier = "lower(carrier)", hour = "extract(hour FROM at)" }
measures = { flights = "count()", late = "count_if(delay > 0)", total = "sum(delay)", worst = "max(delay)", planes = "distinct(plane)", p99 = "quantile(delay, 0.99)", first = "first(plane)" }
"#;

/// The plan of a file that has a file of rows beside it, or the error.
fn plan(file: &str) -> Result<Plan, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("flights.csv"), CSV).unwrap();
    let path = folder.path().join("f.toml");
    let config = Config::parse(Document::new(&path, file)).map_err(|error| error.to_string())?;
    let said = |error: crate::config::FileError| {
        error.to_string().replace(&format!("{}", path.display()), "f.toml")
    };
    Plan::new(config).map_err(said)
}

#[test]
fn views_are_described() {
    let described = plan(FILE).unwrap().describe();
    let words: Vec<String> = described
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(words[0], "view by_carrier: by day in America/New_York");
    let expect = [
        "day date period",
        "carrier text or null key",
        "hour integer or null key",
        "flights integer measure, adds up",
        "late integer measure, adds up",
        "total decimal or null measure, adds up",
        "worst decimal or null measure",
        "planes integer measure",
        "p99 decimal or null measure",
        "first text or null measure",
        "sealed boolean",
    ];
    assert_eq!(words[1..], expect);
}

#[test]
fn digits_of_decimals_are_followed() {
    let stated = FILE
        .replace("event_time = \"at\"", "event_time = \"at\"\ncolumns = { delay = \"decimal(2)\" }")
        .replace("carrier = \"lower(carrier)\"", "delay = \"delay\"");
    let check = |measure: &str, expect: &str| {
        let file = stated.replace("sum(delay)", measure);
        let plan = plan(&file).unwrap_or_else(|error| panic!("{measure}: {error}"));
        let total = plan.views[0].schema.measures.iter().find(|measure| measure.name == "total");
        assert_eq!(total.unwrap().column().type_text(), expect, "{measure}");
    };
    check("sum(delay)", "decimal(2)");
    check("max(-delay)", "decimal(2)");
    check("quantile(delay, 0.5)", "decimal(2)");
    check("sum(delay * 1.500)", "decimal(5)");
    check("sum(delay * delay * delay * delay)", "decimal(8)");
    check("sum(delay * delay * delay * delay * delay)", "decimal");
    check("sum(delay + 1)", "decimal(2)");
    check("sum(delay / 2)", "decimal");
    check("sum(round(delay / 3, 1))", "decimal(1)");
    check("sum(cast(delay / 3 AS DECIMAL(12, 4)))", "decimal(4)");
    check("max(CASE WHEN delay > 0 THEN delay ELSE 0.1234 END)", "decimal(4)");
    check("first(coalesce(delay, 0))", "decimal(2)");
    check("mean(delay)", "decimal");
    let plan = plan(&stated).unwrap();
    assert_eq!(plan.views[0].schema.key[0].type_text(), "decimal(2)");
    // The types are those of the rows.
    let refused = plan.sources[0].event(7, b"2024-05-01T10:00:00Z,UA,5.125,N1").unwrap_err();
    assert!(refused.to_string().contains("does not fit decimal"), "{refused}");
}

#[test]
fn records_become_events() {
    let plan = plan(FILE).unwrap();
    let source = &plan.sources[0];
    let event = source.event(7, b"2024-05-01T10:00:00Z,UA,5,N1").unwrap();
    assert_eq!(event.time(), 7);
    let values: Vec<String> = event.values().map(|value| value.to_value().to_string()).collect();
    // The layout comes first, then columns in the order in which they are first named.
    assert_eq!(values, ["0", "5", "UA", "2024-05-01T10:00:00.000Z", "N1"]);
    let refused = |record: &str| source.event(7, record.as_bytes()).unwrap_err();
    assert_eq!(
        refused("2024-05-01T10:00:00Z,UA,soon,N1"),
        "column 'delay': 'soon' is not a number such as -12.5 or 1.5e-3"
    );
    assert_eq!(refused("2024-05-01T10:00:00Z,UA"), "2 fields where there are 4 columns");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let check = |from: &str, to: &str, expect: &str| {
        assert!(FILE.contains(from), "{from}");
        let found =
            plan(&FILE.replacen(from, to, 1)).err().unwrap_or_else(|| panic!("{to} is accepted"));
        assert!(found.contains(expect), "{to}: {found}");
    };
    check(
        "delay IS NOT NULL",
        "dely IS NOT NULL",
        "f.toml:10:10: there is no column 'dely': did you mean 'delay'?",
    );
    check("delay IS NOT NULL", "delay + 1", "f.toml:10:10: expected boolean here, found decimal");
    check("sum(delay)", "sum(plane)", ":12:78: sum takes numbers, and this is text");
    check("sum(delay)", "sume(delay)", "there is no measure 'sume': did you mean 'sum'?");
    check("0.99)", "1.5)", "1.5 is no rank: expected a number from 0 to 1");
    check("max(delay)", "top(delay, 0)", "'0': expected a number of values from 1 to 1000");
    check("max(delay)", "top(delay)", "top has 1 arguments: expected a value, and how many");
    check("count_if(delay > 0)", "count_if(delay)", "expected boolean here, found decimal");
    check(
        "event_time = \"at\"",
        "event_time = \"ad\"",
        ":5:15: there is no column 'ad': did you mean 'at'?",
    );
    check("event_time = \"at\"", "event_time = \"delay + 1\"", "use timestamp_seconds(…)");
    let no_time = ":5:15: column 'carrier' has no time, but 'UA' in line 2 of ";
    check("event_time = \"at\"", "event_time = \"carrier\"", no_time);
    check(
        "event_time = \"at\"",
        "event_time = \"at\"\narrival = \"plane\"",
        "f.toml:6:12: column 'plane' has no",
    );
    check("flights.csv", "flight.csv", "there is no file");
    check("flights.csv", "*.jsonl", "no file is named like");
    check("flights = \"count()\"", "carrier = \"count()\"", "carrier");
    check(
        "event_time = \"at\"",
        "event_time = \"at\"\ncolumns = { delya = \"text\" }",
        "the source has no column 'delya': did you mean 'delay'?",
    );
    assert!(plan(Path::new("x").to_str().unwrap()).is_err());
}

#[test]
#[cfg(feature = "sinks")]
fn a_view_of_a_sink_has_no_column_of_the_name_of_one_that_the_sink_adds() {
    let engine = "[engine]\ndata = \"data\"\n";
    let sink = "[sinks.here]\nurl = \"file://answers\"\n";
    assert!(plan(&format!("{engine}{FILE}{sink}")).is_ok());
    for (from, name) in [("carrier =", "revision"), ("worst =", "as_of")] {
        let file = FILE.replace(from, &format!("{name} ="));
        assert!(plan(&format!("{engine}{file}")).is_ok(), "without a sink any name is fine");
        let said = plan(&format!("{engine}{file}{sink}")).map(|_| ()).unwrap_err();
        let expected = format!(
            "sinks.here: view 'by_carrier' has a column '{name}', and so has each row of a sink, of its own: expected another name in the view"
        );
        assert!(said.starts_with("f.toml:1") && said.ends_with(&expected), "{said}");
    }
}
