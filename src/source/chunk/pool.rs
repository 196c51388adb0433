//! Threads that cut chunks. The caller hands them a chunk, and takes the result when it is that chunk's turn.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use super::{Chunk, Parsed, Parser};

/// Threads that cut the chunks of one source. Without threads, the caller that takes a result cuts the chunk.
pub(in crate::source) struct Pool {
    parser: Arc<Parser>,
    tasks: Option<mpsc::Sender<Task>>,
}

type Task = (Chunk, mpsc::SyncSender<Parsed>);

/// A chunk to be cut.
pub(in crate::source) enum Flight {
    Away(mpsc::Receiver<Parsed>),
    Here(Chunk),
}

impl Pool {
    pub(in crate::source) fn new(parser: Parser, threads: usize) -> Pool {
        let parser = Arc::new(parser);
        let (sender, tasks) = mpsc::channel::<Task>();
        let tasks = Arc::new(Mutex::new(tasks));
        let mut started = 0;
        for _ in 0..threads {
            let (parser, tasks) = (Arc::clone(&parser), Arc::clone(&tasks));
            let work = move || {
                loop {
                    let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((chunk, to)) = task else { return };
                    // If nobody takes it, the chunk was dropped.
                    let _ = to.send(parser.parse(chunk));
                }
            };
            let thread = std::thread::Builder::new().name("dayfold:cut".to_owned());
            // Fewer threads work as well.
            started += usize::from(thread.spawn(work).is_ok());
        }
        Pool { parser, tasks: (started > 0).then_some(sender) }
    }

    /// Hands out a chunk to be cut.
    pub(in crate::source) fn give(&self, chunk: Chunk) -> Flight {
        let Some(tasks) = &self.tasks else { return Flight::Here(chunk) };
        let (to, result) = mpsc::sync_channel(1);
        match tasks.send((chunk, to)) {
            Ok(()) => Flight::Away(result),
            Err(mpsc::SendError((chunk, _))) => Flight::Here(chunk),
        }
    }

    /// Takes the result of a chunk, and waits for it.
    pub(in crate::source) fn take(&self, flight: Flight) -> Parsed {
        match flight {
            Flight::Here(chunk) => self.parser.parse(chunk),
            Flight::Away(result) => {
                result.recv().expect("a thread that cuts chunks does not panic")
            }
        }
    }
}
