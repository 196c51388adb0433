//! The latency lab: honest figures of how long things take in a streaming engine, or in anything else.
//!
//! A latency run is *open loop*: a [`Schedule`] fixes beforehand when each event is due, whatever the system under test
//! does. Latency counts from that instant, so a stall counts for everything that it delayed. (A tool that sends the
//! next event only when the last one is done measures one slow event where a thousand users waited: the *coordinated
//! omission*.) These are the steps:
//!
//! 1. Make a [`Schedule`], start a [`Watch`], and send the events that are [due](Schedule::due), however late.
//! 2. Whenever events are done, tell a [`Recorder`] which events and when. Each quantity has its own recorder.
//! 3. Report in [`Conditions`] when a condition holds: a hand-over, an audit. Events that were under way meanwhile are
//!    also counted separately.
//! 4. A [`Pacer`] notices if the system cannot keep the rate. Then latencies depend on the length of the run, and say
//!    nothing about the system: the [`Report`] marks them.
//! 5. Merge the [`Report`]s of all workers and processes, and write [`Report::files`].
//!
//! ```
//! use dayfold_latency::{Conditions, Pacer, Recorder, Report, Schedule};
//!
//! // A service that takes 2 ms, and stands still for a second: here, only on paper.
//! let schedule = Schedule::new(1_000, 10_000); // 10 seconds at 1,000 a second.
//! let done = |due: u64| if (5e9..6e9).contains(&(due as f64)) { 6_002_000_000 } else { due + 2_000_000 };
//!
//! let conditions = Conditions::new();
//! let mut replies = Recorder::new("reply", &conditions, schedule.end() / 100);
//! let mut pacer = Pacer::new(schedule);
//! for event in 0..schedule.total() {
//!     let done = done(schedule.at(event));
//!     replies.record_run(&schedule, event..event + 1, done);
//!     pacer.seen(event + 1, done);
//! }
//! let report = Report::new(pacer.pace()).about("service", "on paper").with(replies.finish());
//! let report = report.note("it stands still for a second");
//!
//! let latencies = report.recording("reply").unwrap().all();
//! assert_eq!(latencies.quantile(0.5), 2_000_895); // Three digits of nanoseconds.
//! assert!((900_000_000..905_000_000).contains(&latencies.quantile(0.99)));
//! assert!(!report.pace().is_behind());
//! println!("{}", report.table());
//! ```
//!
//! Except for [`Watch`], everything is a function of its arguments: no clock, no threads, no files. Instants and
//! durations are nanoseconds since the start of a run.

#![warn(missing_debug_implementations, clippy::exhaustive_enums)]

mod against;
mod chart;
mod conditions;
mod file;
mod files;
mod histogram;
mod pace;
mod pauses;
mod pictures;
mod recorder;
mod report;
mod schedule;
mod step;
mod sweep;
mod sweep_picture;
mod text;
mod watch;

#[cfg(test)]
mod tests;

pub use against::Against;
pub use conditions::{Conditions, Span, SpanId};
pub use file::File;
pub use histogram::Latencies;
pub use pace::{Pace, Pacer};
pub use pauses::Pauses;
pub use recorder::{Recorder, Recording};
pub use report::{Report, ReportError};
pub use schedule::Schedule;
pub use step::Step;
pub use sweep::Sweep;
pub use text::duration;
pub use watch::Watch;
