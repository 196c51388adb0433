//! Which columns of a row are the key of a dynamic view, and which go into its state.

use std::sync::Arc;

use super::cell::MeasureKind;
use super::columns::Columns;
use super::encoding;
use super::key::put_end;
use super::row::RowBuilder;

/// Which columns of a row are the key, and which go into which cell.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) columns: Arc<Columns>,
    /// The places of the key's columns.
    pub(super) key: Vec<usize>,
    /// The cells of a state, each with its column.
    pub(super) cells: Vec<(MeasureKind, usize)>,
}

impl Plan {
    /// Appends the encoding of a row's key.
    pub(super) fn put_key(&self, row: &RowBuilder<'_>, out: &mut Vec<u8>) {
        self.key.iter().for_each(|&at| encoding::put(row.get(at), out));
        put_end(out);
    }
}
