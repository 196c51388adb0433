//! Removes days from the log that are older than it is kept, once every view has sealed them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::replay::Plan;
use crate::cluster::Met;
use crate::engine::error::EngineError;
use crate::engine::upkeep::log_release::KeptLog;
use crate::log::{self, LogError, LogState};
use crate::store::Store;
use crate::time::{DAY_MS, Day, milliseconds};
use crate::view::View;

/// Removes from the logs of the parts of this process what is older than `keep` and needed by no view. The first kept
/// day is durable before anything is removed, and the same in all processes.
pub(crate) fn shorten(
    store: &Store,
    views: &[View],
    keep: &KeptLog,
    met: &mut Met,
) -> Result<(), EngineError> {
    let (storage, parts) = (store.storage(), store.held_parts());
    let state = log::scan(&**storage, &parts, store.run())?;
    let newest = state.files.iter().map(|file| file.last_day).max();
    let heard = met.exchange(&newest)?.into_iter().filter_map(|(_, newest)| newest);
    let Some(newest) = heard.chain(newest).max() else { return Ok(()) };
    let Some(mut from) = first_kept(store, views, newest, keep.span) else { return Ok(()) };
    if let Some(released) = keep.first_unreleased() {
        // What was removed before stays removed.
        from = from.min(released).max(store.log_from().unwrap_or(Day::MIN));
    }
    if from == Day::MIN {
        return Ok(());
    }
    store.keep_log_from(from)?;
    Ok(forget(store, views, from, false)?)
}

/// Removes what earlier runs have logged of days before this one, as far as no view needs it. The caller has recorded
/// before that these days are removed.
pub(crate) fn forget(
    store: &Store,
    views: &[View],
    from: Day,
    is_running: bool,
) -> Result<(), LogError> {
    let (storage, parts) = (store.storage(), store.held_parts());
    let state = log::scan(&**storage, &parts, store.run())?;
    let unwanted = unwanted(store, views, state, from);
    if unwanted.is_empty() {
        return Ok(());
    }
    for (_, part) in &parts {
        let removed = log::shorten(&**storage, part, store.run(), &unwanted, is_running)?;
        tracing::info!(part = %part.display(), %from, %removed, "the log is shortened");
    }
    Ok(())
}

/// The first UTC day to keep, counted back from the end of the last period that every view has sealed.
fn first_kept(store: &Store, views: &[View], newest: Day, keep: Duration) -> Option<Day> {
    let end = |view: &View| {
        let through = store.sealed_through(view.name())?.last_closed();
        Some(view.calendar().end_of(through))
    };
    // A view that has sealed nothing may need the whole log.
    let sealed = views.iter().map(end).min().flatten()?;
    // If days without events have closed up to the end of time, the last event counts instead.
    let newest = i64::from(newest.next().0).saturating_mul(DAY_MS);
    let from = sealed.min(newest).saturating_sub(milliseconds(keep)).div_euclid(DAY_MS);
    Some(Day(i32::try_from(from).unwrap_or(i32::MIN)))
}

/// The files of days before `from` whose events all views have sealed.
fn unwanted(store: &Store, views: &[View], state: LogState, from: Day) -> BTreeSet<PathBuf> {
    let old = state.files.iter().filter(|file| file.last_day < from);
    let old: Vec<PathBuf> = old.map(|file| file.path.clone()).collect();
    let views = views.iter().map(|view| (view.clone(), store.sealed_through(view.name())));
    let plan = Plan::new(Arc::clone(store.storage()), state, views.collect());
    let needed: BTreeSet<&Path> = plan.paths().collect();
    old.into_iter().filter(|path| !needed.contains(&**path)).collect()
}
