//! Threads for statements, for programs without a runtime, and those that read sealed files.

use std::io;
use std::sync::OnceLock;

use datafusion::common::{DataFusionError, exec_err};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// The number of threads that plan and run statements.
const THREADS: usize = 2;

/// The stack of a thread that plans: parser and planner use recursion. It takes memory only where it is used.
const STACK_BYTES: usize = 16 << 20;

/// How much lower the priority of threads is that read many rows. Beside a busy worker, such a thread gets a thirtieth of
/// a processor.
#[cfg(target_os = "linux")]
const GIVE_WAY: i32 = 15;

/// A runtime that shuts down when it is dropped, even where blocking is not allowed.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    pub(crate) fn start() -> io::Result<Threads> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_stack_size(STACK_BYTES)
            .thread_name("dayfold-sql")
            .enable_all()
            .build()?;
        Ok(Threads(Some(runtime)))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is there until this is dropped")
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime().block_on(work)
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime().spawn(work)
    }
}

/// Threads that read many rows, and compute with them, with a low priority. They run no faster than the processors have
/// time, and statements wait for them. So statements over many rows do not slow down the engine, while short ones have
/// its priority. They are started for the first scan that needs them.
pub(crate) struct Readers {
    threads: usize,
    started: OnceLock<io::Result<Threads>>,
}

impl Readers {
    pub(crate) fn new(threads: usize) -> Readers {
        Readers { threads, started: OnceLock::new() }
    }

    pub(crate) fn spawn(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<JoinHandle<()>, DataFusionError> {
        let start = || {
            let runtime = Builder::new_multi_thread()
                .worker_threads(self.threads)
                .thread_stack_size(STACK_BYTES)
                .thread_name("dayfold-scan")
                .enable_time()
                .on_thread_start(give_way)
                .build()?;
            Ok(Threads(Some(runtime)))
        };
        match self.started.get_or_init(start) {
            Ok(threads) => Ok(threads.spawn(work)),
            Err(error) => exec_err!("no threads to read with: {error}"),
        }
    }
}

/// Lowers the priority of this thread.
fn give_way() {
    // On other systems this would set the priority of the whole process.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let own = getpriority_process(None).unwrap_or(0);
        if let Err(error) = setpriority_process(None, (own + GIVE_WAY).min(19)) {
            tracing::debug!(%error, "a thread keeps the priority of workers");
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Running statements are stopped at their next wait.
            runtime.shutdown_background();
        }
    }
}
