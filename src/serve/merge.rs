//! Merges an answer from its pieces, item by item, on the thread that wants it rather than on a worker.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

use super::{Answer, Certificate, Cut, Item, Piece, RankFn, Shape};
use crate::aggregate::Aggregate;
use crate::archive::Sealed;
use crate::key::Key;

/// Pieces of a worker that were not taken yet.
struct Source<K: Key, A: Aggregate> {
    by: u64,
    items: VecDeque<Item<K, A>>,
    /// How many items are left of each piece.
    pieces: VecDeque<usize>,
    is_over: bool,
}

impl<K: Key, A: Aggregate> Source<K, A> {
    /// Takes the next item, and notes if a piece is used up.
    fn pop(&mut self, used_up: &mut Vec<u64>) -> Option<Item<K, A>> {
        let item = self.items.pop_front()?;
        if let Some(left) = self.pieces.front_mut() {
            *left -= 1;
            if *left == 0 {
                self.pieces.pop_front();
                used_up.push(self.by);
            }
        }
        Some(item)
    }
}

/// The pieces of an answer that have come, and how far they were read.
pub(crate) struct Merge<K: Key, A: Aggregate> {
    shape: Shape,
    ranks: Arc<Vec<Arc<RankFn<A>>>>,
    sources: Vec<Source<K, A>>,
    of: u64,
    certificate: Option<Certificate>,
    cut: Option<Cut>,
    /// For queries of the greatest keys by a measure: the items of all workers, in order.
    ranked: Option<VecDeque<Item<K, A>>>,
    /// The workers whose pieces are used up.
    used_up: Vec<u64>,
    /// Files that were not taken yet.
    files: Vec<Sealed<K, A>>,
}

/// The next item.
pub(crate) enum Next<K: Key, A: Aggregate> {
    Item(Item<K, A>),
    /// More pieces must come first.
    Waiting,
    End,
    Cut(Cut),
}

impl<K: Key, A: Aggregate> Merge<K, A> {
    pub(crate) fn new(shape: Shape, ranks: Arc<Vec<Arc<RankFn<A>>>>) -> Self {
        let (sources, of, certificate) = (Vec::new(), u64::MAX, None);
        Merge {
            shape,
            ranks,
            sources,
            of,
            certificate,
            cut: None,
            ranked: None,
            used_up: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Takes in a piece. The pieces of one worker come in order.
    pub(crate) fn add(&mut self, piece: Piece<K, A>) {
        let Piece { by, of, as_of, sealed_through, counts, items, files, is_last, cut, .. } = piece;
        let (kept_from, late, refused) = (piece.kept_from, counts.late, counts.refused);
        let first = Certificate { as_of, sealed_through, kept_from, late, refused };
        let certificate = self.certificate.get_or_insert(first);
        if cut.is_none() {
            assert_eq!(certificate.as_of, as_of, "one answer, one moment");
        }
        // Workers swap files in at different instants; the certificate claims only what all have swapped in.
        certificate.sealed_through = certificate.sealed_through.min(sealed_through);
        self.cut = self.cut.or(cut);
        self.of = of;
        let at = self.sources.iter().position(|source| source.by == by);
        let at = at.unwrap_or_else(|| {
            self.sources.push(Source {
                by,
                items: VecDeque::new(),
                pieces: VecDeque::new(),
                is_over: false,
            });
            self.sources.len() - 1
        });
        let source = &mut self.sources[at];
        if !items.is_empty() {
            source.pieces.push_back(items.len());
        }
        source.items.extend(items);
        self.files.extend(files);
        source.is_over |= is_last;
    }

    /// The certificate of the answer, once every worker has sent a piece.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        self.certificate.filter(|_| self.sources.len() as u64 == self.of)
    }

    pub(crate) fn cut(&self) -> Option<Cut> {
        self.cut
    }

    /// Whether no more pieces come.
    pub(crate) fn is_complete(&self) -> bool {
        self.sources.len() as u64 == self.of && self.sources.iter().all(|source| source.is_over)
    }

    /// The workers that may send one more piece, because one of theirs is used up.
    pub(crate) fn used_up(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.used_up)
    }

    /// The files that have come since they were last taken.
    pub(crate) fn take_files(&mut self) -> Vec<Sealed<K, A>> {
        std::mem::take(&mut self.files)
    }

    /// How many items have come.
    pub(crate) fn len(&self) -> usize {
        self.sources.iter().map(|source| source.items.len()).sum()
    }

    /// The next item, in the order of the shape. Items that are zero are left out, as in a differential collection.
    pub(crate) fn next(&mut self) -> Next<K, A> {
        if let Some(cut) = self.cut {
            return Next::Cut(cut);
        }
        if matches!(self.shape, Shape::Top { .. }) {
            return self.next_ranked();
        }
        loop {
            let is_waiting = |source: &Source<K, A>| source.items.is_empty() && !source.is_over;
            if self.sources.len() as u64 != self.of || self.sources.iter().any(is_waiting) {
                return Next::Waiting;
            }
            let heads = self.sources.iter().enumerate();
            let heads = heads.filter_map(|(at, source)| Some((at, source.items.front()?)));
            let least = heads.min_by(|(_, a), (_, b)| (a.day, &a.key).cmp(&(b.day, &b.key)));
            let Some((least, _)) = least else { return Next::End };
            let Some(mut item) = self.sources[least].pop(&mut self.used_up) else {
                return Next::End;
            };
            // In shapes without keys, every worker has a part.
            for source in &mut self.sources {
                let is_same = |other: &Item<K, A>| (other.day, &other.key) == (item.day, &item.key);
                if source.items.front().is_some_and(is_same)
                    && let Some(other) = source.pop(&mut self.used_up)
                {
                    item.revision = item.revision.max(other.revision);
                    item.parts.combine(&other.parts);
                }
            }
            if !item.parts.is_zero() {
                return Next::Item(item);
            }
        }
    }

    fn next_ranked(&mut self) -> Next<K, A> {
        if self.ranked.is_none() {
            if !self.is_complete() {
                return Next::Waiting;
            }
            self.ranked = Some(self.rank().into());
        }
        match self.ranked.as_mut().and_then(VecDeque::pop_front) {
            Some(item) => Next::Item(item),
            None => Next::End,
        }
    }

    fn rank(&mut self) -> Vec<Item<K, A>> {
        let Shape::Top { n, measure } = self.shape else { return Vec::new() };
        let Some(rank) = self.ranks.get(measure.place()) else { return Vec::new() };
        let items = self.sources.iter_mut().flat_map(|source| source.items.drain(..));
        let of = |item: Item<K, A>| (item.parts.merged().and_then(|merged| rank(&merged)), item);
        let mut ranked: Vec<_> = items.map(of).collect();
        // Items of several workers: keys with equal values are in order of key.
        ranked.sort_by(|(a, one), (b, other)| {
            Reverse(*a).cmp(&Reverse(*b)).then_with(|| one.key.cmp(&other.key))
        });
        ranked.truncate(n as usize);
        ranked.into_iter().map(|(_, item)| item).collect()
    }

    /// The whole answer to a query without errors, once all pieces have come.
    pub(crate) fn finish(mut self, id: u64) -> Result<Answer<K, A>, Cut> {
        let mut items = Vec::new();
        loop {
            match self.next() {
                Next::Item(item) => items.push(item),
                Next::End => break,
                Next::Cut(cut) => return Err(cut),
                Next::Waiting => unreachable!("all pieces have come"),
            }
        }
        let certificate = self.certificate.expect("every worker has said something");
        Ok(Answer { id, certificate, items, error: None })
    }
}
