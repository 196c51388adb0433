//! The committed extents of the partitions of sources, by their names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The committed extent of a partition: `[from, to)`, in the source's own numbers, which ascend within a partition.
///
/// One worker of a run reads a partition, in order, and the next run continues where it stopped. So the extents of all
/// runs touch, and there are no holes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Extent {
    /// How often the source was told to start again somewhere else, because what the log refers to no longer exists.
    pub epoch: u32,
    /// The beginning.
    pub from: u64,
    /// The end, which is not in the extent.
    pub to: u64,
    /// What the source needs to continue at `to`; the log does not interpret it.
    pub mark: Vec<u8>,
}

/// Extents by the names of the source and of the partition.
pub(crate) type Extents = BTreeMap<String, Extent>;

/// Adds a later extent to the existing one.
///
/// # Errors
/// If the two do not touch, in one epoch, or the later one is of an earlier epoch. Nothing has changed then.
pub(super) fn extend(
    extents: &mut Extents,
    name: &str,
    later: &Extent,
) -> Result<(), &'static str> {
    if later.from > later.to {
        return Err("a record has an impossible extent of a partition");
    }
    let Some(extent) = extents.get_mut(name) else {
        extents.insert(name.to_owned(), later.clone());
        return Ok(());
    };
    if extent.epoch < later.epoch {
        // Started again: the earlier extent counts, but its numbers no longer matter.
        *extent = later.clone();
        return Ok(());
    }
    if (extent.epoch, extent.to) != (later.epoch, later.from) {
        return Err("a record does not go on where a partition was read to");
    }
    (extent.to, extent.mark) = (later.to, later.mark.clone());
    Ok(())
}

/// The committed extent of each partition in all logs together.
///
/// # Errors
/// If records of a partition are missing or count twice, with its name and both numbers.
pub(crate) fn joined(extents: Vec<(String, Extent)>) -> Result<Extents, String> {
    let mut extents = extents;
    extents.sort_by(|(a, x), (b, y)| (a, x.epoch, x.from, x.to).cmp(&(b, y.epoch, y.from, y.to)));
    let mut joined = Extents::new();
    for (name, later) in extents {
        match joined.get_mut(&name) {
            // Started again: the earlier extent counts, but its numbers no longer matter.
            Some(extent) if extent.epoch < later.epoch => *extent = later,
            Some(extent) if extent.to != later.from => {
                let what = if extent.to < later.from { "has lost" } else { "has twice" };
                let (to, from) = (extent.to.min(later.from), extent.to.max(later.from));
                return Err(format!(
                    "the log {what} what lies between {to} and {from} of '{name}'"
                ));
            }
            Some(extent) => (extent.to, extent.mark) = (later.to, later.mark),
            None => drop(joined.insert(name, later)),
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(epoch: u32, from: u64, to: u64) -> Extent {
        Extent { epoch, from, to, mark: to.to_le_bytes().to_vec() }
    }

    #[test]
    fn a_stream_extends_what_it_has() {
        let mut extents = Extents::new();
        for (from, to) in [(5, 9), (9, 9), (9, 20)] {
            extend(&mut extents, "t/0", &extent(0, from, to)).unwrap();
        }
        assert_eq!(extents["t/0"], extent(0, 5, 20));
        for wrong in [extent(0, 19, 21), extent(0, 21, 22), extent(1, 21, 20), extent(0, 20, 19)] {
            assert!(extend(&mut extents, "t/0", &wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(extents["t/0"], extent(0, 5, 20));
        // A new epoch begins anywhere, and nothing of an earlier one follows it.
        extend(&mut extents, "t/0", &extent(2, 0, 3)).unwrap();
        extend(&mut extents, "t/0", &extent(2, 3, 4)).unwrap();
        for wrong in [extent(0, 20, 21), extent(1, 4, 5)] {
            assert!(extend(&mut extents, "t/0", &wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(extents["t/0"], extent(2, 0, 4));
    }

    #[test]
    fn runs_go_on_where_others_have_stopped() {
        let named = |name: &str, extent| (name.to_owned(), extent);
        let all = vec![
            named("t/1", extent(0, 0, 3)),
            named("t/0", extent(0, 20, 30)),
            named("t/0", extent(0, 5, 20)),
            named("t/0", extent(0, 30, 30)),
        ];
        let found = joined(all).unwrap();
        assert_eq!(found["t/0"], extent(0, 5, 30));
        assert_eq!(found["t/1"], extent(0, 0, 3));
    }

    #[test]
    fn holes_and_overlaps_are_named_and_a_new_epoch_is_neither() {
        let of = |extents: &[Extent]| {
            joined(extents.iter().map(|extent| ("t/0".to_owned(), extent.clone())).collect())
        };
        let hole = of(&[extent(0, 5, 20), extent(0, 21, 30)]).unwrap_err();
        assert_eq!(hole, "the log has lost what lies between 20 and 21 of 't/0'");
        let twice = of(&[extent(0, 5, 20), extent(0, 18, 30)]).unwrap_err();
        assert_eq!(twice, "the log has twice what lies between 18 and 20 of 't/0'");
        let anew = of(&[extent(0, 5, 20), extent(1, 0, 4), extent(1, 4, 7)]).unwrap();
        assert_eq!(anew["t/0"], extent(1, 0, 7));
    }
}
