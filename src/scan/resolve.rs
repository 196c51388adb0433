//! Checks a scan against a view, and makes a query of it.

use std::sync::Arc;

use super::cursor::Order;
use super::layout::Layout;
use super::{Cursor, ErasedView, Scan, ScanError, ScanKeys, ScanShape};
use crate::aggregate::Aggregate;
use crate::engine::{Named, ViewHandle};
use crate::key::{Key, KeyRange};
use crate::schema::{Column, KeyCodec, NotAKey, Value, ViewSchema};
use crate::serve::{self, MeasureId, Query, RankFn, RowPosition};
use crate::time::{Grain, Last};

/// A scan that fits its view.
pub(crate) struct Resolved<K: Key, A> {
    pub(crate) query: Query<K>,
    pub(crate) rows: RowsOf<A>,
}

/// How to make rows from the items of an answer.
#[derive(Clone)]
pub(crate) struct RowsOf<A> {
    pub(crate) layout: Arc<Layout>,
    pub(crate) pages: Pages,
    /// The program's own measures, if they are shown.
    pub(crate) own: Option<Arc<Named<A>>>,
    /// Whether all items combined are a row, too.
    pub(crate) has_total: bool,
    /// Only this many items become rows, the greatest first, but all are in the answer.
    pub(crate) top: Option<(u32, Arc<RankFn<A>>)>,
}

/// The wanted part of the rows.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    /// The view, revision and order for cursors; `None` if the shape has no pages.
    mark: Option<Cursor>,
    pub(crate) after: Option<RowPosition>,
    pub(crate) limit: Option<u64>,
}

impl Pages {
    /// The cursor of a row.
    pub(crate) fn cursor(&self, place: &RowPosition) -> Option<Cursor> {
        self.mark.as_ref().map(|mark| Cursor { place: place.clone(), ..mark.clone() })
    }
}

/// Checks a scan: of now, or of a snapshot, which has what was kept when it was taken.
pub(crate) fn resolve<K: Key, A: Aggregate>(
    scan: &Scan,
    view: &ViewHandle<K, A>,
    is_of_snapshot: bool,
) -> Result<Resolved<K, A>, ScanError> {
    let own = Some(&view.measures).filter(|own| scan.shown && !own.is_empty()).cloned();
    let measures = if scan.shown { view.shown() } else { view.schema.measures.clone() };
    let layout = Arc::new(Layout::new(scan, &view.schema, &view.codec, &measures)?);
    if scan.limit == Some(0) {
        return Err(ScanError::Limit);
    }
    grain(scan, &view.schema)?;
    let (keys, has_total, mut top) = (keys(scan, view)?, scan.total_row, None);
    let shape = match &scan.shape {
        ScanShape::Rows => serve::Shape::ByDayAndKey,
        ScanShape::ByPeriod => serve::Shape::ByDay,
        ScanShape::ByKey => serve::Shape::ByKey,
        ScanShape::Total => serve::Shape::Total,
        // All keys are in the total, but only this many are rows.
        ScanShape::Top { n, by } if has_total => {
            top = Some((*n, Arc::clone(&view.ranks.1[rank(by, view)?.place()])));
            serve::Shape::ByKey
        }
        ScanShape::Top { n, by } => serve::Shape::Top { n: *n, measure: rank(by, view)? },
    };
    let periods = view.view.calendar().periods(scan.periods);
    if scan.unsealed && !matches!(scan.shape, ScanShape::Rows | ScanShape::ByKey) {
        return Err(ScanError::Unsealed { view: view.schema.name.clone() });
    }
    let unsealed = scan.unsealed;
    let query = Query::new(keys, periods, shape).revision(scan.revision);
    let query = Query { unsealed, grain: scan.grain, last: scan.last, ..query };
    let removed = query.refused_by(view.view.calendar(), &view.mailbox.kept());
    // A window has those of its periods that are kept.
    if let Some(kept_from) = removed.filter(|_| !is_of_snapshot && query.last.is_none()) {
        return Err(ScanError::Removed { view: view.schema.name.clone(), kept_from });
    }
    let pages = pages(scan, &view.schema.name)?;
    Ok(Resolved { query, rows: RowsOf { layout, pages, own, has_total, top } })
}

/// Checks that the view supports the grains of a scan: of its rows, and of its window.
fn grain(scan: &Scan, schema: &ViewSchema) -> Result<(), ScanError> {
    let (view, grain) = (schema.name.clone(), schema.grain);
    let mut asked = [scan.grain, scan.last.map(Last::grain)].into_iter().flatten();
    match asked.find(|asked| !grain.is_within(*asked)) {
        Some(asked) => {
            let expected: Vec<&str> = grain.coarser().map(Grain::name).collect();
            Err(ScanError::Grain { view, asked, grain, expected: expected.join(", ") })
        }
        None => Ok(()),
    }
}

fn rank<K: Key, A: Aggregate>(by: &str, view: &ViewHandle<K, A>) -> Result<MeasureId, ScanError> {
    let found = view.ranks.0.iter().position(|name| name == by);
    found.map(|at| MeasureId::at(at as u32)).ok_or_else(|| ScanError::Rank {
        view: view.schema.name.clone(),
        by: by.to_owned(),
        expected: view.ranks.0.join(", "),
    })
}

fn pages(scan: &Scan, view: &str) -> Result<Pages, ScanError> {
    let order = match scan.shape {
        ScanShape::Rows => Some(Order::PeriodAndKey),
        ScanShape::ByPeriod => Some(Order::Period),
        ScanShape::ByKey => Some(Order::Key),
        ScanShape::Total | ScanShape::Top { .. } => None,
    };
    let (revision, place) = (scan.revision, RowPosition::default());
    let grain = scan.grain.filter(|_| !matches!(order, Some(Order::Key)));
    let order = order.filter(|_| !scan.in_any_order);
    let mark = order.map(|order| Cursor { view: view.to_owned(), revision, order, grain, place });
    let Some(after) = &scan.after else {
        return Ok(Pages { mark, after: None, limit: scan.limit });
    };
    let why = match &mark {
        None => "a total, the greatest by a measure, and rows in any order have no pages",
        Some(mark) if after.view != mark.view => "it is of another view",
        Some(mark) if after.revision != mark.revision => "it is of another revision",
        Some(mark) if after.order != mark.order => "it is of another shape",
        Some(mark) if after.grain != mark.grain => "it is by another grain",
        Some(_) => {
            let after = Some(after.place.clone());
            return Ok(Pages { mark, after, limit: scan.limit });
        }
    };
    Err(ScanError::Cursor { why: why.to_owned() })
}

/// The keys of a scan, by their encodings.
fn keys<K: Key, A: Aggregate>(
    scan: &Scan,
    view: &ViewHandle<K, A>,
) -> Result<serve::Keys<K>, ScanError> {
    let columns = &view.schema.key[..];
    let codec: &KeyCodec = &view.codec;
    let wrong = |values: &[Value], fault| not_a_key(&view.schema.name, columns, values, fault);
    let at_most = |values: &[Value], least: usize| {
        let is_fine = (least..=columns.len()).contains(&values.len());
        let expected = || format!("{least} to {}", columns.len());
        if is_fine { Ok(()) } else { Err(count(&view.schema.name, columns, values, expected())) }
    };
    let prefix = |values: &[Value], is_open: bool| {
        at_most(values, usize::from(is_open))?;
        codec.prefix(values, is_open).map_err(|fault| wrong(values, fault))
    };
    let range = match &scan.keys {
        ScanKeys::All => KeyRange::all(),
        ScanKeys::One(values) if values.len() != columns.len() => {
            let expected = columns.len().to_string();
            return Err(count(&view.schema.name, columns, values, expected));
        }
        ScanKeys::One(values) => {
            let encoded = codec.key(values).map_err(|fault| wrong(values, fault))?;
            let key = K::decode(&mut &encoded[..]).map_err(|_| wrong(values, NotAKey::Value(0)))?;
            return Ok(serve::Keys::One(key));
        }
        ScanKeys::Prefix(values) => KeyRange::starting_with(prefix(values, false)?),
        ScanKeys::StartingWith(values) => KeyRange::starting_with(prefix(values, true)?),
        ScanKeys::Range { lower, upper } => {
            let upper = (!upper.is_empty()).then(|| prefix(upper, false)).transpose()?;
            KeyRange::of_encoded(prefix(lower, false)?, upper)
        }
    };
    Ok(serve::Keys::Range(range))
}

fn count(view: &str, columns: &[Column], values: &[Value], expected: String) -> ScanError {
    let columns = columns.iter().map(|column| &column.name[..]).collect::<Vec<_>>().join(", ");
    ScanError::Values { view: view.to_owned(), found: values.len(), columns, expected }
}

fn not_a_key(view: &str, columns: &[Column], values: &[Value], fault: NotAKey) -> ScanError {
    let view = view.to_owned();
    match fault {
        NotAKey::Unknown => ScanError::Keys { view },
        NotAKey::Value(at) => ScanError::Value {
            view,
            column: columns[at].name.clone(),
            found: values.get(at).map_or_else(String::new, Value::to_string),
            expected: columns[at].kind,
        },
    }
}
