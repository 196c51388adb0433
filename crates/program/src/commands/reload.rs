//! `dayfold reload` makes the running program read its file again.

use std::io::Write;

use crate::error::ProgramError;
use crate::plan::Plan;
use crate::run::ask_to_reload;

/// Asks the program that has the data folder open to run the file as it is now, and prints what has changed.
///
/// # Errors
/// [`ProgramError::Input`] with the reasons if the program cannot use the new file; it keeps running with the old one.
/// [`ProgramError::Failed`] if no program answers.
pub fn reload(plan: &Plan, remove: &[String], out: &mut dyn Write) -> Result<(), ProgramError> {
    plan.check_names(&[], remove)?;
    let Some(folder) = &plan.config.data else {
        let message = "the file has no [engine] data: without a data folder there is no log, from which a view could have \
                       its past: start the program again";
        return Err(ProgramError::Input(message.to_owned()));
    };
    let file = std::path::absolute(plan.config.document.path())?;
    let answer = ask_to_reload(folder, file, remove)
        .map_err(|error| ProgramError::Failed(error.to_string()))?;
    if !answer.is_done {
        let reasons = answer.said.join("\n  ");
        let message = format!("the program goes on as it was:\n  {reasons}");
        return Err(ProgramError::Input(message));
    }
    for line in &answer.said {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
