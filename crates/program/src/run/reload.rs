//! Compares the running file with the file as it is now, and decides whether a running program can follow.

use std::path::Path;

use super::control::Request;
use crate::config::{Config, Meaning};
use crate::next::{self, Next};
use crate::options::RunOptions;
use crate::plan::Plan;

/// The keys of `[engine]` and `[serve]` that a running program cannot change.
const FIXED: [(&str, &str); 6] = [
    ("engine.data", "another folder is another program"),
    ("engine.workers", "the number of workers is fixed while a program runs"),
    ("serve.http", "the address stays while a program runs"),
    ("serve.postgres", "the address stays while a program runs"),
    ("serve.tls_cert", "a port speaks HTTP or HTTPS while a program runs"),
    ("serve.tls_key", "a port speaks HTTP or HTTPS while a program runs"),
];

/// A file that was read again, and that the running program can follow.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    /// What has to happen.
    pub(crate) how: How,
    /// Whether anything in `[serve]` has changed.
    pub(crate) serves_otherwise: bool,
    /// The changes, as messages.
    pub(crate) said: Vec<String>,
}

/// How a program follows its file.
pub(crate) enum How {
    /// Only tokens, certificates and limits differ.
    Goes,
    /// Views come and go while the engine runs.
    Changes { added: Vec<String>, removed: Vec<String> },
    /// Another engine has to be started, for this reason.
    Again(String),
}

/// Reads the file again and compares it with the running one. Changes nothing.
///
/// # Errors
/// Why the program cannot follow, one reason on each line.
pub(crate) fn prepare(
    running: &Plan,
    options: &RunOptions,
    request: Option<&Request>,
) -> Result<Prepared, Vec<String>> {
    let path = running.config.document.path();
    if let Some(request) = request.filter(|request| !is_same(&request.file, path)) {
        let message = format!(
            "the program that has this data folder open runs {}, and not {}",
            path.display(),
            request.file.display()
        );
        return Err(vec![message]);
    }
    can_be_asked(running, options)?;
    let wrong = |error: &dyn std::fmt::Display| vec![error.to_string()];
    let config = Config::read(path).map_err(|error| wrong(&error))?;
    let plan = Plan::new(config.with_data(options.data.clone())).map_err(|error| wrong(&error))?;
    super::serve::check_files(&plan.config).map_err(|error| wrong(&error))?;
    let remove = request.map_or(&[][..], |request| &request.remove);
    plan.check_names(&[], remove).map_err(|error| wrong(&error))?;
    compare(running, plan, remove)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    whole(one) == whole(other)
}

/// Whether a program can follow its file at all.
fn can_be_asked(running: &Plan, options: &RunOptions) -> Result<(), Vec<String>> {
    let refuse = |why: &str| Err(vec![why.to_owned()]);
    if running.config.data.is_none() {
        return refuse(
            "without a data folder there is no log, from which a view could have its past: start the program again",
        );
    }
    if options.cluster.processes() > 1 {
        return refuse(
            "several processes start together: stop all of them, and start them with the new file",
        );
    }
    if options.once || options.pace.is_some() {
        return refuse(
            "a run that ends by itself does not read its file again: start the next one",
        );
    }
    Ok(())
}

/// What a program has to do to follow.
fn compare(running: &Plan, plan: Plan, remove: &[String]) -> Result<Prepared, Vec<String>> {
    let (before, after) =
        (Meaning::of(&running.config.document), Meaning::of(&plan.config.document));
    let restart = "stop the program and start it with the new file";
    let (mut refused, mut said, mut again) = (Vec::new(), Vec::new(), Vec::new());
    let (mut changed, mut serves_otherwise) = (Vec::new(), false);
    for name in before.differences(&after) {
        let (was, is) = (before.get(name), after.get(name));
        let is_other_file =
            matches!(name, "serve.tls_cert" | "serve.tls_key") && was.is_some() == is.is_some();
        if let Some((_, why)) = FIXED.iter().find(|(fixed, _)| *fixed == name && !is_other_file) {
            refused.push(format!("{name}: {why}: {restart}"));
            continue;
        }
        let (kind, _) = name.split_once('.').unwrap_or((name, ""));
        match (kind, was.is_some(), is.is_some()) {
            ("sources", true, true) => refused.push(format!(
                "{name}: what a source reads and how is fixed while a program runs: {restart}"
            )),
            ("sources", true, false) => {
                refused
                    .push(format!("{name}: a source that is read cannot be taken away: {restart}"));
            }
            // The folder determines what happens to views.
            ("views", had, has) => {
                if had && has {
                    again.push(name.to_owned());
                }
                changed.push(name.trim_start_matches("views."));
            }
            ("serve", ..) => {
                serves_otherwise = true;
                said.push(format!("{name}: changed"));
            }
            ("engine", ..) if name == "engine.max_refused" => said.push(format!("{name}: changed")),
            (_, had, has) => {
                let what = match (had, has) {
                    (false, _) => "added",
                    (_, false) => "removed",
                    _ => "changed",
                };
                said.push(format!("{name}: {what}"));
                again.push(name.to_owned());
            }
        }
    }
    if !changed.is_empty() || !again.is_empty() {
        views(running, &plan, (&changed, remove), &mut said, &mut refused);
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    if said.is_empty() {
        said.push("nothing has changed; tokens and certificates were read again".to_owned());
    }
    let added = others(running, &plan);
    let removed = others(&plan, running);
    again.extend(written(running, &plan));
    let how = match again.first() {
        Some(why) => How::Again(format!("a change of {why} takes effect at a start")),
        None if changed.is_empty() => How::Goes,
        None => How::Changes { added, removed },
    };
    Ok(Prepared { plan, how, serves_otherwise, said })
}

/// The names of views that only the other plan has.
pub(super) fn others(plan: &Plan, other: &Plan) -> Vec<String> {
    let names = |plan: &Plan| -> Vec<String> {
        plan.views.iter().map(|view| view.schema.name.clone()).collect()
    };
    let known = names(plan);
    names(other).into_iter().filter(|name| !known.contains(name)).collect()
}

/// Exports and sinks that write other views than before.
fn written(running: &Plan, plan: &Plan) -> Vec<String> {
    let of = |plan: &Plan| -> Vec<(String, Vec<String>)> {
        let exports = plan.config.exports.iter();
        let exports = exports.map(|one| (format!("exports.{}", one.name.value), one.views.clone()));
        let sinks = plan.config.sinks.iter();
        let sinks = sinks.map(|one| (format!("sinks.{}", one.name.value), one.views.clone()));
        exports.chain(sinks).collect()
    };
    let before = of(running);
    let is_other =
        |of: &(String, Vec<String>)| before.iter().any(|known| known.0 == of.0 && known.1 != of.1);
    of(plan).into_iter().filter(is_other).map(|(name, _)| format!("the views of {name}")).collect()
}

/// What happens to the views.
fn views(
    running: &Plan,
    plan: &Plan,
    (changed, remove): (&[&str], &[String]),
    said: &mut Vec<String>,
    refused: &mut Vec<String>,
) {
    let Some(folder) = &plan.config.data else { return };
    let report = match next::folder(folder) {
        Ok(Some(report)) => report,
        Ok(None) => return,
        Err(error) => return refused.push(error.to_string()),
    };
    let has = |plan: &Plan, name: &str| plan.views.iter().any(|view| view.schema.name == name);
    for (view, next) in next::views(plan, &report, &[], remove) {
        match next {
            Next::Refuses(_) if has(running, &view) && has(plan, &view) => refused.push(format!(
                "views.{view}: a view that runs cannot become another one: give the changed view another name, or stop \
                 the program and start it with --rebuild {view}"
            )),
            Next::Refuses(_) => refused.push(format!("views.{view}: {}", next.text())),
            Next::Computes(_) | Next::Removes(_) => said.push(format!("views.{view}: {}", next.text())),
            Next::GoesOn(_) if changed.contains(&view.as_str()) => {
                said.push(format!("views.{view}: changed; what is sealed of it stays"));
            }
            Next::GoesOn(_) => {}
        }
    }
}
