//! The numbered examples, run, and what they print.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "common/example.rs"]
mod example;

fn check(example: &str, expect: &str) {
    let output = std::process::Command::new(example::program(example)).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(output.status.success(), "{example}: {}", text(&output.stderr));
    assert_eq!(text(&output.stdout), expect, "{example}");
}

#[test]
fn the_smallest() {
    check("01-smallest", "2024-05-01  2 orders, 700 cents\n2024-05-02  1 orders, 120 cents\n");
}

#[test]
fn an_aggregate_of_ones_own() {
    check("02-own-aggregate", "sensor 7: silent for 12 hours\n");
}

#[test]
fn a_join_before_and_an_alert_after() {
    check(
        "03-enrich-and-alert",
        "tick 1: alert: AT on 2024-05-01\ntick 2: over: AT on 2024-05-01\n",
    );
}

#[test]
fn a_handle_in_an_async_service() {
    check(
        "04-service",
        "Some((Count(3), Sum(800)))\nlive: 3 orders, 800 cents\nthe engine has stopped\n",
    );
}

#[test]
fn sealed_days_are_imported() {
    check("05-import-sealed-days", "1970-01-01  /prices: 25\n");
}

#[test]
fn a_source_of_ones_own() {
    check(
        "06-own-source",
        "from byte 0\n\
         record 2 refused: a clock that was not set\n\
         meter 7: 2 readings, 300 Wh\n\
         from byte 48\n\
         record 4 refused: 2000000 Wh is more than the cable carries\n\
         meter 7: 4 readings, 401 Wh\n",
    );
}
