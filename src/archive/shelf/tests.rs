use std::sync::Arc;

use super::*;
use crate::aggregate::Count;
use crate::batch::{BatchMeta, BatchWriter, Bytes};

/// A revision of day 1 with one row, which identifies it.
fn part(closing: i32, generation: u32, coverage: Coverage, count: i64) -> LivePart<u64, Count> {
    let (day, closing) = (Day(1), Closing::of(Day(closing)));
    let meta = BatchMeta { view: "v".to_owned(), day, closing: closing.day, coverage };
    let mut writer = BatchWriter::new(Vec::new(), meta, 1).unwrap();
    writer.push(7u64.hash64(), &7u64, &Count(count)).unwrap();
    let view = BatchView::open(Bytes::Owned(Arc::new(writer.finish().unwrap().0))).unwrap();
    LivePart { day, closing, generation, coverage, process: 0, worker: 0, packed: None, view }
}

/// The closing, the generation and the row's value of each part that a revision visits.
fn visited(shelf: &Shelf<u64, Count>, revision: Revision) -> Vec<(i32, u32, i64)> {
    let mut found = Vec::new();
    let visit = |part: LivePart<u64, Count>| {
        part.view.range(&crate::key::KeyRange::all(), &part.coverage, |_, _, count| {
            found.push((part.closing.day.0, part.generation, count.0));
        })?;
        Ok::<_, ArchiveError>(())
    };
    match revision {
        Revision::Now => shelf.visit(DayRange::ALL, None, visit),
        _ => {
            let past = shelf.past(revision, DayRange::ALL, None).unwrap().open().unwrap();
            past.iter().map(|sealed| sealed.open().unwrap()).try_for_each(visit)
        }
    }
    .unwrap();
    found
}

#[test]
fn the_newest_revision_counts_in_whatever_order_they_come() {
    let all = [(1, 0, 10), (1, 1, 11), (3, 0, 30), (3, 1, 31), (4, 0, 40)];
    for step in 1..all.len() {
        for shift in 0..all.len() {
            let mut shelf = Shelf::new(&Archive::in_memory(), "v", Coverage::ALL);
            for at in 0..all.len() {
                let (closing, generation, count) = all[(at * step + shift) % all.len()];
                shelf.put(part(closing, generation, Coverage::ALL, count));
            }
            assert_eq!(shelf.days(), 1);
            assert_eq!(visited(&shelf, Revision::Now), [(4, 0, 40)]);
            assert_eq!(visited(&shelf, Revision::First), [(1, 1, 11)]);
            for (last, expect) in [(1, (1, 1, 11)), (2, (1, 1, 11)), (3, (3, 1, 31))] {
                assert_eq!(visited(&shelf, Revision::At(Day(last))), [expect], "at {last}");
            }
            assert_eq!(visited(&shelf, Revision::At(Day(0))), []);
        }
    }
}

#[test]
fn an_older_revision_counts_where_no_newer_one_does() {
    let one = Coverage::from_iter([crate::key::partition(7u64.hash64())]);
    let mut shelf = Shelf::new(&Archive::in_memory(), "v", Coverage::ALL);
    let rest = Coverage::ALL.difference(one);
    shelf.put(LivePart { coverage: rest, ..part(3, 0, Coverage::ALL, 30) });
    shelf.put(part(1, 0, Coverage::ALL, 10));
    assert_eq!(visited(&shelf, Revision::Now), [(1, 0, 10)]);
    shelf.put(part(2, 5, one, 25));
    assert_eq!(visited(&shelf, Revision::Now), [(2, 5, 25)]);
}
