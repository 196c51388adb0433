//! The namespaces of a catalogue, and limits for reading their stores.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::answer::Refusal;
use crate::{Lake, LakeError};

/// The number of requests that read stores at the same time. Others wait.
const LOOKS: usize = 32;
/// How long a request waits for a store.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lakes by the names of their namespaces.
#[derive(Debug)]
pub(super) struct Namespaces {
    pub(super) lakes: BTreeMap<String, Lake>,
    looks: Semaphore,
}

impl Default for Namespaces {
    fn default() -> Namespaces {
        Namespaces { lakes: BTreeMap::new(), looks: Semaphore::new(LOOKS) }
    }
}

impl Namespaces {
    pub(super) fn lake(&self, name: &str) -> Result<&Lake, Refusal> {
        self.lakes.get(name).ok_or_else(|| Refusal::no_namespace(name))
    }

    /// Waits for a store, for a limited time and with a limited number of others.
    pub(super) async fn within<T>(
        &self,
        look: impl Future<Output = Result<T, LakeError>>,
    ) -> Result<T, Refusal> {
        let waited = tokio::time::timeout(PATIENCE, async {
            // The semaphore is never closed.
            let _look = self.looks.acquire().await;
            look.await
        });
        match waited.await {
            Ok(found) => found.map_err(|error| Refusal::failed(&error)),
            Err(_) => Err(Refusal::unavailable(format!(
                "no answer of the store within {PATIENCE:?}: try again"
            ))),
        }
    }
}
