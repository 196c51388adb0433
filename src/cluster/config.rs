//! The members of a cluster, and their addresses.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::error::ClusterError;
use super::secret::Secret;

/// The first port of a cluster without a list of hosts; process `p` listens on this plus `p`.
const FIRST_PORT: u16 = 2101;

/// The workers of a program, over one or more processes.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(super) threads: usize,
    pub(super) process: usize,
    pub(super) addresses: Vec<String>,
    pub(super) patience: Duration,
    pub(super) secret: Option<Secret>,
}

impl Cluster {
    /// One process with this many workers (at least one).
    pub fn workers(threads: usize) -> Cluster {
        let addresses = vec![String::new()];
        Cluster {
            threads: threads.max(1),
            process: 0,
            addresses,
            patience: Duration::from_secs(60),
            secret: None,
        }
    }

    /// Process `process` of `processes` on this machine, each with this many workers, connected over
    /// the loopback interface, ports 2101 and up.
    ///
    /// # Errors
    /// [`ClusterError::Index`] unless `process < processes`.
    pub fn local(
        threads: usize,
        process: usize,
        processes: usize,
    ) -> Result<Cluster, ClusterError> {
        let port = |index: usize| FIRST_PORT.saturating_add(index as u16);
        let addresses = (0..processes).map(|index| format!("127.0.0.1:{}", port(index))).collect();
        Cluster::hosts(threads, process, addresses)
    }

    /// Process `process` of as many as there are addresses (`host:port`, in order of process).
    ///
    /// # Errors
    /// [`ClusterError::Index`] unless there is an address for `process`.
    pub fn hosts(
        threads: usize,
        process: usize,
        addresses: Vec<String>,
    ) -> Result<Cluster, ClusterError> {
        if process >= addresses.len() {
            return Err(ClusterError::Index { process, processes: addresses.len() });
        }
        Ok(Cluster { addresses, process, ..Cluster::workers(threads) })
    }

    /// The cluster of timely's command-line arguments, for a program without other arguments:
    /// `Cluster::from_args(std::env::args())`. See [`Cluster::from_options`] for these arguments. In addition,
    /// `--secret-file FILE` names a file with the [`Secret`] of the cluster.
    ///
    /// # Errors
    /// [`ClusterError::Arguments`] with timely's message, [`ClusterError::Index`] and [`ClusterError::SecretFile`].
    pub fn from_args(args: impl Iterator<Item = String>) -> Result<Cluster, ClusterError> {
        use timely::CommunicationConfig::{Cluster as Processes, Process, ProcessBinary, Thread};

        let (args, secret_file) = without_secret_file(args)?;
        let config = timely::Config::from_args(args.into_iter());
        let config = config.map_err(|reason| ClusterError::Arguments { reason })?;
        let cluster = match config.communication {
            Thread => Cluster::workers(1),
            Process(threads) | ProcessBinary(threads) => Cluster::workers(threads),
            Processes { threads, process, addresses, .. } => {
                Cluster::hosts(threads, process, addresses)?
            }
        };
        match secret_file {
            Some(path) => Ok(cluster.secret(Secret::from_file(Path::new(&path))?)),
            None => Ok(cluster),
        }
    }

    /// The cluster of timely's parsed arguments: `-w` workers, `-n` processes, `-p` this process, `-h` a file with one
    /// `host:port` per line.
    ///
    /// # Errors
    /// [`ClusterError::Index`] and [`ClusterError::HostFile`].
    pub fn from_options(
        threads: usize,
        processes: usize,
        process: usize,
        hosts: Option<&Path>,
    ) -> Result<Cluster, ClusterError> {
        if processes <= 1 && process == 0 {
            return Ok(Cluster::workers(threads));
        }
        let Some(path) = hosts else { return Cluster::local(threads, process, processes) };
        let host_file = |reason: String| ClusterError::HostFile { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| host_file(error.to_string()))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let addresses: Vec<String> = lines.take(processes).map(str::to_owned).collect();
        if addresses.len() < processes {
            let found = addresses.len();
            return Err(host_file(format!("{found} addresses, expected {processes}")));
        }
        Cluster::hosts(threads, process, addresses)
    }

    /// How long to wait for the other processes. The default is one minute.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Cluster {
        self.patience = patience;
        self
    }

    /// Sets the secret that the processes share: without it, nobody can take the place of a process. All processes must
    /// have the same secret, or none.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Cluster {
        self.secret = Some(secret);
        self
    }

    /// The index of this process.
    pub fn process(&self) -> usize {
        self.process
    }

    /// How many processes there are.
    pub fn processes(&self) -> usize {
        self.addresses.len()
    }

    /// How many workers there are, over all processes.
    pub fn peers(&self) -> usize {
        self.threads * self.processes()
    }

    /// How many workers each process has.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The indexes of this process's workers among all workers.
    pub fn local_workers(&self) -> Range<usize> {
        self.process * self.threads..(self.process + 1) * self.threads
    }
}

/// Arguments without `--secret-file FILE`, which timely does not know, and the file.
fn without_secret_file(
    args: impl Iterator<Item = String>,
) -> Result<(Vec<String>, Option<String>), ClusterError> {
    let (mut others, mut file, mut args) = (Vec::new(), None, args);
    while let Some(arg) = args.next() {
        let named = match arg.strip_prefix("--secret-file") {
            Some("") => args.next(),
            Some(rest) if rest.starts_with('=') => Some(rest[1..].to_owned()),
            _ => {
                others.push(arg);
                continue;
            }
        };
        let reason = || "--secret-file: expected the name of a file".to_owned();
        file = Some(named.ok_or_else(|| ClusterError::Arguments { reason: reason() })?);
    }
    Ok((others, file))
}
