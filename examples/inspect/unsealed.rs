//! Events of the log that sealed days do not hold, as far as this is known.
//!
//! The closing of an event is the later one of its day and the first day that was open under its floor. The log has the
//! floor of each frame, and the UTC day of its events. Only the program knows what a view makes of an event, and
//! whether it wants it at all.

use std::time::Duration;

use dayfold::log::{Frames, LogError, LogFile, LogState};
use dayfold::store::{Disk, FolderReport};
use dayfold::time::{Calendar, Day, EventTime};
use dayfold::view::Closing;

use crate::page::{Page, Table, number};
use crate::verify::Damage;

const DAY_MS: i64 = 86_400_000;

/// Numbers of events.
#[derive(Default)]
struct Counts {
    sealed: u64,
    perhaps: u64,
    unsealed: u64,
}

pub(crate) fn show(page: &mut Page, state: &LogState, report: &FolderReport) -> Result<(), Damage> {
    page.title("unsealed", "events of the log that no live revision holds");
    let mut table =
        Table::new(&["VIEW", "CLOSED THROUGH", "EVENTS SEALED", "UNSEALED", "UNCERTAIN"]);
    for view in &report.views {
        let (name, zone) = (&view.record.name, &view.record.zone);
        let Ok(calendar) = Calendar::new(zone) else {
            page.line(&format!("view {name}: the zone {zone} is not known to this program"));
            continue;
        };
        let mut counts = Counts::default();
        for file in &state.files {
            let graces = &state.streams[file.stream].graces;
            let grace = graces.iter().find(|(of, _)| of == name).map(|(_, grace)| *grace);
            let place = Closings { calendar: &calendar, grace, through: view.sealed_through };
            place.count(file, &mut counts).map_err(|error| Damage::new("log", &error))?;
        }
        table.row([
            name.clone(),
            view.closed_through.map_or("nothing".to_owned(), |day| day.to_string()),
            number(counts.sealed),
            number(counts.unsealed),
            number(counts.perhaps),
        ]);
    }
    page.table(&table);
    page.line(
        "This is for a view that takes every event, at the time by which the log is ordered. Where a \
         day of the log is in two days of a view, one of them sealed, only the program can tell.",
    );
    Ok(())
}

/// What determines the closing of an event, besides the event itself.
struct Closings<'a> {
    calendar: &'a Calendar,
    /// The grace of the view in the run that logged the event; `None` if that run did not have the view.
    grace: Option<Duration>,
    through: Option<Closing>,
}

impl Closings<'_> {
    fn count(&self, file: &LogFile, counts: &mut Counts) -> Result<(), LogError> {
        let all = match self.fate((file.day, file.last_day), file.floor_max) {
            // Under lesser floors, closings are not later.
            Fate::Sealed => Some(&mut counts.sealed),
            _ => match self.fate((file.day, file.last_day), EventTime::MIN) {
                Fate::Unsealed => Some(&mut counts.unsealed),
                _ => None,
            },
        };
        if let Some(all) = all {
            *all += file.events;
            return Ok(());
        }
        let mut frames = Frames::open(&Disk, file)?;
        while let Some(frame) = frames.next(|_| true)? {
            let events = u64::from(frame.count);
            match self.fate((file.day, file.last_day), frame.moment.floor) {
                Fate::Sealed => counts.sealed += events,
                Fate::Perhaps => counts.perhaps += events,
                Fate::Unsealed => counts.unsealed += events,
            }
        }
        Ok(())
    }

    /// The state of the events of some UTC days that entered under a floor.
    fn fate(&self, (first, last): (Day, Day), floor: EventTime) -> Fate {
        let start = |day: Day| i64::from(day.0).saturating_mul(DAY_MS);
        let first = self.calendar.day_of(start(first));
        let last = self.calendar.day_of(start(last).saturating_add(DAY_MS - 1));
        let closing = |day: Day, grace| match self.calendar.first_open(floor, grace) {
            open if day < open => Closing::late(open, floor),
            _ => Closing::of(day),
        };
        // Without grace, days are open for the shortest time.
        let least = self.grace.map_or(Closing::of(first), |grace| closing(first, grace));
        let greatest = closing(last, self.grace.unwrap_or_default());
        match self.through {
            Some(through) if greatest <= through => Fate::Sealed,
            Some(through) if least <= through => Fate::Perhaps,
            _ => Fate::Unsealed,
        }
    }
}

enum Fate {
    Sealed,
    Perhaps,
    Unsealed,
}
