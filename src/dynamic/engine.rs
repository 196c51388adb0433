//! Dynamic views of an engine.

use super::filling::{Fill, Filling};
use super::{Event, Key, RowBuilder, State, ViewDef};
use crate::cluster::Cluster;
use crate::engine::{EngineError, Measures, Running, ViewChange, ViewHandle};
use crate::time::EventTime;

/// An engine for events without their own Rust type.
pub type Engine = crate::Engine<Event>;

impl<E: Send + Sync + 'static> crate::Engine<E> {
    /// Adds a view whose columns are known only at run time. For each event, `fill` sets the values of the definition's
    /// [`Columns`](super::Columns) and returns the event time, or `None` if the view does not want the event.
    ///
    /// An event of an existing group allocates nothing, unless one of its values does. An event with a
    /// [wrong](RowBuilder) row is refused and counted.
    pub fn dynamic_view(
        &mut self,
        definition: ViewDef,
        fill: impl for<'e> Fn(&'e E, &mut RowBuilder<'e>) -> Option<EventTime> + Send + Sync + 'static,
    ) -> ViewHandle<Key, State> {
        // Boxed, so that all dynamic views of an engine are compiled once.
        self.filled_view(definition, Box::new(fill))
    }

    fn filled_view(&mut self, definition: ViewDef, fill: Box<Fill<E>>) -> ViewHandle<Key, State> {
        let plan = definition.plan();
        self.add_view(definition.described(), Measures::none(), Filling::new(plan, fill))
    }
}

impl<E: Send + Sync + 'static> ViewChange<E> {
    /// Adds a view whose columns are known only at run time, as [`Engine::dynamic_view`](crate::Engine::dynamic_view)
    /// does.
    pub fn dynamic_view(
        &mut self,
        definition: ViewDef,
        fill: impl for<'e> Fn(&'e E, &mut RowBuilder<'e>) -> Option<EventTime> + Send + Sync + 'static,
    ) -> ViewHandle<Key, State> {
        self.filled_view(definition, Box::new(fill))
    }

    fn filled_view(&mut self, definition: ViewDef, fill: Box<Fill<E>>) -> ViewHandle<Key, State> {
        let plan = definition.plan();
        self.add_view(definition.described(), Measures::none(), Filling::new(plan, fill))
    }
}

/// Starts an engine, as [`Engine::start`](crate::Engine::start) does. It is compiled in this crate: a program whose
/// views are all dynamic builds faster with it.
///
/// # Errors
/// As [`Engine::start`](crate::Engine::start).
pub fn start(engine: Engine, cluster: Cluster) -> Result<Running, EngineError> {
    engine.start(cluster)
}
