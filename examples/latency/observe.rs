//! The conditions of a run: days close, late events come, days are audited and rebuilt.

use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use dayfold::engine::EngineError;
use dayfold::time::{Day, DayRange};
use dayfold_latency::{Latencies, Recording, SpanId, duration};

use crate::common::{failed, is_set, say};
use crate::load::{LATE_FROM, LATE_TO};
use crate::measure::Run;

pub(crate) const HAND_OVER: &str = "a hand-over";
const AMENDMENTS: &str = "amendments";

/// How often to check whether a day is sealed. The engine updates its numbers every 20 ms.
const LOOK_EVERY: u64 = 5_000_000;

/// Closings are announced this long in advance, so that nothing is recorded before they are known.
const AHEAD: u64 = 10_000_000_000;

/// When to audit or rebuild within a day: after the hand-over, if that is quick.
const MAINTAIN_AT: f64 = 0.2;

/// Records hand-overs and times of amendments, and shows the progress of the run.
pub(crate) struct Watching<'a> {
    run: &'a Run<'a>,
    /// The day whose closing is to be announced next.
    closing: Day,
    /// The day of the run whose amendments are.
    amended: u64,
    /// Days that are to be sealed, when they close, and their spans.
    handing_over: Vec<(Day, u64, SpanId)>,
    took: Latencies,
}

impl<'a> Watching<'a> {
    /// Announces the next change before anything can be recorded.
    pub(crate) fn new(run: &'a Run<'a>) -> Watching<'a> {
        let closing = run.view.view().calendar().day_of(run.clock.at(0));
        let (amended, handing_over, took) = (0, Vec::new(), Latencies::new());
        let mut watching = Watching { run, closing, amended, handing_over, took };
        watching.announce(0);
        watching
    }

    /// Watches until the run is over. Returns how long hand-overs took.
    pub(crate) fn watch(mut self) -> Result<Recording, EngineError> {
        let run = self.run;
        let mut progress = Progress::new();
        let mut now = 0;
        while !run.over.load(Ordering::Acquire) && !is_set(run.interrupted) {
            now = run.watch.sleep_until(now + LOOK_EVERY);
            self.announce(now);
            self.look(now);
            let closing = self.handing_over.iter().find(|(_, closes, _)| *closes <= now);
            progress.show(run, now, closing.map(|(day, ..)| *day));
        }
        progress.end();
        Ok(Recording::of("hand-over until sealed", self.took))
    }

    /// Days that close, and amendments that come, after the end of the schedule are not part of the run.
    fn announce(&mut self, now: u64) {
        let (run, view) = (self.run, self.run.view.view());
        let until = now.saturating_add(AHEAD).min(run.schedule.end());
        loop {
            let closes = run.clock.instant(view.upper(self.closing));
            if closes >= until {
                break;
            }
            let span = run.conditions.begin(HAND_OVER, &self.closing.to_string(), closes);
            self.handing_over.push((self.closing, closes, span));
            self.closing = self.closing.next();
        }
        while run.options.late > 0.0 && run.clock.instant_of(self.amended, LATE_FROM) < until {
            let from = run.clock.instant_of(self.amended, LATE_FROM);
            let span = run.conditions.begin(AMENDMENTS, "", from);
            run.conditions.end(span, run.clock.instant_of(self.amended, LATE_TO));
            self.amended += 1;
        }
    }

    /// Ends the spans of days that are sealed.
    fn look(&mut self, now: u64) {
        let numbers = self.run.running.progress();
        let sealed = numbers.views.first().and_then(|view| view.sealed_through);
        let (conditions, took) = (&self.run.conditions, &mut self.took);
        self.handing_over.retain(|(day, closes, span)| {
            let is_sealed = *closes <= now && sealed.is_some_and(|sealed| sealed >= *day);
            if is_sealed {
                conditions.end(*span, now);
                took.record(now - closes);
            }
            !is_sealed
        });
    }
}

/// Once a day, audits and rebuilds the last sealed day in turn.
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

/// The progress line of a run: twice a second on a terminal, otherwise every ten seconds.
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
