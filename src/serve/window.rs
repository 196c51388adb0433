//! Reads some keys of several files and tables, each with all of its parts, or all keys into one value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Parts;
use crate::aggregate::Aggregate;
use crate::archive::LivePart;
use crate::batch::{BatchError, Bookmark, Prefix, Takes, Total as FileTotal};
use crate::key::{Key, KeyRange, encoded};
use crate::speed::Layer;
use crate::table::Table;
use crate::time::Day;

/// After how many rows a reader checks whether its answer is still wanted.
const LOOK_EVERY: usize = 128;

/// The keys of a look-up.
pub(super) enum Chosen<K> {
    One { hash: u64, key: K, bytes: Vec<u8> },
    Range(KeyRange),
}

/// The latest revision of a batch view that took part, and the value by layer.
type FoundParts<A> = (Option<Day>, Parts<A>);

fn add<A: Aggregate>(found: &mut FoundParts<A>, layer: Layer, aggregate: Cow<'_, A>) {
    if let Layer::Batch(closing) = layer {
        found.0 = found.0.max(Some(closing));
    }
    found.1.add(layer, aggregate);
}

/// The least keys of an interval, up to a number, each with all that was added to it.
pub(super) struct Window<'a, K: Key, A: Aggregate> {
    from: &'a [u8],
    to: Option<&'a [u8]>,
    most: usize,
    rows: BTreeMap<K, FoundParts<A>>,
    /// Once there were too many keys: the greatest remaining key, which only becomes less. So a key that was left out
    /// never comes back, and the remaining keys are whole.
    greatest: Option<(K, Vec<u8>)>,
    layer: Layer,
    seen: usize,
    goes_on: &'a dyn Fn() -> bool,
}

impl<'a, K: Key, A: Aggregate> Window<'a, K, A> {
    /// A window of at most `most` encoded keys in `[from, to)`, the least ones.
    pub(super) fn new(
        from: &'a [u8],
        to: Option<&'a [u8]>,
        most: usize,
        goes_on: &'a dyn Fn() -> bool,
    ) -> Self {
        let (rows, layer) = (BTreeMap::new(), Layer::Speed);
        Window { from, to, most: most.max(1), rows, greatest: None, layer, seen: 0, goes_on }
    }

    /// The keys, and whether there are more in the interval.
    pub(super) fn finish(self) -> (BTreeMap<K, FoundParts<A>>, bool) {
        (self.rows, self.greatest.is_some())
    }

    /// Adds the rows of a file. `bookmark` is where the previous window ended.
    pub(super) fn add_file(
        &mut self,
        part: &LivePart<K, A>,
        chosen: &Chosen<K>,
        bookmark: &mut Bookmark,
    ) -> Result<(), BatchError> {
        self.layer = batch_layer(part);
        match chosen {
            Chosen::One { hash, key, bytes } => {
                if bytes.as_slice() >= self.from
                    && let Some(aggregate) = part.view.get(*hash, bytes)?
                {
                    self.add(key, Cow::Owned(aggregate));
                }
            }
            Chosen::Range(_) => {
                let interval = (self.from, self.to);
                part.view.read_interval(interval, &part.coverage, bookmark, self)?;
            }
        }
        Ok(())
    }

    /// Adds the rows of a table. It scans the table, or uses the order of its rows if they were sorted; then `reached`
    /// is where the previous window ended.
    pub(super) fn add_table(
        &mut self,
        layer: Layer,
        table: &Table<K, A>,
        chosen: &Chosen<K>,
        reached: Option<&mut Vec<usize>>,
    ) {
        self.layer = layer;
        match chosen {
            Chosen::One { hash, key, bytes } => {
                if bytes.as_slice() >= self.from
                    && let Some(aggregate) = table.get(*hash, key)
                {
                    self.add(key, Cow::Borrowed(aggregate));
                }
            }
            Chosen::Range(_) => {
                if let Some(reached) = reached {
                    let interval = (self.from, self.to);
                    table.visit_interval(interval, reached, &mut |key, aggregate| {
                        if self.greatest.as_ref().is_none_or(|(greatest, _)| key <= greatest) {
                            self.add(key, Cow::Borrowed(aggregate));
                        }
                        self.is_wanted_at_all()
                    });
                    return;
                }
                let is_all = self.from.is_empty() && self.to.is_none();
                let mut bytes = Vec::new();
                for (key, aggregate) in table.iter() {
                    if !self.is_wanted_at_all() {
                        return;
                    }
                    if self.greatest.as_ref().is_some_and(|(greatest, _)| key > greatest) {
                        continue;
                    }
                    if !is_all {
                        bytes.clear();
                        key.encode(&mut bytes);
                        if bytes.as_slice() < self.from
                            || self.to.is_some_and(|to| &bytes[..] >= to)
                        {
                            continue;
                        }
                    }
                    self.add(key, Cow::Borrowed(aggregate));
                }
            }
        }
    }

    fn is_wanted_at_all(&mut self) -> bool {
        self.seen += 1;
        !self.seen.is_multiple_of(LOOK_EVERY) || (self.goes_on)()
    }

    fn add(&mut self, key: &K, aggregate: Cow<'_, A>) {
        if let Some(found) = self.rows.get_mut(key) {
            add(found, self.layer, aggregate);
            return;
        }
        let mut found = (None, Parts::empty());
        add(&mut found, self.layer, aggregate);
        self.rows.insert(key.clone(), found);
        if self.rows.len() > self.most {
            self.rows.pop_last();
            let greatest = self.rows.last_key_value().map(|(key, _)| key.clone());
            self.greatest = greatest.map(|key| (key.clone(), encoded(&key)));
        }
    }
}

impl<K: Key, A: Aggregate> Takes<K, A> for Window<'_, K, A> {
    fn wants(&self, key: &[u8]) -> bool {
        self.greatest.as_ref().is_none_or(|(_, greatest)| key <= &greatest[..])
    }

    fn take(&mut self, key: K, aggregate: A) -> bool {
        self.add(&key, Cow::Owned(aggregate));
        self.is_wanted_at_all()
    }
}

/// All keys in one value.
pub(super) struct Total<'a, A: Aggregate> {
    pub(super) found: Option<FoundParts<A>>,
    pub(super) goes_on: &'a dyn Fn() -> bool,
    pub(super) seen: usize,
}

impl<A: Aggregate> Total<'_, A> {
    fn add(&mut self, layer: Layer, aggregate: Cow<'_, A>) -> bool {
        let found = self.found.get_or_insert_with(|| (None, Parts::empty()));
        add(found, layer, aggregate);
        self.seen += 1;
        !self.seen.is_multiple_of(LOOK_EVERY) || (self.goes_on)()
    }

    /// Reads a file. Files are read for shapes without keys only here.
    pub(super) fn add_file<K: Key>(
        &mut self,
        part: &LivePart<K, A>,
        chosen: &Chosen<K>,
    ) -> Result<(), BatchError> {
        let layer = batch_layer(part);
        // If no keys are returned, the keys of a prefix may come as one total.
        if let Chosen::Range(range) = chosen
            && let Some(prefix) = Prefix::of::<K>(range)
            && let FileTotal::Kept(total) = part.view.total(prefix, &part.coverage)?
        {
            total.into_iter().for_each(|total| _ = self.add(layer, Cow::Owned(total)));
            return Ok(());
        }
        match chosen {
            Chosen::One { hash, bytes, .. } => {
                if let Some(aggregate) = part.view.get(*hash, bytes)? {
                    self.add(layer, Cow::Owned(aggregate));
                }
            }
            Chosen::Range(range) if range.is_all() => {
                for row in part.view.scan(&part.coverage) {
                    let (_, _, aggregate) = row?;
                    if !self.add(layer, Cow::Owned(aggregate)) {
                        break;
                    }
                }
            }
            Chosen::Range(range) => {
                let (interval, mut bookmark) =
                    ((range.lower(), range.upper()), Bookmark::default());
                let mut takes = Within { layer, total: self };
                part.view.read_interval(interval, &part.coverage, &mut bookmark, &mut takes)?;
            }
        }
        Ok(())
    }

    pub(super) fn add_table<K: Key>(
        &mut self,
        layer: Layer,
        table: &Table<K, A>,
        chosen: &Chosen<K>,
    ) {
        match chosen {
            Chosen::One { hash, key, .. } => {
                if let Some(aggregate) = table.get(*hash, key) {
                    self.add(layer, Cow::Borrowed(aggregate));
                }
            }
            Chosen::Range(range) => {
                let mut bytes = Vec::new();
                for (key, aggregate) in table.iter() {
                    if !range.is_all() {
                        bytes.clear();
                        key.encode(&mut bytes);
                        if !range.contains(&bytes) {
                            continue;
                        }
                    }
                    if !self.add(layer, Cow::Borrowed(aggregate)) {
                        return;
                    }
                }
            }
        }
    }
}

/// The rows of a range in one value.
struct Within<'a, 'b, A: Aggregate> {
    layer: Layer,
    total: &'a mut Total<'b, A>,
}

impl<K: Key, A: Aggregate> Takes<K, A> for Within<'_, '_, A> {
    fn wants(&self, _: &[u8]) -> bool {
        true
    }

    fn take(&mut self, _: K, aggregate: A) -> bool {
        self.total.add(self.layer, Cow::Owned(aggregate))
    }
}

/// The layer of a file's rows.
fn batch_layer<K, A>(part: &LivePart<K, A>) -> Layer {
    Layer::Batch(part.closing.day)
}
