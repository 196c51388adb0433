//! Counts the records of a topic by day and key: the program that `proof/exactly_once.py` kills again and again.
//!
//!     counts BROKERS TOPIC FOLDER [-w 2 -n 2 -p 0 -h HOSTS]
//!
//! It takes commands, one per line. `answers` prints a line for each day and key, `status` one for each partition; each
//! output ends with `.`. `stop`, or the end of input, finishes.
//!
//! A record is JSON: `{"at":1714564800000,"key":"a","value":7}`.

use std::io::{BufRead, Write};
use std::sync::mpsc;
use std::time::Duration;

use dayfold::aggregate::{Count, Sum};
use dayfold::engine::{Measures, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::time::DayRange;
use dayfold::view::View;
use dayfold::{Cluster, Engine};
use dayfold_kafka::{Kafka, Record, Time};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Event {
    at: i64,
    key: String,
    value: i64,
}

fn read(record: &Record<'_>) -> Result<Event, String> {
    serde_json::from_slice(record.bytes()).map_err(|error| error.to_string())
}

type Answers = ViewHandle<String, (Count, Sum)>;

fn answers(view: &Answers, out: &mut impl Write) -> Result<(), Box<dyn std::error::Error>> {
    let answer = view.ask(Query::rows(KeyRange::all(), DayRange::ALL))?;
    for item in answer.items {
        let (Some(day), Some(key)) = (item.day, item.key) else { continue };
        if let Some((count, sum)) = item.parts.merged() {
            writeln!(out, "{day} {key} {} {}", count.0, sum.value())?;
        }
    }
    Ok(())
}

fn status(running: &Running, out: &mut impl Write) -> std::io::Result<()> {
    let progress = running.progress();
    for source in progress.sources {
        let (position, lag) = (source.position.unwrap_or(0), source.lag.unwrap_or(0));
        let trouble = source.trouble.unwrap_or_default();
        writeln!(out, "{} {position} {lag} {} {trouble}", source.name, source.quiet)?;
    }
    writeln!(out, "recovered {} replayed {}", progress.recovered, progress.replayed)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let mut args = std::env::args();
    let program = args.next().unwrap_or_default();
    let mut next = || args.next().ok_or("usage: counts BROKERS TOPIC FOLDER …");
    let (brokers, topic, folder) = (next()?, next()?, next()?);
    let cluster = Cluster::from_args(std::iter::once(program).chain(args))?;
    let source = Kafka::new(&brokers, &topic, read).time(Time::Event(Box::new(|e: &Event| e.at)));
    let every = Durability::Every(Duration::from_millis(20));
    let mut engine = Engine::new().data(folder).log(every, |event: &Event| event.at);
    let view: Answers = engine.view(View::new("counts")?, Measures::none(), |event: &Event| {
        Some((event.at, event.key.clone(), (Count::one(), Sum::of(event.value))))
    });
    let running = engine.partitioned(source).start(cluster)?;
    let (sender, commands) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines();
        lines.map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    let mut out = std::io::stdout().lock();
    loop {
        if running.wait_stopped(Duration::ZERO) {
            break;
        }
        match commands.recv_timeout(Duration::from_millis(50)) {
            // If it cannot answer, `finish` has the better error.
            Ok(command) if command == "answers" && answers(&view, &mut out).is_err() => break,
            Ok(command) if command == "answers" => {}
            Ok(command) if command == "status" => status(&running, &mut out)?,
            Ok(_) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => continue,
        }
        writeln!(out, ".")?;
        out.flush()?;
    }
    running.finish()?;
    Ok(())
}
