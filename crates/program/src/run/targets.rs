//! The stores that sinks of a file name.

use dayfold_sinks::{SinkError, Store, Target};

use crate::config::{Config, FileError, SinkConfig, SinkUrl};
use crate::error::ProgramError;

/// Finds out whether the sinks of a file can be, without reaching for their stores.
///
/// # Errors
/// [`FileError`] if there is no data folder, or a URL is none.
pub(crate) fn check(config: &Config) -> Result<(), FileError> {
    for sink in &config.sinks {
        if config.data.is_none() {
            let message =
                "a sink goes on where it was by a data folder: expected data = \"…\" in [engine]";
            return Err(sink.name.error(&config.document, message));
        }
        if let SinkUrl::Said(url) = &sink.url {
            let wrong = |error: SinkError| url.error(&config.document, error.to_string());
            target(config, sink, &url.value).map_err(wrong)?;
        }
    }
    Ok(())
}

/// The store of a URL; that of files is a folder beside the file.
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
    let url = match &sink.url {
        SinkUrl::Said(url) => url.value.clone(),
        SinkUrl::Variable(name) => std::env::var(&name.value).map_err(|_| {
            wrong(&format_args!(
                "the environment has no variable {}, which url_env names",
                name.value
            ))
        })?,
    };
    let target = target(config, sink, &url).map_err(|error| wrong(&error))?;
    target.store().map_err(|error| wrong(&error))
}
