//! A second run over a data folder counts nothing twice, however the program opens its source.

use std::io::Cursor;
use std::sync::Arc;

use dayfold::aggregate::Count;
use dayfold::engine::{EngineError, Measures};
use dayfold::log::Durability;
use dayfold::serve::Query;
use dayfold::source::{CsvOptions, CsvSource, Input, Next, Source, SourceError};
use dayfold::store::{Memory, Storage};
use dayfold::time::{DayRange, EventTime};
use dayfold::view::View;
use dayfold::{Cluster, Engine};

use crate::LONG;

const DAY: EventTime = 86_400_000;
/// 1 May 2024, noon UTC.
const NOON: EventTime = 1_714_564_800_000;

/// Rows with these days of May as event times, and hours as arrivals.
fn rows(days: &[u32]) -> String {
    let line = |day: &u32| format!("2024-05-{day:02}T10:00:00Z\n");
    format!("at\n{}", days.iter().map(line).collect::<String>())
}

fn input(content: &str) -> Input {
    Input::reader("rows", Cursor::new(content.to_owned().into_bytes()))
}

fn options() -> CsvOptions {
    CsvOptions::new("at")
}

/// How a program opens its source.
#[derive(Clone, Copy, Debug)]
enum Opening {
    /// It leaves that to the engine.
    Engine,
    /// From the beginning, whatever the engine says.
    Beginning,
    /// Where the engine says.
    Resumed,
    /// After a row that the folder does not have.
    Behind,
}

struct Runs {
    storage: Arc<dyn Storage>,
    logged: bool,
    now: EventTime,
}

impl Runs {
    fn new(logged: bool) -> Runs {
        Runs { storage: Arc::new(Memory::default()), logged, now: NOON + 100 * DAY }
    }

    fn engine(&self) -> Engine<EventTime> {
        let now = self.now;
        let engine = Engine::new().clock(move || now).data_in(Arc::clone(&self.storage), "data");
        if self.logged { engine.log(Durability::System, |at| *at) } else { engine }
    }

    /// The number of events after a run over these rows.
    fn run(&self, content: &str, opening: Opening) -> Result<i64, EngineError> {
        let engine = self.engine();
        let content = content.to_owned();
        match opening {
            Opening::Engine => {
                let file = input(&content);
                count(engine, |engine| engine.file(file, options(), |row| Ok(row.time())))
            }
            _ => count(engine, move |engine| {
                let open = move |resume: &dayfold::engine::Resume<'_>| {
                    let source = match (opening, resume.consumed()) {
                        (Opening::Resumed, Some(consumed)) => {
                            CsvSource::resume_after(input(&content), options(), consumed)?
                        }
                        (Opening::Behind, Some(mut consumed)) => {
                            // As in a program that keeps its own position.
                            consumed.bytes = content.len() as u64;
                            consumed.digest = xxhash_rust::xxh3::xxh3_128(content.as_bytes());
                            CsvSource::resume_after(input(&content), options(), consumed)?
                        }
                        _ => CsvSource::open(input(&content), options())?,
                    };
                    Ok(Some(source))
                };
                engine.csv(open, |row| Ok(row.time()))
            }),
        }
    }
}

/// Runs an engine with one view and this source to its end, and asks how many events there are.
fn count(
    mut engine: Engine<EventTime>,
    source: impl FnOnce(Engine<EventTime>) -> Engine<EventTime>,
) -> Result<i64, EngineError> {
    let view = View::new("events").unwrap();
    let view = engine.view(view, Measures::none(), |at| Some((*at, 0u64, Count::one())));
    let running = source(engine).start(Cluster::workers(2))?;
    while !running.wait_sealed(LONG)? {}
    let answer = view.ask(Query::total(DayRange::ALL)).unwrap();
    running.finish()?;
    Ok(answer.value().map_or(0, |Count(events)| events))
}

#[test]
fn three_runs_count_once() {
    let content = rows(&[1, 2, 2, 5]);
    for logged in [false, true] {
        for opening in [Opening::Engine, Opening::Beginning, Opening::Resumed] {
            let runs = Runs::new(logged);
            for run in 1..=3 {
                let events = runs.run(&content, opening).unwrap();
                assert_eq!(events, 4, "run {run}, logged: {logged}, {opening:?}");
            }
            let grown = rows(&[1, 2, 2, 5, 5, 9]);
            assert_eq!(runs.run(&grown, opening).unwrap(), 6, "logged: {logged}, {opening:?}");
        }
    }
}

#[test]
fn another_file_and_one_that_is_opened_too_far_are_refused() {
    for logged in [false, true] {
        for opening in [Opening::Engine, Opening::Beginning, Opening::Resumed] {
            let runs = Runs::new(logged);
            runs.run(&rows(&[1, 2]), opening).unwrap();
            for other in [rows(&[1, 3]), rows(&[1])] {
                let error = runs.run(&other, opening).unwrap_err();
                assert!(error.to_string().contains("has changed"), "{opening:?}: {error}");
            }
            // Nothing has come of it.
            assert_eq!(runs.run(&rows(&[1, 2]), opening).unwrap(), 2);
        }
        let runs = Runs::new(logged);
        runs.run(&rows(&[1, 2]), Opening::Resumed).unwrap();
        let error = runs.run(&rows(&[1, 2, 3]), Opening::Behind).unwrap_err();
        assert!(error.to_string().contains("was opened behind"), "{error}");
    }
}

/// A last line without its end counts, and the next run reads it again from its beginning, because it may have grown.
#[test]
fn a_last_line_without_its_end_is_read_again() {
    let whole = format!("{}2024-05-09T10:00:00Z\n2024-05-09T11:00:00Z\n", rows(&[1, 2, 2, 5]));
    for (opening, step) in [(Opening::Engine, 1), (Opening::Beginning, 9), (Opening::Resumed, 9)] {
        for cut in (1..whole.len()).step_by(step) {
            let runs = Runs::new(true);
            let fresh = |content: &str| Runs::new(false).run(content, Opening::Engine);
            let (Ok(before), Ok(after)) = (fresh(&whole[..cut]), fresh(&whole)) else { continue };
            for run in 1..=2 {
                let events = runs.run(&whole[..cut], opening).unwrap();
                assert_eq!(events, before, "{:?}, run {run}", &whole[..cut]);
            }
            for _ in 1..=2 {
                assert_eq!(runs.run(&whole, opening).unwrap(), after, "{:?}", &whole[..cut]);
            }
        }
    }
}

/// A custom source that is opened at the position that the program chooses.
struct Numbers(u64, u64);

impl Source for Numbers {
    type Position = u64;

    fn name(&self) -> &str {
        "numbers"
    }

    fn read(&mut self) -> std::io::Result<Next<'_>> {
        if self.0 == self.1 {
            return Ok(Next::End);
        }
        self.0 += 1;
        Ok(Next::Record { time: NOON, arrival: None, bytes: b"" })
    }

    fn position(&self) -> u64 {
        self.0
    }
}

#[test]
fn a_source_of_ones_own_has_its_position_in_the_folder() {
    for logged in [false, true] {
        let runs = Runs::new(logged);
        let resumed = |to: u64| {
            count(runs.engine(), |engine| {
                let open = move |resume: &dayfold::engine::Resume<'_, u64>| {
                    Ok(Some(Numbers(resume.consumed().unwrap_or(0), to)))
                };
                engine.source(open, |row| Ok(row.time()))
            })
        };
        assert_eq!([5, 5, 8].map(|to| resumed(to).unwrap()), [5, 5, 8], "logged: {logged}");
        let again = count(runs.engine(), |engine| {
            engine.source(|_| Ok(Some(Numbers(0, 8))), |row| Ok(row.time()))
        });
        let error = again.unwrap_err();
        assert!(matches!(error, EngineError::Input { .. } | EngineError::Source(_)), "{error:?}");
        assert!(error.to_string().contains("has changed"), "{error}");
    }
}

/// Old folders have no position, so it is unknown which rows are in their sealed days.
#[test]
fn a_folder_without_a_log_that_does_not_say_how_far_it_was_read_is_refused() {
    let runs = Runs::new(false);
    let pushed = {
        let mut engine = runs.engine();
        let view = View::new("events").unwrap();
        engine.view(view, Measures::none(), |at: &EventTime| Some((*at, 0u64, Count::one())));
        let pusher = engine.live(dayfold::engine::LiveOptions::new(|at: &EventTime| *at));
        let running = engine.start(Cluster::workers(1)).unwrap();
        let pushed = pusher.push(vec![NOON]).unwrap();
        pushed.receipt.wait_visible(LONG).unwrap();
        drop(pusher);
        running.finish()
    };
    assert!(pushed.is_ok());
    let error = runs.run(&rows(&[1]), Opening::Engine).unwrap_err();
    assert!(matches!(error, EngineError::NoPosition { .. }), "{error:?}");
}

#[test]
fn a_folder_that_is_closed_up_to_the_future_is_refused_until_that_is_accepted() {
    for logged in [false, true] {
        let mut runs = Runs::new(logged);
        // The wall clock of this run was wrong by seven years.
        runs.now = NOON + 7 * 365 * DAY;
        let wrong = "at\n2031-04-01T10:00:00Z\n".to_owned();
        assert_eq!(runs.run(&wrong, Opening::Engine).unwrap(), 1);
        runs.now = NOON;
        let error = runs.run(&wrong, Opening::Engine).unwrap_err();
        assert!(matches!(error, EngineError::FloorAhead { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("closed up to 2031-04-02T01:00:00Z"), "{text}");
        assert!(text.contains("the wall clock says 2024-05-01T12:00:00Z"), "{text}");
        let accepted = count(runs.engine().accept_floor_ahead(), |engine| {
            let more = input(&format!("{wrong}2024-05-01T10:00:00Z\n"));
            engine.file(more, options(), |row| Ok(row.time()))
        });
        assert_eq!(accepted.unwrap(), 2, "logged: {logged}; it is late, and counts");
    }
}

#[test]
fn nothing_arrives_in_the_future() {
    let content = "at,came\n\
                   2024-05-01T10:00:00Z,2024-05-01T10:00:00Z\n\
                   2060-01-01T10:00:00Z,2106-02-07T06:28:15Z\n\
                   2024-05-01T11:00:00Z,2024-05-01T11:00:00Z\n";
    let mut engine = Engine::<EventTime>::new().clock(|| NOON);
    let view = View::new("events").unwrap();
    let view = engine.view(view, Measures::none(), |at| Some((*at, 0u64, Count::one())));
    let (keep, kept) = std::sync::mpsc::channel();
    let engine = engine.refused(move |refused| {
        keep.send((refused.line, refused.reason.clone())).unwrap();
        Ok(())
    });
    let options = options().arrival("came");
    let engine = engine.file(input(content), options, |row| Ok(row.time()));
    let running = engine.start(Cluster::workers(1)).unwrap();
    while !running.wait_sealed(LONG).unwrap() {}
    let answer = view.ask(Query::total(DayRange::ALL)).unwrap();
    assert_eq!((answer.value(), answer.certificate.late), (Some(Count(2)), 0));
    let (line, reason) = kept.recv_timeout(LONG).unwrap();
    assert_eq!(line, 3);
    assert!(reason.starts_with("the arrival is 2"), "{reason}");
    assert!(reason.contains("ahead of the wall clock; at most 86400000 ms"), "{reason}");
    running.finish().unwrap();
}

#[test]
fn a_changed_source_is_an_error_of_the_source() {
    let runs = Runs::new(true);
    runs.run(&rows(&[1, 2]), Opening::Engine).unwrap();
    let error = runs.run("at\n", Opening::Beginning).unwrap_err();
    let changed = matches!(&error, EngineError::Source(SourceError::Changed { .. }))
        || matches!(&error, EngineError::Input { message } if message.contains("has changed"));
    assert!(changed, "{error:?}");
}

/// Its late rows close one more day at the end of each run.
#[test]
fn a_source_that_grows_each_hour_is_not_taken_for_a_wrong_clock() {
    let mut runs = Runs::new(true);
    runs.now = NOON;
    let mut content = "at\n".to_owned();
    for run in 1..=8 {
        content += "2024-05-01T09:00:00Z\n";
        assert_eq!(runs.run(&content, Opening::Engine).unwrap(), run);
    }
}

#[test]
fn a_header_without_its_end_is_read_again() {
    for logged in [false, true] {
        let runs = Runs::new(logged);
        assert_eq!(runs.run("at", Opening::Engine).unwrap(), 0);
        assert_eq!(runs.run("at,more\n2024-05-01T09:00:00Z,x\n", Opening::Engine).unwrap(), 1);
    }
}

/// Workers enter blocks side by side. Entered rows are sealed, and may have holes.
#[test]
fn a_run_that_is_finished_early_without_a_log_loses_and_doubles_nothing() {
    let mut content = "at\n".to_owned();
    (0..40_000).for_each(|second| content += &format!("{}\n", 1_714_521_600 + second));
    for _ in 0..20 {
        let runs = Runs::new(false);
        let mut engine = runs.engine();
        let view = View::new("events").unwrap();
        engine.view(view, Measures::none(), |at: &EventTime| Some((*at, 0u64, Count::one())));
        let engine = engine.file(input(&content), options(), |row| Ok(row.time()));
        let running = engine.start(Cluster::workers(2)).unwrap();
        while running.progress().events == 0 {}
        running.finish().unwrap();
        match runs.run(&content, Opening::Engine) {
            Ok(events) => assert_eq!(events, 40_000),
            Err(error) => assert!(matches!(error, EngineError::NoPosition { .. }), "{error:?}"),
        }
    }
}
