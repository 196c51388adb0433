//! SQL over PostgreSQL's protocol and over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dayfold::engine::Running;
use dayfold_http::AnswerSql;
use dayfold_sql::server::{Access, Serving, Users};
use dayfold_sql::{Limits, Sql};

use crate::config::{Config, FileError, Postgres, Text};
use crate::error::ProgramError;
use crate::plan::add_tables;

/// How long to wait until the address of the session before is free.
const FREE_WITHIN: Duration = Duration::from_secs(5);

/// Checks the users, the certificate and the tables of a file, without listening anywhere.
///
/// # Errors
/// [`FileError`].
pub(crate) fn check(config: &Config) -> Result<(), FileError> {
    if let Some(postgres) = postgres(config) {
        access(config, postgres)?;
    }
    if config.tables.is_empty() {
        return Ok(());
    }
    let empty = Sql::without_views(Limits::default());
    let empty = empty.map_err(|error| config.document.error_of_file(error.to_string()))?;
    add_tables(config, &empty)
}

/// The SQL servers, until this is dropped.
#[derive(Default)]
pub(crate) struct Served {
    /// PostgreSQL's protocol.
    pub(crate) postgres: Option<Serving>,
    /// Answers statements over HTTP.
    pub(crate) answers: Option<Arc<AnswerSql>>,
    sql: Option<Sql>,
}

impl Served {
    /// Makes statements find the views that the engine has now.
    pub(crate) fn change_views(&self) -> Result<(), ProgramError> {
        let failed = |error: dayfold_sql::SqlError| ProgramError::Failed(error.to_string());
        self.sql.as_ref().map_or(Ok(()), |sql| sql.change_views().map_err(failed))
    }
}

/// Serves the views of a running engine as tables, if the file says so. The first process of a cluster serves
/// PostgreSQL's protocol, at the address of `before` if there is one.
pub(crate) fn serve(
    config: &Config,
    running: &Running,
    process: usize,
    before: Option<SocketAddr>,
) -> Result<Served, ProgramError> {
    let Some(serve) = &config.serve else { return Ok(Served::default()) };
    // Both count against the same limits.
    let sql = Sql::new(running.views(), Limits::default());
    let sql = sql.map_err(|error| ProgramError::Failed(error.to_string()))?;
    add_tables(config, &sql)?;
    let answers: Option<Arc<AnswerSql>> = match serve.http {
        Some(_) => Some(Arc::new(dayfold_sql::http::answers(sql.clone())?)),
        None => None,
    };
    let Some(postgres) = postgres(config).filter(|_| process == 0) else {
        return Ok(Served { postgres: None, answers, sql: Some(sql) });
    };
    let failed =
        |error: &dyn std::fmt::Display| postgres.listen.error(&config.document, error.to_string());
    let said: SocketAddr = postgres.listen.value.parse().map_err(|error| failed(&error))?;
    let address = before.unwrap_or(said);
    let until = Instant::now() + FREE_WITHIN;
    loop {
        match Serving::start(sql.clone(), address, access(config, postgres)?) {
            Ok(serving) => {
                return Ok(Served { postgres: Some(serving), answers, sql: Some(sql) });
            }
            // The server before releases the address in the background.
            Err(_) if before.is_some() && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(failed(&error).into()),
        }
    }
}

fn postgres(config: &Config) -> Option<&Postgres> {
    config.serve.as_ref()?.postgres.as_ref()
}

/// The users who may ask.
fn access(config: &Config, postgres: &Postgres) -> Result<Access, FileError> {
    let access = match &postgres.users_file {
        None => Access::open(),
        Some(file) => {
            let users = Users::read(config.path(&file.value));
            Access::users(users.map_err(|error| file.error(&config.document, error.to_string()))?)
        }
    };
    let Some((certificate, key)) = &postgres.tls else { return Ok(access) };
    let read = |file: &Text| {
        let path = config.path(&file.value);
        let wrong = |error| file.error(&config.document, format!("{}: {error}", path.display()));
        std::fs::read(&path).map_err(wrong)
    };
    let access = access.tls(&read(certificate)?, &read(key)?);
    access.map_err(|error| certificate.error(&config.document, error.to_string()))
}
