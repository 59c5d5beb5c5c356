//! NATS JetStream: an item has arrived when the stream says that it keeps it.
//!
//! The stream is the operator's: it has to be there, with this subject. Items carry their id (`Nats-Msg-Id`), so a stream
//! drops those that it got twice within its window.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::{ConnectOptions, HeaderMap};
use tokio::runtime::{Builder, Runtime};

use super::{Refusal, Sent, Sink, tls};
use crate::outputs::item::{Form, Item};
use crate::outputs::sender::Order;
use crate::outputs::target::Target;

/// How long connecting, and each acknowledgement, may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A stream.
pub(super) struct Nats {
    runtime: Runtime,
    server: String,
    subject: String,
    form: Form,
    options: ConnectOptions,
    open: Option<Context>,
}

impl Nats {
    pub(super) fn new(target: &Target, order: &Order) -> Result<Nats, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (server, subject) = target.address.rsplit_once('/').unwrap_or_default();
        let mut options = ConnectOptions::new().name("aegisbpf").connection_timeout(LIMIT);
        if server.starts_with("tls:") {
            let trusted = tls::trust(order.ca.as_deref())?;
            options = options.require_tls(true).tls_client_config(trusted);
        }
        if let Some(token) = &order.token {
            options = options.token(token.clone());
        }
        let (server, subject) = (server.to_owned(), subject.to_owned());
        Ok(Nats { runtime, server, subject, form: target.form, options, open: None })
    }
}

impl Sink for Nats {
    fn send(&mut self, items: &[Item]) -> Sent {
        let open = self.open.take();
        let (form, subject) = (self.form, &self.subject);
        let (server, options) = (&self.server, self.options.clone());
        let sent = self.runtime.block_on(async {
            let context = match open {
                Some(context) => context,
                None => connect(server, options).await?,
            };
            let (done, why) = publish(&context, subject, form, items).await;
            Ok((context, done, why))
        });
        match sent {
            Ok((context, done, None)) => {
                self.open = Some(context);
                Sent { done, refusal: None }
            }
            // What follows goes over another connection: this one may be dead.
            Ok((_, done, Some(why))) => Sent { done, refusal: Some(why) },
            Err(why) => Sent::all(items.len(), Err(why)),
        }
    }
}

async fn connect(server: &str, options: ConnectOptions) -> Result<Context, String> {
    let client = options.connect(server).await.map_err(|error| error.to_string())?;
    let mut context = async_nats::jetstream::new(client);
    context.set_timeout(LIMIT);
    Ok(context)
}

/// How many of them the stream keeps, from the first on, and why no more.
async fn publish(
    context: &Context,
    subject: &str,
    form: Form,
    items: &[Item],
) -> (usize, Option<Refusal>) {
    let (mut asked, mut refused) = (Vec::new(), None);
    for item in items {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", item.id.as_str());
        let text = form.of(item);
        match context.publish_with_headers(subject.to_owned(), headers, text.into()).await {
            Ok(answer) => asked.push(answer),
            Err(error) => {
                refused = Some(refusal(&error));
                break;
            }
        }
    }
    let mut done = 0;
    for answer in asked {
        match answer.await {
            Ok(_) => done += 1,
            Err(error) => return (done, Some(refusal(&error))),
        }
    }
    (done, refused)
}

/// What is too large for the server today is too large tomorrow; all else may be mended.
fn refusal(error: &PublishError) -> Refusal {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Refusal::Never(error.to_string()),
        _ => Refusal::Later(error.to_string()),
    }
}
