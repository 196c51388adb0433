//! Functions of statements that add to DataFusion's own, or replace them.

mod arithmetic;
mod bounded;
mod catalogue;
mod certificate;
mod merge;
mod names;
mod revision;
mod sum;
mod to_char;

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, Volatility, create_udf};
use datafusion::prelude::SessionContext;
use dayfold::engine::Views;

pub(crate) use arithmetic::CheckIntegers;
pub(crate) use merge::MergeSketches;
pub(crate) use names::{MERGE_DISTINCT, MERGE_QUANTILE, SUM};
pub(crate) use revision::{revision, text};

/// Registers them for statements.
pub(crate) fn register(context: &SessionContext, views: Option<&Views>) {
    context.register_udaf(AggregateUDF::from(sum::ExactSum::new()));
    context.register_udaf(AggregateUDF::from(merge::Merge::distinct()));
    context.register_udaf(AggregateUDF::from(merge::Merge::quantile()));
    if let Some(views) = views {
        let certificates = Arc::new(certificate::Certificates::new(views));
        context.register_udtf("dayfold_certificate", certificates);
        context.register_udtf("revision_of", Arc::new(revision::RevisionOf::new(views)));
    }
    catalogue::register(context);
    bounded::register(context);
    to_char::register(context);
    // Clients use the version to decide what they may ask.
    let version = concat!("PostgreSQL 16.6, Dayfold ", env!("CARGO_PKG_VERSION"));
    let version = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(ScalarValue::from(version)));
    let (of, volatility) = (DataType::Utf8, Volatility::Immutable);
    context.register_udf(create_udf("version", Vec::new(), of, volatility, Arc::new(version)));
}
