//! The command line, checked before anything is opened.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Parser;
use dayfold::aggregate::Decimal;
use dayfold::engine::EngineError;
use dayfold::source::{AmbiguousTime, ColumnNames, CsvOptions, RowFormat, TimeParser};
use dayfold::time::{Calendar, parse_duration};
use dayfold::view::View;

use crate::common::{Workers, input};
use crate::table::{Names, Table};

/// Counts a CSV file by day and key: events, and for each value column its count, sum, extremes, mean
/// and quantiles, and for each distinct column how many different values there are.
///
/// Exits with 0 when done; 2 for wrong arguments or input; 130 when interrupted; 1 for anything else.
#[derive(Parser, Debug)]
#[command(disable_help_flag = true)]
#[command(
    after_help = "Two processes, each in a terminal of its own; the first one reads the file and prints:
  cargo run --release --example replay -- examples/data/flights-2013.csv.gz --time event_time --key carrier --data two-processes -n 2 -p 0
  cargo run --release --example replay -- examples/data/flights-2013.csv.gz --time event_time --key carrier --data two-processes -n 2 -p 1"
)]
pub(crate) struct Options {
    /// Prints this help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// A .csv or .csv.gz file, or - for standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The column of the event time: RFC 3339 with an offset, a number since 1970 (seconds, milliseconds, microseconds
    /// or nanoseconds, by its size), or a date alone, which is its midnight in --zone.
    #[arg(long, value_name = "COL")]
    pub(crate) time: String,
    /// The columns to group by.
    #[arg(long, value_name = "COL[,COL…]", value_delimiter = ',', required = true)]
    pub(crate) key: Vec<String>,
    /// The column that says when a row arrived; without one, the largest event time is the clock.
    #[arg(long, value_name = "COL")]
    pub(crate) arrival: Option<String>,
    /// The format of times in --time and --arrival, if it is another one: as in strptime, with the conversions of the
    /// Rust library jiff, such as '%d/%b/%Y:%H:%M:%S %z'.
    #[arg(long, value_name = "FORMAT")]
    time_format: Option<String>,
    /// The zone of local times, which have no offset, and of dates alone.
    #[arg(long, value_name = "IANA")]
    time_zone: Option<String>,
    /// The meaning of a local time that comes twice, when clocks go back; without this, it is refused.
    #[arg(long, value_parser = ["earlier", "later", "refuse"], requires = "time_zone")]
    fold: Option<String>,
    /// The meaning of a local time that is skipped, when clocks go forward; without this, it is refused.
    #[arg(long, value_parser = ["earlier", "later", "refuse"], requires = "time_zone")]
    gap: Option<String>,
    /// Columns of numbers. Digits beyond 9 after the point are rounded, half to even, and the summary says how many
    /// numbers were rounded.
    #[arg(long, value_name = "COL[,COL…]", value_delimiter = ',')]
    pub(crate) value: Vec<String>,
    /// What to do with a row with a value that is not a number: refuse the row, or treat the cell as empty. The summary
    /// says how many there were.
    #[arg(long, value_parser = ["refuse", "null"], default_value = "refuse")]
    bad_value: String,
    /// Columns whose different values are counted.
    #[arg(long, value_name = "COL[,COL…]", value_delimiter = ',')]
    pub(crate) distinct: Vec<String>,
    /// The time zone of the days.
    #[arg(long, value_name = "IANA", default_value = "UTC")]
    pub(crate) zone: String,
    /// How long after its end a day stays open, including the allowed disorder: 90s, 5m, 1h, 2d.
    #[arg(long, value_name = "DURATION", default_value = "1h", allow_hyphen_values = true)]
    pub(crate) grace: String,
    /// Keeps sealed days in this folder; a second run with the same or a grown file continues from them.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The format of rows; without this, a FILE of .jsonl, .ndjson or one of these with .gz is JSON lines, every other
    /// file CSV. JSON lines need the feature `json`. Then options name fields; `user.id` reaches into an object.
    #[arg(long, value_name = "FORMAT", value_parser = ["csv", "jsonl"])]
    format: Option<String>,
    /// Waits at the end of FILE and reads appended rows, until Ctrl-C or SIGTERM; a later run with the same --data
    /// continues from there. The file must not be rotated or compressed. Days close as rows come, and standard error
    /// reports it; without rows, the last days stay open. For the answers, run without this option and with the same
    /// --data: it closes all days and prints them.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Writes the answers to this file, whole or not at all, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Writes refused rows to this file, instead of into the data folder or, without one, to
    /// FILE.refused.csv in the working directory (stdin.refused.csv for standard input).
    #[arg(long, value_name = "FILE")]
    pub(crate) refused: Option<PathBuf>,
    /// If the log in the data folder has lost its end or is damaged: sets the folder aside, under another name in the
    /// same place, and reads FILE again from its beginning. Does nothing if the log is intact. With -n, for all
    /// processes.
    #[arg(long, requires = "data")]
    pub(crate) accept_lost_log: bool,
    /// Accepts a data folder whose days are closed up to a future time, for example after a run under a wrong system
    /// clock: all events until then count as late. With -n, for all processes.
    #[arg(long, requires = "data")]
    pub(crate) accept_floor_ahead: bool,
    /// The delimiter of CSV fields: one character, or tab.
    #[arg(long, value_name = "CHAR", default_value = ",", value_parser = parse_byte)]
    delimiter: u8,
    /// CSV without a header: columns are named by number, from 1.
    #[arg(long, conflicts_with = "columns")]
    no_header: bool,
    /// CSV without a header: the names of its columns.
    #[arg(long, value_name = "COL[,COL…]", value_delimiter = ',')]
    columns: Vec<String>,
    /// Skips lines of CSV that begin with this character.
    #[arg(long, value_name = "CHAR", value_parser = parse_byte)]
    comment: Option<u8>,
    /// Accepts rows of CSV with too few fields (the others are empty), and with more if the additional ones are empty.
    #[arg(long)]
    ragged: bool,
    /// Stops at the first refused row.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Fails, with exit code 3 and without output, if more rows than this number, or this percentage of all, are
    /// refused. Without it, a run fails if all of its rows are refused.
    #[arg(long, value_name = "N|P%")]
    pub(crate) max_refused: Option<MaxRefused>,
    #[command(flatten)]
    pub(crate) workers: Workers,
}

/// How many rows may be refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MaxRefused {
    Rows(u64),
    /// Millionths of a percent.
    Percent(u64),
}

impl FromStr for MaxRefused {
    type Err = String;

    fn from_str(text: &str) -> Result<MaxRefused, String> {
        let expected =
            || format!("'{text}' is neither a number of rows nor a percentage such as 0.5%");
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(MaxRefused::Rows).map_err(|_| expected());
        };
        let percent = Decimal::parse(percent.as_bytes()).map_err(|_| expected())?;
        let millionths = percent.checked_mul(Decimal::from(1_000_000)).ok_or_else(expected)?;
        let text = millionths.to_string();
        let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
        let millionths: u64 = whole.parse().map_err(|_| expected())?;
        if millionths > 100_000_000 {
            return Err(expected());
        }
        Ok(MaxRefused::Percent(millionths))
    }
}

impl Options {
    /// Whether this many of all rows may be refused.
    pub(crate) fn allows(&self, refused: u64, rows: u64) -> bool {
        match self.max_refused {
            Some(MaxRefused::Rows(most)) => refused <= most,
            Some(MaxRefused::Percent(millionths)) => {
                u128::from(refused) * 100_000_000 <= u128::from(rows) * u128::from(millionths)
            }
            None => refused == 0 || refused < rows,
        }
    }

    /// Whether the rows come from standard input.
    pub(crate) fn is_stdin(&self) -> bool {
        self.file.as_os_str() == "-"
    }

    /// The file's name without its folder; its content is identified by its hash.
    pub(crate) fn file_name(&self) -> String {
        let name = self.file.file_name().unwrap_or(self.file.as_os_str());
        name.to_string_lossy().into_owned()
    }

    fn is_json(&self) -> bool {
        let name = self.file_name().to_ascii_lowercase();
        let mut packed = [".gz", ".zst", ".xz"].into_iter();
        let name = packed.find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let named = name.ends_with(".jsonl") || name.ends_with(".ndjson");
        self.format.as_ref().map_or(named, |format| format == "jsonl")
    }

    /// Checks everything that can be checked without the input, and defines the view.
    pub(crate) fn table(&self) -> Result<Table, EngineError> {
        if self.accept_lost_log && self.is_stdin() {
            return Err(input(
                "--accept-lost-log reads everything again, and standard input cannot be: name a FILE",
            ));
        }
        let lists =
            [("--key", &self.key), ("--value", &self.value), ("--distinct", &self.distinct)];
        for (option, columns) in lists {
            if let Some(column) = first_repeated(columns) {
                return Err(input(format_args!("{option} has the column '{column}' twice")));
            }
        }
        if let Some(name) = first_repeated(&self.header()) {
            let message = format_args!(
                "the output would have the column '{name}' twice: choose other columns, or rename one"
            );
            return Err(input(message));
        }
        for (option, path) in [("--out", &self.out), ("--refused", &self.refused)] {
            if path.as_ref().is_some_and(|path| same_file(path, &self.file)) {
                return Err(input(format_args!("{option} is the input itself")));
            }
        }
        if let (Some(out), Some(refused)) = (&self.out, &self.refused)
            && (out == refused || same_file(out, refused))
        {
            return Err(input("--out and --refused are one file: name two"));
        }
        let grace =
            parse_duration(&self.grace).map_err(|error| input(format_args!("--grace: {error}")))?;
        let zone_error = |error| input(format_args!("--zone: {error}"));
        self.times()?;
        let view = View::new("replay").map_err(input)?;
        let view = view.zone(&self.zone).map_err(zone_error)?.grace(grace);
        let view = view.defined_as(&self.definition());
        let names = Names { key: &self.key, value: &self.value, distinct: &self.distinct };
        Table::new(&view, &names).map_err(input)
    }

    /// The columns of the output, in its order.
    pub(crate) fn header(&self) -> Vec<String> {
        const OF_VALUE: [&str; 7] = ["count", "sum", "min", "max", "mean", "p50", "p99"];
        let mut names = vec!["day".to_owned()];
        names.extend(self.key.iter().cloned());
        names.push("events".to_owned());
        let of_value = |column: &String| OF_VALUE.map(|what| format!("{column}_{what}"));
        names.extend(self.value.iter().flat_map(of_value));
        names.extend(self.distinct.iter().map(|column| format!("{column}_distinct")));
        names
    }

    /// The definition of sealed days, for the data folder: all options that affect their content, except the zone,
    /// which the folder keeps itself.
    fn definition(&self) -> String {
        let mut words = format!("--time {:?}", self.time);
        if let Some(arrival) = &self.arrival {
            words.push_str(&format!(" --arrival {arrival:?}"));
        }
        let times = [
            ("--time-format", &self.time_format),
            ("--time-zone", &self.time_zone),
            ("--fold", &self.fold),
            ("--gap", &self.gap),
        ];
        for (option, value) in times {
            if let Some(value) = value {
                words.push_str(&format!(" {option} {value:?}"));
            }
        }
        let lists =
            [("--key", &self.key), ("--value", &self.value), ("--distinct", &self.distinct)];
        for (option, columns) in lists.into_iter().filter(|(_, columns)| !columns.is_empty()) {
            let columns: Vec<String> = columns.iter().map(|name| format!("{name:?}")).collect();
            words.push_str(&format!(" {option} {}", columns.join(",")));
        }
        if self.delimiter != b',' {
            words.push_str(&format!(" --delimiter {:?}", char::from(self.delimiter)));
        }
        if self.no_header {
            words.push_str(" --no-header");
        }
        if !self.columns.is_empty() {
            words.push_str(&format!(" --columns {:?}", self.columns.join(",")));
        }
        if let Some(comment) = self.comment {
            words.push_str(&format!(" --comment {:?}", char::from(comment)));
        }
        if self.ragged {
            words.push_str(" --ragged");
        }
        if self.bad_value_is_null() {
            words.push_str(" --bad-value null");
        }
        words
    }

    /// The columns to read: the key, the values, and the distinct columns.
    pub(crate) fn source(&self) -> Result<CsvOptions, EngineError> {
        let fields = [&self.key, &self.value, &self.distinct].into_iter().flatten().cloned();
        let names = match (self.no_header, self.columns.is_empty()) {
            (true, _) => ColumnNames::Numbers,
            (false, true) => ColumnNames::Header,
            (false, false) => ColumnNames::Given(self.columns.clone()),
        };
        let mut options = CsvOptions::new(&self.time)
            .fields(fields)
            .format(if self.is_json() { RowFormat::JsonLines } else { RowFormat::Csv })
            .times(self.times()?)
            .delimiter(self.delimiter)
            .names(names)
            .ragged(self.ragged);
        if let Some(arrival) = &self.arrival {
            options = options.arrival(arrival);
        }
        if let Some(comment) = self.comment {
            options = options.comment(comment);
        }
        Ok(options)
    }

    /// How times are written.
    fn times(&self) -> Result<TimeParser, EngineError> {
        let calendar = |option: &str, name: &str| {
            Calendar::new(name).map_err(|error| input(format_args!("{option}: {error}")))
        };
        let choice = |chosen: &Option<String>| match chosen.as_deref() {
            Some("earlier") => AmbiguousTime::Earlier,
            Some("later") => AmbiguousTime::Later,
            _ => AmbiguousTime::Refuse,
        };
        let times = match &self.time_zone {
            Some(zone) => {
                let zone = calendar("--time-zone", zone)?;
                TimeParser::new().local(&zone, choice(&self.fold), choice(&self.gap))
            }
            None => TimeParser::new().dates_in(&calendar("--zone", &self.zone)?),
        };
        match &self.time_format {
            Some(format) => {
                times.format(format).map_err(|error| input(format_args!("--time-format: {error}")))
            }
            None => Ok(times),
        }
    }

    /// Whether a value that is not a number counts as an empty cell.
    pub(crate) fn bad_value_is_null(&self) -> bool {
        self.bad_value == "null"
    }
}

fn first_repeated(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    names.iter().find(|name| !seen.insert(name.as_str()))
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// An ASCII byte, given directly or by its name.
fn parse_byte(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err(format!("'{text}' is neither one ASCII character nor tab")),
    }
}
