//! Kafka: a record has arrived when all replicas that are in step have it (`acks=all`).
//!
//! The topic is the operator's: it has to be there, and is never made. The key of a record is the id of the host, so
//! one partition has all alerts of a host, in their order, as it would from any other producer with this key; its
//! header `id` is the same whenever an alert is told again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rskafka::BackoffConfig;
use rskafka::chrono::DateTime;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::{Refusal, Sent, Sink, TURN, tls};
use crate::outputs::item::{Form, Item};
use crate::outputs::sender::Order;
use crate::outputs::target::{Login, Sasl, Target};

/// How long connecting may take, with all that is asked before the first record.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an acknowledgement may take: what a broker is asked to give its replicas, and clients of Kafka wait.
const ACKNOWLEDGE: Duration = Duration::from_secs(30);
/// How long the client itself tries again. Brokers close a connection that was idle (ten minutes); that is seen
/// when the next record is written, and is no failure.
const AGAIN: Duration = Duration::from_secs(1);
/// Bytes of records in one request. A broker takes a MiB unless it is told otherwise, and what surrounds records is
/// less than the other half.
const REQUEST: usize = 512 << 10;
/// Bytes of an answer: the topics of a large cluster, of which there are ten thousands.
const ANSWER_MAX: usize = 16 << 20;

/// A topic.
pub(super) struct Kafka {
    runtime: Runtime,
    brokers: Vec<String>,
    topic: String,
    form: Form,
    tls: Option<Arc<rustls::ClientConfig>>,
    login: Option<SaslConfig>,
    open: Option<Open>,
}

/// The partition of a key.
struct Open {
    key: String,
    partition: PartitionClient,
}

impl Kafka {
    pub(super) fn new(target: &Target, order: &Order) -> Result<Kafka, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (scheme, rest) = target.address.split_once("://").unwrap_or_default();
        let (brokers, topic) = rest.split_once('/').unwrap_or_default();
        let tls = (scheme == "tls").then(|| tls::trust(order.ca.as_deref())).transpose()?;
        let login = target.login.as_ref().zip(order.token.as_deref()).map(sasl);
        let brokers = brokers.split(',').map(str::to_owned).collect();
        let topic = topic.to_owned();
        let tls = tls.map(Arc::new);
        Ok(Kafka { runtime, brokers, topic, form: target.form, tls, login, open: None })
    }

    fn connect(&self, key: &str) -> Result<Open, String> {
        let limits = BackoffConfig { deadline: Some(AGAIN), ..BackoffConfig::default() };
        let mut builder = ClientBuilder::new(self.brokers.clone())
            .client_id("aegisbpf")
            .max_message_size(ANSWER_MAX)
            .backoff_config(limits);
        if let Some(tls) = &self.tls {
            builder = builder.tls_config(Arc::clone(tls));
        }
        if let Some(login) = &self.login {
            builder = builder.sasl_config(login.clone());
        }
        let partition = async {
            let client = builder.build().await.map_err(|error| told(&error))?;
            let topics = client.list_topics().await.map_err(|error| told(&error))?;
            let topic = topics.iter().find(|topic| topic.name == self.topic);
            let none = || format!("the broker shows no topic `{}`", self.topic);
            let count = topic.map(|topic| topic.partitions.len()).ok_or_else(none)?;
            let number = partition(key, count).ok_or_else(none)?;
            let unknown = UnknownTopicHandling::Error;
            let partition = client.partition_client(self.topic.as_str(), number, unknown);
            partition.await.map_err(|error| told(&error))
        };
        let made = self.runtime.block_on(async { timeout(CONNECT, partition).await });
        let late = |_| format!("the broker did not answer within {} s", CONNECT.as_secs());
        Ok(Open { key: key.to_owned(), partition: made.map_err(late)?? })
    }

    /// Hands over as many as fit into one request, and one by one those that were refused together: one that cannot
    /// be taken must not stand for all.
    fn put(&self, open: &Open, items: &[Item]) -> (usize, Option<Refusal>) {
        let (begun, mut done, mut together) = (Instant::now(), 0, true);
        while let Some(rest) = items.get(done..).filter(|rest| !rest.is_empty()) {
            if begun.elapsed() > TURN {
                break;
            }
            let mut size = 0;
            let mut records = Vec::new();
            for item in rest {
                let record = record(&open.key, self.form, item);
                size += record.approximate_size();
                if !records.is_empty() && (size > REQUEST || !together) {
                    break;
                }
                records.push(record);
            }
            let count = records.len();
            match self.produce(open, records) {
                Ok(()) => done += count,
                Err(Refusal::Never(_)) if count > 1 => together = false,
                Err(refusal) => return (done, Some(refusal)),
            }
        }
        (done, None)
    }

    fn produce(&self, open: &Open, records: Vec<Record>) -> Result<(), Refusal> {
        let told = open.partition.produce(records, Compression::NoCompression);
        let told = self.runtime.block_on(async { timeout(ACKNOWLEDGE, told).await });
        let seconds = ACKNOWLEDGE.as_secs();
        let late = |_| Refusal::Later(format!("nothing was acknowledged within {seconds} s"));
        told.map_err(late)?.map(drop).map_err(|error| refusal(&error))
    }
}

impl Sink for Kafka {
    fn send(&mut self, items: &[Item]) -> Sent {
        let name =
            |item: &Item| item.text("/host/id").or(item.text("/host/name")).map(str::to_owned);
        // What has no host is told of the same one as what came before.
        let before = self.open.as_ref().map(|open| open.key.clone());
        let key = items.iter().find_map(name).or(before).unwrap_or_default();
        let open = match self.open.take().filter(|open| open.key == key) {
            Some(open) => open,
            None => match self.connect(&key) {
                Ok(open) => open,
                Err(why) => return Sent::all(items.len(), Err(why)),
            },
        };
        let (done, refusal) = self.put(&open, items);
        // What follows a failure goes over another connection: this one may be dead, and a topic may have grown.
        self.open = Some(open).filter(|_| !matches!(refusal, Some(Refusal::Later(_))));
        Sent { done, refusal }
    }
}

fn sasl((login, secret): (&Login, &str)) -> SaslConfig {
    let credentials = Credentials::new(login.user.clone(), secret.to_owned());
    match login.sasl {
        Sasl::Plain => SaslConfig::Plain(credentials),
        Sasl::ScramSha256 => SaslConfig::ScramSha256(credentials),
        Sasl::ScramSha512 => SaslConfig::ScramSha512(credentials),
    }
}

fn record(key: &str, form: Form, item: &Item) -> Record {
    let time = item.text("/@timestamp").and_then(|time| time.parse::<Timestamp>().ok());
    let time = time.unwrap_or_else(Timestamp::now).as_millisecond();
    let media = form.media_type().as_bytes().to_vec();
    Record {
        key: Some(key.as_bytes().to_vec()),
        value: Some(form.of(item).into_bytes()),
        headers: BTreeMap::from([
            ("content-type".to_owned(), media),
            ("id".to_owned(), item.id.clone().into_bytes()),
        ]),
        timestamp: DateTime::from_timestamp_millis(time).unwrap_or_default(),
    }
}

/// The partition that other producers choose for this key; none if there is none at all.
fn partition(key: &str, count: usize) -> Option<i32> {
    let count = i32::try_from(count).ok()?;
    (murmur2(key.as_bytes()) & i32::MAX).checked_rem(count)
}

/// The hash by which producers of Kafka choose: another one would put keys elsewhere than they do.
fn murmur2(key: &[u8]) -> i32 {
    const FACTOR: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mixed = |word: [u8; 4]| {
        let word = u32::from_le_bytes(word).wrapping_mul(FACTOR);
        (word ^ (word >> 24)).wrapping_mul(FACTOR)
    };
    let (words, rest) = key.as_chunks::<4>();
    let begin = SEED ^ u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = words.iter().fold(begin, |hash, word| hash.wrapping_mul(FACTOR) ^ mixed(*word));
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(FACTOR);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(FACTOR);
    (hash ^ (hash >> 15)).cast_signed()
}

/// What a broker does not want today it does not want tomorrow; all else may be mended.
fn refusal(error: &Error) -> Refusal {
    match error {
        Error::ServerError {
            protocol_error:
                why @ (ProtocolError::MessageTooLarge
                | ProtocolError::RecordListTooLarge
                | ProtocolError::InvalidRecord),
            ..
        } => Refusal::Never(format!("the broker does not take it: {why:?}")),
        _ => Refusal::Later(told(error)),
    }
}

/// What went wrong in the end, without what the client says of each of its layers before.
fn told(error: &Error) -> String {
    let whole = error.to_string();
    whole.rsplit("Source: ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_other_producers_put_them() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}: as Kafka's own tests have it");
        }
        assert_eq!(partition("abc", 10), Some(7));
        assert_eq!(partition("21", 1), Some(0));
        assert_eq!(partition("21", 0), None, "a topic without partitions takes nothing");
    }

    #[test]
    fn a_record_has_the_time_of_the_event_and_says_which_it_is() {
        let line = r#"{"@timestamp":"2026-11-23T11:45:41.002944260Z","alert":{"id":"7f"}}"#;
        let item = Item::of(line).unwrap();
        let record = record("host", Form::Json, &item);
        assert_eq!(record.timestamp.timestamp_millis(), 1_795_434_341_002);
        assert_eq!(record.headers["id"], b"7f");
        assert_eq!(record.headers["content-type"], b"application/json");
        assert_eq!((record.key.unwrap(), record.value.unwrap()), ("host".into(), line.into()));
    }
}
