//! A data folder that was started from an export: which rows it took over, and what counts of records that are read
//! again.
//!
//! `start-from.json` says so in the folder, before anything is read. Rows that are taken over are events of layouts of
//! their own, one for each view, and so are events that count for some views only: the log has all that a view is
//! computed from.

use std::collections::BTreeMap;
use std::path::Path;

use dayfold::dynamic::{Event, RowValue};
use dayfold::store::ViewRecord;
use dayfold::time::EventTime;
use serde::{Deserialize, Serialize};

use super::layouts::{Layout, Layouts};
use crate::replace::replace_durably;

const FILE: &str = "start-from.json";
const FORMAT: u32 = 1;

/// What a folder was started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Past {
    format: u32,
    /// Where the export is.
    pub(crate) url: String,
    /// The views whose sealed periods are taken over.
    pub(crate) views: BTreeMap<String, PastView>,
    /// The definitions of all views of the file.
    pub(crate) defined: BTreeMap<String, String>,
}

/// The sealed periods of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PastView {
    /// When the last of them ends.
    pub(crate) end: EventTime,
    /// How far the partitions of its sources had been read when it was sealed, by the names of both.
    pub(crate) positions: BTreeMap<String, u64>,
    /// Each period: its end, the object in the lake, and the number of its rows.
    pub(crate) files: Vec<(EventTime, String, u64)>,
}

impl Past {
    pub(crate) fn new(
        url: String,
        views: BTreeMap<String, PastView>,
        defined: impl IntoIterator<Item = ViewRecord>,
    ) -> Past {
        let defined = defined.into_iter().map(|view| (view.name.clone(), words(&view)));
        Past { format: FORMAT, url, views, defined: defined.collect() }
    }

    /// That of a data folder, if it was started from an export.
    pub(crate) fn read(folder: &Path) -> Result<Option<Past>, String> {
        let path = folder.join(FILE);
        let wrong = |what: String| {
            format!(
                "{}: {what}: the folder cannot be read without it, restore it from a copy",
                path.display()
            )
        };
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| wrong(error.to_string()))?,
        };
        let past: Past =
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        match past.format {
            FORMAT => Ok(Some(past)),
            other => Err(wrong(format!("its format is {other}, expected {FORMAT}"))),
        }
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self, folder: &Path) -> std::io::Result<()> {
        replace_durably(&folder.join(FILE), &serde_json::to_vec(self)?)
    }

    /// Why a view cannot be computed from the log, if so: the log has not all of its past.
    pub(crate) fn refuses(&self, view: &ViewRecord) -> Option<String> {
        let begin =
            "the folder was started from an export, so its log has not the events from before it";
        match self.defined.get(&view.name) {
            None => Some(format!("it is new, and {begin}: start another folder with it")),
            Some(known) if *known != words(view) => Some(format!(
                "it is defined in another way, and {begin}: give it its former definition, or another name in another folder"
            )),
            Some(_) => None,
        }
    }
}

fn words(view: &ViewRecord) -> String {
    let ViewRecord { zone, grain, key, aggregate, definition, .. } = view;
    format!("{} in {zone}, key {key}, aggregate {aggregate}: {definition}", grain.name())
}

/// Views of which the same records are counted.
#[derive(Debug)]
struct Group {
    positions: BTreeMap<String, u64>,
    /// These, and those of later groups: when their last sealed period ends.
    views: BTreeMap<String, EventTime>,
}

/// What becomes of the events of one layout whose records some views have counted: from each group on.
#[derive(Clone, Copy, Debug)]
struct Passed {
    /// Events before this time are counted by all views that take them.
    counted_before: EventTime,
    /// Events from this time on are counted by none.
    new_from: EventTime,
    /// The layout of those between.
    layout: usize,
}

/// What counts of records that are read again.
#[derive(Debug)]
pub(crate) struct Passing {
    /// Those whose views have counted fewer records come first.
    groups: Vec<Group>,
    by_layout: BTreeMap<usize, Vec<Passed>>,
    /// The layout of whole rows of each view.
    pub(crate) rows: BTreeMap<String, usize>,
}

impl Passing {
    /// Adds the layouts that events of the past have. `sources` are the layouts of events, each with the views that
    /// take them.
    ///
    /// # Errors
    /// If views say that partitions were read in different orders.
    pub(crate) fn new(
        past: &Past,
        sources: &[(usize, Vec<String>)],
        layouts: &mut Layouts,
    ) -> Result<Passing, String> {
        let groups = groups(past)?;
        let mut by_layout = BTreeMap::new();
        for (layout, takers) in sources {
            let base = layouts.iter().nth(*layout).expect("it was added before").clone();
            let passed = groups.iter().map(|group| {
                let of = |view: &String| group.views.get(view).copied();
                let after = takers.iter().filter_map(|view| Some((view.clone(), of(view)?)));
                let after: BTreeMap<String, EventTime> = after.collect();
                let all = takers.iter().map(|view| of(view).unwrap_or(EventTime::MIN)).min();
                let new_from = after.values().max().copied().unwrap_or(EventTime::MIN);
                let layout = layouts.position(Layout { after, ..base.clone() });
                Passed { counted_before: all.unwrap_or(EventTime::MAX), new_from, layout }
            });
            by_layout.insert(*layout, passed.collect());
        }
        let rows = past.views.keys().map(|view| {
            let layout = Layout { rows_of: Some(view.clone()), ..Layout::default() };
            (view.clone(), layouts.position(layout))
        });
        Ok(Passing { groups, rows: rows.collect(), by_layout })
    }

    /// The furthest position of each partition that a view has counted.
    pub(crate) fn before(&self) -> BTreeMap<String, u64> {
        self.groups.last().map(|group| group.positions.clone()).unwrap_or_default()
    }

    /// The positions of each partition before which records are counted by some views.
    pub(crate) fn all_positions(&self) -> Vec<(String, u64)> {
        let of = |group: &Group| group.positions.clone().into_iter();
        self.groups.iter().flat_map(of).collect()
    }

    /// An event as it counts, of the record before `next`; nothing if all views have counted it.
    pub(crate) fn pass(&self, partition: &str, next: u64, event: Event) -> Option<Event> {
        let has_counted =
            |group: &Group| group.positions.get(partition).is_some_and(|to| next <= *to);
        let Some(group) = self.groups.iter().position(has_counted) else { return Some(event) };
        let layout = match event.values().next() {
            Some(RowValue::Integer(layout)) => usize::try_from(layout).ok(),
            _ => None,
        };
        let Some(passed) = layout.and_then(|layout| self.by_layout.get(&layout)?.get(group)) else {
            return Some(event);
        };
        if event.time() < passed.counted_before {
            return None;
        }
        if event.time() >= passed.new_from {
            return Some(event);
        }
        let layout = std::iter::once(RowValue::Integer(passed.layout as i128));
        Some(Event::new(event.time(), layout.chain(event.values().skip(1))))
    }
}

/// The views by how far they have counted, those that have counted less first.
fn groups(past: &Past) -> Result<Vec<Group>, String> {
    let mut views: Vec<(&String, &PastView)> = past.views.iter().collect();
    let sum = |view: &PastView| view.positions.values().map(|to| u128::from(*to)).sum::<u128>();
    views.sort_by_key(|(_, view)| sum(view));
    for pair in views.windows(2) {
        let ((one, less), (other, more)) = (pair[0], pair[1]);
        let later = |partition: &String| more.positions.get(partition).copied().unwrap_or(0);
        let wrong = less.positions.iter().find(|(partition, to)| **to > later(partition));
        if let Some((partition, _)) = wrong {
            return Err(format!(
                "the exports of views {one} and {other} do not fit together: each has counted records of '{partition}' or of another \
                 partition that the other has not"
            ));
        }
    }
    let mut groups: Vec<Group> = Vec::new();
    for (at, (_, view)) in views.iter().enumerate() {
        if groups.last().is_none_or(|last| last.positions != view.positions) {
            let later = views[at..].iter().map(|(name, view)| ((*name).clone(), view.end));
            groups.push(Group { positions: view.positions.clone(), views: later.collect() });
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(end: EventTime, to: u64) -> PastView {
        PastView { end, positions: BTreeMap::from([("s/p".to_owned(), to)]), files: Vec::new() }
    }

    fn past(views: &[(&str, PastView)]) -> Past {
        let views = views.iter().map(|(name, view)| ((*name).to_owned(), view.clone()));
        Past::new(String::new(), views.collect(), [])
    }

    #[test]
    fn events_count_for_the_views_that_have_not_counted_them() {
        let mut layouts = Layouts::default();
        let base = Layout { source: "s".to_owned(), ..Layout::default() };
        let layout = layouts.position(base.clone());
        let past = past(&[("day", view(100, 50)), ("month", view(30, 40))]);
        let takers = vec!["day".to_owned(), "month".to_owned()];
        let passing = Passing::new(&past, &[(layout, takers)], &mut layouts).unwrap();
        assert_eq!(passing.before()["s/p"], 50);
        let of = |next, time| {
            let event = Event::new(time, [RowValue::Integer(layout as i128), "x".into()]);
            let event = passing.pass("s/p", next, event)?;
            let Some(RowValue::Integer(layout)) = event.values().next() else { panic!("a layout") };
            assert_eq!((event.time(), event.values().nth(1)), (time, Some("x".into())));
            Some(layouts.iter().nth(layout as usize).unwrap().after.clone())
        };
        let after = |views: &[(&str, EventTime)]| -> Option<BTreeMap<String, EventTime>> {
            Some(views.iter().map(|(view, end)| ((*view).to_owned(), *end)).collect())
        };
        // Both have counted the record: what is before both ends is in both.
        assert_eq!(of(40, 29), None);
        assert_eq!(of(40, 30), after(&[("day", 100), ("month", 30)]));
        assert_eq!(of(40, 100), after(&[]));
        // Only the days have counted it.
        assert_eq!(of(41, 29), after(&[("day", 100)]));
        assert_eq!(of(50, 100), after(&[]));
        assert_eq!(of(51, 0), after(&[]), "nobody has");
        assert_eq!(passing.rows.len(), 2);
    }

    #[test]
    fn views_that_contradict_each_other_are_refused() {
        let mut one = view(1, 5);
        one.positions.insert("s/q".to_owned(), 1);
        let mut other = view(1, 4);
        other.positions.insert("s/q".to_owned(), 3);
        let error = groups(&past(&[("a", one), ("b", other)])).unwrap_err();
        assert!(error.contains("views a and b do not fit together"), "{error}");
    }

    #[test]
    fn a_folder_keeps_what_it_was_started_from() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Past::read(folder.path()).unwrap(), None);
        let past = past(&[("a", view(7, 3))]);
        past.write(folder.path()).unwrap();
        assert_eq!(Past::read(folder.path()).unwrap(), Some(past));
        std::fs::write(folder.path().join(FILE), "{}").unwrap();
        assert!(Past::read(folder.path()).unwrap_err().contains("restore it from a copy"));
    }
}
