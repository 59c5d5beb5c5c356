//! Whom rules may have told something: the one address that the operator names.

use std::fmt;
use std::str::FromStr;

use ureq::http::Uri;

/// Bytes of an address.
const URL_MAX: usize = 2_048;

/// An address of HTTP. It may hold a secret, so nothing shows it by chance.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Webhook(String);

impl FromStr for Webhook {
    type Err = String;

    fn from_str(text: &str) -> Result<Webhook, String> {
        if text.len() > URL_MAX {
            return Err(format!("an address has at most {URL_MAX} bytes"));
        }
        let uri: Uri = text.parse().map_err(|error| format!("it is no address: {error}"))?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        if !known || uri.host().is_none_or(str::is_empty) {
            return Err("it begins with `https://` or `http://` and a host".to_owned());
        }
        Ok(Webhook(text.to_owned()))
    }
}

/// The whole address.
impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_http_are_taken_and_none_is_shown_by_chance() {
        let hook: Webhook = "https://hooks.example/a?token=secret".parse().unwrap();
        assert_eq!(format!("{hook:?}"), "Webhook");
        assert_eq!(hook.to_string(), "https://hooks.example/a?token=secret");
        for wrong in [
            "",
            "hooks.example",
            "/a",
            "ftp://hooks.example",
            "file:///etc/passwd",
            "http:///a",
            "a b",
        ] {
            assert!(wrong.parse::<Webhook>().is_err(), "{wrong}");
        }
        assert!(format!("https://a/{}", "b".repeat(URL_MAX)).parse::<Webhook>().is_err());
    }
}
