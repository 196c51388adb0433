//! Exports the sealed days of a data folder.
//!
//! ```text
//! cargo run --release -p dayfold-lake --example export -- FOLDER URL [iceberg|hive] [VIEW…]
//! ```
//!
//! `URL` is `file:///folder`, or `s3://bucket/path`, `gs://…`, `az://…` and `hdfs://…` with the features `aws`, `gcp`,
//! `azure` and `hdfs`. If no views are named, all are exported. `AUDIT=1` compares the lake with the folder afterwards.
//! `DAYS_PER_COMMIT` is the most days of one commit.

use std::path::PathBuf;
use std::process::ExitCode;

use dayfold::store::{Disk, inspect};
use dayfold_lake::{Lake, LakeOptions, Layout};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("export: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the audit found no error.
fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let usage = "expected FOLDER URL [iceberg|hive] [VIEW…]";
    let folder = PathBuf::from(arguments.next().ok_or(usage)?);
    let url = arguments.next().ok_or(usage)?;
    let layout = match arguments.next_if(|word| word == "iceberg" || word == "hive").as_deref() {
        Some("hive") => Layout::Hive,
        _ => Layout::Iceberg,
    };
    let mut views: Vec<String> = arguments.collect();
    if views.is_empty() {
        let report = inspect(&Disk, &folder)?;
        views = report.views.into_iter().map(|view| view.record.name).collect();
    }
    let mut options = LakeOptions::default().layout(layout);
    if let Ok(days) = std::env::var("DAYS_PER_COMMIT") {
        options = options.days_per_commit(days.parse()?);
    }
    let lake = Lake::open(&url, options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut is_right = true;
    for view in views {
        let began = std::time::Instant::now();
        let done = runtime.block_on(lake.export(&folder, &view))?;
        let took = began.elapsed().as_secs_f64();
        println!(
            "{view}: {} days written ({} rows, {} bytes), {} removed, {} unchanged, {took:.2} s",
            done.written, done.rows, done.bytes, done.removed, done.unchanged
        );
        if std::env::var_os("AUDIT").is_some() {
            let audit = runtime.block_on(lake.audit(&folder, &view, false))?;
            println!("{view}: {} days compared, {} wrong", audit.compared, audit.wrong.len());
            audit.wrong.iter().for_each(|(day, what)| println!("{view}: {day}: {what}"));
            is_right &= audit.wrong.is_empty();
        }
    }
    Ok(is_right)
}
