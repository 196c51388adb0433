//! `merge_distinct(users)` and `merge_quantile(latency, 0.99)`: the estimate over several rows.
//!
//! A statement names the estimate. [`MergeSketches`] replaces it with its sketch, which is merged.

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BinaryArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue, exec_datafusion_err, plan_datafusion_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Expr, LogicalPlan, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr::expressions::Literal;
use dayfold::aggregate::{Decimal, Distinct, Quantiles, Semigroup};

use super::names::{MERGE_DISTINCT, MERGE_QUANTILE};
use crate::table::SKETCH;

/// One, in billionths.
const ONE: u64 = 1_000_000_000;

/// One of the two functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Merge {
    is_distinct: bool,
    signature: Signature,
}

impl Merge {
    pub(super) fn distinct() -> Merge {
        Merge { is_distinct: true, signature: Signature::any(1, Volatility::Immutable) }
    }

    pub(super) fn quantile() -> Merge {
        Merge { is_distinct: false, signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Merge {
    fn name(&self) -> &str {
        if self.is_distinct { MERGE_DISTINCT } else { MERGE_QUANTILE }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.is_distinct {
            true => DataType::Int64,
            false => DataType::Decimal128(dayfold_arrow::DECIMAL.0, dayfold_arrow::DECIMAL.1),
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let name = self.name();
        if args.expr_fields[0].data_type() != &DataType::Binary {
            return plan_err!(
                "{name}({}): expected a measure of a view that has a sketch beside it, right from its table",
                args.expr_fields[0].name()
            );
        }
        if self.is_distinct {
            return Ok(Box::new(Merging::<Distinct> { state: None, quantile: 0 }));
        }
        let literal = (args.exprs[1].as_ref() as &dyn Any).downcast_ref::<Literal>();
        let quantile = literal.and_then(|literal| billionths(literal.value()));
        let expected =
            || plan_datafusion_err!("{name}: the second argument is a number from 0 to 1");
        let quantile = quantile.ok_or_else(expected)?;
        Ok(Box::new(Merging::<Quantiles> { state: None, quantile }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "sketch");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }
}

/// A number from 0 to 1 in exact billionths.
fn billionths(value: &ScalarValue) -> Option<u64> {
    let decimal: Decimal = value.to_string().parse().ok()?;
    u64::try_from(decimal.billionths()).ok().filter(|billionths| *billionths <= ONE)
}

/// A sketch that can be merged.
trait Sketch: Sized + Send + Sync + std::fmt::Debug + 'static {
    fn read(bytes: &[u8]) -> Option<Self>;
    fn write(&self) -> Vec<u8>;
    fn merge(&mut self, other: &Self);
    fn result(state: Option<&Self>, quantile: u64) -> ScalarValue;
    fn bytes(&self) -> usize;
}

impl Sketch for Distinct {
    fn read(bytes: &[u8]) -> Option<Self> {
        Distinct::from_sketch_bytes(bytes)
    }

    fn write(&self) -> Vec<u8> {
        self.to_sketch_bytes()
    }

    fn merge(&mut self, other: &Self) {
        self.plus_equals(other);
    }

    fn result(state: Option<&Self>, _: u64) -> ScalarValue {
        let rounded = state.map_or(0, Distinct::rounded);
        ScalarValue::Int64(i64::try_from(rounded).ok())
    }

    fn bytes(&self) -> usize {
        dayfold::aggregate::Aggregate::heap_bytes(self)
    }
}

impl Sketch for Quantiles {
    fn read(bytes: &[u8]) -> Option<Self> {
        Quantiles::from_bytes(bytes)
    }

    fn write(&self) -> Vec<u8> {
        self.to_bytes()
    }

    fn merge(&mut self, other: &Self) {
        self.plus_equals(other);
    }

    fn result(state: Option<&Self>, quantile: u64) -> ScalarValue {
        let value = state.and_then(|state| state.quantile(quantile, ONE));
        let (precision, scale) = dayfold_arrow::DECIMAL;
        ScalarValue::Decimal128(value.map(|value| value.billionths()), precision, scale)
    }

    fn bytes(&self) -> usize {
        dayfold::aggregate::Aggregate::heap_bytes(self)
    }
}

#[derive(Debug)]
struct Merging<S> {
    state: Option<S>,
    /// The quantile in billionths.
    quantile: u64,
}

impl<S: Sketch> Merging<S> {
    fn merge_all(&mut self, sketches: &ArrayRef) -> Result<()> {
        let sketches: &BinaryArray = sketches.as_binary::<i32>();
        for sketch in sketches.iter().flatten() {
            let damaged = || exec_datafusion_err!("a sketch of {} bytes is damaged", sketch.len());
            let sketch = S::read(sketch).ok_or_else(damaged)?;
            match &mut self.state {
                Some(state) => state.merge(&sketch),
                None => self.state = Some(sketch),
            }
        }
        Ok(())
    }
}

impl<S: Sketch> Accumulator for Merging<S> {
    fn update_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        self.merge_all(&arrays[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.merge_all(&states[0])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(S::result(self.state.as_ref(), self.quantile))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(self.state.as_ref().map(S::write))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.state.as_ref().map_or(0, S::bytes)
    }
}

/// Replaces estimates in the arguments of the two functions with their sketches.
#[derive(Debug)]
pub(crate) struct MergeSketches;

impl AnalyzerRule for MergeSketches {
    fn name(&self) -> &str {
        "merge_sketches"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let with_sketches = |plan: LogicalPlan| {
            let names = NamePreserver::new(&plan);
            let inputs: Vec<_> = plan.inputs().iter().map(|input| input.schema().clone()).collect();
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let changed = expr.transform_up(|expr| {
                    let Expr::AggregateFunction(AggregateFunction { func, mut params }) = expr
                    else {
                        return Ok(Transformed::no(expr));
                    };
                    let is_merge = [MERGE_DISTINCT, MERGE_QUANTILE].contains(&func.name());
                    let sketch = match params.args.first() {
                        Some(Expr::Column(column)) if is_merge => {
                            inputs.iter().find_map(|input| sketch_beside(input, column))
                        }
                        _ => None,
                    };
                    let is_changed = sketch.is_some();
                    if let Some(sketch) = sketch {
                        params.args[0] = Expr::Column(sketch);
                    }
                    let expr = Expr::AggregateFunction(AggregateFunction { func, params });
                    Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) })
                })?;
                Ok(changed.update_data(|expr| name.restore(expr)))
            })
        };
        Ok(plan.transform_up_with_subqueries(with_sketches)?.data)
    }
}

/// The column with the sketch of an estimate, if it exists.
fn sketch_beside(input: &datafusion::common::DFSchema, column: &Column) -> Option<Column> {
    let (relation, field) = input.qualified_field_from_column(column).ok()?;
    let sketch = Column::new(relation.cloned(), field.metadata().get(SKETCH)?);
    input.has_column(&sketch).then_some(sketch)
}
