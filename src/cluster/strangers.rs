//! Connections from strangers: counts them, and limits how often they are reported.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How often to warn of a kind of stranger, at most.
const WARNED_EVERY: Duration = Duration::from_secs(5);

/// How many addresses of each kind are named.
const NAMED: usize = 8;

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// It claims to be a process of this cluster, and knows another secret.
    OtherSecret,
    /// It claims to be a process of this cluster, and has no secret.
    NoSecret,
    /// The received bytes are not a greeting.
    Garbled,
    /// The connection ended before the greeting was complete.
    HungUp,
    /// Its greeting did not come in time, or other connections needed its place.
    Silent,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::OtherSecret => "with another secret",
            Why::NoSecret => "without the secret",
            Why::Garbled => "with no greeting of this program",
            Why::HungUp => "that ended before its greeting",
            Why::Silent => "without a greeting",
        })
    }
}

/// All closed connections. Their number is not bounded, but the memory for them is.
#[derive(Debug, Default)]
pub(super) struct Strangers(BTreeMap<Why, Counted>);

#[derive(Debug, Default)]
struct Counted {
    connections: u64,
    addresses: BTreeMap<IpAddr, u64>,
    /// The time of the last warning, and how many have come since.
    warned: Option<Instant>,
    since: u64,
}

impl Strangers {
    /// Counts one, and says whether to warn of it, together with how many unreported ones.
    pub(super) fn note(&mut self, from: IpAddr, why: Why, now: Instant) -> Option<u64> {
        let kind = self.0.entry(why).or_default();
        kind.connections += 1;
        if kind.addresses.len() < NAMED || kind.addresses.contains_key(&from) {
            *kind.addresses.entry(from).or_default() += 1;
        }
        let is_silent = |warned: Instant| now.duration_since(warned) < WARNED_EVERY;
        if kind.warned.is_some_and(is_silent) {
            kind.since += 1;
            return None;
        }
        kind.warned = Some(now);
        Some(std::mem::take(&mut kind.since))
    }

    #[cfg(test)]
    pub(super) fn count(&self, why: Why) -> u64 {
        self.0.get(&why).map_or(0, |kind| kind.connections)
    }
}

/// The end of a message; empty if there were none.
impl fmt::Display for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = " (meanwhile were closed: ";
        for (why, kind) in &self.0 {
            let mut others = kind.connections;
            for (address, connections) in &kind.addresses {
                let plural = if *connections == 1 { "" } else { "s" };
                write!(f, "{between}{connections} connection{plural} from {address} {why}")?;
                others -= connections;
                between = ", ";
            }
            if others > 0 {
                write!(f, "{between}{others} from other addresses {why}")?;
            }
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_limited_in_rate_and_strangers_are_named() {
        let mut strangers = Strangers::default();
        assert_eq!(strangers.to_string(), "");
        let (start, from) = (Instant::now(), |last| IpAddr::from([10, 0, 0, last]));
        assert_eq!(strangers.note(from(1), Why::Silent, start), Some(0));
        for n in 0..99 {
            assert_eq!(strangers.note(from(n % 2), Why::Silent, start), None);
        }
        let other = strangers.note(from(9), Why::OtherSecret, start);
        assert_eq!(other, Some(0), "what it is about is not hidden by the others");
        let later = start + WARNED_EVERY;
        assert_eq!(strangers.note(from(1), Why::Silent, later), Some(99));
        assert_eq!(
            strangers.to_string(),
            " (meanwhile were closed: 1 connection from 10.0.0.9 with another secret, \
             50 connections from 10.0.0.0 without a greeting, \
             51 connections from 10.0.0.1 without a greeting)"
        );
    }

    #[test]
    fn however_many_there_are_so_many_are_kept() {
        let mut strangers = Strangers::default();
        for n in 0..10_000u32 {
            strangers.note(IpAddr::from(n.to_be_bytes()), Why::HungUp, Instant::now());
        }
        assert_eq!(strangers.0[&Why::HungUp].addresses.len(), NAMED);
        assert!(strangers.to_string().contains("9992 from other addresses"), "{strangers}");
    }
}
