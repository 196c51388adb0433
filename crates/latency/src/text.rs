//! Numbers for people.

/// A duration in nanoseconds, to three digits and with a unit: `102 µs`, `1.52 ms`, `60.0 s`.
pub fn duration(nanoseconds: u64) -> String {
    let (unit, size) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds} ns"),
        1_000..999_500 => ("µs", 1e3),
        999_500..999_500_000 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    let value = nanoseconds as f64 / size;
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {unit}")
}

/// A duration without needless zeros, for axes: `100 µs`, `2 ms`, `0.5 s`.
pub(super) fn round_duration(nanoseconds: f64) -> String {
    let units = [("s", 1e9), ("ms", 1e6), ("µs", 1e3)];
    let fits = units.into_iter().find(|(_, size)| nanoseconds >= *size * 0.999);
    let (unit, size) = fits.unwrap_or(("ns", 1.0));
    // Three digits after the point remove the rounding errors of the multiplication.
    format!("{} {unit}", (nanoseconds / size * 1e3).round() / 1e3)
}

/// A count without needless zeros, for axes: `500`, `20 k`, `1.5 M`.
pub(super) fn round_count(number: f64) -> String {
    let fits = [(" M", 1e6), (" k", 1e3)].into_iter().find(|(_, size)| number >= *size * 0.999);
    let (unit, size) = fits.unwrap_or(("", 1.0));
    format!("{}{unit}", (number / size * 1e3).round() / 1e3)
}

/// A number with a comma between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Columns under their headings: the first to the left, the others to the right.
pub(super) fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (place, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            match place {
                0 => line.push_str(&format!("{cell:<width$}")),
                _ => line.push_str(&format!("  {cell:>width$}")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A name at the beginning of a title.
pub(super) fn sentence(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        let texts = [0, 999, 1_000, 9_995, 102_345, 999_499, 999_500, 1_520_000, 60_000_000_000];
        let expect = [
            "0 ns", "999 ns", "1.00 µs", "10.0 µs", "102 µs", "999 µs", "1.00 ms", "1.52 ms",
            "60.0 s",
        ];
        assert_eq!(texts.map(duration), expect);
        assert_eq!([500.0, 20_000.0, 1_500_000.0].map(round_count), ["500", "20 k", "1.5 M"]);
        assert_eq!([0, 999, 1_000, 60_000_000].map(count), ["0", "999", "1,000", "60,000,000"]);
        assert_eq!(
            [1e5, 2e6, 5e8, 3e9, 1e9].map(round_duration),
            ["100 µs", "2 ms", "500 ms", "3 s", "1 s"]
        );
    }
}
