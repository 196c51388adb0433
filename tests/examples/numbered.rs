//! Runs the numbered examples, and checks their output.

use std::process::{Command, Stdio};

fn check(example: &str, expect: &str) {
    check_with(example, &[], expect);
}

fn check_with(example: &str, arguments: &[String], expect: &str) {
    let output = Command::new(crate::example::program(example)).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(output.status.success(), "{example}: {}", text(&output.stderr));
    assert_eq!(text(&output.stdout), expect, "{example} {arguments:?}");
}

/// As [`check`], also with several workers and processes: the first process prints the same, others nothing.
fn check_all(example: &str, expect: &str) {
    check(example, expect);
    check_with(example, &["-w".to_owned(), "3".to_owned()], expect);
    for (processes, workers) in [(2, 1), (2, 2), (3, 1)] {
        check_group(example, processes, workers, "", expect);
    }
}

/// `more` arguments are divided by blanks.
fn check_group(example: &str, processes: usize, workers: usize, more: &str, expect: &str) {
    let hosts = tempfile::NamedTempFile::new().unwrap();
    let sockets: Vec<_> =
        (0..processes).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let lines = sockets.iter().map(|socket| format!("{}\n", socket.local_addr().unwrap()));
    std::fs::write(&hosts, lines.collect::<String>()).unwrap();
    drop(sockets);
    let start = |process: usize| {
        let arguments = format!("{more} -n {processes} -w {workers} -p {process} -h");
        let mut command = Command::new(crate::example::program(example));
        command.args(arguments.split_whitespace()).arg(hosts.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..processes).map(start).collect();
    for (process, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "process {process} of {processes}: {errors}");
        let expect = if process == 0 { expect } else { "" };
        let printed = String::from_utf8(output.stdout).unwrap();
        // Timely's own output, while it connects.
        let ours = printed.lines().filter(|line| {
            !line.starts_with("awaiting connections") && !line.starts_with("worker ")
        });
        let ours: String = ours.map(|line| format!("{line}\n")).collect();
        assert_eq!(ours, expect, "process {process} of {processes}");
    }
}

#[test]
fn the_smallest() {
    check_all("01-smallest", "2024-05-01  2 orders, 700 cents\n2024-05-02  1 orders, 120 cents\n");
}

#[test]
fn an_aggregate_of_ones_own() {
    check_all("02-own-aggregate", "sensor 7: silent for 12 hours\n");
}

#[test]
fn a_join_before_and_an_alert_after() {
    check_all(
        "03-enrich-and-alert",
        "tick 1: alert: AT on 2024-05-01\ntick 2: over: AT on 2024-05-01\n",
    );
}

#[test]
fn a_handle_in_an_async_service() {
    check_all(
        "04-service",
        "Some((Count(3), Sum(800)))\nlive: 3 orders, 800 cents\nthe engine has stopped\n",
    );
}

#[test]
fn sealed_days_are_imported() {
    check_all("05-import-sealed-days", "1970-01-01  /prices: 25\n");
}

#[test]
fn the_tour_of_recovery_is_the_same_for_any_number_of_processes() {
    let expect = "\
1. Killed, and gone on
   a process that streamed the flights was killed half-way
   the next one has every flight once: 328521
2. As first sealed, and as amended
   8 March: 744 flights when it was sealed, 786 with those that landed later
   late flights are in the day's later revisions
3. Damaged, and mended
   an audit computes 366 days from the log: no difference
   a byte of a sealed file is turned, and the audit names it
   the day is rebuilt from the log: no difference
4. A view that nobody thought of
   a second view is added: nothing is read from the file again
   EWR  117596
   JFK  109416
   LGA  101509
   its past is in the log: as many flights as in the first view
";
    // The last step stops and starts the program, which several processes would have to do together.
    let alone = format!(
        "{expect}5. A log that has lost its end
   the folder is copied, as it could be while it is in use
   a commit stream is deleted, and what the manifest proves is missing
   the engine does not start: what is sealed would be read again
   the lost log is accepted: the folder is set aside, and all is read again
   or the copy is used: nothing has to be read again
"
    );
    check_with("recover", &["-w".to_owned(), "2".to_owned()], &alone);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    check_group("recover", 2, 2, &format!("--data {}", data.display()), expect);
}

#[test]
fn a_source_of_ones_own() {
    check_all(
        "06-own-source",
        "from byte 0\n\
         record 2 refused: a clock that was not set\n\
         meter 7: 2 readings, 300 Wh\n\
         from byte 48\n\
         record 4 refused: 2000000 Wh is more than the cable carries\n\
         meter 7: 4 readings, 401 Wh\n",
    );
}
