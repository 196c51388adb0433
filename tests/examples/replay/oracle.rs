//! Compares random files with a recomputation that shares no code with the crate: whole numbers and maps.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Place;

/// Units of 10⁻⁹ in one.
pub(crate) const UNIT: i128 = 1_000_000_000;

/// `units`/`count` with this many digits after the point, half to even, in whole numbers.
pub(crate) fn mean_text(units: i128, count: i128, digits: u32) -> String {
    let (dividend, divisor) = (units.abs() * 10i128.pow(digits), count * UNIT);
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    let up = 2 * rest > divisor || (2 * rest == divisor && quotient % 2 == 1);
    let rounded = quotient + i128::from(up);
    let sign = if units < 0 && rounded > 0 { "-" } else { "" };
    let one = 10i128.pow(digits);
    match digits {
        0 => format!("{sign}{rounded}"),
        _ => format!("{sign}{}.{:0width$}", rounded / one, rounded % one, width = digits as usize),
    }
}

/// A xorshift generator, determined by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// Times near changes of a zone.
const ZONES: [(&str, &str); 7] = [
    ("UTC", "2013-01-01T00:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("America/St_Johns", "2010-11-07T02:30:00Z"),
    ("Asia/Kathmandu", "1985-12-31T18:20:00Z"),
    ("America/New_York", "2013-03-10T07:00:00Z"),
    ("Africa/Monrovia", "1972-01-07T00:44:30Z"),
    ("Europe/Berlin", "1969-12-31T23:00:00Z"),
];

#[derive(Default)]
struct Group {
    events: u64,
    values: [Vec<i128>; 2],
    distinct: std::collections::BTreeSet<Vec<u8>>,
}

/// One random file, its options, and the expected output.
struct Trial {
    zone: &'static str,
    arrival: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    refused: Vec<u64>,
}

fn quoted(random: &mut Random, cell: &[u8], into: &mut Vec<u8>) {
    let must = cell.iter().any(|byte| b",\"\r\n".contains(byte));
    if !must && random.below(4) > 0 {
        into.extend_from_slice(cell);
        return;
    }
    into.push(b'"');
    for byte in cell {
        if *byte == b'"' {
            into.push(b'"');
        }
        into.push(*byte);
    }
    into.push(b'"');
}

fn trial(seed: u64) -> Trial {
    const DAY: i64 = 86_400_000;
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (zone, around) = *random.of(&ZONES);
    let arrival = random.below(2) == 0;
    let tz = TimeZone::get(zone).unwrap();
    let mut at = around.parse::<Timestamp>().unwrap().as_millisecond() - 3 * DAY;
    let words: [&[u8]; 9] =
        [b"", b"a", b"ab", b"b,c", b"q\"q", "é\u{10348}".as_bytes(), b"x\ny", b" a", b"\xFF\xC3"];
    let numbers = [
        "",
        "",
        "0",
        "-0",
        "1",
        "-1.5",
        "+2.25",
        "1000000.000000001",
        "-999999999.5",
        "3.10",
        "7",
        "1e3",
        "-1.25e-1",
        ".5",
        "5.",
        "0.12500000000000",
        "123456789012",
    ];
    let (mut input, mut refused) = (b"u,t,at,k,l,v,w,d\n".to_vec(), Vec::new());
    let (mut line, mut clock) = (2, i64::MIN);
    let mut groups: BTreeMap<(jiff::civil::Date, [Vec<u8>; 2]), Group> = BTreeMap::new();
    let mut scales = [0, 0];
    for _ in 0..random.below(120) {
        at += random.below(4 * DAY as u64 / 20) as i64;
        let time = at - random.below(DAY as u64) as i64
            + random.below(DAY as u64 / 2) as i64
            + if random.below(15) == 0 { 3 * DAY } else { 0 };
        let time_cell = match random.below(4) {
            0 if time.abs() >= 100_000_000_000 => time.to_string(),
            1 => format!("{}000000", time),
            _ => Timestamp::from_millisecond(time).unwrap().to_string(),
        };
        let nanoseconds = time_cell.ends_with("000000") && !time_cell.contains('T');
        let time_cell = match nanoseconds && time.abs() < 100_000_000_000 {
            true => Timestamp::from_millisecond(time).unwrap().to_string(),
            false => time_cell,
        };
        let arrived = (random.below(8) > 0).then_some(at);
        let arrived_cell = arrived
            .map_or(String::new(), |at| Timestamp::from_millisecond(at).unwrap().to_string());
        let [k, l, d] = [(); 3].map(|()| random.of(&words).to_vec());
        let values: [String; 2] = [(); 2].map(|()| match random.below(25) {
            0 => random.of(&["e3", "x", ".", "1234567890123456789", "--1", "NaN"]).to_string(),
            _ => random.of(&numbers).to_string(),
        });
        let wrong_width = random.below(30) == 0;
        let cells: [&[u8]; 8] = [
            b"u",
            time_cell.as_bytes(),
            arrived_cell.as_bytes(),
            &k,
            &l,
            values[0].as_bytes(),
            values[1].as_bytes(),
            &d,
        ];
        let start = input.len();
        for (place, cell) in cells.iter().enumerate() {
            if place > 0 {
                input.push(b',');
            }
            quoted(&mut random, cell, &mut input);
        }
        if wrong_width {
            input.push(b',');
        }
        let here = line;
        line += input[start..].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        input.extend_from_slice(random.of::<&[u8]>(&[b"\n", b"\r\n"]));
        if random.below(20) == 0 {
            input.push(b'\n');
            line += 1;
        }
        // What the contract says about the row.
        let (of, next) = match arrival {
            true => {
                let next = arrived.map_or(clock, |arrived| arrived.max(clock));
                (if next == i64::MIN { i64::MAX - DAY } else { next }, next)
            }
            false => (i64::MAX - DAY, clock),
        };
        if wrong_width || time > of + DAY {
            refused.push(here);
            continue;
        }
        clock = next;
        let parsed = values.each_ref().map(|text| units(text));
        if parsed.iter().any(Result::is_err) {
            refused.push(here);
            continue;
        }
        let date = tz.to_datetime(Timestamp::from_millisecond(time).unwrap()).date();
        let group = groups.entry((date, [k, l])).or_default();
        group.events += 1;
        for (column, value) in parsed.into_iter().enumerate() {
            if let Ok(Some((units, scale))) = value {
                group.values[column].push(units);
                scales[column] = scale.max(scales[column]);
            }
        }
        if !d.is_empty() {
            group.distinct.insert(d);
        }
    }
    Trial { zone, arrival, input, output: expected(groups, scales), refused }
}

/// A number in units, and its digits after the point; `None` for an empty cell.
fn units(text: &str) -> Result<Option<(i128, u32)>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(());
    }
    let exponent: i32 = exponent.parse().map_err(|_| ())?;
    let scale = (fraction.len() as i32 - exponent).max(0) as u32;
    // None of the numbers here has to be rounded.
    let shift = 9 + exponent - fraction.len() as i32;
    let value: i128 = all.parse().unwrap();
    let value = value * 10i128.pow(shift.max(0) as u32) / 10i128.pow((-shift).max(0) as u32);
    if value >= 10i128.pow(27) {
        return Err(());
    }
    Ok(Some((sign * value, scale.min(9))))
}

fn expected(
    groups: BTreeMap<(jiff::civil::Date, [Vec<u8>; 2]), Group>,
    scales: [u32; 2],
) -> Vec<u8> {
    let mut out = b"day,k,l,events,v_count,v_sum,v_min,v_max,v_mean,v_p50,v_p99,\
                    w_count,w_sum,w_min,w_max,w_mean,w_p50,w_p99,d_distinct\n"
        .to_vec();
    for ((date, key), group) in groups {
        out.extend_from_slice(date.to_string().as_bytes());
        for cell in key {
            out.push(b',');
            let must = cell.iter().any(|byte| b",\"\r\n".contains(byte));
            let cell = cell.iter().flat_map(|byte| vec![*byte; 1 + usize::from(*byte == b'"')]);
            out.extend(std::iter::repeat_n(b'"', usize::from(must)));
            out.extend(cell);
            out.extend(std::iter::repeat_n(b'"', usize::from(must)));
        }
        out.extend_from_slice(format!(",{}", group.events).as_bytes());
        for (mut values, scale) in group.values.into_iter().zip(scales) {
            values.sort_unstable();
            let (count, sum) = (values.len(), values.iter().sum::<i128>());
            let text = |units: i128| mean_text(units, 1, scale);
            let cells = match count {
                0 => format!(",0,{},,,,,", text(0)),
                _ => format!(
                    ",{count},{},{},{},{},{},{}",
                    text(sum),
                    text(values[0]),
                    text(values[count - 1]),
                    mean_text(sum, count as i128, scale + 6),
                    text(values[(50 * count).div_ceil(100) - 1]),
                    text(values[(99 * count).div_ceil(100) - 1]),
                ),
            };
            out.extend_from_slice(cells.as_bytes());
        }
        out.extend_from_slice(format!(",{}\n", group.distinct.len()).as_bytes());
    }
    out
}

#[test]
fn oracle_any_file_equals_a_recomputation() {
    for seed in 1..=80 {
        let Trial { zone, arrival, input, output, refused } = trial(seed);
        let place = Place::new();
        place.write("in.csv", &input);
        let args = format!(
            "in.csv --time t {} --key k,l --value v,w --distinct d --zone {zone} --grace {} -w {} {}",
            if arrival { "--arrival at" } else { "" },
            ["0s", "1h", "3d"][seed as usize % 3],
            1 + seed % 3,
            if seed % 4 == 0 { "--data d" } else { "" },
        );
        let ran = place.run(&args);
        let kept = "in.csv.refused.csv";
        let kept = if seed % 4 == 0 { "d/part-0/rejected/rows.csv" } else { kept };
        assert!(
            ran.code == 0 && ran.out == output,
            "seed {seed}: {args}\n{}\nexpected\n{}\nfound {ran:?}\n{}",
            String::from_utf8_lossy(&input),
            String::from_utf8_lossy(&output),
            String::from_utf8_lossy(&ran.out),
        );
        let rows = place.read(kept).unwrap_or_default();
        let lines = rows.lines().filter_map(|line| {
            let (number, rest) = line.split_once(',')?;
            rest.contains(',').then(|| number.parse::<u64>().ok()).flatten()
        });
        let lines: Vec<u64> = lines.collect();
        assert!(
            refused.iter().all(|line| lines.contains(line)),
            "seed {seed}: {refused:?}, {rows}"
        );
        assert!(ran.err.contains(&format!(" {} refused", refused.len())), "seed {seed}: {ran:?}");
    }
}
