//! Receivers, one file a kind.
//!
//! A sink takes items in their order and says how many have arrived. Those behind the first one that has not are
//! handed over again, so a receiver may get an item twice, with the same id, but never none of it.

mod file;
mod http;
mod journal;
mod kafka;
mod nats;
mod otlp;
mod syslog;
mod tls;

use std::time::{Duration, Instant};

use super::item::Item;
use super::sender::Order;
use super::target::{Kind, Target};

/// How long a sink goes on with one item after the other before it says how far it is.
const TURN: Duration = Duration::from_secs(30);

/// Why an item has not arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It may arrive later.
    Later(String),
    /// It never will: the receiver does not want this one.
    Never(String),
}

/// What became of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// So many have arrived, from the first on.
    pub(crate) done: usize,
    /// Why the next one has not, if there is one.
    pub(crate) refusal: Option<Refusal>,
}

impl Sent {
    /// All of them have arrived, or none has.
    pub(super) fn all(count: usize, result: Result<(), String>) -> Sent {
        match result {
            Ok(()) => Sent { done: count, refusal: None },
            Err(why) => Sent { done: 0, refusal: Some(Refusal::Later(why)) },
        }
    }

    /// Hands over one after the other, as far as time allows.
    pub(super) fn each(items: &[Item], mut send: impl FnMut(&Item) -> Result<(), Refusal>) -> Sent {
        let begun = Instant::now();
        for (done, item) in items.iter().enumerate() {
            if begun.elapsed() > TURN {
                return Sent { done, refusal: None };
            }
            if let Err(refusal) = send(item) {
                return Sent { done, refusal: Some(refusal) };
            }
        }
        Sent { done: items.len(), refusal: None }
    }
}

/// A receiver.
pub(crate) trait Sink: Send {
    /// Hands over items, and waits until they have arrived; each sink has its own limit for that.
    fn send(&mut self, items: &[Item]) -> Sent;
}

/// A receiver on this host, which needs no network.
pub(super) fn local(target: &Target) -> Option<Box<dyn Sink>> {
    match target.kind {
        Kind::File => Some(Box::new(file::File::new(target))),
        Kind::Journal => Some(Box::new(journal::Journal::new(target))),
        _ => None,
    }
}

/// A receiver elsewhere, as the order says.
pub(super) fn remote(order: &Order) -> Result<Box<dyn Sink>, String> {
    let target: Target = order.target.parse()?;
    Ok(match target.kind {
        Kind::File | Kind::Journal => return Err("it is no receiver elsewhere".to_owned()),
        Kind::SyslogUdp => Box::new(syslog::Datagrams::new(&target)),
        Kind::SyslogTcp | Kind::SyslogTls => Box::new(syslog::Stream::new(&target, order)?),
        Kind::Webhook => Box::new(http::Webhook::new(&target, order)?),
        Kind::Nats => Box::new(nats::Nats::new(&target, order)?),
        Kind::Kafka => Box::new(kafka::Kafka::new(&target, order)?),
        Kind::Otlp => Box::new(otlp::Otlp::new(&target, order)?),
    })
}
