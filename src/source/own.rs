//! Your own sources: records of any kind, one after the other, and a position to continue from.

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::blocks::Blocks;
use super::clock::{AHEAD_LIMIT_MS, Reading, advance, check_behind};
use super::error::SourceError;
use super::position::{OwnPlace, SourcePosition};
use super::reading::{BLOCK_BYTES, Progress, Read, ReadLimit, ReadState, Stop};
use super::records::RECORD_MAX;
use super::row::Refused;
use super::row::Rows;
use crate::time::{EventTime, duration, milliseconds};

/// Your own source: a table, a file of any format, a topic of a broker.
///
/// One thread opens and reads it, record by record; a record is bytes of any form, which workers parse in parallel.
/// With a log, the engine commits the position after the entered records together with the events, and the next run
/// opens the source there. So each record counts once, whenever a run is killed.
///
/// **The contract.** Opened again at a position, the source has the same records in the same order. Records committed
/// after an uncommitted one are read a second time and skipped. An error in this is noticed only if the position after
/// such a record differs.
///
/// **The clock** closes days. It is the largest arrival so far; a record without an arrival moves it by its event time.
///
/// [`Engine::source`](crate::Engine::source) reads a source; `examples/06-own-source.rs` implements one.
///
/// ```
/// use std::io;
///
/// use dayfold::source::{Next, Row, Source};
///
/// /// Numbers from 1 on, one a second.
/// struct Ticks {
///     last: u64,
///     text: String,
/// }
///
/// impl Source for Ticks {
///     type Position = u64;
///
///     fn name(&self) -> &str {
///         "ticks"
///     }
///
///     fn read(&mut self) -> io::Result<Next<'_>> {
///         if self.last == 1_000 {
///             return Ok(Next::End);
///         }
///         self.last += 1;
///         self.text = self.last.to_string();
///         let bytes = self.text.as_bytes();
///         Ok(Next::Record { time: self.last as i64 * 1_000, arrival: None, bytes })
///     }
///
///     fn position(&self) -> u64 {
///         self.last
///     }
/// }
///
/// /// On all workers: makes an event of a record, or says why it is none.
/// fn parse(row: &Row<'_>) -> Result<u64, String> {
///     let text = std::str::from_utf8(row.raw()).map_err(|error| error.to_string())?;
///     text.parse().map_err(|error| format!("{error}"))
/// }
/// ```
pub trait Source {
    /// Where to continue: an offset, an identifier, an offset for each partition. It is asked for after each record, so
    /// keep it small.
    type Position: Serialize + DeserializeOwned;

    /// The name in messages.
    fn name(&self) -> &str;

    /// Reads the next record. It may block.
    ///
    /// # Errors
    /// An error of the source as a whole. It stops the engine, after the records read before have entered. A bad record
    /// is a [`Next::Refused`] instead.
    fn read(&mut self) -> io::Result<Next<'_>>;

    /// The position after the record that was read last, even if it was refused; before the first record, the position
    /// where the source was opened. A source that was opened at another position than the log's is refused.
    fn position(&self) -> Self::Position;

    /// How far an event may be ahead of its arrival (or of the wall clock, without an arrival); events further ahead
    /// are refused. The default is a day.
    fn ahead_limit(&self) -> Duration {
        duration(AHEAD_LIMIT_MS)
    }

    /// How far an event may be behind the clock of the source; older events are refused. By default any age is
    /// accepted.
    fn behind_limit(&self) -> Duration {
        Duration::MAX
    }

    /// If the source has brought nothing for this long, days close by the wall clock less this duration; records that
    /// come later for a closed day are late. With `None`, the default, days stay open until a record comes.
    fn quiet_after(&self) -> Option<Duration> {
        None
    }

    /// How much was read since it was opened, and the total if it is known, in bytes or any other unit. It is shown to
    /// people.
    fn progress(&self) -> (u64, Option<u64>) {
        (0, None)
    }
}

/// The next item of a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next<'a> {
    /// A record, at most [`RECORD_MAX`] bytes long.
    Record {
        /// When it happened.
        time: EventTime,
        /// When it came, if the source knows.
        arrival: Option<EventTime>,
        /// Its content; [`Row::raw`](super::Row::raw) gives it to the function that makes an event of it.
        bytes: &'a [u8],
    },
    /// A record that is not an event. It is counted, and kept aside with its reason.
    Refused {
        /// The reason, on one line.
        reason: String,
        /// Its text.
        bytes: &'a [u8],
    },
    /// Nothing at present. The source is asked again a little later.
    Later,
    /// Nothing at present, and no later record will be before this time: days before it may close. The source is asked
    /// again a little later.
    Idle {
        /// Up to where the source is complete.
        watermark: EventTime,
    },
    /// There are no more records.
    End,
}

/// Reads a [`Source`] in blocks.
pub(crate) struct Own<S: Source> {
    source: S,
    name: String,
    /// The position after the last record handed out.
    records: u64,
    position: S::Position,
    clock: EventTime,
    /// A record that was read, but is beyond the limit of the clock.
    pending: Option<Pending>,
    rows: u64,
    refused: u64,
    state: ReadState,
}

struct Pending {
    time: EventTime,
    arrival: Option<EventTime>,
    bytes: Vec<u8>,
}

impl<S: Source> Own<S> {
    /// The rest of a source of which earlier runs handed out this much, opened after it.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if it was opened elsewhere: records would be missing, or count twice.
    pub(crate) fn new(source: S, place: Option<&OwnPlace>) -> Result<Own<S>, SourceError> {
        let own = Own {
            name: source.name().to_owned(),
            records: place.map_or(0, |place| place.records),
            position: source.position(),
            clock: place.map_or(EventTime::MIN, |place| place.clock),
            source,
            pending: None,
            rows: 0,
            refused: 0,
            state: ReadState::Good,
        };
        let opened = own.place();
        match place.map(|place| SourcePosition::Own(place.clone())) {
            Some(place) if place != opened => Err(SourceError::Changed {
                name: own.name,
                expected: place.to_string(),
                found: opened.to_string(),
            }),
            _ => Ok(own),
        }
    }

    /// Appends rows to `block` until something stops it.
    fn fill(
        &mut self,
        block: &mut Rows,
        refused: &mut Vec<Refused>,
        limit: ReadLimit,
    ) -> Result<Stop, SourceError> {
        let (mut rows, mut refused_bytes) = (0, 0);
        let ahead_limit = milliseconds(self.source.ahead_limit());
        let behind_limit = milliseconds(self.source.behind_limit());
        while rows == 0 || (rows < limit.rows && block.memory() + refused_bytes < BLOCK_BYTES) {
            if self.records >= limit.bytes {
                return Ok(Stop::Bytes);
            }
            let next = match &self.pending {
                Some(Pending { time, arrival, bytes }) => {
                    Ok(Next::Record { time: *time, arrival: *arrival, bytes })
                }
                None => self.source.read(),
            };
            let next =
                next.map_err(|source| SourceError::Io { name: self.name.clone(), source })?;
            let number = self.records + 1;
            let (bytes, judged) = match next {
                Next::Later => return Ok(Stop::Later),
                // Days close by it as by a record; the clock in the log, by which records are judged, does not move.
                Next::Idle { watermark } if watermark >= limit.clock => {
                    return Ok(Stop::Clock(watermark));
                }
                Next::Idle { .. } => return Ok(Stop::Later),
                Next::End => return Ok(Stop::End),
                Next::Refused { reason, bytes } => (bytes, Err(reason)),
                Next::Record { time, arrival, bytes } => {
                    let reading = arrival.map_or(Reading::Event, |at| Reading::Arrival(Some(at)));
                    let judged = advance(self.clock, time, reading, limit.now, ahead_limit);
                    let judged = judged.and_then(|step| {
                        check_behind(time, step.clock, behind_limit).map(|()| step)
                    });
                    match judged {
                        Ok(step) if step.clock >= limit.clock => {
                            self.pending = Some(Pending { time, arrival, bytes: bytes.to_vec() });
                            return Ok(Stop::Clock(step.clock));
                        }
                        judged => (bytes, judged.map(|step| (time, step.clock))),
                    }
                }
            };
            if bytes.len() > RECORD_MAX {
                let length = bytes.len();
                let long = format!("record {number} has {length} bytes, more than {RECORD_MAX}");
                let source = io::Error::new(io::ErrorKind::InvalidData, long);
                return Err(SourceError::Io { name: self.name.clone(), source });
            }
            match judged {
                Ok((time, clock)) => {
                    block.push(number, time, bytes, std::iter::empty());
                    self.clock = clock;
                    self.rows += 1;
                }
                Err(reason) => {
                    refused_bytes += bytes.len() + reason.len();
                    refused.push(Refused { line: number, reason, row: bytes.to_vec() });
                    self.refused += 1;
                }
            }
            self.pending = None;
            (self.records, self.position) = (number, self.source.position());
            rows += 1;
        }
        Ok(Stop::Full)
    }
}

impl<S: Source> Blocks for Own<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self, limit: ReadLimit) -> Result<Read, SourceError> {
        self.state.check(&self.name)?;
        let (mut rows, mut refused) = (Rows::new(0), Vec::new());
        let stop = self.fill(&mut rows, &mut refused, limit);
        self.state.end(rows, refused, stop)
    }

    fn place(&self) -> SourcePosition {
        let position = bincode::serialize(&self.position);
        let position = position.expect("a position can be encoded with bincode");
        SourcePosition::Own(OwnPlace { records: self.records, clock: self.clock, position })
    }

    fn clock(&self) -> EventTime {
        self.clock
    }

    fn progress(&self) -> Progress {
        let (bytes_read, bytes_total) = self.source.progress();
        Progress { rows: self.rows, refused: self.refused, bytes_read, bytes_total }
    }

    fn pace(&self) -> Option<f64> {
        None
    }

    fn quiet_after(&self) -> Option<Duration> {
        self.source.quiet_after()
    }

    // A record is whole.
    fn hold_rest(&mut self, _hold: bool) {}

    fn share(&mut self, _threads: usize) {}

    fn latest(&self) -> EventTime {
        EventTime::MIN
    }

    fn has_its_past(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that follows a script, from some line on: `time`, `time@arrival`, `!` for a refusal, `?` for later.
    struct Script {
        lines: Vec<&'static str>,
        at: usize,
    }

    impl Source for Script {
        type Position = usize;

        fn name(&self) -> &str {
            "script"
        }

        fn read(&mut self) -> io::Result<Next<'_>> {
            let Some(line) = self.lines.get(self.at) else { return Ok(Next::End) };
            self.at += 1;
            let bytes = line.as_bytes();
            Ok(match *line {
                "!" => Next::Refused { reason: "no".to_owned(), bytes },
                "?" => Next::Later,
                line if line.starts_with('~') => {
                    Next::Idle { watermark: line[1..].parse::<i64>().unwrap() }
                }
                "bad" => return Err(io::Error::other("it is broken")),
                "long" => Next::Refused { reason: String::new(), bytes: &[0; RECORD_MAX + 1] },
                line => {
                    let (time, arrival) = line.split_once('@').unzip();
                    let number = |text: &str| text.parse::<i64>().unwrap();
                    let time = number(time.unwrap_or(line));
                    Next::Record { time, arrival: arrival.map(number), bytes }
                }
            })
        }

        fn position(&self) -> usize {
            self.at
        }

        fn ahead_limit(&self) -> Duration {
            Duration::from_millis(100)
        }
    }

    fn script(lines: &str) -> Script {
        // Lines live as long as the test.
        Script { lines: lines.to_owned().leak().split(' ').collect(), at: 0 }
    }

    const ALL: ReadLimit =
        ReadLimit { rows: 10, clock: EventTime::MAX, bytes: u64::MAX, now: EventTime::MAX };

    fn show(read: Result<Read, SourceError>) -> String {
        match read {
            Ok(Read::Rows(block)) => {
                let rows = block
                    .iter()
                    .map(|row| format!("{}:{}", row.line(), String::from_utf8_lossy(row.raw())));
                let refused =
                    block.refused.iter().map(|row| format!("{}!{}", row.line, row.reason));
                rows.chain(refused).collect::<Vec<_>>().join(" ")
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("error: {error}"),
        }
    }

    fn at(own: &Own<Script>) -> (u64, EventTime, usize) {
        let SourcePosition::Own(place) = own.place() else { panic!("it is a source of one's own") };
        (place.records, place.clock, bincode::deserialize(&place.position).unwrap())
    }

    #[test]
    fn a_record_beyond_the_limit_waits_for_the_next_block() {
        let mut own = Own::new(script("5 3 ! 9 7 ?  20"), None).unwrap();
        own.source.lines.retain(|line| !line.is_empty());
        let limit = ReadLimit { clock: 9, ..ALL };
        assert_eq!(show(own.read(limit)), "1:5 2:3 3!no");
        assert_eq!(at(&own), (3, 5, 3), "the fourth was read, and is not handed out");
        assert_eq!(show(own.read(limit)), "AtClock { clock: 9 }");
        assert_eq!(show(own.read(ReadLimit { bytes: 4, ..ALL })), "4:9");
        assert_eq!(show(own.read(ReadLimit { bytes: 4, ..ALL })), "AtBytes");
        assert_eq!((at(&own), show(own.read(ALL))), ((4, 9, 4), "5:7".to_owned()));
        assert_eq!((show(own.read(ALL)), at(&own)), ("6:20".to_owned(), (6, 20, 7)));
        assert_eq!(show(own.read(ALL)), "End");
        assert_eq!((own.progress().rows, own.progress().refused), (5, 1));
    }

    #[test]
    fn an_idle_source_closes_days() {
        let mut own = Own::new(script("5 ~8 ~8 ~8 6 ~20"), None).unwrap();
        let limit = ReadLimit { clock: 8, ..ALL };
        assert_eq!(show(own.read(limit)), "1:5");
        assert_eq!(show(own.read(limit)), "AtClock { clock: 8 }");
        assert_eq!(show(own.read(ReadLimit { clock: 9, ..ALL })), "Later");
        assert_eq!((show(own.read(ALL)), own.clock()), ("2:6".to_owned(), 6), "of records alone");
        assert_eq!(show(own.read(ALL)), "End");
    }

    #[test]
    fn opened_at_a_position_it_goes_on_as_it_would_have() {
        let lines = "5 3@8 ! 9 7@30 31 ! 500@30 29";
        let mut whole = Own::new(script(lines), None).unwrap();
        let mut expect = Vec::new();
        let mut places = vec![whole.place()];
        while let Ok(Read::Rows(block)) = whole.read(ReadLimit { rows: 1, ..ALL }) {
            expect.push((show(Ok(Read::Rows(block))), whole.place()));
            places.push(whole.place());
        }
        assert_eq!(expect.len(), 9);
        assert!(
            expect[7].0.starts_with("8!the event is 469 ms ahead of its arrival"),
            "{expect:?}"
        );
        for (done, place) in places.iter().enumerate() {
            let SourcePosition::Own(place) = place else { panic!("it is a source of one's own") };
            let mut source = script(lines);
            source.at = bincode::deserialize(&place.position).unwrap();
            let mut own = Own::new(source, Some(place)).unwrap();
            for (rows, place) in &expect[done..] {
                assert_eq!(show(own.read(ReadLimit { rows: 1, ..ALL })), *rows);
                assert_eq!(own.place(), *place);
            }
        }
    }

    #[test]
    fn an_error_comes_after_what_was_read_before_it() {
        for (line, expect) in [("bad", "cannot read 'script'"), ("long", "cannot read 'script'")] {
            let mut own = Own::new(script(&format!("1 {line} 2")), None).unwrap();
            assert_eq!(show(own.read(ALL)), "1:1");
            assert_eq!(show(own.read(ALL)), format!("error: {expect}"));
            assert!(show(own.read(ALL)).contains("not read any further"));
            assert_eq!(at(&own).0, 1);
        }
    }
}
