//! Windows that move with the clock: the last periods, to which a table is limited.

use datafusion::common::{plan_datafusion_err, plan_err};
use datafusion::error::Result;
use dayfold::schema::{Grain, ViewSchema};
use dayfold::time::Last;

/// A window in a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// These periods.
    Last(Last),
    /// Those that the value of this parameter names.
    Parameter(String),
}

impl Window {
    /// The window of a text such as `7 days` or `7d`, for a view.
    ///
    /// # Errors
    /// It is no window, or its periods do not consist of whole periods of the view.
    pub(crate) fn of_text(text: &str, view: &ViewSchema) -> Result<Window> {
        let last = last(text)?;
        if view.grain.is_within(last.grain()) {
            return Ok(Window::Last(last));
        }
        let expected: Vec<&str> = view.grain.coarser().map(Grain::name).collect();
        plan_err!(
            "the last '{text}': view '{}' is kept by {}: expected a window of one of {}",
            view.name,
            view.grain,
            expected.join(", ")
        )
    }
}

fn last(text: &str) -> Result<Last> {
    let lower = text.trim().to_ascii_lowercase();
    let found = match lower.split_once(char::is_whitespace) {
        Some((count, unit)) => {
            let unit = unit.trim();
            let grain = Grain::named(unit.strip_suffix('s').unwrap_or(unit));
            let count = count.parse().ok();
            count.zip(grain).and_then(|(count, grain)| Last::new(count, grain).ok())
        }
        None => lower.parse().ok(),
    };
    found.ok_or_else(|| {
        plan_datafusion_err!(
            "'{text}' is no window: expected a number from 1 to {} and hours, days, weeks, months, quarters or years, \
             such as '7 days' or '7d'",
            Last::MAX
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_in_words_and_in_short() {
        for (text, short) in [
            ("7 days", "7d"),
            ("7d", "7d"),
            (" 1  Day ", "1d"),
            ("24 HOURS", "24h"),
            ("4 weeks", "4w"),
            ("1 month", "1mo"),
            ("2 quarters", "2q"),
            ("10 years", "10y"),
            ("1000 days", "1000d"),
        ] {
            assert_eq!(last(text).unwrap().to_string(), short, "{text}");
        }
        for wrong in ["", "days", "0 days", "-1 day", "1001 days", "7 dayz", "7", "7 days 2 hours"]
        {
            let error = last(wrong).unwrap_err().to_string();
            assert!(
                error.contains(&format!("'{wrong}' is no window: expected a number")),
                "{error}"
            );
        }
    }
}
