//! `dayfold sink` works with the stores of sinks.

use std::io::Write;

use crate::error::ProgramError;
use crate::plan::Plan;

/// Writes all rows of a sink again and compares them: the running program does it, or else the next run.
///
/// # Errors
/// [`ProgramError::Input`] if there is no such sink, [`ProgramError::Failed`] if its store cannot be reached.
pub fn sink_sync(plan: &Plan, name: &str, out: &mut dyn Write) -> Result<(), ProgramError> {
    #[cfg(feature = "sinks")]
    return crate::run::sync_sink(plan, name, out);
    #[cfg(not(feature = "sinks"))]
    {
        let _ = (plan, out);
        let message = crate::config::needs_sinks(name);
        Err(ProgramError::Input(message))
    }
}
