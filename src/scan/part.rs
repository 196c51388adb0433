//! A sealed file as part of an answer.

use std::fmt;
use std::sync::Arc;

use super::direct::Direct;
use super::layout::place_of;
use super::resolve::RowsOf;
use super::{BATCH_ROWS, Batch, ScanError};
use crate::aggregate::Aggregate;
use crate::archive::{LivePart, Sealed};
use crate::batch::FilePosition;
use crate::codec;
use crate::key::Key;
use crate::serve::{Certificate, Item, Parts};
use crate::yielding::let_lanes_run;

/// The rows of a sealed period on one worker: a part of the answer to a scan
/// [in any order](super::Scan::in_any_order), which any thread can read. It stays as it is, whatever happens to the
/// view meanwhile. See [`Batches::parts`](super::Batches::parts). While the engine seals, the thread that reads it sleeps
/// for most of the time, so that reading does not slow down ingest.
///
/// ```
/// use dayfold::scan::{Part, ScanError};
///
/// fn rows(part: Part) -> Result<usize, ScanError> {
///     part.map(|batch| batch.map(|batch| batch.rows())).sum()
/// }
/// ```
pub struct Part(Box<dyn ReadPart>);

trait ReadPart: Send {
    fn read(&mut self) -> Result<Option<Batch>, ScanError>;
}

impl Part {
    pub(super) fn new<K: Key, A: Aggregate>(
        file: Sealed<K, A>,
        (of, direct): (RowsOf<A>, Option<Arc<Direct>>),
        certificate: Certificate,
    ) -> Part {
        let (opened, at) = (None, FilePosition::default());
        Part(Box::new(FileRows { file, opened, at, of, direct, certificate }))
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").finish_non_exhaustive()
    }
}

impl Iterator for Part {
    type Item = Result<Batch, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.read().transpose()
    }
}

/// The rows of a file.
struct FileRows<K: Key, A: Aggregate> {
    file: Sealed<K, A>,
    /// The file, from the first batch on.
    opened: Option<LivePart<K, A>>,
    at: FilePosition,
    of: RowsOf<A>,
    direct: Option<Arc<Direct>>,
    certificate: Certificate,
}

impl<K: Key, A: Aggregate> ReadPart for FileRows<K, A> {
    fn read(&mut self) -> Result<Option<Batch>, ScanError> {
        let view = self.of.layout.view();
        let unreadable = |why: String| ScanError::Unreadable { view: view.to_owned(), why };
        let part = match self.opened.take() {
            Some(part) => part,
            None => self.file.open().map_err(|error| unreadable(error.to_string()))?,
        };
        let columns = self.of.layout.columns();
        let room = part.view.rows().min(BATCH_ROWS as u64) as usize;
        loop {
            let columns = Arc::clone(columns);
            let mut batch = Batch::with_room(columns, self.certificate, room);
            let mut error = None;
            let read = match &self.direct {
                Some(direct) => {
                    let read = part.view.visit_encoded(
                        &part.coverage,
                        &mut self.at,
                        BATCH_ROWS,
                        &mut |key, state| direct.read(key, state, &mut batch),
                    );
                    direct.finish(part.day, &mut batch);
                    read
                }
                None => part.view.visit_encoded(
                    &part.coverage,
                    &mut self.at,
                    BATCH_ROWS,
                    &mut |key, aggregate| {
                        let Some(item) = item(&part, key, aggregate) else { return false };
                        if error.is_none() && !item.parts.is_zero() {
                            error = push(&self.of, &item, &mut batch).err();
                        }
                        true
                    },
                ),
            };
            let read = read.map_err(|error| unreadable(error.to_string()))?;
            let_lanes_run();
            match error {
                Some(error) => return Err(error),
                None if read == 0 => return Ok(None),
                // All of them may have been zero.
                None if batch.rows() == 0 => {}
                None => {
                    self.opened = Some(part);
                    return Ok(Some(batch));
                }
            }
        }
    }
}

/// A row, if it can be decoded.
fn item<K: Key, A: Aggregate>(
    part: &LivePart<K, A>,
    mut key: &[u8],
    aggregate: &[u8],
) -> Option<Item<K, A>> {
    let decoded = K::decode(&mut key).ok().filter(|_| key.is_empty())?;
    let parts = Parts { batch: Some(codec::decode(aggregate).ok()?), ..Parts::empty() };
    let (day, key, revision) = (Some(part.day), Some(decoded), Some(part.closing.day));
    Some(Item { day, key, revision, parts })
}

fn push<K: Key, A: Aggregate>(
    of: &RowsOf<A>,
    item: &Item<K, A>,
    batch: &mut Batch,
) -> Result<(), ScanError> {
    let row = of.layout.row(item, &place_of(item), of.own.as_deref())?;
    batch.push(of.layout.view(), &row)
}
