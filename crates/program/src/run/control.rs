//! Requests to a running program to read its file again. They are files in its data folder, so only users who may write
//! there can make them.
//!
//! `dayfold reload` leaves a request. The program removes the request, handles it, and leaves the answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::replace::replace;

const REQUEST: &str = "reload.request";
const ANSWER: &str = "reload.answer";

/// How long the program may take to see a request: it checks every 50 ms, but not while it starts.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// How long to wait for an answer. The past of an added view is computed first.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3_600);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    id: u128,
    /// The file.
    pub(crate) file: PathBuf,
    /// Views that may be removed whatever the log has.
    pub(crate) remove: Vec<String>,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    id: u128,
    /// Whether the program now runs the file as it is.
    pub(crate) is_done: bool,
    /// What has changed, or why nothing has.
    pub(crate) said: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// No program takes the request.
    #[error("no program has taken the request within {} s: is one running with this data folder?", SEEN_WITHIN.as_secs())]
    Nobody,
    /// The request was taken, and there is no result.
    #[error("the program has taken the request and has not answered within {} s: look at what it says", ANSWERED_WITHIN.as_secs())]
    NoAnswer,
    /// The folder cannot be written or read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The error.
        #[source]
        error: io::Error,
    },
}

/// Sends a request to the program that has a folder open.
///
/// # Errors
/// [`AskError`]. A request that was not taken is removed again.
pub(crate) fn ask(folder: &Path, file: PathBuf, remove: &[String]) -> Result<Answer, AskError> {
    let failed = |error| AskError::Io { path: folder.to_owned(), error };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let id = now.unwrap_or_default().as_nanos() << 32 | u128::from(std::process::id());
    let request = Request { id, file, remove: remove.to_vec() };
    write(folder, REQUEST, &request).map_err(failed)?;
    let is_mine = || read::<Request>(folder, REQUEST).is_some_and(|found| found.id == id);
    let asked = Instant::now();
    while is_mine() {
        if asked.elapsed() > SEEN_WITHIN {
            let _ = std::fs::remove_file(folder.join(REQUEST));
            return Err(AskError::Nobody);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    while asked.elapsed() < ANSWERED_WITHIN {
        if let Some(answer) = read::<Answer>(folder, ANSWER).filter(|answer| answer.id == id) {
            let _ = std::fs::remove_file(folder.join(ANSWER));
            return Ok(answer);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err(AskError::NoAnswer)
}

/// Takes a request, if there is one.
pub(crate) fn take(folder: &Path) -> Option<Request> {
    let path = folder.join(REQUEST);
    if !path.exists() {
        return None;
    }
    let request = read(folder, REQUEST);
    // It is handled only once, even if the program ends meanwhile.
    std::fs::remove_file(&path).ok()?;
    request
}

/// Answers a request, whether anybody reads the answer or not.
pub(crate) fn answer(folder: &Path, request: &Request, is_done: bool, said: Vec<String>) {
    let answer = Answer { id: request.id, is_done, said };
    if let Err(error) = write(folder, ANSWER, &answer) {
        tracing::warn!(folder = %folder.display(), %error, "cannot answer who asked for the file to be read again");
    }
}

fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Option<T> {
    serde_json::from_slice(&std::fs::read(folder.join(name)).ok()?).ok()
}

/// Writes a file atomically.
fn write(folder: &Path, name: &str, what: &impl Serialize) -> io::Result<()> {
    replace(&folder.join(name), &serde_json::to_vec(what)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_once_and_answered_to_whoever_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(take(&path), None);
        let asking = {
            let path = path.clone();
            std::thread::spawn(move || ask(&path, PathBuf::from("f.toml"), &["v".to_owned()]))
        };
        let request = loop {
            if let Some(request) = take(&path) {
                break request;
            }
            std::thread::sleep(LOOK_EVERY);
        };
        assert_eq!(
            (request.file.as_path(), &request.remove[..]),
            (Path::new("f.toml"), &["v".to_owned()][..])
        );
        assert_eq!(take(&path), None);
        // An answer to another request is not taken for this one's.
        answer(&path, &Request { id: request.id + 1, ..request.clone() }, false, Vec::new());
        std::thread::sleep(LOOK_EVERY * 2);
        answer(&path, &request, true, vec!["done".to_owned()]);
        let found = asking.join().unwrap().unwrap();
        assert!(found.is_done && found.said == ["done"], "{found:?}");
    }
}
