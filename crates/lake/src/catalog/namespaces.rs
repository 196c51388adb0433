//! The namespaces of a catalogue, and how requests look into their stores.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::answer::Refusal;
use crate::{Lake, LakeError};

/// Requests that look into stores at once. Others wait.
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

    /// Waits for a store, if not too many do already, and for so long.
    pub(super) async fn within<T>(
        &self,
        look: impl Future<Output = Result<T, LakeError>>,
    ) -> Result<T, Refusal> {
        let waited = tokio::time::timeout(PATIENCE, async {
            // It is never closed.
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
