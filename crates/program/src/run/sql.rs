//! SQL over PostgreSQL's protocol.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dayfold::engine::Running;
use dayfold_sql::server::{Access, Serving, Users};
use dayfold_sql::{Limits, Sql};

use crate::config::{Config, FileError, Postgres, Text};
use crate::error::ProgramError;

/// How long an address may take to be free that was served before.
const FREE_WITHIN: Duration = Duration::from_secs(5);

/// Finds out whether the users and the certificate of a file can be had, without listening anywhere.
///
/// # Errors
/// [`FileError`].
pub(crate) fn check(config: &Config) -> Result<(), FileError> {
    postgres(config).map_or(Ok(()), |postgres| access(config, postgres).map(drop))
}

/// Serves the views of a running engine, if the file says where, until what is returned is dropped. The first process of
/// a group does. Where it was served `before`, it is served again.
pub(crate) fn serve(
    config: &Config,
    running: &Running,
    process: usize,
    before: Option<SocketAddr>,
) -> Result<Option<Serving>, ProgramError> {
    let Some(postgres) = postgres(config).filter(|_| process == 0) else { return Ok(None) };
    let failed =
        |error: &dyn std::fmt::Display| postgres.listen.error(&config.document, error.to_string());
    let sql = Sql::new(running.views(), Limits::default()).map_err(|error| failed(&error))?;
    let said: SocketAddr = postgres.listen.value.parse().map_err(|error| failed(&error))?;
    let address = before.unwrap_or(said);
    let until = Instant::now() + FREE_WITHIN;
    loop {
        match Serving::start(sql.clone(), address, access(config, postgres)?) {
            Ok(serving) => return Ok(Some(serving)),
            // The one before lets go of it in the background.
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
