//! `dayfold sink`: what is written to stores.

use std::io::Write;

use crate::error::ProgramError;
use crate::plan::Plan;

/// Has all rows of a sink written again and compared: by the program that runs, or else by the next run.
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
