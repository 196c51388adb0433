//! Prints a table that fits the terminal.

use std::io::Write;

/// The space between columns.
const GAP: usize = 2;

/// The minimum width to which a column is cut.
const LEAST: usize = 6;

/// Writes rows under the names of their columns, with numbers aligned right. With a width, the widest columns are cut
/// to fit. Columns for which there is no room are left out, and the last line says so.
pub(super) fn write(
    columns: &[String],
    is_number: &[bool],
    rows: &[Vec<String>],
    width: Option<usize>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let texts: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| on_one_line(cell)).collect()).collect();
    let wanted = |at: usize| {
        let cells = texts.iter().map(|row| length(&row[at]));
        cells.chain([length(&columns[at])]).max().unwrap_or(0)
    };
    let wanted: Vec<usize> = (0..columns.len()).map(wanted).collect();
    let widths = width.map_or_else(|| wanted.clone(), |width| fit(&wanted, width));
    let line = |cells: &[String]| {
        let cells = widths.iter().enumerate().map(|(at, &width)| {
            let cell = cut(&cells[at], width);
            let padding = " ".repeat(width.saturating_sub(length(&cell)));
            if is_number[at] { padding + &cell } else { cell + &padding }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    writeln!(out, "{}", line(columns))?;
    texts.iter().try_for_each(|row| writeln!(out, "{}", line(row)))?;
    let left_out = &columns[widths.len()..];
    let is_cut = widths.iter().zip(&wanted).any(|(width, wanted)| width < wanted);
    match (left_out, is_cut) {
        ([], false) => Ok(()),
        ([], true) => writeln!(out, "(cells are cut to fit; --format csv has all of them)"),
        (left_out, _) => {
            writeln!(out, "(no room for {}; --format csv has all of it)", left_out.join(", "))
        }
    }
}

/// The widths of the columns that fit. The widest are narrowed together; if that is not enough, the last columns are
/// left out.
fn fit(wanted: &[usize], width: usize) -> Vec<usize> {
    let mut widths = wanted.to_vec();
    let sum =
        |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    let least = |widths: &[usize]| -> Vec<usize> {
        widths.iter().map(|width| (*width).min(LEAST)).collect()
    };
    while widths.len() > 1 && sum(&least(&widths)) > width {
        widths.pop();
    }
    while sum(&widths) > width {
        let Some(widest) = widths.iter_mut().max() else { break };
        if *widest <= 1 {
            break;
        }
        *widest -= 1;
    }
    widths
}

/// The number of characters. Wide characters count as one.
fn length(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// A cell without characters that would move the cursor.
fn on_one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{FFFD}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(width: Option<usize>, expect: &str) {
        let columns = ["page", "visits", "note"].map(str::to_owned);
        let rows = [["/a/long/path", "12", "one\ntwo"], ["/é", "5", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let mut out = Vec::new();
        write(&columns, &[false, true, false], &rows, width, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expect, "{width:?}");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let whole = "page          visits  note\n/a/long/path      12  one\u{FFFD}two\n/é                 5\n";
        check(None, whole);
        check(Some(29), whole);
        let cut = "page      visits  note\n/a/long…      12  one\u{FFFD}two\n/é             5\n(cells are cut to fit; --format csv has all of them)\n";
        check(Some(25), cut);
        check(
            Some(15),
            "page     visits\n/a/lon…      12\n/é            5\n(no room for note; --format csv has all of it)\n",
        );
        check(Some(3), "pa…\n/a…\n/é\n(no room for visits, note; --format csv has all of it)\n");
    }
}
