//! Answers as JSON text, written directly, without building a tree.

use dayfold::Moment;
use dayfold::rows::push_json;
use dayfold::scan::ValueRef;
use dayfold::serve::Certificate;
use dayfold::time::{Day, EventTime};

/// JSON text that is being written.
#[derive(Default)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn raw(&mut self, text: &str) -> &mut Text {
        self.0.push_str(text);
        self
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }

    pub(crate) fn string(&mut self, text: &str) -> &mut Text {
        push_json(ValueRef::Text(text), &mut self.0);
        self
    }

    pub(crate) fn day(&mut self, day: Option<Day>) -> &mut Text {
        match day {
            Some(day) => self.raw("\"").raw(&day.to_string()).raw("\""),
            None => self.raw("null"),
        }
    }

    pub(crate) fn integer(&mut self, number: u64) -> &mut Text {
        self.value(ValueRef::Integer(number.into()))
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

    /// A value as everywhere in Dayfold: integers beyond ±2⁵³ and decimals are strings, because a reader may store
    /// numbers as doubles.
    pub(crate) fn value(&mut self, value: ValueRef<'_>) -> &mut Text {
        push_json(value, &mut self.0);
        self
    }

    /// The text of a value, or null.
    pub(crate) fn text_of(&mut self, value: ValueRef<'_>) -> &mut Text {
        match value {
            ValueRef::Null => self.raw("null"),
            ValueRef::Text(text) => self.string(text),
            other => self.string(&other.to_string()),
        }
    }

    /// The certificate of an answer, as fields.
    pub(crate) fn certificate(&mut self, certificate: &Certificate) {
        self.certificate_fields(certificate).raw(",");
    }

    /// The same, without a comma after it.
    pub(crate) fn certificate_fields(&mut self, certificate: &Certificate) -> &mut Text {
        self.as_of(certificate.as_of).raw(",\"late\":").integer(certificate.late);
        self.raw(",\"refused\":").integer(certificate.refused);
        self.raw(",\"sealed_through\":").day(certificate.sealed_through);
        if certificate.kept_from.is_some() {
            self.raw(",\"kept_from\":").day(certificate.kept_from);
        }
        self
    }

    /// A moment, as a field.
    pub(crate) fn as_of(&mut self, Moment { floor, tick }: Moment) -> &mut Text {
        self.raw("\"as_of\":{\"floor\":").moment(known(floor)).raw(",\"tick\":").integer(tick);
        self.raw("}")
    }

    fn moment(&mut self, time: Option<EventTime>) -> &mut Text {
        match time.and_then(written) {
            Some(time) => self.raw("\"").raw(&time).raw("\""),
            None => self.raw("null"),
        }
    }
}

/// A floor or a watermark as a time; `None` before all events and after all events.
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
        let last = 1u64 << 53;
        let mut ticks = Text::default();
        ticks.list([last, last + 1], |text, number| {
            text.integer(number);
        });
        assert_eq!(ticks.into_bytes(), b"[9007199254740992,\"9007199254740993\"]");
        let mut keys = Text::default();
        keys.text_of(ValueRef::Integer(7)).text_of(ValueRef::Null).text_of(ValueRef::Text("\""));
        assert_eq!(keys.into_bytes(), br#""7"null"\"""#);
    }
}
