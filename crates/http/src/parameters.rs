//! The parameters of a URL that do not depend on a view.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::ApiError;
use dayfold::scan::Scan;
use dayfold::schema::ViewSchema;
use dayfold::time::{Day, DayRange, Grain, Last};

/// The parameters of a request, all of them known ones.
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Reads a query string. Only `key` and `prefix` may repeat.
    ///
    /// # Errors
    /// 400 for a parameter that is unknown, repeated, or not UTF-8.
    pub(crate) fn read(query: Option<&str>, known: &[&str]) -> Result<Parameters, ApiError> {
        let query = query.unwrap_or("");
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&name.as_ref()) {
                let message = match known {
                    [] => format!("unknown parameter '{name}': none is expected"),
                    _ => format!("unknown parameter '{name}': expected {}", known.join(", ")),
                };
                return Err(ApiError::parameter(&name, message));
            }
            if value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(ApiError::parameter(&name, format!("{name}: expected UTF-8")));
            }
            let repeats = matches!(name.as_ref(), "key" | "prefix");
            if !repeats && pairs.iter().any(|(other, _)| *other == name) {
                let message = format!("{name} is given twice: expected once");
                return Err(ApiError::parameter(&name, message));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Parameters { pairs })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that may repeat.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let pairs = self.pairs.iter().filter(|(other, _)| other == name);
        pairs.map(|(_, value)| value.clone()).collect()
    }

    /// `from` and `to`, both included; or `last`.
    ///
    /// # Errors
    /// 400 for an invalid day, for a range that ends before it begins, or if a range and a window are given.
    pub(crate) fn days(&self) -> Result<Days, ApiError> {
        let day = |name: &str| -> Result<Option<Day>, ApiError> {
            let parse = |text: &str| Day::parse_period(text);
            self.get(name)
                .map(parse)
                .transpose()
                .map_err(|error| ApiError::parameter(name, format!("{name}: {error}")))
        };
        let last = self.get("last").map(str::parse::<Last>).transpose();
        let last = last.map_err(|error| ApiError::parameter("last", format!("last: {error}")))?;
        let days = Days { from: day("from")?, to: day("to")?, last };
        if last.is_some() && (days.from.is_some() || days.to.is_some()) {
            let message = "last is given with from or to: expected a window or days";
            return Err(ApiError::parameter("last", message));
        }
        match (days.from, days.to) {
            (Some(from), Some(to)) if from > to => {
                let message = format!("from={from} is after to={to}: expected from <= to");
                Err(ApiError::parameter("from", message))
            }
            _ => Ok(days),
        }
    }

    /// The requested grain of periods, if given.
    ///
    /// # Errors
    /// 400 for an invalid one.
    pub(crate) fn grain(&self) -> Result<Option<Grain>, ApiError> {
        let Some(by) = self.get("by") else { return Ok(None) };
        let wrong = || {
            let expected = Grain::ALL.map(Grain::name).join(", ");
            ApiError::parameter("by", format!("by={by}: expected one of {expected}"))
        };
        Grain::named(by).ok_or_else(wrong).map(Some)
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(crate) fn number(
        &self,
        name: &str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Result<u32, ApiError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|n| range.contains(n));
        let (least, most) = (range.start(), range.end());
        let wrong = || format!("{name}={text}: expected a whole number from {least} to {most}");
        number.ok_or_else(|| ApiError::parameter(name, wrong()))
    }

    /// A time such as `250ms` or `2s`, within bounds.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(crate) fn every(
        &self,
        default: Duration,
        (least, most): (Duration, Duration),
    ) -> Result<Duration, ApiError> {
        let Some(text) = self.get("every") else { return Ok(default.max(least)) };
        let (number, unit) = match text.strip_suffix("ms") {
            Some(number) => (number, 1),
            None => (text.strip_suffix('s').unwrap_or("-"), 1_000),
        };
        let every = number.parse().ok().and_then(|n: u64| n.checked_mul(unit));
        let every = every.map(Duration::from_millis).filter(|every| (least..=most).contains(every));
        let wrong = || {
            format!("every={text}: expected a time from {least:?} to {most:?}, such as 250ms or 2s")
        };
        every.ok_or_else(|| ApiError::parameter("every", wrong()))
    }
}

/// The days of a request, both ends included; `None` means unbounded. Or a window that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Days {
    pub(crate) from: Option<Day>,
    pub(crate) to: Option<Day>,
    pub(crate) last: Option<Last>,
}

impl Days {
    /// The same scan of these days.
    ///
    /// # Errors
    /// 400 for a window that the view cannot answer.
    pub(crate) fn of(self, scan: Scan, schema: &ViewSchema) -> Result<Scan, ApiError> {
        let Some(last) = self.last else { return Ok(scan.periods(self.range())) };
        if schema.grain.is_within(last.grain()) {
            return Ok(scan.last(last));
        }
        let expected: Vec<&str> = schema.grain.coarser().map(Grain::name).collect();
        let message = format!(
            "last={last}: view '{}' is kept by {}: expected a window of one of {}",
            schema.name,
            schema.grain,
            expected.join(", ")
        );
        Err(ApiError::parameter("last", message))
    }

    fn range(self) -> DayRange {
        DayRange::new(self.from.unwrap_or(Day::MIN), self.to.map_or(Day::MAX, Day::next))
    }
}
