//! HTTPS: the server's certificate, and the start of a connection before its first request.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, rustls};

/// The first byte that a TLS client sends: the type of a handshake record (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// How long a client without TLS may take to read its answer.
const TAKE_WITHIN: Duration = Duration::from_secs(2);

/// The most bytes of a request without TLS that are read before it is answered.
const PLAIN_BYTES: usize = 16 << 10;

/// A certificate and its key, for a server of HTTPS with TLS 1.2 and 1.3.
///
/// ```no_run
/// use dayfold_http::{Server, Tls};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::read("cert.pem".as_ref(), "key.pem".as_ref())?;
/// let serving = Server::new("flights").tls(tls).serve("0.0.0.0:8443")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("{}: {error}: expected {expected}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// Why it cannot be read.
        #[source]
        error: PemError,
    },
    /// There is no certificate in the file.
    #[error("{}: there is no certificate in it: expected PEM with -----BEGIN CERTIFICATE-----", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The certificate and the key do not match, or are of an unknown kind.
    #[error("{} cannot be served with the key {}: {error}", certificate.display(), key.display())]
    Unfit {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// The error.
        #[source]
        error: rustls::Error,
    },
}

impl Tls {
    /// Reads a certificate, followed by its chain to the root, and its private key, both in PEM.
    ///
    /// # Errors
    /// [`TlsError`] if a file cannot be read, has other content, or the two do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        let unreadable = |path: &Path, expected| {
            let path = path.to_owned();
            move |error| TlsError::Unreadable { path, expected, error }
        };
        let chain: Result<Vec<CertificateDer<'static>>, PemError> =
            CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
        let chain = chain.map_err(unreadable(certificate, "a certificate in PEM"))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate { path: certificate.to_owned() });
        }
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(unreadable(key, "a private key in PEM, without a password"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, private));
        let mut config = config.map_err(|error| {
            let (certificate, key) = (certificate.to_owned(), key.to_owned());
            TlsError::Unfit { certificate, key, error }
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(TlsAcceptor::from(Arc::new(config))))
    }

    /// Waits for a client to begin with TLS. A client that begins otherwise gets an error.
    pub(crate) async fn is_begun(&self, stream: &mut TcpStream, within: Duration) -> bool {
        let mut first = [0];
        match timeout(within, stream.peek(&mut first)).await {
            Ok(Ok(1)) if first[0] == HANDSHAKE => true,
            Ok(Ok(1)) => {
                let _ = timeout(TAKE_WITHIN, answer_plain(stream)).await;
                false
            }
            // The client is gone, or sends nothing.
            _ => false,
        }
    }

    /// The stream inside TLS; `None` if the handshake fails.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        within: Duration,
    ) -> Option<TlsStream<S>> {
        let accepted = timeout(within, self.0.accept(stream)).await;
        match accepted {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a client's TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }
}

async fn answer_plain(stream: &mut TcpStream) {
    // Unread bytes would reset the connection before its answer is taken.
    let mut request = vec![0; PLAIN_BYTES];
    let _ = stream.read(&mut request).await;
    let body = "{\"error\":{\"code\":\"tls_required\",\"message\":\"this port speaks HTTPS: ask for https://\"}}";
    let text = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    // A client that is gone needs no answer.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}
