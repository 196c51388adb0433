//! Answers as JSON text. They are written as they are found: no tree is built of them.

use dayfold::Moment;
use dayfold::aggregate::{Aggregate, Decimal};
use dayfold::serve::{Certificate, MeasureFn, Parts};
use dayfold::time::{Day, EventTime};

/// Integers beyond ±2⁵³ are strings, since a reader may keep numbers as doubles.
const EXACT: u64 = 1 << 53;
/// Units of a [`Decimal`] in one.
const UNITS_PER_ONE: i128 = 1_000_000_000;

/// JSON text in the making.
#[derive(Default)]
pub(crate) struct Text(Vec<u8>);

impl Text {
    pub(crate) fn raw(&mut self, text: &str) -> &mut Text {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn string(&mut self, text: &str) -> &mut Text {
        serde_json::to_writer(&mut self.0, text).expect("a text is written into memory");
        self
    }

    pub(crate) fn day(&mut self, day: Option<Day>) -> &mut Text {
        match day {
            Some(day) => self.raw("\"").raw(&day.to_string()).raw("\""),
            None => self.raw("null"),
        }
    }

    pub(crate) fn integer(&mut self, number: u64) -> &mut Text {
        let text = number.to_string();
        if number <= EXACT { self.raw(&text) } else { self.raw("\"").raw(&text).raw("\"") }
    }

    /// Values separated by commas, in brackets.
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Text, T),
    ) -> &mut Text {
        self.raw("[");
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]")
    }

    pub(crate) fn strings(&mut self, texts: &[String]) -> &mut Text {
        self.list(texts, |text, one| {
            text.string(one);
        })
    }

    fn decimal(&mut self, number: Option<Decimal>) -> &mut Text {
        let Some(number) = number else { return self.raw("null") };
        let whole = number.billionths() / UNITS_PER_ONE;
        match number.scale() == 0 && whole.unsigned_abs() <= u128::from(EXACT) {
            true => self.raw(&number.to_string()),
            false => self.raw("\"").raw(&number.to_string()).raw("\""),
        }
    }

    fn values<'a, A: 'a>(
        &mut self,
        aggregate: Option<&A>,
        measures: impl Iterator<Item = (&'a str, &'a MeasureFn<A>)>,
    ) -> &mut Text {
        let Some(aggregate) = aggregate else { return self.raw("null") };
        self.raw("{");
        for (place, (name, measure)) in measures.enumerate() {
            if place > 0 {
                self.raw(",");
            }
            self.string(name).raw(":").decimal(measure(aggregate));
        }
        self.raw("}")
    }

    /// The value and its parts, as fields.
    pub(crate) fn parts<'a, A: Aggregate, M>(
        &mut self,
        parts: Option<&Parts<A>>,
        measures: impl Fn() -> M,
    ) -> &mut Text
    where
        M: Iterator<Item = (&'a str, &'a MeasureFn<A>)>,
    {
        let merged = parts.and_then(Parts::merged);
        let part = |of: fn(&Parts<A>) -> &Option<A>| parts.and_then(|parts| of(parts).as_ref());
        self.raw("\"value\":").values(merged.as_ref(), measures());
        self.raw(",\"batch\":").values(part(|parts| &parts.batch), measures());
        self.raw(",\"speed\":").values(part(|parts| &parts.speed), measures());
        self.raw(",\"amendments\":").values(part(|parts| &parts.amendments), measures())
    }

    /// What an answer is exact as of, as fields.
    pub(crate) fn certificate(&mut self, certificate: &Certificate) {
        let Moment { floor, tick } = certificate.as_of;
        self.raw("\"as_of\":{\"floor\":").moment(known(floor)).raw(",\"tick\":").integer(tick);
        self.raw("},\"late\":").integer(certificate.late);
        self.raw(",\"refused\":").integer(certificate.refused);
        self.raw(",\"sealed_through\":").day(certificate.sealed_through).raw(",");
    }

    fn moment(&mut self, time: Option<EventTime>) -> &mut Text {
        match time.and_then(written) {
            Some(time) => self.raw("\"").raw(&time).raw("\""),
            None => self.raw("null"),
        }
    }
}

/// A floor or a watermark that is a time: before all events and after all events there is none.
pub(crate) fn known(time: EventTime) -> Option<EventTime> {
    (time > EventTime::MIN + 1 && time < EventTime::MAX).then_some(time)
}

/// RFC 3339 in UTC, with milliseconds; `None` beyond the years that it can write.
pub(crate) fn written(time: EventTime) -> Option<String> {
    let timestamp = jiff::Timestamp::from_millisecond(time).ok()?;
    Some(format!("{timestamp:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_double_would_change_are_strings() {
        let decimal = |number: Decimal| {
            let mut made = Text::default();
            made.decimal(Some(number));
            String::from_utf8(made.into_bytes()).unwrap()
        };
        let last = EXACT as i64;
        for exact in [0, -7, last, -last] {
            assert_eq!(decimal(Decimal::from(exact)), exact.to_string());
        }
        for inexact in [last + 1, -last - 1, i64::MAX] {
            assert_eq!(decimal(Decimal::from(inexact)), format!("\"{inexact}\""));
        }
        for fraction in ["1.5", "2.0"] {
            assert_eq!(decimal(fraction.parse().unwrap()), format!("\"{fraction}\""));
        }
        let mut ticks = Text::default();
        ticks.list([EXACT, EXACT + 1], |text, number| {
            text.integer(number);
        });
        assert_eq!(ticks.into_bytes(), b"[9007199254740992,\"9007199254740993\"]");
    }
}
