//! Serves the Iceberg tables of a lake as a catalogue, until it is killed.
//!
//! ```text
//! cargo run --release -p dayfold-lake --features catalog --example catalog -- URL [ADDRESS]
//! ```
//!
//! Query engines mount `http://ADDRESS/iceberg`; the tables are in the namespace `lake`. With `TOKEN=…` in the
//! environment, they have to send that token.

use std::process::ExitCode;

use dayfold_http::{Role, Server};
use dayfold_lake::{Catalog, Lake, LakeOptions};

fn main() -> ExitCode {
    match run() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("catalog: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<std::convert::Infallible, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("expected URL [ADDRESS]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8181".to_owned());
    let lake = Lake::open(&url, LakeOptions::default())?;
    let mut server = Server::new("lake").catalog(Catalog::new().namespace("lake", lake).router());
    if let Ok(token) = std::env::var("TOKEN") {
        server = server.token_of(Role::Read, &token);
    }
    let serving = server.serve(&address)?;
    println!("http://{}/iceberg", serving.address());
    loop {
        std::thread::park();
    }
}
