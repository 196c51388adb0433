//! Live answers as text: each is written once, however many listeners there are.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use axum::body::Bytes;
use tokio::sync::OnceCell;

/// The latest text of one question, shared by all who ask it.
#[derive(Default)]
pub(crate) struct Latest(Mutex<Option<Arc<Written>>>);

/// An answer as text.
struct Written {
    version: u64,
    /// `None` if it could not be written.
    text: OnceCell<Option<Bytes>>,
}

impl Latest {
    /// The text of the answer of this version, or of a later one if there is one. The first caller makes it with
    /// `write`.
    pub(crate) async fn text(
        &self,
        version: u64,
        write: impl Future<Output = Option<Bytes>>,
    ) -> Option<Bytes> {
        let written = {
            let mut latest = lock(&self.0);
            let known = latest.take().filter(|known| known.version >= version);
            let new = || Arc::new(Written { version, text: OnceCell::new() });
            Arc::clone(latest.insert(known.unwrap_or_else(new)))
        };
        // A later one may not be written yet, and then a caller with an earlier one would write that instead.
        match written.version == version {
            true => written.text.get_or_init(|| write).await.clone(),
            false => match written.text.get() {
                Some(text) => text.clone(),
                None => write.await,
            },
        }
    }
}

/// The latest texts of all questions with listeners.
pub(crate) struct Texts<Q>(Mutex<HashMap<Q, Weak<Latest>>>);

impl<Q> Default for Texts<Q> {
    fn default() -> Self {
        Texts(Mutex::default())
    }
}

impl<Q: Eq + Hash> Texts<Q> {
    /// The text of a question, held by its listeners.
    pub(crate) fn of(&self, question: Q) -> Arc<Latest> {
        let mut texts = lock(&self.0);
        // There are no more than there are subscribers.
        texts.retain(|_, latest| latest.strong_count() > 0);
        if let Some(latest) = texts.get(&question).and_then(Weak::upgrade) {
            return latest;
        }
        let latest = Arc::default();
        texts.insert(question, Arc::downgrade(&latest));
        latest
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn an_answer_is_written_once_for_all_who_ask_the_same() {
        let (texts, writes) = (Texts::default(), Cell::new(0));
        let listeners = [texts.of("total"), texts.of("total"), texts.of("top")];
        let text = |listener: usize, version: u64| {
            let write = async {
                writes.set(writes.get() + 1);
                Some(Bytes::from(version.to_string()))
            };
            let text = listeners[listener].text(version, write).now_or_never();
            text.flatten().map(|text| String::from_utf8(text.to_vec()).unwrap())
        };
        assert_eq!([text(0, 1), text(1, 1)], [Some("1".to_owned()), Some("1".to_owned())]);
        assert_eq!(writes.get(), 1);
        assert_eq!([text(2, 1), text(2, 2)].map(Option::unwrap), ["1", "2"]);
        assert_eq!(writes.get(), 3, "another question has other answers");
        assert_eq!(text(0, 5).unwrap(), "5");
        assert_eq!(text(1, 4).unwrap(), "5", "whoever is slow gets the latest");
        assert_eq!(writes.get(), 4);
    }

    #[test]
    fn what_nobody_listens_to_is_forgotten() {
        let texts = Texts::default();
        for question in 0..100 {
            drop(texts.of(question));
        }
        assert_eq!(lock(&texts.0).len(), 1);
    }
}
