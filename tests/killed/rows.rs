//! A file with rows in time, late rows, and refused rows.

use super::random::Random;

const DAYS: i64 = 20;
const ROWS_OF_DAY: i64 = 5_000;
/// 2013-03-01T00:00:00Z; the clocks of New York change on the tenth.
const START: i64 = 1_362_096_000;
const DAY: i64 = 86_400;

/// One in this many rows is refused.
const REFUSED_EVERY: i64 = 61;

/// Lines of the file of refused rows: the header, and one for each row, except for rows with a line end inside.
pub(crate) const REFUSED_LINES: usize = {
    let refused = DAYS * ROWS_OF_DAY / REFUSED_EVERY;
    (1 + refused + (refused + 1) / 5) as usize
};

pub(crate) fn file() -> Vec<u8> {
    let mut random = Random::new(2013);
    let mut file = b"at,seen,k,v,tag\n".to_vec();
    for row in 0..DAYS * ROWS_OF_DAY {
        let seen = START + row * DAY / ROWS_OF_DAY;
        let late = match random.below(50) {
            0 => random.below(60 * 3_600),
            _ => random.below(1_800),
        };
        let (at, key) = (seen - late as i64, random.below(40));
        let (value, tag) = (random.below(2_000_000) as i64 - 1_000_000, random.below(60));
        let value = format!("{}.{:03}", value / 1_000, value.abs() % 1_000);
        let line = match row % REFUSED_EVERY {
            0 if row > 0 => match row / REFUSED_EVERY % 5 {
                0 => format!("soon,{seen},k{key},{value},{tag}\n").into_bytes(),
                1 => format!("{at},{seen},k{key},1e3x,{tag}\n").into_bytes(),
                2 => format!("{at},{seen},k{key}\n").into_bytes(),
                3 => [format!("{at},{seen},").as_bytes(), b"\xFF,x,\n"].concat(),
                _ => format!("{at},{seen},\"k\n{key}\",x,{tag}\n").into_bytes(),
            },
            _ => format!("{at},{seen},k{key},{value},{tag}\n").into_bytes(),
        };
        file.extend_from_slice(&line);
    }
    file
}

/// The end of the last row of the file that ends at `at` or before.
pub(crate) fn end_of_row(file: &[u8], at: usize) -> usize {
    // A line end inside quotes is followed by digits and a quote.
    let is_end = |&end: &usize| {
        let next = &file[end..file.len().min(end + 4)];
        file[end - 1] == b'\n' && !next.contains(&b'"')
    };
    (1..=at).rev().find(is_end).unwrap_or(at)
}
