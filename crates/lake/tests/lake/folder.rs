//! A data folder with a view, and its expected rows.

use std::collections::BTreeMap;
use std::path::Path;

use dayfold::aggregate::{Count, Decimal, DecimalSum, Distinct, Max, Maybe};
use dayfold::engine::{LiveOptions, Measures};
use dayfold::time::{Calendar, EventTime, Grain};
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use tempfile::TempDir;

const DAY_MS: i64 = 86_400_000;

/// A day after 1970-01-01, a key, and a number.
pub(crate) type Reading = (i32, &'static str, Option<&'static str>);

type Event = (EventTime, String, Option<Decimal>);

/// A row: period, key, events, sum in billionths, greatest in billionths.
pub(crate) type Row = (i32, String, i64, i128, Option<i128>);

pub(crate) struct Folder {
    folder: TempDir,
    calendar: Calendar,
    rows: BTreeMap<(i32, String), (i64, i128, Option<i128>)>,
}

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder::by(Grain::Day, "UTC")
    }

    /// A folder whose view has a row for each period of a zone.
    pub(crate) fn by(grain: Grain, zone: &str) -> Folder {
        let calendar = Calendar::new(zone).expect("a zone").by(grain);
        let folder = tempfile::tempdir().expect("a folder");
        Folder { folder, calendar, rows: BTreeMap::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Adds readings, and seals their days.
    pub(crate) fn run(&mut self, readings: &[Reading]) {
        let mut engine = Engine::<Event>::new();
        let view = View::new("readings").expect("a name").key_columns(["site"]).expect("a column");
        let view = view.grain(self.calendar.grain()).zone(self.calendar.name()).expect("a zone");
        let names = [vec!["events"], vec!["total"], vec!["most"], vec!["values"]];
        let view = view.measure_names(names).expect("names");
        engine.view(view, Measures::none(), |(time, site, number): &Event| {
            let sum = DecimalSum::of(number.unwrap_or(Decimal::from(0)));
            let most = Maybe(number.map(Max));
            let values = Maybe(number.map(|number| Distinct::of(number.to_string().as_bytes())));
            Some((*time, site.clone(), (Count::one(), sum, most, values)))
        });
        let pusher = engine.live(LiveOptions::new(|event: &Event| event.0));
        let running = engine.data(self.path()).start(Cluster::workers(2)).expect("an engine");
        let events = readings.iter().map(|(day, site, number)| {
            let number = number.map(|number| number.parse::<Decimal>().expect("a number"));
            (i64::from(*day) * DAY_MS, (*site).to_owned(), number)
        });
        let pushed = pusher.push(events.collect()).expect("a push");
        assert!(pushed.refused.is_empty());
        drop(pusher);
        running.finish().expect("an end");
        for (day, site, number) in readings {
            let number = number.map(|n| n.parse::<Decimal>().expect("a number").billionths());
            let period = self.calendar.day_of(i64::from(*day) * DAY_MS);
            let row = self.rows.entry((period.0, (*site).to_owned())).or_default();
            row.0 += 1;
            row.1 += number.unwrap_or(0);
            row.2 = row.2.max(number);
        }
    }

    /// All rows, by day and key.
    pub(crate) fn expected(&self) -> Vec<Row> {
        let row =
            |((day, site), (events, sum, most)): (&(i32, String), &(i64, i128, Option<i128>))| {
                (*day, site.clone(), *events, *sum, *most)
            };
        self.rows.iter().map(row).collect()
    }
}
