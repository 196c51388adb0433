//! The shared secret of the processes of a cluster, and how they prove that they know it.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::error::ClusterError;

/// A shorter secret could be guessed from one proof.
const LEAST_BYTES: usize = 16;

/// A longer file is probably another file, named by mistake.
const MOST_BYTES: usize = 64 * 1024;

/// Made for each connection, so that no proof can be replayed.
pub(super) type Nonce = [u8; 32];

/// HMAC-SHA256 of the greetings of a connection, under the secret.
pub(super) type Proof = [u8; 32];

/// A secret that all processes of a cluster share. With it, each connection between two processes begins with a proof
/// by both that they know it; the secret itself is never sent.
///
/// It prevents others from taking a process's place at the start. The traffic afterwards is neither encrypted nor
/// authenticated.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Which side proves. The proof of one side is not valid for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Caller,
    Answerer,
}

impl Secret {
    /// A secret of these bytes, without white space at its end.
    ///
    /// # Errors
    /// [`ClusterError::WeakSecret`] if it has fewer than 16 bytes.
    pub fn new(bytes: &[u8]) -> Result<Secret, ClusterError> {
        let bytes = bytes.trim_ascii_end();
        if bytes.len() < LEAST_BYTES {
            return Err(ClusterError::WeakSecret { found: bytes.len(), least: LEAST_BYTES });
        }
        Ok(Secret(bytes.into()))
    }

    /// The secret of a file, without white space at its end. A file that other users may read is used, with a
    /// warning.
    ///
    /// # Errors
    /// [`ClusterError::SecretFile`] if it cannot be read, has fewer than 16 bytes or more than 64 KiB.
    pub fn from_file(path: &Path) -> Result<Secret, ClusterError> {
        let failed = |reason: String| ClusterError::SecretFile { path: path.to_owned(), reason };
        let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        warn_if_shown(&file, path);
        let mut bytes = Vec::new();
        let read = file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed(error.to_string()))?;
        if bytes.len() > MOST_BYTES {
            return Err(failed(format!("it has more than {MOST_BYTES} bytes, and is no secret")));
        }
        Secret::new(&bytes).map_err(|error| failed(error.to_string()))
    }

    fn mac(&self, role: Role, said: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0);
        let mut mac = mac.expect("HMAC takes a key of any length");
        mac.update(match role {
            Role::Caller => b"dayfold caller\0\0",
            Role::Answerer => b"dayfold answerer",
        });
        mac.update(said);
        mac
    }

    /// The proof of the secret on a connection with these two greetings.
    pub(super) fn prove(&self, role: Role, said: &[u8]) -> Proof {
        self.mac(role, said).finalize().into_bytes().into()
    }

    /// Checks the proof of the other side in constant time.
    pub(super) fn is_proof(&self, proof: &Proof, role: Role, said: &[u8]) -> bool {
        self.mac(role, said).verify_slice(proof).is_ok()
    }
}

/// A nonce from the system's random numbers.
pub(super) fn nonce() -> std::io::Result<Nonce> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(nonce)
}

#[cfg(unix)]
fn warn_if_shown(file: &std::fs::File, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        let path = path.display();
        tracing::warn!(
            "other users may use the secret file {path} (mode {mode:03o}): chmod 600 {path}"
        );
    }
}

#[cfg(not(unix))]
fn warn_if_shown(_: &std::fs::File, _: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_secret_its_role_and_its_connection() {
        let secret = Secret::new(b"correct horse battery staple\n").unwrap();
        let proof = secret.prove(Role::Caller, b"said");
        assert!(secret.is_proof(&proof, Role::Caller, b"said"));
        let other = Secret::new(b"incorrect horse battery staple").unwrap();
        assert!(!other.is_proof(&proof, Role::Caller, b"said"), "another secret");
        assert!(!secret.is_proof(&proof, Role::Answerer, b"said"), "sent back");
        assert!(!secret.is_proof(&proof, Role::Caller, b"sais"), "of another connection");
        let same = Secret::new(b"correct horse battery staple \r\n\r\n").unwrap();
        assert!(same.is_proof(&proof, Role::Caller, b"said"), "the end of a line is no part of it");
        assert_ne!(nonce().unwrap(), nonce().unwrap());
    }

    #[test]
    fn a_secret_is_not_shown_and_a_short_one_is_refused() {
        let secret = Secret::new(b"correct horse battery staple").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        let short = Secret::new(b"hunter2          \n").unwrap_err().to_string();
        assert!(short.contains("7 bytes") && !short.contains("hunter2"), "{short}");
    }

    #[test]
    fn the_file_of_a_secret_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let missing = Secret::from_file(&file).unwrap_err().to_string();
        assert!(missing.contains(&file.display().to_string()), "{missing}");
        for (bytes, reason) in [(15, "15 bytes"), (70_000, "more than 65536")] {
            std::fs::write(&file, vec![b'x'; bytes]).unwrap();
            let error = Secret::from_file(&file).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        assert_eq!(&*Secret::from_file(&file).unwrap().0, b"0123456789abcdef");
    }
}
