//! The zone data that the days of a view were made with, as the folder keeps them.

use super::config::StoreConfig;
use super::record::{PartState, Record};
use crate::time::Day;
use crate::zones::{RELEASE, ZoneData};

/// The names of facts that are the store's own begin with this; the name of the view follows.
const OWN: &str = "zone data of view ";

/// Whether a fact is the store's own.
pub(super) fn is_own(fact: &str) -> bool {
    fact.starts_with(OWN)
}

/// What a part keeps of a view's zone.
pub(super) fn kept(part: &PartState, view: &str) -> Option<ZoneData> {
    part.facts.get(&format!("{OWN}{view}")).and_then(|bytes| ZoneData::read(bytes))
}

/// What the part of a process has to keep from now on. A part whose sealed days begin or end elsewhere by the data of
/// this program keeps those that they were made with, and that is said at each start.
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
