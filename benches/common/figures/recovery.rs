//! Recovery: how fast the events of open days are restored, from the start of the engine until queries are answered.
//! Nothing is sealed, so all of the log is replayed. Its files are in the system's cache.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dayfold::store::Disk;

use super::{GROUPED, LIMIT, Program, ingest, is_short, summary};
use crate::workload::{self, Event, START};

const BATCH: usize = 10_000;

pub(crate) fn measure() {
    let events = workload::events();
    let (reference, _) = workload::hash_map(std::slice::from_ref(&events));
    let (rounds, passes) = if is_short() { (1, 1) } else { (7, 3) };
    let count = events.len() * passes;
    println!("\nrecovery of {} million events of open days", count / 1_000_000);
    println!("{:<44} {:>10} {:>10}   events/s for each worker", "", "best", "median");
    let folder = tempfile::tempdir().unwrap();
    let start =
        |workers| Program::start(Arc::new(Disk), folder.path(), workers, Some(GROUPED), START);
    let program = start(2);
    let receipts: Vec<_> = (0..passes)
        .flat_map(|_| events.chunks(BATCH).map(<[Event]>::to_vec))
        .map(|batch| program.push(batch))
        .collect();
    receipts.iter().for_each(|receipt| receipt.wait_both(LIMIT).unwrap());
    drop(program);
    let mut rates = [1, 2].map(|workers| (workers, Vec::new()));
    for _ in 0..rounds {
        for (workers, rates) in &mut rates {
            let begun = Instant::now();
            let program = start(*workers);
            while !program.running.progress().recovered {
                assert!(begun.elapsed() < LIMIT, "the recovery does not end");
                std::thread::sleep(Duration::from_micros(500));
            }
            let time = begun.elapsed();
            rates.push(count as f64 / time.as_secs_f64() / *workers as f64);
            let progress = program.running.progress();
            assert_eq!((progress.replayed, progress.to_replay), (count as u64, count as u64));
            ingest::check(&program, &reference, passes);
        }
    }
    for (workers, rates) in rates {
        let (best, median) = summary(rates);
        let name = format!("{workers} worker(s)");
        println!("{name:<44} {:>8.2} M {:>8.2} M", best / 1e6, median / 1e6);
    }
}
