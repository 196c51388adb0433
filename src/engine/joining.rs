//! Before the processes begin: the data folder, whose parts have to fit each other, and of which none may change
//! before all agree.

use std::path::PathBuf;
use std::sync::Arc;

use super::running::EngineError;
use crate::cluster::{ClusterError, Met, SeenFolder};
use crate::store::{Looked, RunState, Said, Storage, Store, StoreConfig};

/// Looks at a folder, and refuses it if it does not fit. Nothing is written.
pub(super) fn look(
    (storage, root): (Arc<dyn Storage>, PathBuf),
    config: StoreConfig,
) -> Result<Looked, EngineError> {
    let is_alone = config.processes == 1;
    let looked = Looked::at(storage, &root, config)?;
    if is_alone {
        check_complete(&looked)?;
    }
    Ok(looked)
}

/// Without a log, what an unfinished run has left cannot be gone on with.
fn check_complete(looked: &Looked) -> Result<(), EngineError> {
    if looked.state() == RunState::Incomplete && !looked.is_logged() {
        return Err(EngineError::Incomplete { folder: looked.root().to_owned() });
    }
    Ok(())
}

/// Opens the folder in all processes. They have met, so none of an earlier group is still at work: what is
/// found now stays so.
///
/// Each sees to its own part and tells the others what is in it: they may have folders of their own, on other
/// machines. None writes anything before all have heard of all parts, and found that they fit.
pub(super) fn open(
    mut looked: Looked,
    met: &mut Met,
    threads: usize,
) -> Result<Arc<Store>, EngineError> {
    if met.is_alone() {
        return Ok(Arc::new(looked.open()?));
    }
    looked.refresh()?;
    let heard = said(met.exchange(&looked.says(threads))?);
    let fits = looked.hear(heard).map_err(EngineError::from);
    agree(met, fits.and_then(|()| check_complete(&looked)))?;
    let store = looked.open()?;
    // Each has rolled forward what was prepared: now the parts are as they will be when the run begins.
    let heard = said(met.exchange(&store.says(threads)?)?);
    agree(met, store.hear(heard).map_err(EngineError::from))?;
    Ok(Arc::new(store))
}

fn said(heard: Vec<(usize, Said)>) -> Vec<Said> {
    heard.into_iter().map(|(_, said)| said).collect()
}

/// If one process refuses the folder, all do.
fn agree(met: &mut Met, fits: Result<(), EngineError>) -> Result<(), EngineError> {
    let verdict = fits.as_ref().err().map(ToString::to_string);
    let verdicts = met.exchange(&verdict)?;
    fits?;
    match verdicts.into_iter().find_map(|(peer, refusal)| Some((peer, refusal?))) {
        Some((peer, reason)) => Err(ClusterError::Refused { peer, reason }.into()),
        None => Ok(()),
    }
}

/// A folder as it is told to the others.
pub(super) fn seen(looked: &Looked) -> SeenFolder {
    SeenFolder { path: looked.root().display().to_string(), identity: looked.identity() }
}
