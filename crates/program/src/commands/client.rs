//! Connects to the running program: over HTTP, or over HTTPS with the certificate that the file names.

use ureq::Agent;

use crate::config::Config;
use crate::error::ProgramError;

/// The HTTP client for a running program at its address.
///
/// # Errors
/// [`ProgramError`] if the address is HTTPS and the certificate of the file cannot be read, or HTTPS is not built in.
pub(crate) fn agent(config: &Config, address: &str) -> Result<Agent, ProgramError> {
    if !address.starts_with("https:") {
        return Ok(Agent::new_with_defaults());
    }
    #[cfg(feature = "tls")]
    return super::https::agent(config);
    #[cfg(not(feature = "tls"))]
    {
        let _ = config;
        let not_built = crate::config::not_built("tls");
        let message =
            format!("{address}: the program that has the folder open speaks HTTPS: {not_built}");
        Err(ProgramError::Input(message))
    }
}
