//! SQL over PostgreSQL's protocol.

use std::net::SocketAddr;

use dayfold::engine::Running;
use dayfold_sql::server::{Access, Serving, Users};
use dayfold_sql::{Limits, Sql};

use crate::config::{Config, FileError, Postgres, Text};
use crate::error::ProgramError;

/// Finds out whether the users and the certificate of a file can be had, without listening anywhere.
///
/// # Errors
/// [`FileError`].
pub(crate) fn check(config: &Config) -> Result<(), FileError> {
    postgres(config).map_or(Ok(()), |postgres| access(config, postgres).map(drop))
}

/// Serves the views of a running engine, if the file says where, until what is returned is dropped. The first process of
/// a group does.
pub(crate) fn serve(
    config: &Config,
    running: &Running,
    process: usize,
) -> Result<Option<Serving>, ProgramError> {
    let Some(postgres) = postgres(config).filter(|_| process == 0) else { return Ok(None) };
    let failed =
        |error: &dyn std::fmt::Display| postgres.listen.error(&config.document, error.to_string());
    let sql = Sql::new(running.views(), Limits::default()).map_err(|error| failed(&error))?;
    let address: SocketAddr = postgres.listen.value.parse().map_err(|error| failed(&error))?;
    let serving = Serving::start(sql, address, access(config, postgres)?);
    Ok(Some(serving.map_err(|error| failed(&error))?))
}

fn postgres(config: &Config) -> Option<&Postgres> {
    config.serve.as_ref()?.postgres.as_ref()
}

/// Who may ask.
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
