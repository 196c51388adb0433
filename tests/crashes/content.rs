//! A CSV source in memory that grows, and the expected result of each of its rows.

use dayfold::source::{CsvOptions, Row};
use dayfold::time::EventTime;
use std::time::Duration;

use crate::program::{Event, HOUR, START};
use crate::random::Random;

/// The reason that the program gives for a value that is not a number.
const NO_NUMBER: &str = "not a number";

pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    /// Accepted rows, each with the position after it.
    pub(crate) events: Vec<(u64, Event)>,
    /// Refused rows: the line, the row as it is there, and the reason if the program gave it.
    pub(crate) refused: Vec<(u64, Vec<u8>, Option<&'static str>)>,
    arrival: bool,
    watermark: EventTime,
    line: u64,
}

impl Content {
    /// A source without rows; with `arrival` it has its own clock.
    pub(crate) fn new(arrival: bool) -> Content {
        let (events, refused) = (Vec::new(), Vec::new());
        let bytes = b"t,a,k,v\n".to_vec();
        Content { bytes, events, refused, arrival, watermark: START, line: 2 }
    }

    pub(crate) fn options(&self) -> CsvOptions {
        // The wall clock does not matter in these tests.
        let options = CsvOptions::new("t").fields(["k", "v"]).ahead_limit(Duration::MAX);
        if self.arrival { options.arrival("a") } else { options }
    }

    /// The number of accepted rows up to a position.
    pub(crate) fn events_before(&self, bytes: u64) -> usize {
        self.events.partition_point(|(end, _)| *end <= bytes)
    }

    /// Appends some rows.
    pub(crate) fn grow(&mut self, random: &mut Random) {
        let rows = match random.below(24) {
            0 => 9_000,
            1..4 => 0,
            _ => random.below(150),
        };
        self.grow_by(rows, random);
    }

    /// Appends `rows` rows.
    pub(crate) fn grow_by(&mut self, rows: u64, random: &mut Random) {
        // Few days end, so blocks are long.
        let hours = if rows > 1_000 { 1 } else { 20 };
        for _ in 0..rows {
            self.watermark += match random.below(40) {
                0 => random.between(1, 3 * hours) * HOUR,
                1..9 => random.between(0, hours) * HOUR / 4,
                _ => random.between(0, 60_000),
            };
            self.push_row(random);
            // A last line without its end would stay open, and such a run never has everything sealed; other tests
            // cover that.
            self.end_line(random);
        }
    }

    fn push_row(&mut self, random: &mut Random) {
        let late = match random.below(12) {
            0 => random.between(0, 240) * HOUR,
            1..3 => random.between(0, 30) * HOUR,
            _ => random.between(0, HOUR),
        };
        let (time, key) = (self.watermark - late, random.below(30));
        let value = random.between(-1_000, 1_000);
        let arrival = if random.one_in(30) { String::new() } else { self.watermark.to_string() };
        let cell = match random.below(8) {
            0 => format!("\"{key}\""),
            1 if random.one_in(4) => format!("\"{key}\n\""),
            _ => key.to_string(),
        };
        let (row, refused) = match random.below(25) {
            0 => (format!("soon,{arrival},{cell},{value}"), Some(None)),
            1 => (format!("{time},{arrival},{cell}"), Some(None)),
            2 | 3 => (format!("{time},{arrival},{cell},x{value}"), Some(Some(NO_NUMBER))),
            _ => (format!("{time},{arrival},{cell},{value}"), None),
        };
        self.bytes.extend_from_slice(row.as_bytes());
        match refused {
            Some(reason) => self.refused.push((self.line, row.clone().into_bytes(), reason)),
            None => self.events.push((self.bytes.len() as u64, (time, key, value, 0))),
        }
        self.line += row.bytes().filter(|byte| *byte == b'\n').count() as u64;
    }

    fn end_line(&mut self, random: &mut Random) {
        let blank = if random.one_in(10) { random.below(4) } else { 0 };
        for _ in 0..=blank {
            self.bytes.extend_from_slice(if random.one_in(5) { b"\r\n" } else { b"\n" });
            self.line += 1;
        }
    }
}

/// The event of a row, or why it is refused.
pub(crate) fn parse(row: &Row<'_>) -> Result<Event, String> {
    let number = |at: usize| std::str::from_utf8(row.field(at)).ok()?.trim().parse::<i64>().ok();
    let (key, value) = number(0).zip(number(1)).ok_or(NO_NUMBER)?;
    Ok((row.time(), key as u64, value, 0))
}
