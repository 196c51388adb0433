//! Functions whose result is as large as an argument says: `repeat('x', 2000000000)`. The memory of a statement does not
//! count results of functions, so a call that would make too much is refused before it begins.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::{Result, exec_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

/// The bytes of one call's results: those of up to 8,192 rows.
const BYTES_MAX: i128 = 64 << 20;
/// The bytes of an item of a list.
const ITEM_BYTES: i128 = 16;
/// The bytes of a character.
const CHARACTER_BYTES: i128 = 4;

const NANOS: [(TimeUnit, i128); 4] = [
    (TimeUnit::Second, 1_000_000_000),
    (TimeUnit::Millisecond, 1_000_000),
    (TimeUnit::Microsecond, 1_000),
    (TimeUnit::Nanosecond, 1),
];
const DAY_NANOS: i128 = 86_400_000_000_000;

/// How the size of a result follows from the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Size {
    /// The first argument, so many times.
    Repeated,
    /// So many characters.
    Padded,
    /// So many items.
    Items,
    /// From one number or time to another one, in steps.
    Series,
}

const FUNCTIONS: [(&str, Size); 7] = [
    ("repeat", Size::Repeated),
    ("lpad", Size::Padded),
    ("rpad", Size::Padded),
    ("array_repeat", Size::Repeated),
    ("array_resize", Size::Items),
    ("range", Size::Series),
    ("generate_series", Size::Series),
];

/// Puts bounds around DataFusion's functions.
pub(super) fn register(context: &SessionContext) {
    for (name, size) in FUNCTIONS {
        if let Ok(of) = context.udf(name) {
            context.register_udf(ScalarUDF::from(Bounded { of, size }));
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    of: Arc<ScalarUDF>,
    size: Size,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.of.name()
    }

    fn aliases(&self) -> &[String] {
        self.of.aliases()
    }

    fn signature(&self) -> &Signature {
        self.of.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.of.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.of.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.of.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let bytes = match self.size {
            Size::Repeated => {
                let one = arrays[0].get_array_memory_size() / arrays[0].len().max(1);
                let length = |row| match arrays[0].data_type() {
                    DataType::Utf8 => i128::from(arrays[0].as_string::<i32>().value_length(row)),
                    DataType::LargeUtf8 => {
                        i128::from(arrays[0].as_string::<i64>().value_length(row))
                    }
                    DataType::Utf8View => arrays[0].as_string_view().value(row).len() as i128,
                    _ => (one as i128).max(ITEM_BYTES),
                };
                sum(&numbers(&arrays[1])?, length)
            }
            Size::Padded => sum(&numbers(&arrays[1])?, |_| CHARACTER_BYTES),
            Size::Items => sum(&numbers(&arrays[1])?, |_| ITEM_BYTES),
            Size::Series => items(&arrays)?.saturating_mul(ITEM_BYTES),
        };
        if bytes > BYTES_MAX {
            return exec_err!(
                "{} would make {bytes} bytes at once; expected at most {BYTES_MAX}",
                self.name()
            );
        }
        self.of.invoke_with_args(args)
    }
}

fn numbers(array: &dyn Array) -> Result<Int64Array> {
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// The sum of the numbers that are above zero, each times a weight of its row.
fn sum(numbers: &Int64Array, weight: impl Fn(usize) -> i128) -> i128 {
    let rows = numbers.iter().enumerate();
    let sizes = rows.map(|(row, number)| i128::from(number.unwrap_or(0).max(0)) * weight(row));
    sizes.fold(0, i128::saturating_add)
}

/// The number of items of all series.
fn items(arrays: &[Arc<dyn Array>]) -> Result<i128> {
    let (start, stop, step) = match arrays {
        [stop] => (None, stop, None),
        [start, stop] => (Some(start), stop, None),
        [start, stop, step, ..] => (Some(start), stop, Some(step)),
        [] => return Ok(0),
    };
    let (stop, unit) = places(stop)?;
    let start = start.map(places).transpose()?.map(|(start, _)| start);
    let step = step.map(places).transpose()?.map(|(step, _)| step);
    let mut items = 0i128;
    for row in 0..stop.len() {
        let at = |of: &Option<Vec<i128>>, default| of.as_ref().map_or(default, |of| of[row]);
        let span = stop[row].saturating_sub(at(&start, 0)).saturating_abs();
        items = items.saturating_add(1 + span / at(&step, unit).saturating_abs().max(1));
    }
    Ok(items)
}

/// Numbers as they are, and times and intervals in nanoseconds; and the step if none is given. A month counts as 28 days,
/// and null as zero.
fn places(array: &Arc<dyn Array>) -> Result<(Vec<i128>, i128)> {
    let scaled = |by: i128| -> Result<Vec<i128>> {
        Ok(numbers(array)?.iter().map(|number| i128::from(number.unwrap_or(0)) * by).collect())
    };
    Ok(match array.data_type() {
        DataType::Timestamp(unit, _) => {
            let nanos =
                NANOS.iter().find(|(other, _)| other == unit).map_or(1, |(_, nanos)| *nanos);
            (scaled(nanos)?, DAY_NANOS)
        }
        DataType::Date32 => {
            let days = cast(array, &DataType::Int32)?;
            let days = numbers(&days)?;
            let nanos = days.iter().map(|day| i128::from(day.unwrap_or(0)) * DAY_NANOS);
            (nanos.collect(), DAY_NANOS)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let intervals = array.as_primitive::<IntervalMonthDayNanoType>().iter();
            let nanos = intervals.map(|interval| {
                let Some(interval) = interval else { return 0 };
                let days = i128::from(interval.months) * 28 + i128::from(interval.days);
                days * DAY_NANOS + i128::from(interval.nanoseconds)
            });
            (nanos.collect(), DAY_NANOS)
        }
        _ => (scaled(1)?, 1),
    })
}
