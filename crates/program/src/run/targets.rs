//! The stores that sinks of a file name.

use std::path::{Path, PathBuf};

use dayfold::schema::ViewSchema;
use dayfold_sinks::{SinkError, Store, Table, Target};

use crate::config::{Config, FileError, SinkConfig, SinkUrl, Text, ViewConfig};
use crate::error::ProgramError;

/// Checks the sinks of a file, without connecting to their stores.
///
/// # Errors
/// [`FileError`] if there is no data folder, or a URL is not valid.
pub(crate) fn check(config: &Config) -> Result<(), FileError> {
    for sink in &config.sinks {
        if config.data.is_none() {
            let message =
                "a sink goes on where it was by a data folder: expected data = \"…\" in [engine]";
            return Err(sink.name.error(&config.document, message));
        }
        if let SinkUrl::Said(url) = &sink.url {
            let wrong = |error: SinkError| url.error(&config.document, error.to_string());
            let target = target(config, sink, &url.value).map_err(wrong)?;
            if target.is_signed() != sink.secret_env.is_some() {
                let expected = match target.is_signed() {
                    true => {
                        "a webhook is signed: expected secret_env, the variable that has the secret"
                    }
                    false => {
                        "secret_env: nothing is signed there; expected the URL of a webhook, https://HOST/PATH"
                    }
                };
                return Err(url.error(&config.document, expected));
            }
        }
    }
    Ok(())
}

/// Checks that a view can be a table, if it has a sink.
///
/// # Errors
/// [`FileError`] if a column of the view has the name of one that a sink adds.
pub(crate) fn check_table(
    config: &Config,
    view: &ViewConfig,
    schema: &ViewSchema,
) -> Result<(), FileError> {
    let sink = config.sinks.iter().find(|sink| sink.views.contains(&view.name.value));
    let (Some(sink), Err(error)) = (sink, Table::of(schema).check()) else { return Ok(()) };
    let mut names = view.key.iter().chain(&view.measures);
    let is_it =
        |name: &Text| matches!(&error, SinkError::Column { column, .. } if *column == name.value);
    let place = names.find(|(name, _)| is_it(name)).map_or(&view.name, |(name, _)| name);
    Err(place.error(&config.document, format!("sinks.{}: {error}", sink.name.value)))
}

/// The folder of a sink, for its notes and the rows that its store refuses.
pub(super) fn folder_of(data: &Path, sink: &str) -> PathBuf {
    data.join("sinks").join(sink)
}

/// The store of a URL; for files, a folder relative to the file.
fn target(config: &Config, sink: &SinkConfig, url: &str) -> Result<Target, SinkError> {
    let target = match url.strip_prefix("file://") {
        Some(path) => Target::parse(&format!("file://{}", config.path(path).display()))?,
        None => Target::parse(url)?,
    };
    match sink.expire {
        Some(after) => target.expire(after),
        None => Ok(target),
    }
}

pub(super) fn store(config: &Config, sink: &SinkConfig) -> Result<Box<dyn Store>, ProgramError> {
    let wrong = |error: &dyn std::fmt::Display| {
        ProgramError::Input(format!("sinks.{}: {error}", sink.name.value))
    };
    let variable = |name: &Text, key: &str| {
        std::env::var(&name.value).map_err(|_| {
            wrong(&format_args!(
                "the environment has no variable {}, which {key} names",
                name.value
            ))
        })
    };
    let url = match &sink.url {
        SinkUrl::Said(url) => url.value.clone(),
        SinkUrl::Variable(name) => variable(name, "url_env")?,
    };
    let mut target = target(config, sink, &url).map_err(|error| wrong(&error))?;
    if let Some(name) = &sink.secret_env {
        let secret = variable(name, "secret_env")?;
        target = target.secret(&secret).map_err(|error| wrong(&error))?;
    }
    if let Some(folder) = &config.data {
        target = target.notes(&folder_of(folder, &sink.name.value));
    }
    target.store().map_err(|error| wrong(&error))
}
