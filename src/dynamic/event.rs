//! An event that is a list of values.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{RowBuilder, RowValue};
use crate::aggregate::Decimal;
use crate::time::{Day, EventTime};

/// An event whose columns are known only at run time: its event time, and a value for each column.
///
/// The values are stored one after the other in a few bytes, in memory and in a log. An event of up to 47 such bytes
/// takes no heap; a larger one takes one allocation. A number takes 9 bytes, or 17 if it is large; a text takes its
/// bytes and 2 more.
///
/// ```
/// use dayfold::dynamic::{Event, RowValue};
///
/// let event = Event::new(1_000, ["UA".into(), RowValue::Integer(-7), RowValue::Null]);
/// assert_eq!(event.time(), 1_000);
/// let values: Vec<RowValue> = event.values().collect();
/// assert_eq!(values, ["UA".into(), RowValue::Integer(-7), RowValue::Null]);
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    time: EventTime,
    values: Packed,
}

impl Event {
    /// An event with these values, in the order of the columns.
    pub fn new<'a>(time: EventTime, values: impl IntoIterator<Item = RowValue<'a>>) -> Event {
        let mut event = Event::builder(time);
        values.into_iter().for_each(|value| event.push(value));
        event.finish()
    }

    /// An event whose values are added one after the other.
    #[inline]
    pub fn builder(time: EventTime) -> EventBuilder {
        let values = Packing { inline: [0; INLINE], len: 0, heap: Vec::new() };
        EventBuilder { time, values }
    }

    /// When it happened.
    pub fn time(&self) -> EventTime {
        self.time
    }

    /// The values, in the order of the columns.
    pub fn values(&self) -> impl Iterator<Item = RowValue<'_>> {
        let mut rest = self.values.bytes();
        std::iter::from_fn(move || {
            let mut next = None;
            take(&mut rest, &mut |value| next = Some(value)).expect(CHECKED);
            next
        })
    }

    /// Fills a row of a view with the same columns, for [`Engine::dynamic_view`](crate::Engine::dynamic_view), and
    /// accepts every event.
    pub fn fill<'e>(&'e self, row: &mut RowBuilder<'e>) -> Option<EventTime> {
        let (mut rest, mut filling) = (self.values.bytes(), Filling { row, at: 0 });
        while take(&mut rest, &mut filling).expect(CHECKED) {}
        Some(self.time)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event at {}: ", self.time)?;
        f.debug_list().entries(self.values()).finish()
    }
}

/// An [`Event`] that is being made: faster than a list of values, if their kinds are known where they are added.
///
/// ```
/// use dayfold::dynamic::{Event, RowValue};
///
/// let mut event = Event::builder(1_000);
/// event.push("UA");
/// event.push(-7i64);
/// event.push(RowValue::Null);
/// assert_eq!(event.finish(), Event::new(1_000, ["UA".into(), (-7i64).into(), RowValue::Null]));
/// ```
#[derive(Debug)]
pub struct EventBuilder {
    time: EventTime,
    values: Packing,
}

impl EventBuilder {
    /// Adds the value of the next column.
    // Where the kind of the value is known, only the branch of this kind remains.
    #[inline(always)]
    pub fn push<'a>(&mut self, value: impl Into<RowValue<'a>>) {
        put(value.into(), &mut self.values);
    }

    /// The event.
    #[inline]
    pub fn finish(self) -> Event {
        Event { time: self.time, values: self.values.end() }
    }
}

const CHECKED: &str = "the values of an event were checked";

/// Fills the columns of a row, one after the other.
struct Filling<'a, 'e> {
    row: &'a mut RowBuilder<'e>,
    at: usize,
}

impl<'e> Takes<'e> for Filling<'_, 'e> {
    #[inline(always)]
    fn take(&mut self, value: RowValue<'e>) {
        self.row.set(self.at, value);
        self.at += 1;
    }

    #[inline(always)]
    fn decimal(&mut self, billionths: i128, scale: u8) {
        self.row.set_decimal(self.at, billionths, scale);
        self.at += 1;
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &'e [u8]) {
        self.row.set_bytes(self.at, bytes);
        self.at += 1;
    }

    #[inline(always)]
    fn text(&mut self, text: &'e str) {
        self.row.set_text(self.at, text);
        self.at += 1;
    }
}

const INLINE: usize = 47;

/// Bytes that are stored inline if they are few.
#[derive(Clone)]
enum Packed {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl Packed {
    fn new(bytes: &[u8]) -> Packed {
        if bytes.len() > INLINE {
            return Packed::Heap(bytes.into());
        }
        let mut inline = [0; INLINE];
        inline[..bytes.len()].copy_from_slice(bytes);
        Packed::Inline { len: bytes.len() as u8, bytes: inline }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Packed::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Packed::Heap(bytes) => bytes,
        }
    }
}

/// Bytes while they are collected: inline, as long as they are few.
#[derive(Debug)]
struct Packing {
    inline: [u8; INLINE],
    len: usize,
    /// All bytes, if they are not few.
    heap: Vec<u8>,
}

impl Packing {
    #[inline]
    fn extend(&mut self, bytes: &[u8]) {
        match self.inline.get_mut(self.len..self.len + bytes.len()) {
            Some(room) if self.heap.is_empty() => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.spill(bytes),
        }
    }

    /// Appends a tag and bytes after it.
    #[inline]
    fn tagged<const N: usize>(&mut self, tag: u8, bytes: [u8; N]) {
        match self.inline.get_mut(self.len..self.len + 1 + N) {
            Some([first, room @ ..]) if self.heap.is_empty() => {
                *first = tag;
                room.copy_from_slice(&bytes);
                self.len += 1 + N;
            }
            _ => {
                self.spill(&[tag]);
                self.spill(&bytes);
            }
        }
    }

    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        if self.heap.is_empty() {
            self.heap.extend_from_slice(&self.inline[..self.len]);
        }
        self.heap.extend_from_slice(bytes);
    }

    #[inline]
    fn end(self) -> Packed {
        match self.heap.is_empty() {
            true => Packed::Inline { len: self.len as u8, bytes: self.inline },
            false => Packed::Heap(self.heap.into()),
        }
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Packed) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Packed {}

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
/// Of 8 bytes.
const SHORT: u8 = 3;
/// Of 16 bytes.
const LONG: u8 = 4;
/// 8 bytes, without digits after the point; decimals with more digits follow.
const SHORT_DECIMAL: u8 = 16;
const LONG_DECIMAL: u8 = 32;
const DATE: u8 = 5;
const TIMESTAMP: u8 = 6;
const TEXT: u8 = 7;
const BYTES: u8 = 8;

#[inline(always)]
fn put(value: RowValue<'_>, out: &mut Packing) {
    match value {
        RowValue::Null => out.extend(&[NULL]),
        RowValue::Boolean(is_so) => out.extend(&[if is_so { TRUE } else { FALSE }]),
        RowValue::Integer(number) => put_number([SHORT, LONG], number, out),
        RowValue::Decimal(number) => {
            let tags = [SHORT_DECIMAL, LONG_DECIMAL].map(|tag| tag + number.scale());
            put_number(tags, number.billionths(), out);
        }
        RowValue::Date(day) => out.tagged(DATE, day.0.to_le_bytes()),
        RowValue::Timestamp(time) => out.tagged(TIMESTAMP, time.to_le_bytes()),
        RowValue::Text(text) => put_bytes(TEXT, text.as_bytes(), out),
        RowValue::Bytes(bytes) => put_bytes(BYTES, &bytes, out),
    }
}

#[inline]
fn put_number([short, long]: [u8; 2], number: i128, out: &mut Packing) {
    match i64::try_from(number) {
        Ok(number) => out.tagged(short, number.to_le_bytes()),
        Err(_) => out.tagged(long, number.to_le_bytes()),
    }
}

#[inline]
fn put_bytes(tag: u8, bytes: &[u8], out: &mut Packing) {
    // Most lengths are short; a byte of 255 means that eight bytes follow.
    match u8::try_from(bytes.len()) {
        Ok(len) if len < u8::MAX => out.extend(&[tag, len]),
        _ => {
            out.extend(&[tag, u8::MAX]);
            out.extend(&(bytes.len() as u64).to_le_bytes());
        }
    }
    out.extend(bytes);
}

/// Bytes that are not values.
#[derive(Debug)]
struct NoValues;

/// What becomes of a value that was read.
trait Takes<'a> {
    fn take(&mut self, value: RowValue<'a>);

    #[inline(always)]
    fn decimal(&mut self, billionths: i128, scale: u8) {
        self.take(RowValue::Decimal(Decimal::from_billionths(billionths, scale)));
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &'a [u8]) {
        self.take(RowValue::Bytes(Cow::Borrowed(bytes)));
    }

    #[inline(always)]
    fn text(&mut self, text: &'a str) {
        self.take(RowValue::Text(Cow::Borrowed(text)));
    }
}

impl<'a, F: FnMut(RowValue<'a>)> Takes<'a> for F {
    #[inline]
    fn take(&mut self, value: RowValue<'a>) {
        self(value);
    }
}

/// Reads a value; returns whether there was one.
///
/// Each kind of value is handed over in its own branch, so that it can be stored there. A processor waits for a value
/// that is made in parts and then moved as a whole.
#[inline]
fn take<'a>(rest: &mut &'a [u8], to: &mut impl Takes<'a>) -> Result<bool, NoValues> {
    let Some((&tag, behind)) = rest.split_first() else { return Ok(false) };
    *rest = behind;
    match tag {
        NULL => to.take(RowValue::Null),
        FALSE => to.take(RowValue::Boolean(false)),
        TRUE => to.take(RowValue::Boolean(true)),
        SHORT => to.take(RowValue::Integer(i64::from_le_bytes(array(rest)?).into())),
        LONG => to.take(RowValue::Integer(i128::from_le_bytes(array(rest)?))),
        DATE => to.take(RowValue::Date(Day(i32::from_le_bytes(array(rest)?)))),
        TIMESTAMP => to.take(RowValue::Timestamp(i64::from_le_bytes(array(rest)?))),
        TEXT => {
            let text = std::str::from_utf8(bytes(rest)?).map_err(|_| NoValues)?;
            to.text(text);
        }
        BYTES => to.bytes(bytes(rest)?),
        SHORT_DECIMAL..=25 => {
            to.decimal(i64::from_le_bytes(array(rest)?).into(), tag - SHORT_DECIMAL);
        }
        LONG_DECIMAL..=41 => {
            to.decimal(i128::from_le_bytes(array(rest)?), tag - LONG_DECIMAL);
        }
        _ => return Err(NoValues),
    }
    Ok(true)
}

#[inline]
fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], NoValues> {
    let (array, behind) = rest.split_first_chunk().ok_or(NoValues)?;
    *rest = behind;
    Ok(*array)
}

#[inline]
fn bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], NoValues> {
    let [short] = array(rest)?;
    let len = match short {
        u8::MAX => usize::try_from(u64::from_le_bytes(array(rest)?)).map_err(|_| NoValues)?,
        short => usize::from(short),
    };
    let (bytes, behind) = rest.split_at_checked(len).ok_or(NoValues)?;
    *rest = behind;
    Ok(bytes)
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.bytes())
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Packed, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Packed;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the values of an event")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Packed, E> {
                let mut rest = bytes;
                loop {
                    match take(&mut rest, &mut drop) {
                        Ok(true) => {}
                        Ok(false) => return Ok(Packed::new(bytes)),
                        Err(NoValues) => return Err(E::custom("these bytes are no values")),
                    }
                }
            }
            // Formats without a type for bytes, such as JSON.
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Packed, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                self.visit_bytes(&bytes)
            }
        }
        deserializer.deserialize_bytes(Values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec;
    use crate::dynamic::tests::values;

    #[test]
    fn a_short_event_takes_no_heap() {
        let event = Event::new(0, ["x".repeat(45).as_str().into()]);
        assert!(matches!(event.values, Packed::Inline { .. }));
        assert!(size_of::<Event>() <= 64);
    }

    proptest! {
        #[test]
        fn an_event_comes_back_from_its_bytes(
            time: i64, values in prop::collection::vec(values(), 0..6), long in 0usize..600,
        ) {
            let mut values = values;
            values.push("é".repeat(long / 2).into());
            let event = Event::new(time, values.iter().cloned());
            prop_assert_eq!(event.values().collect::<Vec<_>>(), values);
            let mut bytes = Vec::new();
            codec::encode(&event, &mut bytes).unwrap();
            prop_assert_eq!(codec::decode::<Event>(&bytes).unwrap(), event);
        }

        #[test]
        fn any_bytes_are_an_event_or_an_error(
            bytes in prop::collection::vec(prop_oneof![0u8..48, any::<u8>()], 0..24),
        ) {
            let mut written = vec![0, bytes.len() as u8];
            written.extend(bytes);
            if let Ok(event) = codec::decode::<Event>(&written) {
                prop_assert!(event.values().count() > 0 || written.len() == 2);
            }
        }
    }
}
