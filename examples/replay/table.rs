//! The requested table: the view, and its rows as they are written.

use dayfold::aggregate::{Decimal, Distinct, Max, Maybe, Mean, Min, Quantiles};
use dayfold::dynamic::{Columns, DefinitionError, Key, MeasureState, Reduce, State, ViewDef};
use dayfold::schema::{Kind, Value};
use dayfold::time::Day;
use dayfold::view::View;

use crate::output::push_cell;

/// The view, and the positions of the output's columns in its states.
pub(crate) struct Table {
    pub(crate) definition: ViewDef,
    values: Vec<Numbers>,
    distinct: Vec<usize>,
}

/// The measures of a value column, one cell each.
struct Numbers {
    mean: usize,
    least: usize,
    greatest: usize,
    quantiles: usize,
}

/// Names of the columns, by option.
pub(crate) struct Names<'a> {
    pub(crate) key: &'a [String],
    pub(crate) value: &'a [String],
    pub(crate) distinct: &'a [String],
}

impl Table {
    /// The table of a view. The data folder keeps the names of the output for readers of the folder, unless some names
    /// of the file cannot name columns of a table, such as empty ones: then it has numbers instead.
    pub(crate) fn new(view: &View, names: &Names<'_>) -> Result<Table, DefinitionError> {
        Table::named(view, names).or_else(|_| {
            let numbers = |names: &[String], what: &str| -> Vec<String> {
                (1..=names.len()).map(|number| format!("{what}_{number}")).collect()
            };
            let (key, value) = (numbers(names.key, "key"), numbers(names.value, "value"));
            let distinct = numbers(names.distinct, "value_of");
            Table::named(view, &Names { key: &key, value: &value, distinct: &distinct })
        })
    }

    fn named(view: &View, names: &Names<'_>) -> Result<Table, DefinitionError> {
        // A column of the file may be in several options. No name of a view's column contains a tab.
        let value = |name: &String| format!("value\t{name}");
        let different = |name: &String| format!("distinct\t{name}");
        let key = names.key.iter().map(|name| (name.clone(), Kind::Bytes));
        let values = names.value.iter().map(|name| (value(name), Kind::Decimal));
        let distinct = names.distinct.iter().map(|name| (different(name), Kind::Bytes));
        let columns = Columns::new(key.chain(values).chain(distinct))?;
        let mut definition = ViewDef::new(view.clone(), columns).key(names.key)?;
        definition = definition.measure("events", Reduce::Count)?;
        for name in names.value {
            for (what, reduce) in of_value(&value(name)) {
                definition = definition.measure(&format!("{name}_{what}"), reduce)?;
            }
        }
        for name in names.distinct {
            let reduce = Reduce::Distinct(different(name));
            definition = definition.measure(&format!("{name}_distinct"), reduce)?;
        }
        let cell = |name: &String, what: &str| {
            let measure = format!("{name}_{what}");
            definition.cell(&measure).expect("the measure was defined")
        };
        let numbers = |name: &String| Numbers {
            mean: cell(name, "mean"),
            least: cell(name, "min"),
            greatest: cell(name, "max"),
            quantiles: cell(name, "p50"),
        };
        let values = names.value.iter().map(numbers).collect();
        let distinct = names.distinct.iter().map(|name| cell(name, "distinct")).collect();
        Ok(Table { definition, values, distinct })
    }

    /// For each value column, the largest number of digits after the point among its values.
    pub(crate) fn scales<'a>(&self, states: impl Iterator<Item = &'a State>) -> Vec<u8> {
        let mut scales = vec![0; self.values.len()];
        for state in states {
            for (scale, numbers) in scales.iter_mut().zip(&self.values) {
                if let Some(numbers) = numbers.of(state) {
                    *scale = numbers.mean.sum().scale().max(*scale);
                }
            }
        }
        scales
    }

    /// Appends a row of the output.
    pub(crate) fn push_row(
        &self,
        line: &mut Vec<u8>,
        day: Day,
        key: &Key,
        state: &State,
        scales: &[u8],
    ) {
        line.extend_from_slice(day.to_string().as_bytes());
        for column in key.values() {
            line.push(b',');
            if let Value::Bytes(cell) = column {
                push_cell(line, &cell);
            }
        }
        line.extend_from_slice(format!(",{}", state.rows()).as_bytes());
        for (numbers, &scale) in self.values.iter().zip(scales) {
            line.extend_from_slice(cells(numbers.of(state), scale).as_bytes());
        }
        for &cell in &self.distinct {
            let count = match &state.cells()[cell] {
                MeasureState::Distinct(Maybe(distinct)) => {
                    distinct.as_ref().map_or(0, Distinct::rounded)
                }
                _ => 0,
            };
            line.extend_from_slice(format!(",{count}").as_bytes());
        }
        line.push(b'\n');
    }
}

/// The output's columns for a value column, by the suffix of their names.
fn of_value(column: &str) -> [(&'static str, Reduce); 7] {
    let of = || column.to_owned();
    let percentile = |percent| Reduce::Quantile(of(), Decimal::from_scaled(percent, 2));
    [
        ("count", Reduce::CountOf(of())),
        ("sum", Reduce::Sum(of())),
        ("min", Reduce::Min(of())),
        ("max", Reduce::Max(of())),
        ("mean", Reduce::Mean(of())),
        ("p50", percentile(50)),
        ("p99", percentile(99)),
    ]
}

/// The numbers of a value column in a state.
struct Found<'a> {
    mean: &'a Mean,
    least: Decimal,
    greatest: Decimal,
    quantiles: &'a Quantiles,
}

impl Numbers {
    /// `None` if no event has a value.
    fn of<'a>(&self, state: &'a State) -> Option<Found<'a>> {
        let cell = |at: usize| &state.cells()[at];
        match (cell(self.mean), cell(self.least), cell(self.greatest), cell(self.quantiles)) {
            (
                MeasureState::Mean(Maybe(Some(mean))),
                MeasureState::Min(Maybe(Some(Min(Value::Decimal(least))))),
                MeasureState::Max(Maybe(Some(Max(Value::Decimal(greatest))))),
                MeasureState::Quantiles(Maybe(Some(quantiles))),
            ) => Some(Found { mean, least: *least, greatest: *greatest, quantiles }),
            _ => None,
        }
    }
}

/// Count, sum, least, greatest, mean, median and 99th percentile, each after a comma.
fn cells(numbers: Option<Found<'_>>, scale: u8) -> String {
    let Some(Found { mean, least, greatest, quantiles }) = numbers else {
        return format!(",0,{},,,,,", Decimal::default().to_scale_string(scale));
    };
    let text = |value: Decimal| value.to_scale_string(scale);
    let quantile = |percent| quantiles.quantile(percent, 100).map_or(String::new(), text);
    format!(
        ",{},{},{},{},{},{},{}",
        mean.count(),
        text(mean.sum()),
        text(least),
        text(greatest),
        mean.to_string_with(u32::from(scale) + 6),
        quantile(50),
        quantile(99),
    )
}
