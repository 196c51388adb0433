//! The file: it is parsed and checked here without looking at any source.
//!
//! - [`Document`], [`FileError`]: the text, and errors with their positions
//! - `section`: tables with known keys
//! - [`Config`]: sources, views and servers as the file has them; expressions are still texts
//!
//! The module [`plan`](crate::plan) interprets it.

mod document;
mod export;
mod features;
mod format;
mod kafka;
mod kind;
mod meaning;
mod section;
mod sink;
mod source;
mod table;
mod view;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

pub use document::{Document, FileError};
pub use export::{ExportConfig, TableLayout};
#[cfg(not(feature = "sinks"))]
pub(crate) use features::needs_sinks;
pub(crate) use features::needs_sql;
#[cfg(not(all(feature = "tls", feature = "lake")))]
pub(crate) use features::not_built;
pub(crate) use format::plain_csv;
pub use format::{AvroSchema, FileFormat};
pub use kafka::{Auth, KafkaConfig, Secret};
pub use kind::SourceKind;
pub(crate) use meaning::Meaning;
pub use section::Text;
pub use sink::{SinkConfig, SinkUrl};
pub use source::{ColumnType, SourceConfig};
pub use table::{TableConfig, TableRows};
pub use view::{Revisions, ViewConfig};

use features::needs;
use section::Section;

/// How long the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKept {
    /// So long behind the last period that every view has sealed.
    For(Duration),
    /// Until every period of its events is exported.
    Exported,
}

/// The content of a file.
#[derive(Debug)]
pub struct Config {
    /// The file.
    pub document: Document,
    /// The folder of sealed days and the log; everything is in memory if it is not set.
    pub data: Option<PathBuf>,
    /// How long the log is kept; for ever if it is not set.
    pub log: Option<LogKept>,
    /// The number of workers of each process.
    pub workers: Option<usize>,
    /// How many rows may be refused.
    pub max_refused: Option<MaxRefused>,
    /// The sources of events, in the order of the file.
    pub sources: Vec<SourceConfig>,
    /// The views, in the order of the file.
    pub views: Vec<ViewConfig>,
    /// The servers, if there are any.
    pub serve: Option<Serve>,
    /// The exports of sealed periods.
    pub exports: Vec<ExportConfig>,
    /// The stores that answers are written to.
    pub sinks: Vec<SinkConfig>,
    /// Files that statements of SQL join views with.
    pub tables: Vec<TableConfig>,
}

/// How many rows may be refused before the program ends with exit code 3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxRefused {
    /// This many rows.
    Rows(u64),
    /// This many millionths of all rows.
    Share(u64),
}

impl MaxRefused {
    /// Whether `refused` of `rows` rows are too many.
    pub fn is_exceeded(self, refused: u64, rows: u64) -> bool {
        match self {
            MaxRefused::Rows(most) => refused > most,
            MaxRefused::Share(millionths) => {
                u128::from(refused) * 1_000_000 > u128::from(rows) * u128::from(millionths)
            }
        }
    }
}

/// Where answers are served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Serve {
    /// The address of the page and the API.
    pub http: Option<Text>,
    /// Host names that requests may use, besides localhost.
    pub hosts: Vec<Text>,
    /// A file with the token for pushes.
    pub token_file: Option<Text>,
    /// A file with tokens and their roles.
    pub tokens_file: Option<Text>,
    /// The files of the certificate and its key, for HTTPS.
    pub tls: Option<(Text, Text)>,
    /// SQL over PostgreSQL's protocol.
    pub postgres: Option<Postgres>,
}

/// The configuration of PostgreSQL's protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Postgres {
    /// The address.
    pub listen: Text,
    /// A file with users and their passwords. Without one, everybody on this machine may ask.
    pub users_file: Option<Text>,
    /// The files of a certificate and its key, for TLS.
    pub tls: Option<(Text, Text)>,
}

/// The tables of a file.
const TABLES: [&str; 7] = ["engine", "sources", "views", "serve", "exports", "sinks", "tables"];

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be read, is not TOML, has an unknown key, or a value of the wrong type.
    pub fn read(path: &Path) -> Result<Config, FileError> {
        Config::parse(Document::read(path)?)
    }

    /// Parses a text. Its paths are relative to the folder of the file.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(document: Document) -> Result<Config, FileError> {
        let parsed = {
            let table = DeTable::parse(document.text()).map_err(|error| {
                let message = error.message().lines().collect::<Vec<_>>().join(", ");
                document.error(error.span().map_or(0, |span| span.start), message)
            })?;
            let root = Section::new(&document, "", table.get_ref(), table.span(), &TABLES)?;
            Parsed::of(&root)?
        };
        let Parsed {
            data,
            log,
            workers,
            max_refused,
            sources,
            views,
            serve,
            exports,
            sinks,
            tables,
        } = parsed;
        let mut config = Config {
            document,
            data: None,
            log,
            workers,
            max_refused,
            sources,
            views,
            serve,
            exports,
            sinks,
            tables,
        };
        config.data = data.map(|folder| config.path(&folder));
        Ok(config)
    }

    /// Replaces the data folder.
    #[must_use]
    pub fn with_data(self, folder: Option<PathBuf>) -> Config {
        let data = folder.or(self.data);
        Config { data, ..self }
    }

    /// Resolves a path that the file names.
    pub fn path(&self, named: &str) -> PathBuf {
        let folder = self.document.path().parent();
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or_else(|| PathBuf::from(named), |folder| folder.join(named))
    }
}

struct Parsed {
    data: Option<String>,
    workers: Option<usize>,
    max_refused: Option<MaxRefused>,
    log: Option<LogKept>,
    sources: Vec<SourceConfig>,
    views: Vec<ViewConfig>,
    serve: Option<Serve>,
    exports: Vec<ExportConfig>,
    sinks: Vec<SinkConfig>,
    tables: Vec<TableConfig>,
}

impl Parsed {
    fn of(root: &Section<'_>) -> Result<Parsed, FileError> {
        let engine = root.section("engine", &["data", "log", "workers", "max_refused"])?;
        let (mut data, mut log, mut workers, mut max_refused) = (None, None, None, None);
        if let Some(engine) = &engine {
            data = engine.text("data")?.map(|text| text.value);
            log = match engine.text("log")? {
                Some(text) if text.value == "exported" => Some(LogKept::Exported),
                Some(text) => {
                    let span = dayfold::time::parse_duration(&text.value).map_err(|error| {
                        engine.error("log", format_args!("{error}, and not \"exported\" either"))
                    })?;
                    Some(LogKept::For(span))
                }
                None => None,
            };
            workers = match engine.integer("workers")? {
                None => None,
                Some(count @ 1..=1_024) => Some(count as usize),
                Some(count) => {
                    return Err(
                        engine.error("workers", format_args!("{count}: expected 1 to 1024"))
                    );
                }
            };
            max_refused = refused(engine)?;
        }
        let sources = source::read(root)?;
        let views = view::read(root, &sources)?;
        let (exports, sinks) = (export::read(root, &views)?, sink::read(root, &views)?);
        let has_export = |view: &&ViewConfig| {
            exports.iter().any(|export| export.views.contains(&view.name.value))
        };
        if let (Some(engine), Some(LogKept::Exported)) = (&engine, log)
            && let Some(view) = views.iter().find(|view| !has_export(view))
        {
            let view = &view.name.value;
            return Err(engine.error(
                "log",
                format_args!("view '{view}' has no export: expected one in [exports.…], or a span such as \"90d\""),
            ));
        }
        let (serve, tables) = (serve(root)?, table::read(root, &views)?);
        Ok(Parsed {
            data,
            log,
            workers,
            max_refused,
            sources,
            views,
            serve,
            exports,
            sinks,
            tables,
        })
    }
}

fn refused(engine: &Section<'_>) -> Result<Option<MaxRefused>, FileError> {
    const EXPECTED: &str = "expected a number of rows, or a share such as \"1%\" or \"0.05%\"";
    if let Ok(number) = engine.integer("max_refused") {
        let rows = number.map(|number| u64::try_from(number).map(MaxRefused::Rows));
        return rows.transpose().map_err(|_| engine.error("max_refused", EXPECTED));
    }
    let Ok(Some(text)) = engine.text("max_refused") else {
        return Err(engine.error("max_refused", EXPECTED));
    };
    let share = text
        .value
        .strip_suffix('%')
        .and_then(|share| share.trim().parse::<dayfold::aggregate::Decimal>().ok());
    let millionths = share.map(|share| share.billionths() / 100_000);
    match millionths.and_then(|millionths| u64::try_from(millionths).ok()) {
        Some(millionths) if millionths <= 1_000_000 => Ok(Some(MaxRefused::Share(millionths))),
        _ => Err(engine.error("max_refused", format_args!("'{}': {EXPECTED}", text.value))),
    }
}

fn serve(root: &Section<'_>) -> Result<Option<Serve>, FileError> {
    const KEYS: [&str; 7] =
        ["http", "hosts", "token_file", "tokens_file", "tls_cert", "tls_key", "postgres"];
    let Some(serve) = root.section("serve", &KEYS)? else {
        return Ok(None);
    };
    let http = serve.text("http")?;
    if let Some(address) = &http {
        use std::net::ToSocketAddrs;
        let found = address.value.to_socket_addrs();
        found.map_err(|error| {
            serve.error(
                "http",
                format_args!(
                    "'{}': {error}: expected an address such as 127.0.0.1:8080",
                    address.value
                ),
            )
        })?;
    }
    let hosts = serve.texts("hosts")?.unwrap_or_default();
    let (token_file, tokens_file) = (serve.text("token_file")?, serve.text("tokens_file")?);
    let (tls, postgres) = (tls(&serve)?, postgres(&serve)?);
    Ok(Some(Serve { http, hosts, token_file, tokens_file, tls, postgres }))
}

/// The files of HTTPS: both or neither.
fn tls(serve: &Section<'_>) -> Result<Option<(Text, Text)>, FileError> {
    let both = match (serve.text("tls_cert")?, serve.text("tls_key")?) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => return Err(serve.error("tls_cert", "expected tls_key beside it")),
        (None, Some(_)) => return Err(serve.error("tls_key", "expected tls_cert beside it")),
    };
    features::needs("tls").map_err(|message| serve.error("tls_cert", message))?;
    Ok(Some(both))
}

/// An address, or a table with the address, the users and a certificate.
fn postgres(serve: &Section<'_>) -> Result<Option<Postgres>, FileError> {
    if !serve.section_is_there("postgres") {
        return Ok(None);
    }
    needs("sql").map_err(|message| serve.error("postgres", message))?;
    if let Ok(Some(listen)) = serve.text("postgres") {
        let address = address_of(&listen).map_err(|message| serve.error("postgres", message))?;
        check_open(address).map_err(|message| serve.error("postgres", message))?;
        return Ok(Some(Postgres { listen, users_file: None, tls: None }));
    }
    let keys = ["listen", "users_file", "tls_cert", "tls_key"];
    let Some(section) = serve.section("postgres", &keys)? else { return Ok(None) };
    let listen = section.needed_text("listen", "\"127.0.0.1:5433\"")?;
    let address = address_of(&listen).map_err(|message| section.error("listen", message))?;
    let users_file = section.text("users_file")?;
    if users_file.is_none() {
        check_open(address).map_err(|message| section.error("listen", message))?;
    }
    let tls = match (section.text("tls_cert")?, section.text("tls_key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(section.missing("tls_key", "\"key.pem\"")),
        (None, Some(_)) => return Err(section.missing("tls_cert", "\"certificate.pem\"")),
    };
    Ok(Some(Postgres { listen, users_file, tls }))
}

fn address_of(listen: &Text) -> Result<SocketAddr, String> {
    let expected = "expected an address such as 127.0.0.1:5433";
    listen.value.parse().map_err(|_| format!("'{}': {expected}", listen.value))
}

/// Without users, the address must be on the loopback interface.
fn check_open(address: SocketAddr) -> Result<(), &'static str> {
    match address.ip().is_loopback() {
        true => Ok(()),
        false => Err("other machines reach this address: expected a users_file, or 127.0.0.1"),
    }
}

#[cfg(test)]
mod tests;
