//! How a state is shown: its measures and their values.

use super::{Measure, Value};

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
    pub(super) values: Vec<Value>,
    /// The requested measures; `None` means all. The others are null.
    wanted: Option<&'a [bool]>,
    /// The number of elements of each list.
    lists: &'a [u32],
    /// A list has more elements than the view has names for.
    pub(super) is_beyond: bool,
}

impl<'a> Presented<'a> {
    pub(crate) fn new(lists: &'a [u32], wanted: Option<&'a [bool]>) -> Presented<'a> {
        // Most often there is a value for each of them.
        let values = Vec::with_capacity(wanted.map_or(0, <[bool]>::len));
        Presented { values, lists, wanted, ..Presented::default() }
    }

    /// Adds the value of the next measure. It is computed only if requested.
    pub fn put(&mut self, value: impl FnOnce() -> Value) {
        let at = self.values.len();
        let is_wanted = self.wanted.is_none_or(|wanted| wanted.get(at) == Some(&true));
        self.values.push(if is_wanted { value() } else { Value::Null });
    }

    /// The values put so far.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
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
