//! Code that the examples share: timely's arguments, exit codes, and Ctrl-C.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clap::Args;
use dayfold::cluster::{ClusterError, Secret};
use dayfold::engine::{EngineError, Running};
use dayfold::store::StoreError;
use dayfold::time::parse_duration;
use dayfold::{Cluster, Engine};

/// Timely's arguments, and how long to wait.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Workers")]
pub(crate) struct Workers {
    /// Workers of each process.
    #[arg(short = 'w', long = "threads", value_name = "NUM", default_value_t = 1)]
    threads: usize,
    /// The number of processes. Start the same command once for each, with its own -p.
    #[arg(short = 'n', long = "processes", value_name = "NUM", default_value_t = 1)]
    processes: usize,
    /// Which of the processes this one is, from 0.
    #[arg(short = 'p', long = "process", value_name = "INDEX", default_value_t = 0)]
    process: usize,
    /// A file with one `host:port` for each process, in order: each listens on its own, and calls those
    /// before it. Without a file, ports from 2101 on the loopback interface.
    #[arg(short = 'h', long = "hostfile", value_name = "FILE")]
    hostfile: Option<PathBuf>,
    /// How long to wait for the other processes to start: 90s, 5m, 1h.
    #[arg(long = "wait", value_name = "DURATION", default_value = "1m")]
    wait: String,
    /// A file with a secret that all processes share, so that nobody else takes the place of one. It only protects the
    /// start: later traffic is neither encrypted nor authenticated.
    #[arg(long = "secret-file", value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[allow(dead_code, reason = "not every example needs it")]
impl Workers {
    pub(crate) fn cluster(&self) -> Result<Cluster, EngineError> {
        let (threads, processes) = (self.threads, self.processes);
        let hosts = self.hostfile.as_deref();
        let cluster = Cluster::from_options(threads, processes, self.process, hosts);
        let wait = parse_duration(&self.wait);
        let wait = wait.map_err(|error| input(format_args!("--wait: {error}")))?;
        let cluster = cluster.map_err(input)?.patience(wait);
        match &self.secret_file {
            Some(path) => Ok(cluster.secret(Secret::from_file(path).map_err(input)?)),
            None => Ok(cluster),
        }
    }

    /// Whether there are other processes.
    pub(crate) fn are_several(&self) -> bool {
        self.processes > 1
    }

    /// These arguments, for a process that this one starts.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let numbers = [("-w", self.threads), ("-n", self.processes), ("-p", self.process)];
        let mut arguments: Vec<OsString> = vec!["--wait".into(), self.wait.clone().into()];
        arguments.extend(numbers.iter().flat_map(|(name, n)| [name.into(), n.to_string().into()]));
        arguments.extend(self.hostfile.iter().flat_map(|path| ["-h".into(), path.into()]));
        let secret = self.secret_file.iter();
        arguments.extend(secret.flat_map(|path| ["--secret-file".into(), path.into()]));
        arguments
    }

    /// Whether this process asks and prints.
    pub(crate) fn is_first(&self) -> bool {
        self.process == 0
    }

    pub(crate) fn process(&self) -> usize {
        self.process
    }

    pub(crate) fn processes(&self) -> usize {
        self.processes
    }

    pub(crate) fn describe(&self) -> String {
        let plural = |count: usize, one: &str, more: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {more}"),
        };
        let processes = plural(self.processes, "process", "processes");
        format!("{processes} with {}", plural(self.threads, "worker", "workers"))
    }
}

/// Set when the user presses Ctrl-C or the system asks the program to end.
#[allow(dead_code, reason = "not every example needs it")]
pub(crate) fn interrupted() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second signal ends the program at once, as if the flag were not there.
        let hooked = signal_hook::flag::register_conditional_default(signal, Arc::clone(&flag));
        if let Err(error) =
            hooked.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
        {
            tracing::warn!(%error, "Ctrl-C will end the program without flushing");
        }
    }
    flag
}

pub(crate) fn is_set(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

/// Prints traces on standard error, as `RUST_LOG` says (`debug`, or `dayfold=debug,warn`); by default, warnings.
pub(crate) fn init_tracing() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::prelude::*;
    let said = std::env::var("RUST_LOG").ok().filter(|said| !said.is_empty());
    let filter = said.and_then(|said| said.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    let printed = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let printed = printed.with_ansi(std::io::stderr().is_terminal()).log_internal_errors(false);
    tracing_subscriber::registry().with(printed).with(filter).init();
    quiet_lost_connections();
}

/// Threads that talk to other processes panic when one is gone; this hides their messages. The engine reports it, with
/// the name of the process.
fn quiet_lost_connections() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        let is_lost = text.contains("timely communication error")
            || text.contains("MergeQueue poisoned")
            || text.contains("thread panic: Any");
        match is_lost {
            true => tracing::debug!("{panic}"),
            false => before(panic),
        }
    }));
}

/// Starts an engine; while it waits for the other processes, Ctrl-C ends the wait.
#[allow(dead_code, reason = "not every example needs it")]
pub(crate) fn start<E: Send + Sync + 'static>(
    engine: Engine<E>,
    cluster: Cluster,
    interrupted: &AtomicBool,
) -> Result<Running, EngineError> {
    let (sender, started) = mpsc::channel();
    // If nobody waits any more, the program is about to end.
    std::thread::spawn(move || drop(sender.send(engine.start(cluster))));
    loop {
        match started.recv_timeout(Duration::from_millis(50)) {
            Ok(started) => return started,
            Err(RecvTimeoutError::Timeout) if !is_set(interrupted) => {}
            Err(RecvTimeoutError::Timeout) => return Err(EngineError::Interrupted),
            Err(RecvTimeoutError::Disconnected) => return Err(failed("the engine did not start")),
        }
    }
}

/// Runs a process that neither asks nor prints: it works until all stop.
#[allow(dead_code, reason = "not every example needs it")]
pub(crate) fn follow(running: Running, interrupted: &AtomicBool) -> Result<(), EngineError> {
    while !running.wait_stopped(Duration::from_millis(50)) {
        if is_set(interrupted) {
            running.interrupt();
        }
    }
    running.finish().map(|_| ())
}

/// The arguments or the input are wrong.
#[allow(dead_code, reason = "not every example needs it")]
pub(crate) fn input(error: impl std::fmt::Display) -> EngineError {
    EngineError::Input { message: error.to_string() }
}

/// Anything else.
pub(crate) fn failed(error: impl std::fmt::Display) -> EngineError {
    EngineError::Failed { message: error.to_string() }
}

/// Prints a line on standard error, if it is still open.
pub(crate) fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The beginning of an error about too many refused rows, by which all processes of a cluster recognize it.
pub(crate) const TOO_MANY_REFUSED: &str = "too many rows refused";

/// 0 done; 2 arguments, input; 3 too many rows refused; 130 interrupted; 1 anything else.
pub(crate) fn exit_code(result: Result<(), EngineError>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        if !text.contains(&error.to_string()) {
            text = format!("{text}: {error}");
        }
        cause = error.source();
    }
    say(format_args!("error: {text}"));
    match error {
        EngineError::Interrupted => ExitCode::from(130),
        EngineError::Failed { message } if message.starts_with(TOO_MANY_REFUSED) => {
            ExitCode::from(3)
        }
        EngineError::Input { .. }
        | EngineError::Source(_)
        | EngineError::Incomplete { .. }
        | EngineError::Store(
            StoreError::ViewMismatch { .. }
            | StoreError::ViewMissing { .. }
            | StoreError::ViewAdded { .. },
        )
        | EngineError::Cluster(
            ClusterError::Index { .. }
            | ClusterError::HostFile { .. }
            | ClusterError::Secret { .. }
            | ClusterError::SecretFile { .. }
            | ClusterError::Mismatch { .. },
        ) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
