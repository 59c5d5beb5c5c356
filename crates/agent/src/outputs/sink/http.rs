//! HTTP: one POST an alert, and what OTLP shares with it.

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, parse_pem};

use super::{Refusal, Sent, Sink};
use crate::http;
use crate::outputs::item::{Form, Item};
use crate::outputs::sender::Order;
use crate::outputs::target::Target;

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
    /// Of this output.
    pub(super) fn new(target: &Target, order: &Order) -> Result<Client, String> {
        let trusted = match &order.ca {
            Some(pem) => certificates(pem)?,
            None => http::native(),
        };
        let url = target.address.clone();
        Ok(Client { agent: http::client(&trusted), url, token: order.token.clone() })
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
            return Err(refusal(&ureq::Error::TooManyRedirects));
        }
        // It has arrived, whatever else is said.
        Ok(answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string().unwrap_or_default())
    }
}

fn refusal(error: &ureq::Error) -> Refusal {
    let why = http::shown(error);
    match error {
        ureq::Error::StatusCode(code) if NEVER.contains(code) => Refusal::Never(why),
        _ => Refusal::Later(why),
    }
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
