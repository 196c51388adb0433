//! HTTPS to a program that runs on this machine.
//!
//! The client connects to the address on which the program listens, which no certificate of a public authority names.
//! So it identifies the program by the certificate in the file's `tls_cert`. Another certificate is accepted if the
//! roots of the system verify it for one of `hosts`, because the file may have a newer one than the program.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::Agent;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector,
    Transport, TransportAdapter,
};

use crate::config::Config;
use crate::error::ProgramError;

/// An HTTP client that uses HTTPS.
pub(crate) fn agent(config: &Config) -> Result<Agent, ProgramError> {
    let serve = config.serve.as_ref();
    let own = match serve.and_then(|serve| serve.tls.as_ref()) {
        None => None,
        Some((cert, _)) => {
            let path = config.path(&cert.value);
            let read = CertificateDer::from_pem_file(&path);
            let wrong =
                |error| cert.error(&config.document, format!("{}: {error}", path.display()));
            Some(read.map_err(wrong)?)
        }
    };
    let hosts = serve.map_or(&[][..], |serve| &serve.hosts).iter();
    let hosts = hosts.filter_map(|host| ServerName::try_from(host.value.clone()).ok()).collect();
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Known { own, hosts, provider: Arc::clone(&provider) });
    let client =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let client = client.map_err(|error| ProgramError::Failed(error.to_string()))?;
    let client = client.dangerous().with_custom_certificate_verifier(verifier);
    let tls = Tls(Arc::new(client.with_no_client_auth()));
    let connector = Connector::<()>::chain(TcpConnector::default(), tls);
    Ok(Agent::with_parts(ureq::config::Config::default(), connector, DefaultResolver::default()))
}

/// The certificates that are accepted.
#[derive(Debug)]
struct Known {
    own: Option<CertificateDer<'static>>,
    hosts: Vec<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _address: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // This certificate need not name the address, nor come from an authority: only the program has its key.
        if self.own.as_ref() == Some(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::clone(&self.provider);
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|_| unknown())?;
        let is_of = |host: &ServerName<'_>| {
            verifier.verify_server_cert(end_entity, intermediates, host, ocsp_response, now)
        };
        self.hosts.iter().find_map(|host| is_of(host).ok()).ok_or_else(unknown)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// TLS above TCP. The client's own TLS requires that the certificate names the address.
#[derive(Debug)]
struct Tls(Arc<ClientConfig>);

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| ureq::Error::HostNotFound)?;
        let failed = |error| ureq::Error::Io(std::io::Error::other(error));
        let mut conn = ClientConnection::new(Arc::clone(&self.0), name).map_err(failed)?;
        let mut sock = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        sock.set_timeout(details.timeout);
        conn.complete_io(&mut sock).map_err(shaken)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let stream = StreamOwned { conn, sock };
        Ok(Some(Either::B(TlsTransport { buffers, stream })))
    }
}

/// The error of a failed handshake, which is not the same as an unavailable program.
fn shaken(error: std::io::Error) -> ureq::Error {
    if error.kind() != std::io::ErrorKind::InvalidData {
        return ureq::Error::Io(error);
    }
    let message = format!(
        "{error}: the program shows another certificate than tls_cert has; `dayfold reload` has it read its files again"
    );
    ureq::Error::Other(message.into())
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl std::fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
