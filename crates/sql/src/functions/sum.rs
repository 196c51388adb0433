//! Sums that never wrap.
//!
//! DataFusion's own sum of integers and decimals wraps silently. This one has 38 digits for any type, and fails beyond
//! them. Sums of floating-point numbers are DataFusion's.

use std::collections::HashSet;
use std::mem::size_of_val;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, ListArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use super::names::SUM;
use crate::table::{NOT_ADDITIVE, SKETCH};

/// The digits of a sum.
const DIGITS: u8 = 38;

/// The greatest number with these digits.
const MAX: i128 = 10i128.pow(DIGITS as u32) - 1;

/// `sum(x)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ExactSum {
    signature: Signature,
}

impl ExactSum {
    pub(super) fn new() -> ExactSum {
        ExactSum { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// The number of digits after the point in the sum of a type; `None` for floating-point numbers.
fn scale(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Int64 => Some(0),
        DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    }
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        SUM
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [argument] = arguments else {
            return plan_err!("sum takes one argument, not {}", arguments.len());
        };
        let coerced = match argument {
            DataType::Dictionary(_, inner) => return self.coerce_types(&[(**inner).clone()]),
            DataType::Null
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32 => DataType::Int64,
            DataType::UInt64 => DataType::Decimal128(20, 0),
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => {
                DataType::Decimal128(DIGITS, *scale)
            }
            DataType::Decimal128(..) => argument.clone(),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
            other => return plan_err!("sum of {other}: expected numbers"),
        };
        Ok(vec![coerced])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let of = |scale| DataType::Decimal128(DIGITS, scale);
        Ok(arguments.first().and_then(scale).map_or(DataType::Float64, of))
    }

    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        if let Some(sketch) = arguments.first().and_then(|field| field.metadata().get(SKETCH)) {
            let name = arguments[0].name();
            let hint = match arguments[0].data_type() {
                DataType::Int64 => format!("merge_distinct({name})"),
                _ => format!("merge_quantile({name}, 0.99)"),
            };
            return plan_err!(
                "sum({name}): '{name}' is computed from the sketch '{sketch}', and such values do not add up; use {hint}"
            );
        }
        if let Some(field) = arguments.first().filter(|f| f.metadata().contains_key(NOT_ADDITIVE)) {
            let name = field.name();
            return plan_err!(
                "sum({name}): values of '{name}' do not add up over periods and keys; to add them all the same, write sum({name} + 0)"
            );
        }
        let types: Vec<DataType> =
            arguments.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(Field::new(SUM, self.return_type(&types)?, true)))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match scale(args.return_type()) {
            None => sum_udaf().accumulator(args),
            Some(scale) if args.is_distinct => {
                Ok(Box::new(DistinctSum { values: HashSet::new(), scale }))
            }
            Some(scale) => Ok(Box::new(Sum { sum: None, rows: 0, scale })),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let data_type = args.return_field.data_type().clone();
        let sum = Field::new(format_state_name(args.name, SUM), data_type.clone(), true);
        Ok(match (scale(&data_type), args.is_distinct) {
            (None, _) => return sum_udaf().state_fields(args),
            (Some(_), false) => vec![Arc::new(sum)],
            (Some(_), true) => {
                let item = Field::new_list_field(data_type, true);
                let name = format_state_name(args.name, "sum distinct");
                vec![Arc::new(Field::new_list(name, item, true))]
            }
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match scale(args.return_type()) {
            None => sum_udaf().inner().groups_accumulator_supported(args),
            Some(_) => !args.is_distinct,
        }
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match scale(args.return_type()) {
            None => sum_udaf().inner().create_groups_accumulator(args),
            Some(scale) => Ok(Box::new(GroupSums { sums: Vec::new(), scale })),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match scale(args.return_type()) {
            None => sum_udaf().create_sliding_accumulator(args),
            Some(_) => self.accumulator(args),
        }
    }
}

/// The values of an array that are not null, with their positions.
fn values(array: &ArrayRef) -> Result<Box<dyn Iterator<Item = (usize, i128)> + '_>> {
    Ok(match array.data_type() {
        DataType::Int64 => {
            let numbers = array.as_primitive::<Int64Type>().iter().enumerate();
            Box::new(numbers.filter_map(|(at, number)| Some((at, number?.into()))))
        }
        DataType::Decimal128(..) => {
            let numbers = array.as_primitive::<Decimal128Type>().iter().enumerate();
            Box::new(numbers.filter_map(|(at, number)| Some((at, number?))))
        }
        other => return exec_err!("sum of {other}: expected integers or decimals"),
    })
}

/// The values of an array of integers without nulls.
fn integers(array: &ArrayRef) -> Option<&[i64]> {
    let numbers = array.as_primitive_opt::<Int64Type>()?;
    (numbers.null_count() == 0).then(|| &numbers.values()[..])
}

fn plus(sum: i128, value: i128) -> Result<i128> {
    let sum = sum.checked_add(value).filter(|sum| (-MAX..=MAX).contains(sum));
    sum.ok_or_else(|| DataFusionError::Execution(format!("a sum has more than {DIGITS} digits")))
}

fn decimals(sums: Vec<Option<i128>>, scale: i8) -> Result<ArrayRef> {
    let array: Decimal128Array = sums.into_iter().collect();
    Ok(Arc::new(array.with_precision_and_scale(DIGITS, scale)?))
}

/// One sum; also for a window that moves.
#[derive(Debug)]
struct Sum {
    sum: Option<i128>,
    /// The number of values in it: a window without values has no sum.
    rows: u64,
    scale: i8,
}

impl Accumulator for Sum {
    fn update_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        if let Some(numbers) = integers(&arrays[0]) {
            // The integers of a batch cannot exceed 128 bits.
            let sum = numbers.iter().map(|number| i128::from(*number)).sum();
            if !numbers.is_empty() {
                self.sum = Some(plus(self.sum.unwrap_or(0), sum)?);
                self.rows += numbers.len() as u64;
            }
            return Ok(());
        }
        for (_, value) in values(&arrays[0])? {
            self.sum = Some(plus(self.sum.unwrap_or(0), value)?);
            self.rows += 1;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        for (_, value) in values(&arrays[0])? {
            self.sum = Some(plus(self.sum.unwrap_or(0), -value)?);
            self.rows -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.sum.filter(|_| self.rows > 0);
        Ok(ScalarValue::Decimal128(sum, DIGITS, self.scale))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The sum of distinct values.
#[derive(Debug)]
struct DistinctSum {
    values: HashSet<i128>,
    scale: i8,
}

impl Accumulator for DistinctSum {
    fn update_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        self.values.extend(values(&arrays[0])?.map(|(_, value)| value));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|list| self.update_batch(&[list]))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.values.iter().try_fold(0, |sum, value| plus(sum, *value))?;
        let sum = Some(sum).filter(|_| !self.values.is_empty());
        Ok(ScalarValue::Decimal128(sum, DIGITS, self.scale))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = decimals(self.values.iter().copied().map(Some).collect(), self.scale)?;
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Ok(vec![ScalarValue::List(Arc::new(ListArray::try_new(item, offsets, values, None)?))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * 2 * size_of::<i128>()
    }
}

/// A sum for each group.
#[derive(Debug)]
struct GroupSums {
    sums: Vec<Option<i128>>,
    scale: i8,
}

impl GroupsAccumulator for GroupSums {
    fn update_batch(
        &mut self,
        arrays: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.sums.resize(group_count, None);
        if let (Some(numbers), None) = (integers(&arrays[0]), filter) {
            for (number, group) in numbers.iter().zip(groups) {
                let sum = &mut self.sums[*group];
                *sum = Some(plus(sum.unwrap_or(0), (*number).into())?);
            }
            return Ok(());
        }
        for (at, value) in values(&arrays[0])? {
            if filter.is_none_or(|filter| filter.is_valid(at) && filter.value(at)) {
                let sum = &mut self.sums[groups[at]];
                *sum = Some(plus(sum.unwrap_or(0), value)?);
            }
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        groups: &[usize],
        group_count: usize,
    ) -> Result<()> {
        self.update_batch(states, groups, None, group_count)
    }

    fn convert_to_state(
        &self,
        arrays: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        // Each row is its own group.
        let rows = arrays[0].len();
        let mut own = GroupSums { sums: Vec::new(), scale: self.scale };
        own.update_batch(arrays, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        own.state(EmitTo::All)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        decimals(emit.take_needed(&mut self.sums), self.scale)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Option<i128>>()
    }
}
