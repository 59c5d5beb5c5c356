//! TLS for receivers that speak no HTTP.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Whom a receiver's certificate must come from.
pub(super) fn trust(ca: Option<&str>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for one in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let one = one.map_err(|error| format!("`ca`: {error}"))?;
                roots.add(one).map_err(|error| format!("`ca`: {error}"))?;
            }
            if roots.is_empty() {
                return Err("`ca` holds no certificate".to_owned());
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
