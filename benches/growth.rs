//! How costs grow with events, keys, days, kinds of keys and aggregates; whether a growing table stops the engine; how
//! much memory it takes, compared with a hash map of the same groups; and whether sealed days take memory.
//!
//! Each line runs three times, each time in its own process, whose peak memory is that of the line. The figures are
//! medians; for the ratio of the longest tick to the median one, the best is printed. One tick of 100,000 events is in
//! flight; events are created between the ticks, and the time is from a tick's push until it is visible. Count, sum and
//! greatest value over all days and keys are compared with those of the events before a figure is printed.
//! `DAYFOLD_BENCH_SHORT=1` runs each line once, with a twentieth of the events and keys. A word after `--` runs the
//! lines with this word in their names.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/growth/fold.rs"]
mod fold;
#[path = "common/growth/load.rs"]
mod load;
#[path = "common/growth/memory.rs"]
mod memory;
#[path = "common/growth/sealed.rs"]
mod sealed;
#[path = "common/growth/texts.rs"]
mod texts;
#[path = "common/workload/mod.rs"]
mod workload;

use std::process::{Command, ExitCode};
use std::time::Duration;

use load::{Load, MILLION, TICK};
use texts::{Inline, Interned};

const BASE: Load = Load { events: 5 * MILLION, keys: 100_000, days: 10, zipf: true };
const A_DAY: Load = Load { days: 1, ..BASE };
const TEN_MILLION: Load = Load { events: 20 * MILLION, keys: 10 * MILLION, days: 1, zipf: false };

/// The most memory allowed, as a ratio to the hash map's.
const MEMORY_RATIO: f64 = 1.5;
/// The most anonymous memory that sealed days may add, as a ratio to that of the fewest.
const FLAT: f64 = 1.2;

/// A name, and what runs.
type Line = (&'static str, fn() -> Measured);

const LINES: [Line; 17] = [
    ("base: 5 M events, 100,000 keys, 10 days", || {
        fold::run(BASE, u64::from, u64::clone, fold::stats)
    }),
    ("events x10", || {
        fold::run(Load { events: 50 * MILLION, ..BASE }, u64::from, u64::clone, fold::stats)
    }),
    ("keys x100, by Zipf", || {
        fold::run(Load { keys: 10 * MILLION, ..BASE }, u64::from, u64::clone, fold::stats)
    }),
    ("days x100", || fold::run(Load { days: 1_000, ..BASE }, u64::from, u64::clone, fold::stats)),
    ("keys as strings of 20 bytes", || fold::run(BASE, text, String::clone, fold::stats)),
    ("the same, interned", || fold::run(BASE, text, |text| Interned::of(text), fold::stats)),
    ("the same, in the key itself", || fold::run(BASE, text, |text| Inline::of(text), fold::stats)),
    ("five aggregates, distinct and quantiles too", || {
        fold::run(BASE, u64::from, u64::clone, fold::five)
    }),
    ("strings of 20 bytes, folded in place", || fold::run_in_place(BASE, text, fold::Texts)),
    ("five aggregates, folded in place", || fold::run_in_place(BASE, u64::from, fold::Fives)),
    ("a day, 100,000 keys", || fold::run(A_DAY, u64::from, u64::clone, fold::stats)),
    (MAP_SMALL, || fold::map(A_DAY)),
    ("a day, 10 M keys, evenly, 20 M events", || {
        fold::run(TEN_MILLION, u64::from, u64::clone, fold::stats)
    }),
    (MAP_LARGE, || fold::map(TEN_MILLION)),
    (SEALED[0], || sealed::run(10)),
    (SEALED[1], || sealed::run(100)),
    (SEALED[2], || sealed::run(400)),
];

/// These come after the lines with which they are compared.
const MAP_SMALL: &str = "a day, 100,000 keys, hash map";
const MAP_LARGE: &str = "a day, 10 M keys, evenly, hash map";
const SEALED: [&str; 3] =
    ["10 days sealed on disk", "100 days sealed on disk", "400 days sealed on disk"];

/// The costs of a line, in one run or as the median of several.
#[derive(Clone, Copy)]
struct Measured {
    /// Events a second.
    rate: f64,
    p50: Duration,
    longest: Duration,
    /// The longest tick to the median one.
    ratio: f64,
    /// Peak memory beyond that at the beginning; for sealed days, peak anonymous memory.
    bytes: f64,
}

/// Twenty digits.
fn text(key: u64) -> String {
    format!("{key:020}")
}

fn is_short() -> bool {
    std::env::var_os("DAYFOLD_BENCH_SHORT").is_some()
}

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let Some(line) = arguments.first().and_then(|word| word.strip_prefix("line=")) {
        println!("{}", LINES[line.parse::<usize>().unwrap()].1().to_line());
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<usize> = (0..LINES.len())
        .filter(|line| arguments.first().is_none_or(|word| LINES[*line].0.contains(word.as_str())))
        .collect();
    let mut runs = vec![Vec::new(); LINES.len()];
    // Lines alternate, so that a slow time of the machine does not affect only one of them.
    for _ in 0..if is_short() { 1 } else { 3 } {
        chosen.iter().for_each(|line| runs[*line].push(run(*line)));
    }
    println!(
        "{:<44} {:>10} {:>10} {:>10} {:>7} {:>9}",
        "", "events/s", "tick, p50", "longest", "best", "memory"
    );
    let (mut fewest, mut kept) = (None, true);
    for line in chosen {
        let (name, measured) = (LINES[line].0, Measured::median(&runs[line]));
        measured.print(name);
        match name {
            MAP_SMALL | MAP_LARGE if !runs[line - 1].is_empty() => {
                let ratio = Measured::median(&runs[line - 1]).bytes / measured.bytes;
                kept &= bounded("memory, to that of the hash map", ratio, MEMORY_RATIO);
            }
            _ if SEALED.contains(&name) => {
                let ratio = measured.bytes / *fewest.get_or_insert(measured.bytes);
                kept &= bounded("anonymous memory, to that of the fewest", ratio, FLAT);
            }
            _ => {}
        }
    }
    ExitCode::from(u8::from(!kept))
}

/// Prints a ratio, and whether it is within its bound. In a short run the bound does not apply, because its few keys
/// take less memory than the program itself.
fn bounded(what: &str, ratio: f64, bound: f64) -> bool {
    let kept = ratio <= bound || is_short();
    println!("  {what}: {ratio:.2}{}", if kept { "" } else { ", which is too much" });
    kept
}

/// Runs a line in its own process.
fn run(line: usize) -> Measured {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).arg(format!("line={line}")).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the line has failed: {}\n{errors}", LINES[line].0);
    Measured::from_line(&String::from_utf8_lossy(&output.stdout))
}

impl Measured {
    fn of(mut ticks: Vec<Duration>, bytes: usize) -> Measured {
        let all: Duration = ticks.iter().sum();
        let rate = (ticks.len() * TICK) as f64 / all.as_secs_f64();
        ticks.sort();
        let (p50, longest) = (ticks[ticks.len() / 2], ticks[ticks.len() - 1]);
        let ratio = longest.as_secs_f64() / p50.as_secs_f64();
        Measured { rate, p50, longest, ratio, bytes: bytes as f64 }
    }

    /// The medians of several runs, and the best ratio.
    fn median(runs: &[Measured]) -> Measured {
        let sorted = |of: fn(&Measured) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let middle = |of| sorted(of)[runs.len() / 2];
        let seconds = |of| Duration::from_secs_f64(middle(of));
        Measured {
            rate: middle(|run| run.rate),
            p50: seconds(|run| run.p50.as_secs_f64()),
            longest: seconds(|run| run.longest.as_secs_f64()),
            ratio: sorted(|run| run.ratio)[0],
            bytes: middle(|run| run.bytes),
        }
    }

    fn to_line(self) -> String {
        let Measured { rate, p50, longest, ratio, bytes } = self;
        format!("{rate} {} {} {ratio} {bytes}", p50.as_secs_f64(), longest.as_secs_f64())
    }

    fn from_line(line: &str) -> Measured {
        let numbers: Vec<f64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let [rate, p50, longest, ratio, bytes] = numbers[..] else { panic!("not a line: {line}") };
        let [p50, longest] = [p50, longest].map(Duration::from_secs_f64);
        Measured { rate, p50, longest, ratio, bytes }
    }

    fn print(self, name: &str) {
        let Measured { rate, p50, longest, ratio, bytes } = self;
        let (millions, megabytes) = (rate / 1e6, bytes / 1e6);
        println!(
            "{name:<44} {millions:>8.1} M {p50:>10.2?} {longest:>10.2?} {ratio:>7.1} {megabytes:>6.0} MB"
        );
    }
}
