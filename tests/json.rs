//! The replay example gives the same bytes for CSV and for JSON lines of the same rows.
#![cfg(feature = "json")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

#[path = "common/example.rs"]
mod example;

use std::path::Path;
use std::process::Command;

fn run(folder: &Path, file: &str, rows: &str) -> Vec<u8> {
    std::fs::write(folder.join(file), rows).unwrap();
    let args = format!("{file} --time t --key k --value v --distinct k -w 2");
    let mut command = Command::new(example::program("replay"));
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
    let expect = run(folder.path(), "in.csv", &csv);
    assert!(expect.len() > 1_000);
    assert_eq!(run(folder.path(), "in.jsonl", &json), expect);
}
