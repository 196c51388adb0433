//! Custom formats of times.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// A text that is not a format of times.
///
/// ```
/// use dayfold::source::{TimeFormatError, TimeParser, TimeRefusal};
///
/// let times = TimeParser::new().format("%d.%m.%Y %H:%M %z")?;
/// assert_eq!(times.parse(b"01.01.1970 00:01 +0000"), Ok(60_000));
/// assert_eq!(times.parse(b""), Err(TimeRefusal::Empty));
///
/// let TimeFormatError { reason, .. } = TimeParser::new().format("%H:%M").unwrap_err();
/// println!("that says no day: {reason}");
/// # Ok::<(), TimeFormatError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{format}' is not a format of times: {reason}; expected conversions of strptime such as '%Y-%m-%d %H:%M:%S'"
)]
#[non_exhaustive]
pub struct TimeFormatError {
    /// What was given.
    pub format: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Checks that times can be written, and so read, in a format, and that they have a date.
pub(super) fn check_format(format: &str) -> Result<(), TimeFormatError> {
    let error = |reason: String| TimeFormatError { format: format.to_owned(), reason };
    // Writing any time in the format and reading it back tells what the format can hold.
    let sample = Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
    let text = strtime::format(format, &sample).map_err(|cause| error(cause.to_string()))?;
    let read = strtime::parse(format, &text).map_err(|cause| error(cause.to_string()))?;
    if read.timestamp().is_none() && read.to_date().is_err() {
        return Err(error("it has no date".to_owned()));
    }
    Ok(())
}
