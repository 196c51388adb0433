//! Encodes values into the bytes of a frame.

use std::fmt;
use std::sync::Arc;

use bincode::Options;
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};

use crate::time::{DAY_MS, Day, EventTime};

/// Frames are written in great numbers and rarely read: see the figures in the module's documentation.
fn options() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding()
}

/// Appends the encodings of `values` until `out` has `full` bytes, and at least that of the first value. Returns their
/// number.
pub(super) fn encode_some<T: Serialize>(
    values: &[T],
    full: usize,
    out: &mut Vec<u8>,
) -> bincode::Result<usize> {
    for (before, value) in values.iter().enumerate() {
        options().serialize_into(&mut *out, value)?;
        if out.len() >= full {
            return Ok(before + 1);
        }
    }
    Ok(values.len())
}

/// Decodes `count` values that together take all of `bytes`; `None` if they do not. A damaged count, or a damaged
/// length within a value, does not allocate more than `bytes` justify.
pub(super) fn decode_all<T: DeserializeOwned>(count: u32, bytes: &[u8]) -> Option<Vec<T>> {
    let mut values = Vec::with_capacity((count as usize).min(bytes.len()));
    let mut input = bincode::Deserializer::from_slice(bytes, options());
    for _ in 0..count {
        values.push(T::deserialize(&mut input).ok()?);
    }
    u8::deserialize(&mut input).is_err().then_some(values)
}

/// The UTC day of `time`. Times beyond the days of [`Day`] map to its last day, or to its second day: the first day
/// stands for no day.
fn utc_day(time: EventTime) -> Day {
    Day(time.div_euclid(DAY_MS).clamp(i64::from(i32::MIN) + 1, i64::from(i32::MAX)) as i32)
}

/// The UTC day of the first event, and the number of events from there on with the same day.
fn utc_run<E>(events: &[E], time: impl Fn(&E) -> EventTime) -> (Day, usize) {
    let Some(first) = events.first() else { return (Day(0), 0) };
    let first = time(first);
    let day = utc_day(first);
    let begin = first.div_euclid(DAY_MS).saturating_mul(DAY_MS);
    let end = begin.saturating_add(DAY_MS);
    let same = |event: &E| (begin..end).contains(&time(event)) || utc_day(time(event)) == day;
    (day, events.iter().position(|event| !same(event)).unwrap_or(events.len()))
}

type Encode<E> = fn(&[E], usize, &mut Vec<u8>) -> bincode::Result<usize>;
type Decode<E> = fn(u32, &[u8]) -> Option<Vec<E>>;
type Time<E> = dyn Fn(&E) -> EventTime + Send + Sync;
type SameDay<E> = dyn Fn(&[E]) -> (Day, usize) + Send + Sync;

/// Encodes events as bytes of the log, and finds their UTC days.
pub(crate) struct EventCodec<E> {
    encode: Encode<E>,
    decode: Decode<E>,
    time: Arc<Time<E>>,
    run: Arc<SameDay<E>>,
}

impl<E: Serialize + DeserializeOwned> EventCodec<E> {
    /// A codec that uses the type's serde form, and the event time that `time` returns.
    pub(crate) fn new(time: impl Fn(&E) -> EventTime + Send + Sync + 'static) -> EventCodec<E>
    where
        E: 'static,
    {
        let time = Arc::new(time);
        let of_run = Arc::clone(&time);
        EventCodec {
            encode: encode_some,
            decode: decode_all,
            time,
            run: Arc::new(move |events| utc_run(events, &*of_run)),
        }
    }
}

impl<E> EventCodec<E> {
    /// As [`encode_some`].
    pub(super) fn encode_some(
        &self,
        events: &[E],
        full: usize,
        out: &mut Vec<u8>,
    ) -> bincode::Result<usize> {
        (self.encode)(events, full, out)
    }

    /// The encodings of all `events`, one after the other.
    ///
    /// # Errors
    /// If an event cannot be serialized.
    pub(crate) fn encode(&self, events: &[E]) -> bincode::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (self.encode)(events, usize::MAX, &mut bytes)?;
        Ok(bytes)
    }

    /// As [`decode_all`].
    pub(crate) fn decode(&self, count: u32, bytes: &[u8]) -> Option<Vec<E>> {
        (self.decode)(count, bytes)
    }

    /// The event time of an event.
    pub(crate) fn time(&self, event: &E) -> EventTime {
        (self.time)(event)
    }

    /// The UTC day of the first event, and the number of events from there on with the same day.
    pub(super) fn run(&self, events: &[E]) -> (Day, usize) {
        (self.run)(events)
    }
}

impl<E> Clone for EventCodec<E> {
    fn clone(&self) -> EventCodec<E> {
        EventCodec { time: Arc::clone(&self.time), run: Arc::clone(&self.run), ..*self }
    }
}

impl<E> fmt::Debug for EventCodec<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventCodec")
    }
}
