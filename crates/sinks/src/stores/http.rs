//! The HTTP client of stores that speak HTTP.

use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

/// A client that trusts the authorities of the system, follows no redirects, and returns every status as an answer.
pub(super) fn agent(limit: Duration) -> Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::NativeTls)
        .root_certs(RootCerts::PlatformVerifier)
        .build();
    let config = Agent::config_builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        // What is posted must not go elsewhere.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .tls_config(tls)
        .build();
    config.into()
}
