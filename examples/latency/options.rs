//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use dayfold::engine::EngineError;
use dayfold::log::Durability;
use dayfold_latency::Report;

use crate::common::{Workers, input};

/// Measures how long it takes until an event is visible, until it is durable, and until a query is answered; and the
/// same while a day is handed over, while late events come, and during an audit and a rebuild. Open loop: the instant
/// of each event and query is fixed in advance, and latency counts from it.
///
/// Exits with 0 when it has measured, whatever the figures; 2 for wrong arguments; 130 when interrupted; 1 for anything
/// else.
#[derive(Parser, Clone, Debug)]
#[command(disable_help_flag = true)]
#[command(
    after_help = "Two processes, each in a terminal of its own; the first one prints the report of both:
  cargo run --release --example latency -- --data two-processes --out two -n 2 -p 0
  cargo run --release --example latency -- --data two-processes --out two -n 2 -p 1"
)]
pub(crate) struct Options {
    /// Prints this help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Events a second, over all processes.
    #[arg(long, value_name = "EVENTS_PER_S", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) rate: u64,
    /// How long events come.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// How many keys there are.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) keys: u64,
    /// How unevenly events are distributed over keys: the exponent of Zipf's law. 0 means evenly.
    #[arg(long, value_name = "S", default_value_t = 1.05, value_parser = share_up_to::<10>)]
    pub(crate) zipf: f64,
    /// How long a day takes: the clock runs faster accordingly.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) day_seconds: u64,
    /// The share of events that belong to the day before, which is closed: up to 0.5. They come in the
    /// middle half of each day.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = half)]
    pub(crate) late: f64,
    /// Queries a second in each process: a random key over all days.
    #[arg(long, value_name = "PER_S", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    pub(crate) queries: u64,
    /// Nobody subscribes. Otherwise one subscriber in each process follows the key that comes most often.
    #[arg(long)]
    pub(crate) no_subscription: bool,
    /// The log: `off`; `commit` (as soon as possible); how often it is synced, such as `10ms`; or `system`.
    #[arg(long, value_name = "MODE", default_value = "off", value_parser = log_mode)]
    pub(crate) log: LogMode,
    /// Once a day, audits and rebuilds the last sealed day in turn; each worker may take this share of a processor's
    /// time for it, up to 1. Needs a log, and a single process.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share_up_to::<1>)]
    pub(crate) maintain: f64,
    /// How often events that are due are pushed.
    #[arg(long, value_name = "TIME", default_value = "100us", value_parser = time)]
    pub(crate) push_every: Duration,
    /// Writes the report here: table, JSON, CSV, .hgrm, pictures. With several processes it is required, and must be
    /// the same folder for all.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Shows this run beside the one whose report is here.
    #[arg(long, value_name = "DIR")]
    pub(crate) against: Option<PathBuf>,
    /// Finds the highest rate at which the 99th percentile of freshness stays under --bound, starting from --rate. Each
    /// rate is measured for --seconds. Needs a single process.
    #[arg(long, conflicts_with = "against")]
    pub(crate) sweep: bool,
    /// The bound of --sweep.
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = time)]
    pub(crate) bound: Duration,
    /// The folder for data during the run; it must be empty, and is removed at the end. Without it, a folder in DIR of
    /// --out or else in the working directory. Choose a folder on the disk that you want to measure.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) workers: Workers,
}

/// The value of `--log`.
#[derive(Clone, Debug)]
pub(crate) struct LogMode {
    pub(crate) durability: Option<Durability>,
    pub(crate) text: String,
}

impl LogMode {
    /// Whether events are promised to be durable, and so can be waited for.
    pub(crate) fn promises(&self) -> bool {
        !matches!(self.durability, None | Some(Durability::System))
    }
}

impl Options {
    /// Checks that the types of the options do not cover.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let alone = self.workers.processes() == 1;
        let refuse = [
            (!alone && self.out.is_none(), "several processes need --out, the same for all"),
            (!alone && self.sweep, "--sweep needs a single process"),
            (!alone && self.maintain > 0.0, "--maintain needs a single process"),
            (self.maintain > 0.0 && self.log.durability.is_none(), "--maintain needs a log"),
        ];
        match refuse.iter().find(|(refused, _)| *refused) {
            Some((_, why)) => Err(input(why)),
            None => Ok(()),
        }
    }

    /// The same at another rate.
    pub(crate) fn at_rate(&self, rate: u64) -> Options {
        Options { rate, ..self.clone() }
    }

    /// The folder of the data.
    pub(crate) fn data(&self) -> PathBuf {
        match &self.data {
            Some(data) => data.clone(),
            None => self.out.as_deref().unwrap_or(Path::new(".")).join("latency-data"),
        }
    }

    /// Records the options in the report.
    pub(crate) fn describe(&self, report: Report) -> Report {
        report
            .about("rate", self.rate)
            .about("seconds", self.seconds)
            .about("keys", self.keys)
            .about("zipf", self.zipf)
            .about("day-seconds", self.day_seconds)
            .about("late", self.late)
            .about("queries", self.queries)
            .about("log", &self.log.text)
            .about("maintain", self.maintain)
            .about("push-every", format!("{:?}", self.push_every))
            .about("workers", self.workers.describe())
    }
}

fn share_up_to<const MOST: u32>(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=f64::from(MOST)).contains(share));
    share.ok_or_else(|| format!("not a number from 0 to {MOST}"))
}

fn half(text: &str) -> Result<f64, String> {
    share_up_to::<1>(text)
        .ok()
        .filter(|share| *share <= 0.5)
        .ok_or("not a number from 0 to 0.5".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[digits.len()..] {
        "us" | "µs" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        _ => return Err("not a time such as 100us, 10ms or 1s".to_owned()),
    };
    let micros: Option<u64> = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit));
    let micros = micros.filter(|micros| (1..=3_600_000_000).contains(micros));
    micros.map(Duration::from_micros).ok_or("not a time from 1us to an hour".to_owned())
}

fn log_mode(text: &str) -> Result<LogMode, String> {
    let durability = match text {
        "off" => None,
        "commit" => Some(Durability::EveryCommit),
        "system" => Some(Durability::System),
        text => {
            let every =
                time(text).map_err(|error| format!("off, commit, system, or a time: {error}"))?;
            Some(Durability::Every(every))
        }
    };
    Ok(LogMode { durability, text: text.to_owned() })
}
