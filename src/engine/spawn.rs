//! The start of an engine's threads, and their end: a worker that ends early ends the engine, with a reason.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use timely::worker::Worker;

use super::change::Changes;
use super::error::{EngineError, Outcome};
use super::ingest::live::Queue;
use super::ingest::receipt::Waits;
use super::running::Running;
use super::shared::CONNECTION_LOST;
use super::start::Start;
use super::view::EngineView;
use super::worker::Turning;
use crate::cluster::Joined;

/// Tells all who ask, push or wait that nothing more will come.
pub(super) fn close<E: Send + Sync + 'static>(
    views: &[Arc<dyn EngineView<E>>],
    live: Option<&Arc<Queue<E>>>,
    waits: &Arc<Waits>,
    changes: &Arc<Changes<E>>,
) -> impl Fn() + Send + Sync + use<E> {
    let (views, live, waits) = (views.to_vec(), live.cloned(), Arc::clone(waits));
    let changes = Arc::clone(changes);
    move || {
        changes.close();
        views.iter().for_each(|view| view.close());
        live.iter().for_each(|queue| queue.close());
        waits.stop();
    }
}

/// Starts the workers of this process.
pub(super) fn spawn<E: Send + Sync + 'static>(
    mut joined: Joined,
    start: Start<E>,
) -> Result<Running, EngineError> {
    let start = Arc::new(start);
    let watching = Arc::clone(&start.shared);
    let watch =
        joined.watch(move |peer, address, notice| watching.noticed(peer, address, &notice))?;
    let (shared, archive) = (Arc::clone(&start.shared), start.archive.clone());
    let (close, at_desk) = (
        close(&start.views, start.live.as_ref(), &shared.waits, &start.changes),
        Arc::clone(&shared),
    );
    let changes = Arc::clone(&start.changes);
    let close: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        close();
        changes.wait_idle();
        at_desk.desk.close();
    });
    shared.offer(start.views.iter().map(|view| view.erased()));
    let guards = timely::execute::execute_from(
        joined.builders,
        joined.guard,
        timely::WorkerConfig::default(),
        move |worker| guarded(worker, &start),
    );
    let guards = guards.map_err(|message| EngineError::Failed { message })?;
    let (watched, closing) = (Arc::clone(&shared), Arc::clone(&close));
    let main = std::thread::Builder::new().name("dayfold:main".to_owned()).spawn(move || {
        // Joining also waits for the communication threads, which panic if a peer is gone.
        let joined = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let results = guards.join();
            results.into_iter().all(|result| result.is_ok())
        }));
        if !joined.unwrap_or(false) {
            watched.parted("a worker or a connection ended".to_owned());
        }
        // Another process may have stopped all: those who wait here are told.
        closing();
    });
    let main = main.map_err(|error| EngineError::Failed { message: error.to_string() })?;
    let (archive, main, interrupting) = (Some(archive), Some(main), AtomicBool::new(false));
    Ok(Running { shared, archive, main, watch, close, interrupting })
}

/// Runs a worker; if it ends early for any reason, the engine ends with that reason.
fn guarded<E: Send + Sync + 'static>(worker: &mut Worker, start: &Start<E>) {
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| Turning::new(worker, start).run()));
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(panic) => {
            let message = panic_message(&*panic);
            start.shared.parted(message.clone());
            Outcome::Failed(message)
        }
    };
    if !outcome.is_orderly() {
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
    }
    start.shared.stopped(outcome);
    start.views.iter().for_each(|view| view.close());
    start.changes.close();
    start.shared.desk.close();
    start.live.iter().for_each(|queue| queue.close());
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "unknown panic".to_owned());
    // Timely reports a lost peer only in this way, and does not say which one.
    if text.contains("MergeQueue poisoned") {
        return CONNECTION_LOST.to_owned();
    }
    format!("a worker stopped: {text}")
}
