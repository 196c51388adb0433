//! Finds where the leading columns of an encoded key end.

use super::id::DYNAMIC;
use super::key::{KeyShape, Part, key_shape};
use crate::dynamic::value_length;
use crate::key::{Key, text_length};

/// The lengths of the columns of an encoded key, as far as the key's id tells.
#[derive(Clone, Debug)]
pub(crate) enum Leading {
    /// Columns one after the other, and whether the key ends with the last of them.
    Columns(Vec<Width>, bool),
    /// Each column has a tag for its kind, and a zero ends the key.
    Dynamic,
}

/// The length of a column.
#[derive(Clone, Debug)]
pub(crate) enum Width {
    Fixed(usize),
    /// Up to two zeros.
    Text,
    /// A zero, or a one and a column.
    Option(Box<Width>),
}

impl Leading {
    /// The columns of a type of keys.
    pub(crate) fn of<K: Key>() -> Leading {
        let id = K::id();
        if id == DYNAMIC {
            return Leading::Dynamic;
        }
        let (mut widths, shape) = (Vec::new(), key_shape(&id));
        let is_whole = shape.is_some_and(|shape| flatten(&shape, &mut widths));
        Leading::Columns(widths, is_whole)
    }

    /// The end of the column after the first `columns` in a key whose first `columns` end at `from`. `None` if that is
    /// not known, or if it is the last column, whose end is the end of the key.
    pub(crate) fn next(&self, key: &[u8], columns: usize, from: usize) -> Option<usize> {
        let rest = key.get(from..)?;
        match self {
            Leading::Columns(widths, is_whole) => {
                let is_last = *is_whole && columns + 1 == widths.len();
                let width = widths.get(columns).filter(|_| !is_last)?;
                Some(from + width.length(rest)?)
            }
            Leading::Dynamic => {
                let end = from + value_length(rest)?;
                (end + 1 < key.len()).then_some(end)
            }
        }
    }

    /// The number of columns of which these bytes are exactly the encoding.
    pub(crate) fn columns_of(&self, bytes: &[u8]) -> Option<usize> {
        let (mut end, mut columns) = (0, 0);
        while end < bytes.len() {
            let rest = &bytes[end..];
            end += match self {
                Leading::Columns(widths, _) => widths.get(columns)?.length(rest)?,
                Leading::Dynamic => value_length(rest)?,
            };
            columns += 1;
        }
        (end == bytes.len()).then_some(columns)
    }
}

impl Width {
    /// The length of a column that begins here.
    fn length(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Width::Fixed(length) => (*length <= bytes.len()).then_some(*length),
            Width::Text => text_length(bytes),
            Width::Option(some) => match bytes.split_first()? {
                (0, _) => Some(1),
                (1, rest) => some.length(rest).map(|length| 1 + length),
                _ => None,
            },
        }
    }
}

/// Appends the columns of a key. Returns whether these are all.
fn flatten(shape: &KeyShape, widths: &mut Vec<Width>) -> bool {
    match shape {
        KeyShape::One(part) => {
            widths.push(width(*part));
            true
        }
        KeyShape::Parts(parts) => parts.iter().all(|part| flatten(part, widths)),
        KeyShape::Option(some) => match &**some {
            KeyShape::One(part) => {
                widths.push(Width::Option(Box::new(width(*part))));
                true
            }
            _ => false,
        },
        KeyShape::List(_) | KeyShape::Dynamic(_) => false,
    }
}

fn width(part: Part) -> Width {
    Width::Fixed(match part {
        Part::Text | Part::Bytes => return Width::Text,
        Part::U8 | Part::I8 | Part::Boolean => 1,
        Part::U16 | Part::I16 => 2,
        Part::U32 | Part::I32 => 4,
        Part::U64 | Part::I64 => 8,
        Part::U128 | Part::I128 => 16,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamic;
    use crate::key::encoded;

    /// The end of each leading column.
    fn ends<K: Key>(key: &K) -> Vec<usize> {
        let (leading, bytes) = (Leading::of::<K>(), encoded(key));
        let mut ends = vec![0];
        while let Some(end) = leading.next(&bytes, ends.len() - 1, ends[ends.len() - 1]) {
            assert_eq!(leading.columns_of(&bytes[..end]), Some(ends.len()));
            ends.push(end);
        }
        ends
    }

    #[test]
    fn leading_columns_end_where_the_next_ones_begin() {
        let text = |text: &str| text.to_owned();
        assert_eq!(ends(&7u64), [0]);
        assert_eq!(ends(&text("a")), [0]);
        assert_eq!(ends(&(text("a\0b"), 7u32, true)), [0, 6, 10]);
        assert_eq!(ends(&((text("ab"), -1i16), 7u8)), [0, 4, 6]);
        assert_eq!(ends(&(Some(text("")), None::<u64>, 7u128)), [0, 3, 4]);
        // Only the elements of a list tell its length, so only the columns before it have totals.
        assert_eq!(ends(&(1u8, vec![text("a")])), [0, 1]);
        assert_eq!(ends(&vec![text("a"), text("b")]), [0]);
        let dynamic = dynamic::Key::new(["a".into(), 300i64.into(), dynamic::RowValue::Null]);
        assert_eq!(ends(&dynamic), [0, 4, 8]);
    }

    #[test]
    fn part_of_a_column_is_no_column() {
        let leading = Leading::of::<(String, u32)>();
        assert_eq!(leading.columns_of(b"ab\0\0"), Some(1));
        assert_eq!(leading.columns_of(b"ab"), None);
        assert_eq!(leading.columns_of(b"ab\0\0\0\0"), None);
        assert_eq!(leading.columns_of(b""), Some(0));
    }
}
