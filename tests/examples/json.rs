//! The replay example gives the same bytes for CSV and for JSON lines of the same rows.

use std::io::Read;
use std::path::Path;
use std::process::Command;

const FLIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights-2013.csv.gz");
const NEW_YORK: &str = include_str!("../data/flights-2013.by-carrier.new-york.csv");

fn run(folder: &Path, file: &str, rows: &str, args: &str) -> Vec<u8> {
    std::fs::write(folder.join(file), rows).unwrap();
    let args = format!("{file} {args}");
    let mut command = Command::new(crate::example::program("replay"));
    let ran = command.args(args.split(' ')).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}

#[test]
fn csv_and_json_lines_give_the_same_answers() {
    let (mut csv, mut json) = ("t,k,v\n".to_owned(), String::new());
    for n in 0..500 {
        let (t, k, v) = (n * 7_200, n % 7, format!("{n}.{}0", n % 10));
        csv.push_str(&format!("{t},\"k,{k}\",{v}\n"));
        json.push_str(&format!("{{\"v\": {v}, \"k\": \"k,{k}\", \"t\": {t}}}\r\n"));
    }
    let folder = tempfile::tempdir().unwrap();
    let args = "--time t --key k --value v --distinct k -w 2";
    let expect = run(folder.path(), "in.csv", &csv, args);
    assert!(expect.len() > 1_000);
    assert_eq!(run(folder.path(), "in.jsonl", &json, args), expect);
}

/// A year of flights: cells that are numbers become numbers, empty ones are `null` or missing, and the order of fields
/// changes from line to line.
fn flights() -> (String, String) {
    let mut csv = String::new();
    let packed = std::fs::File::open(FLIGHTS).unwrap();
    flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut csv).unwrap();
    let (header, rows) = csv.split_once('\n').unwrap();
    let names: Vec<&str> = header.split(',').collect();
    let mut json = String::new();
    for (n, row) in rows.lines().enumerate() {
        let mut fields: Vec<String> = names
            .iter()
            .zip(row.split(','))
            .filter(|(_, cell)| !cell.is_empty() || n % 2 == 0)
            .map(|(name, cell)| match (cell.is_empty(), cell.parse::<i64>()) {
                (true, _) => format!("\"{name}\": null"),
                (_, Ok(number)) => format!("\"{name}\": {number}"),
                _ => format!("\"{name}\": \"{cell}\""),
            })
            .collect();
        let first = n % fields.len();
        fields.rotate_left(first);
        json += &format!("{{{}}}\n", fields.join(", "));
    }
    (csv, json)
}

/// Columns of `text`, by the names that they have there, one line a row.
fn columns(text: &str, names: &[&str]) -> Vec<String> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let places: Vec<usize> =
        names.iter().map(|name| header.iter().position(|column| column == name).unwrap()).collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        places.iter().map(|place| cells[*place]).collect::<Vec<_>>().join(",")
    };
    lines.map(row).collect()
}

#[test]
fn flights_as_json_lines_give_the_right_answers() {
    let (csv, json) = flights();
    let folder = tempfile::tempdir().unwrap();
    let args = "--time event_time --arrival ingest_time --key carrier --value arr_delay,distance \
                --distinct tailnum --zone America/New_York";
    let found = run(folder.path(), "flights.jsonl", &json, &format!("{args} -w 3"));
    let as_csv = run(folder.path(), "flights.csv", &csv, &format!("{args} -w 2"));
    assert!(found == as_csv, "JSON lines and CSV differ");
    // And these are right, according to an independent program.
    let ours = [
        "day",
        "carrier",
        "events",
        "arr_delay_count",
        "arr_delay_sum",
        "arr_delay_min",
        "arr_delay_max",
        "arr_delay_p50",
        "arr_delay_p99",
        "distance_sum",
    ];
    let theirs = [
        "day",
        "key",
        "events",
        "delay_count",
        "delay_sum",
        "delay_min",
        "delay_max",
        "delay_p50",
        "delay_p99",
        "distance_sum",
    ];
    let found = String::from_utf8(found).unwrap();
    let (found, expected) = (columns(&found, &ours), columns(NEW_YORK, &theirs));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}
