//! Mistakes in the definition of an engine, which are reported before anything is opened.

use super::Engine;
use super::recover::joining::LostLog;

impl<E: Send + Sync + 'static> Engine<E> {
    /// The first mistake in the definition, if any.
    pub(super) fn find_mistake(&mut self) -> Option<String> {
        if self.log.is_some() && self.data.is_none() {
            self.mistaken("a log needs a data folder to be kept in: give the engine Engine::data");
        }
        if self.lost == LostLog::SetAside && self.live.is_some() {
            self.mistaken(
                "a lost log cannot be accepted where events are pushed, for they cannot be read again: restore the \
                 data folder from a copy, and start without Engine::accept_lost_log (--accept-lost-log)",
            );
        }
        let mut names: Vec<_> =
            self.views.iter().map(|view| view.view().name().to_owned()).collect();
        names.sort();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            self.mistaken(format!("two views have the name '{}': give each its own", twice[0]));
        }
        if names.is_empty() {
            self.mistaken("an engine needs a view: call Engine::view");
        }
        if let Some(mistake) = self.find_mistaken_partitions() {
            self.mistaken(mistake);
        }
        let reads = self.feeding.is_some() || !self.partitioned.is_empty();
        if !reads && self.live.is_none() && self.data.is_none() {
            self.mistaken(
                "an engine needs a source, or a data folder: call Engine::file, Engine::csv, Engine::source, \
                 Engine::partitioned, Engine::live or Engine::data",
            );
        }
        self.mistake.take()
    }

    /// The first mistake in the sources with partitions, if any.
    fn find_mistaken_partitions(&self) -> Option<String> {
        let mut names: Vec<&str> = self.partitioned.iter().map(|source| source.name()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Some(format!("two sources have the name '{}': give each its own", twice[0]));
        }
        if names.is_empty() {
            return None;
        }
        // The log names them 'source/partition', and the name of a partition may be a path.
        if let Some(name) = names.iter().find(|name| name.contains('/')) {
            return Some(format!(
                "the name of a source has no slash, and '{name}' has: give it another"
            ));
        }
        (self.data.is_some() && self.log.is_none()).then(|| {
            "the positions of partitions are kept in the log: give the engine Engine::log as well as Engine::data"
                .to_owned()
        })
    }
}
