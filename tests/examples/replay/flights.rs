//! Compares a year of flights with an independent program's answers, on any number of workers.

use std::collections::BTreeMap;
use std::path::Path;

use super::oracle::{UNIT, mean_text};
use super::{Place, outputs};

const FLIGHTS: &str = "--time event_time --arrival ingest_time --key carrier \
                       --value arr_delay,distance --distinct tailnum";

/// Rows of a CSV file without quotes, by the names of its columns.
fn table(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(|line| names.iter().copied().zip(line.split(',')).collect()).collect()
}

/// Every day and carrier of a year, by an independent program.
#[track_caller]
fn compare_flights(text: &str, expected: &str) {
    const SAME: [(&str, &str); 10] = [
        ("day", "day"),
        ("carrier", "key"),
        ("events", "events"),
        ("arr_delay_count", "delay_count"),
        ("arr_delay_sum", "delay_sum"),
        ("arr_delay_min", "delay_min"),
        ("arr_delay_max", "delay_max"),
        ("arr_delay_p50", "delay_p50"),
        ("arr_delay_p99", "delay_p99"),
        ("distance_sum", "distance_sum"),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(expected);
    let expected = std::fs::read_to_string(path).unwrap();
    let (found, expected) = (table(text), table(&expected));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        for (ours, theirs) in SAME {
            assert_eq!(found[ours], expected[theirs], "{ours}: {found:?}, {expected:?}");
        }
        let [ours, exact] = [found["tailnum_distinct"], expected["distinct_tailnum"]]
            .map(|count| count.parse::<f64>().unwrap());
        let allowed = if exact <= 150.0 { 0.0 } else { 0.06 * exact };
        assert!((ours - exact).abs() <= allowed, "{found:?}, {expected:?}");
        let mean = found["arr_delay_mean"];
        let [sum, count] =
            ["arr_delay_sum", "arr_delay_count"].map(|name| found[name].parse::<i128>());
        match (sum, count) {
            (Ok(sum), Ok(count @ 1..)) => assert_eq!(mean, mean_text(sum * UNIT, count, 6)),
            _ => assert_eq!(mean, ""),
        }
    }
}

#[test]
fn a_year_of_flights() {
    let flights = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/flights-2013.csv.gz");
    let place = Place::new();
    let args =
        |zone: &str, more: &str| format!("{} {FLIGHTS} --zone {zone} {more}", flights.display());

    let one = place.run(&args("America/New_York", "-w 1"));
    one.ends(0, "328521 rows accepted, 0 refused");
    compare_flights(one.text(), "flights-2013.by-carrier.new-york.csv");
    for more in ["-w 2 --grace 0s", "-w 3"] {
        assert!(place.run(&args("America/New_York", more)).out == one.out, "{more}");
    }

    // In UTC, two processes and a folder, which then answers three workers.
    let one = place.run(&args("UTC", "-w 1"));
    compare_flights(one.ends(0, "").text(), "flights-2013.by-carrier.utc.csv");
    let group = outputs(place.group(2, &args("UTC", "-w 1 --data d")));
    assert!(group.iter().all(|ran| ran.code == 0), "{:?}", group[1].err);
    assert!(group[0].out == one.out && group[1].out.is_empty());
    let again = place.run(&args("UTC", "-w 3 --data d"));
    assert!(again.ends(0, "nothing was left to read").out == one.out);
    assert!(place.run(&args("UTC", "-w 2")).out == one.out);
}
