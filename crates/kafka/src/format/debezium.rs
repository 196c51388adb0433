//! The envelope of Debezium: changes of a table's rows.

use super::{Fields, Format};

/// Changes of rows, in another format: Debezium's envelope with `op`, `before` and `after`, with or without the schema
/// around it.
///
/// An event is never retracted, but an aggregate may have an inverse: counts and sums do. So a change has a *sign*, by
/// which the program multiplies counts and sums. For aggregates without an inverse (extremes, distinct counts,
/// quantiles), use [`Debezium::inserts`], which refuses other changes.
///
/// ```
/// # #[cfg(feature = "json")] {
/// use dayfold_kafka::format::{Debezium, Json};
///
/// let orders = Debezium::changes(Json);
/// let changes = orders.decode(br#"{"op":"u","before":{"id":7,"total":3},"after":{"id":7,"total":5}}"#);
/// let total: i128 =
///     changes.unwrap().iter().map(|change| i128::from(change.sign) * change.fields.integer("total").unwrap()).sum();
/// assert_eq!(total, 2);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Debezium<F> {
    format: F,
    takes_back: bool,
}

/// An added or removed row.
///
/// ```
/// use dayfold_kafka::format::Change;
///
/// /// What a change of a row adds to a sum of its `total`: an update is a row that goes and one that comes.
/// fn adds(change: &Change) -> Result<i128, String> {
///     Ok(i128::from(change.sign) * change.fields.integer("total")?)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// 1 for an added row, -1 for a removed one.
    pub sign: i64,
    /// The row.
    pub fields: Fields,
}

impl<F: Format> Debezium<F> {
    /// All changes: an update removes a row and adds one. The table must log whole rows (PostgreSQL's
    /// `REPLICA IDENTITY FULL`); otherwise updates and deletions are refused.
    pub fn changes(format: F) -> Debezium<F> {
        Debezium { format, takes_back: true }
    }

    /// Only added rows; updates and deletions are refused.
    pub fn inserts(format: F) -> Debezium<F> {
        Debezium { format, takes_back: false }
    }

    /// The changes of a record.
    ///
    /// # Errors
    /// Why the record is refused, on one line.
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<Change>, String> {
        let all = self.format.decode(bytes)?;
        let around = if all.get("op").is_some() { "" } else { "payload." };
        let op = all
            .text(&format!("{around}op"))
            .map_err(|_| "no envelope of Debezium: there is no 'op'")?;
        let before = row(&all, &format!("{around}before."));
        let after = row(&all, &format!("{around}after."));
        let has_come = |after: Option<Fields>| {
            let fields = after.ok_or_else(|| format!("the change '{op}' has no row 'after'"))?;
            Ok::<_, String>(Change { sign: 1, fields })
        };
        let has_gone = || {
            if !self.takes_back {
                return Err(format!(
                    "the change '{op}' takes back a row, which the aggregates of this program cannot"
                ));
            }
            let missing =
                || format!("the change '{op}' has no row 'before': have the table log whole rows");
            Ok(Change { sign: -1, fields: before.clone().ok_or_else(missing)? })
        };
        match op {
            "c" | "r" => Ok(vec![has_come(after)?]),
            "u" => Ok(vec![has_gone()?, has_come(after)?]),
            "d" => Ok(vec![has_gone()?]),
            "m" => Ok(Vec::new()),
            op => Err(format!("the change '{op}' is none of c, r, u and d")),
        }
    }
}

/// The nested fields, if there are any.
fn row(all: &Fields, outer: &str) -> Option<Fields> {
    let mut fields = Fields::default();
    for (name, value) in all.iter() {
        if let Some(name) = name.strip_prefix(outer) {
            fields.push(name, value.clone());
        }
    }
    let is_there = fields.iter().len() > 0;
    is_there.then_some(fields)
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use super::*;
    use crate::format::Json;

    fn show(debezium: Debezium<Json>, text: &str) -> Result<Vec<(i64, i128)>, String> {
        let changes = debezium.decode(text.as_bytes())?;
        changes.iter().map(|change| Ok((change.sign, change.fields.integer("n")?))).collect()
    }

    #[test]
    fn rows_come_and_go() {
        let all = Debezium::changes(Json);
        let insert = r#"{"op":"c","before":null,"after":{"n":1},"ts_ms":5}"#;
        let update = r#"{"schema":{"x":1},"payload":{"op":"u","before":{"n":1},"after":{"n":2}}}"#;
        let delete = r#"{"op":"d","before":{"n":2},"after":null}"#;
        assert_eq!(show(all, insert).unwrap(), [(1, 1)]);
        assert_eq!(show(all, update).unwrap(), [(-1, 1), (1, 2)]);
        assert_eq!(show(all, delete).unwrap(), [(-1, 2)]);
        assert_eq!(show(all, r#"{"op":"m"}"#).unwrap(), []);
    }

    #[test]
    fn what_cannot_be_taken_back_is_refused_with_the_reason() {
        let inserts = Debezium::inserts(Json);
        assert_eq!(show(inserts, r#"{"op":"r","after":{"n":1}}"#).unwrap(), [(1, 1)]);
        let update = r#"{"op":"u","before":{"n":1},"after":{"n":2}}"#;
        assert!(show(inserts, update).unwrap_err().contains("takes back a row"));
        let blind = show(Debezium::changes(Json), r#"{"op":"u","before":null,"after":{"n":2}}"#);
        assert!(blind.unwrap_err().contains("log whole rows"));
        let truncated = show(inserts, r#"{"op":"t"}"#).unwrap_err();
        assert_eq!(truncated, "the change 't' is none of c, r, u and d");
        assert!(show(inserts, r#"{"n":1}"#).unwrap_err().contains("no envelope"));
    }
}
