//! Functions, and their values for a row.

use std::borrow::Cow;

use dayfold::source::TimeParser;
use regex::Regex;

use super::cell::Cell;
use super::error::RowError;
use super::number;
use super::text::{self, JsonStep};
use super::time::{Field, Zone};

/// A function, with everything that is known at compile time.
#[derive(Debug)]
pub(crate) enum Call {
    Lower,
    Upper,
    Length,
    /// Which sides to trim, and which characters.
    Trim {
        left: bool,
        right: bool,
        chars: Vec<char>,
    },
    Substr,
    SplitPart,
    Replace,
    Matches(Box<Regex>),
    Abs,
    Round(i32),
    Floor,
    Ceil,
    Extract(Field, Zone),
    ParseTimestamp(Box<TimeParser>),
    /// A number in units of this many thousandths of a millisecond.
    Timestamp(i128),
    UrlHost,
    UrlPath,
    JsonGet(Vec<JsonStep>),
}

impl Call {
    /// Whether it may have no value for arguments that have one.
    pub(crate) fn can_fail(&self) -> bool {
        !matches!(
            self,
            Call::Lower
                | Call::Upper
                | Call::Length
                | Call::Trim { .. }
                | Call::SplitPart
                | Call::Matches(_)
                | Call::UrlHost
                | Call::UrlPath
                | Call::JsonGet(_)
        )
    }

    /// The value for `count` arguments, which `argument` evaluates; null if one of them is null.
    pub(crate) fn apply<'r>(
        &'r self,
        count: usize,
        argument: impl Fn(usize) -> Result<Cell<'r>, RowError>,
    ) -> Result<Cell<'r>, RowError> {
        let first = if count == 0 { Cell::Null } else { argument(0)? };
        if first.is_null() {
            return Ok(Cell::Null);
        }
        match (self, first) {
            (Call::Abs, Cell::Integer(number)) => number
                .checked_abs()
                .map(Cell::Integer)
                .ok_or(RowError::Overflow { operation: "abs" }),
            (Call::Abs, Cell::Decimal(number)) if number.billionths() < 0 => {
                Ok(Cell::Decimal(number::round(-number, number.scale().into())?))
            }
            (Call::Round(_) | Call::Floor | Call::Ceil, Cell::Integer(integer)) => {
                Ok(Cell::Integer(integer))
            }
            (Call::Round(digits), Cell::Decimal(number)) => {
                Ok(Cell::Decimal(number::round(number, *digits)?))
            }
            (Call::Floor, Cell::Decimal(number)) => Ok(Cell::Integer(number::floor(number))),
            (Call::Ceil, Cell::Decimal(number)) => Ok(Cell::Integer(number::ceil(number))),
            (Call::Extract(field, zone), cell) => field.extract(&cell, zone),
            (Call::Timestamp(thousandths), cell) => timestamp(&cell, *thousandths),
            (call, Cell::Text(text)) => call.of_text(text, count - 1, |index| argument(index + 1)),
            (_, other) => Ok(other),
        }
    }

    fn of_text<'r>(
        &'r self,
        text: Cow<'r, str>,
        count: usize,
        argument: impl Fn(usize) -> Result<Cell<'r>, RowError>,
    ) -> Result<Cell<'r>, RowError> {
        let mut arguments = [Cell::Null, Cell::Null];
        for (index, value) in arguments.iter_mut().enumerate().take(count) {
            *value = argument(index)?;
            if value.is_null() {
                return Ok(Cell::Null);
            }
        }
        let given = |index: usize| text::integer(&arguments[index]);
        Ok(match self {
            Call::Lower => Cell::Text(changed(text, char::is_lowercase, str::to_lowercase)),
            Call::Upper => Cell::Text(changed(text, char::is_uppercase, str::to_uppercase)),
            Call::Length => Cell::Integer(text.chars().count() as i128),
            Call::Trim { left, right, chars } => Cell::Text(text::part(text, |text| {
                let text = if *left { text.trim_start_matches(&chars[..]) } else { text };
                if *right { text.trim_end_matches(&chars[..]) } else { text }
            })),
            Call::Substr => {
                let (from, length) = (given(0)?, (count > 1).then(|| given(1)).transpose()?);
                Cell::Text(text::part(text, |text| text::substr(text, from, length)))
            }
            Call::SplitPart => {
                let (delimiter, index) = (arguments[0].as_text().unwrap_or_default(), given(1)?);
                Cell::Text(text::part(text, |text| text::split_part(text, delimiter, index)))
            }
            Call::Replace => {
                let [old, new] =
                    arguments.each_ref().map(|cell| cell.as_text().unwrap_or_default());
                Cell::Text(text::replace(text, old, new)?)
            }
            Call::Matches(regex) => Cell::Boolean(regex.is_match(&text)),
            Call::ParseTimestamp(times) => match times.parse(text.as_bytes()) {
                Ok(time) => Cell::Timestamp(time),
                Err(_) => return Err(RowError::read(&text, "a time of the given format")),
            },
            Call::UrlHost => match text {
                Cow::Borrowed(text) => text::url_host(text).map_or(Cell::Null, Cell::Text),
                Cow::Owned(text) => text::url_host(&text)
                    .map_or(Cell::Null, |host| Cell::Text(Cow::Owned(host.into_owned()))),
            },
            Call::UrlPath => match text::url_path(&text) {
                Some(_) => {
                    Cell::Text(text::part(text, |text| text::url_path(text).unwrap_or(text)))
                }
                None => Cell::Null,
            },
            Call::JsonGet(path) => text::json_get(&text, path)
                .map_or(Cell::Null, |found| Cell::Text(Cow::Owned(found))),
            other => unreachable!("{other:?} takes no text"),
        })
    }
}

/// A text in upper or lower case; borrowed if it does not change.
fn changed<'r>(
    text: Cow<'r, str>,
    is_so: fn(char) -> bool,
    change: fn(&str) -> String,
) -> Cow<'r, str> {
    let is_changed = text.chars().any(|char| char.is_alphabetic() && !is_so(char));
    if is_changed { Cow::Owned(change(&text)) } else { text }
}

/// A number of seconds, milliseconds or microseconds since 1970, floored to milliseconds.
fn timestamp(cell: &Cell<'_>, thousandths: i128) -> Result<Cell<'static>, RowError> {
    const BEYOND: RowError = RowError::OutOfRange { what: "a timestamp" };
    let units = match cell {
        Cell::Integer(number) => number.checked_mul(thousandths).map(|ms| ms.div_euclid(1_000)),
        Cell::Decimal(number) => number
            .billionths()
            .checked_mul(thousandths)
            .map(|ms| ms.div_euclid(1_000 * 1_000_000_000)),
        other => unreachable!("the compiler lets numbers through alone, not {other:?}"),
    };
    let range =
        i128::from(dayfold::time::EVENT_TIME_MIN)..=i128::from(dayfold::time::EVENT_TIME_MAX);
    let ms = units.filter(|ms| range.contains(ms)).ok_or(BEYOND)?;
    Ok(Cell::Timestamp(ms as i64))
}
