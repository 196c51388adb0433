//! Whether sealed days take memory: days of 100,000 keys go to disk one after the other, and the peak of anonymous
//! memory must be that of the current day, however many there were before.
//!
//! Only memory without a file counts: sealed days are mapped, and the system can reclaim their pages at any time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dayfold::serve::{Answer, Query};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{FoldDays, Moment};
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

use crate::fold::{Checked, stats};
use crate::load::TICK;
use crate::workload::{self, DAY_MS, Event, START, State};
use crate::{Measured, is_short, memory};

/// Seals this many days, each of one tick with as many keys. The time of a tick is the time until its day is sealed.
pub(crate) fn run(days: u64) -> Measured {
    let days = if is_short() { days / 20 + 2 } else { days };
    let folder = tempfile::tempdir().unwrap();
    let archive = workload::archive::<State>(folder.path(), "growth");
    timely::execute_directly(move |worker| {
        let view = View::new("growth").unwrap();
        let (mut events, mut queries) = (InputHandle::new(), InputHandle::new());
        let probe = ProbeHandle::new();
        let answer = Rc::new(RefCell::new(None));
        let status = worker.dataflow(|scope| {
            let events = events.to_stream(scope);
            let event = |&(time, key, value): &Event| Some((time, key, stats(value)));
            let folded = events.fold_days(view.clone(), &archive, event).unwrap();
            folded.progress().probe_with(&probe);
            let answered = Rc::clone(&answer);
            let answers = folded.serve(queries.to_stream(scope));
            answers
                .inspect(move |reply: &Answer<u64, State>| *answered.borrow_mut() = reply.value())
                .probe_with(&probe);
            folded.status()
        });
        let (mut ticks, mut peak) = (Vec::new(), 0);
        let mut now = Moment::new(EventTime::MIN, 1);
        for day in 0..days {
            let time = START + day as i64 * DAY_MS;
            let mut tick: Vec<Event> =
                (0..TICK).map(|rank| (time, workload::key(rank), day)).collect();
            let start = Instant::now();
            events.advance_to(now);
            queries.advance_to(now);
            events.send_batch(&mut tick);
            now = Moment::new(view.upper(view.calendar().day_of(time)), now.tick + 1);
            events.advance_to(now);
            queries.advance_to(now);
            worker.step_or_park_while(Some(Duration::from_millis(1)), || {
                peak = peak.max(memory::of(memory::ANONYMOUS));
                probe.less_than(&now) || status.numbers().closed > 0
            });
            ticks.push(start.elapsed());
        }
        let numbers = status.numbers();
        assert_eq!((numbers.sealed_days as u64, numbers.unsealed_days), (days, 0));
        queries.send(Query::total(DayRange::ALL));
        now.tick += 1;
        events.advance_to(now);
        queries.advance_to(now);
        worker.step_or_park_while(None, || probe.less_than(&now));
        let keys = TICK as u64;
        let expected = (days * keys, keys * (days * (days - 1) / 2), days - 1);
        let found = answer.borrow_mut().take().map(|value: State| value.checked());
        assert_eq!(found, Some(expected), "the result is wrong");
        Measured::of(ticks, peak)
    })
}
