//! HTTP: one POST an alert, and what OTLP shares with it.

use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::{Refusal, Sent, Sink};
use crate::outputs::item::{Form, Item};
use crate::outputs::sender::Order;
use crate::outputs::target::Target;

/// How long one POST may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read: those of OTLP say what was not taken.
const ANSWER_MAX: u64 = 64 << 10;
/// What a receiver answers that does not want this body, whenever it comes; all else may be mended.
const NEVER: &[u16] = &[400, 411, 413, 414, 415, 422, 431];

/// A client of one address.
pub(super) struct Client {
    agent: Agent,
    url: String,
    token: Option<String>,
}

impl Client {
    /// No redirection is followed: it is told to whom the operator named, and whom he trusts.
    pub(super) fn new(target: &Target, order: &Order) -> Result<Client, String> {
        let trusted = match &order.ca {
            Some(pem) => certificates(pem)?,
            None => native(),
        };
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&trusted)).build();
        let config = Agent::config_builder().timeout_global(Some(LIMIT)).max_redirects(0);
        let config =
            config.tls_config(tls).user_agent(concat!("aegisbpf/", env!("CARGO_PKG_VERSION")));
        let url = target.address.clone();
        Ok(Client { agent: config.build().into(), url, token: order.token.clone() })
    }

    /// Posts a body, and gives what was answered.
    pub(super) fn post(
        &self,
        media: &str,
        id: Option<&str>,
        body: &str,
    ) -> Result<String, Refusal> {
        let mut request = self.agent.post(self.url.as_str()).content_type(media);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(id) = id {
            request = request.header("Idempotency-Key", id);
        }
        let mut answer = request.send(body).map_err(|error| refusal(&error))?;
        if answer.status().is_redirection() {
            return Err(Refusal::Later("the receiver names another address".to_owned()));
        }
        // It has arrived, whatever else is said.
        Ok(answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string().unwrap_or_default())
    }
}

/// An address may hold a secret, so no error may show it.
fn refusal(error: &ureq::Error) -> Refusal {
    match error {
        ureq::Error::StatusCode(code) => {
            let why = format!("the receiver answers {code}");
            if NEVER.contains(code) { Refusal::Never(why) } else { Refusal::Later(why) }
        }
        ureq::Error::BadUri(_) => Refusal::Later("the address cannot be used".to_owned()),
        other => Refusal::Later(other.to_string()),
    }
}

/// Whom the host trusts.
fn native() -> Vec<Certificate<'static>> {
    let all = rustls_native_certs::load_native_certs().certs;
    all.iter().map(|one| Certificate::from_der(one).to_owned()).collect()
}

fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, String> {
    let mut all = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        match item.map_err(|error| format!("`ca`: {error}"))? {
            PemItem::Certificate(one) => all.push(one),
            _ => return Err("`ca` holds something that is no certificate".to_owned()),
        }
    }
    if all.is_empty() { Err("`ca` holds no certificate".to_owned()) } else { Ok(all) }
}

/// A webhook.
pub(super) struct Webhook {
    client: Client,
    form: Form,
}

impl Webhook {
    pub(super) fn new(target: &Target, order: &Order) -> Result<Webhook, String> {
        Ok(Webhook { client: Client::new(target, order)?, form: target.form })
    }
}

impl Sink for Webhook {
    fn send(&mut self, items: &[Item]) -> Sent {
        let (client, form) = (&self.client, self.form);
        Sent::each(items, |item| {
            client.post(form.media_type(), Some(&item.id), &form.of(item)).map(drop)
        })
    }
}
