//! `[views.NAME]`: the views.

use super::document::{Document, FileError};
use super::section::{Section, Text};
use super::source::{SourceConfig, zone};
use crate::expr::nearest;
use dayfold::time::{Grain, parse_duration};
use std::num::NonZeroU32;
use std::time::Duration;

/// Which revisions of a period are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revisions {
    /// This many of the newest ones.
    Newest(NonZeroU32),
    /// Those that were superseded within this time, and the newest one.
    Within(Duration),
}

/// A view.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewConfig {
    /// Its name.
    pub name: Text,
    /// The sources of its events.
    pub from: Vec<Text>,
    /// The zone of its days; UTC if it is not set.
    pub zone: Option<Text>,
    /// The length of its periods.
    pub grain: Grain,
    /// Coarser periods that are kept as well, and for how long, if that is another time than that of the periods.
    pub rollups: Vec<(Grain, Option<Duration>)>,
    /// How long it waits after the end of a day, in milliseconds; an hour if it is not set.
    pub grace: Option<Duration>,
    /// How long a period is kept after its end; for ever if it is not set.
    pub keep: Option<Duration>,
    /// Which revisions of a period are kept; all if it is not set.
    pub revisions: Option<Revisions>,
    /// The condition of its events.
    pub filter: Option<Text>,
    /// Its key: names and expressions.
    pub key: Vec<(Text, Text)>,
    /// Its measures: names and calls.
    pub measures: Vec<(Text, Text)>,
    /// The units of measures, by name; the page shows them after the name.
    pub units: Vec<(Text, Text)>,
}

const KEYS: [&str; 11] = [
    "from",
    "zone",
    "grain",
    "rollup",
    "grace",
    "keep",
    "revisions",
    "where",
    "key",
    "measures",
    "units",
];

/// Reads the views of a file.
pub(super) fn read(
    root: &Section<'_>,
    sources: &[SourceConfig],
) -> Result<Vec<ViewConfig>, FileError> {
    let sections = root.sections("views", &KEYS)?;
    if sections.is_empty() {
        let message = "the file has no [views.NAME]: expected a view, and what it is from, its key and its measures";
        return Err(root.document.error_of_file(message));
    }
    sections.into_iter().map(|(name, section)| view(name, &section, sources)).collect()
}

fn view(
    name: Text,
    section: &Section<'_>,
    sources: &[SourceConfig],
) -> Result<ViewConfig, FileError> {
    // The library's rule for names of views applies here, too.
    dayfold::view::View::new(&name.value)
        .map_err(|error| name.error(section.document, error.to_string()))?;
    let names = || sources.iter().map(|source| source.name.value.as_str());
    let from = section.texts("from")?.unwrap_or_default();
    if from.is_empty() {
        section.needed_text("from", &format!("\"{}\"", names().next().unwrap_or_default()))?;
    }
    for source in &from {
        known("source", source, names())
            .map_err(|message| source.error(section.document, message))?;
    }
    let grain = section.word("grain", &Grain::ALL.map(Grain::name))?;
    let grain = grain.and_then(Grain::named).unwrap_or_default();
    let measures = section.named_texts("measures")?.unwrap_or_default();
    if measures.is_empty() {
        let message = "a view needs measures: expected measures = { events = \"count()\" }";
        return Err(section.document.error(section.at(), message));
    }
    let keep = match section.text("keep")? {
        Some(text) if text.value == "forever" => {
            return Err(section.error("keep", "leave it out, and everything is kept for ever"));
        }
        _ => section.duration("keep")?,
    };
    let units = section.named_texts("units")?.unwrap_or_default();
    for (measure, _) in &units {
        known("measure", measure, measures.iter().map(|(name, _)| name.value.as_str()))
            .map_err(|message| measure.error(section.document, message))?;
    }
    Ok(ViewConfig {
        zone: zone(section)?,
        rollups: rollups(section, grain, keep)?,
        grain,
        grace: section.duration("grace")?,
        keep,
        revisions: revisions(section)?,
        filter: section.text("where")?,
        key: section.named_texts("key")?.unwrap_or_default(),
        name,
        from,
        measures,
        units,
    })
}

/// The coarser periods that are kept: such as are made of those of the view. A list, or a table that says for how long.
fn rollups(
    section: &Section<'_>,
    grain: Grain,
    keep: Option<Duration>,
) -> Result<Vec<(Grain, Option<Duration>)>, FileError> {
    let named: Vec<(Text, Option<Text>)> = match section.is_table("rollup") {
        true => {
            let named = section.named_texts("rollup")?.unwrap_or_default();
            named.into_iter().map(|(name, span)| (name, Some(span))).collect()
        }
        false => {
            let named = section.texts("rollup")?.unwrap_or_default();
            named.into_iter().map(|name| (name, None)).collect()
        }
    };
    let mut rollups = Vec::new();
    for (name, span) in &named {
        let coarser: Vec<Grain> = grain.coarser().filter(|coarser| *coarser != grain).collect();
        let known = Grain::named(&name.value).filter(|named| coarser.contains(named));
        let names = || coarser.iter().map(|grain| grain.name()).collect::<Vec<_>>().join(", ");
        let wrong = || {
            let message = match coarser.is_empty() {
                true => format!("'{}': there is nothing coarser than a {grain}", name.value),
                false => format!("'{}': expected some of {}", name.value, names()),
            };
            section.error_in("rollup", name, message)
        };
        let known = known.ok_or_else(wrong)?;
        let span = span.as_ref().map(|text| rollup_span(section, (known, text), keep));
        rollups.push((known, span.transpose()?));
    }
    match misfit(&rollups, keep) {
        Some(message) => Err(section.error("rollup", message)),
        None => Ok(rollups),
    }
}

/// How long rollups are kept.
fn rollup_span(
    section: &Section<'_>,
    (grain, text): (Grain, &Text),
    keep: Option<Duration>,
) -> Result<Duration, FileError> {
    if text.value == "forever" {
        return Ok(Duration::MAX);
    }
    let wrong = |message: String| section.error_in(&format!("rollup.{grain}"), text, message);
    let span = parse_duration(&text.value)
        .map_err(|error| wrong(format!("{error}, and not \"forever\" either")))?;
    match keep {
        Some(keep) if keep < span => Ok(span),
        Some(_) => Err(wrong(format!(
            "'{}' is no longer than 'keep': expected a longer time, \"forever\", or a list such as rollup = [\"{grain}\"], \
             whose rollups are kept as long as their periods",
            text.value
        ))),
        None => Err(wrong(
            "the view has no 'keep': its periods are kept for ever, and their rollups as well; expected \"forever\", or a 'keep'"
                .to_owned(),
        )),
    }
}

/// What is wrong with rollups that are kept longer than the periods: they are made of each other.
fn misfit(rollups: &[(Grain, Option<Duration>)], keep: Option<Duration>) -> Option<String> {
    let span = |grain: Grain| {
        let (_, span) = rollups.iter().find(|(known, _)| *known == grain)?;
        span.filter(|span| keep.is_some_and(|keep| keep < *span)).map(|span| (grain, span))
    };
    let longer: Vec<(Grain, Duration)> = Grain::ALL.into_iter().filter_map(span).collect();
    longer.windows(2).find_map(|pair| {
        let [(finer, kept), (coarser, span)] = pair else { return None };
        if !finer.is_within(*coarser) {
            return Some(format!(
                "a {coarser} does not consist of whole {finer}s: expected only one of them to be kept longer than 'keep'"
            ));
        }
        (span < kept).then(|| {
            format!("{coarser} is kept for a shorter time than {finer}: expected at least as long")
        })
    })
}

/// Which revisions of a period are kept: at least the one that counts.
fn revisions(section: &Section<'_>) -> Result<Option<Revisions>, FileError> {
    if section.is_text("revisions") {
        return Ok(section.duration("revisions")?.map(Revisions::Within));
    }
    if !section.section_is_there("revisions") {
        return Ok(None);
    }
    let number = section.integer("revisions").ok().flatten();
    let number = number.and_then(|number| u32::try_from(number).ok()).and_then(NonZeroU32::new);
    let error = || {
        section.error(
            "revisions",
            "expected a whole number from 1 (only the revision that counts) to 4294967295, or a duration such as \"30d\"",
        )
    };
    number.map(|number| Some(Revisions::Newest(number))).ok_or_else(error)
}

/// Whether the file has a view of this name.
pub(super) fn known_view(
    document: &Document,
    named: &Text,
    views: &[ViewConfig],
) -> Result<(), FileError> {
    known("view", named, views.iter().map(|view| view.name.value.as_str()))
        .map_err(|message| named.error(document, message))
}

/// Checks that a name is one of these; otherwise returns the error.
fn known<'a>(
    what: &str,
    named: &Text,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), String> {
    if names.clone().any(|name| name == named.value) {
        return Ok(());
    }
    let hint = match nearest(&named.value, names.clone()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("expected one of {}", names.collect::<Vec<_>>().join(", ")),
    };
    Err(format!("there is no {what} '{}': {hint}", named.value))
}
