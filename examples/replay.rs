//! The general tool: any CSV file, grouped by day and key.
//!
//!     cargo run --release --example replay -- examples/data/flights-2013.csv.gz \
//!         --time event_time --arrival ingest_time --key carrier --value arr_delay --distinct tailnum \
//!         --zone America/New_York -w 2
//!
//! It streams the rows in the order of the file through one view. Days close while it runs, and late rows amend them.
//! At the end all days close, and it queries every row of the view.

mod common;
#[path = "replay/options.rs"]
mod options;
#[path = "replay/output.rs"]
mod output;
#[path = "replay/refused.rs"]
mod refused;
#[path = "replay/table.rs"]
mod table;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use common::{TOO_MANY_REFUSED, failed, input, say};
use dayfold::aggregate::{Decimal, DecimalError};
use dayfold::dynamic::{Engine, Event, Key, RowValue, State};
use dayfold::engine::{EngineError, Resume, Running, ViewHandle};
use dayfold::key::KeyRange;
use dayfold::log::Durability;
use dayfold::serve::{Answer, Item, Keys, Query, Shape};
use dayfold::source::{CsvSource, Input, Refused, Row};
use dayfold::store::{RunState, StoreError};
use dayfold::time::{Day, DayRange};
use indicatif::{ProgressBar, ProgressStyle};
use options::Options;
use output::{Target, push_cell};
use refused::RefusedRows;
use table::Table;

/// Reads the selected fields of a row: those of the key, the values and the distinct columns, in the order of the view.
/// With `--data`, the log keeps this event.
fn parse(row: &Row<'_>, options: &Options, values: &Values) -> Result<Event, String> {
    let (keys, numbers) = (options.key.len(), options.value.len());
    let mut event = Event::builder(row.time());
    (0..keys).for_each(|at| event.push(row.field(at)));
    for (at, name) in options.value.iter().enumerate() {
        match values.read(row.field(keys + at), options.bad_value_is_null()) {
            Ok(Some(number)) => event.push(number),
            Ok(None) => event.push(RowValue::Null),
            Err(error) => return Err(format!("'{name}': {error}")),
        }
    }
    for at in keys + numbers..keys + numbers + options.distinct.len() {
        match row.field(at) {
            // Empty cells are not counted.
            [] => event.push(RowValue::Null),
            cell => event.push(cell),
        }
    }
    Ok(event.finish())
}

/// The name under which the data folder keeps the name of the file.
const FILE: &str = "replay";

/// Counts of changed values that this process has read in this run.
#[derive(Default)]
struct Values {
    rounded: AtomicU64,
    nulls: AtomicU64,
}

impl Values {
    /// The number in a cell, if there is one.
    fn read(&self, cell: &[u8], bad_is_null: bool) -> Result<Option<Decimal>, DecimalError> {
        if cell.is_empty() {
            return Ok(None);
        }
        match Decimal::parse_rounded(cell) {
            Ok(number) => {
                // All workers count here, and only if there is something to count.
                if !number.is_exact {
                    self.rounded.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Some(number.value))
            }
            Err(_) if bad_is_null => {
                self.nulls.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The summary of them.
    fn said(&self) -> Option<String> {
        let counts = [
            (&self.rounded, "values rounded to 9 digits after the point"),
            (&self.nulls, "values that are no numbers left out"),
        ];
        let said = counts.map(|(count, what)| (count.load(Ordering::Relaxed), what));
        let said = said.iter().filter(|(count, _)| *count > 0);
        let said: Vec<String> = said.map(|(count, what)| format!("{count} {what}")).collect();
        (!said.is_empty()).then(|| said.join(", "))
    }
}

/// State shared by opening the source, keeping refused rows, and the summary.
#[derive(Default)]
struct Session {
    /// Whether the folder already has rows of the file.
    goes_on: bool,
    refused: RefusedRows,
}

fn main() -> ExitCode {
    common::init_tracing();
    common::exit_code(run(Options::parse()))
}

fn run(options: Options) -> Result<(), EngineError> {
    let options = Arc::new(options);
    let interrupted = common::interrupted();
    let session = Arc::new(Mutex::new(Session::default()));
    let values = Arc::new(Values::default());
    let table = options.table()?;
    let (engine, view) = build(&options, &table, &session, &values)?;
    let started = Instant::now();
    let running = common::start(engine, options.workers.cluster()?, &interrupted)
        .map_err(|error| explain(error, &options))?;
    if !options.workers.is_first() {
        let followed = common::follow(running, &interrupted);
        if let Some(values) = values.said() {
            say(format_args!("{values} in this process"));
        }
        return followed;
    }
    let work = Work {
        options: &options,
        table: &table,
        view,
        running: &running,
        interrupted: &interrupted,
        values: &values,
    };
    let result = work.watch(&session).and_then(|()| work.report(&session, started));
    if let Err(error) = &result {
        // Written refused rows are kept, whatever happened.
        let _ = lock(&session).refused.finish();
        running.fail(&error.to_string());
    }
    // If another process stopped first, its reason counts.
    running.finish().and(result)
}

/// The engine: a source, one view of it, a folder.
fn build(
    options: &Arc<Options>,
    table: &Table,
    session: &Arc<Mutex<Session>>,
    values: &Arc<Values>,
) -> Result<(Engine, ViewHandle<Key, State>), EngineError> {
    let mut engine = Engine::new();
    if let Some(folder) = &options.data {
        // Rows that the log loses when the machine stops can be read from the file again.
        engine = engine.data(folder).log(Durability::System, Event::time);
        if options.accept_lost_log {
            engine = engine.accept_lost_log();
        }
        if options.accept_floor_ahead {
            engine = engine.accept_floor_ahead();
        }
    }
    let view = engine.dynamic_view(table.definition.clone(), Event::fill);
    let (opening, to_open) = (Arc::clone(options), Arc::clone(session));
    let (parsing, values) = (Arc::clone(options), Arc::clone(values));
    let engine = engine.csv(
        move |resume| {
            // Opening may wait for input, with nothing locked.
            let (source, opened) = open(&opening, resume)?;
            *lock(&to_open) = opened;
            Ok(Some(source))
        },
        move |row| parse(row, &parsing, &values),
    );
    let (strict, keeping) = (options.strict, Arc::clone(session));
    let engine = engine.refused(move |refused| keep(refused, strict, &mut lock(&keeping)));
    Ok((engine, view))
}

fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the source after the position in the folder. Nothing is written before everything has been checked.
fn open(options: &Options, resume: &Resume<'_>) -> Result<(CsvSource, Session), EngineError> {
    let (store, name) = (resume.store(), options.file_name());
    let has_run = store.filter(|store| store.state() != RunState::Fresh);
    if let Some(before) = has_run.and_then(|store| store.fact(FILE))
        && before != name.as_bytes()
    {
        let before = String::from_utf8_lossy(&before);
        return Err(input(format_args!(
            "the data folder holds what was read of '{before}', and this is '{name}': \
             name that file, or another folder"
        )));
    }
    let target = Target::new(options.out.as_ref());
    let cannot = |error| failed(format_args!("cannot write {}: {error}", target.name()));
    target.check().map_err(cannot)?;
    let file = match options.is_stdin() {
        true => Input::stdin(),
        false if options.follow => Input::follow(&options.file),
        false => Input::file(&options.file),
    };
    let source = match resume.consumed() {
        Some(consumed) => CsvSource::resume_after(file, options.source()?, consumed)?,
        None => CsvSource::open(file, options.source()?)?,
    };
    let path = match (&options.refused, store) {
        (Some(path), _) => path.clone(),
        (None, Some(store)) => store.rejected_path(),
        (None, None) if options.is_stdin() => "stdin.refused.csv".into(),
        (None, None) => format!("{name}.refused.csv").into(),
    };
    let cannot = |error| failed(format_args!("cannot write {}: {error}", path.display()));
    if options.out.as_ref() == Some(&path) {
        return Err(input(format_args!("--out is the file of refused rows, {}", path.display())));
    }
    // The log knows which rows were refused, whatever happened to their file.
    let refused = RefusedRows::open(path.clone(), options.refused.is_some());
    let refused = refused.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => input(format_args!("{}: {error}", path.display())),
        _ => cannot(error),
    })?;
    let mut session = Session { goes_on: !resume.is_fresh(), refused };
    resume.refused().iter().try_for_each(|row| keep(row, options.strict, &mut session))?;
    if let Some(store) = store {
        store.set_fact(FILE, name.into_bytes())?;
    }
    Ok((source, session))
}

/// Keeps a refused row. They come in the order of the file, so the first one is the same for any number
/// of workers.
fn keep(refused: &Refused, strict: bool, session: &mut Session) -> Result<(), EngineError> {
    session.refused.write(refused).map_err(|error| {
        let path = session.refused.path.display();
        failed(format_args!("cannot write {path}: {error}"))
    })?;
    match strict {
        true => Err(input(format_args!("line {}: {}", refused.line, refused.reason))),
        false => Ok(()),
    }
}

/// Turns an error of the folder into words of the command line.
fn explain(error: EngineError, options: &Options) -> EngineError {
    match error {
        EngineError::Store(StoreError::ViewMismatch { field, on_disk, asked, .. })
            if matches!(field, "zone" | "definition") =>
        {
            let option = if field == "zone" { "--zone " } else { "" };
            let folder = options.data.as_deref().unwrap_or(Path::new("")).display();
            input(format_args!(
                "the data folder {folder} was made with {option}{on_disk}, and this run has \
                 {option}{asked}: use the same options, or another folder"
            ))
        }
        EngineError::Store(StoreError::ViewMismatch { field: "key" | "aggregate", .. }) => {
            let folder = options.data.as_deref().unwrap_or(Path::new("")).display();
            input(format_args!(
                "an earlier version of replay has made the data folder {folder}, and this one does not read it: \
                 name another folder, into which the whole file is read again, or use that version"
            ))
        }
        error => error,
    }
}

/// The days of one query have at most this many events, or are a single day, which bounds the rows in memory.
const EVENTS_AT_ONCE: i64 = 1 << 16;

/// The days, in ranges for one query each.
fn spans(days: &[(Day, State)]) -> Vec<DayRange> {
    let (mut spans, mut events) = (Vec::<DayRange>::new(), 0);
    for (day, state) in days {
        events += state.rows();
        match spans.last_mut() {
            Some(span) if events <= EVENTS_AT_ONCE => span.upper = day.next(),
            _ => {
                spans.push(DayRange::only(*day));
                events = state.rows();
            }
        }
    }
    spans
}

/// The part of process 0.
struct Work<'a> {
    options: &'a Options,
    table: &'a Table,
    view: ViewHandle<Key, State>,
    running: &'a Running,
    interrupted: &'a AtomicBool,
    values: &'a Values,
}

impl Work<'_> {
    /// Waits until all days are sealed, with a progress bar on a terminal.
    fn watch(&self, session: &Mutex<Session>) -> Result<(), EngineError> {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template(
            "{elapsed_precise} {bar:32.cyan/blue} {percent:>3} %  {msg}",
        );
        bar.set_style(style.map_err(failed)?);
        let mut told = None;
        while !self.running.wait_sealed(Duration::from_millis(100))? {
            if common::is_set(self.interrupted) {
                self.running.interrupt();
            }
            lock(session).refused.flush().map_err(failed)?;
            let progress = self.running.progress();
            bar.set_length(progress.bytes_total.unwrap_or(0));
            bar.set_position(progress.bytes_read);
            let view = progress.views.first().copied().unwrap_or_default();
            if self.options.follow && bar.is_hidden() && view.sealed_through > told {
                told = view.sealed_through;
                let day = told.map_or(String::new(), |day| day.to_string());
                say(format_args!("sealed through {day}, {} rows read", progress.rows));
            }
            let through = view.sealed_through.map_or("nothing".to_owned(), |day| day.to_string());
            bar.set_message(match progress.recovered {
                true => format!("{} rows, sealed through {through}", progress.rows),
                false => format!("{} of {} rows back", progress.replayed, progress.to_replay),
            });
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Writes every day and key, and a summary.
    fn report(&self, session: &Mutex<Session>, started: Instant) -> Result<(), EngineError> {
        let days =
            self.ask(Query::new(Keys::Range(KeyRange::all()), DayRange::ALL, Shape::ByDay))?;
        let mut session = lock(session);
        session.refused.finish().map_err(failed)?;
        if self.is_interrupted() {
            return Ok(());
        }
        let late = days.certificate.late;
        let of_day = |item: Item<Key, State>| Some((item.day?, item.parts.into_merged()?));
        let days: Vec<(Day, State)> = days.items.into_iter().filter_map(of_day).collect();
        let accepted: i64 = days.iter().map(|(_, state)| state.rows()).sum();
        let refused = session.refused.count;
        session.refused.commonest().iter().for_each(say);
        let rows = refused + accepted.unsigned_abs();
        if !self.options.allows(refused, rows) {
            let path = session.refused.path.display();
            return Err(failed(format_args!(
                "{TOO_MANY_REFUSED}: {refused} of {rows} (see {path}); --max-refused allows more"
            )));
        }
        self.write(&days)?;
        let seconds = started.elapsed().as_secs_f64();
        let kept = match refused {
            0 => String::new(),
            _ => format!(" (see {})", session.refused.path.display()),
        };
        let read = self.running.progress().rows;
        let now = match read {
            0 => format!("nothing was left to read, {seconds:.2} s"),
            _ => format!("{read} read in {seconds:.2} s, {:.0} rows/s", read as f64 / seconds),
        };
        // There is no count of late rows of earlier runs; only the folder's revisions show them.
        let since = if session.goes_on { " in this run" } else { "" };
        let values = self.values.said().map_or(String::new(), |said| format!(", {said}{since}"));
        say(format_args!(
            "{accepted} rows accepted, {refused} refused{kept}, {} days, {} late{since}{values}; {now}, {}",
            days.len(),
            late,
            self.options.workers.describe(),
        ));
        Ok(())
    }

    /// Writes every day and key, unless the user wants to stop.
    fn write(&self, days: &[(Day, State)]) -> Result<(), EngineError> {
        let target = Target::new(self.options.out.as_ref());
        let cannot = |error| failed(format_args!("cannot write {}: {error}", target.name()));
        let mut out = target.create().map_err(cannot)?;
        let scales = self.table.scales(days.iter().map(|(_, state)| state));
        let mut line = Vec::new();
        for (at, name) in self.options.header().iter().enumerate() {
            if at > 0 {
                line.push(b',');
            }
            push_cell(&mut line, name.as_bytes());
        }
        line.push(b'\n');
        out.write_all(&line).map_err(cannot)?;
        line.clear();
        // The next days are read while these are written.
        let (send, answers) = mpsc::sync_channel(0);
        let view = &self.view;
        thread::scope(|scope| -> Result<(), EngineError> {
            scope.spawn(move || {
                for days in spans(days) {
                    // If nobody takes the answer, the writer has stopped.
                    if send.send(view.ask(Query::rows(KeyRange::all(), days))).is_err() {
                        break;
                    }
                }
            });
            for answer in answers {
                if self.is_interrupted() {
                    return Ok(());
                }
                for item in answer.map_err(failed)?.items {
                    let (Some(day), Some(key)) = (item.day, &item.key) else { continue };
                    let Some(state) = item.parts.into_merged() else { continue };
                    self.table.push_row(&mut line, day, key, &state, &scales);
                    out.write_all(&line).map_err(cannot)?;
                    line.clear();
                }
            }
            Ok(())
        })?;
        if self.is_interrupted() {
            return Ok(());
        }
        out.publish().map_err(cannot)
    }

    fn ask(&self, query: Query<Key>) -> Result<Answer<Key, State>, EngineError> {
        self.view.ask(query).map_err(failed)
    }

    /// Whether the user wants to stop, here or in any other process; then all processes know it.
    fn is_interrupted(&self) -> bool {
        if common::is_set(self.interrupted) {
            self.running.interrupt();
            while !self.running.is_interrupted()
                && !self.running.wait_stopped(Duration::from_millis(1))
            {}
        }
        self.running.is_interrupted()
    }
}
