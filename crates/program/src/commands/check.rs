//! `dayfold check` prints the columns of the views, and what the next run does with the data folder.

use std::io::Write;
use std::path::Path;

use crate::error::ProgramError;
use crate::next::{self, Next};
use crate::plan::Plan;
use crate::run::{changed_files, token_to_read};

/// Prints the columns of each view and, if there is a data folder, what the next run does with it. Writes nothing.
///
/// # Errors
/// [`ProgramError::Input`] if the next run would refuse the folder, [`ProgramError::Failed`] if it is damaged.
pub fn check(
    plan: &Plan,
    rebuild: &[String],
    remove: &[String],
    out: &mut dyn Write,
) -> Result<(), ProgramError> {
    plan.check_names(rebuild, remove)?;
    token_to_read(&plan.config)?;
    #[cfg(feature = "tls")]
    crate::run::read_tls(&plan.config)?;
    out.write_all(plan.describe().as_bytes())?;
    #[cfg(feature = "sinks")]
    crate::run::reach_sinks(plan, out)?;
    let Some(folder) = &plan.config.data else { return Ok(()) };
    writeln!(out, "\ndata folder {}", folder.display())?;
    let report = next::folder(folder).map_err(|error| ProgramError::Failed(error.to_string()))?;
    let Some(report) = report else {
        writeln!(out, "  it is not there yet: the next run begins it")?;
        return Ok(());
    };
    let mut refused = 0;
    for (view, next) in next::views(plan, &report, rebuild, remove) {
        refused += usize::from(matches!(next, Next::Refuses(_)));
        writeln!(out, "  view {view}: {}", next.text())?;
    }
    let log = next::log(&report).map_err(|error| ProgramError::Failed(error.to_string()))?;
    for (source, error) in changed_files(plan, &log) {
        refused += 1;
        writeln!(out, "  source {source}: refused: {}", error.in_full())?;
    }
    for source in former_sources(plan) {
        writeln!(out, "  source {source}: not in the file any more; what was read of it counts")?;
    }
    out.flush()?;
    match refused {
        0 => Ok(()),
        _ => Err(ProgramError::Input(format!("the next run refuses {}", shown(folder)))),
    }
}

fn shown(folder: &Path) -> String {
    format!("the data folder {}: nothing is written", folder.display())
}

/// Sources that have events in the log and are not in the file.
fn former_sources(plan: &Plan) -> Vec<&str> {
    let is_former =
        |name: &&str| !plan.sources.iter().any(|source| source.config.name.value == **name);
    let mut former: Vec<&str> = plan.layouts.iter().map(|layout| layout.source.as_str()).collect();
    former.sort_unstable();
    former.dedup();
    former.into_iter().filter(is_former).collect()
}
