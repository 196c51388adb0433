//! The lower end of the log: what removes its first days, and what would need them.

use super::*;

#[test]
fn the_log_is_shortened_and_what_would_need_it_is_refused() {
    let storage = Memory::default();
    folder(&storage);
    assert_eq!(logged(&storage).len(), 31);
    let log = |engine: Engine<EventTime>| engine.keep_log(Duration::from_secs(5 * 86_400));
    for workers in [3, 1] {
        let started = Started::of(&storage, 131, workers, |view| view, log);
        assert_eq!(logged(&storage).first().map(String::as_str), Some("1970-05-07"));
        assert_eq!(logged(&storage).len(), 5);
        // The view has all days; a rebuild covers those that the log has.
        let all = started.days(rows()).unwrap();
        assert_eq!(all.iter().map(|(_, count)| count).sum::<i64>(), 331);
        let below = DayRange::new(Day(125), Day(131));
        for result in [started.view.audit(below, 1.0), started.view.rebuild(below, 1.0)] {
            let error = result.unwrap_err();
            let is_it = matches!(error, MaintainError::LogShortened { from: Day(126), .. });
            assert!(is_it, "{error}");
        }
        let audited = started.view.audit(DayRange::ALL, 1.0).unwrap();
        assert!(audited.findings.is_empty(), "{:?}", audited.findings);
        started.view.rebuild(DayRange::ALL, 1.0).unwrap();
        assert_eq!(started.days(rows()).unwrap(), all);
        started.running.finish().unwrap();
    }
    let report = dayfold::store::inspect(&storage, "data").unwrap();
    assert_eq!(report.log_from, Some(Day(126)));
    assert!(dayfold::log::prove(&storage, &report).is_empty());
    // A longer time brings nothing back.
    let started = Started::new(&storage, 131, 2, |view| view);
    assert_eq!(logged(&storage).len(), 5);
    assert!(started.view.audit(DayRange::only(Day(125)), 1.0).is_err());
    started.running.finish().unwrap();
}

#[test]
fn the_log_is_kept_until_the_program_releases_it() {
    let storage = Memory::default();
    folder(&storage);
    let wait = |first: &str| {
        let until = std::time::Instant::now() + LONG;
        while logged(&storage).first().is_none_or(|day| day != first) {
            assert!(std::time::Instant::now() < until, "{first}: {:?}", logged(&storage));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let days = [("1970-04-11", 110, "1970-04-21"), ("1970-04-21", 120, "1970-05-01")];
    for (workers, (before, day, first)) in (1..).zip(days) {
        let released = LogRelease::new();
        let kept = |engine: Engine<EventTime>| engine.keep_log_until(released.clone());
        let started = Started::of(&storage, 131, workers, |view| view, kept);
        // Nothing is released at first, and nothing comes back.
        assert_eq!(logged(&storage).first().map(String::as_str), Some(before));
        released.before(day * DAY + DAY - 1);
        wait(first);
        // An earlier time changes nothing.
        released.before(day * DAY - DAY);
        // Open days stay, whatever is released.
        let error = started.view.audit(DayRange::only(Day(day as i32 - 1)), 1.0).unwrap_err();
        let is_it =
            matches!(error, MaintainError::LogShortened { from, .. } if i64::from(from.0) == day);
        assert!(is_it, "{error}");
        let all = started.days(rows()).unwrap();
        assert_eq!(all.iter().map(|(_, count)| count).sum::<i64>(), 331);
        started.running.finish().unwrap();
    }
    // The span counts as well.
    let released = LogRelease::new();
    released.before(200 * DAY);
    let kept = |engine: Engine<EventTime>| {
        engine.keep_log_until(released.clone()).keep_log(Duration::from_secs(5 * 86_400))
    };
    let started = Started::of(&storage, 131, 2, |view| view, kept);
    wait("1970-05-07");
    started.running.finish().unwrap();
    let report = dayfold::store::inspect(&storage, "data").unwrap();
    assert!(dayfold::log::prove(&storage, &report).is_empty());
}

#[test]
fn a_view_that_the_log_is_too_short_for_is_refused_or_begins_later() {
    let storage = Memory::default();
    folder(&storage);
    let log = |engine: Engine<EventTime>| engine.keep_log(Duration::from_secs(5 * 86_400));
    Started::of(&storage, 131, 2, |view| view, log).running.finish().unwrap();
    let engine = || {
        Engine::new()
            .clock(|| 131 * DAY)
            .data_in(Arc::new(storage.clone()), "data")
            .log(Durability::System, |time: &EventTime| *time)
    };
    let view =
        |name: &str, words: &str| View::new(name).unwrap().grace(Duration::ZERO).defined_as(words);
    let fold = |time: &EventTime| Some((*time, (*time % 7) as u64, Count::one()));
    // A new definition is refused for a view with days that the log does not have.
    let mut changed = engine().redefine("events");
    changed.view(view("events", "otherwise"), Measures::none(), fold);
    let error = changed.start(Cluster::workers(1)).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("has days before 1970-05-07"), "{error}");
    // Nothing was changed.
    let mut added = engine();
    added.view(view("events", ""), Measures::none(), fold);
    let handle = added.view(view("added", ""), Measures::none(), fold);
    let running = added.start(Cluster::workers(2)).unwrap();
    let answer = handle.ask_timeout(rows(), LONG).unwrap();
    assert_eq!(answer.certificate.kept_from, Some(Day(126)));
    let count = |item: &dayfold::serve::Item<u64, Count>| item.parts.merged().unwrap().0;
    assert_eq!(answer.items.iter().map(count).sum::<i64>(), 4 * 11 + 1);
    let all = DayRange::new(Day(125), Day(130));
    assert!(matches!(handle.ask(Query::total(all)), Err(AskError::Removed { .. })));
    running.finish().unwrap();
}

#[test]
fn the_log_is_shortened_while_the_engine_runs() {
    for workers in 1..=3 {
        let storage = Memory::default();
        // Files of an earlier run and of this one.
        let started = Started::new(&storage, 100, workers, |view| view);
        for day in 100..110 {
            started.push((0..10).map(|n| day * DAY + n));
            started.seal_before(day + 1);
        }
        started.running.finish().unwrap();
        let log = |engine: Engine<EventTime>| engine.keep_log(Duration::from_secs(5 * 86_400));
        let started = Started::of(&storage, 110, workers, |view| view, log);
        assert_eq!(logged(&storage).len(), 5);
        for day in 110..120 {
            started.push((0..10).map(|n| day * DAY + n));
            started.seal_before(day + 1);
        }
        until("five days are left", || logged(&storage).len() == 5);
        assert_eq!(logged(&storage)[0], Day(115).to_string());
        let report = dayfold::store::inspect(&storage, "data").unwrap();
        assert_eq!(report.log_from, Some(Day(115)));
        assert!(dayfold::log::prove(&storage, &report).is_empty());
        let error = started.view.audit(DayRange::new(Day(114), Day(118)), 1.0).unwrap_err();
        let is_it = matches!(error, MaintainError::LogShortened { from: Day(115), .. });
        assert!(is_it, "{error}");
        let audited = started.view.audit(DayRange::ALL, 1.0).unwrap();
        assert!(audited.findings.is_empty(), "{:?}", audited.findings);
        assert_eq!(audited.events, 50 * workers as u64, "each worker reads all of it");
        let all = started.days(rows()).unwrap();
        assert_eq!(all.iter().map(|(_, count)| count).sum::<i64>(), 200);
        // Late events of removed days make a file of their own, which is removed once they are sealed.
        started.push([105 * DAY]);
        until("it is in the log", || logged(&storage).len() == 6);
        started.push((0..10).map(|n| 120 * DAY + n));
        started.seal_before(121);
        until("it goes", || logged(&storage)[0] == Day(116).to_string());
        started.running.finish().unwrap();
        let started = Started::of(&storage, 121, workers, |view| view, log);
        let count: i64 = started.days(rows()).unwrap().iter().map(|(_, count)| count).sum();
        assert_eq!(count, 211);
        started.running.finish().unwrap();
    }
}
