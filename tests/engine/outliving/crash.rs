//! What is left wherever the machine stops while days are removed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dayfold::store::{self, Faulty};
use dayfold::time::{DayRange, Grain};
use dayfold::view::View;

use super::{A_DAY, DAY, Event, FIRST, Started};

/// Days for three days, weeks for ever.
fn keep_weeks(view: View) -> View {
    view.keep(3 * A_DAY).keep_rollup(Grain::Week, Duration::MAX)
}

/// Takes in some days: each with events that are in time, one that is late, and one that comes too late to count.
fn play(disk: &Faulty, days: std::ops::Range<i64>, taken: &mut Taken) -> Option<()> {
    let started = Started::new(Arc::new(disk.clone()), days.start, 2, keep_weeks).ok()?;
    for day in days {
        let number = day as u64 * 10;
        let mut events: Vec<Event> = (0..3).map(|at| (day * DAY, number + at)).collect();
        events.push(((day - 2).max(FIRST) * DAY, number + 3));
        taken.tried.extend(events.iter().map(|(_, number)| *number));
        if day - 30 >= FIRST {
            events.push(((day - 30) * DAY, number + 4));
            taken.too_late.insert(number + 4);
        }
        started.day(day, events)?;
        taken.done.extend(number..number + 4);
    }
    let Started { running, pusher, .. } = started;
    drop(pusher);
    running.finish().ok().map(|_| ())
}

/// The events that were durable, and those that were at least tried. Those that came too late did not count then. After a
/// crash they may, if removal had not come to their day yet.
#[derive(Default)]
struct Taken {
    done: BTreeSet<u64>,
    tried: BTreeSet<u64>,
    too_late: BTreeSet<u64>,
}

/// The first day that a folder still has, as it was left.
fn kept_from(disk: &Faulty) -> u64 {
    let report = store::inspect(disk, "data");
    report.ok().and_then(|report| report.views.first()?.kept_from).map_or(0, |day| day.0 as u64)
}

#[test]
fn each_event_counts_once_wherever_the_machine_stops_while_days_go() {
    let whole = Faulty::new(0);
    play(&whole, FIRST..FIRST + 25, &mut Taken::default()).unwrap();
    play(&whole, FIRST + 25..FIRST + 45, &mut Taken::default()).unwrap();
    let operations = whole.operations();
    // The number of operations is not the same each time: writing and removing go on side by side.
    let steps = if std::env::var_os("CI").is_some() { 200 } else { 40 };
    for step in 0..steps {
        let number = 1 + step * operations / steps;
        let disk = Faulty::new(number);
        disk.crash_at(number);
        let mut taken = Taken::default();
        let first = play(&disk, FIRST..FIRST + 25, &mut taken);
        let _ = first.and_then(|()| play(&disk, FIRST + 25..FIRST + 45, &mut taken));
        for lost in [disk.after_kill(), disk.after_power_loss(number)] {
            let workers = 1 + step as usize % 3;
            let kept_from = kept_from(&lost);
            let started =
                Started::new(Arc::new(lost.clone()), FIRST + 45, workers, keep_weeks).unwrap();
            let found = started.found();
            assert!(
                taken.done.is_subset(&found),
                "at {number}: missing {:?}",
                &taken.done - &found
            );
            let is_there = |late: &&u64| *late / 10 - 30 >= kept_from;
            let may_count = taken.tried.iter().chain(taken.too_late.iter().filter(is_there));
            let may_count = may_count.copied().collect();
            assert!(found.is_subset(&may_count), "at {number}: {:?}", &found - &may_count);
            // It goes on.
            started.day(FIRST + 45, vec![((FIRST + 45) * DAY, 7)]).unwrap();
            started.day(FIRST + 60, vec![((FIRST + 60) * DAY, 8)]).unwrap();
            let expected: BTreeSet<u64> = found.iter().copied().chain([7, 8]).collect();
            assert_eq!(started.found(), expected, "at {number}");
            assert_eq!(started.view.audit(DayRange::ALL, 1.0).unwrap().findings, [], "at {number}");
            started.running.finish().unwrap();
        }
    }
}
