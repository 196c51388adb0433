//! Who may connect.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::Sink;
use pgwire::api::auth::noop::NoopStartupHandler;
use pgwire::api::auth::sasl::SASLAuthStartupHandler;
use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramAuth, gen_salted_password};
use pgwire::api::auth::{
    AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler,
};
use pgwire::api::{ClientInfo, ConnectionManager};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::TlsAcceptor;
use pgwire::tokio::tokio_rustls::rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::error::{ServerError, fatal};

/// The bytes of a salt.
const SALT: usize = 16;

/// An error of the users file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsersError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The file does not have the expected form.
    #[error("{path}: {why}: expected lines such as `alice = \"her password\"`")]
    Format {
        /// The file.
        path: String,
        /// What is wrong, with its line and column.
        why: String,
    },
    /// The file has no users.
    #[error("{path}: there are no users in it: nobody could connect")]
    None {
        /// The file.
        path: String,
    },
}

/// Users, and the data against which their passwords are checked. The passwords themselves are not kept.
pub struct Users {
    salted: BTreeMap<String, Salted>,
    /// Used to check unknown users, so that nobody learns which names exist.
    secret: [u8; SALT],
}

struct Salted {
    salt: [u8; SALT],
    password: Vec<u8>,
}

impl Users {
    /// Users with their passwords.
    pub fn new<N: Into<String>>(users: impl IntoIterator<Item = (N, String)>) -> Users {
        let salted = users.into_iter().map(|(name, password)| {
            let salt: [u8; SALT] = rand::random();
            (name.into(), Salted { salt, password: salted(&password, &salt) })
        });
        Users { salted: salted.collect(), secret: rand::random() }
    }

    /// Reads users from a TOML file with a line `name = "password"` for each.
    ///
    /// # Errors
    /// [`UsersError`].
    pub fn read(path: impl AsRef<Path>) -> Result<Users, UsersError> {
        let name = path.as_ref().display().to_string();
        let text = std::fs::read_to_string(path.as_ref());
        let text = text.map_err(|error| UsersError::Read { path: name.clone(), error })?;
        let users: BTreeMap<String, String> = toml::from_str(&text).map_err(|error| {
            // The message has the mistake and its position, but not the line itself, which may contain a password.
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let line = line.map_or_else(String::new, |line| format!("line {line}: "));
            UsersError::Format { path: name.clone(), why: format!("{line}{}", error.message()) }
        })?;
        match users.is_empty() {
            true => Err(UsersError::None { path: name }),
            false => Ok(Users::new(users)),
        }
    }
}

fn salted(password: &str, salt: &[u8]) -> Vec<u8> {
    gen_salted_password(password, salt, SCRAM_ITERATIONS)
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.salted.keys()).finish()
    }
}

#[async_trait]
impl AuthSource for Users {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        let name = login.user().unwrap_or_default();
        Ok(match self.salted.get(name) {
            Some(Salted { salt, password }) => Password::new(Some(salt.to_vec()), password.clone()),
            None => {
                // An unknown name has the same salt each time, as if it existed.
                let salt = salted(name, &self.secret)[..SALT].to_vec();
                Password::new(Some(salt), rand::random::<[u8; 32]>().to_vec())
            }
        })
    }
}

/// TLS with a certificate and its key.
pub(super) fn acceptor(certificates: &[u8], key: &[u8]) -> Result<TlsAcceptor, ServerError> {
    let unusable = |why: String| ServerError::Certificate { why };
    let certificates = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable("expected a certificate in PEM".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable(error.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(certificates, key));
    let mut config = config.map_err(|error| unusable(error.to_string()))?;
    // Sent by clients that skip the request for TLS.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Handles the beginning of a connection.
pub(super) struct Startup {
    how: How,
    is_full: bool,
    must_use_tls: bool,
}

enum How {
    Open(Open),
    Scram(Box<SASLAuthStartupHandler<DefaultServerParameterProvider>>),
}

/// Accepts everybody.
struct Open {
    connections: Arc<ConnectionManager>,
}

impl NoopStartupHandler for Open {
    fn connection_manager(&self) -> Option<Arc<ConnectionManager>> {
        Some(Arc::clone(&self.connections))
    }
}

impl Startup {
    pub(super) fn new(
        users: Option<Arc<Users>>,
        connections: &Arc<ConnectionManager>,
        is_full: bool,
        must_use_tls: bool,
    ) -> Startup {
        let connections = Arc::clone(connections);
        let how = match users {
            None => How::Open(Open { connections }),
            Some(users) => {
                let mut parameters = DefaultServerParameterProvider::default();
                (parameters.is_superuser, parameters.default_transaction_read_only) = (false, true);
                let scram = SASLAuthStartupHandler::new(Arc::new(parameters))
                    .with_scram(ScramAuth::new(users))
                    .with_connection_manager(connections);
                How::Scram(Box::new(scram))
            }
        };
        Startup { how, is_full, must_use_tls }
    }
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if self.is_full {
            return Err(fatal("53300", "too many connections: close some, or ask again later"));
        }
        let is_here = client.socket_addr().ip().is_loopback();
        if self.must_use_tls && !client.is_secure() && !is_here {
            return Err(fatal(
                "28000",
                "connections from other machines have to use TLS (sslmode=require)",
            ));
        }
        match &self.how {
            How::Open(open) => open.on_startup(client, message).await,
            How::Scram(scram) => scram.on_startup(client, message).await,
        }
    }
}
