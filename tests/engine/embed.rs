//! The smallest dataflow of an embedder: events, a view with queries, and a probe.

use dayfold::aggregate::{Count, Max, Sum};
use dayfold::serve::{Answer, Query};
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Archive, FoldDays, Moment};
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

#[test]
fn a_dataflow_of_ones_own() {
    let archive = Archive::in_memory();
    let view = View::new("visits").unwrap().zone("Europe/Berlin").unwrap();
    let (sender, answers) = std::sync::mpsc::channel();
    timely::execute_directly(move |worker| {
        let mut events = InputHandle::<Moment, _>::new();
        let mut queries = InputHandle::<Moment, _>::new();
        let probe = ProbeHandle::new();
        worker.dataflow(|scope| {
            let stream = events.to_stream(scope);
            let visits = stream
                .fold_days(view, &archive, |&(time, page, ms): &(i64, u64, i64)| {
                    Some((time, page, (Count::one(), Sum::of(ms), Max(ms))))
                })
                .unwrap();
            visits
                .serve(queries.to_stream(scope))
                .inspect(move |answer: &Answer<_, _>| sender.send(answer.clone()).unwrap())
                .probe_with(&probe);
        });
        let now = Moment::new(i64::MIN, 1);
        events.advance_to(now);
        events.send((1_356_998_400_000, 7, 120));
        events.send((1_356_998_460_000, 7, 80));
        events.advance_to(Moment::new(i64::MIN, 2));
        queries.advance_to(now);
        queries.send(Query::point(7, DayRange::ALL));
        queries.advance_to(Moment::new(i64::MIN, 2));
        worker.step_or_park_while(None, || probe.less_equal(&now));
    });
    let answer = answers.recv().unwrap();
    assert_eq!(answer.value(), Some((Count(2), Sum::of(200), Max(120))));
    assert_eq!(answer.certificate.as_of, Moment::new(i64::MIN, 1));
}
