//! Times and numbers as programs write them.

use super::{Place, check, outputs};

const HEAD: &str = "day,k,events\n";

#[test]
fn times_as_programs_write_them() {
    let rows = "t,k\n1651591054.5349035,a\n1651591054.0,a\n1.651591054e9,a\n2022-05-03 17:17:34 +0200,a\n\
                2022-05-03T17:17:34+02,a\n2022-05-03,a\n";
    check("--time t --key k", rows, &format!("{HEAD}2022-05-03,a,6\n"), 0, "0 refused");
    // A date is in the view's zone, or in the named zone.
    let date = "t,k\n2022-05-03,a\n";
    let args = "--time t --key k --zone America/New_York";
    check(args, date, &format!("{HEAD}2022-05-03,a,1\n"), 0, "0 refused");
    let args = format!("{args} --time-zone UTC");
    check(&args, date, &format!("{HEAD}2022-05-02,a,1\n"), 0, "0 refused");
}

#[test]
fn local_times_have_a_named_zone() {
    let rows = "t,k\n2013-10-27 00:30:00,a\n2013-10-27 02:30:00,a\n2013-03-31 02:30:00,a\n";
    let out = format!("{HEAD}2013-10-26,a,1\n");
    let zone = "--time t --key k --time-zone Europe/Vienna";
    check(zone, rows, &out, 0, "2 refused");
    let out = format!("{HEAD}2013-03-31,a,1\n2013-10-26,a,1\n2013-10-27,a,1\n");
    check(&format!("{zone} --fold later --gap earlier"), rows, &out, 0, "0 refused");
    check("--time t --key k --fold later", rows, "", 2, "--time-zone");
    check("--time t --key k --time-zone Vienna", rows, "", 2, "--time-zone: 'Vienna'");
}

#[test]
fn a_format_of_ones_own_is_that_of_both_columns() {
    let place = Place::new();
    place.write("in.csv", "t,a,k\n01/Jan/2013:11:59:00 +0100,02/Jan/2013:00:00:00 +0000,a\n");
    let args = ["in.csv", "--key", "k", "--time", "t", "--arrival", "a", "--time-format"];
    let run = |format| place.run_with(&[&args[..], &[format]].concat(), b"");
    let ran = run("%d/%b/%Y:%H:%M:%S %z");
    assert_eq!(ran.ends(0, "0 refused").text(), format!("{HEAD}2013-01-01,a,1\n"));
    run("%H:%M").ends(2, "--time-format: '%H:%M' is not a format of times: it has no date");
}

#[test]
fn a_folder_remembers_how_times_are_written() {
    let place = Place::new();
    place.write("in.csv", "t,k\n2013-01-01 00:00:00,a\n");
    let args = "in.csv --time t --key k --data d --time-zone";
    place.run(&format!("{args} UTC")).ends(0, "1 rows accepted");
    place.run(&format!("{args} UTC")).ends(0, "1 rows accepted");
    place.run(&format!("{args} Asia/Tokyo")).ends(2, "--time-zone \"Asia/Tokyo\"");
}

#[test]
fn numbers_as_programs_write_them() {
    let rows = "t,k,v\n0,a,1.5e3\n0,a,.5\n0,a,5.\n0,a,000000000000000000001\n0,a,-1.50\n";
    let out = "day,k,events,v_count,v_sum,v_min,v_max,v_mean,v_p50,v_p99\n\
               1970-01-01,a,5,5,1505.00,-1.50,1500.00,301.00000000,1.00,1500.00\n";
    check("--time t --key k --value v", rows, out, 0, "0 refused");
}

#[test]
fn floats_of_full_precision_are_rounded_and_counted() {
    let rows = "t,k,v\n0,a,1.9089496023202246\n0,a,2\n0,a,0.0000000005\n";
    let out = "day,k,events,v_count,v_sum,v_min,v_max,v_mean,v_p50,v_p99\n\
               1970-01-01,a,3,3,3.908949602,0.000000000,2.000000000,1.302983200666667,1.908949602,2.000000000\n";
    let said = "2 values rounded to 9 digits after the point";
    check("--time t --key k --value v", rows, out, 0, said);
    check("--time t --key k --value v -w 2", rows, out, 0, said);
    // Each process of a cluster reports what it has read.
    let place = Place::new();
    place.write("in.csv", rows);
    let group = outputs(place.group(2, "in.csv --time t --key k --value v"));
    let said = group.iter().filter(|ran| ran.err.contains("rounded to 9 digits")).count();
    assert!(said > 0 && group[0].text() == out, "{group:?}");
}

#[test]
fn a_value_that_is_no_number_need_not_cost_its_event() {
    let rows = "t,k,v\n0,a,1\n0,a,NaN\n0,a,1e400\n0,a,\n";
    let row = |events: u32| {
        format!(
            "day,k,events,v_count,v_sum,v_min,v_max,v_mean,v_p50,v_p99\n\
             1970-01-01,a,{events},1,1,1,1,1.000000,1,1\n"
        )
    };
    check("--time t --key k --value v", rows, &row(2), 0, "2 rows accepted, 2 refused");
    let null = "--time t --key k --value v --bad-value null";
    check(null, rows, &row(4), 0, "4 rows accepted, 0 refused");
    check(null, rows, &row(4), 0, "2 values that are no numbers left out");
}

#[test]
fn dialects_of_csv() {
    let out = format!("{HEAD}1970-01-01,a,1\n1970-01-01,b,1\n");
    let with = |more: &str| format!("--time t --key k {more}");
    check(&with("--delimiter ;"), "t;k\n0;a\n1;b\n", &out, 0, "0 refused");
    for tab in ["tab", "\\t"] {
        check(&with(&format!("--delimiter {tab}")), "t\tk\n0\ta\n1\tb\n", &out, 0, "0 refused");
    }
    check(&with("--comment #"), "# by hand\nt,k\n0,a\n#0,x\n1,b\n", &out, 0, "0 refused");
    check(&with("--columns t,k"), "0,a\n1,b\n", &out, 0, "2 rows accepted, 0 refused");
    check(&with("--ragged"), "t,k,v\n0,a\n1,b,,,\n", &out, 0, "0 refused");
    check(
        &with(""),
        "t,k,v\n0,a\n1,b,,,\n0,c,1\n",
        &format!("{HEAD}1970-01-01,c,1\n"),
        0,
        "2 refused",
    );
    let out = "day,2,events\n1970-01-01,a,1\n1970-01-01,b,1\n";
    check("--time 1 --key 2 --no-header", "0,a\n1,b\n", out, 0, "2 rows accepted, 0 refused");
    check(&with("--delimiter ab"), "", "", 2, "neither one ASCII character nor tab");
    // A folder keeps to its dialect.
    let place = Place::new();
    place.write("in.csv", "t;k\n0;a\n");
    place.run("in.csv --time t --key k --data d --delimiter ;").ends(0, "1 rows accepted");
    place.write("in.csv", "t;k\n0;a\n");
    place.run("in.csv --time t --key k --data d").ends(2, "");
}

/// A program that is still writing has reached the middle of a line.
#[test]
fn a_last_line_that_grows_is_read_again() {
    const ARGS: &str = "in.csv --time t --key k --value v --data d";
    for (half, rest) in [
        ("172800,a,1", "5\n259200,b,2\n"),
        ("1728", "00,a,1\n"),
        ("172800,a", ",1\n"),
        ("0,a,9", "9\n"),
        ("172800,a,1", "\n"),
    ] {
        let place = Place::new();
        let before = format!("t,k,v\n0,a,1\n86400,b,2.5\n{half}");
        place.write("in.csv", &before);
        let fresh = place.run("in.csv --time t --key k --value v");
        for workers in [1, 2] {
            let ran = place.run(&format!("{ARGS} -w {workers}"));
            assert_eq!(ran.ends(0, "rows accepted").text(), fresh.text(), "{before}");
        }
        place.write("in.csv", format!("{before}{rest}"));
        let fresh = place.run("in.csv --time t --key k --value v");
        for workers in [2, 1] {
            let ran = place.run(&format!("{ARGS} -w {workers}"));
            assert_eq!(ran.ends(0, "rows accepted").text(), fresh.text(), "{before}{rest}");
        }
    }
}
