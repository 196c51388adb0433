//! The time zone data with which the days of a view were made, as the folder stores it.

use super::config::StoreConfig;
use super::record::{PartState, Record};
use crate::time::Day;
use crate::zones::{RELEASE, ZoneData};

/// The prefix of the names of the store's own facts; the name of the view follows.
const OWN: &str = "zone data of view ";

/// Whether a fact is the store's own.
pub(super) fn is_own(fact: &str) -> bool {
    fact.starts_with(OWN)
}

/// The zone data that a part stores for a view.
pub(super) fn kept(part: &PartState, view: &str) -> Option<ZoneData> {
    part.facts.get(&format!("{OWN}{view}")).and_then(|bytes| ZoneData::read(bytes))
}

/// The zone data that the part of a process has to store from now on. A part with sealed days that begin or end at
/// another time in the data of this program keeps the data with which they were made; each start reports that.
pub(super) fn records(
    config: &StoreConfig,
    part: &PartState,
    days: impl Fn(&str) -> Vec<Day>,
) -> Vec<Record> {
    let mut records = Vec::new();
    for view in &config.views {
        let Some(now) = ZoneData::of(&view.zone) else { continue };
        if let Some(before) = kept(part, &view.name) {
            if before.release == RELEASE {
                continue;
            }
            let changed = before.changed(&view.zone, view.grain, days(&view.name));
            if let [first, .., last] | [first @ last] = &changed[..] {
                tracing::warn!(
                    view = view.name,
                    zone = view.zone,
                    "{} sealed days, {first} to {last}, begin or end elsewhere by the time zone data {RELEASE} of this \
                     program than by {}, which they were sealed with: they stay as they are, and late events go to days \
                     of {RELEASE}. Define the view anew to compute them again from the log, or use a program with {}",
                    changed.len(),
                    before.release,
                    before.release,
                );
                continue;
            }
        }
        records.push(Record::Fact { name: format!("{OWN}{}", view.name), bytes: now.write() });
    }
    records
}
