//! `dayfold init` writes a file that can be run unchanged.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::error::ProgramError;

/// The file, and its rows.
const FILES: [(&str, &str); 2] = [
    ("dayfold.toml", include_str!("init/dayfold.toml")),
    ("visits.csv", include_str!("init/visits.csv")),
];

/// Writes the files into a folder. Existing files stay.
///
/// # Errors
/// [`ProgramError::Input`] if one of them exists, or cannot be written.
pub fn init(folder: &Path, out: &mut dyn Write) -> Result<(), ProgramError> {
    let cannot = |path: &Path, error: &dyn std::fmt::Display| {
        ProgramError::Input(format!("{}: {error}", path.display()))
    };
    for (name, _) in FILES {
        let path = folder.join(name);
        if path.exists() {
            return Err(cannot(&path, &"it is there already: choose another folder"));
        }
    }
    std::fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))?;
    for (name, text) in FILES {
        let path = folder.join(name);
        let file = File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        file.map_err(|error| cannot(&path, &error))?;
    }
    let file = folder.join(FILES[0].0);
    let file = file.display();
    writeln!(
        out,
        "wrote {file}\n\n  dayfold check {file}\n  dayfold run {file} --once\n  dayfold query {file} \"SELECT * FROM by_page\""
    )?;
    Ok(())
}
