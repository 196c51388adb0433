//! Several workers and processes: their configuration, and how the processes find each other.
//!
//! Timely connects processes without a time-out and without checking who connects. So the processes do a handshake of
//! their own, on the same addresses. Each process sends its index, the size of the cluster and its number of workers,
//! then what it computes and which data folder it sees, and refuses a peer that differs, before anything is written.
//! When all have opened the folder, timely gets the sockets. A second connection between each two processes detects
//! peers that are lost, that leave, or that hang, and names them.
//!
//! With a [`Secret`], each connection begins with a proof by both sides that they know it, so that nobody else
//! takes a process's place. The traffic afterwards is neither encrypted nor authenticated. Addresses default to
//! the loopback interface.
//! [docs/cluster.md](https://docs.rs/crate/dayfold/latest/source/docs/cluster.md) says how to run it on
//! several machines.
//!
//! ```
//! use std::time::Duration;
//!
//! use dayfold::cluster::{Cluster, ClusterError, Secret};
//!
//! // Process 0 of three with two workers each. All of them know a secret.
//! let secret = Secret::new(b"0123456789abcdef0123456789abcdef")?;
//! let cluster = Cluster::local(2, 0, 3)?.secret(secret).patience(Duration::from_secs(60));
//! assert_eq!((cluster.peers(), cluster.local_workers()), (6, 0..2));
//!
//! assert!(matches!(Cluster::local(2, 3, 3), Err(ClusterError::Index { .. })));
//! assert!(matches!(Secret::new(b"short"), Err(ClusterError::WeakSecret { found: 5, .. })));
//! # Ok::<(), ClusterError>(())
//! ```

mod agree;
mod config;
mod door;
mod error;
mod handshake;
mod hello;
mod met;
mod secret;
mod strangers;
mod watch;

pub(crate) use agree::{SeenFolder, Word};
pub use config::Cluster;
pub use error::ClusterError;
pub(crate) use met::{Joined, Met};
pub use secret::Secret;
pub(crate) use watch::{Notice, Watch};
