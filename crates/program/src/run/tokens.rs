//! The file with tokens and their roles.

use dayfold_http::Role;

use crate::config::{Config, FileError, Text};

/// The tokens of a file: `read TOKEN`, `push TOKEN` or `admin TOKEN` on each line; lines that begin with `#` are
/// comments.
///
/// # Errors
/// [`FileError`] if it cannot be read, or has any other line.
pub(crate) fn tokens(config: &Config) -> Result<Vec<(Role, String)>, FileError> {
    let Some(file) = config.serve.as_ref().and_then(|serve| serve.tokens_file.as_ref()) else {
        return Ok(Vec::new());
    };
    let path = config.path(&file.value);
    let wrong = |message: String| file.error(&config.document, message);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| wrong(format!("{}: {error}", path.display())))?;
    warn_if_others_read(&path, file);
    let lines = text.lines().zip(1..).filter(|(line, _)| !is_comment(line));
    let token = |(line, number): (&str, usize)| {
        let at = || format!("{}:{number}", path.display());
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(role), Some(token), None) => match role_of(role) {
                Some(role) => Ok((role, token.to_owned())),
                None => Err(wrong(format!("{}: '{role}': expected read, push or admin", at()))),
            },
            _ => Err(wrong(format!("{}: expected a role and a token, such as 'push 6Kq9…'", at()))),
        }
    };
    let tokens = lines.map(token).collect::<Result<Vec<_>, _>>()?;
    if tokens.is_empty() {
        return Err(wrong(format!("{}: it has no token", path.display())));
    }
    Ok(tokens)
}

/// A token for queries, if they need one.
pub(crate) fn to_read(config: &Config) -> Result<Option<String>, FileError> {
    let reads = |role: &Role| matches!(role, Role::Read | Role::Admin);
    Ok(tokens(config)?.into_iter().find(|(role, _)| reads(role)).map(|(_, token)| token))
}

fn is_comment(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

fn role_of(name: &str) -> Option<Role> {
    match name {
        "read" => Some(Role::Read),
        "push" => Some(Role::Push),
        "admin" => Some(Role::Admin),
        _ => None,
    }
}

#[cfg(unix)]
fn warn_if_others_read(path: &std::path::Path, file: &Text) {
    use std::os::unix::fs::PermissionsExt;
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o044 != 0 {
        tracing::warn!(file = file.value, "other users may read the tokens: chmod 600");
    }
}

#[cfg(not(unix))]
fn warn_if_others_read(_path: &std::path::Path, _file: &Text) {}
