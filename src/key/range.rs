//! Ranges of keys, by their encodings.

use serde::{Deserialize, Serialize};

use super::{Key, encode_unterminated, encoded};

/// Which keys a query is about: an interval `[lower, upper)` of encoded keys.
///
/// ```
/// use dayfold::key::{KeyRange, encoded};
///
/// let pages = KeyRange::prefix("/shop/");
/// assert!(pages.contains(&encoded(&"/shop/shoes".to_owned())));
/// assert!(!pages.contains(&encoded(&"/about".to_owned())));
///
/// let hours = KeyRange::between(&9u32, &17);
/// assert!(hours.contains(&encoded(&9u32)) && !hours.contains(&encoded(&17u32)));
///
/// // Of pairs, those that begin with this.
/// let oslo = KeyRange::within(&"Oslo".to_owned());
/// assert!(oslo.contains(&encoded(&("Oslo".to_owned(), 7u32))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> KeyRange {
        KeyRange { lower: Vec::new(), upper: None }
    }

    /// Keys from `lower` on, below `upper`.
    pub fn between<K: Key>(lower: &K, upper: &K) -> KeyRange {
        KeyRange { lower: encoded(lower), upper: Some(encoded(upper)) }
    }

    /// Keys from `lower` on.
    pub fn from<K: Key>(lower: &K) -> KeyRange {
        KeyRange { lower: encoded(lower), upper: None }
    }

    /// Text or byte keys that begin with `prefix`; for tuples, see [`KeyRange::within`].
    pub fn prefix(prefix: impl AsRef<[u8]>) -> KeyRange {
        let mut lower = Vec::new();
        encode_unterminated(prefix.as_ref(), &mut lower);
        KeyRange::starting_with(lower)
    }

    /// Tuple keys whose first parts are `leading` (itself a key or a tuple of parts).
    pub fn within<P: Key>(leading: &P) -> KeyRange {
        KeyRange::starting_with(encoded(leading))
    }

    /// Tuple keys whose first parts are `leading` and whose next part, a text, begins with `prefix`.
    pub fn within_prefix<P: Key>(leading: &P, prefix: impl AsRef<[u8]>) -> KeyRange {
        let mut lower = encoded(leading);
        encode_unterminated(prefix.as_ref(), &mut lower);
        KeyRange::starting_with(lower)
    }

    /// Keys whose encodings are in `[lower, upper)`.
    pub(crate) fn of_encoded(lower: Vec<u8>, upper: Option<Vec<u8>>) -> KeyRange {
        KeyRange { lower, upper }
    }

    /// Keys whose encoding begins with these bytes.
    pub(crate) fn starting_with(lower: Vec<u8>) -> KeyRange {
        // The least byte string above all that begin with `lower`: the last byte below FF is raised by one.
        let mut upper = lower.clone();
        while upper.last() == Some(&0xFF) {
            upper.pop();
        }
        if let Some(last) = upper.last_mut() {
            *last += 1;
        }
        KeyRange { upper: (!upper.is_empty()).then_some(upper), lower }
    }

    /// The least encoding in the range.
    pub fn lower(&self) -> &[u8] {
        &self.lower
    }

    /// The least encoding above the range, or `None` if the range has no upper bound.
    pub fn upper(&self) -> Option<&[u8]> {
        self.upper.as_deref()
    }

    /// Whether an encoded key is in the range.
    pub fn contains(&self, encoded: &[u8]) -> bool {
        self.lower.as_slice() <= encoded
            && self.upper.as_deref().is_none_or(|upper| encoded < upper)
    }

    /// Whether the range holds every key.
    pub fn is_all(&self) -> bool {
        self.lower.is_empty() && self.upper.is_none()
    }
}
