//! Rows are distributed evenly over workers, although few keys have most of the events.

#[path = "../../benches/common/graph/traffic.rs"]
#[allow(dead_code, reason = "the benchmarks need more of it")]
mod traffic;

use crate::graph::{Graph, share};
use crate::workload;
use dayfold::Archive;
use traffic::Received;

#[test]
fn workers_receive_rows_that_differ_by_a_tenth_at_most() {
    let events = workload::first_events(400_000);
    for tick in [100_000, 10_000, 1_000] {
        let ticks: Vec<Vec<workload::Event>> = events.chunks(tick).map(<[_]>::to_vec).collect();
        for workers in [2, 3, 4] {
            let (ticks, archive) = (ticks.clone(), Archive::in_memory());
            let guards = timely::execute(timely::Config::process(workers), move |worker| {
                let received = Received::count(worker, workers);
                let mut graph = Graph::build(worker, &archive);
                for tick in share(&ticks, worker.index(), workers) {
                    graph.enter(worker, tick, 1);
                }
                worker.log_register().unwrap().flush();
                let [all, from_others, _] = received.borrow().rows();
                assert!(from_others > 0 && all > from_others);
                all
            });
            let received: Vec<i64> =
                guards.unwrap().join().into_iter().map(|rows| rows.unwrap()).collect();
            let (least, most) = (received.iter().min().unwrap(), received.iter().max().unwrap());
            println!("{workers} workers, ticks of {tick}: {received:?}");
            assert!(most * 10 <= least * 11, "{workers} workers, ticks of {tick}: {received:?}");
        }
    }
}
