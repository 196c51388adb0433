//! The memory of this process, as the system reports it.

/// Resident memory, and its peak, in bytes.
pub(crate) const NOW: &str = "VmRSS:";
pub(crate) const PEAK: &str = "VmHWM:";
/// The resident memory that is not backed by files.
pub(crate) const ANONYMOUS: &str = "RssAnon:";

/// One of these; 0 if the system does not report it.
pub(crate) fn of(line: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|found| found.strip_prefix(line));
    let kilobytes = found.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    kilobytes.unwrap_or(0usize) * 1_024
}
