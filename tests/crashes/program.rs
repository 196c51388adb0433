//! The program that is run again and again: its views, their expected answers, and its engine.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dayfold::Engine;
use dayfold::aggregate::{Count, Semigroup, Sum};
use dayfold::engine::{LiveOptions, Measures, Pusher, ViewHandle};
use dayfold::log::Durability;
use dayfold::source::{Consumed, CsvSource, Input, Refused};
use dayfold::store::Faulty;
use dayfold::time::{Day, EventTime, Grain};
use dayfold::view::{Limits, View};

use crate::content::{Content, parse};
use crate::random::Random;

pub(crate) const HOUR: i64 = 3_600_000;
/// 2013-03-08T00:00:00Z: New York's clocks go forward two days later.
pub(crate) const START: EventTime = 1_362_700_800_000;

/// Time, key, value, and the batch in which it was pushed, or 0.
pub(crate) type Event = (EventTime, u64, i64, u64);
pub(crate) type Stats = (Count, Sum);
pub(crate) type Rows = Vec<(Day, u64, Stats)>;

/// A view, as data.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    zone: &'static str,
    grain: Grain,
    pub(crate) grace: i64,
    /// The time by which its event times are later than those of the log.
    pub(crate) shift: i64,
    /// Its key is the event's key divided by this; `None`: the number of the pushed batch.
    divisor: Option<u64>,
    /// Values are multiplied by this, the part of the definition that may change.
    pub(crate) factor: i64,
    /// Whether the definition may differ from that in the folder.
    pub(crate) redefined: bool,
    /// The number of unsealed days that are allowed: beyond half of them, late events are sealed early.
    pub(crate) limit: usize,
    /// The number of days that are kept, and of revisions; 0 means all.
    pub(crate) keep: (u64, u32),
}

impl Spec {
    pub(crate) fn random(name: &'static str, random: &mut Random) -> Spec {
        Spec {
            name,
            zone: random.pick(&["UTC", "America/New_York", "Asia/Kolkata"]),
            grain: random.pick(&[Grain::Day, Grain::Day, Grain::Hour, Grain::Week, Grain::Month]),
            grace: Spec::grace(random),
            shift: random.pick(&[0, 0, 5 * HOUR, -30 * HOUR]),
            divisor: Some(random.pick(&[1, 1, 7])),
            factor: 1,
            redefined: false,
            limit: 40_000,
            keep: (random.pick(&[0, 0, 1, 5, 20]), random.pick(&[0, 0, 1, 2])),
        }
    }

    /// A view of UTC days, without grace.
    pub(crate) fn plain(name: &'static str) -> Spec {
        let (zone, divisor, limit) = ("UTC", Some(1), 40_000);
        Spec {
            name,
            zone,
            grain: Grain::Day,
            grace: 0,
            shift: 0,
            divisor,
            factor: 1,
            redefined: false,
            limit,
            keep: (0, 0),
        }
    }

    /// The view that shows which batches are in.
    pub(crate) fn batches(random: &mut Random) -> Spec {
        Spec { divisor: None, shift: 0, keep: (0, 0), ..Spec::random("batches", random) }
    }

    pub(crate) fn is_of_batches(&self) -> bool {
        self.divisor.is_none()
    }

    pub(crate) fn grace(random: &mut Random) -> i64 {
        random.pick(&[0, HOUR, HOUR, 30 * HOUR])
    }

    /// Some views keep their months when the periods are gone.
    pub(crate) fn outlives(&self) -> bool {
        let is_finer = matches!(self.grain, Grain::Hour | Grain::Day);
        self.keep.0 > 0 && self.divisor == Some(7) && is_finer
    }

    fn row(&self, &(time, key, value, batch): &Event) -> Option<(EventTime, u64, Stats)> {
        let key = match self.divisor {
            Some(divisor) => key / divisor,
            None if batch == 0 => return None,
            None => batch,
        };
        Some((time + self.shift, key, (Count::one(), Sum::of(value * self.factor))))
    }

    pub(crate) fn view(&self) -> View {
        let view = View::new(self.name).unwrap().zone(self.zone).unwrap().grain(self.grain);
        // Making rollups may be interrupted like anything else; some views have them, some do not.
        let rollups = if self.divisor == Some(1) { &Grain::ALL[..] } else { &[] };
        let view = view.rollup(rollups.iter().copied());
        let view = view.grace(Duration::from_millis(self.grace as u64));
        let view = view.skew(Duration::from_millis(self.shift.unsigned_abs()));
        // The limit counts periods: for hours, as many as that many days have.
        let hours = if self.grain == Grain::Hour { 24 } else { 1 };
        let view = view.limits(Limits::new(self.limit * hours, 1_000_000, 1 << 30));
        let view = view.defined_as(&format!("values times {}", self.factor));
        let view = match self.keep.0 {
            0 => view,
            days => view.keep(Duration::from_secs(days * 86_400)),
        };
        let view = match self.outlives() {
            true => view.keep_rollup(Grain::Month, Duration::MAX),
            false => view,
        };
        match NonZeroU32::new(self.keep.1) {
            None => view,
            Some(revisions) => view.keep_revisions(revisions),
        }
    }

    /// The latest possible first kept period, if days are closed through this one.
    pub(crate) fn kept_from(&self, through: Day) -> Day {
        let (view, keep) = (self.view(), Duration::from_secs(self.keep.0 * 86_400));
        view.calendar().first_open(view.calendar().end_of(through), keep)
    }

    /// The answer, computed from scratch.
    pub(crate) fn rows<'a>(&self, events: impl Iterator<Item = &'a Event>) -> Rows {
        let view = self.view();
        let mut groups = BTreeMap::<(Day, u64), Stats>::new();
        for (time, key, stats) in events.filter_map(|event| self.row(event)) {
            let day = view.calendar().day_of(time);
            groups.entry((day, key)).and_modify(|sum| sum.plus_equals(&stats)).or_insert(stats);
        }
        groups.into_iter().map(|((day, key), stats)| (day, key, stats)).collect()
    }
}

/// Locks a mutex whose content is valid even if another thread has panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a source was told when it was opened, and the refused rows since, including those of earlier runs.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) consumed: Option<Consumed>,
    pub(crate) refused: Vec<Refused>,
}

#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) views: Vec<Spec>,
    pub(crate) durability: Durability,
    pub(crate) reads: bool,
    pub(crate) is_live: bool,
    pub(crate) tick_rows: usize,
    /// The number of days for which the log is kept; all if it is not set.
    pub(crate) log_days: Option<u64>,
    /// The wall clock.
    pub(crate) clock: Arc<AtomicI64>,
}

/// An engine of the program, not started yet.
pub(crate) struct Built {
    pub(crate) engine: Engine<Event>,
    pub(crate) handles: Vec<ViewHandle<u64, Stats>>,
    pub(crate) pusher: Option<Pusher<Event>>,
    pub(crate) told: Arc<Mutex<Told>>,
}

impl Program {
    pub(crate) fn build(&self, storage: &Faulty, content: &Content) -> Built {
        let clock = Arc::clone(&self.clock);
        let mut engine = Engine::new()
            .clock(move || clock.load(Ordering::SeqCst))
            .data_in(Arc::new(storage.clone()), "/data")
            .log(self.durability, |event: &Event| event.0)
            .tick_rows(self.tick_rows)
            // The rows of the source are ahead of the clock.
            .accept_floor_ahead();
        if let Some(days) = self.log_days {
            engine = engine.keep_log(Duration::from_secs(days * 86_400));
        }
        // Files of all but two periods move into packs; some runs leave the rest alone.
        if self.views.len().is_multiple_of(2) {
            engine = engine.packing(2, 3);
        }
        let mut handles = Vec::new();
        for spec in &self.views {
            let of = spec.clone();
            handles.push(engine.view(spec.view(), Measures::none(), move |event| of.row(event)));
            if spec.redefined {
                engine = engine.redefine(spec.name);
            }
        }
        let told = Arc::<Mutex<Told>>::default();
        if self.reads {
            let (opening, keeping) = (Arc::clone(&told), Arc::clone(&told));
            let (bytes, options) = (content.bytes.clone(), content.options());
            engine = engine.csv(
                move |resume| {
                    let (consumed, refused) = (resume.consumed(), resume.refused().to_vec());
                    *lock(&opening) = Told { consumed, refused };
                    let input = Input::reader("rows", Cursor::new(bytes));
                    Ok(Some(match consumed {
                        Some(consumed) => CsvSource::resume_after(input, options, consumed)?,
                        None => CsvSource::open(input, options)?,
                    }))
                },
                parse,
            );
            engine = engine.refused(move |refused| {
                lock(&keeping).refused.push(refused.clone());
                Ok(())
            });
        }
        let options =
            LiveOptions::new(|event: &Event| event.0).disorder(Duration::from_millis(HOUR as u64));
        let pusher = self.is_live.then(|| engine.live(options));
        Built { engine, handles, pusher, told }
    }
}
