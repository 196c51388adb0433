//! The columns that an expression may name.

use dayfold::time::Calendar;

use super::cell::Type;
use super::digits;
use super::error::ExprError;

/// A column of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The name; dots select fields of objects.
    pub name: String,
    /// The type of its values.
    pub kind: Type,
    /// The digits after the point of its decimals, if they are stated.
    pub digits: Option<u8>,
    /// If its type was inferred to be text: the first value that is nothing else, and where it is.
    pub text_since: Option<String>,
}

/// The columns that an expression may name, those that were named, and the zone of its dates.
///
/// Rows have a slot for each named column, in the order of naming. So a column that nothing names is not read.
#[derive(Clone, Debug)]
pub struct Scope {
    columns: Vec<Column>,
    is_open: bool,
    used: Vec<usize>,
    /// The slots that were named since [`Scope::take_named`].
    named: Vec<usize>,
    zone: Calendar,
}

impl Scope {
    /// A scope of these columns only.
    pub fn new(columns: Vec<Column>, zone: Calendar) -> Scope {
        Scope { columns, is_open: false, used: Vec::new(), named: Vec::new(), zone }
    }

    /// A scope of these columns, and of others without a known type, as JSON may have.
    pub fn open(columns: Vec<Column>, zone: Calendar) -> Scope {
        Scope { is_open: true, ..Scope::new(columns, zone) }
    }

    /// Changes the zone, for expressions of another zone.
    pub fn set_zone(&mut self, zone: Calendar) {
        self.zone = zone;
    }

    /// The zone of dates.
    pub fn zone(&self) -> &Calendar {
        &self.zone
    }

    /// The named columns, in the order of slots.
    pub fn used(&self) -> impl ExactSizeIterator<Item = &Column> {
        self.used.iter().map(|&column| &self.columns[column])
    }

    /// The digits after the point of the decimals of a slot, at most.
    pub(super) fn digits(&self, slot: usize) -> u8 {
        let column = self.used.get(slot).map(|&column| &self.columns[column]);
        match column {
            Some(Column { kind: Type::Integer, .. }) => 0,
            Some(Column { kind: Type::Decimal, digits: Some(digits), .. }) => *digits,
            _ => digits::MOST,
        }
    }

    /// The slots of the columns that were named since the last call.
    pub(crate) fn take_named(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.named)
    }

    /// Marks every column as named, after those that were.
    pub fn use_all(&mut self) {
        for column in 0..self.columns.len() {
            if !self.used.contains(&column) {
                self.used.push(column);
            }
        }
    }

    /// The slot of a column, and its type.
    pub(crate) fn find(
        &mut self,
        name: &str,
        is_quoted: bool,
        at: usize,
    ) -> Result<(usize, Type), ExprError> {
        let column = match self.position(name, is_quoted) {
            Some(column) => column,
            None if self.is_open => {
                self.columns.push(Column {
                    name: name.to_owned(),
                    kind: Type::Untyped,
                    digits: None,
                    text_since: None,
                });
                self.columns.len() - 1
            }
            None => return Err(self.unknown(name, at)),
        };
        let slot = self.used.iter().position(|used| *used == column).unwrap_or_else(|| {
            self.used.push(column);
            self.used.len() - 1
        });
        if !self.named.contains(&slot) {
            self.named.push(slot);
        }
        Ok((slot, self.columns[column].kind))
    }

    /// Explains why a slot's column is text, if that was inferred: it follows a message that expected something else.
    pub(crate) fn why_text(&self, slot: usize) -> String {
        let Column { name, text_since, .. } = &self.columns[self.used[slot]];
        let Some(since) = text_since else { return String::new() };
        format!(
            ", because of {since}: to refuse such rows, write columns = {{ {name} = \"decimal\" }} (or another type) in the source"
        )
    }

    /// The position of a column. Names are those of the source; if there is no such name, the case may differ, as long
    /// as only one name matches.
    fn position(&self, name: &str, is_quoted: bool) -> Option<usize> {
        let exact = self.columns.iter().position(|column| column.name == name);
        if exact.is_some() || is_quoted {
            return exact;
        }
        let mut alike = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.name.eq_ignore_ascii_case(name));
        let first = alike.next().map(|(at, _)| at);
        first.filter(|_| alike.next().is_none())
    }

    /// Whether there is a column of exactly this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == name)
    }

    fn unknown(&self, name: &str, at: usize) -> ExprError {
        let names = self.columns.iter().map(|column| column.name.as_str());
        let message = match nearest(name, names.clone()) {
            Some(near) => format!("there is no column '{name}': did you mean '{near}'?"),
            None if self.columns.is_empty() => {
                format!("there is no column '{name}': the source has none")
            }
            None => {
                const SHOWN: usize = 12;
                let shown: Vec<&str> = names.clone().take(SHOWN).collect();
                let more = if names.len() > SHOWN { ", …" } else { "" };
                format!("there is no column '{name}': expected one of {}{more}", shown.join(", "))
            }
        };
        ExprError::new(at, message)
    }
}

/// The most similar name: the one with the fewest changes, at most a third of its letters.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let distances = names.into_iter().map(|other| (distance(&lower, &other.to_lowercase()), other));
    let (found, near) = distances.min_by_key(|(distance, _)| *distance)?;
    (found <= name.chars().count().max(3) / 3).then_some(near)
}

/// The number of letters to insert, remove, replace or swap with a neighbour: optimal string alignment.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut line = vec![i];
        for j in 1..=right.len() {
            let is_same = left[i - 1] == right[j - 1];
            let mut least =
                (last[j - 1] + usize::from(!is_same)).min(last[j] + 1).min(line[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut last, line);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name() {
        let names = ["carrier", "distance", "tailnum", "arr_delay"];
        assert_eq!(nearest("carier", names), Some("carrier"));
        assert_eq!(nearest("Distnace", names), Some("distance"));
        assert_eq!(nearest("arrdelay", names), Some("arr_delay"));
        assert_eq!(nearest("speed", names), None);
        assert_eq!(nearest("x", []), None);
    }
}
