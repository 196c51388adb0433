//! The program that has a folder open, to be asked.

use std::path::Path;

use super::client;
use crate::config::Config;
use crate::error::ProgramError;
use crate::run::{Addresses, token_to_read};

/// The program that has a folder open.
pub(super) struct Program {
    /// Its page and API.
    pub(super) address: String,
    /// What asks it.
    pub(super) agent: ureq::Agent,
    /// What it wants to be shown.
    pub(super) authorization: Option<String>,
}

impl Program {
    /// Where its folder says that it is, if it does.
    pub(super) fn of(config: &Config, folder: &Path) -> Result<Option<Program>, ProgramError> {
        let Some(address) = Addresses::read(folder).and_then(|addresses| addresses.http) else {
            return Ok(None);
        };
        let agent = client::agent(config, &address)?;
        let authorization = token_to_read(config)?.map(|token| format!("Bearer {token}"));
        Ok(Some(Program { address, agent, authorization }))
    }
}
