//! Shows a data folder: its runs, its views and their days, its log, and whether all of it is intact.
//!
//!     cargo run --release --example flights -- --data /tmp/flights
//!     cargo run --release --example inspect -- /tmp/flights
//!     cargo run --release --example inspect -- /tmp/flights rows by-carrier --format csv
//!
//!     cargo run --release --example inspect -- /tmp/flights --backup /tmp/backup
//!
//! It takes no lock and changes nothing, so it can read a folder that a program is writing: it shows what was committed
//! at that time.

#[path = "inspect/folder.rs"]
mod folder;
#[path = "inspect/log.rs"]
mod log;
#[path = "inspect/page.rs"]
mod page;
#[path = "inspect/rows.rs"]
mod rows;
#[path = "inspect/unsealed.rs"]
mod unsealed;
#[path = "inspect/verify.rs"]
mod verify;

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dayfold::store::{self, Disk};
use page::{Page, bytes, count};
use verify::Damage;

/// Shows the content of a data folder, and verifies the checksums of everything that counts.
///
/// With --backup it makes a copy instead, even while a program writes the folder.
///
/// Exits with 0 if everything is intact; 1 if something is damaged or cannot be read; 2 if there is no such data folder
/// or view.
#[derive(Parser)]
struct Options {
    /// The data folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Lists each revision of each day, and each day of the log.
    #[arg(long)]
    days: bool,
    /// Does not read whole files: checks only the checksums of manifests and commit records.
    #[arg(long)]
    no_verify: bool,
    /// Copies the data folder to DIR, which must not exist yet, in the state in which a program that is killed now
    /// would leave it. The program may go on meanwhile. To restore it, replace the folder by the copy.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["days", "no_verify"])]
    backup: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Shown>,
}

#[derive(Subcommand)]
enum Shown {
    /// Prints the rows of a view's sealed days, with the names of their columns. It does not need the program of the
    /// view.
    Rows(rows::Options),
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(message) = check_folder(&options.folder) {
        eprintln!("error: {message}");
        return ExitCode::from(2);
    }
    if let Some(Shown::Rows(rows)) = &options.command {
        return match rows::print(&options.folder, rows) {
            Ok(()) => ExitCode::SUCCESS,
            Err(rows::Failed(message, code)) => {
                eprintln!("error: {message}");
                ExitCode::from(code)
            }
        };
    }
    if let Some(to) = &options.backup {
        return backup(&options.folder, to);
    }
    match show(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // A reader that has seen enough closes the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns why this is not a data folder, if so.
fn check_folder(folder: &Path) -> Result<(), String> {
    let names = std::fs::read_dir(folder);
    let names = names.map_err(|error| format!("cannot look into {}: {error}", folder.display()))?;
    let mut names = names.flatten().map(|entry| entry.file_name());
    if names.any(|name| name.to_string_lossy().starts_with("part-")) {
        return Ok(());
    }
    Err(format!("{} is no data folder: there is no part-0 in it", folder.display()))
}

fn backup(from: &Path, to: &Path) -> ExitCode {
    match store::backup(from, to) {
        Ok(copied) => {
            let files = count(copied.files, "file", "files");
            println!("copied {files}, {}, to {}", bytes(copied.bytes), to.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", in_full(&error));
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything is intact.
fn show(options: &Options) -> io::Result<bool> {
    let mut damages = Vec::new();
    let mut page = Page::new();
    let report = match store::inspect(&Disk, &options.folder) {
        Ok(report) => report,
        Err(error) => {
            damages.push(Damage::new("manifest", &error));
            verify::list(&mut page, &damages);
            return print(&mut page).map(|()| false);
        }
    };
    folder::head(&mut page, &options.folder, &report);
    for view in &report.views {
        folder::view(&mut page, view, options.days);
    }
    let parts: Vec<_> =
        report.parts.iter().map(|part| (part.process as u32, part.path.clone())).collect();
    let state = match dayfold::log::scan(&Disk, &parts, u64::MAX) {
        Ok(state) => Some(state),
        Err(error) => {
            damages.push(Damage::new("log", &error));
            None
        }
    };
    for error in dayfold::log::prove(&Disk, &report) {
        verify::add(&mut damages, Damage::new("log", &error));
    }
    if let Some(state) = state.as_ref().filter(|state| !state.streams.is_empty()) {
        log::events(&mut page, state, &report, options.days);
        log::ends(&mut page, state, damages.is_empty());
        log::sources(&mut page, state);
        damages.extend(log::refused(&mut page, state, &report).err());
        damages.extend(unsealed::show(&mut page, state, &report).err());
    }
    // Reading everything may take a while, so what is known is shown first.
    print(&mut page)?;
    if !options.no_verify {
        verify::everything(&mut page, &report, state.as_ref(), &mut damages);
    }
    verify::list(&mut page, &damages);
    print(&mut page)?;
    Ok(damages.is_empty())
}

fn print(page: &mut Page) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(page.take().as_bytes())?;
    out.flush()
}

/// An error with its causes, as far as it does not name them itself.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.contains(&error.to_string()) {
            text = format!("{text}: {error}");
        }
        cause = error.source();
    }
    text
}
