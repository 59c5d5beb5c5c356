//! The client of HTTP with which others are told: by rules that say `webhook`, and by outputs.

use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// How long one POST may take.
const LIMIT: Duration = Duration::from_secs(10);

/// No redirection is followed: it is told to whom the operator named, and whom he trusts.
pub(crate) fn client(trusted: &[Certificate<'static>]) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(trusted)).build();
    let config = Agent::config_builder().timeout_global(Some(LIMIT)).max_redirects(0);
    let config = config.tls_config(tls);
    config.user_agent(concat!("aegisbpf/", env!("CARGO_PKG_VERSION"))).build().into()
}

/// Whom the host trusts.
pub(crate) fn native() -> Vec<Certificate<'static>> {
    let all = rustls_native_certs::load_native_certs().certs;
    all.iter().map(|one| Certificate::from_der(one).to_owned()).collect()
}

/// Why nothing was told. An address may hold a secret, so no error may show it.
pub(crate) fn shown(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(code) => format!("the receiver answers {code}"),
        ureq::Error::TooManyRedirects => "the receiver names another address".to_owned(),
        ureq::Error::BadUri(_) => "the address cannot be used".to_owned(),
        other => other.to_string(),
    }
}
