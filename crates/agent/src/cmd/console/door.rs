//! Who is let in.
//!
//! Any process of this host can connect, and any page that the operator's browser shows can make it send
//! requests here. So a request is answered only if it was addressed to this host by a name that no name
//! server decides (else another page could rebind its own name to this address), comes from no other page,
//! and brings the cookie that only the address printed at the start gives.

use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Console, Shared, page};

/// Bytes of half a secret: nobody guesses both.
const HALF: usize = 16;
/// The cookie.
const COOKIE: &str = "aegisbpf-console";
/// What needs no cookie: nothing of the host is in it.
const OPEN: &[&str] = &["/login", "/style.css", "/icon.svg"];

/// What the browser may do with a page: show it with our style, and send forms back to us.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";
const HARD: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    // With `no-referrer` the browser would not say where a form comes from.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("cache-control", "no-store"),
];

/// What others do not know, new with each start.
#[derive(Debug)]
pub(super) struct Secrets {
    /// In the address that is printed.
    pub(super) token: String,
    /// In the cookie.
    session: String,
    /// In each form.
    pub(super) form: String,
}

impl Secrets {
    /// From the kernel's random numbers.
    pub(super) fn new() -> std::io::Result<Secrets> {
        let mut source = File::open("/dev/urandom")?;
        let mut half = || -> std::io::Result<u128> {
            let mut bytes = [0; HALF];
            source.read_exact(&mut bytes)?;
            Ok(u128::from_ne_bytes(bytes))
        };
        let mut secret =
            || -> std::io::Result<String> { Ok(format!("{:032x}{:032x}", half()?, half()?)) };
        Ok(Secrets { token: secret()?, session: secret()?, form: secret()? })
    }
}

/// Whether somebody knows a secret. Digests are compared: how far they agree tells nothing.
pub(super) fn knows(given: &str, secret: &str) -> bool {
    Sha256::digest(given) == Sha256::digest(secret)
}

/// Lets a request in, or tells why not.
pub(super) async fn admit(State(console): Shared, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let mut response = match judge(&console, request.method(), path, request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, why)) => page::refusal(status, why),
    };
    let headers = response.headers_mut();
    for (name, value) in HARD {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    response
}

type Refused = (StatusCode, &'static str);

fn judge(
    console: &Console,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<(), Refused> {
    let host = one(headers, header::HOST.as_str());
    let Some(host) = host.filter(|host| is_own(host)) else {
        let why = "this console answers to 127.0.0.1, localhost and [::1] only: open the address that was \
                   printed when it was started";
        return Err((StatusCode::MISDIRECTED_REQUEST, why));
    };
    let is_open = OPEN.contains(&path);
    let site = one(headers, "sec-fetch-site").unwrap_or("none");
    if !is_open && !matches!(site, "none" | "same-origin") {
        let why = "another page sent you here: open the address yourself";
        return Err((StatusCode::FORBIDDEN, why));
    }
    let is_reading = matches!(*method, Method::GET | Method::HEAD);
    if !is_reading && one(headers, header::ORIGIN.as_str()) != Some(&format!("http://{host}")) {
        let why = "changes are taken from pages of this console only (Origin)";
        return Err((StatusCode::FORBIDDEN, why));
    }
    if !is_open && !cookies(headers).any(|value| knows(value, &console.secrets.session)) {
        let why =
            "open the address that was printed when the console was started: it has the token";
        return Err((StatusCode::UNAUTHORIZED, why));
    }
    Ok(())
}

/// The value of a header that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    all.next().filter(|_| all.next().is_none())?.to_str().ok()
}

/// Names that mean this host without asking anybody, with any port: a forwarded one is another than ours.
fn is_own(host: &str) -> bool {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    let is_loopback = |ip: Ipv4Addr| ip.is_loopback();
    name == "localhost" || name == "[::1]" || name.parse().is_ok_and(is_loopback)
}

/// Values of our cookie; servers of this host on other ports may have set one, too.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| name.trim() == COOKIE).map(|(_, value)| value.trim())
}

/// What the printed address says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    token: String,
}

/// Gives the cookie to who has the token. The page leads on by itself, so that the token does not stay in
/// the address; a redirect would not do, since a browser that came from elsewhere would keep the cookie back.
pub(super) async fn login(
    State(console): State<Arc<Console>>,
    Query(given): Query<Token>,
) -> Response {
    if !knows(&given.token, &console.secrets.token) {
        let why = "this is not the token of the console that runs: each start prints a new address";
        return page::refusal(StatusCode::UNAUTHORIZED, why);
    }
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", console.secrets.session);
    ([(header::SET_COOKIE, cookie)], page::welcome()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_decides_are_this_host() {
        for own in ["localhost", "localhost:1", "127.0.0.1:9436", "127.8.8.8", "[::1]:80", "[::1]"]
        {
            assert!(is_own(own), "{own}");
        }
        let others = [
            "evil.example",
            "127.0.0.1.evil.example:9436",
            "localhost.evil.example",
            "192.0.2.1",
            "127.0.0.1:80@evil.example",
            "0.0.0.0",
            "",
        ];
        for other in others {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    fn a_header_that_is_there_twice_is_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert_eq!(one(&headers, "host"), Some("localhost"));
        headers.append(header::HOST, HeaderValue::from_static("evil.example"));
        assert_eq!(one(&headers, "host"), None);
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (first, second) = (Secrets::new().unwrap(), Secrets::new().unwrap());
        assert_eq!(first.token.len(), HALF * 4);
        assert!(first.token != second.token && first.token != first.session);
        assert!(knows(&first.token, &first.token) && !knows(&second.token, &first.token));
        assert!(!knows("", &first.token));
    }
}
