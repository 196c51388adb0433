//! Sealed days in your own dataflow: joined in place, without being loaded.
//!
//!     cargo run --example 05-import-sealed-days
//!
//! The first dataflow seals a day into a folder. The second one, with its own timestamp, joins the sealed days with a
//! table of names. Before: `04-service`. Next: `06-own-source`.

use std::sync::Arc;

use dayfold::aggregate::Count;
use dayfold::import::Imported;
use dayfold::serve::Revision;
use dayfold::store::{Disk, Store, StoreConfig, ViewRecord};
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Archive, FoldDays, Moment};
use differential_dataflow::input::InputSession;
use timely::dataflow::InputHandle;
use timely::dataflow::operators::{Exchange, Inspect};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Each process keeps the sealed days of its own workers, in its own folder.
    let folder = tempfile::tempdir()?;
    let view = View::new("visits")?.defined_as("one for each visit");
    let config = StoreConfig::new(0, 1, vec![ViewRecord::of::<u64, Count>(&view)]);
    let store = Arc::new(Store::open(Arc::new(Disk), folder.path(), config)?);
    store.begin()?;
    let archive = Archive::folder(Arc::clone(&store));

    let (sealing, sealed) = (archive.clone(), view);
    let workers = timely::execute_from_args(std::env::args(), move |worker| {
        let mut visits = InputHandle::<Moment, _>::new();
        let status = worker.dataflow(|scope| {
            let view = sealed.clone();
            let event = |&(time, page): &(i64, u64)| Some((time, page, Count::one()));
            let visits = visits.to_stream(scope).fold_days(view, &sealing, event);
            visits.expect("the folder can be read").status()
        });
        let events = if worker.index() == 0 { 0..1_000 } else { 0..0 };
        events.for_each(|n| visits.send((n * 1_000, n as u64 % 40)));
        visits.close(); // All days close, and are sealed.
        worker.step_or_park_while(None, || !status.finished());
    })?;
    workers.join().into_iter().collect::<Result<(), String>>()?;
    store.complete()?;

    let workers = timely::execute_from_args(std::env::args(), move |worker| {
        let mut names = InputSession::<u32, (u64, String), isize>::new();
        worker.dataflow(|scope| {
            let visits: Imported<'_, u32, u64, Count> = archive
                .import(scope, "visits", DayRange::ALL, Revision::Now)
                .expect("the folder can be read");
            let names = visits.arrange(names.to_collection(scope));
            visits
                .arranged()
                .join_core(names, |_page, day, name| [(*day, name.clone())])
                .inner
                .exchange(|_| 0) // To be printed by one.
                .inspect(|((day, name), _, count)| println!("{day}  {name}: {}", count.0));
        });
        if worker.index() == 0 {
            names.insert((7, "/prices".to_owned()));
        }
    })?;
    Ok(workers.join().into_iter().collect::<Result<(), String>>()?)
}
