//! Limits on refused rows, and their file.

use super::{Place, outputs};

const ARGS: &str = "in.csv --time t --key k";
/// Two good rows, and three that are refused for two reasons.
const ROWS: &str = "t,k\n0,a\nx,b\n1,a\ny,b\n2\n";

#[test]
fn more_refused_rows_than_allowed_are_exit_3() {
    let place = Place::new();
    place.write("in.csv", ROWS);
    for allowed in ["3", "60%", "60.0%", "100%"] {
        place.run(&format!("{ARGS} --max-refused {allowed}")).ends(0, "2 rows accepted, 3 refused");
    }
    for more in ["2", "0", "59.9%", "0%"] {
        let ran = place.run(&format!("{ARGS} --max-refused {more} --data d-{}", more.len()));
        ran.ends(3, "too many rows refused: 3 of 5");
        assert_eq!(ran.text(), "", "no output");
    }
    // They are kept all the same.
    assert_eq!(place.read("d-1/part-0/rejected/rows.csv").unwrap().lines().count(), 4);
    for wrong in ["x", "-1%", "101%", "%", "1.5"] {
        place.run(&format!("{ARGS} --max-refused={wrong}")).ends(2, "0.5%");
    }
}

#[test]
fn a_run_in_which_everything_is_refused_fails() {
    let place = Place::new();
    place.write("in.csv", "t,k\nx,a\ny,b\n");
    let ran = place.run(ARGS);
    ran.ends(3, "too many rows refused: 2 of 2 (see in.csv.refused.csv)");
    assert_eq!(ran.text(), "");
    let ran = place.run(&format!("{ARGS} --max-refused 100%"));
    assert_eq!(ran.ends(0, "0 rows accepted, 2 refused").text(), "day,k,events\n");
    place.write("in.csv", "t,k\n");
    assert_eq!(place.run(ARGS).ends(0, "0 rows accepted").text(), "day,k,events\n");
}

#[test]
fn all_processes_of_a_group_end_with_3() {
    let place = Place::new();
    place.write("in.csv", ROWS);
    let ran = outputs(place.group(2, &format!("{ARGS} --max-refused 2")));
    ran.iter().for_each(|ran| {
        ran.ends(3, "too many rows refused: 3 of 5");
    });
}

#[test]
fn the_commonest_reasons_are_in_the_summary() {
    let place = Place::new();
    place.write("in.csv", ROWS);
    let ran = place.run(ARGS);
    ran.ends(0, "2 refused: 't': not a time;")
        .ends(0, "1 refused: 1 fields where the header has 2");
    // Milliseconds that differ from row to row do not make different reasons.
    place.write("in.csv", "t,k\n0,a\n9998-12-30T00:00:00Z,a\n9998-12-30T00:00:01Z,a\n");
    place.run(ARGS).ends(0, "2 refused: the event is … ms ahead of the wall clock");
}

#[test]
fn refused_rows_overwrite_nothing_of_others() {
    let place = Place::new();
    place.write("in.csv", ROWS);
    let with = format!("{ARGS} --refused mine.csv");
    for theirs in ["precious\n", "line,reason,rows\n1,2,3\n", "line"] {
        place.write("mine.csv", theirs);
        place.run(&with).ends(2, "mine.csv").ends(2, "no file of refused rows");
        assert_eq!(place.read("mine.csv").unwrap(), theirs);
    }
    // An empty file, and one of an earlier run.
    place.write("mine.csv", "");
    for _ in 0..2 {
        place.run(&with).ends(0, "3 refused (see mine.csv)");
        assert_eq!(place.read("mine.csv").unwrap().lines().count(), 4);
    }
    place.run(&format!("{with} --out mine.csv")).ends(2, "one file");
    place.run(&format!("{ARGS} --out in.csv.refused.csv")).ends(2, "the file of refused rows");
    place.write("in.csv.refused.csv", "precious\n");
    place.run(ARGS).ends(2, "in.csv.refused.csv");
    assert_eq!(place.read("in.csv.refused.csv").unwrap(), "precious\n");
}
