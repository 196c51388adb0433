//! Checks the data folder before the processes begin. Its parts must match each other and their logs, and none may
//! change before all processes agree.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cluster::{ClusterError, Met, SeenFolder};
use crate::engine::error::EngineError;
use crate::log::{self, LogError};
use crate::store::{Looked, RunState, Said, Storage, Store, StoreConfig, StoreError};

/// What to do if the log of a folder is not what its manifests prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostLog {
    Refuse,
    /// The folder is set aside, and everything is read again.
    SetAside,
}

/// Checks a folder, and refuses it if it does not match. Nothing is written, except that a folder may be set aside.
pub(crate) fn look(
    (storage, root): (Arc<dyn Storage>, PathBuf),
    config: StoreConfig,
    lost: LostLog,
) -> Result<Looked, EngineError> {
    let is_alone = config.processes == 1;
    let looked = Looked::at(storage, &root, config)?;
    if !is_alone {
        return Ok(looked);
    }
    match check(&looked, lost) {
        Err(error) if is_accepted(&error, lost) => {
            warn(looked.root().display(), &error.to_string());
            let (storage, root, config) = looked.set_aside()?;
            Ok(Looked::at(storage, root, config)?)
        }
        checked => checked.map(|()| looked),
    }
}

/// Checks that the program can continue from a folder, once all parts are known.
fn check(looked: &Looked, lost: LostLog) -> Result<(), EngineError> {
    check_complete(looked)?;
    looked.check_prepared()?;
    Ok(check_log(looked, lost)?)
}

/// Without a log, a program cannot continue after an unfinished run.
fn check_complete(looked: &Looked) -> Result<(), EngineError> {
    if looked.state() == RunState::Incomplete && !looked.is_logged() {
        return Err(EngineError::Incomplete { folder: looked.root().to_owned() });
    }
    Ok(())
}

/// Checks that the logs of this process's parts hold what the manifests of all parts prove. If the folder may be set
/// aside, the whole log is read, so that damage is found now and not when the folder is in use.
fn check_log(looked: &Looked, lost: LostLog) -> Result<(), LogError> {
    let storage = looked.storage();
    for (part, run, proven) in looked.proven() {
        log::check(storage, &part, run, &proven)?;
        if lost == LostLog::SetAside {
            log::verify(storage, &log::scan(storage, &[(0, part)], u64::MAX)?)?;
        }
    }
    Ok(())
}

/// Whether the folder is to be set aside because of this error. A folder that cannot be read may be intact.
fn is_accepted(error: &EngineError, lost: LostLog) -> bool {
    let is_lost = match error {
        EngineError::Log(error) => !matches!(error, LogError::Io { .. }),
        EngineError::Store(error) => matches!(error, StoreError::PartBehind { .. }),
        _ => false,
    };
    is_lost && lost == LostLog::SetAside
}

fn warn(folder: impl std::fmt::Display, reason: &str) {
    tracing::warn!(%folder, reason, "the log is lost, as accepted: the folder is set aside, and all is read again");
}

/// Opens the folder in all processes. They are connected, so no process of an earlier cluster is still working, and
/// what is found now stays so.
///
/// Each process is responsible for its own part and tells the others what is in it, because their folders may be on
/// other machines. No process writes anything before all know all parts and have found that they match.
pub(crate) fn open(
    looked: Looked,
    met: &mut Met,
    threads: usize,
    lost: LostLog,
) -> Result<Arc<Store>, EngineError> {
    if met.is_alone() {
        return Ok(Arc::new(looked.open()?));
    }
    let looked = match fit(looked, met, threads, lost)? {
        (looked, None) => looked,
        (looked, Some(reason)) => {
            warn(looked.root().display(), &reason);
            let (storage, root, config) = looked.set_aside()?;
            // A part that another process has not set aside yet is not a part of the new folder.
            met.exchange(&())?;
            fit(Looked::at(storage, root, config)?, met, threads, LostLog::Refuse)?.0
        }
    };
    let store = looked.open()?;
    // Each has rolled forward what was prepared: the parts are now as they will be when the run begins.
    let heard = said(met.exchange(&store.says(threads)?)?);
    agree(met, store.hear(heard).map(|()| None).map_err(EngineError::from))?;
    Ok(Arc::new(store))
}

/// Checks again, exchanges the state of all parts, and agrees that they match. If a reason is returned, the folder is
/// to be set aside.
fn fit(
    mut looked: Looked,
    met: &mut Met,
    threads: usize,
    lost: LostLog,
) -> Result<(Looked, Option<String>), EngineError> {
    looked.refresh()?;
    let heard = said(met.exchange(&looked.says(threads))?);
    let fits = looked.hear(heard).map_err(EngineError::from);
    let accepted = match fits.and_then(|()| check(&looked, lost)) {
        Err(error) if is_accepted(&error, lost) => Ok(Some(error.to_string())),
        fits => fits.map(|()| None),
    };
    let reason = agree(met, accepted)?;
    Ok((looked, reason))
}

fn said(heard: Vec<(usize, Said)>) -> Vec<Said> {
    heard.into_iter().map(|(_, said)| said).collect()
}

/// The result of a process's check.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Verdict {
    Fits,
    /// The log is lost, which is accepted; with the reason.
    Lost(String),
    Refused(String),
}

/// If one process refuses the folder, all do. If one sets it aside, all do, for the returned reason.
fn agree(
    met: &mut Met,
    found: Result<Option<String>, EngineError>,
) -> Result<Option<String>, EngineError> {
    let verdict = match &found {
        Ok(None) => Verdict::Fits,
        Ok(Some(reason)) => Verdict::Lost(reason.clone()),
        Err(error) => Verdict::Refused(error.to_string()),
    };
    let verdicts = met.exchange(&verdict)?;
    let mut lost = found?;
    for (peer, verdict) in verdicts {
        match verdict {
            Verdict::Fits => {}
            Verdict::Lost(reason) => drop(lost.get_or_insert(reason)),
            Verdict::Refused(reason) => return Err(ClusterError::Refused { peer, reason }.into()),
        }
    }
    Ok(lost)
}

/// The description of a folder that is sent to the others.
pub(crate) fn seen(looked: &Looked) -> SeenFolder {
    SeenFolder { path: looked.root().display().to_string(), identity: looked.identity() }
}
