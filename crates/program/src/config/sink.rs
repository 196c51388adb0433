//! `[sinks.NAME]`: stores that the answers of views are written to.

use std::time::Duration;

use super::document::FileError;
use super::export::named_views;
use super::features::needs;
use super::section::{Section, Text};
use super::source::check_name;
use super::view::ViewConfig;

/// A store that answers are written to.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkConfig {
    /// Its name.
    pub name: Text,
    /// The views, in the order of the file.
    pub views: Vec<String>,
    /// The store and its address.
    pub url: SinkUrl,
    /// The minimum time between two writes of a row.
    pub every: Duration,
    /// Rows are removed this long after they were last written, if the store supports it.
    pub expire: Option<Duration>,
    /// The environment variable that has the secret of a webhook.
    pub secret_env: Option<Text>,
}

/// Where the URL of a sink comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkUrl {
    /// In the file.
    Said(Text),
    /// In an environment variable, because it contains a password.
    Variable(Text),
}

impl SinkUrl {
    /// The text in the file, for messages.
    pub fn text(&self) -> &Text {
        match self {
            SinkUrl::Said(text) | SinkUrl::Variable(text) => text,
        }
    }
}

/// Reads the sinks of a file.
pub(super) fn read(root: &Section<'_>, views: &[ViewConfig]) -> Result<Vec<SinkConfig>, FileError> {
    let known = ["views", "url", "url_env", "every", "expire", "secret_env"];
    let sections = root.sections("sinks", &known)?;
    sections.into_iter().map(|(name, section)| sink(name, &section, views)).collect()
}

fn sink(name: Text, section: &Section<'_>, views: &[ViewConfig]) -> Result<SinkConfig, FileError> {
    check_name(section, &name)?;
    needs("sinks").map_err(|message| name.error(section.document, message))?;
    let views = named_views(section, views)?;
    let url = match (section.text("url")?, section.text("url_env")?) {
        (Some(_), Some(_)) => {
            return Err(section.error("url_env", "expected either url or url_env, found both"));
        }
        (None, Some(variable)) => SinkUrl::Variable(variable),
        (Some(url), None) => SinkUrl::Said(url),
        (None, None) => return Err(section.missing("url", "\"redis://127.0.0.1\"")),
    };
    let every = section.duration("every")?.unwrap_or(Duration::from_secs(1));
    if every.is_zero() {
        return Err(section.error("every", "0: expected a duration such as \"1s\""));
    }
    let expire = section.duration("expire")?;
    let secret_env = section.text("secret_env")?;
    Ok(SinkConfig { name, views, url, every, expire, secret_env })
}
