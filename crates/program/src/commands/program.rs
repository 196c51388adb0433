//! Finds the running program that has a folder open.

use std::path::Path;

use super::client;
use crate::config::Config;
use crate::error::ProgramError;
use crate::run::{Addresses, token_to_read};

/// The program that has a folder open.
pub(super) struct Program {
    /// The address of its page and API.
    pub(super) address: String,
    /// The HTTP client for it.
    pub(super) agent: ureq::Agent,
    /// The authorization that it requires.
    pub(super) authorization: Option<String>,
}

impl Program {
    /// The program whose addresses are in the folder, if there are any.
    pub(super) fn of(config: &Config, folder: &Path) -> Result<Option<Program>, ProgramError> {
        let Some(address) = Addresses::read(folder).and_then(|addresses| addresses.http) else {
            return Ok(None);
        };
        let agent = client::agent(config, &address)?;
        let authorization = token_to_read(config)?.map(|token| format!("Bearer {token}"));
        Ok(Some(Program { address, agent, authorization }))
    }
}
