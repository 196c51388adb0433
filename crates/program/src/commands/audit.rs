//! `dayfold audit` compares the exports of a file with the sealed periods of its data folder.

use std::io::Write;

use crate::config::Config;
use crate::error::ProgramError;

/// Reads each exported file back and compares its rows. With `mend`, wrong files are written again.
///
/// # Errors
/// [`ProgramError::Input`] if the file has no exports, [`ProgramError::Failed`] if files are wrong and are not mended,
/// or if a store cannot be read.
#[cfg(feature = "lake")]
pub fn audit(config: &Config, mend: bool, out: &mut dyn Write) -> Result<(), ProgramError> {
    let (Some(folder), false) = (&config.data, config.exports.is_empty()) else {
        return Err(ProgramError::Input(
            "the file has no exports: expected [exports.NAME]".to_owned(),
        ));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut wrong = 0;
    for (name, lake, views) in crate::run::lakes(config) {
        let failed = |error| ProgramError::Failed(format!("exports.{name}: {error}"));
        let lake = lake.map_err(failed)?;
        for view in views {
            let found = runtime.block_on(lake.audit(folder, view, mend)).map_err(failed)?;
            let counts =
                format!("{} periods compared, {} wrong", found.compared, found.wrong.len());
            writeln!(out, "{name}, view {view}: {counts}")?;
            for (period, what) in &found.wrong {
                writeln!(out, "  {period}: {what}")?;
            }
            wrong += found.wrong.len();
        }
    }
    match (wrong, mend) {
        (0, _) => Ok(()),
        (_, true) => Ok(writeln!(out, "{wrong} files were written again")?),
        (_, false) => Err(ProgramError::Failed(format!(
            "{wrong} exported files are missing, damaged or different: `dayfold audit --mend` writes them again"
        ))),
    }
}

/// Only programs with the feature `lake` can have exports.
///
/// # Errors
/// [`ProgramError::Input`].
#[cfg(not(feature = "lake"))]
pub fn audit(_: &Config, _: bool, _: &mut dyn Write) -> Result<(), ProgramError> {
    Err(ProgramError::Input(crate::config::not_built("lake")))
}
