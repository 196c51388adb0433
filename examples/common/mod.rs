//! What the examples share: timely's arguments, the exit codes, and Ctrl-C.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use dayfold::Cluster;
use dayfold::engine::EngineError;

/// Timely's arguments.
///
/// Two processes on one machine, each in a terminal of its own:
///   … -n 2 -p 0      and      … -n 2 -p 1
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Workers")]
pub(crate) struct Workers {
    /// Workers of each process.
    #[arg(short = 'w', long = "threads", value_name = "NUM", default_value_t = 1)]
    threads: usize,
    /// Processes in all. Start the same command once for each, with its own -p.
    #[arg(short = 'n', long = "processes", value_name = "NUM", default_value_t = 1)]
    processes: usize,
    /// Which of the processes this one is, from 0.
    #[arg(short = 'p', long = "process", value_name = "INDEX", default_value_t = 0)]
    process: usize,
    /// A file with one `host:port` for each process; without it, ports from 2101 on the loopback
    /// interface.
    #[arg(short = 'h', long = "hostfile", value_name = "FILE")]
    hostfile: Option<PathBuf>,
}

impl Workers {
    pub(crate) fn cluster(&self) -> Result<Cluster, EngineError> {
        let (threads, processes) = (self.threads, self.processes);
        let hosts = self.hostfile.as_deref();
        let cluster = Cluster::from_options(threads, processes, self.process, hosts);
        cluster.map_err(|error| EngineError::Input { message: error.to_string() })
    }

    /// Whether this process asks and prints.
    pub(crate) fn is_first(&self) -> bool {
        self.process == 0
    }

    #[allow(dead_code, reason = "not every example shows it")]
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

/// Shows what happens inside on standard error, for `RUST_LOG` (warnings, unless it says otherwise).
pub(crate) fn init_tracing() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// 0 done; 2 arguments, input; 130 interrupted; 1 anything else.
pub(crate) fn exit_code(result: Result<(), EngineError>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    match error {
        EngineError::Interrupted => ExitCode::from(130),
        EngineError::Input { .. } | EngineError::Source(_) | EngineError::Incomplete { .. } => {
            ExitCode::from(2)
        }
        _ => ExitCode::FAILURE,
    }
}
