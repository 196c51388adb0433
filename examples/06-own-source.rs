//! Your own source: a growing file of binary records, which is read on from the position in the log.
//!
//!     cargo run --example 06-own-source
//!
//! Two runs over one file, the second after more was appended. After a stop or a kill, the next run continues after the
//! last record whose events are in the log. Before: `05-import-sealed-days`.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{Measures, Resume};
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{Next, Row, Source, SourceError};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

type Reading = (EventTime, u32, u32); // Milliseconds UTC, meter, watt-hours.

/// A record is a time (8 bytes), a meter (4) and watt-hours (4), little endian.
struct Meters {
    file: BufReader<File>,
    at: u64,
    record: [u8; 16],
}

impl Meters {
    fn open(path: &Path, at: u64) -> Result<Meters, SourceError> {
        let opened =
            File::open(path).and_then(|mut file| file.seek(SeekFrom::Start(at)).map(|_| file));
        let opened = opened.map_err(|source| SourceError::Io { name: "meters".to_owned(), source });
        Ok(Meters { file: BufReader::new(opened?), at, record: [0; 16] })
    }
}

impl Source for Meters {
    type Position = u64;

    fn name(&self) -> &str {
        "meters"
    }

    fn read(&mut self) -> io::Result<Next<'_>> {
        match self.file.read_exact(&mut self.record) {
            // Half a record is left to the next run.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Next::End),
            read => read?,
        }
        self.at += 16;
        let (time, bytes) = (number(&self.record[..8]) as EventTime, &self.record);
        if time == 0 {
            return Ok(Next::Refused { reason: "a clock that was not set".to_owned(), bytes });
        }
        Ok(Next::Record { time, arrival: None, bytes })
    }

    fn position(&self) -> u64 {
        self.at
    }
}

/// Runs on all workers: makes an event of a record, or says why it is not one.
fn parse(row: &Row<'_>) -> Result<Reading, String> {
    let (meter, used) = (number(&row.raw()[8..12]) as u32, number(&row.raw()[12..]) as u32);
    if used > 1_000_000 {
        return Err(format!("{used} Wh is more than the cable carries"));
    }
    Ok((row.time(), meter, used))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn run(folder: &Path, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let every = Durability::Every(Duration::from_millis(10));
    let mut engine =
        Engine::new().data(folder.join("data")).log(every, |reading: &Reading| reading.0);
    let used =
        engine.view(View::new("used")?, Measures::none(), |&(time, meter, used): &Reading| {
            Some((time, meter, (Count::one(), Sum::of(used))))
        });
    let file = file.to_owned();
    let engine = engine.source(
        move |resume: &Resume<'_, u64>| {
            let at = resume.consumed().unwrap_or(0);
            println!("from byte {at}");
            Ok(Some(Meters::open(&file, at)?))
        },
        parse,
    );
    let engine = engine.refused(|refused| {
        println!("record {} refused: {}", refused.line, refused.reason);
        Ok(())
    });
    // Timely's arguments, for example `-w 2`. With several processes, the first one reads, and each has its own folder.
    let cluster = Cluster::from_args(std::env::args())?;
    let is_first = cluster.process() == 0;
    let running = engine.start(cluster)?;
    if is_first {
        while !running.wait_sealed(Duration::from_secs(1))? {}
        let answer = used.ask(Query::point(7, DayRange::ALL))?;
        let (count, sum) = answer.value().ok_or("no readings")?;
        println!("meter 7: {} readings, {} Wh", count.0, sum.value());
    } else {
        while !running.wait_stopped(Duration::from_secs(1)) {}
    }
    running.finish()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("meters");
    let mut file = File::create(&path)?;
    let noon = 1_714_564_800_000_u64; // 1 May 2024, 12:00 UTC.
    for records in [
        [(noon, 250), (0, 10), (noon + 1, 50)],
        [(noon + 2, 2_000_000), (noon + 3, 100), (noon, 1)],
    ] {
        for (time, used) in records {
            file.write_all(
                &[&time.to_le_bytes()[..], &7_u32.to_le_bytes(), &u32::to_le_bytes(used)].concat(),
            )?;
        }
        run(folder.path(), &path)?;
    }
    Ok(())
}
