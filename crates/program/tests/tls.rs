//! `tls_cert` and `tls_key` of the file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fs;

use common::bad;

fn write(folder: &std::path::Path, serve: &str) {
    fs::write(folder.join("a.csv"), "at,x\n2024-05-01T00:00:00Z,1\n").unwrap();
    let text = format!(
        "[engine]\ndata = \"data\"\n\n[sources.a]\ntype = \"file\"\npath = \"a.csv\"\nfollow = true\nevent_time = \"at\"\n\n\
         [views.v]\nfrom = \"a\"\nmeasures = {{ rows = \"count()\" }}\n\n[serve]\nhttp = \"127.0.0.1:0\"\n{serve}\n"
    );
    fs::write(folder.join("f.toml"), text).unwrap();
}

#[test]
fn one_without_the_other_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (there, missing) in [("tls_cert", "tls_key"), ("tls_key", "tls_cert")] {
        write(folder.path(), &format!("{there} = \"x.pem\""));
        let said = bad(folder.path(), &["check", "f.toml"], 2);
        assert!(said.contains(&format!("expected {missing} beside it")), "{said}");
        assert!(said.contains("f.toml:16"), "{said}");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn the_feature_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "tls_cert = \"x.pem\"\ntls_key = \"y.pem\"");
    let said = bad(folder.path(), &["check", "f.toml"], 2);
    assert!(said.contains("built without the feature 'tls'"), "{said}");
}

/// A certificate for a name that no request uses.
#[cfg(feature = "tls")]
fn certificate(folder: &std::path::Path) {
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-nodes", "-subj", "/CN=stats.example.org"]);
    openssl.args(["-out", "cert.pem", "-keyout", "key.pem"]).current_dir(folder);
    assert!(openssl.output().unwrap().status.success());
}

#[cfg(feature = "tls")]
#[test]
fn a_program_serves_https_and_says_so() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"");
    // Nothing is written before the files exist.
    for command in ["check", "run"] {
        let said = bad(folder, &[command, "f.toml"], 2);
        assert!(said.contains("f.toml:16") && said.contains("cert.pem"), "{said}");
        assert!(!folder.join("data").exists());
    }
    certificate(folder);
    common::good(folder, &["check", "f.toml"]);

    let mut command = common::dayfold();
    let mut child =
        command.args(["run", "f.toml"]).current_dir(folder).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.find_map(|line| line.ok().filter(|line| line.starts_with("https://")));
    std::thread::spawn(move || lines.for_each(drop));
    let address = address.unwrap();
    common::wait_until("its row is there", || {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--insecure"]).current_dir(folder);
        let output = curl.arg(format!("{address}/api/views/v/rows?format=csv")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("2024-05-01,1,")
    });
    // `query` identifies the program by the certificate of the file, whatever name it has.
    let ask = ["query", "f.toml", "SELECT day, rows FROM v", "--format", "csv"];
    assert_eq!(common::good(folder, &ask), "day,rows\n2024-05-01,1\n");
    // A new certificate in the file is not accepted until the program has read it, too.
    certificate(folder);
    let said = bad(folder, &ask, 1);
    assert!(said.contains(&address) && said.contains("certificate"), "{said}");
    common::good(folder, &["reload", "f.toml"]);
    assert_eq!(common::good(folder, &ask), "day,rows\n2024-05-01,1\n");
    child.kill().unwrap();
    child.wait().unwrap();
}
