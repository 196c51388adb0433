//! Checks the instrument by arithmetic: fake systems with known delays, in virtual time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod golden;
mod sweep;

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// A fake system: it looks for events once every `tick`, takes `delay` for them, and does nothing while it stalls.
struct Fake {
    tick: u64,
    delay: u64,
    stall: Option<std::ops::Range<u64>>,
}

impl Fake {
    /// The result of a schedule: runs of events, and when each is done.
    fn runs(&self, schedule: &Schedule) -> Vec<(std::ops::Range<u64>, u64)> {
        let (mut runs, mut next, mut now) = (Vec::new(), 0, 0);
        while next < schedule.total() {
            if let Some(stall) = self.stall.as_ref().filter(|stall| stall.contains(&now)) {
                now = stall.end;
            }
            let due = schedule.due(now);
            if due > next {
                runs.push((next..due, now + self.delay));
                next = due;
            }
            now += self.tick;
        }
        runs
    }

    fn measure(&self, schedule: Schedule, conditions: &Conditions) -> Report {
        let mut recorder = Recorder::new("freshness", conditions, schedule.end().max(100) / 100);
        let mut pacer = Pacer::new(schedule);
        for (events, done) in self.runs(&schedule) {
            pacer.seen(events.end, done);
            recorder.record_run(&schedule, events, done);
        }
        Report::new(pacer.pace()).with(recorder.finish()).with_spans(conditions.spans())
    }
}

/// Whether a figure equals the arithmetic result, to the three digits of a histogram.
#[track_caller]
fn about(figure: u64, expect: u64) {
    let error = figure.abs_diff(expect) as f64;
    assert!(error <= expect as f64 * 0.001, "{figure} is not about {expect}");
}

#[test]
fn a_stall_is_charged_to_all_that_it_delayed() {
    // 10 seconds at 1,000 a second, and nothing happens for one second of it. A tenth of the events wait,
    // from nothing to a whole second: in the worst hundredth, each waits 0.9 s or more.
    let stall = 4 * SECOND..5 * SECOND;
    let fake = Fake { tick: MS, delay: 0, stall: Some(stall.clone()) };
    let conditions = Conditions::new();
    let span = conditions.begin("stall", "", stall.start);
    conditions.end(span, stall.end);
    let report = fake.measure(Schedule::new(1_000, 10_000), &conditions);

    let freshness = report.recording("freshness").unwrap();
    let all = freshness.all();
    assert_eq!((all.count(), all.quantile(0.899)), (10_000, 0));
    assert!(all.quantile(0.9) <= MS, "p90 is about nothing: {}", all.quantile(0.9));
    about(all.quantile(0.99), 900 * MS);
    about(all.quantile(0.999), 990 * MS);
    about(all.max(), SECOND);
    assert!(!report.pace().is_behind(), "it has caught up");

    // The condition has exactly the events that it delayed, and nothing else is slow. An event that was due and done in
    // the first or last instant of the stall counts as under way.
    let during = freshness.during("stall").unwrap();
    assert_eq!((during.count(), freshness.calm().count()), (1_001, 8_999));
    about(during.quantile(0.5), 500 * MS);
    assert_eq!(freshness.calm().max(), 0);
}

#[test]
fn a_known_delay_and_a_known_tick_give_known_percentiles() {
    // Events wait for the next tick, from 0 to 9.9 ms, and then 2 ms.
    let fake = Fake { tick: 10 * MS, delay: 2 * MS, stall: None };
    let report = fake.measure(Schedule::new(10_000, 100_000), &Conditions::new());
    let all = report.recording("freshness").unwrap().all();
    assert_eq!(all.count(), 100_000);
    for (share, expect) in
        [(0.5, 6_900_000), (0.9, 10_900_000), (0.99, 11_800_000), (1.0, 11_900_000)]
    {
        about(all.quantile(share), expect);
    }
    assert_eq!(report.recording("freshness").unwrap().calm(), all);
}

#[test]
fn what_is_slow_shows_when_it_was_due() {
    let fake = Fake { tick: MS, delay: 0, stall: Some(4 * SECOND..5 * SECOND) };
    let report = fake.measure(Schedule::new(1_000, 10_000), &Conditions::new());
    let (slice, slices) = report.recording("freshness").unwrap().slices();
    assert_eq!((slice, slices.len()), (100 * MS, 100));
    assert!(slices.iter().all(|latencies| latencies.count() == 100));
    let slow: Vec<usize> =
        (0..100).filter(|slice| slices[*slice].quantile(0.5) > 10 * MS).collect();
    assert_eq!(slow, (40..50).collect::<Vec<_>>());
}

#[test]
fn falling_behind_is_told() {
    // It handles one event in 1.25 ms: 80 % of the rate. After 10 seconds it has handled 8,000.
    let schedule = Schedule::new(1_000, 10_000);
    let mut pacer = Pacer::new(schedule);
    for event in 0..10_000 {
        let done = (event + 1) * 1_250_000;
        pacer.seen(event + 1, done.max(schedule.at(event)));
    }
    let pace = pacer.pace();
    assert!(pace.is_behind());
    assert_eq!((pace.waiting, pace.unseen), (2_001, 0));
    assert_eq!(pace.behind, 10 * SECOND - 7_999 * MS);
    assert_eq!(pace.drained, 12_500 * MS);
    about(pace.rate() as u64, 800);
    // It keeps up until an event has waited longer than 10 ms: the 36th has waited just that.
    assert_eq!(pace.since, 36 * 1_250_000);
    let text = pace.to_string();
    assert!(
        text.starts_with("THE RATE WAS NOT KEPT. When the last event was due, 2,001 were waiting"),
        "{text}"
    );

    // Given up after 11 seconds: the number of unfinished events is reported, too.
    let mut pacer = Pacer::new(schedule);
    for event in 0..8_800 {
        pacer.seen(event + 1, (event + 1) * 1_250_000);
    }
    pacer.give_up(11 * SECOND);
    let pace = pacer.pace();
    assert_eq!((pace.waiting, pace.unseen, pace.drained), (2_001, 1_200, 11 * SECOND));
    about(pace.rate() as u64, 800);
    assert!(pace.to_string().contains("given up with 1,200 events not done"));
}

#[test]
fn one_process_that_falls_behind_is_a_run_that_did() {
    let whole = Schedule::new(1_000, 10_000);
    let report = |share: u64, per_event: u64| {
        let schedule = whole.share(share, 2);
        let mut pacer = Pacer::new(schedule);
        for event in 0..schedule.total() {
            let done = ((event + 1) * per_event).max(schedule.at(event));
            pacer.seen(event + 1, done);
        }
        Report::new(pacer.pace())
    };
    let (kept, behind) = (report(0, 2 * MS), report(1, 3 * MS));
    assert!(!kept.pace().is_behind() && behind.pace().is_behind());
    for (mut merged, other) in [(kept.clone(), &behind), (behind.clone(), &kept)] {
        merged.merge(other);
        let (merged, behind) = (merged.pace(), behind.pace());
        assert_eq!((merged.scheduled, merged.end), (10_000, whole.share(1, 2).end()));
        assert_eq!((merged.behind, merged.since), (behind.behind, behind.since));
        assert_eq!((merged.drained, merged.is_behind()), (15 * SECOND, true));
    }
}

#[test]
fn a_run_that_lacks_one_per_cent_has_not_kept_the_rate() {
    let schedule = Schedule::new(1_000, 60_000);
    let pace = |per_event: u64| {
        let mut pacer = Pacer::new(schedule);
        for event in 0..60_000 {
            let done = ((event + 1) * per_event).max(schedule.at(event));
            pacer.seen(event + 1, done);
        }
        pacer.pace()
    };
    assert!(!pace(1_000_000).is_behind());
    assert!(pace(1_011_000).is_behind());
}

#[test]
fn pauses_are_the_longest_gaps_of_each_span() {
    let conditions = Conditions::new();
    let mut pauses = Pauses::new(&conditions, "hand-over");
    for done in 1..=100 {
        if done == 20 || done == 60 {
            conditions.begin("audit", "", done * MS);
            conditions.begin("hand-over", "", done * MS);
        }
        // In the first hand-over nothing happens from 22 to 29; in the second one, from 63 to 67, and
        // again from 75 to 84, beyond its end.
        if ![23..29, 64..67, 76..84].iter().any(|pause| pause.contains(&done)) {
            pauses.seen(done * MS);
        }
        if done == 40 || done == 80 {
            let open = conditions.open("hand-over");
            assert_eq!(open.len(), 1);
            conditions.end(open[0], done * MS);
        }
    }
    let pauses = pauses.finish();
    assert_eq!(pauses.count(), 2);
    about(pauses.quantile(0.5), 7 * MS);
    about(pauses.max(), 9 * MS);
}

#[test]
fn reports_travel_and_refuse_what_is_none() {
    let fake = Fake { tick: 7 * MS, delay: 3 * MS, stall: Some(SECOND..2 * SECOND) };
    let conditions = Conditions::new();
    conditions.begin("audit", "1", 1_500 * MS);
    let report =
        fake.measure(Schedule::new(100, 1_000), &conditions).about("rate", 100).note("a note");
    let bytes = report.to_bytes();
    assert_eq!(Report::from_bytes(&bytes).unwrap(), report);
    assert_eq!(Report::from_bytes(b"something else"), Err(ReportError::Foreign));
    let cut = Report::from_bytes(&bytes[..bytes.len() - 1]);
    assert!(matches!(cut, Err(ReportError::Damaged { .. })));
}

proptest! {
    /// A run of events counts as if each had been recorded by itself.
    #[test]
    fn oracle_a_run_is_its_events(
        // Up to one in each nanosecond, so that events are at both edges of every bucket.
        rate in prop_oneof![1u64..3_000_000, Just(SECOND)],
        start in 0u64..5_000,
        len in 0u64..3_000,
        wait in prop_oneof![0u64..3 * SECOND, 0u64..100_000],
        spans in prop::collection::vec((0u64..5 * SECOND, prop::option::of(0u64..SECOND)), 0..4),
        slice in 1_000_000u64..SECOND,
    ) {
        let schedule = Schedule::new(rate, 10_000).share(1, 3);
        let end = (start + len).min(schedule.total());
        let start = start.min(end);
        prop_assume!(start < end);
        let done = schedule.at(end - 1) + wait;
        let conditions = Conditions::new();
        for (number, (from, length)) in spans.iter().enumerate() {
            let id = conditions.begin(["a", "b"][number % 2], "", *from);
            if let Some(length) = length {
                conditions.end(id, from + length);
            }
        }
        let mut together = Recorder::new("q", &conditions, slice);
        together.record_run(&schedule, start..end, done);
        let mut apart = Recorder::new("q", &conditions, slice);
        for event in start..end {
            apart.record(schedule.at(event), done);
        }
        let apart = apart.finish();
        prop_assert_eq!(together.finish(), apart.clone());
        // And a condition has the events that were under way when it held.
        for condition in ["a", "b"] {
            let spans = conditions.spans();
            let held = |due: u64| {
                let these = spans.iter().filter(|span| span.condition == condition);
                these.clone().any(|s| s.from <= done && s.to.is_none_or(|to| due <= to))
            };
            let count = (start..end).filter(|event| held(schedule.at(*event))).count() as u64;
            prop_assert_eq!(apart.during(condition).map_or(0, Latencies::count), count);
        }
    }

    /// Several workers and processes record of their shares the same as one records of the whole.
    #[test]
    fn oracle_shares_merge_to_the_whole(
        rate in 1u64..100_000,
        total in 0u64..3_000,
        shares in 1u64..4,
        delay in 0u64..100 * MS,
        from in 0u64..SECOND,
    ) {
        let whole = Schedule::new(rate, total);
        let conditions = Conditions::new();
        conditions.begin("audit", "", from);
        let record = |schedule: Schedule| {
            let mut recorder = Recorder::new("q", &conditions, 100 * MS);
            let mut pacer = Pacer::new(schedule);
            for event in 0..schedule.total() {
                let done = schedule.at(event) + delay;
                recorder.record(schedule.at(event), done);
                pacer.seen(event + 1, done);
            }
            Report::new(pacer.pace()).with(recorder.finish())
        };
        let mut merged = record(whole.share(0, shares));
        for share in 1..shares {
            let bytes = record(whole.share(share, shares)).to_bytes();
            merged.merge(&Report::from_bytes(&bytes).unwrap());
        }
        let alone = record(whole);
        prop_assert_eq!(merged.pace().scheduled, alone.pace().scheduled);
        let (merged, alone) = (merged.recording("q").unwrap(), alone.recording("q").unwrap());
        prop_assert_eq!(merged.all(), alone.all());
        prop_assert_eq!(merged.calm(), alone.calm());
        prop_assert_eq!(merged.slices(), alone.slices());
        if let Some(during) = alone.during("audit").filter(|latencies| latencies.count() > 0) {
            prop_assert_eq!(merged.during("audit"), Some(during));
        }
    }

    #[test]
    fn the_complementary_distribution_counts_down(latencies in prop::collection::vec(0u64..SECOND, 1..100)) {
        let mut histogram = Latencies::new();
        latencies.iter().for_each(|latency| histogram.record(*latency));
        let points = histogram.exceeding();
        for (latency, greater) in &points {
            let expect = latencies.iter().filter(|l| *l > latency).count() as u64;
            prop_assert_eq!(*greater, expect);
        }
        prop_assert_eq!(points.last().map(|(latency, _)| *latency), Some(histogram.max()));
    }
}
