//! Batch views as Dayfold writes them: rows by bincode, found through an index by hash.

use dayfold::aggregate::Aggregate;
use dayfold::batch::{BatchMeta, BatchView, BatchWriter, Bytes, Coverage};
use dayfold::key::{Key, encoded};
use dayfold::time::Day;

use super::fold::and_then;
use super::{Codec, Fold, Outcome};

/// A block is a file, in memory. Encoding it also sorts the keys, and makes checksums and a digest. `decode` verifies
/// the checksums; `read` and `point` use the opened file. One item is found by its key.
pub(crate) struct BatchFile<K, A> {
    /// Hash and encoding of each key.
    keys: Vec<(u64, Vec<u8>)>,
    file: Bytes,
    view: Option<BatchView<K, A>>,
}

impl<K: Key, A: Aggregate> BatchFile<K, A> {
    /// For rows in the order of a batch view.
    pub(crate) fn new(rows: &[(K, A)]) -> BatchFile<K, A> {
        let keys = rows.iter().map(|(key, _)| (key.hash64(), encoded(key))).collect();
        BatchFile { keys, file: Vec::new().into(), view: None }
    }

    fn view(&self) -> Outcome<&BatchView<K, A>> {
        self.view.as_ref().ok_or_else(|| "the file is not open".into())
    }

    fn coverage() -> Coverage {
        Coverage::ALL
    }
}

impl<K: Key, A: Aggregate> Codec<(K, A)> for BatchFile<K, A>
where
    (K, A): Fold,
{
    fn encode(&mut self, rows: &Vec<(K, A)>) -> Outcome<usize> {
        let (view, day, coverage) = ("codec".to_owned(), Day(19_723), Self::coverage());
        let meta = BatchMeta { view, day, closing: day, coverage };
        let sink = Vec::with_capacity(self.file.len());
        let mut writer = BatchWriter::new(sink, meta, rows.len() as u64)?;
        for ((key, aggregate), (hash, _)) in rows.iter().zip(&self.keys) {
            writer.push(*hash, key, aggregate)?;
        }
        self.file = writer.finish()?.0.into();
        Ok(self.file.len())
    }

    fn decode(&mut self) -> Outcome<Vec<(K, A)>> {
        let view = BatchView::open(self.file.clone())?;
        let rows =
            view.scan(&Self::coverage()).map(|row| Ok(row.map(|(_, key, value)| (key, value))?));
        let rows = rows.collect();
        self.view = Some(view);
        rows
    }

    fn read(&mut self) -> Outcome<u64> {
        self.view()?.scan(&Self::coverage()).try_fold(0, |sum, row| {
            let (_, key, value) = row?;
            Ok(and_then(sum, &(key, value)))
        })
    }

    fn point(&mut self, at: usize) -> Outcome<(K, A)> {
        let (hash, key) = &self.keys[at];
        let value = self.view()?.get(*hash, key)?.ok_or("the row is not found")?;
        Ok((K::decode(&mut key.as_slice())?, value))
    }
}
