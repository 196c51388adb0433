//! The replay example as its users see it: a process with arguments, files and an exit code.

mod flights;
mod limits;
mod oracle;
mod written;

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::example::program;

/// A separate folder to run in.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }

    /// Names of what is there, sorted.
    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = Command::new(program("replay"));
        command.args(args).current_dir(self.0.path()).env_remove("RUST_LOG");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = self.start(args);
        let mut stdin = child.stdin.take().unwrap();
        // A program that reads nothing may end before everything is written.
        let _ = stdin.write_all(input);
        drop(stdin);
        Ran::of(child.wait_with_output().unwrap())
    }

    fn run(&self, args: &str) -> Ran {
        self.run_with(&args.split_whitespace().collect::<Vec<_>>(), b"")
    }

    /// Starts one process for each list of arguments, as a cluster on the loopback interface.
    fn group(&self, processes: usize, args: &str) -> Vec<Child> {
        let listeners: Vec<TcpListener> =
            (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let hosts =
            listeners.iter().map(|listener| format!("{}\n", listener.local_addr().unwrap()));
        self.write("hosts", hosts.collect::<String>());
        drop(listeners);
        (0..processes)
            .map(|process| {
                let more = format!("{args} -n {processes} -p {process} -h hosts");
                self.start(&more.split_whitespace().collect::<Vec<_>>())
            })
            .collect()
    }
}

#[derive(Debug)]
struct Ran {
    code: i32,
    out: Vec<u8>,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!err.contains("panicked"), "{err}");
        Ran { code: output.status.code().unwrap(), out: output.stdout, err }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    #[track_caller]
    fn ends(&self, code: i32, says: &str) -> &Ran {
        assert!(
            self.code == code && self.err.contains(says),
            "expected {code}, {says:?}: {self:?}"
        );
        if code != 0 {
            assert!(self.out.is_empty(), "output of a run that failed: {self:?}");
        }
        self
    }
}

const KEYED: &str = "--time t --key k";

/// Runs the program on a file, and compares its whole output. All rows may be refused; `limits` tests the limits.
#[track_caller]
fn check(args: &str, input: impl AsRef<[u8]>, out: &str, code: i32, says: &str) {
    let place = Place::new();
    place.write("in.csv", input);
    let ran = place.run(&format!("in.csv {args} --max-refused 100%"));
    ran.ends(code, says);
    assert_eq!(ran.text(), out, "{args}: {ran:?}");
}

/// Counts rows with one key column.
#[track_caller]
fn check_rows(input: impl AsRef<[u8]>, rows: &str, says: &str) {
    check(KEYED, input, &format!("day,k,events\n{rows}"), 0, says);
}

#[test]
fn input() {
    check_rows("t,k\n0,a\n", "1970-01-01,a,1\n", "1 rows accepted, 0 refused");
    check_rows("\u{FEFF}t,k\r\n0,a\r\n\r\n\n0,a", "1970-01-01,a,2\n", "");
    check_rows("\"k\",\"t\"\n\"a,\"\"b\",0\n", "1970-01-01,\"a,\"\"b\",1\n", "");
    check_rows("t,k\n0, a \n0,\"\"\n0,\n", "1970-01-01,,2\n1970-01-01, a ,1\n", "");
    check_rows(
        "t,k\n0,\"a\nb\"\n0,\"a\rb\"\n",
        "1970-01-01,\"a\nb\",1\n1970-01-01,\"a\rb\",1\n",
        "",
    );
    check_rows("t,k\n0,a,b\n0\n0,é\n", "1970-01-01,é,1\n", "1 rows accepted, 2 refused");
    check_rows("t,k\n0,a\n0,\"b\n", "1970-01-01,a,1\n", "1 refused");
    check_rows("t,k\n", "", "0 rows accepted, 0 refused");
    check_rows("t,k\nx,a\n", "", "0 rows accepted, 1 refused");
    check(KEYED, "", "", 2, "no header");
    check(KEYED, "t,k,t\n", "", 2, "'t' twice");
    check("--time t --key nope", "t,k\n0,a\n", "", 2, "no column 'nope'");
    check("--time nope --key k", "t,k\n0,a\n", "", 2, "no column 'nope'");
    let place = Place::new();
    place.run("there-is-none.csv --time t --key k").ends(2, "there-is-none.csv");
}

#[test]
fn bytes_of_a_key_pass_through() {
    let place = Place::new();
    place.write("in.csv", b"t,k\n0,\xFF\xFE\n0,\xC3\n0,a\n");
    let ran = place.run("in.csv --time t --key k");
    let expect = b"day,k,events\n1970-01-01,a,1\n1970-01-01,\xC3,1\n1970-01-01,\xFF\xFE,1\n";
    assert_eq!(ran.ends(0, "").out, expect);
}

#[test]
fn times() {
    check_rows("t,k\n2013-01-01T23:59:59.9999-01:00,a\n", "2013-01-02,a,1\n", "");
    check_rows("t,k\n99999999999,a\n", "", "1 refused");
    check_rows("t,k\n1e,a\n,a\n2013-01-01T00:00:00,a\n2013-02-29T00:00:00Z,a\n", "", "4 refused");
    check_rows("t,k\n-1,a\n-1000000000001,b\n", "1938-04-24,b,1\n1969-12-31,a,1\n", "");
    check_rows(
        "t,k\n1500000000,a\n1500000000000,b\n1500000000000000,c\n1500000000000000000,d\n",
        "2017-07-14,a,1\n2017-07-14,b,1\n2017-07-14,c,1\n2017-07-14,d,1\n",
        "",
    );
}

#[test]
fn arrivals() {
    let arrived = |rows: &str, out: &str, says: &str| {
        let args = "--time t --arrival at --key k";
        check(args, format!("t,at,k\n{rows}"), &format!("day,k,events\n{out}"), 0, says);
    };
    arrived("0,10,a\n86410,10,b\n86411,10,c\n", "1970-01-01,a,1\n1970-01-02,b,1\n", "1 refused");
    arrived(
        "0,200000,a\n200000,5,b\n200000,,c\n",
        "1970-01-01,a,1\n1970-01-03,b,1\n1970-01-03,c,1\n",
        "reported once",
    );
    arrived("0,x,a\n", "", "1 refused");
    // The second row and the last one come when their day is over, the third one within its grace.
    arrived(
        "0,0,a\n0,200000,b\n172800,262799,c\n172801,262801,d\n",
        "1970-01-01,a,1\n1970-01-01,b,1\n1970-01-03,c,1\n1970-01-03,d,1\n",
        "2 late",
    );
}

#[test]
fn numbers() {
    let args = "--time t --key k --value v --distinct d";
    let header = "day,k,events,v_count,v_sum,v_min,v_max,v_mean,v_p50,v_p99,d_distinct\n";
    let numbers = |rows: &str, out: &str, says: &str| {
        check(args, format!("t,k,v,d\n{rows}"), &format!("{header}{out}"), 0, says);
    };
    numbers(
        "0,a,1,x\n0,a,2.50,x\n0,a,,y\n0,b,,\n",
        "1970-01-01,a,3,2,3.50,1.00,2.50,1.75000000,1.00,2.50,2\n\
         1970-01-01,b,1,0,0.00,,,,,,0\n",
        "",
    );
    numbers("0,a,-0,\n0,a,+0.0,\n", "1970-01-01,a,2,2,0.0,0.0,0.0,0.0000000,0.0,0.0,0\n", "");
    // The scale is that of the column, also for groups of other days; a refused row does not count.
    numbers(
        "0,a,1,\n86400,a,0.125,\n86400,a,0.12345.0,\n",
        "1970-01-01,a,1,1,1.000,1.000,1.000,1.000000000,1.000,1.000,0\n\
         1970-01-02,a,1,1,0.125,0.125,0.125,0.125000000,0.125,0.125,0\n",
        "1 refused",
    );
    numbers("0,a,1,\n0,a,0,\n0,a,0,\n", "1970-01-01,a,3,3,1,0,1,0.333333,0,1,0\n", "");
    numbers(
        "0,a,999999999999999.999999999,\n0,a,-999999999999999.999999999,\n0,a,-0.000000001,\n",
        "1970-01-01,a,3,3,-0.000000001,-999999999999999.999999999,999999999999999.999999999,\
         0.000000000000000,-0.000000001,999999999999999.999999999,0\n"
            .replace(",0.000000000000000,", ",-0.000000000333333,")
            .as_str(),
        "",
    );
    numbers(
        "0,a,1e,\n0,a,.,\n0,a,1.5.,\n0,a, 1,\n0,a,1234567890123456789,\n0,a,1e18,\n0,a,x,\n",
        "",
        "7 refused",
    );
}

#[test]
fn half_a_unit_goes_to_the_even_side() {
    // The mean of these is 0.0000005, and of one more, 0.0000015.
    let rows = |sum: &str| {
        let zeros = "0,a,0\n".repeat(1_999_999 / 1_000);
        format!("t,k,v\n0,a,{sum}\n{zeros}")
    };
    for (sum, mean) in [("0.001", "0.000000500"), ("1", "0.000500000")] {
        let place = Place::new();
        place.write("in.csv", rows(sum));
        let ran = place.run("in.csv --time t --key k --value v");
        let scale = sum.split_once('.').map_or(0, |(_, digits)| digits.len());
        let mean = &mean[..mean.len() - 3 + scale];
        assert!(ran.text().contains(&format!(",{mean},")), "{mean}: {}", ran.text());
    }
    let quarter = format!("t,k,v\n{}0,a,1\n{}", "0,b,3\n", "0,a,0\n0,b,0\n".repeat(63));
    let place = Place::new();
    place.write("in.csv", quarter);
    // 1/64 = 0.015625 and 3/64 = 0.046875 are exact in six digits; 1/128 and 3/128 are ties in them.
    assert!(place.run("in.csv --time t --key k --value v").text().contains(",0.015625,"));
    let ties = format!("t,k,v\n0,a,1\n0,b,3\n{}", "0,a,0\n0,b,0\n".repeat(127));
    place.write("in.csv", ties);
    let ran = place.run("in.csv --time t --key k --value v");
    assert!(ran.text().contains(",0.007812,") && ran.text().contains(",0.023438,"), "{ran:?}");
}

#[test]
fn columns_stand_in_the_order_of_the_options() {
    let args = "--time t --key z,a --value y,b --distinct x,c,a";
    let header = "day,z,a,events,y_count,y_sum,y_min,y_max,y_mean,y_p50,y_p99,\
                  b_count,b_sum,b_min,b_max,b_mean,b_p50,b_p99,x_distinct,c_distinct,a_distinct\n";
    check(args, "t,a,b,c,x,y,z\n", header, 0, "");
    let rows = "t,k,l\n0,b,a\n0,a,b\n0,a,\n0,,z\n86400,a,a\n0,ab,\n";
    let out = "day,k,l,events\n1970-01-01,,z,1\n1970-01-01,a,,1\n1970-01-01,a,b,1\n\
               1970-01-01,ab,,1\n1970-01-01,b,a,1\n1970-01-02,a,a,1\n";
    check("--time t --key k,l", rows, out, 0, "");
    check("--time t --key k,l -w 3", rows, out, 0, "");
}

#[test]
fn arguments() {
    let wrong = |args: &str, says: &str| check(args, "t,k,v,day,events,v_sum\n", "", 2, says);
    wrong("--key k", "--time");
    wrong("--time t", "--key");
    wrong("--time t --key k --what", "--what");
    wrong("--time t --key k,k", "--key has the column 'k' twice");
    wrong("--time t --key k --value v,v", "--value has the column 'v' twice");
    wrong("--time t --key k --distinct v,v", "--distinct has the column 'v' twice");
    wrong("--time t --key day", "'day' twice");
    wrong("--time t --key events", "'events' twice");
    wrong("--time t --key v_sum --value v", "'v_sum' twice");
    wrong("--time t --key k --zone Mars/Olympus", "Mars/Olympus");
    for grace in ["1", "h", "-1h", "1.5h", "1w", "", "+1h", "9999999999999999999s"] {
        let place = Place::new();
        place.write("in.csv", "t,k\n");
        let args = ["in.csv", "--time", "t", "--key", "k", "--grace", grace];
        place.run_with(&args, b"").ends(2, &format!("'{grace}' is not a duration"));
    }
    wrong("--time t --key k --refused in.csv", "--refused is the input");
    wrong("--time t --key k --out in.csv", "--out is the input");
    wrong("--time t --key k -n 2 -p 2", "process 2 of 2");
    check("--time t --key k --grace 0s", "t,k\n0,a\n", "day,k,events\n1970-01-01,a,1\n", 0, "");
    let help = Place::new().run("--help");
    assert!(help.code == 0 && help.text().contains("--arrival"), "{help:?}");
}

#[test]
fn refused_rows() {
    let place = Place::new();
    place.write("in.csv", b"t,k,v\n0,a,1\n\nx,\"b,\n\xFF\",1\n0,a,y\n0,c\n");
    let kept = "line,reason,row\n4,'t': not a time; expected RFC 3339 with an offset such as \
                2013-01-01T10:59:00Z or a number since 1970,\"x,\"\"b,\n\\xff\"\",1\"\n\
                6,'v': not a number: expected digits with an optional sign and point and exponent such as -12.5 or 1.5e-3,\
                \"0,a,y\"\n7,2 fields where the header has 3,\"0,c\"\n";
    for workers in 1..=3 {
        let args = format!("in.csv --time t --key k --value v -w {workers}");
        place.run(&args).ends(0, "1 rows accepted, 3 refused (see in.csv.refused.csv)");
        assert_eq!(place.read("in.csv.refused.csv").as_deref(), Some(kept));
        let strict = place.run(&format!("{args} --strict"));
        strict.ends(2, "line 4: 't': not a time");
        assert_eq!(place.read("in.csv.refused.csv").unwrap().lines().count(), 3);
    }
    place.run("in.csv --time t --key k --value v --refused r").ends(0, "3 refused (see r)");
    assert_eq!(place.read("r").as_deref(), Some(kept));
    // The refused rows of an earlier run do not stay beside a run that refused nothing.
    place.write("in.csv", "t,k,v\n0,a,1\n");
    place.run("in.csv --time t --key k --value v").ends(0, "0 refused,");
    assert_eq!(place.names(), ["in.csv", "r"]);
    place.run("in.csv --time t --key k --value v --refused r").ends(0, "");
    assert_eq!(place.read("r").as_deref(), Some("line,reason,row\n"));
}

#[test]
fn standard_input_and_output() {
    let place = Place::new();
    let args = ["-", "--time", "t", "--key", "k"];
    let ran = place.run_with(&args, b"t,k\n0,a\n0\n");
    assert_eq!(ran.ends(0, "1 refused").text(), "day,k,events\n1970-01-01,a,1\n");
    assert_eq!(place.names(), ["stdin.refused.csv"]);

    place.write("in.csv", "t,k\n0,a\n");
    let ran = place.run("in.csv --time t --key k --out out.csv");
    assert_eq!(ran.ends(0, "").text(), "");
    assert_eq!(place.read("out.csv").as_deref(), Some("day,k,events\n1970-01-01,a,1\n"));
    place.run("in.csv --time t --key nope --out out.csv").ends(2, "");
    assert!(place.read("out.csv").unwrap().contains(",a,1"), "the earlier output stays");
    place.run("in.csv --time t --key k --out no/where.csv").ends(1, "no/where.csv");
    place.run("in.csv --time t --key k --out .").ends(1, "cannot write");
    assert_eq!(place.names(), ["in.csv", "out.csv", "stdin.refused.csv"]);
}

#[test]
fn an_output_that_nobody_reads() {
    let place = Place::new();
    // More than a pipe holds: a child that another test is just starting may have this pipe open for a moment, and a
    // short output would then succeed.
    let rows: String = (0..20_000).map(|key| format!("0,key-{key}\n")).collect();
    place.write("in.csv", format!("t,k\n{rows}"));
    let mut child = place.start(&["in.csv", "--time", "t", "--key", "k"]);
    drop(child.stdout.take());
    Ran::of(child.wait_with_output().unwrap()).ends(1, "standard output");
    if Path::new("/dev/full").exists() {
        place.run("in.csv --time t --key k --out /dev/full").ends(1, "/dev/full");
    }
}

#[test]
fn compressed_input() {
    let place = Place::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let rows: String = (0..5_000).map(|n| format!("{n},{}\n", n * 7_919 % 3_001)).collect();
    encoder.write_all(format!("t,k\n{rows}").as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    place.write("in.csv.gz", &whole);
    let ran = place.run("in.csv.gz --time t --key k");
    assert_eq!(ran.ends(0, "5000 rows accepted").text().lines().count(), 3_002);
    place.write("in.csv.gz", &whole[..whole.len() / 2]);
    let offset = format!("cut off at byte {}", whole.len() / 2);
    for args in ["", "-w 2", "--data d"] {
        place.run(&format!("in.csv.gz --time t --key k --out out.csv {args}")).ends(2, &offset);
    }
    assert_eq!(place.names(), ["d", "in.csv.gz"]);
    place.write("in.csv.gz", "");
    place.run("in.csv.gz --time t --key k").ends(2, "no header");
}

#[test]
fn a_folder_again() {
    const ARGS: &str = "in.csv --time t --key k --value v --data d";
    let place = Place::new();
    let beginning = "t,k,v\n0,a,1\nx,a,1\n86400,b,2.5\n";
    place.write("in.csv", beginning);
    let first = place.run(ARGS);
    first.ends(0, "2 rows accepted, 1 refused");
    let refused = || place.read("d/part-0/rejected/rows.csv").unwrap();
    assert_eq!(refused().lines().count(), 2);

    let again = place.run(&format!("{ARGS} -w 2 --grace 5d"));
    again.ends(0, "2 rows accepted, 1 refused").ends(0, "nothing was left to read");
    assert_eq!(again.out, first.out);
    assert_eq!(refused().lines().count(), 2);

    // Each is refused with both sides named, and changes nothing.
    let other = |args: &str, both: [&str; 2]| {
        let ran = place.run(args);
        ran.ends(2, both[0]).ends(2, both[1]);
    };
    place.write("other.csv", beginning);
    other("other.csv --time t --key k --value v --data d", ["in.csv", "other.csv"]);
    other("in.csv --time t --key v --value v --data d", ["--key \"k\"", "--key \"v\""]);
    other("in.csv --time v --key k --value v --data d", ["--time \"t\"", "--time \"v\""]);
    other("in.csv --time t --key k --value t --data d", ["--value \"v\"", "--value \"t\""]);
    let distinct = "in.csv --time t --key k --value v --distinct k --data d";
    other(distinct, ["made with", "--distinct \"k\""]);
    other(
        "in.csv --time t --arrival t --key k --value v --data d",
        ["made with", "--arrival \"t\""],
    );
    other(&format!("{ARGS} --zone Asia/Kathmandu"), ["UTC", "Asia/Kathmandu"]);
    place.write("in.csv", beginning.replace(",a,1\nx", ",a,3\nx"));
    other(ARGS, ["read before were", "now there are"]);
    place.write("in.csv", &beginning[..beginning.len() - 4]);
    other(ARGS, ["read before were", "now there are"]);

    // Only the rest is read, including late rows for sealed days, and refused ones.
    let grown = format!("{beginning}0,a,1.25\ny,a,1\n172800,a,4\n");
    place.write("in.csv", &grown);
    let ran = place.run(&format!("{ARGS} -w 3"));
    ran.ends(0, "4 rows accepted, 2 refused").ends(0, "3 read in");
    assert_eq!(refused().lines().count(), 3, "{}", refused());
    assert!(refused().lines().last().unwrap().starts_with("6,"));
    let fresh = place.run("in.csv --time t --key k --value v");
    assert_eq!(ran.text(), fresh.text());
    assert_eq!(place.run(ARGS).text(), fresh.text());
}

/// Years before 0 and the last days of the calendar, late rows of both, and a folder that continues with them.
#[test]
fn a_folder_with_days_at_both_ends_of_the_calendar() {
    let place = Place::new();
    let rows = [
        "-99999999999,0,a\n0,0,b\n-99999999998,0,a\n",
        "9998-12-30T12:00:00Z,9998-12-30T12:00:00Z,x\n",
        "5,,y\n-5,,z\n",
        "9998-12-31T00:00:00Z,,x\n-99999999997,,a\n",
    ];
    let mut input = "t,a,k\n".to_owned();
    for (rows, workers) in rows.into_iter().zip([2, 3, 2, 1]) {
        input.push_str(rows);
        place.write("in.csv", &input);
        let fresh = place.run(&format!("in.csv {KEYED} --arrival a"));
        fresh.ends(0, "accepted");
        for _ in 0..3 {
            let ran = place.run(&format!("in.csv {KEYED} --arrival a --data d -w {workers}"));
            assert_eq!(ran.ends(0, "accepted").text(), fresh.text());
        }
    }
}

#[test]
fn a_run_that_did_not_get_far_leaves_the_folder_usable() {
    let place = Place::new();
    place.run("in.csv --time t --key k --data d").ends(2, "in.csv");
    place.write("in.csv", "t,k\n0,a\n");
    place.run("in.csv --time t --key nope --data d").ends(2, "nope");
    place.run("in.csv --time t --key k --data d").ends(0, "1 rows accepted");
    // Output that cannot be written does not spoil it.
    if Path::new("/dev/full").exists() {
        place.run("in.csv --time t --key k --data f --out /dev/full").ends(1, "/dev/full");
        place.run("in.csv --time t --key k --data f").ends(0, "nothing was left to read");
    }
}

#[test]
fn a_folder_that_a_strict_run_has_left_goes_on() {
    const ARGS: &str = "in.csv --time t --key k --data d";
    let place = Place::new();
    place.write("in.csv", "t,k\n0,a\nx,a\n86400,b\ny,b\n172800,c\n");
    let fresh = place.run("in.csv --time t --key k");
    let refused = || place.read("d/part-0/rejected/rows.csv");
    // It stops every strict run, whether the log already has the row or not.
    for workers in 1..=3 {
        place.run(&format!("{ARGS} --strict -w {workers}")).ends(2, "line 3: 't': not a time");
        assert_eq!(refused().map(|rows| rows.lines().count()), Some(2), "{:?}", refused());
    }
    let group = outputs(place.group(2, &format!("{ARGS} --strict")));
    for ran in &group {
        ran.ends(2, "line 3: 't': not a time");
    }
    place.write("other.csv", "t,k\n0,a\n");
    let other = place.run("other.csv --time t --key k --data d");
    other.ends(2, "in.csv").ends(2, "other.csv");
    // A run that is not strict continues, and has each row once.
    let ran = place.run(&format!("{ARGS} -w 2"));
    assert_eq!(ran.ends(0, "3 rows accepted, 2 refused").out, fresh.out);
    assert_eq!(refused(), place.read("in.csv.refused.csv"));
    // A strict run over a complete folder stops there, too, and changes nothing.
    place.run(&format!("{ARGS} --strict")).ends(2, "line 3");
    let ran = place.run(&format!("{ARGS} --refused r"));
    assert_eq!(ran.ends(0, "3 rows accepted, 2 refused (see r)").out, fresh.out);
    assert_eq!(place.read("r"), place.read("in.csv.refused.csv"));
}

#[test]
fn interruptions() {
    for input in ["", "t,k\n0,a\n86400,b\n"] {
        for signal in ["-INT", "-TERM"] {
            let place = Place::new();
            let mut child = place.start(&["-", "--time", "t", "--key", "k", "--data", "d"]);
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(input.as_bytes()).unwrap();
            wait_for(&place.path("d/part-0/manifest"));
            std::thread::sleep(std::time::Duration::from_millis(100));
            kill(signal, &child);
            Ran::of(child.wait_with_output().unwrap()).ends(130, "interrupted");
            drop(stdin);
            let args = ["-", "--time", "t", "--key", "k", "--data", "d"];
            let ran = place.run_with(&args, b"t,k\n0,a\n86400,b\n");
            let out = "day,k,events\n1970-01-01,a,1\n1970-01-02,b,1\n";
            assert_eq!(ran.ends(0, "2 rows accepted").text(), out);
        }
    }
}

#[test]
fn an_interrupted_run_goes_on() {
    let place = Place::new();
    let row = |n: u32| format!("{},{},{n}\n", n * 40, n * 7_919 % 101);
    place.write("in.csv", format!("t,k,v\n{}", (0..50_000).map(row).collect::<String>()));
    let fresh = place.run("in.csv --time t --key k --value v");
    for (workers, ms) in [(1, 0), (2, 100), (1, 200), (3, 400)] {
        let args = format!("in.csv --time t --key k --value v --data d{ms} -w {workers}");
        let child = place.start(&args.split_whitespace().collect::<Vec<_>>());
        wait_for(&place.path(&format!("d{ms}/part-0/manifest")));
        std::thread::sleep(std::time::Duration::from_millis(ms));
        kill("-INT", &child);
        // It may have finished already.
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert!(ran.code == 130 && ran.out.is_empty() || ran.out == fresh.out, "{ran:?}");
        assert!(place.run(&args).ends(0, "50000 rows accepted").out == fresh.out, "{args}");
    }
}

/// Waits until the program handles signals, which it does before it creates a folder.
fn wait_for(path: &Path) {
    let started = std::time::Instant::now();
    while !path.exists() {
        assert!(started.elapsed().as_secs() < 60, "{} is not made", path.display());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn kill(signal: &str, child: &Child) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn outputs(children: Vec<Child>) -> Vec<Ran> {
    // All at once, because none may wait until another one's pipe is emptied.
    let waiting: Vec<_> = children
        .into_iter()
        .map(|child| std::thread::spawn(|| Ran::of(child.wait_with_output().unwrap())))
        .collect();
    waiting.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn processes_of_a_group_end_in_the_same_class() {
    let group = |args: &str, code: i32, says: &str| {
        let place = Place::new();
        place.write("in.csv", "t,k,v\n0,a,1\n86400,b,x\n172800,c,3\n");
        let ran = outputs(place.group(2, args));
        assert!(ran.iter().all(|ran| ran.code == code && ran.err.contains(says)), "{ran:?}");
        assert!(ran[1].out.is_empty());
    };
    group("in.csv --time t --key k --value v", 0, "");
    group("in.csv --time t --key k --value v --strict -w 2", 2, "line 3");
    group("none.csv --time t --key k", 2, "none.csv");
    group("in.csv --time t --key nope --data d", 2, "nope");
    group("in.csv --time t --key k --out no/where.csv", 1, "no/where.csv");
    if Path::new("/dev/full").exists() {
        group("in.csv --time t --key k --out /dev/full", 1, "/dev/full");
    }
    for interrupted in [0, 1] {
        let place = Place::new();
        let mut group = place.group(2, "- --time t --key k --data d");
        let mut stdin: Vec<_> = group.iter_mut().map(|child| child.stdin.take().unwrap()).collect();
        stdin[0].write_all(b"t,k\n0,a\n86400,b\n").unwrap();
        (0..2).for_each(|part| wait_for(&place.path(&format!("d/part-{part}/manifest"))));
        std::thread::sleep(std::time::Duration::from_millis(500));
        kill("-INT", &group[interrupted]);
        for ran in outputs(group) {
            ran.ends(130, "interrupted");
        }
    }
}
