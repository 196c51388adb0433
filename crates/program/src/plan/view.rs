//! Views: how they use the events of their sources, and their definitions in the library.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayfold::dynamic::{Columns, Reduce, RowBuilder, ViewDef};
use dayfold::schema::{Kind, ViewSchema};
use dayfold::time::Calendar;
use dayfold::view::View;

use super::measure;
use super::values::{fitting, value};
use crate::config::{Config, FileError, Revisions, Text, ViewConfig};
use crate::expr::{Cell, ExprError, Expression, Row, RowError, Scope, Type};

/// How a view uses a row of one source.
#[derive(Debug)]
pub(crate) struct Derived {
    filter: Option<Expression>,
    /// The columns of the view's events with their names: those of the key, then those of the measures.
    inputs: Vec<(String, Expression)>,
    /// The slots of the columns that it reads.
    pub(crate) slots: Vec<usize>,
    /// Whether there may be rows for which one of them has no value.
    can_fail: bool,
    /// The same for rows whose numbers are all small.
    can_fail_if_small: bool,
}

impl Derived {
    /// Checks that every expression has a value for a row, so that the view can take the row, or does not want it.
    pub(crate) fn check(&self, row: Row<'_>) -> Result<(), String> {
        if !self.can_fail || (!self.can_fail_if_small && row.is_small()) {
            return Ok(());
        }
        let wants = self.filter.as_ref().map_or(Ok(true), |filter| filter.holds(row));
        if !wants.map_err(|error| format!("where: {error}"))? {
            return Ok(());
        }
        for (name, expression) in self.inputs.iter().filter(|(_, expression)| expression.can_fail())
        {
            expression
                .eval(row)
                .and_then(fitting)
                .map_err(|error: RowError| format!("{name}: {error}"))?;
        }
        Ok(())
    }

    /// What the view takes of a row that was checked, as names and texts; `None` if it does not want the row.
    pub(crate) fn shown(&self, cells: &[Cell<'_>]) -> Option<Vec<(String, String)>> {
        let row = Row { cells };
        let wants = self.filter.as_ref().is_none_or(|filter| filter.holds(row).unwrap_or(false));
        let text = |expression: &Expression| {
            expression.eval(row).map_or(String::new(), |cell| cell.to_string())
        };
        wants.then(|| {
            self.inputs.iter().map(|(name, expression)| (name.clone(), text(expression))).collect()
        })
    }

    /// The columns that the view takes as they are, in the order of its inputs, if it takes nothing else.
    pub(crate) fn columns(&self) -> Option<Vec<usize>> {
        let plain = |(_, expression): &(String, Expression)| {
            expression.column().filter(|_| !expression.can_fail())
        };
        self.filter.is_none().then(|| self.inputs.iter().map(plain).collect())?
    }

    /// Fills in what the view takes. Returns `false` if it does not want the row, or has no value for it: a row of an
    /// earlier run, which the views of that run could use, is then left out.
    pub(crate) fn fill<'e>(&self, cells: &[Cell<'e>], filling: &mut RowBuilder<'e>) -> bool {
        let row = Row { cells };
        let wants = self.filter.as_ref().is_none_or(|filter| filter.holds(row).unwrap_or(false));
        if !wants {
            return false;
        }
        for (at, (_, expression)) in self.inputs.iter().enumerate() {
            match (expression.column(), expression.can_fail()) {
                (Some(slot), false) => filling.set(at, value(cells[slot].clone())),
                _ => match expression.eval(row).and_then(fitting) {
                    Ok(found) => filling.set(at, value(found.into_owned())),
                    Err(_) => return false,
                },
            }
        }
        true
    }
}

/// A view, ready to be computed.
pub(crate) struct ViewPlan {
    pub(crate) config: ViewConfig,
    pub(crate) definition: ViewDef,
    pub(crate) schema: ViewSchema,
    /// How it uses the rows of each of its sources, by the source's position in the file.
    pub(crate) derived: BTreeMap<usize, Arc<Derived>>,
}

impl ViewPlan {
    /// Compiles a view against the columns of its sources.
    pub(crate) fn new(
        config: &Config,
        view: &ViewConfig,
        scopes: &mut [Scope],
    ) -> Result<ViewPlan, FileError> {
        let document = &config.document;
        let zone = view.zone.as_ref().map_or("UTC", |zone| &zone.value);
        let calendar =
            Calendar::new(zone).map_err(|error| view.name.error(document, error.to_string()))?;
        let mut derived: BTreeMap<usize, Arc<Derived>> = BTreeMap::new();
        let mut definition = None;
        // The digits of decimals, from all sources.
        let mut digits: BTreeMap<String, Option<u8>> = BTreeMap::new();
        for from in &view.from {
            let source = config.sources.iter().position(|source| source.name.value == from.value);
            let source = source.ok_or_else(|| from.error(document, "there is no such source"))?;
            let scope = &mut scopes[source];
            let source_zone = scope.zone().clone();
            scope.set_zone(calendar.clone());
            let compiled = compile(config, view, scope);
            scope.set_zone(source_zone);
            let (made, measures) = compiled?;
            let kinds: Vec<(String, Kind)> = made
                .inputs
                .iter()
                .map(|(name, expression)| (name.clone(), expression.kind().kind()))
                .collect();
            for (name, expression) in &made.inputs {
                let found = expression.digits(&scopes[source]);
                let known = digits.entry(name.clone()).or_insert(found);
                *known = (*known).max(found);
            }
            let (first, _) = definition.get_or_insert_with(|| (kinds.clone(), measures));
            if let Some(((name, expected), (_, found))) =
                first.iter().zip(&kinds).find(|(first, other)| first != other)
            {
                let message = format!(
                    "{name} is {expected} from '{}', and {found} from '{}'",
                    view.from[0].value, from.value
                );
                return Err(from.error(document, message));
            }
            derived.insert(source, Arc::new(made));
        }
        let (kinds, measures) =
            definition.ok_or_else(|| view.name.error(document, "a view is from a source"))?;
        let mut columns =
            Columns::new(kinds).map_err(|error| view.name.error(document, error.to_string()))?;
        for (name, digits) in digits {
            columns = digits.map_or(columns.clone(), |digits| columns.scaled(&name, digits));
        }
        let definition = define(config, view, zone, columns, measures)?;
        let schema =
            definition.schema().map_err(|error| view.name.error(document, error.to_string()))?;
        Ok(ViewPlan { config: view.clone(), definition, schema, derived })
    }
}

type Measures = Vec<(Text, Text, Reduce)>;

/// The condition, the key and the measures of a view, for the rows of one source.
fn compile(
    config: &Config,
    view: &ViewConfig,
    scope: &mut Scope,
) -> Result<(Derived, Measures), FileError> {
    let document = &config.document;
    scope.take_named();
    let compiled = |text: &Text, kind: Option<Type>, scope: &mut Scope| {
        let found = match kind {
            Some(kind) => Expression::compile_as(&text.value, kind, scope),
            None => Expression::compile(&text.value, scope),
        };
        found.map_err(|error: ExprError| text.error_at(document, error.at, error.message))
    };
    let filter =
        view.filter.as_ref().map(|text| compiled(text, Some(Type::Boolean), scope)).transpose()?;
    let mut inputs = Vec::new();
    for (name, text) in &view.key {
        let found = compiled(text, None, scope)?;
        let found = match found.kind() {
            // The text stays as it is.
            Type::Untyped | Type::Null => compiled(text, Some(Type::Text), scope)?,
            _ => found,
        };
        inputs.push((name.value.clone(), found));
    }
    let mut measures = Vec::new();
    for (name, text) in &view.measures {
        let measure::Compiled { reduce, input } = measure::compile(document, text, scope)?;
        if let Some((column, expression)) = input
            && !inputs.iter().any(|(known, _)| *known == column)
        {
            inputs.push((column, expression));
        }
        measures.push((name.clone(), text.clone(), reduce));
    }
    let all = || filter.iter().chain(inputs.iter().map(|(_, expression)| expression));
    let can_fail = all().any(Expression::can_fail);
    let can_fail_if_small = all().any(Expression::can_fail_if_small);
    let slots = scope.take_named();
    Ok((Derived { filter, inputs, slots, can_fail, can_fail_if_small }, measures))
}

/// The definition of the view for the library.
fn define(
    config: &Config,
    view: &ViewConfig,
    zone: &str,
    columns: Columns,
    measures: Measures,
) -> Result<ViewDef, FileError> {
    let document = &config.document;
    let of_view = |error: &dyn std::fmt::Display| view.name.error(document, error.to_string());
    let mut known = View::new(&view.name.value)
        .and_then(|known| known.grain(view.grain).zone(zone))
        .map_err(|error| of_view(&error))?;
    if let Some(grace) = view.grace {
        known = known.grace(grace);
    }
    for (grain, span) in &view.rollups {
        known = match span {
            Some(span) => known.keep_rollup(*grain, *span),
            None => known.rollup([*grain]),
        };
    }
    if let Some(keep) = view.keep {
        known = known.keep(keep);
    }
    known = match view.revisions {
        Some(Revisions::Newest(number)) => known.keep_revisions(number),
        Some(Revisions::Within(span)) => known.keep_revisions_for(span),
        None => known,
    };
    let known = known.defined_as(&words(config, view, &measures));
    let keys: Vec<&str> = view.key.iter().map(|(name, _)| name.value.as_str()).collect();
    let mut definition = ViewDef::new(known, columns);
    if let Some((first, _)) = view.key.first() {
        definition =
            definition.key(keys).map_err(|error| first.error(document, error.to_string()))?;
    }
    for (name, _, reduce) in measures {
        definition = definition
            .measure(&name.value, reduce)
            .map_err(|error| name.error(document, error.to_string()))?;
    }
    // SQL merges them.
    definition.sketches().map_err(|error| of_view(&error))
}

/// Everything that determines the content of the view's days, besides the types and the zone. A data folder stores it,
/// and refuses another.
fn words(config: &Config, view: &ViewConfig, measures: &Measures) -> String {
    let mut words = String::new();
    for from in &view.from {
        let source = config.sources.iter().find(|source| source.name.value == from.value);
        let time = source.map_or("", |source| source.event_time.value.trim());
        words.push_str(&format!("from {} at {time} ", from.value));
        if let Some(zone) = source.and_then(|source| source.zone.as_ref()) {
            words.push_str(&format!("in {} ", zone.value));
        }
    }
    if let Some(filter) = &view.filter {
        words.push_str(&format!("where {} ", filter.value.trim()));
    }
    let key: Vec<String> = view
        .key
        .iter()
        .map(|(name, text)| format!("{} = {}", name.value, text.value.trim()))
        .collect();
    words.push_str(&format!("key {}", key.join(", ")));
    // Two sums of different columns have one type, and a sealed day does not say of which column it is.
    let mut states = Vec::new();
    for (.., reduce) in measures {
        let state = state_of(reduce);
        if !states.contains(&state) {
            states.push(state);
        }
    }
    words.push_str(&format!(" measures {}", states.join(", ")));
    words
}

/// The state that a measure is shown from: measures may get other names, and quantiles other ranks.
fn state_of(reduce: &Reduce) -> String {
    let state = match reduce {
        Reduce::Count => "count",
        Reduce::CountOf(_) => "count of",
        Reduce::CountIf(_) => "count if",
        Reduce::Sum(_) => "sum",
        Reduce::Min(_) => "min",
        Reduce::Max(_) => "max",
        Reduce::Mean(_) => "mean",
        Reduce::Distinct(_) | Reduce::DistinctSketch(_) => "distinct",
        Reduce::Quantile(..) | Reduce::QuantileSketch(_) => "quantiles",
        Reduce::First(_) => "first",
        Reduce::Last(_) => "last",
        Reduce::Top(..) => "top",
        // The kinds of states are in the type of the aggregate as well.
        _ => "another",
    };
    reduce.column().map_or(state.to_owned(), |column| format!("{state} {column}"))
}
