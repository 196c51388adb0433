//! What the next run does with a data folder, for each view.

use std::path::Path;

use dayfold::log::{self, LogError, LogState};
use dayfold::store::{self, Disk, FolderReport, StoreError, ViewReport};

use crate::plan::Plan;

/// What the next run does with a view.
#[derive(Debug)]
pub(crate) enum Next {
    /// The sealed days stay.
    GoesOn(String),
    /// Its past is computed from the log.
    Computes(String),
    /// The file no longer has the view: its sealed days are removed.
    Removes(String),
    /// The run does not start.
    Refuses(String),
}

impl Next {
    /// The text for people.
    pub(crate) fn text(&self) -> String {
        match self {
            Next::GoesOn(what) => format!("goes on; {what}"),
            Next::Computes(why) => format!("its past is computed from the log: {why}"),
            Next::Removes(what) => format!("is removed: {what}"),
            Next::Refuses(why) => format!("refused: {why}"),
        }
    }
}

/// The content of a data folder; `None` if no run has begun there yet.
pub(crate) fn folder(folder: &Path) -> Result<Option<FolderReport>, StoreError> {
    if !folder.join("part-0").is_dir() {
        return Ok(None);
    }
    store::inspect(&Disk, folder).map(Some)
}

/// What its log has, without the events.
pub(crate) fn log(report: &FolderReport) -> Result<LogState, LogError> {
    let parts: Vec<_> =
        report.parts.iter().map(|part| (part.process as u32, part.path.clone())).collect();
    log::scan(&Disk, &parts, u64::MAX)
}

/// For each view of the file and of the folder, by name; those of the file come first. Views in `rebuild` may be
/// computed anew, and views in `remove` are removed whatever the log has.
pub(crate) fn views(
    plan: &Plan,
    report: &FolderReport,
    rebuild: &[String],
    remove: &[String],
) -> Vec<(String, Next)> {
    let is_logged = report.parts.iter().any(|part| part.run.as_ref().is_some_and(|run| run.logged));
    // A first run that was killed early leaves a folder in which no part has a run.
    let has_begun = report.parts.iter().any(|part| part.run.is_some());
    let known = |name: &str| report.views.iter().find(|view| view.record.name == name);
    let of_file = plan.views.iter().map(|view| {
        let (name, asked) = (view.config.name.value.clone(), view.definition.record());
        let past = plan.past.as_ref().and_then(|(past, _)| past.refuses(&asked));
        if let Some(why) = past {
            return (name, Next::Refuses(why));
        }
        let next = match known(&name) {
            None if !has_begun => Next::GoesOn("it is new".to_owned()),
            None if is_logged => Next::Computes("it is new".to_owned()),
            None => Next::Refuses("it is new, and the folder has no log".to_owned()),
            Some(known) => match known.record.difference(&asked) {
                None => Next::GoesOn(sealed(known)),
                Some((field, here, there)) => {
                    let change = format!("its {field} was '{here}' and is '{there}' now");
                    match (rebuild.contains(&name), is_logged) {
                        (asked, true) => match report.check_redefined(view.definition.view()) {
                            Err(error) => Next::Refuses(format!("{change}; {error}")),
                            Ok(()) if asked => Next::Computes(change),
                            Ok(()) => Next::Refuses(format!(
                                "{change}; dayfold run --rebuild {name} gives up what is sealed and computes it again"
                            )),
                        },
                        (_, false) => Next::Refuses(format!("{change}, and the folder has no log")),
                    }
                }
            },
        };
        (name, next)
    });
    let of_file: Vec<_> = of_file.collect();
    let gone = report.views.iter().filter(|view| {
        let name = &view.record.name;
        !of_file.iter().any(|(known, _)| known == name)
    });
    let is_whole = is_logged && report.log_from.is_none();
    let gone: Vec<_> = gone
        .map(|view| {
            let name = view.record.name.clone();
            let next = match (is_whole, remove.contains(&name)) {
                (true, _) => Next::Removes(format!(
                    "the file does not have it; {}, and its events stay in the log",
                    sealed(view)
                )),
                (false, true) => Next::Removes(format!("as --remove says; {}", sealed(view))),
                (false, false) => Next::Refuses(format!(
                    "the folder has it and the file does not, and the log has not all of its past: put it back, or \
                     have what is sealed of it removed with --remove {name}"
                )),
            };
            (name, next)
        })
        .collect();
    of_file.into_iter().chain(gone).collect()
}

fn sealed(view: &ViewReport) -> String {
    view.closed_through
        .map_or("nothing is sealed".to_owned(), |day| format!("sealed through {day}"))
}
