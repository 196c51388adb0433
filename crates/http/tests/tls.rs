//! Tests HTTPS with curl and certificates of openssl. Needs both programs.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use dayfold_http::{Server, Serving, Tls, TlsError};
use tempfile::TempDir;

/// A certificate for localhost and its key.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let file = |end: &str| folder.join(format!("{name}-{end}.pem"));
    let (cert, key) = (file("cert"), file("key"));
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]);
    command.args([
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
    ]);
    let output = command.arg("-out").arg(&cert).arg("-keyout").arg(&key).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (cert, key)
}

struct Served {
    folder: TempDir,
    cert: PathBuf,
    serving: Serving,
}

impl Served {
    fn start() -> Served {
        let folder = TempDir::new().unwrap();
        let (cert, key) = certificate(folder.path(), "own");
        let tls = Tls::read(&cert, &key).unwrap();
        let serving = Server::new("secure").tls(tls).serve("127.0.0.1:0").unwrap();
        Served { folder, cert, serving }
    }

    /// Status and body, or `None` if curl fails.
    fn get(&self, scheme: &str, path: &str, arguments: &[&str]) -> Option<(String, String)> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "60", "-w", "\n%{http_code}", "--cacert"]).arg(&self.cert);
        curl.args(arguments)
            .arg(format!("{scheme}://localhost:{}{path}", self.serving.address().port()));
        let output = curl.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n')?;
        output.status.success().then(|| (status.to_owned(), body.to_owned()))
    }
}

#[test]
fn clients_of_tls_are_answered() {
    let served = Served::start();
    for versions in [&["--tlsv1.3"][..], &["--tlsv1.2", "--tls-max", "1.2"]] {
        let (status, page) = served.get("https", "/", versions).unwrap();
        assert_eq!(status, "200", "{page}");
        assert!(page.contains("</html>"), "{page}");
        // Host names are checked here as well.
        let foreign = served.get("https", "/api/status", &["-H", "host: example.com"]).unwrap();
        assert_eq!(foreign.0, "421", "{}", foreign.1);
    }
    let too_old = &["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"];
    assert_eq!(served.get("https", "/healthz", too_old), None);
    let (other, _) = certificate(served.folder.path(), "other");
    let other = ["--cacert", other.to_str().unwrap()];
    assert_eq!(served.get("https", "/healthz", &other), None, "it shows its own certificate");
    served.serving.stop();
}

#[test]
fn a_client_without_tls_is_told_so_and_others_are_not_kept_waiting() {
    let served = Served::start();
    let (status, body) = served.get("http", "/api/status", &[]).unwrap();
    assert_eq!(status, "400");
    assert!(body.contains("\"tls_required\""), "{body}");
    // One is silent, one begins and then is silent, one sends nonsense.
    let connect = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(served.serving.address()).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let open = [connect(b""), connect(&[22, 3, 1, 1, 0]), connect(&[22; 600])];
    assert_eq!(served.get("https", "/healthz", &[]).unwrap().0, "200");
    // It waits for none of them, because none has sent a request.
    served.serving.stop();
    drop(open);
}

#[test]
fn files_that_cannot_be_used_are_told_with_what_was_expected() {
    let folder = TempDir::new().unwrap();
    let (cert, key) = certificate(folder.path(), "one");
    let (_, other_key) = certificate(folder.path(), "other");
    let nonsense = folder.path().join("nonsense");
    fs::write(&nonsense, "no PEM").unwrap();
    let none = folder.path().join("none");
    let error = |cert: &Path, key: &Path| Tls::read(cert, key).unwrap_err();

    let missing = error(&none, &key);
    assert!(matches!(&missing, TlsError::Unreadable { path, .. } if *path == none), "{missing}");
    assert!(missing.to_string().ends_with("expected a certificate in PEM"), "{missing}");
    for no_certificate in [&nonsense, &key] {
        let error = error(no_certificate, &key);
        assert!(matches!(error, TlsError::NoCertificate { .. }), "{error}");
    }
    for no_key in [&none, &nonsense, &cert] {
        let error = error(&cert, no_key);
        assert!(matches!(&error, TlsError::Unreadable { path, .. } if path == no_key), "{error}");
        assert!(error.to_string().contains("expected a private key"), "{error}");
    }
    let unfit = error(&cert, &other_key);
    assert!(matches!(unfit, TlsError::Unfit { .. }), "{unfit}");
}
