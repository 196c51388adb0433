//! Before the processes begin: the data folder, which all of them have to find, and none may change before
//! they agree.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::running::EngineError;
use crate::cluster::{ClusterError, Met, SHARED_FOLDER, SeenFolder};
use crate::store::{Looked, RunState, Storage, Store, StoreConfig};

/// How often a process looks for a folder that the first one has just made.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks at a folder, and refuses it if it does not fit. Nothing is written.
pub(super) fn look(
    (storage, root): (Arc<dyn Storage>, PathBuf),
    config: StoreConfig,
) -> Result<Looked, EngineError> {
    let is_logged = config.logged;
    let looked = Looked::at(storage, &root, config)?;
    if looked.state() == RunState::Incomplete && !is_logged {
        return Err(EngineError::Incomplete { folder: root });
    }
    Ok(looked)
}

/// Opens the folder in all processes. They have met, so none of an earlier group is still at work: what is
/// found now stays so.
///
/// A new folder has nothing by which it could be told from another new one. So the first process makes it,
/// and the others write nothing before they have found what it made.
pub(super) fn open(mut looked: Looked, met: &mut Met) -> Result<Arc<Store>, EngineError> {
    if met.is_alone() {
        return Ok(Arc::new(looked.open()?));
    }
    looked.refresh()?;
    if met.is_first() {
        let folder = seen(&looked);
        let store = looked.open()?;
        met.exchange(&Some(SeenFolder { identity: store.identity(), ..folder }))?;
        return Ok(Arc::new(store));
    }
    let heard = met.exchange::<Option<SeenFolder>>(&None)?;
    let first = heard.into_iter().find(|(process, _)| *process == 0).and_then(|(_, first)| first);
    let first = first.expect("all have a folder if one has: they said so");
    let began = Instant::now();
    loop {
        looked.refresh()?;
        let here = seen(&looked);
        if here.identity == first.identity {
            return Ok(Arc::new(looked.open()?));
        }
        // What another machine has made may take a while to be seen.
        if here.identity.is_some() || began.elapsed() > met.patience() {
            let what = SHARED_FOLDER.to_owned();
            let (theirs, ours) = (first.to_string(), here.to_string());
            return Err(ClusterError::Mismatch { peer: 0, what, theirs, ours }.into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A folder as it is told to the others.
pub(super) fn seen(looked: &Looked) -> SeenFolder {
    SeenFolder { path: looked.root().display().to_string(), identity: looked.identity() }
}
