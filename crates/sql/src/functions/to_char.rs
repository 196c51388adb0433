//! `to_char` with PostgreSQL's templates: `to_char(day, 'YYYY-MM')`. DataFusion's function takes the format of chrono,
//! and would return such a template as it is.

use std::sync::Arc;

use chrono::{Datelike, NaiveDateTime, TimeZone, Timelike};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::temporal_conversions::timestamp_us_to_datetime;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

const NAME: &str = "to_char";
/// The bytes of a template, at most: it is written for up to 8,192 rows at once.
const TEMPLATE_MAX: usize = 1_024;
/// The width to which names of months and days are filled with blanks: that of the longest one.
const NAME_WIDTH: usize = 9;
/// The Julian day before the first day of the year 1.
const JULIAN: i64 = 1_721_425;

/// Replaces DataFusion's function, which still does formats of chrono (`%Y-%m`).
pub(super) fn register(context: &SessionContext) {
    if let Ok(of) = context.udf(NAME) {
        context.register_udf(ScalarUDF::from(ToChar { of }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ToChar {
    of: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for ToChar {
    fn name(&self) -> &str {
        NAME
    }

    fn aliases(&self) -> &[String] {
        self.of.aliases()
    }

    fn signature(&self) -> &Signature {
        self.of.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.of.return_type(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [times, templates] = &args.args[..] else { return self.of.invoke_with_args(args) };
        let is_scalar =
            matches!((times, templates), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let written = match templates {
            ColumnarValue::Scalar(template) => match template.try_as_str().flatten() {
                None => return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None))),
                Some(text) if text.contains('%') => return self.of.invoke_with_args(args),
                Some(text) => {
                    let template = Template::read(text)?;
                    let times = times_of(times, rows)?;
                    times.into_iter().map(|time| template.write(&time?)).collect()
                }
            },
            ColumnarValue::Array(templates) => {
                let templates = cast(templates, &DataType::Utf8)?;
                let templates = templates.as_string::<i32>().iter();
                let written = templates.zip(times_of(times, rows)?).map(|(template, time)| {
                    let (Some(template), Some(time)) = (template, time) else { return Ok(None) };
                    if template.contains('%') {
                        return exec_err!(
                            "to_char has the template '{template}': a format with % has to be a constant"
                        );
                    }
                    Ok(Template::read(template)?.write(&time))
                });
                written.collect::<Result<StringArray>>()?
            }
        };
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&written, 0)?),
            false => ColumnarValue::Array(Arc::new(written)),
        })
    }
}

/// Dates and times as the clock of their zone shows them.
fn times_of(values: &ColumnarValue, rows: usize) -> Result<Vec<Option<NaiveDateTime>>> {
    let values = values.to_array(rows)?;
    if !matches!(values.data_type(), DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
    {
        return exec_err!("to_char writes dates and times, not values of {}", values.data_type());
    }
    let zone = match values.data_type() {
        DataType::Timestamp(_, Some(zone)) => Some(zone.parse::<Tz>()?),
        _ => None,
    };
    // A cast from one zone to none keeps UTC.
    let times = cast(&values, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let times = times.as_primitive::<TimestampMicrosecondType>().iter().map(|time| {
        let time = timestamp_us_to_datetime(time?)?;
        Some(zone.map_or(time, |zone| zone.from_utc_datetime(&time).naive_local()))
    });
    Ok(times.collect())
}

/// What stands for a part of a date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// The last digits of the year.
    Year(u32),
    /// The same of the year of the ISO week.
    IsoYear(u32),
    Century,
    Quarter,
    Month,
    MonthName,
    MonthShort,
    Week,
    WeekOfMonth,
    IsoWeek,
    DayOfYear,
    Day,
    /// From Sunday, which is 1.
    Weekday,
    /// From Monday, which is 1.
    IsoWeekday,
    DayName,
    DayShort,
    JulianDay,
    Hour24,
    Hour12,
    Half,
    Minute,
    Second,
    SecondOfDay,
    Millisecond,
    Microsecond,
}

/// The patterns of fields; a pattern comes before its beginnings.
const FIELDS: [(&str, Field); 34] = [
    ("SSSSS", Field::SecondOfDay),
    ("MONTH", Field::MonthName),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("IYYY", Field::IsoYear(4)),
    ("SSSS", Field::SecondOfDay),
    ("YYYY", Field::Year(4)),
    ("DAY", Field::DayName),
    ("DDD", Field::DayOfYear),
    ("IYY", Field::IsoYear(3)),
    ("MON", Field::MonthShort),
    ("YYY", Field::Year(3)),
    ("AM", Field::Half),
    ("CC", Field::Century),
    ("DD", Field::Day),
    ("DY", Field::DayShort),
    ("HH", Field::Hour12),
    ("ID", Field::IsoWeekday),
    ("IW", Field::IsoWeek),
    ("IY", Field::IsoYear(2)),
    ("MI", Field::Minute),
    ("MM", Field::Month),
    ("MS", Field::Millisecond),
    ("PM", Field::Half),
    ("SS", Field::Second),
    ("US", Field::Microsecond),
    ("WW", Field::Week),
    ("YY", Field::Year(2)),
    ("D", Field::Weekday),
    ("I", Field::IsoYear(1)),
    ("J", Field::JulianDay),
    ("Q", Field::Quarter),
    ("W", Field::WeekOfMonth),
    ("Y", Field::Year(1)),
];

/// Patterns of PostgreSQL that would otherwise be read as other patterns, or as text.
const UNKNOWN: [&str; 16] = [
    "Y,YYY", "IDDD", "TZH", "TZM", "TZ", "OF", "RM", "FX", "TM", "FF", "A.M.", "P.M.", "A.D.",
    "B.C.", "AD", "BC",
];

/// What may follow a pattern. `SP` has no effect.
const ENDINGS: [(&str, Option<Case>); 3] =
    [("TH", Some(Case::Upper)), ("th", Some(Case::Lower)), ("SP", None)];

/// Upper or lower case, or the first letter alone is upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Upper,
    Lower,
    First,
}

impl Case {
    fn apply(self, text: &str) -> String {
        match self {
            Case::Upper => text.to_uppercase(),
            Case::Lower => text.to_lowercase(),
            Case::First => match text.split_at_checked(1) {
                Some((first, rest)) => format!("{}{}", first.to_uppercase(), rest.to_lowercase()),
                None => text.to_owned(),
            },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field {
        field: Field,
        case: Case,
        /// Whether it is filled with zeros or blanks.
        is_filled: bool,
        /// An ending such as `th`, in this case. A name has none.
        ordinal: Option<Case>,
    },
}

/// A template that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Template(Vec<Part>);

impl Field {
    fn is_name(self) -> bool {
        matches!(
            self,
            Field::MonthName | Field::MonthShort | Field::DayName | Field::DayShort | Field::Half
        )
    }

    /// A name in English, with its first letter in upper case.
    fn name(self, time: &NaiveDateTime) -> String {
        match self {
            Field::MonthName => time.format("%B").to_string(),
            Field::MonthShort => time.format("%b").to_string(),
            Field::DayName => time.format("%A").to_string(),
            Field::DayShort => time.format("%a").to_string(),
            _ => time.format("%p").to_string(),
        }
    }

    /// A number, and the digits to which it is filled.
    fn number(self, time: &NaiveDateTime) -> (i64, usize) {
        let last = |year: i32, digits: u32| match digits {
            4 => (i64::from(year), 4),
            _ => (i64::from(year) % 10i64.pow(digits), digits as usize),
        };
        let days = i64::from(time.ordinal0());
        // The year before the year 1 is 1 BC, and has this number.
        let before = |year: i32| if year > 0 { year } else { 1 - year };
        let (number, digits) = match self {
            Field::Year(digits) => return last(before(time.year()), digits),
            Field::IsoYear(digits) => return last(before(time.iso_week().year()), digits),
            Field::Century => {
                let century = (i64::from(before(time.year())) + 99) / 100;
                if time.year() > 0 { (century, 2) } else { (-century, 3) }
            }
            Field::Quarter => (i64::from(time.month0() / 3 + 1), 1),
            Field::Month => (i64::from(time.month()), 2),
            Field::Week => (days / 7 + 1, 2),
            Field::WeekOfMonth => (i64::from(time.day0() / 7 + 1), 1),
            Field::IsoWeek => (i64::from(time.iso_week().week()), 2),
            Field::DayOfYear => (days + 1, 3),
            Field::Day => (i64::from(time.day()), 2),
            Field::Weekday => (i64::from(time.weekday().number_from_sunday()), 1),
            Field::IsoWeekday => (i64::from(time.weekday().number_from_monday()), 1),
            Field::JulianDay => (i64::from(time.num_days_from_ce()) + JULIAN, 1),
            Field::Hour24 => (i64::from(time.hour()), 2),
            Field::Hour12 => (i64::from(time.hour12().1), 2),
            Field::Minute => (i64::from(time.minute()), 2),
            Field::Second => (i64::from(time.second()), 2),
            Field::SecondOfDay => (i64::from(time.num_seconds_from_midnight()), 1),
            Field::Millisecond => (i64::from(time.nanosecond() / 1_000_000), 3),
            _ => (i64::from(time.nanosecond() / 1_000), 6),
        };
        (number, digits)
    }

    /// Whether it is filled even after `FM`.
    fn is_fraction(self) -> bool {
        matches!(self, Field::Millisecond | Field::Microsecond)
    }
}

impl Template {
    fn read(text: &str) -> Result<Template> {
        if text.len() > TEMPLATE_MAX {
            return exec_err!(
                "the template of to_char has {} bytes: expected at most {TEMPLATE_MAX}",
                text.len()
            );
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let is_filled = !rest.starts_with("FM") && !rest.starts_with("fm");
            let at = if is_filled { rest } else { &rest[2..] };
            if let Some((pattern, field, case)) = field_at(at)? {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                rest = &at[pattern.len()..];
                let ending = ENDINGS.iter().find(|(ending, _)| rest.starts_with(ending));
                rest = &rest[ending.map_or(0, |(ending, _)| ending.len())..];
                let ordinal = ending.and_then(|(_, case)| *case);
                parts.push(Part::Field { field, case, is_filled, ordinal });
                continue;
            }
            if !is_filled {
                // Before anything else than a pattern, it has no effect.
                rest = at;
                continue;
            }
            rest = &rest[first.len_utf8()..];
            match first {
                // Text in quotes is no pattern.
                '"' => {
                    let mut quoted = rest.chars();
                    while let Some(next) = quoted.next().filter(|next| *next != '"') {
                        // A backslash stands before a character that is text in any case.
                        plain.extend(if next == '\\' { quoted.next() } else { Some(next) });
                    }
                    rest = quoted.as_str();
                }
                '\\' if rest.starts_with('"') => {
                    plain.push('"');
                    rest = &rest[1..];
                }
                other => plain.push(other),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template(parts))
    }

    /// The text of a time; nothing if the template is empty.
    fn write(&self, time: &NaiveDateTime) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut written = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => written.push_str(text),
                Part::Field { field, case, is_filled, .. } if field.is_name() => {
                    let name = case.apply(&field.name(time));
                    let is_long = matches!(field, Field::MonthName | Field::DayName);
                    let width = if is_long && *is_filled { NAME_WIDTH } else { 0 };
                    written.push_str(&format!("{name:<width$}"));
                }
                Part::Field { field, is_filled, ordinal, .. } => {
                    let (number, digits) = field.number(time);
                    let width = if *is_filled || field.is_fraction() { digits } else { 0 };
                    written.push_str(&format!("{number:0width$}"));
                    if let Some(case) = ordinal {
                        written.push_str(&case.apply(ending(number)));
                    }
                }
            }
        }
        Some(written)
    }
}

/// The pattern at the beginning of a text, its field and its case.
fn field_at(text: &str) -> Result<Option<(&'static str, Field, Case)>> {
    // "Month" is a pattern, and "MONth" is MON with the ending th.
    let case_of = |pattern: &str| {
        let at = text.get(..pattern.len())?;
        [Case::Upper, Case::Lower, Case::First].into_iter().find(|case| case.apply(pattern) == at)
    };
    let found = FIELDS.iter().find_map(|(pattern, field)| {
        let case = case_of(pattern)?;
        let has_case = case != Case::First || (field.is_name() && *field != Field::Half);
        has_case.then_some((*pattern, *field, case))
    });
    let longest = found.map_or(0, |(pattern, ..)| pattern.len());
    if let Some(unknown) = UNKNOWN.iter().find(|own| own.len() > longest && case_of(own).is_some())
    {
        return exec_err!(
            "to_char does not write the pattern {unknown}: put it in double quotes if it is text, or leave it out"
        );
    }
    Ok(found)
}

/// The ending of an ordinal number.
fn ending(number: i64) -> &'static str {
    match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn write(template: &str, time: NaiveDateTime) -> String {
        Template::read(template).unwrap().write(&time).unwrap()
    }

    /// The texts are those of PostgreSQL 15.
    #[test]
    fn templates_are_written_as_by_postgresql() {
        let time = |y, m, d, h, mi, s, us| {
            let day = NaiveDate::from_ymd_opt(y, m, d).unwrap();
            day.and_hms_micro_opt(h, mi, s, us).unwrap()
        };
        let afternoon = time(2013, 2, 9, 15, 4, 5, 678_901);
        let midnight = time(2020, 12, 31, 0, 0, 0, 0);
        for (template, first, second) in CASES {
            assert_eq!(write(template, afternoon), *first, "{template}");
            assert_eq!(write(template, midnight), *second, "{template}");
        }
    }

    const CASES: &[(&str, &str, &str)] = &[
        ("YYYY-MM", "2013-02", "2020-12"),
        ("YYYY-MM-DD HH24:MI:SS", "2013-02-09 15:04:05", "2020-12-31 00:00:00"),
        ("YYYY-MM-DD\"T\"HH24:MI:SS.MS", "2013-02-09T15:04:05.678", "2020-12-31T00:00:00.000"),
        (
            "yyyy/mm/dd hh:mi:ss.us am",
            "2013/02/09 03:04:05.678901 pm",
            "2020/12/31 12:00:00.000000 am",
        ),
        ("HH12:MI PM", "03:04 PM", "12:00 AM"),
        ("FMHH12:FMMI FMSS", "3:4 5", "12:0 0"),
        ("Month DD, YYYY", "February  09, 2013", "December  31, 2020"),
        ("FMMonth FMDDth, YYYY", "February 9th, 2013", "December 31st, 2020"),
        ("MONTH mon Mon MON", "FEBRUARY  feb Feb FEB", "DECEMBER  dec Dec DEC"),
        (
            "Day DAY day FMDay",
            "Saturday  SATURDAY  saturday  Saturday",
            "Thursday  THURSDAY  thursday  Thursday",
        ),
        ("Dy DY dy", "Sat SAT sat", "Thu THU thu"),
        ("D ID", "7 6", "5 4"),
        ("DDD FMDDD", "040 40", "366 366"),
        ("Q \"quarter\" YYYY", "1 quarter 2013", "4 quarter 2020"),
        ("\"Q\"Q", "Q1", "Q4"),
        ("IYYY-\"W\"IW-ID", "2013-W06-6", "2020-W53-4"),
        ("WW W", "06 2", "53 5"),
        ("YYY YY Y IYY IY I", "013 13 3 013 13 3", "020 20 0 020 20 0"),
        ("J", "2456333", "2459215"),
        ("SSSSS SSSS", "54245 54245", "0 0"),
        ("CC", "21", "21"),
        ("DDTH ddth", "09TH 09th", "31ST 31st"),
        ("MMth", "02nd", "12th"),
        ("FMMS FMUS", "678 678901", "000 000000"),
        ("\\\"YYYY\\\"", "\"2013\"", "\"2020\""),
        ("\"a \\\"b\\\" c\"MM", "a \"b\" c02", "a \"b\" c12"),
        ("ä YYYY", "ä 2013", "ä 2020"),
        ("x - z", "x - z", "x - z"),
        ("FMYYYY-FMMM-FMDD", "2013-2-9", "2020-12-31"),
        ("YYYYMMDDHH24MISS", "20130209150405", "20201231000000"),
        ("Mon YY", "Feb 13", "Dec 20"),
        ("fmMonth", "February", "December"),
        (
            "MONth MonTH monthth Dayth AMth",
            "FEB Feb february  Saturday  PM",
            "DEC Dec december  Thursday  AM",
        ),
        ("Yyyy Dd", "3013 77", "0020 55"),
        ("FM DD FMx FM\"x\"DD", " 09 x x09", " 31 x x31"),
        ("DDSP DDSPth DDTHTH", "09 09th 09THTH", "31 31th 31STTH"),
        ("\"\\Y\\é\"YY", "Yé13", "Yé20"),
    ];

    #[test]
    fn unknown_patterns_are_refused() {
        for template in ["YYYY TZ", "Y,YYY", "RM", "HH12:MI A.M.", "IDDD"] {
            let error = Template::read(template).unwrap_err().to_string();
            assert!(error.contains("does not write the pattern"), "{template}: {error}");
        }
        assert_eq!(write("\"AD \"YYYY", NaiveDateTime::default()), "AD 1970");
        let long = Template::read(&"YYYY".repeat(1_000)).unwrap_err().to_string();
        assert!(long.contains("has 4000 bytes: expected at most 1024"), "{long}");
    }
}
