//! The definition of a dynamic view: its columns, its key and its measures.

use std::sync::Arc;

use super::cell::MeasureKind;
use super::error::DefinitionError;
use super::plan::Plan;
use super::shown::{How, ONE, Shown};
use super::{Columns, Key, RowValue, State, id_of, top};
use crate::aggregate::Decimal;
use crate::key::KeyRange;
use crate::schema::id::{DYNAMIC, compose};
use crate::schema::{
    AggregateShape, Column, Kind, Measure, RowTypes, SchemaError, Value, ViewSchema,
};
use crate::store::ViewRecord;
use crate::view::{View, ViewError};

/// How a measure aggregates a column of the events.
///
/// Nulls are ignored: without values, a sum, a mean, an extreme or a quantile is null, and a count is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reduce {
    /// How many events.
    Count,
    /// The number of non-null values.
    CountOf(String),
    /// How often a boolean is true.
    CountIf(String),
    /// The exact sum of integers or decimals.
    Sum(String),
    /// The least value. Among decimals that are equal as numbers, the one with the fewest digits after the point.
    Min(String),
    /// The greatest value. Among decimals that are equal as numbers, the one with the most digits after the point.
    Max(String),
    /// The mean of integers or decimals, with six more digits than they have, at most nine.
    Mean(String),
    /// The number of different values: exact up to about 150, see [`Distinct`](crate::aggregate::Distinct).
    Distinct(String),
    /// The sketch behind [`Reduce::Distinct`], for other programs to merge.
    DistinctSketch(String),
    /// The value of integers or decimals at a rank, from 0 (the least) to 1: exact up to 1,000 values, see
    /// [`Quantiles`](crate::aggregate::Quantiles).
    Quantile(String, Decimal),
    /// The sketch behind [`Reduce::Quantile`], for other programs to merge.
    QuantileSketch(String),
    /// The value of the earliest event; the least one, if several have the same time.
    First(String),
    /// The value of the latest event; the greatest one, if several have the same time.
    Last(String),
    /// This many of the most frequent values, at most 1,000, with their counts, as JSON text:
    /// `[{"value":"/a","count":3}]`. Exact up to 1,024 different values, see [`Top`](crate::aggregate::Top); beyond
    /// that, each also has an `error_max`. Only the first 120 bytes of texts and bytes count.
    Top(String, u32),
}

impl Reduce {
    /// The column that it aggregates.
    pub fn column(&self) -> Option<&str> {
        match self {
            Reduce::Count => None,
            Reduce::CountOf(column)
            | Reduce::CountIf(column)
            | Reduce::Sum(column)
            | Reduce::Min(column)
            | Reduce::Max(column)
            | Reduce::Mean(column)
            | Reduce::Distinct(column)
            | Reduce::DistinctSketch(column)
            | Reduce::Quantile(column, _)
            | Reduce::QuantileSketch(column)
            | Reduce::First(column)
            | Reduce::Last(column)
            | Reduce::Top(column, _) => Some(column),
        }
    }

    /// The cell that the measure shows, what it shows of it, and the measure itself, for values of this kind.
    fn made_of(&self, kind: Kind) -> Option<(MeasureKind, How, Measure)> {
        let count = || Measure::new("", Kind::Integer);
        let value = |kind| Measure::new("", kind).nullable();
        let is_number = matches!(kind, Kind::Integer | Kind::Decimal);
        Some(match self {
            Reduce::Count | Reduce::CountOf(_) => {
                (MeasureKind::Count, How::Whole, count().additive())
            }
            Reduce::CountIf(_) if kind == Kind::Boolean => {
                (MeasureKind::CountIf, How::Whole, count().additive())
            }
            Reduce::Sum(_) if kind == Kind::Integer => {
                (MeasureKind::Sum, How::Whole, value(kind).additive())
            }
            Reduce::Sum(_) if kind == Kind::Decimal => {
                (MeasureKind::DecimalSum, How::Whole, value(kind).additive())
            }
            Reduce::Mean(_) if is_number => (MeasureKind::Mean, How::Whole, value(Kind::Decimal)),
            Reduce::Quantile(_, of) if is_number => {
                let of = billionths(*of)?;
                (MeasureKind::Quantiles, How::Quantile(of), value(Kind::Decimal))
            }
            Reduce::QuantileSketch(_) if is_number => {
                (MeasureKind::Quantiles, How::Sketch, value(Kind::Bytes))
            }
            Reduce::Min(_) => (MeasureKind::Min(kind), How::Whole, value(kind)),
            Reduce::Max(_) => (MeasureKind::Max(kind), How::Whole, value(kind)),
            Reduce::First(_) => (MeasureKind::First(kind), How::Whole, value(kind)),
            Reduce::Last(_) => (MeasureKind::Last(kind), How::Whole, value(kind)),
            Reduce::Distinct(_) => (MeasureKind::Distinct(kind), How::Whole, count()),
            Reduce::Top(_, n) => {
                let n = (1..=top::SHOWN_MAX).contains(n).then_some(*n)?;
                (MeasureKind::Top(kind), How::Top(n), value(Kind::Text))
            }
            Reduce::DistinctSketch(_) => {
                (MeasureKind::Distinct(kind), How::Sketch, value(Kind::Bytes))
            }
            Reduce::CountIf(_)
            | Reduce::Sum(_)
            | Reduce::Mean(_)
            | Reduce::Quantile(..)
            | Reduce::QuantileSketch(_) => return None,
        })
    }

    /// Whether it has no more digits after the point than its values.
    fn keeps_digits(&self) -> bool {
        matches!(
            self,
            Reduce::Sum(_)
                | Reduce::Min(_)
                | Reduce::Max(_)
                | Reduce::First(_)
                | Reduce::Last(_)
                | Reduce::Quantile(..)
        )
    }

    /// The kinds of values that it takes.
    fn expected(&self) -> &'static str {
        match self {
            Reduce::CountIf(_) => "booleans",
            Reduce::Sum(_) | Reduce::Mean(_) | Reduce::Quantile(..) | Reduce::QuantileSketch(_) => {
                "integers or decimals"
            }
            _ => "any",
        }
    }
}

fn billionths(of: Decimal) -> Option<u32> {
    u32::try_from(of.billionths()).ok().filter(|of| *of <= ONE)
}

/// The definition of a dynamic view. It makes a [`View`] that knows its columns.
///
/// ```
/// use dayfold::dynamic::{Columns, Reduce, ViewDef};
/// use dayfold::schema::Kind;
/// use dayfold::view::View;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let columns = Columns::new([("carrier", Kind::Text), ("arr_delay", Kind::Decimal)])?;
/// let delay = || "arr_delay".to_owned();
/// let definition = ViewDef::new(View::new("by-carrier")?, columns)
///     .key(["carrier"])?
///     .measure("flights", Reduce::Count)?
///     .measure("mean_delay", Reduce::Mean(delay()))?
///     .measure("p99", Reduce::Quantile(delay(), "0.99".parse()?))?;
/// assert_eq!(
///     definition.schema()?.to_string(),
///     "carrier text?; flights integer +, mean_delay decimal?, p99 decimal?"
/// );
/// # Ok(())
/// # }
/// ```
///
/// A data folder identifies a dynamic view by the kinds of its key and cells and by their columns, and refuses another
/// one, as it refuses other types of keys and aggregates. The names of measures, their order, and the quantiles shown
/// may change from run to run.
#[derive(Clone, Debug)]
pub struct ViewDef {
    view: View,
    columns: Arc<Columns>,
    key: Vec<usize>,
    measures: Vec<(String, Reduce)>,
}

impl ViewDef {
    /// A view of events with these columns: one row for each day, without a key and without measures.
    pub fn new(view: View, columns: Columns) -> ViewDef {
        ViewDef { view, columns: Arc::new(columns), key: Vec::new(), measures: Vec::new() }
    }

    /// The same view, with a row for each day and value of these columns.
    ///
    /// # Errors
    /// [`DefinitionError`] if there is no such column, or its name cannot name a column of a view.
    pub fn key<N: AsRef<str>>(
        mut self,
        columns: impl IntoIterator<Item = N>,
    ) -> Result<ViewDef, DefinitionError> {
        for name in columns {
            let name = name.as_ref();
            let at = self.position(name)?;
            self.check_free(name)?;
            self.key.push(at);
        }
        let names: Vec<&str> = self.key.iter().map(|&at| self.columns.name(at)).collect();
        self.view = self.view.key_columns(names)?;
        Ok(self)
    }

    /// The same view, with one more measure.
    ///
    /// # Errors
    /// [`DefinitionError`] if there is no such column, if it has values of another kind, or if the name is taken or
    /// cannot name a column of a view.
    pub fn measure(mut self, name: &str, reduce: Reduce) -> Result<ViewDef, DefinitionError> {
        self.check_free(name)?;
        if !crate::schema::names::is_column_name(name) {
            return Err(ViewError::Column { name: name.to_owned() }.into());
        }
        if let Some(column) = reduce.column() {
            let kind = self.kind(self.position(column)?);
            if let Reduce::Quantile(_, of) = &reduce
                && billionths(*of).is_none()
            {
                return Err(DefinitionError::Quantile { of: *of });
            }
            if let Reduce::Top(_, n) = reduce
                && !(1..=top::SHOWN_MAX).contains(&n)
            {
                return Err(DefinitionError::Top { n });
            }
            if reduce.made_of(kind).is_none() {
                let (name, column) = (name.to_owned(), column.to_owned());
                let expected = reduce.expected();
                return Err(DefinitionError::Kind { name, column, expected, found: kind });
            }
        }
        self.measures.push((name.to_owned(), reduce));
        Ok(self)
    }

    /// The same view, with the sketch of each distinct count and each quantile beside it, as a measure `NAME_sketch`: for SQL
    /// and other programs to merge. States have the sketches anyway, so they grow by nothing.
    ///
    /// ```
    /// use dayfold::dynamic::{Columns, Reduce, ViewDef};
    /// use dayfold::schema::Kind;
    /// use dayfold::view::View;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let columns = Columns::new([("user", Kind::Text)])?;
    /// let definition = ViewDef::new(View::new("visits")?, columns)
    ///     .measure("users", Reduce::Distinct("user".to_owned()))?
    ///     .sketches()?;
    /// assert_eq!(definition.schema()?.to_string(), "; users integer, users_sketch bytes?");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DefinitionError::Twice`] if something else has the name of a sketch.
    pub fn sketches(mut self) -> Result<ViewDef, DefinitionError> {
        for (name, reduce) in self.measures.clone() {
            let sketch = match reduce {
                Reduce::Distinct(column) => Reduce::DistinctSketch(column),
                Reduce::Quantile(column, _) => Reduce::QuantileSketch(column),
                _ => continue,
            };
            let name = format!("{name}_sketch");
            if !self.measures.iter().any(|own| own.0 == name && own.1 == sketch) {
                self = self.measure(&name, sketch)?;
            }
        }
        Ok(self)
    }

    /// The view without its columns.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The columns of its events.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Its schema.
    ///
    /// # Errors
    /// [`SchemaError`]; the names have been checked before.
    pub fn schema(&self) -> Result<ViewSchema, SchemaError> {
        ViewSchema::of::<Key, State>(&self.described())
    }

    /// The part of the definition that a data folder keeps, for comparison with an existing folder: see
    /// [`inspect`](crate::store::inspect).
    pub fn record(&self) -> ViewRecord {
        ViewRecord::of::<Key, State>(&self.described())
    }

    /// The cell of a measure in [`State::cells`]; `None` if there is no such measure, or it is the number of events.
    pub fn cell(&self, measure: &str) -> Option<usize> {
        let (_, shown) = self.cells();
        let at = self.measures.iter().position(|(name, _)| name == measure)?;
        shown.get(at)?.cell.checked_sub(1).map(|cell| cell as usize)
    }

    /// The key with these values, one for each column of the key, for [`Query::point`](crate::serve::Query::point).
    ///
    /// # Errors
    /// [`DefinitionError::Values`] if their number or kinds differ.
    pub fn key_of(&self, values: &[Value]) -> Result<Key, DefinitionError> {
        if values.len() != self.key.len() {
            return Err(self.unfit(values));
        }
        Ok(Key::new(self.leading(values)?))
    }

    /// The keys whose first columns have these values.
    ///
    /// # Errors
    /// [`DefinitionError::Values`] if there are more values than columns of the key, or their kinds differ.
    pub fn keys_within(&self, values: &[Value]) -> Result<KeyRange, DefinitionError> {
        Ok(Key::range_within(self.leading(values)?))
    }

    fn leading<'a>(&self, values: &'a [Value]) -> Result<Vec<RowValue<'a>>, DefinitionError> {
        let kinds = self.key.iter().map(|&at| self.kind(at));
        let fits = |(value, kind): (&Value, Kind)| value.kind().is_none_or(|found| found == kind);
        if values.len() > self.key.len() || !values.iter().zip(kinds).all(fits) {
            return Err(self.unfit(values));
        }
        Ok(values.iter().map(RowValue::from).collect())
    }

    fn unfit(&self, values: &[Value]) -> DefinitionError {
        let column = |&at: &usize| format!("{} {}", self.columns.name(at), self.kind(at));
        let columns: Vec<String> = self.key.iter().map(column).collect();
        let kind = |value: &Value| value.kind().map_or("null".to_owned(), |kind| kind.to_string());
        let found: Vec<String> = values.iter().map(kind).collect();
        DefinitionError::Values { expected: columns.join(", "), found: found.join(", ") }
    }

    fn position(&self, name: &str) -> Result<usize, DefinitionError> {
        let no_column = || DefinitionError::NoColumn { name: name.to_owned() };
        self.columns.position(name).ok_or_else(no_column)
    }

    fn kind(&self, at: usize) -> Kind {
        self.columns.kind(at).expect("the place of a column")
    }

    fn check_free(&self, name: &str) -> Result<(), DefinitionError> {
        let mut taken = self.key.iter().map(|&at| self.columns.name(at));
        let is_taken = taken.any(|key| key == name)
            || self.measures.iter().any(|(measure, _)| measure == name);
        match is_taken {
            true => Err(DefinitionError::Twice { name: name.to_owned() }),
            false => Ok(()),
        }
    }

    /// The cells with their columns, and what each measure shows of them. Measures share cells.
    fn cells(&self) -> (Vec<(MeasureKind, usize)>, Vec<Shown>) {
        let wanted = |(_, reduce): &(String, Reduce)| {
            let column = self.columns.position(reduce.column()?)?;
            let (kind, how, _) = reduce.made_of(self.kind(column))?;
            Some((kind, column, how))
        };
        let wanted: Vec<_> = self.measures.iter().map(wanted).collect();
        // A mean has the sum of decimals and the number of values in it.
        let means: Vec<usize> =
            wanted.iter().flatten().filter(|w| w.0 == MeasureKind::Mean).map(|w| w.1).collect();
        let mut cells = Vec::new();
        let shown = wanted.into_iter().map(|wanted| {
            let Some((kind, column, how)) = wanted else {
                return Shown { cell: 0, how: How::Whole };
            };
            let (kind, how) = match kind {
                MeasureKind::DecimalSum if means.contains(&column) => (MeasureKind::Mean, How::Sum),
                MeasureKind::Count if means.contains(&column) => (MeasureKind::Mean, How::Count),
                _ => (kind, how),
            };
            let at = cells.iter().position(|cell| *cell == (kind, column));
            let at = at.unwrap_or_else(|| {
                cells.push((kind, column));
                cells.len() - 1
            });
            Shown { cell: at as u32 + 1, how }
        });
        let shown = shown.collect();
        (cells, shown)
    }

    /// How events are folded.
    pub(super) fn plan(&self) -> Plan {
        let (cells, _) = self.cells();
        Plan { columns: Arc::clone(&self.columns), key: self.key.clone(), cells }
    }

    /// The measures, with their names.
    fn shown_as(&self) -> Vec<Measure> {
        let measure = |(name, reduce): &(String, Reduce)| {
            let column = reduce.column().and_then(|column| self.columns.position(column));
            let kind = column.map_or(Kind::Integer, |at| self.kind(at));
            let (_, _, measure) = reduce.made_of(kind).expect("the kind was checked");
            let scale = column.and_then(|at| self.columns.scale(at));
            let scale = scale.filter(|_| reduce.keeps_digits());
            Measure { name: name.clone(), scale, ..measure }
        };
        self.measures.iter().map(measure).collect()
    }

    /// The view with its columns.
    pub(super) fn described(&self) -> View {
        let (cells, shown) = self.cells();
        let columns = self.key.iter().map(|&at| Column {
            nullable: true,
            ..Column::new(self.columns.name(at), self.kind(at)).scaled(self.columns.scale(at))
        });
        let parameters = shown.into_iter().flat_map(Shown::parameters).collect();
        let ids: Vec<String> = cells.iter().map(|(kind, _)| kind.id()).collect();
        let types = RowTypes {
            key: id_of(self.key.iter().map(|&at| self.kind(at))),
            aggregate: compose(DYNAMIC, &ids),
            columns: columns.collect(),
            shape: AggregateShape::dynamic(self.shown_as(), parameters),
        };
        let view = self.view.clone().described_as(types);
        match view.definition() {
            "" => view.defined_as(&self.words(&cells)),
            _ => view,
        }
    }

    /// The definition of rows: the columns, which ids do not name.
    fn words(&self, cells: &[(MeasureKind, usize)]) -> String {
        let name = |at: usize| format!("{:?}", self.columns.name(at));
        let key: Vec<String> = self.key.iter().map(|&at| name(at)).collect();
        let cell = |&(kind, at): &(MeasureKind, usize)| format!("{}({})", kind.id(), name(at));
        let cells: Vec<String> = cells.iter().map(cell).collect();
        format!("key {}; {}", key.join(", "), cells.join(", "))
    }
}
