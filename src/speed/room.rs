//! How near a view is to its limits, and what can be done about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::table::Size;
use crate::closing::Closing;
use crate::time::{Day, EventTime};

/// How much more a worker can take of a view, or of all its views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Room {
    /// Any amount.
    #[default]
    Enough,
    /// Open days take three quarters of a limit: nothing that could come later.
    Tight,
    /// Nothing, until what is being sealed has left memory, which will be soon.
    Sealing,
    /// Half of a limit is taken, a good part of it by late events. Take nothing until the floor has passed this one, so
    /// that they are sealed.
    Late(EventTime),
}

/// How much of one limit is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    pub(super) what: &'static str,
    pub(super) limit: usize,
    /// The amount that is held, estimated over all workers.
    pub(super) needed: usize,
    /// The part of it that late events take, without what is being sealed.
    pub(super) late: usize,
}

impl Fill {
    /// Whether the limit is exceeded. Late events do not count if they will be sealed anyway.
    pub(super) fn is_over(&self, is_raised: bool) -> bool {
        let late = if is_raised { self.late } else { 0 };
        self.needed.saturating_sub(late) > self.limit
    }

    pub(super) fn is_tight(&self) -> bool {
        self.needed > self.limit / 4 * 3
    }

    /// False for a few rows, because each seal costs files and syncs.
    pub(super) fn is_worth_sealing(&self) -> bool {
        self.needed > self.limit / 2 && self.late > self.limit / 8
    }
}

/// What the tables of late events hold, by the day of their closing, without frozen tables.
#[derive(Debug, Default)]
pub(super) struct LateTables {
    by_day: BTreeMap<Day, Late>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Late {
    pub(super) size: Size,
    pub(super) tables: usize,
    /// The greatest floor under which any of the events has entered.
    pub(super) floor: Option<EventTime>,
}

impl LateTables {
    /// Notes that a table of a closing has grown, or is new.
    pub(super) fn grow(&mut self, closing: Closing, (before, after): (Size, Size), is_new: bool) {
        if closing.floor().is_some() {
            let late = self.by_day.entry(closing.day).or_default();
            late.size = late.size + after - before;
            late.tables += usize::from(is_new);
            late.floor = late.floor.max(closing.floor());
        }
    }

    /// Notes that a table of a closing is frozen.
    pub(super) fn remove(&mut self, closing: Closing, size: Size) {
        if closing.floor().is_some()
            && let Some(late) = self.by_day.get_mut(&closing.day)
        {
            late.size = late.size - size;
            late.tables -= 1;
            if late.tables == 0 {
                self.by_day.remove(&closing.day);
            }
        }
    }

    /// What can be sealed once the floor has moved on, if `open` is the first open day. If a run has a greater grace
    /// than the one before, there may be more, which waits until its day closes.
    pub(super) fn sealable(&self, open: Day) -> Late {
        self.by_day.range(..=open).fold(Late::default(), |all, (_, late)| Late {
            size: all.size + late.size,
            tables: all.tables + late.tables,
            floor: all.floor.max(late.floor),
        })
    }
}
