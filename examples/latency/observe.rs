//! What else goes on in a run: days close, late events come, days are audited and rebuilt.

use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use dayfold::engine::EngineError;
use dayfold::latency::{Latencies, Recording, SpanId, duration};
use dayfold::time::{Day, DayRange};

use crate::common::{failed, is_set, say};
use crate::load::{LATE_FROM, LATE_TO};
use crate::measure::Run;

pub(crate) const HAND_OVER: &str = "a hand-over";
const AMENDMENTS: &str = "amendments";

/// How often it is looked whether a day is sealed. The engine brings its numbers up to date every 20 ms.
const LOOK_EVERY: u64 = 5_000_000;

/// Conditions are announced so long before they begin, so that nothing that is done after their begin is
/// recorded before they are known.
const AHEAD: u64 = 100_000_000;

/// When in a day it is audited or rebuilt: after the hand-over, if that is quick.
const MAINTAIN_AT: f64 = 0.2;

/// Notes hand-overs and times of amendments, and shows how far the run is. Returns how long hand-overs took.
pub(crate) fn watch(run: &Run<'_>) -> Result<Recording, EngineError> {
    let view = run.view.view();
    let closes = |day: Day| run.clock.instant(view.upper(day));
    let (mut closing, mut amended) = (view.calendar().day_of(run.clock.at(0)), 0);
    let mut handing_over: Vec<(Day, u64, SpanId)> = Vec::new();
    let mut took = Latencies::new();
    let mut progress = Progress::new();
    let mut now = 0;
    while !run.over.load(Ordering::Acquire) && !is_set(run.interrupted) {
        now = run.watch.sleep_until(now + LOOK_EVERY);
        // Days that close behind the end of the schedule are not part of the run.
        while closes(closing) <= (now + AHEAD).min(run.schedule.end()) {
            let closes = closes(closing);
            let span = run.conditions.begin(HAND_OVER, &closing.to_string(), closes);
            handing_over.push((closing, closes, span));
            closing = closing.next();
        }
        let from = run.clock.instant_of(amended, LATE_FROM);
        if run.options.late > 0.0 && from <= now + AHEAD && from < run.schedule.end() {
            let span = run.conditions.begin(AMENDMENTS, "", from);
            run.conditions.end(span, run.clock.instant_of(amended, LATE_TO));
            amended += 1;
        }
        let numbers = run.running.progress();
        let sealed = numbers.views.first().and_then(|view| view.sealed_through);
        handing_over.retain(|(day, closed, span)| {
            let is_open = *closed > now || sealed.is_none_or(|sealed| sealed < *day);
            if !is_open {
                run.conditions.end(*span, now);
                took.record(now - closed);
            }
            is_open
        });
        progress.show(run, now, handing_over.first().map(|(day, ..)| *day));
    }
    progress.end();
    Ok(Recording::of("hand-over until sealed", took))
}

/// Once a day, audits the last sealed day, or rebuilds it, in turn.
pub(crate) fn maintain(run: &Run<'_>) -> Result<(), EngineError> {
    for day in 1.. {
        let begin = run.clock.instant_of(day, MAINTAIN_AT);
        while run.watch.now() < begin {
            if run.over.load(Ordering::Acquire)
                || is_set(run.interrupted)
                || begin >= run.schedule.end()
            {
                return Ok(());
            }
            run.watch.sleep_until(begin.min(run.watch.now() + LOOK_EVERY));
        }
        let sealed = run.running.progress().views.first().and_then(|view| view.sealed_through);
        let Some(sealed) = sealed else { continue };
        let (days, share) = (DayRange::only(sealed), run.options.maintain);
        let kind = if day % 2 == 1 { "an audit" } else { "a rebuild" };
        let span = run.conditions.begin(kind, &sealed.to_string(), run.watch.now());
        let done = match kind {
            "an audit" => run.view.audit(days, share),
            _ => run.view.rebuild(days, share),
        };
        run.conditions.end(span, run.watch.now());
        if let Some(finding) = done.map_err(failed)?.findings.first() {
            return Err(failed(format_args!("the audit has found something: {finding}")));
        }
    }
    Ok(())
}

/// The line that shows how far a run is: twice a second on a terminal, else every ten seconds.
struct Progress {
    every: u64,
    next: u64,
    on_terminal: bool,
}

impl Progress {
    fn new() -> Progress {
        let on_terminal = std::io::stderr().is_terminal();
        let every = Duration::from_millis(if on_terminal { 500 } else { 10_000 }).as_nanos() as u64;
        Progress { every, next: every, on_terminal }
    }

    fn show(&mut self, run: &Run<'_>, now: u64, handing_over: Option<Day>) {
        if now < self.next {
            return;
        }
        self.next = now + self.every;
        let (visible, total) = (run.visible.load(Ordering::Relaxed), run.schedule.total());
        let behind = if visible < total { now.saturating_sub(run.schedule.at(visible)) } else { 0 };
        let (seconds, end) = (now / 1_000_000_000, run.options.seconds);
        let mut line = format!("{seconds} of {end} s: {visible} of {total} events visible");
        if behind > 10_000_000 {
            line.push_str(&format!(", {} behind", duration(behind)));
        }
        if let Some(day) = handing_over {
            line.push_str(&format!(", {day} closes"));
        }
        if self.on_terminal {
            // Nobody to tell if standard error is gone.
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        } else {
            say(line);
        }
    }

    fn end(&self) {
        if self.on_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
