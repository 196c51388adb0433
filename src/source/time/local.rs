//! Times of a zone: dates alone, local times, and custom formats.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ZonedDateTime};

use super::ambiguous::AmbiguousTime;
use super::{Local, TimeParser, TimeRefusal, in_range};
use crate::time::EventTime;

impl TimeParser {
    pub(super) fn parse_format(&self, format: &str, cell: &[u8]) -> Result<EventTime, TimeRefusal> {
        let read = strtime::parse(format, cell).map_err(|_| TimeRefusal::OwnFormat)?;
        if let Some(stamp) = read.timestamp() {
            return floored(stamp);
        }
        let date = read.to_date().map_err(|_| TimeRefusal::NoSuchTime)?;
        let time = read.to_time().map_err(|_| TimeRefusal::NoSuchTime)?;
        let at = DateTime::from_parts(date, time);
        if let Some(offset) = read.offset() {
            return floored(offset.to_timestamp(at).map_err(|_| TimeRefusal::OutOfRange)?);
        }
        if let Some(name) = read.iana_time_zone() {
            let zone = TimeZone::get(name).map_err(|_| TimeRefusal::OwnFormat)?;
            let (fold, gap) =
                self.local.as_ref().map_or_else(Default::default, |l| (l.fold, l.gap));
            return floored(Local { zone, fold, gap }.resolve(at)?);
        }
        if [read.hour(), read.minute(), read.second()] == [None; 3] {
            return self.date_alone(date);
        }
        let local = self.local.as_ref().ok_or(TimeRefusal::NoOffset)?;
        floored(local.resolve(at)?)
    }

    pub(super) fn date_alone(&self, date: Date) -> Result<EventTime, TimeRefusal> {
        let zone = self.dates.as_ref().ok_or(TimeRefusal::NoZone)?;
        first_instant(zone, date).and_then(floored)
    }
}

impl Local {
    pub(super) fn resolve(&self, at: DateTime) -> Result<Timestamp, TimeRefusal> {
        let found = self.zone.to_ambiguous_timestamp(at);
        let (choice, refusal) = match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => {
                (AmbiguousTime::Earlier, TimeRefusal::NoSuchTime)
            }
            AmbiguousOffset::Fold { .. } => (self.fold, TimeRefusal::Fold),
            AmbiguousOffset::Gap { .. } => (self.gap, TimeRefusal::Gap),
        };
        let chosen = match choice {
            AmbiguousTime::Earlier => found.earlier(),
            AmbiguousTime::Later => found.later(),
            AmbiguousTime::Refuse => return Err(refusal),
        };
        chosen.map_err(|_| TimeRefusal::OutOfRange)
    }
}

/// The first instant of a date: midnight, or the end of the gap that leaves midnight out.
fn first_instant(zone: &TimeZone, date: Date) -> Result<Timestamp, TimeRefusal> {
    let midnight =
        zone.to_ambiguous_timestamp(DateTime::from_parts(date, jiff::civil::Time::midnight()));
    let gap = matches!(midnight.offset(), AmbiguousOffset::Gap { .. });
    let earlier = midnight.earlier().map_err(|_| TimeRefusal::OutOfRange)?;
    if !gap {
        return Ok(earlier);
    }
    let change = zone.following(earlier).next().ok_or(TimeRefusal::OutOfRange)?.timestamp();
    // Samoa had no 30 December 2011 at all.
    let is_there = ZonedDateTime::new(change, zone.clone()).date() == date;
    if is_there { Ok(change) } else { Err(TimeRefusal::NoSuchTime) }
}

fn floored(stamp: Timestamp) -> Result<EventTime, TimeRefusal> {
    let ms = stamp.as_nanosecond().div_euclid(1_000_000);
    EventTime::try_from(ms).map_err(|_| TimeRefusal::OutOfRange).and_then(in_range)
}
