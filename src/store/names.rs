//! The names of sealed files, rollups and packs.

use std::num::NonZeroU32;

use crate::closing::Closing;
use crate::time::{Day, Grain};

/// A period in the name of a file, without the colons of hours, which some file systems do not accept.
pub(super) fn period_name(period: Day) -> String {
    period.to_string().replace(':', "")
}

/// Parses the output of [`period_name`].
pub(super) fn parse_period_name(name: &str) -> Option<Day> {
    let hour = |(date, time): (&str, &str)| {
        Some(format!("{date}T{}:{}:{}", time.get(0..2)?, time.get(2..4)?, time.get(4..)?))
    };
    let text = name.split_once('T').map_or(Some(name.to_owned()), hour)?;
    Day::parse_period(&text).ok()
}

/// The name of a batch view in the folder of its day.
pub(super) fn batch_file_name(closing: Closing, generation: u32, worker: u32) -> String {
    let day = period_name(closing.day);
    let floor = closing.floor().map_or(String::new(), |floor| format!("-f{floor}"));
    match generation {
        0 => format!("{day}{floor}-w{worker}.batch"),
        _ => format!("{day}{floor}-g{generation}-w{worker}.batch"),
    }
}

/// What a rollup is called: grain, first period, worker, run and number.
pub(super) fn rollup_file_name(
    grain: Grain,
    day: Day,
    worker: u32,
    (run, number): (u64, u64),
) -> String {
    format!("{grain}-{}-w{worker}-r{run}-{number}", period_name(day))
}

/// Parses the grain and the first period in the name of a rollup.
pub(super) fn parse_rollup_file_name(name: &str) -> Option<(Grain, Day)> {
    let (grain, rest) = name.split_once('-')?;
    let grain = Grain::ALL.into_iter().find(|known| known.name() == grain)?;
    let (period, _) = rest.rsplit_once("-w")?;
    Some((grain, parse_period_name(period)?))
}

/// Parses the closing, the generation and the worker in the name of a batch view.
pub(super) fn parse_batch_file_name(name: &str) -> Option<(Closing, u32, u32)> {
    let (revision, worker) = name.strip_suffix(".batch")?.rsplit_once("-w")?;
    let (closing, generation) = revision.split_once("-g").unwrap_or((revision, "0"));
    let (generation, worker) = (generation.parse().ok()?, worker.parse().ok()?);
    let closing = match closing.split_once("-f") {
        None => Closing::of(parse_period_name(closing)?),
        Some((day, floor)) => Closing::late(parse_period_name(day)?, floor.parse().ok()?),
    };
    let is_ours = batch_file_name(closing, generation, worker) == name;
    is_ours.then_some((closing, generation, worker))
}

/// The name of a pack.
pub(super) fn pack_name(pack: NonZeroU32) -> String {
    format!("{pack}.pack")
}

/// Parses the number in the name of a pack.
pub(super) fn parse_pack_name(name: &str) -> Option<NonZeroU32> {
    let pack = name.strip_suffix(".pack")?.parse().ok()?;
    (pack_name(pack) == name).then_some(pack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_come_back() {
        let names = [
            ("2013-01-02", 0, "2013-01-02-w12.batch"),
            ("2013-01-02", 3, "2013-01-02-g3-w12.batch"),
            ("-1199-02-15", 3, "-1199-02-15-g3-w12.batch"),
            ("2013-01-02T05:30:00Z", 3, "2013-01-02T053000Z-g3-w12.batch"),
        ];
        for (day, generation, name) in names {
            let closing = Closing::of(Day::parse_period(day).unwrap());
            assert_eq!(batch_file_name(closing, generation, 12), name);
            assert_eq!(parse_batch_file_name(name), Some((closing, generation, 12)));
        }
        for (floor, generation, name) in [
            (1_357_084_800_000, 0, "2013-01-02-f1357084800000-w3.batch"),
            (-7, 2, "2013-01-02-f-7-g2-w3.batch"),
        ] {
            let closing = Closing::late("2013-01-02".parse().unwrap(), floor);
            assert_eq!(batch_file_name(closing, generation, 3), name);
            assert_eq!(parse_batch_file_name(name), Some((closing, generation, 3)));
        }
        for other in [
            "2013-01-02-w12.batch.tmp",
            "2013-01-02-w012.batch",
            "2013-01-02-g0-w12.batch",
            "2013-01-02-g03-w12.batch",
            "2013-13-02-w1.batch",
            "x",
        ] {
            assert_eq!(parse_batch_file_name(other), None, "{other}");
        }
    }
}
