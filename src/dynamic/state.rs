//! States whose cells are known only at run time.

use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};

use super::cell::{MeasureKind, MeasureState};
use super::plan::Plan;
use super::row::RowBuilder;
use super::shown::Shown;
use crate::aggregate::{Aggregate, Count};
use crate::schema::id::DYNAMIC;
use crate::schema::{AggregateShape, Presented};
use crate::time::EventTime;

/// What a dynamic view keeps for a day and key: the number of events, and the cells that its
/// [`ViewDef`](super::ViewDef) declares. Only a view makes states, so all states of a view have the same kinds of cells
/// at the same places, and different kinds never meet.
///
/// ```
/// use dayfold::aggregate::{Decimal, Max, Maybe};
/// use dayfold::dynamic::{MeasureState, State, ViewDef};
/// use dayfold::schema::Value;
///
/// /// The measure `warmest`, if there was a reading.
/// fn warmest(definition: &ViewDef, state: &State) -> Option<Decimal> {
///     match &state.cells()[definition.cell("warmest")?] {
///         MeasureState::Max(Maybe(Some(Max(Value::Decimal(celsius))))) => Some(*celsius),
///         _ => None,
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct State {
    rows: Count,
    cells: Box<[MeasureState]>,
}

impl State {
    /// The state of one event.
    pub(super) fn of(plan: &Plan, time: EventTime, row: &RowBuilder<'_>) -> State {
        let cells = plan.cells.iter().map(|(kind, _)| kind.empty()).collect();
        let mut state = State { rows: Count(0), cells };
        state.add(plan, time, row);
        state
    }

    /// Adds an event in place.
    pub(super) fn add(&mut self, plan: &Plan, time: EventTime, row: &RowBuilder<'_>) {
        self.rows.plus_equals(&Count::one());
        for (cell, &(kind, column)) in self.cells.iter_mut().zip(&plan.cells) {
            cell.add(kind, time, row.get(column));
        }
    }

    /// The number of its events.
    pub fn rows(&self) -> i64 {
        self.rows.0
    }

    /// The cells, numbered as in [`ViewDef::cell`](super::ViewDef::cell).
    pub fn cells(&self) -> &[MeasureState] {
        &self.cells
    }

    /// Whether the cells that were read have these kinds.
    pub(crate) fn fits(&self, kinds: &[MeasureKind]) -> bool {
        let mut cells = self.cells.iter().zip(kinds);
        self.cells.len() == kinds.len() && cells.all(|(cell, kind)| kind.fits(cell))
    }
}

impl IsZero for State {
    fn is_zero(&self) -> bool {
        self.rows.0 == 0
    }
}

impl Semigroup for State {
    fn plus_equals(&mut self, rhs: &State) {
        assert_eq!(self.cells.len(), rhs.cells.len(), "the states of a view have the same cells");
        self.rows.plus_equals(&rhs.rows);
        self.cells.iter_mut().zip(&rhs.cells).for_each(|(cell, other)| cell.plus_equals(other));
    }
}

impl Aggregate for State {
    /// The id for states with any cells. A dynamic view has an id with its cells: `dynamic(sum,max(text))`.
    fn id() -> String {
        DYNAMIC.to_owned()
    }

    /// None, because the view defines the measures.
    fn shape() -> AggregateShape {
        AggregateShape::none()
    }

    /// Puts the measures of the view, as its schema defines them.
    fn present(state: Option<&State>, out: &mut Presented<'_>) {
        let state = state.map(|state| (state.rows(), state.cells()));
        for shown in Shown::read(out.parameters()) {
            out.put(|| shown.of(state));
        }
    }

    fn heap_bytes(&self) -> usize {
        size_of_val::<[MeasureState]>(&self.cells)
            + self.cells.iter().map(MeasureState::heap_bytes).sum::<usize>()
    }
}
