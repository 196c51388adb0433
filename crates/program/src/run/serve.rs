//! The page and the API of a running program, and pushes of other programs.

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use dayfold::dynamic::Event;
use dayfold::engine::{Pusher, Running};
use dayfold::source::{Input, RawRecord, RawRecords};
use dayfold_http::{
    AnswerSql, ExportNumbers, Lines, Media, RefusedRows, Server, Serving, SinkNumbers,
};
use dayfold_sinks::{Feed, SinkOptions};
use serde_json::value::RawValue;

use super::addresses::{Addresses, Left};
use crate::config::{Config, SourceKind, Text, plain_csv};
use crate::error::ProgramError;
use crate::plan::{Plan, SourcePlan, csv_options};

/// The running server, until it is dropped.
pub(crate) struct Served {
    /// Its address.
    pub(crate) url: String,
    serving: Serving,
    /// The index of the process, and the number of processes.
    processes: (usize, usize),
    /// The content of the files that `[serve]` names, as it is served.
    files: Mutex<Vec<Option<Vec<u8>>>>,
}

impl Served {
    /// Makes requests wait for the next engine.
    pub(crate) fn pause(&self) {
        self.serving.pause();
    }

    /// Serves another engine, or the same one with other permissions.
    ///
    /// # Errors
    /// [`ProgramError::File`] if tokens or the certificate cannot be read.
    pub(crate) fn replace(
        &self,
        plan: &Plan,
        running: &Running,
        pusher: Option<&Pusher<Event>>,
        numbers: Numbers,
    ) -> Result<(), ProgramError> {
        let files = files(&plan.config);
        self.serving.replace(server(plan, running, pusher, self.processes, numbers)?);
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
        Ok(())
    }

    /// Whether the tokens or the certificate in the files have changed.
    pub(crate) fn has_other_files(&self, config: &Config) -> bool {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) != files(config)
    }

    /// Serves the views that the engine has now; everything else goes on.
    pub(crate) fn change_views(&self, config: &Config, running: &Running) {
        let units = config.views.iter().flat_map(|view| {
            let name = view.name.value.as_str();
            view.units.iter().map(move |(measure, unit)| (name, &*measure.value, &*unit.value))
        });
        self.serving.change_views(&running.views(), &units.collect::<Vec<_>>());
    }
}

/// The content of the files that `[serve]` names.
fn files(config: &Config) -> Vec<Option<Vec<u8>>> {
    let Some(serve) = &config.serve else { return Vec::new() };
    let tls = serve.tls.iter().flat_map(|(certificate, key)| [certificate, key]);
    let named = serve.token_file.iter().chain(&serve.tokens_file).chain(tls);
    named.map(|file| std::fs::read(config.path(&file.value)).ok()).collect()
}

/// Checks the files that `[serve]` names: tokens, and the certificate.
///
/// # Errors
/// [`ProgramError::File`] if one of them is wrong.
pub(crate) fn check_files(config: &Config) -> Result<(), ProgramError> {
    super::tokens::tokens(config)?;
    if let Some(file) = config.serve.as_ref().and_then(|serve| serve.token_file.as_ref()) {
        token(config, file)?;
    }
    #[cfg(feature = "tls")]
    super::tls::read(config)?;
    Ok(())
}

/// Returns refused rows from a position on, limited in number.
type ReadRefused = dyn Fn(u64, usize) -> std::io::Result<RefusedRows> + Send + Sync;

/// What is served besides the views: the progress of other parts of the program, and their answers.
pub(crate) struct Numbers {
    /// The sources, for pushes.
    pub(crate) sources: Vec<Arc<SourcePlan>>,
    /// The progress of exports.
    pub(crate) exports: Option<Box<dyn Fn() -> Vec<ExportNumbers> + Send + Sync>>,
    /// The progress of sinks.
    pub(crate) sinks: Option<Box<dyn Fn() -> Vec<SinkNumbers> + Send + Sync>>,
    /// The refused rows.
    pub(crate) refused: Option<Box<ReadRefused>>,
    /// Answers statements.
    pub(crate) sql: Option<Box<AnswerSql>>,
}

/// Serves the views of a running engine, if the file has an address.
pub(crate) fn serve(
    plan: &Plan,
    running: &Running,
    pusher: Option<&Pusher<Event>>,
    processes: (usize, usize),
    numbers: Numbers,
) -> Result<Option<Served>, ProgramError> {
    let Some((serve, http)) =
        plan.config.serve.as_ref().and_then(|serve| Some((serve, serve.http.as_ref()?)))
    else {
        return Ok(None);
    };
    let serving = server(plan, running, pusher, processes, numbers)?
        .serve(http.value.as_str())
        .map_err(|error| http.error(&plan.config.document, error.to_string()))?;
    let scheme = if serve.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", serving.address());
    Ok(Some(Served { url, serving, processes, files: Mutex::new(files(&plan.config)) }))
}

/// Leaves the addresses of the program in the data folder.
pub(crate) fn leave_addresses(
    config: &Config,
    served: Option<&Served>,
    postgres: Option<SocketAddr>,
) -> Result<Option<Left>, ProgramError> {
    let Some(folder) = &config.data else { return Ok(None) };
    let addresses = Addresses {
        pid: std::process::id(),
        http: served.map(|served| served.url.clone()),
        postgres: postgres.map(|address| format!("postgres://{address}/dayfold")),
    };
    Ok(Some(addresses.leave(folder)?))
}

/// A server of the views of a running engine.
fn server(
    plan: &Plan,
    running: &Running,
    pusher: Option<&Pusher<Event>>,
    (process, processes): (usize, usize),
    numbers: Numbers,
) -> Result<Server, ProgramError> {
    let name = plan.config.document.path().file_stem().unwrap_or_default().to_string_lossy();
    let server = Server::new(&name).observe(running.observer()).process(process, processes);
    let mut server = server.views(&running.views());
    for view in &plan.config.views {
        let unit = |server: Server, (measure, unit): &(Text, Text)| {
            server.unit(&view.name.value, &measure.value, &unit.value)
        };
        server = view.units.iter().fold(server, unit);
    }
    if let Some(serve) = &plan.config.serve {
        server = serve.hosts.iter().fold(server, |server, host| server.host(&host.value));
        if let Some(file) = &serve.token_file {
            server = server.token(&token(&plan.config, file)?);
        }
    }
    for (role, token) in super::tokens::tokens(&plan.config)? {
        server = server.token_of(role, &token);
    }
    if let Some(exports) = numbers.exports {
        server = server.exports(exports);
    }
    if let Some(sinks) = numbers.sinks {
        server = server.sinks(sinks);
    }
    if let Some(refused) = numbers.refused {
        server = server.refused(refused);
    }
    if let Some(sql) = numbers.sql {
        server = server.sql(sql);
    }
    if let Some(folder) = plan.config.data.clone().filter(|_| process == 0) {
        let (views, observer) = (running.views(), running.observer());
        let is_pushed = numbers.sources.iter().any(|source| source.config.kind == SourceKind::Http);
        // Rows that were read can be read again; pushed events cannot.
        let options = SinkOptions::default().durable(is_pushed);
        let start =
            move |view: &str| Feed::start(&views.now(), &observer, &folder, view, options.clone());
        server = server.changes(start);
    }
    let pushed = numbers.sources.iter().filter(|source| source.config.kind == SourceKind::Http);
    for (source, pusher) in pushed.zip(pusher.into_iter().cycle()) {
        let (name, source) = (source.config.name.value.clone(), Arc::clone(source));
        server =
            server.source(&name, pusher.clone(), move |body, media| events(&source, body, media));
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = super::tls::read(&plan.config)? {
        server = server.tls(tls);
    }
    // The first process has the exports.
    #[cfg(feature = "lake")]
    if process == 0 {
        server = super::exports::serve_catalog(&plan.config, server)?;
    }
    Ok(server)
}

/// The token in a file, without the line break.
fn token(config: &Config, file: &Text) -> Result<String, ProgramError> {
    let path = config.path(&file.value);
    let wrong = |message: String| ProgramError::File(file.error(&config.document, message));
    let token = std::fs::read_to_string(&path)
        .map_err(|error| wrong(format!("{}: {error}", path.display())))?;
    match token.trim() {
        "" => Err(wrong(format!("{}: it is empty, expected a token", path.display()))),
        token => Ok(token.to_owned()),
    }
}

/// The events of a request, each with its line.
fn events(source: &SourcePlan, body: &[u8], media: Media) -> Lines<Event> {
    let event = |line: usize, record: &[u8]| {
        let found = source.times.of(record).and_then(|(time, _)| source.event(time, record));
        found.map(|event| (line, event)).map_err(|reason| (line, reason))
    };
    match media {
        Media::Csv => of_csv(source, body)?
            .iter()
            .map(|(line, record)| event(*line, record.as_bytes()))
            .collect(),
        // One event, or a list of them.
        Media::Json if body.trim_ascii_start().starts_with(b"[") => {
            let list: Vec<&RawValue> =
                serde_json::from_slice(body).map_err(|error| (error.line(), error.to_string()))?;
            list.iter().map(|record| event(1, record.get().as_bytes())).collect()
        }
        Media::Json => Ok(vec![event(1, body)?]),
        _ => {
            let lines = body.split(|byte| *byte == b'\n').enumerate();
            let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
            lines.map(|(index, line)| event(index + 1, line)).collect()
        }
    }
}

/// CSV records with a header, as JSON objects; an empty field is missing.
fn of_csv(source: &SourcePlan, body: &[u8]) -> Result<Vec<(usize, String)>, (usize, String)> {
    let wrong = |error: dayfold::source::SourceError| (1, error.to_string());
    let csv = plain_csv();
    let input = Input::reader(source.config.name.value.clone(), Cursor::new(body.to_vec()));
    let mut records = RawRecords::open(input, csv_options(&csv, "")).map_err(wrong)?;
    let names: Vec<String> = records
        .columns()
        .unwrap_or_default()
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    let mut objects = Vec::new();
    loop {
        match records.read(false).map_err(wrong)? {
            RawRecord::Record { line, bytes } => {
                let line = usize::try_from(line).unwrap_or(usize::MAX);
                objects.push((
                    line,
                    crate::plan::object_of(&names, bytes).map_err(|reason| (line, reason))?,
                ));
            }
            RawRecord::Refused { line, reason, .. } => {
                return Err((line as usize, reason.to_owned()));
            }
            _ => return Ok(objects),
        }
    }
}
