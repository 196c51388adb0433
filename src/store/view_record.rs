//! The definition of a view as a folder stores it.

use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::key::Key;
use crate::schema::former::{Former, id_of, is_former};
use crate::time::Grain;
use crate::view::View;
use crate::zones;

/// The definition of a view as a folder stores it. All fields are texts; a mismatch of any is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ViewRecord {
    /// The name: 1 to 64 characters of `a-z`, `0-9`, `-` and `_`. It is also the name of a folder.
    pub name: String,
    /// The IANA zone of its periods.
    pub zone: String,
    /// The length of its periods.
    pub grain: Grain,
    /// The id of its key type: [`Key::id`].
    pub key: String,
    /// The id of its aggregate type: [`Aggregate::id`].
    pub aggregate: String,
    /// Whatever else determines its rows: expressions, filters, parameters of aggregates.
    pub definition: String,
}

impl ViewRecord {
    /// The record of a view with keys and aggregates of these types.
    pub fn of<K: Key, A: Aggregate>(view: &View) -> ViewRecord {
        let types = view.row_types::<K, A>();
        ViewRecord {
            name: view.name().to_owned(),
            zone: view.calendar().name().to_owned(),
            grain: view.calendar().grain(),
            key: types.key,
            aggregate: types.aggregate,
            definition: view.definition().to_owned(),
        }
    }

    /// The first difference from another definition of the view: the field, the value here, and the value there. Two
    /// names of one zone do not differ.
    pub fn difference<'a>(
        &'a self,
        other: &'a ViewRecord,
    ) -> Option<(&'static str, &'a str, &'a str)> {
        let mut fields = self.fields().into_iter().zip(other.fields());
        let is_other = |field: &str, here: &str, there: &str| {
            here != there && !(field == "zone" && zones::is_same(here, there))
        };
        let ((field, here), (_, there)) =
            fields.find(|((field, here), (_, there))| is_other(field, here, there))?;
        Some((field, here, there))
    }

    /// The ids of its keys and aggregates, even if version 0.1 wrote names of types.
    pub(crate) fn ids(&self) -> (String, String) {
        (id_of(&self.key), id_of(&self.aggregate))
    }

    /// The record of a removed view: no view has keys and aggregates without an id. A program older than removals takes
    /// it for another definition, and refuses the folder.
    pub(super) fn removed(name: &str) -> ViewRecord {
        let nothing = String::new;
        ViewRecord {
            name: name.to_owned(),
            zone: nothing(),
            grain: Grain::Day,
            key: nothing(),
            aggregate: nothing(),
            definition: "removed".to_owned(),
        }
    }

    /// Whether the view was removed.
    pub(super) fn is_removed(&self) -> bool {
        self.key.is_empty() && self.aggregate.is_empty()
    }

    /// Whether it has type names instead of ids, as version 0.1 wrote it.
    pub(super) fn is_former(&self) -> bool {
        is_former(&self.key) || is_former(&self.aggregate)
    }

    /// The fields in which two definitions may differ, with their values.
    pub(crate) fn fields(&self) -> [(&'static str, &str); 5] {
        [
            ("zone", &self.zone),
            ("grain", self.grain.name()),
            // This comes before the ids: if both differ, the definition says more.
            ("definition", &self.definition),
            ("key", &self.key),
            ("aggregate", &self.aggregate),
        ]
    }

    /// What the processes of a cluster have to agree on. Names of one zone are one zone, and its data one release.
    pub(crate) fn agreed(&self) -> [(&'static str, String); 5] {
        self.fields().map(|(what, value)| match what {
            "zone" => (what, zones::agreed(value)),
            _ => (what, value.to_owned()),
        })
    }
}

/// The names that a folder of version 0.1 may have instead of the ids of a view.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerNames {
    key: Former,
    aggregate: Former,
}

impl FormerNames {
    /// The names of a view with keys and aggregates of these types.
    pub fn of<K: Key, A: Aggregate>() -> FormerNames {
        FormerNames { key: Former::of::<K>(K::id()), aggregate: Former::of::<A>(A::id()) }
    }

    /// The names of a view whose types are not known.
    pub(super) const ANY: FormerNames = FormerNames { key: Former::Any, aggregate: Former::Any };

    /// Whether `said` is the former name of a field's type.
    pub(super) fn has(&self, field: &str, said: &str) -> bool {
        match field {
            "key" => self.key.is(said),
            "aggregate" => self.aggregate.is(said),
            _ => false,
        }
    }
}
