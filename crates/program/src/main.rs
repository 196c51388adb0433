//! The program `dayfold`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};
use dayfold::Cluster;
use dayfold::cluster::Secret;
use dayfold::time::parse_duration;
use dayfold_program::RunOptions;
use dayfold_program::commands::{self, Output};
use dayfold_program::run::run;
use dayfold_program::{ProgramError, config::Config, plan::Plan};

/// Exact daily statistics over event streams, defined in a file.
///
/// Exit codes: 0 success, 1 it failed while running, 2 wrong arguments, file or input, 3 more rows were refused than
/// max_refused allows.
#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
struct Options {
    /// Writes log messages to standard error, as lines of JSON.
    #[arg(long, global = true, env = "DAYFOLD_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
    /// The data folder; replaces the one that the file names.
    #[arg(long, global = true, value_name = "DIR", env = "DAYFOLD_DATA")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays back a year of flights, and shows them on a page.
    Demo {
        /// The pace, in days per second, or `max`.
        #[arg(long, value_name = "DAYS_PER_S", default_value = "1", env = "DAYFOLD_PACE")]
        pace: String,
        /// The port of the page; otherwise the first free one from 8080.
        #[arg(long, env = "DAYFOLD_PORT")]
        port: Option<u16>,
        /// Ends when the flights end, and prints a summary.
        #[arg(long, env = "DAYFOLD_ONCE", value_parser = BoolishValueParser::new())]
        once: bool,
        /// The file of the flights.
        #[arg(long, value_name = "FILE", default_value = "examples/data/flights-2013.csv.gz")]
        flights: PathBuf,
    },
    /// Writes a commented dayfold.toml that can be run unchanged, and a small data file.
    Init {
        /// The folder; it is created if it does not exist.
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Checks a file, and prints the columns of each view and what the next run does with the data folder. Writes
    /// nothing.
    Check {
        /// The file.
        #[arg(env = "DAYFOLD_FILE")]
        file: PathBuf,
        /// As if the next run had this option.
        #[arg(long, value_name = "VIEW")]
        rebuild: Vec<String>,
        /// As if the next run had this option.
        #[arg(long, value_name = "VIEW")]
        remove: Vec<String>,
    },
    /// Makes the running program read its file again: views are added and removed, and no source loses events.
    Reload {
        /// The file.
        #[arg(env = "DAYFOLD_FILE")]
        file: PathBuf,
        /// Removes a view that the file no longer has, even if the log lacks a part of its past. May be given several
        /// times.
        #[arg(long, value_name = "VIEW")]
        remove: Vec<String>,
    },
    /// Prints the first rows as the views see them, and the refused rows with their reasons. Writes nothing.
    Sample {
        /// The file.
        #[arg(env = "DAYFOLD_FILE")]
        file: PathBuf,
        /// The number of rows of each source.
        #[arg(long, default_value_t = 10, env = "DAYFOLD_ROWS")]
        rows: usize,
    },
    /// Runs a file.
    #[command(disable_help_flag = true)]
    Run(Run),
    /// Queries the running program, or reads its folder if it does not run.
    Query {
        /// The file.
        #[arg(env = "DAYFOLD_FILE")]
        file: PathBuf,
        /// SELECT columns FROM view WHERE … ORDER BY … LIMIT …
        sql: String,
        /// The format of the rows.
        #[arg(long, value_enum, default_value = "table", env = "DAYFOLD_FORMAT")]
        format: Output,
    },
    /// Works with the stores of sinks.
    Sink {
        /// What to do.
        #[command(subcommand)]
        what: SinkCommand,
    },
    /// Reads exported files back, and compares them with the sealed days row by row. The program may be running.
    Audit {
        /// The file.
        #[arg(env = "DAYFOLD_FILE")]
        file: PathBuf,
        /// Writes files that are missing, damaged or different again.
        #[arg(long)]
        mend: bool,
    },
    /// Shows what a data folder contains; needs no file.
    Inspect {
        /// The data folder.
        folder: PathBuf,
    },
}

#[derive(Subcommand)]
enum SinkCommand {
    /// Writes all rows of a sink again and compares them: the running program does it, or else the next run.
    Sync {
        /// The file.
        #[arg(env = "DAYFOLD_FILE")]
        file: PathBuf,
        /// The sink.
        name: String,
    },
}

#[derive(Args)]
struct Run {
    /// The file.
    #[arg(env = "DAYFOLD_FILE")]
    file: PathBuf,
    /// Prints this help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Ends when all sources that have an end have ended, and all their periods are sealed.
    #[arg(long, env = "DAYFOLD_ONCE", value_parser = BoolishValueParser::new())]
    once: bool,
    /// Drops the sealed days of a view, and computes them again from the log. May be given several times.
    #[arg(long, value_name = "VIEW")]
    rebuild: Vec<String>,
    /// Removes a view that the file no longer has, even if the log lacks a part of its past. May be given several
    /// times.
    #[arg(long, value_name = "VIEW")]
    remove: Vec<String>,
    /// Starts a new data folder from an export with `states = true`: its sealed periods are taken over, and of the
    /// sources only counts what is not in them.
    #[arg(long, value_name = "EXPORT")]
    start_from: Option<String>,
    /// The number of workers of each process; the default is that of the file, or 1.
    #[arg(short = 'w', long, value_name = "NUM", env = "DAYFOLD_WORKERS")]
    workers: Option<usize>,
    /// The number of processes. Start the same command once for each, with its own -p.
    #[arg(short = 'n', long, value_name = "NUM", default_value_t = 1, env = "DAYFOLD_PROCESSES")]
    processes: usize,
    /// The index of this process, from 0.
    #[arg(short = 'p', long, value_name = "INDEX", default_value_t = 0, env = "DAYFOLD_PROCESS")]
    process: usize,
    /// A file with one host:port for each process. The default is ports from 2101 on the loopback interface.
    #[arg(short = 'h', long = "hosts", value_name = "FILE", env = "DAYFOLD_HOSTS")]
    hosts: Option<PathBuf>,
    /// How long to wait for the other processes to start: 90s, 5m, 1h.
    #[arg(long, value_name = "DURATION", default_value = "1m", env = "DAYFOLD_WAIT")]
    wait: String,
    /// A file with a secret that all processes share.
    #[arg(long, value_name = "FILE", env = "DAYFOLD_SECRET_FILE")]
    secret_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    init_tracing(options.json);
    let json = options.json;
    let Err(error) = execute(options.command, options.data, json) else { return ExitCode::SUCCESS };
    if let ProgramError::Io(error) = &error
        && error.kind() == std::io::ErrorKind::BrokenPipe
    {
        // The reader of the output has closed the pipe.
        return ExitCode::SUCCESS;
    }
    if json {
        tracing::error!(exit_code = error.exit_code(), "{}", error.in_full());
    } else {
        let _ = writeln!(std::io::stderr(), "error: {}", error.in_full());
    }
    ExitCode::from(error.exit_code())
}

fn execute(command: Command, data: Option<PathBuf>, json: bool) -> Result<(), ProgramError> {
    let mut out = std::io::stdout().lock();
    let read =
        |file: &Path| Ok::<Config, ProgramError>(Config::read(file)?.with_data(data.clone()));
    match command {
        Command::Demo { pace, port, once, flights } => {
            let demo = commands::Demo {
                flights,
                pace: days_per_second(&pace)?,
                port,
                data: data.unwrap_or_else(|| PathBuf::from("dayfold-demo-data")),
                once,
                json,
            };
            commands::demo(&demo, &interrupted(), &mut out)
        }
        Command::Init { folder } => commands::init(&folder, &mut out),
        Command::Check { file, rebuild, remove } => {
            commands::check(&Plan::new(read(&file)?)?, &rebuild, &remove, &mut out)
        }
        Command::Reload { file, remove } => {
            commands::reload(&Plan::new(read(&file)?)?, &remove, &mut out)
        }
        Command::Sample { file, rows } => {
            commands::sample(&Plan::new(read(&file)?)?, rows, &mut out)
        }
        Command::Run(options) => {
            drop(out);
            execute_run(&options, read(&options.file)?, data.clone(), json)
        }
        Command::Query { file, sql, format } => {
            commands::query(&read(&file)?, &sql, format, &mut out)
        }
        Command::Sink { what: SinkCommand::Sync { file, name } } => {
            commands::sink_sync(&Plan::new(read(&file)?)?, &name, &mut out)
        }
        Command::Audit { file, mend } => commands::audit(&read(&file)?, mend, &mut out),
        Command::Inspect { folder } => commands::inspect(&folder, &mut out),
    }
}

fn execute_run(
    options: &Run,
    config: Config,
    data: Option<PathBuf>,
    json: bool,
) -> Result<(), ProgramError> {
    let input = |error: &dyn std::fmt::Display| ProgramError::Input(error.to_string());
    let workers = options.workers.or(config.workers).unwrap_or(1);
    let hosts = options.hosts.as_deref();
    let cluster = Cluster::from_options(workers, options.processes, options.process, hosts);
    let wait =
        parse_duration(&options.wait).map_err(|error| input(&format_args!("--wait: {error}")))?;
    let mut cluster = cluster.map_err(|error| input(&error))?.patience(wait);
    if let Some(path) = &options.secret_file {
        cluster = cluster.secret(Secret::from_file(path).map_err(|error| input(&error))?);
    }
    let stop = interrupted();
    run(
        config,
        RunOptions {
            once: options.once,
            cluster,
            rebuild: options.rebuild.clone(),
            remove: options.remove.clone(),
            start_from: options.start_from.clone(),
            data,
            reload: asked_to_reload(),
            json,
            pace: None,
        },
        &stop,
    )
}

/// Parses a pace; `None` is as fast as possible.
fn days_per_second(text: &str) -> Result<Option<f64>, ProgramError> {
    if text == "max" {
        return Ok(None);
    }
    let days = text.parse().ok().filter(|days: &f64| days.is_finite() && *days > 0.0);
    let expected = || {
        ProgramError::Input(format!("--pace {text}: expected days per second above 0, or 'max'"))
    };
    days.ok_or_else(expected).map(Some)
}

/// Set on Ctrl-C, or when the system asks the program to end. At the second time the program ends at once.
fn interrupted() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let hooked = signal_hook::flag::register_conditional_default(signal, Arc::clone(&flag));
        if let Err(error) =
            hooked.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
        {
            tracing::warn!(%error, "Ctrl-C will end the program without flushing");
        }
    }
    flag
}

/// Set by SIGHUP, which requests that the file is read again.
fn asked_to_reload() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&flag))
    {
        tracing::warn!(%error, "SIGHUP will end the program: use `dayfold reload`");
    }
    flag
}

/// Shows log messages on standard error, at the level of `RUST_LOG` (default: warnings).
fn init_tracing(json: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match json {
        true => subscriber.json().init(),
        false => {
            subscriber.with_ansi(std::io::stderr().is_terminal()).log_internal_errors(false).init()
        }
    }
}
