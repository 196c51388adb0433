//! How a state is shown: its measures and their values.

use super::{Measure, Row, Value};

/// The measures of an aggregate, by its parts. See [`Aggregate::shape`](crate::aggregate::Aggregate::shape).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateShape(pub(super) Form);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An aggregate with this name, unless the view names it.
    One {
        name: String,
        measures: Vec<Measure>,
    },
    Parts(Vec<AggregateShape>),
    List(Box<AggregateShape>),
    /// The measures of a dynamic view, and what [`Presented::parameters`] says of them.
    Dynamic {
        measures: Vec<Measure>,
        parameters: Vec<u32>,
    },
}

impl AggregateShape {
    /// An aggregate without measures.
    pub fn none() -> AggregateShape {
        AggregateShape::of("", [])
    }

    /// An aggregate that is one value, with this name unless the view names it.
    pub fn one(name: &str, measure: Measure) -> AggregateShape {
        AggregateShape::of(name, [Measure { name: String::new(), ..measure }])
    }

    /// An aggregate of several measures. Their names follow the name of the aggregate, which is `name` unless the view
    /// names it; the name of the most important one may be empty.
    pub fn of(name: &str, measures: impl IntoIterator<Item = Measure>) -> AggregateShape {
        AggregateShape(Form::One {
            name: name.to_owned(),
            measures: measures.into_iter().collect(),
        })
    }

    /// Aggregates side by side.
    pub(crate) fn parts(parts: impl IntoIterator<Item = AggregateShape>) -> AggregateShape {
        AggregateShape(Form::Parts(parts.into_iter().collect()))
    }

    /// As many of one kind as the view has names.
    pub(crate) fn list(element: AggregateShape) -> AggregateShape {
        AggregateShape(Form::List(Box::new(element)))
    }

    /// The measures of a dynamic view, with names, and the parameters that its states need to show them.
    pub(crate) fn dynamic(measures: Vec<Measure>, parameters: Vec<u32>) -> AggregateShape {
        AggregateShape(Form::Dynamic { measures, parameters })
    }

    /// The parameters that the states of a dynamic view need to be shown.
    pub(crate) fn parameters(&self) -> &[u32] {
        match &self.0 {
            Form::Dynamic { parameters, .. } => parameters,
            _ => &[],
        }
    }

    /// The measures, without lists, whose number of elements is not known.
    pub(crate) fn unnamed(&self) -> Vec<Measure> {
        match &self.0 {
            Form::One { measures, .. } | Form::Dynamic { measures, .. } => measures.clone(),
            Form::Parts(parts) => parts.iter().flat_map(AggregateShape::unnamed).collect(),
            Form::List(_) => Vec::new(),
        }
    }

    /// The same, which may be null.
    pub(crate) fn nullable(self) -> AggregateShape {
        AggregateShape(match self.0 {
            Form::One { name, mut measures } => {
                measures.iter_mut().for_each(|measure| measure.nullable = true);
                Form::One { name, measures }
            }
            Form::Parts(parts) => {
                Form::Parts(parts.into_iter().map(AggregateShape::nullable).collect())
            }
            Form::List(element) => Form::List(Box::new(element.nullable())),
            Form::Dynamic { mut measures, parameters } => {
                measures.iter_mut().for_each(|measure| measure.nullable = true);
                Form::Dynamic { measures, parameters }
            }
        })
    }
}

/// The values of the measures of a state, in the order of its [`AggregateShape`].
///
/// ```
/// use dayfold::schema::{Kind, Measure, Presented, AggregateShape, Value};
///
/// /// What an aggregate of one's own says of itself in `Aggregate::shape`: it is shown as one number.
/// fn shape() -> AggregateShape {
///     AggregateShape::one("range", Measure::new("range", Kind::Integer).nullable())
/// }
///
/// /// And in `Aggregate::present`: the number, or nothing where there is no state.
/// fn present(state: Option<&(i64, i64)>, out: &mut Presented<'_>) {
///     out.put(|| Value::or_null(state.map(|(least, most)| Value::Integer((most - least).into()))));
/// }
/// ```
#[derive(Debug, Default)]
pub struct Presented<'a> {
    row: Row,
    /// The number of measures that were put.
    measures: usize,
    /// The requested measures; `None` means all.
    wanted: Option<&'a [bool]>,
    /// The others are left out; otherwise they are null.
    leaves_out: bool,
    /// The number of elements of each list.
    lists: &'a [u32],
    /// A list has more elements than the view has names for.
    is_beyond: bool,
    /// The stored form of the state, if it is known.
    stored: Option<&'a [u8]>,
}

impl<'a> Presented<'a> {
    pub(crate) fn new(lists: &'a [u32], wanted: Option<&'a [bool]>) -> Presented<'a> {
        // Most often there is a value for each of them.
        let values = Vec::with_capacity(wanted.map_or(0, <[bool]>::len));
        let row = Row { values, ..Row::default() };
        Presented { row, lists, wanted, ..Presented::default() }
    }

    /// Adds the wanted measures to a row, which is empty meanwhile.
    pub(crate) fn onto(row: &mut Row, lists: &'a [u32], wanted: &'a [bool]) -> Presented<'a> {
        let row = std::mem::take(row);
        Presented { row, lists, wanted: Some(wanted), leaves_out: true, ..Presented::default() }
    }

    pub(crate) fn into_row(self) -> Row {
        self.row
    }

    /// Whether so many measures were put, and no list had more elements than the view has names for.
    pub(crate) fn are_all(&self, measures: usize) -> bool {
        !self.is_beyond && self.measures == measures
    }

    /// Adds the value of the next measure. It is computed only if requested.
    pub fn put(&mut self, value: impl FnOnce() -> Value) {
        if self.is_next_wanted() {
            self.row.push(value());
        }
    }

    /// Adds the value of the next measure: the bytes that `of_stored` finds in the stored form of the state, if that is known.
    pub(crate) fn put_stored(
        &mut self,
        of_stored: impl FnOnce(&'a [u8]) -> Option<&'a [u8]>,
        bytes: impl FnOnce() -> Option<Vec<u8>>,
    ) {
        if self.is_next_wanted() {
            let value = match self.stored.and_then(of_stored) {
                Some(stored) => self.row.spare.bytes(stored),
                None => Value::or_null(bytes().map(Value::Bytes)),
            };
            self.row.push(value);
        }
    }

    /// Whether the next measure is to be put; otherwise null is put, or nothing.
    fn is_next_wanted(&mut self) -> bool {
        let is_wanted = self.wanted.is_none_or(|wanted| wanted.get(self.measures) == Some(&true));
        self.measures += 1;
        if !is_wanted && !self.leaves_out {
            self.row.push(Value::Null);
        }
        is_wanted
    }

    /// What is put next is of a state with this stored form, or of one whose form is not known.
    pub(super) fn set_stored(&mut self, stored: Option<&'a [u8]>) {
        self.stored = stored;
    }

    /// The values put so far.
    pub(crate) fn values(&self) -> &[Value] {
        self.row.values()
    }

    /// The parameters of a dynamic view's measures: the rest of the numbers for lists, because it comes last.
    pub(crate) fn parameters(&mut self) -> &'a [u32] {
        std::mem::take(&mut self.lists)
    }

    /// The number of elements to show of the next list, given its length.
    pub(crate) fn list(&mut self, has: Option<usize>) -> usize {
        let (shown, rest) = self.lists.split_first().map_or((0, &[][..]), |(n, rest)| (*n, rest));
        self.lists = rest;
        let shown = shown as usize;
        // A view that names none shows none.
        self.is_beyond |= shown > 0 && has.is_some_and(|has| has > shown);
        shown
    }
}
