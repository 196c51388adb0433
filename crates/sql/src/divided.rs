//! A scan whose rows several threads make: each takes the next sealed file that nobody reads yet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, exec_datafusion_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use dayfold::scan::{Batch, Batches, ErasedView, Part, Scan, ScanError, Snapshot};
use futures_util::{StreamExt, stream};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinHandle;

use crate::batches::{external, to_arrow};
use crate::threads::Readers;

/// The most batches that a thread hands over together. To wake a thread for each of them would take a quarter of the time
/// of a large scan. The first ones come alone, for statements that need few rows.
const TOGETHER: usize = 8;

/// No more batches are added to those that have so many bytes.
const TOGETHER_BYTES: usize = 1 << 20;

/// How many times so many batches of a partition wait for the statement.
const WAITING: usize = 2;

/// What the scans of one run of a statement share: an extension of its task.
pub(crate) struct Execution {
    readers: Arc<Readers>,
    scans: Mutex<Scans>,
}

/// By plan step. A step may run more than once, as in recursive statements; each time is another scan.
#[derive(Default)]
struct Scans {
    begun: HashMap<usize, Vec<Arc<Divided>>>,
    /// How often each partition of a step was run.
    runs: HashMap<(usize, usize), usize>,
}

impl Execution {
    /// The scans of a run, which these threads read.
    pub(crate) fn new(readers: &Arc<Readers>) -> Execution {
        Execution { readers: Arc::clone(readers), scans: Mutex::default() }
    }

    /// The scan of a partition of a step, which is known by its address.
    fn scan(&self, step: usize, partition: usize) -> Arc<Divided> {
        let mut scans = locked(&self.scans);
        let run = scans.runs.entry((step, partition)).or_default();
        let at = *run;
        *run += 1;
        let begun = scans.begun.entry(step).or_default();
        begun.resize_with(begun.len().max(at + 1), Arc::default);
        Arc::clone(&begun[at])
    }
}

/// A scan in any order, once somebody has begun it.
#[derive(Default)]
pub(crate) struct Divided {
    begun: OnceCell<()>,
    parts: Mutex<VecDeque<Part>>,
    /// The rows of other periods, for one thread.
    others: Mutex<Option<Batches>>,
}

impl Divided {
    async fn begin(
        &self,
        view: &dyn ErasedView,
        scan: &Scan,
        at: Option<&Snapshot>,
    ) -> Result<(), ScanError> {
        let begin = async || {
            let mut others = view.scan(scan, at)?;
            *locked(&self.parts) = others.parts_async().await?.into();
            *locked(&self.others) = Some(others);
            Ok(())
        };
        self.begun.get_or_try_init(begin).await.copied()
    }
}

impl Execution {
    /// The rows that a partition of a step makes.
    pub(crate) fn rows(
        &self,
        (step, partition): (usize, usize),
        of: (Arc<dyn ErasedView>, Scan),
        at: Option<Arc<Snapshot>>,
        schema: &SchemaRef,
    ) -> Result<SendableRecordBatchStream> {
        let divided = self.scan(step, partition);
        let mut turn = Turn { divided, of, at, part: None, others: None };
        let (sender, receiver) = mpsc::channel(WAITING);
        let of_batches = Arc::clone(schema);
        let reading = self.readers.spawn(async move {
            let mut most = 1;
            loop {
                let (batches, is_last) = turn.some(most, &of_batches).await;
                if sender.send(batches).await.is_err() || is_last {
                    return;
                }
                most = (2 * most).min(TOGETHER);
            }
        })?;
        let rows = Some((receiver, VecDeque::new(), Reading(reading)));
        let rows = stream::unfold(rows, async |rows| {
            let (mut receiver, mut received, mut reading) = rows?;
            while received.is_empty() {
                match receiver.recv().await {
                    Some(more) => received = more,
                    None => return Some((Err(reading.failure().await?), None)),
                }
            }
            Some((received.pop_front()?, Some((receiver, received, reading))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), rows)))
    }
}

/// Runs a plan on the threads that read. They hand its rows over to whoever asks for them.
pub(crate) fn execute(
    readers: &Readers,
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let schema = plan.schema();
    let (sender, receiver) = mpsc::channel(WAITING);
    let running = readers.spawn(async move {
        let mut rows = match execute_stream(plan, task) {
            Ok(rows) => rows,
            Err(error) => return drop(sender.send(Err(error)).await),
        };
        while let Some(batch) = rows.next().await {
            let is_last = batch.is_err();
            if sender.send(batch).await.is_err() || is_last {
                return;
            }
        }
    })?;
    let rows = stream::unfold(Some((receiver, Reading(running))), async |rows| {
        let (mut receiver, mut running) = rows?;
        match receiver.recv().await {
            Some(batch) => Some((batch, Some((receiver, running)))),
            None => Some((Err(running.failure().await?), None)),
        }
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// Ends a task when nobody wants its rows.
struct Reading(JoinHandle<()>);

impl Reading {
    /// Why the task has ended early, if it has: then its rows are not all.
    async fn failure(&mut self) -> Option<DataFusionError> {
        let error = (&mut self.0).await.err()?;
        Some(exec_datafusion_err!("a thread that reads rows ended early: {error}"))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How far a partition is.
struct Turn {
    divided: Arc<Divided>,
    of: (Arc<dyn ErasedView>, Scan),
    at: Option<Arc<Snapshot>>,
    part: Option<Part>,
    others: Option<Batches>,
}

impl Turn {
    /// The next batches, at most so many, and whether they are the last ones.
    async fn some(
        &mut self,
        most: usize,
        schema: &SchemaRef,
    ) -> (VecDeque<Result<RecordBatch>>, bool) {
        let (mut batches, mut bytes) = (VecDeque::with_capacity(most), 0);
        while batches.len() < most && bytes < TOGETHER_BYTES {
            let Some(batch) = self.next().await else { return (batches, true) };
            let batch = batch.map_err(external).and_then(|batch| to_arrow(&batch, schema));
            let is_last = batch.is_err();
            bytes += batch.as_ref().map_or(0, RecordBatch::get_array_memory_size);
            batches.push_back(batch);
            if is_last {
                return (batches, true);
            }
        }
        (batches, false)
    }

    async fn next(&mut self) -> Option<Result<Batch, ScanError>> {
        let (view, scan) = &self.of;
        if let Err(error) = self.divided.begin(&**view, scan, self.at.as_deref()).await {
            return Some(Err(error));
        }
        loop {
            if let Some(batch) = self.part.as_mut().and_then(Part::next) {
                return Some(batch);
            }
            self.part = locked(&self.divided.parts).pop_front();
            if self.part.is_some() {
                continue;
            }
            if self.others.is_none() {
                self.others = locked(&self.divided.others).take();
            }
            return self.others.as_mut()?.next_async().await;
        }
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_early_is_an_error() {
        assert!(Reading(tokio::spawn(async {})).failure().await.is_none());
        let mut broken = Reading(tokio::spawn(async { panic!("of the test") }));
        let error = broken.failure().await.map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("ended early")));
    }
}
