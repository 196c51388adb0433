//! `dayfold check`: what the views look like, and what the next run makes of the data folder.

use std::io::Write;
use std::path::Path;

use dayfold::store::{self, Disk, FolderReport};

use crate::error::ProgramError;
use crate::plan::Plan;
use crate::run::token_to_read;

/// Prints the columns of each view and, if there is a data folder, what the next run does with it. Writes nothing.
///
/// # Errors
/// [`ProgramError::Input`] if the next run would refuse the folder, [`ProgramError::Failed`] if it is damaged.
pub fn check(plan: &Plan, rebuild: &[String], out: &mut dyn Write) -> Result<(), ProgramError> {
    plan.check_names(rebuild)?;
    token_to_read(&plan.config)?;
    #[cfg(feature = "tls")]
    crate::run::read_tls(&plan.config)?;
    out.write_all(plan.describe().as_bytes())?;
    #[cfg(feature = "sinks")]
    crate::run::reach_sinks(plan, out)?;
    let Some(folder) = &plan.config.data else { return Ok(()) };
    writeln!(out, "\ndata folder {}", folder.display())?;
    if !folder.join("part-0").is_dir() {
        writeln!(out, "  it is not there yet: the next run begins it")?;
        return Ok(());
    }
    let report =
        store::inspect(&Disk, folder).map_err(|error| ProgramError::Failed(error.to_string()))?;
    let mut refused = 0;
    for (view, next) in next_run(plan, &report, rebuild) {
        refused += usize::from(matches!(next, Next::Refuses(_)));
        writeln!(out, "  view {view}: {}", next.text())?;
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

/// What the next run does for a view.
enum Next {
    /// What is sealed stays.
    GoesOn(String),
    /// Its past is computed from the log.
    Computes(String),
    /// The run does not start.
    Refuses(String),
}

impl Next {
    fn text(&self) -> String {
        match self {
            Next::GoesOn(what) => format!("goes on; {what}"),
            Next::Computes(why) => format!("its past is computed from the log: {why}"),
            Next::Refuses(why) => format!("refused: {why}"),
        }
    }
}

/// For each view of the file and of the folder, by name, those of the file first.
fn next_run(plan: &Plan, report: &FolderReport, rebuild: &[String]) -> Vec<(String, Next)> {
    let is_logged = report.parts.iter().any(|part| part.run.as_ref().is_some_and(|run| run.logged));
    let known = |name: &str| report.views.iter().find(|view| view.record.name == name);
    let of_file = plan.views.iter().map(|view| {
        let (name, asked) = (view.config.name.value.clone(), view.definition.record());
        let next = match known(&name) {
            None if is_logged => Next::Computes("it is new".to_owned()),
            None => Next::Refuses("it is new, and the folder has no log".to_owned()),
            Some(known) => match known.record.difference(&asked) {
                None => Next::GoesOn(sealed(known)),
                Some((field, here, there)) => {
                    let change = format!("its {field} was '{here}' and is '{there}' now");
                    match (rebuild.contains(&name), is_logged) {
                        (true, true) => Next::Computes(change),
                        (false, true) => Next::Refuses(format!(
                            "{change}; dayfold run --rebuild {name} gives up what is sealed and computes it again"
                        )),
                        (_, false) => Next::Refuses(format!("{change}, and the folder has no log")),
                    }
                }
            },
        };
        (name, next)
    });
    let of_file: Vec<_> = of_file.collect();
    let removed = report.views.iter().map(|view| view.record.name.clone());
    let removed = removed.filter(|name| !of_file.iter().any(|(known, _)| known == name));
    let removed: Vec<_> = removed
        .map(|name| {
            let why =
                "the folder has it, and the file does not: put it back, or use another folder";
            (name, Next::Refuses(why.to_owned()))
        })
        .collect();
    of_file.into_iter().chain(removed).collect()
}

fn sealed(view: &store::ViewReport) -> String {
    view.closed_through
        .map_or("nothing is sealed".to_owned(), |day| format!("sealed through {day}"))
}

/// Sources that the log has events of, and the file has not.
fn former_sources(plan: &Plan) -> Vec<&str> {
    let is_former =
        |name: &&str| !plan.sources.iter().any(|source| source.config.name.value == **name);
    let mut former: Vec<&str> = plan.layouts.iter().map(|layout| layout.source.as_str()).collect();
    former.sort_unstable();
    former.dedup();
    former.into_iter().filter(is_former).collect()
}
