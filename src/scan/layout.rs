//! The columns of rows, and how an item of an answer becomes a row.

use std::sync::Arc;

use super::{Scan, ScanError, ScanShape};
use crate::aggregate::Aggregate;
use crate::engine::Named;
use crate::key::{Key, encoded};
use crate::schema::{Column, KeyCodec, Kind, Measure, Value, ViewSchema, period_of};
use crate::serve::{Item, Parts, RowPosition};

/// The parts of a value, by layer, as named in columns.
const LAYERS: [&str; 3] = ["batch", "speed", "amendments"];

/// The content of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Day,
    Key(usize),
    Measure(usize),
    Sealed,
    Revision,
    HasLayer(usize),
    LayerMeasure(usize, usize),
}

/// The columns of a scan's rows, and the origin of their values.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    schema: Arc<ViewSchema>,
    codec: Arc<KeyCodec>,
    columns: Arc<[Column]>,
    shows: Vec<Shows>,
    /// The measures shown of the whole value, and of each of its layers; empty if there are none.
    wanted: [Vec<bool>; 4],
    shows_key: bool,
}

impl Layout {
    /// The columns of a scan.
    pub(crate) fn new(
        scan: &Scan,
        schema: &Arc<ViewSchema>,
        codec: &Arc<KeyCodec>,
        measures: &[Measure],
    ) -> Result<Layout, ScanError> {
        let all = available(scan, schema, measures);
        let chosen = match &scan.columns {
            None => all
                .into_iter()
                .filter(|(column, _)| column.kind != Kind::Bytes || is_of_key(column, schema))
                .collect(),
            Some(names) if names.is_empty() => return Err(ScanError::NoColumns),
            Some(names) => {
                names.iter().map(|name| find(&all, name, schema)).collect::<Result<Vec<_>, _>>()?
            }
        };
        let (columns, shows): (Vec<Column>, Vec<Shows>) = chosen.into_iter().unzip();
        let mut wanted = [const { Vec::new() }; 4];
        for shows in &shows {
            let (of, measure) = match *shows {
                Shows::Measure(measure) => (0, measure),
                Shows::LayerMeasure(layer, measure) => (layer + 1, measure),
                _ => continue,
            };
            wanted[of].resize(measures.len(), false);
            wanted[of][measure] = true;
        }
        let shows_key = shows.iter().any(|shows| matches!(shows, Shows::Key(_)));
        let (schema, codec) = (Arc::clone(schema), Arc::clone(codec));
        Ok(Layout { schema, codec, columns: columns.into(), shows, wanted, shows_key })
    }

    pub(crate) fn columns(&self) -> &Arc<[Column]> {
        &self.columns
    }

    pub(super) fn schema(&self) -> &ViewSchema {
        &self.schema
    }

    /// What each column shows.
    pub(super) fn shows(&self) -> &[Shows] {
        &self.shows
    }

    pub(crate) fn view(&self) -> &str {
        &self.schema.name
    }

    /// The row of an item.
    pub(crate) fn row<K: Key, A: Aggregate>(
        &self,
        item: &Item<K, A>,
        place: &RowPosition,
        own: Option<&Named<A>>,
    ) -> Result<Vec<Value>, ScanError> {
        // If keys are combined there is none.
        let mut key = vec![Value::Null; self.schema.key.len()];
        if let Some(encoded) = place.key.as_ref().filter(|_| self.shows_key) {
            let wrong = || self.presented(0, &self.schema.key);
            key = self.codec.values(encoded).ok_or_else(wrong)?;
        }
        let Parts { batch, speed, amendments } = &item.parts;
        let layers = [batch, speed, amendments].map(Option::as_ref);
        let mut measures = [const { Vec::new() }; 4];
        if !self.wanted[0].is_empty() {
            let mut present = layers.iter().flatten();
            // Usually there is only one part, and nothing to combine.
            measures[0] = match (present.next(), present.next()) {
                (Some(only), None) => self.present(Some(*only), 0, own)?,
                _ => self.present(item.parts.merged().as_ref(), 0, own)?,
            };
        }
        for (at, layer) in layers.iter().enumerate() {
            measures[at + 1] = self.present(*layer, at + 1, own)?;
        }
        let value = |shows: &Shows| match *shows {
            Shows::Day => Value::or_null(item.day.map(Value::period)),
            Shows::Key(column) => key[column].clone(),
            Shows::Measure(measure) => measures[0][measure].clone(),
            Shows::Sealed => Value::Boolean(speed.is_none() && amendments.is_none()),
            Shows::Revision => Value::or_null(item.revision.map(Value::period)),
            Shows::HasLayer(layer) => Value::Boolean(layers[layer].is_some()),
            // A missing part is null, not zero.
            Shows::LayerMeasure(layer, _) if layers[layer].is_none() => Value::Null,
            Shows::LayerMeasure(layer, measure) => measures[layer + 1][measure].clone(),
        };
        Ok(self.shows.iter().map(value).collect())
    }

    fn present<A: Aggregate>(
        &self,
        state: Option<&A>,
        of: usize,
        own: Option<&Named<A>>,
    ) -> Result<Vec<Value>, ScanError> {
        if self.wanted[of].is_empty() {
            return Ok(Vec::new());
        }
        if let Some(own) = own {
            let value = |((_, measure), is_wanted): (&(String, _), &bool)| {
                let measure: &Arc<crate::serve::MeasureFn<A>> = measure;
                let state = state.filter(|_| *is_wanted)?;
                measure(state).map(Value::Decimal)
            };
            return Ok(own.iter().zip(&self.wanted[of]).map(value).map(Value::or_null).collect());
        }
        let wrong = |_| ScanError::Presented {
            view: self.schema.name.clone(),
            column: "a vector, which has more elements than names".to_owned(),
            expected: Kind::Decimal,
        };
        self.schema.present_wanted(state, &self.wanted[of]).map_err(wrong)
    }

    fn presented(&self, at: usize, columns: &[Column]) -> ScanError {
        let (view, column) = (self.schema.name.clone(), columns.get(at));
        let expected = column.map_or(Kind::Bytes, |column| column.kind);
        let column = column.map_or_else(String::new, |column| column.name.clone());
        ScanError::Presented { view, column, expected }
    }
}

/// The position of an item in the order of its shape.
pub(crate) fn place_of<K: Key, A: Aggregate>(item: &Item<K, A>) -> RowPosition {
    RowPosition { day: item.day, key: item.key.as_ref().map(encoded) }
}

/// All columns of rows of this shape.
fn available(scan: &Scan, schema: &ViewSchema, measures: &[Measure]) -> Vec<(Column, Shows)> {
    let (by_day, by_key) = match scan.shape {
        ScanShape::Rows => (true, true),
        ScanShape::ByPeriod => (true, false),
        ScanShape::ByKey | ScanShape::Top { .. } => (false, true),
        ScanShape::Total => (false, false),
    };
    let mut all = Vec::new();
    if by_day {
        all.push((period_of(scan.grain.unwrap_or(schema.grain)), Shows::Day));
    }
    if by_key {
        let key = schema.key.iter().cloned().enumerate();
        all.extend(key.map(|(at, column)| (column, Shows::Key(at))));
    }
    let measures = || measures.iter().enumerate();
    all.extend(measures().map(|(at, measure)| (measure.column(), Shows::Measure(at))));
    all.push((Column::new("sealed", Kind::Boolean), Shows::Sealed));
    if scan.layers {
        let revision = Column { nullable: true, ..Column::new("revision", schema.period().kind) };
        all.push((revision, Shows::Revision));
        for (layer, called) in LAYERS.into_iter().enumerate() {
            all.push((Column::new(called, Kind::Boolean), Shows::HasLayer(layer)));
            all.extend(measures().map(|(at, measure)| {
                let name = format!("{called}.{}", measure.name);
                let column = Column { name, nullable: true, ..measure.column() };
                (column, Shows::LayerMeasure(layer, at))
            }));
        }
    }
    all
}

/// Sketches are bytes, and so may a column of the key be.
fn is_of_key(column: &Column, schema: &ViewSchema) -> bool {
    schema.key.contains(column)
}

fn find(
    all: &[(Column, Shows)],
    name: &str,
    schema: &ViewSchema,
) -> Result<(Column, Shows), ScanError> {
    let found = all.iter().find(|(column, _)| column.name == name);
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(column, _)| column.name.as_str()).collect();
        let (view, expected) = (schema.name.clone(), names.join(", "));
        ScanError::Column { view, name: name.to_owned(), expected }
    })
}
