//! `[exports.NAME]`: where sealed periods are written as Parquet.

use super::document::FileError;
use super::features::needs;
use super::section::{Section, Text};
use super::source::check_name;
use super::view::{ViewConfig, known_view};

/// An export of views.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportConfig {
    /// Its name.
    pub name: Text,
    /// The views, in the order of the file.
    pub views: Vec<String>,
    /// The target URL.
    pub url: Text,
    /// How files form a table.
    pub table: TableLayout,
    /// Whether the server has a catalogue of its tables, in the namespace of the export's name.
    pub catalog: bool,
    /// Whether the sketches of distinct counts and quantiles are columns of the tables too.
    pub sketches: bool,
    /// Whether the exact state of each row is there, so that a folder can be started from it.
    pub states: bool,
}

/// How the files of a view form a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableLayout {
    /// An Iceberg table.
    Iceberg,
    /// A folder for each period.
    Hive,
}

/// Reads the exports of a file.
pub(super) fn read(
    root: &Section<'_>,
    views: &[ViewConfig],
) -> Result<Vec<ExportConfig>, FileError> {
    let keys = ["views", "url", "table", "catalog", "sketches", "states"];
    let sections = root.sections("exports", &keys)?;
    sections.into_iter().map(|(name, section)| export(name, &section, views)).collect()
}

fn export(
    name: Text,
    section: &Section<'_>,
    views: &[ViewConfig],
) -> Result<ExportConfig, FileError> {
    check_name(section, &name)?;
    needs("lake").map_err(|message| name.error(section.document, message))?;
    let views = named_views(section, views)?;
    let table = match section.word("table", &["iceberg", "hive"])? {
        Some("hive") => TableLayout::Hive,
        _ => TableLayout::Iceberg,
    };
    let catalog = section.boolean("catalog")?;
    if catalog && table != TableLayout::Iceberg {
        return Err(section
            .error("catalog", "a catalogue has tables of Iceberg: expected table = \"iceberg\""));
    }
    let states = section.boolean("states")?;
    if states && table != TableLayout::Iceberg {
        let message = "a folder is started from one state of all files, which only tables of Iceberg have: expected table = \"iceberg\"";
        return Err(section.error("states", message));
    }
    let sketches = section.boolean("sketches")?;
    let url = section.needed_text("url", "\"file:///folder\"")?;
    Ok(ExportConfig { name, views, url, table, catalog, sketches, states })
}

/// The views that `views` names; all of them if it is missing or says so.
pub(super) fn named_views(
    section: &Section<'_>,
    views: &[ViewConfig],
) -> Result<Vec<String>, FileError> {
    let named = section.texts("views")?.unwrap_or_default();
    let is_all = match &named[..] {
        [] => true,
        [one] => one.value == "all" && views.iter().all(|view| view.name.value != "all"),
        _ => false,
    };
    if is_all {
        return Ok(views.iter().map(|view| view.name.value.clone()).collect());
    }
    for view in &named {
        known_view(section.document, view, views)?;
    }
    Ok(named.into_iter().map(|view| view.value).collect())
}
