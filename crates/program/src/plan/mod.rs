//! The interpretation of a file: its expressions, compiled against the columns of its sources, before anything is read
//! or written.
//!
//! - `columns`: the columns of a source, and their types
//! - `parquet`: the columns of Parquet files
//! - `past`: the export that a folder was started from
//! - `record`: splits records of CSV and JSON
//! - `source`: turns records into events of the library: `[layout, values of columns…]`
//! - `table`: reads files that statements join views with
//! - `measure`, `view`: turn events into rows of views
//! - `layouts`: the columns of the events in the log of a data folder
//! - `taking`: takes events of the log and of this run into a view

mod columns;
mod layouts;
mod measure;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg_attr(not(feature = "lake"), allow(dead_code, reason = "only exports are started from"))]
mod past;
mod record;
mod source;
#[cfg(feature = "sql")]
mod table;
mod taking;
mod values;
mod view;

use std::path::PathBuf;
use std::sync::Arc;

#[cfg(any(feature = "kafka", feature = "parquet"))]
use dayfold::source::PartitionOptions;
use dayfold::source::{CsvOptions, RowTimes};

pub(crate) use columns::options as csv_options;
pub use layouts::{Layout, Layouts};
pub(crate) use record::{Record, Splitter, fields, object_of};

use crate::config::{Config, FileError, SourceConfig, SourceKind};
use crate::error::ProgramError;
use crate::expr::{Cell, Scope};
use columns::SourceColumns;
use past::Passing;
pub(crate) use past::Past;
#[cfg(feature = "lake")]
pub(crate) use past::PastView;
pub(crate) use source::SourcePlan;
use source::{Check, Reader, Times};
#[cfg(feature = "sql")]
pub(crate) use table::add_tables;
use taking::{Known, KnownColumns, Taking};
use view::ViewPlan;

/// A file that was checked.
pub struct Plan {
    /// The content of the file.
    pub config: Config,
    pub(crate) sources: Vec<Arc<SourcePlan>>,
    pub(crate) views: Vec<ViewPlan>,
    /// The columns of events, of this run and of earlier ones.
    pub(crate) layouts: Layouts,
    /// What the folder was started from, and what counts of records that are read again.
    pub(crate) past: Option<(Past, Arc<Passing>)>,
}

impl Plan {
    /// Checks a file: looks at the first rows of its sources, and compiles its expressions.
    ///
    /// # Errors
    /// [`FileError`], with the place in the file.
    pub fn new(config: Config) -> Result<Plan, FileError> {
        #[cfg(feature = "lake")]
        crate::run::check_exports(&config)?;
        #[cfg(feature = "sinks")]
        crate::run::check_sinks(&config)?;
        #[cfg(feature = "sql")]
        crate::run::check_sql(&config)?;
        let mut layouts = match &config.data {
            Some(folder) => {
                Layouts::read(folder).map_err(|error| config.document.error_of_file(error))?
            }
            None => Layouts::default(),
        };
        let mut columns = Vec::new();
        for source in &config.sources {
            let known = layouts.latest(&source.name.value);
            let mut found = SourceColumns::of(&config, source, known)?;
            // Types that were inferred once stay, whatever rows a longer file begins with.
            if let Some(known) = known {
                found.keep(known, source);
            }
            columns.push(found);
        }
        let mut scopes: Vec<Scope> = columns.iter().map(SourceColumns::scope).collect();
        let views = config.views.iter().map(|view| ViewPlan::new(&config, view, &mut scopes));
        let views = views.collect::<Result<Vec<_>, _>>()?;
        #[cfg(feature = "sinks")]
        for view in &views {
            crate::run::check_table(&config, &view.config, &view.schema)?;
        }
        let is_kept = config.data.is_some();
        let mut sources = Vec::new();
        for (index, (columns, mut scope)) in columns.into_iter().zip(scopes).enumerate() {
            let source = &config.sources[index];
            let times = Times::new(&config, source, &columns)?;
            if is_kept && !columns.is_open {
                scope.use_all();
            }
            let reader = Reader::new(source, &columns, &scope);
            let keeps_record = is_kept && columns.is_open;
            let layout = Layout {
                source: source.name.value.clone(),
                columns: scope
                    .used()
                    .map(|column| (column.name.clone(), column.kind.to_string()))
                    .collect(),
                has_record: keeps_record,
                ..Layout::default()
            };
            let checks = views.iter().filter_map(|view: &ViewPlan| {
                let derived = view.derived.get(&index)?;
                Some(Check::new(view.config.name.value.clone(), Arc::clone(derived)))
            });
            let checks = checks.collect();
            let layout = layouts.position(layout);
            let config = source.clone();
            sources.push(Arc::new(SourcePlan {
                config,
                columns,
                times,
                reader,
                layout,
                keeps_record,
                checks,
            }));
        }
        let past = match &config.data {
            Some(folder) => Past::read(folder),
            None => Ok(None),
        };
        let past = past.and_then(|past| {
            let Some(past) = past else { return Ok(None) };
            let takers = |index: usize| -> Vec<String> {
                let takers = views.iter().filter(move |view| view.derived.contains_key(&index));
                takers.map(|view| view.config.name.value.clone()).collect()
            };
            let sources = sources.iter().enumerate();
            let sources: Vec<(usize, Vec<String>)> =
                sources.map(|(index, source)| (source.layout, takers(index))).collect();
            let passing = Passing::new(&past, &sources, &mut layouts)?;
            Ok(Some((past, Arc::new(passing))))
        });
        let past = past.map_err(|error| config.document.error_of_file(error))?;
        Ok(Plan { config, sources, views, layouts, past })
    }

    /// Checks that the file has the views that are to be rebuilt, and lacks those that are to be removed.
    ///
    /// # Errors
    /// [`ProgramError::Input`] otherwise.
    pub(crate) fn check_names(
        &self,
        rebuild: &[String],
        remove: &[String],
    ) -> Result<(), ProgramError> {
        let has = |name: &String| self.views.iter().any(|view| view.config.name.value == *name);
        if let Some(name) = remove.iter().find(|name| has(name)) {
            return Err(ProgramError::Input(format!(
                "--remove {name}: the file has a view of that name: take it out of the file first"
            )));
        }
        match rebuild.iter().find(|name| !has(name)) {
            None => Ok(()),
            Some(unknown) => Err(ProgramError::Input(format!(
                "--rebuild {unknown}: the file has no view of that name"
            ))),
        }
    }

    /// How a view takes in events of this run and of earlier ones.
    pub(crate) fn taking(&self, view: &ViewPlan) -> Taking {
        let name = &view.config.name.value;
        let layout = |layout: &Layout| {
            if layout.rows_of.as_ref() == Some(name) {
                return Some(Known::Row);
            }
            let index =
                self.config.sources.iter().position(|source| source.name.value == layout.source)?;
            let (derived, source) = (view.derived.get(&index)?, &self.sources[index]);
            let after = layout.after.get(name).copied();
            Some(Known::Columns(KnownColumns::new(derived, source, layout, after)))
        };
        Taking::new(self.layouts.iter().map(layout).collect())
    }

    /// The columns of each view, for people.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for view in &self.views {
            let schema = &view.schema;
            text.push_str(&format!(
                "view {}: by {} in {}\n",
                schema.name, schema.grain, schema.zone
            ));
            let mut line =
                |name: &str, kind: &dyn std::fmt::Display, is_nullable: bool, what: &str| {
                    let nullable = if is_nullable { " or null" } else { "" };
                    text.push_str(
                        format!("  {name:<24} {:<20} {what}", format!("{kind}{nullable}"))
                            .trim_end(),
                    );
                    text.push('\n');
                };
            let period = schema.period();
            line(&period.name, &period.kind, false, "period");
            for column in &schema.key {
                line(&column.name, &column.type_text(), column.nullable, "key");
            }
            // Sketches that the file does not name are read by name only.
            let is_named = |name: &str| view.config.measures.iter().any(|own| own.0.value == name);
            for measure in schema.measures.iter().filter(|measure| is_named(&measure.name)) {
                let adds = if measure.additive { "measure, adds up" } else { "measure" };
                line(&measure.name, &measure.column().type_text(), measure.nullable, adds);
            }
            line("sealed", &"boolean", false, "");
        }
        text
    }
}

impl SourcePlan {
    /// The files that it reads, in order.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.columns.files
    }

    /// The pattern of the files that it reads.
    pub(crate) fn pattern(&self, config: &Config) -> String {
        match &self.config.kind {
            SourceKind::File { path, .. } => {
                config.path(&path.value).to_string_lossy().into_owned()
            }
            _ => String::new(),
        }
    }

    /// How the library judges its events, if they come in partitions other than text files.
    #[cfg(any(feature = "kafka", feature = "parquet"))]
    pub(crate) fn partition_options(&self) -> PartitionOptions {
        let mut options = PartitionOptions::default();
        if let Some(max_ahead) = self.config.max_ahead {
            options = options.ahead_limit(max_ahead);
        }
        if let Some(max_behind) = self.config.max_behind {
            options = options.behind_limit(max_behind);
        }
        options
    }

    /// The library's options for reading its files. The library itself reads times that are plain columns.
    pub(crate) fn options(self: &Arc<Self>) -> CsvOptions {
        let columns = self.times.columns();
        let time = columns.map_or("", |(time, _)| time);
        let mut options = csv_options(&self.config.format, time).times(self.time_parser());
        options = options.fields(self.selected());
        if let Some(max_ahead) = self.config.max_ahead {
            options = options.ahead_limit(max_ahead);
        }
        if let Some(max_behind) = self.config.max_behind {
            options = options.behind_limit(max_behind);
        }
        let plan = Arc::clone(self);
        match columns {
            Some((_, Some(arrival))) => options.arrival(arrival),
            Some((_, None)) => options,
            None if self.times.has_arrival() => {
                options.row_times(RowTimes::with_arrival(move |row| plan.times_of_row(row)))
            }
            None => options.row_times(RowTimes::event(move |row| {
                plan.times_of_row(row).map(|(time, _)| time)
            })),
        }
    }
}

/// The columns of a record, if every view can use it; otherwise the reason why it is refused.
pub(crate) fn cells<'r>(source: &SourcePlan, record: &'r [u8]) -> Result<Vec<Cell<'r>>, String> {
    let cells = source.reader.cells(record)?;
    source.check(&cells)?;
    Ok(cells)
}

/// The name of a source in messages.
pub(crate) fn name_of(source: &SourceConfig) -> &str {
    &source.name.value
}

#[cfg(test)]
mod tests;
