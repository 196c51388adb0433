//! The certificate that the file names.

use dayfold_http::Tls;

use crate::config::{Config, FileError};

/// The certificate and the key of `[serve]`, if it has them.
///
/// # Errors
/// [`FileError`] if they cannot be read, or do not belong together.
pub(crate) fn read(config: &Config) -> Result<Option<Tls>, FileError> {
    let Some((cert, key)) = config.serve.as_ref().and_then(|serve| serve.tls.as_ref()) else {
        return Ok(None);
    };
    let tls = Tls::read(&config.path(&cert.value), &config.path(&key.value));
    tls.map(Some).map_err(|error| cert.error(&config.document, error.to_string()))
}
