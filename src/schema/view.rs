//! The schema of a view, as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::column::join;
use super::id::TypeId;
use super::key::{columns_of, named_columns};
use super::names::{Flat, Unique};
use super::state::StateShape;
use super::{AggregateShape, Column, Kind, Measure, Presented, RowTypes, SchemaError, Value};
use crate::aggregate::Aggregate;
use crate::key::Key;
use crate::time::Grain;
use crate::view::View;

/// The columns of a view as a table. The period comes before the columns of the key and has the name of its grain,
/// usually `day`; `sealed` comes after the measures.
///
/// ```
/// use dayfold::aggregate::{Count, Maybe, Mean};
/// use dayfold::schema::ViewSchema;
/// use dayfold::view::View;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// type Key = (String, u32);
/// type Stats = (Count, Maybe<Mean>);
/// let view = View::new("readings")?.key_columns(["site", "sensor"])?;
/// let view = view.measure_names([["readings"], ["celsius"]])?;
/// let schema = ViewSchema::of::<Key, Stats>(&view)?;
/// assert_eq!(
///     schema.to_string(),
///     "site text, sensor integer; readings integer +, celsius decimal?, celsius_sum decimal? +, \
///      celsius_count integer? +"
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ViewSchema {
    /// The name of the view.
    pub name: String,
    /// The IANA zone of its periods.
    pub zone: String,
    /// The length of its periods.
    pub grain: Grain,
    /// The columns of the key.
    pub key: Vec<Column>,
    /// The measures.
    pub measures: Vec<Measure>,
    /// How many elements are shown of each vector among the aggregates, in order; for a dynamic view, how its measures
    /// are made from the cells of its states.
    #[doc(hidden)]
    pub lists: Vec<u32>,
}

/// The column of periods of a grain.
pub(crate) fn period_of(grain: Grain) -> Column {
    let kind = if grain == Grain::Hour { Kind::Timestamp } else { Kind::Date };
    Column::new(grain.name(), kind)
}

impl ViewSchema {
    /// The schema of a view with keys and aggregates of these types, and with the view's names of columns.
    ///
    /// # Errors
    /// [`SchemaError`] if the view has names and their number differs from that of the types' columns, or if two are
    /// the same.
    pub fn of<K: Key, A: Aggregate>(view: &View) -> Result<ViewSchema, SchemaError> {
        let types = view.row_types::<K, A>();
        for id in [&types.key, &types.aggregate] {
            if TypeId::parse(id).is_none() {
                return Err(SchemaError::Id { id: id.clone() });
            }
        }
        let mut names = Unique::new();
        let shown = Flat::of(&types.shape, view.names_of_measures())?;
        let Flat { mut measures, given, lists } = shown;
        let key = key_columns(view, types, &mut names)?;
        for (measure, is_given) in measures.iter_mut().zip(given) {
            let name = names.take(&measure.name);
            if is_given && name != measure.name {
                return Err(SchemaError::Twice { name: measure.name.clone() });
            }
            measure.name = name;
        }
        let (name, zone) = (view.name().to_owned(), view.calendar().name().to_owned());
        let grain = view.calendar().grain();
        // Names of other grains are allowed: a view of days may have a column `hour`.
        let taken = key.iter().map(|c| &c.name).chain(measures.iter().map(|m| &m.name));
        if let Some(name) = taken.into_iter().find(|name| *name == grain.name()) {
            return Err(SchemaError::Twice { name: name.clone() });
        }
        Ok(ViewSchema { name, zone, grain, key, measures, lists })
    }

    /// The schema as far as the ids of a view's types tell it, if nothing else is known.
    pub(crate) fn unnamed(
        name: &str,
        zone: &str,
        grain: Grain,
        (key, aggregate): (&str, &str),
    ) -> ViewSchema {
        let mut names = Unique::new();
        let key = taken(columns_of(key), &mut names);
        let shape = TypeId::parse(aggregate).and_then(|id| StateShape::of(&id));
        let shape = shape.map_or_else(AggregateShape::none, |shape| shape.shape());
        let Flat { mut measures, lists, .. } = Flat::unnamed(&shape);
        measures.iter_mut().for_each(|measure| measure.name = names.take(&measure.name));
        let (name, zone) = (name.to_owned(), zone.to_owned());
        ViewSchema { name, zone, grain, key, measures, lists }
    }

    /// The column of periods: a date, or for hours a timestamp.
    pub fn period(&self) -> Column {
        period_of(self.grain)
    }

    /// The values of the measures of a state.
    ///
    /// # Errors
    /// [`SchemaError::List`] if a vector has more elements than the view has names.
    pub fn present<A: Aggregate>(&self, state: &A) -> Result<Vec<Value>, SchemaError> {
        let mut out = Presented::new(&self.lists, None);
        A::present(Some(state), &mut out);
        self.finish(out)
    }

    /// The values of the wanted measures, and nulls for the others; without a state, the values of no state.
    pub(crate) fn present_wanted<A: Aggregate>(
        &self,
        state: Option<&A>,
        wanted: &[bool],
    ) -> Result<Vec<Value>, SchemaError> {
        let mut out = Presented::new(&self.lists, Some(wanted));
        A::present(state, &mut out);
        self.finish(out)
    }

    pub(super) fn finish(&self, out: Presented<'_>) -> Result<Vec<Value>, SchemaError> {
        match out.are_all(self.measures.len()) {
            true => Ok(out.into_row().values),
            false => Err(SchemaError::List { view: self.name.clone() }),
        }
    }
}

/// The columns of a key, with the names from the program or from the types.
fn key_columns(
    view: &View,
    types: RowTypes,
    names: &mut Unique,
) -> Result<Vec<Column>, SchemaError> {
    let columns = match view.names_of_key() {
        None => return Ok(taken(types.columns, names)),
        Some(given) => named_columns(&types.key, types.columns, given)?,
    };
    for column in &columns {
        // They are distinct and not taken.
        names.take(&column.name);
    }
    Ok(columns)
}

/// Columns with distinct names from the types.
fn taken(mut columns: Vec<Column>, names: &mut Unique) -> Vec<Column> {
    for column in &mut columns {
        // A single value has no name, and the parts of a tuple have numbers.
        if column.name.is_empty() || column.name.starts_with(|c: char| c.is_ascii_digit()) {
            column.name =
                if column.name.is_empty() { "key".to_owned() } else { join("key", &column.name) };
        }
        column.name = names.take(&column.name);
    }
    columns
}

impl fmt::Display for ViewSchema {
    /// The columns of the key and the measures, with their kinds: `decimal(2)` if values have two digits after the point
    /// at most, `?` if a value may be null, `+` if values add up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |is_so: bool, mark: &'static str| if is_so { mark } else { "" };
        let key = self.key.iter();
        let key = key.map(|c| format!("{} {}{}", c.name, c.type_text(), mark(c.nullable, "?")));
        let measure = |m: &Measure| {
            let (nullable, additive) = (mark(m.nullable, "?"), mark(m.additive, " +"));
            format!("{} {}{nullable}{additive}", m.name, m.column().type_text())
        };
        let measures: Vec<String> = self.measures.iter().map(measure).collect();
        write!(f, "{}; {}", key.collect::<Vec<_>>().join(", "), measures.join(", "))
    }
}
