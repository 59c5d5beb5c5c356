//! Where alerts go, as an operator writes it: an address, and behind `#` how.
//!
//! ```text
//! file:/var/log/aegisbpf/alerts.json#rotate=100MiB&keep=5
//! syslog+tls://siem.example:6514#format=cef&ca=/etc/aegisbpf/siem.pem&min=medium
//! ```
//!
//! What stands behind `#` never leaves a host in any protocol, so it cannot be taken for a part of the address.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use model::program::Severity;
use ureq::http::Uri;
use ureq::http::uri::Authority;

use super::item::Form;

/// Bytes of an address with all that is behind it.
const TEXT_MAX: usize = 2_048;
/// Letters of a name; it is the name of a file.
const NAME_MAX: usize = 64;
/// Rotated files at most: each is renamed when the next one comes.
const KEEP_MAX: u32 = 100;
/// Letters of a topic, as Kafka has it: it is the name of a directory there.
const TOPIC_MAX: usize = 249;
/// The port of Kafka.
const KAFKA_PORT: u16 = 9092;
/// Bytes of a file before it is rotated, unless said otherwise.
const ROTATE: u64 = 100 << 20;
/// Rotated files that are kept, unless said otherwise.
const KEEP: u32 = 5;
/// The socket of journald.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// What a receiver speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of lines.
    File,
    /// journald, by its native protocol.
    Journal,
    /// syslog (RFC 5424) in datagrams.
    SyslogUdp,
    /// The same as a stream, with lengths (RFC 6587).
    SyslogTcp,
    /// The same over TLS (RFC 5425).
    SyslogTls,
    /// One POST an alert.
    Webhook,
    /// A stream of NATS JetStream.
    Nats,
    /// A topic of Kafka.
    Kafka,
    /// OTLP logs over HTTP, as JSON.
    Otlp,
}

/// Whom a broker of Kafka is told that the agent is; what proves it stands in a file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The name.
    pub(crate) user: String,
    /// How it is proved.
    pub(crate) sasl: Sasl,
}

/// How a name is proved (SASL).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sasl {
    /// The secret itself is sent (RFC 4616).
    Plain,
    /// That it is known is shown (RFC 5802), with SHA-256.
    ScramSha256,
    /// The same with SHA-512.
    ScramSha512,
}

/// All of them by their names.
const SASL: &[(&str, Sasl)] = &[
    ("plain", Sasl::Plain),
    ("scram-sha-256", Sasl::ScramSha256),
    ("scram-sha-512", Sasl::ScramSha512),
];

/// All kinds by the scheme of their address, with the options that only they have.
const KINDS: &[(&str, Kind, &[&str])] = &[
    ("file", Kind::File, &["rotate", "keep"]),
    ("journald", Kind::Journal, &[]),
    ("syslog+udp", Kind::SyslogUdp, &[]),
    ("syslog+tcp", Kind::SyslogTcp, &[]),
    ("syslog+tls", Kind::SyslogTls, &["ca"]),
    ("http", Kind::Webhook, &["token-file"]),
    ("https", Kind::Webhook, &["ca", "token-file"]),
    ("nats", Kind::Nats, &["token-file"]),
    ("nats+tls", Kind::Nats, &["ca", "token-file"]),
    ("kafka", Kind::Kafka, &["user", "sasl", "token-file"]),
    ("kafka+tls", Kind::Kafka, &["ca", "user", "sasl", "token-file"]),
    ("otlp+http", Kind::Otlp, &["token-file"]),
    ("otlp+https", Kind::Otlp, &["ca", "token-file"]),
];
/// Options that all have.
const COMMON: &[&str] = &["name", "format", "min"];

/// An output. Its address may hold a secret, so nothing shows it by chance.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    text: String,
    /// What it is called in `status`, and its cursor on disk.
    pub(crate) name: String,
    /// What it speaks.
    pub(crate) kind: Kind,
    /// The address: a path for files and sockets, else with its scheme as the protocol below needs it.
    pub(crate) address: String,
    /// The form of an alert.
    pub(crate) form: Form,
    /// Alerts below it stay here.
    pub(crate) least: Severity,
    /// Whom it trusts, instead of those whom the host trusts.
    pub(crate) ca: Option<PathBuf>,
    /// Where its secret is.
    pub(crate) token: Option<PathBuf>,
    /// What it calls itself, where a secret alone is not enough.
    pub(crate) login: Option<Login>,
    /// Bytes of a file before it is rotated.
    pub(crate) rotate: u64,
    /// Rotated files that are kept.
    pub(crate) keep: u32,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        if text.len() > TEXT_MAX || text.chars().any(char::is_control) {
            return Err(format!(
                "an output is at most {TEXT_MAX} bytes without control characters"
            ));
        }
        let (address, options) = text.split_once('#').unwrap_or((text, ""));
        let (scheme, rest) = address.split_once(':').ok_or_else(schemes)?;
        let known = KINDS.iter().find(|(name, ..)| *name == scheme);
        let (_, kind, own) = *known.ok_or_else(schemes)?;
        let mut options = read(options, own)?;
        let (address, host) = match kind {
            Kind::File => (path(rest)?, rest.rsplit('/').next().unwrap_or_default().to_owned()),
            Kind::Journal if rest.is_empty() => (JOURNAL.to_owned(), String::new()),
            Kind::Journal => (path(rest)?, String::new()),
            Kind::Kafka => kafka(address)?,
            _ => network(address, kind)?,
        };
        let mut take = |name: &str| options.remove(name);
        let name = take("name").map_or_else(|| derived(scheme, &host), str::to_owned);
        let is_sound = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if name.is_empty()
            || name.len() > NAME_MAX
            || name.starts_with('.')
            || !name.chars().all(is_sound)
        {
            let what = "`name` has letters, digits, `-`, `_` and `.`";
            return Err(format!("{what}, and at most {NAME_MAX} of them"));
        }
        let rotate = take("rotate").map_or(Ok(ROTATE), size)?;
        let keep = take("keep").map_or(Ok(KEEP), |count| {
            let count = count.parse().ok().filter(|count| (1..=KEEP_MAX).contains(count));
            count.ok_or_else(|| format!("`keep` is a number from 1 to {KEEP_MAX}"))
        })?;
        let form = take("format").map_or(Ok(Form::Json), |word| Form::from_str(word, false))?;
        let least = take("min").map_or(Ok(Severity::Informational), |word| {
            severity(word).ok_or_else(|| "`min` is a severity of rules".to_owned())
        })?;
        let (ca, token) = (take("ca").map(path), take("token-file").map(path));
        let login = login(take("user"), take("sasl"), scheme)?;
        if kind == Kind::Kafka && login.is_some() != token.is_some() {
            return Err("Kafka has both `user` and `token-file`, or neither".to_owned());
        }
        Ok(Target {
            text: text.to_owned(),
            name,
            kind,
            address,
            form,
            least,
            ca: ca.transpose()?.map(PathBuf::from),
            token: token.transpose()?.map(PathBuf::from),
            login,
            rotate,
            keep,
        })
    }
}

/// What the options of a login say.
fn login(user: Option<&str>, sasl: Option<&str>, scheme: &str) -> Result<Option<Login>, String> {
    let named = |word: &str| SASL.iter().find(|(name, _)| *name == word).map(|(_, sasl)| *sasl);
    let names = || SASL.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let how = sasl.map(|word| named(word).ok_or_else(|| format!("`sasl` is one of {}", names())));
    match (user, how.transpose()?) {
        (None, None) => Ok(None),
        (None | Some(""), _) => Err("`sasl` is how a `user` logs in, and there is none".to_owned()),
        (Some(_), Some(Sasl::Plain)) if !scheme.ends_with("+tls") => {
            Err("`sasl=plain` sends the secret as it is: not without `+tls`".to_owned())
        }
        (Some(user), how) => {
            Ok(Some(Login { user: user.to_owned(), sasl: how.unwrap_or(Sasl::ScramSha512) }))
        }
    }
}

fn schemes() -> String {
    let names: Vec<&str> = KINDS.iter().map(|(name, ..)| *name).collect();
    format!("an output begins with one of {}, and a colon", names.join(", "))
}

/// The options behind `#`, of those that this kind has.
fn read<'a>(text: &'a str, own: &[&str]) -> Result<BTreeMap<&'a str, &'a str>, String> {
    let mut all = BTreeMap::new();
    for one in text.split('&').filter(|one| !one.is_empty()) {
        let (name, value) = one.split_once('=').ok_or_else(|| format!("`{one}` has no value"))?;
        if !COMMON.iter().chain(own).any(|known| *known == name) {
            let known: Vec<&str> = COMMON.iter().chain(own).copied().collect();
            return Err(format!("there is no `{name}` here, but {}", known.join(", ")));
        }
        if all.insert(name, value).is_some() {
            return Err(format!("`{name}` stands twice"));
        }
    }
    Ok(all)
}

fn path(text: &str) -> Result<String, String> {
    let clean = text.split('/').all(|part| part != "..") && !text.ends_with('/');
    let text = text.strip_prefix("//").unwrap_or(text);
    if Path::new(text).is_absolute() && clean {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no whole path of a file"))
    }
}

/// An address with a host; what is below is told by the name that libraries know it by.
fn network(address: &str, kind: Kind) -> Result<(String, String), String> {
    // A secret in the address must not be in what is told of it.
    let uri: Uri = address.parse().map_err(|_| "the address cannot be read".to_owned())?;
    let host = uri.host().filter(|host| !host.is_empty());
    let host = host.ok_or("the address has no host")?.to_owned();
    let is_syslog = matches!(kind, Kind::SyslogUdp | Kind::SyslogTcp | Kind::SyslogTls);
    if is_syslog && !matches!(uri.path(), "" | "/") {
        return Err("syslog has a host and a port, and no path".to_owned());
    }
    let subject = uri.path().trim_start_matches('/');
    if kind == Kind::Nats && (subject.is_empty() || subject.contains(['/', '*', '>'])) {
        return Err("the path of a NATS address is one subject".to_owned());
    }
    let shown = uri.port_u16().map_or_else(|| host.clone(), |port| format!("{host}-{port}"));
    let plain = address.strip_prefix("otlp+").or(address.strip_prefix("nats+")).unwrap_or(address);
    if !is_syslog {
        return Ok((plain.to_owned(), shown));
    }
    let port = uri.port_u16().unwrap_or(if kind == Kind::SyslogTls { 6514 } else { 514 });
    Ok((format!("{host}:{port}"), shown))
}

/// Brokers of one cluster, and a topic, as Kafka bounds its name.
fn kafka(address: &str) -> Result<(String, String), String> {
    let (scheme, rest) = address.split_once("://").ok_or("the address has no host")?;
    let (hosts, topic) = rest.split_once('/').unwrap_or((rest, ""));
    let sound = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if matches!(topic, "" | "." | "..") || topic.len() > TOPIC_MAX || !topic.chars().all(sound) {
        let what = "the path of a Kafka address is one topic, of letters, digits, `-`, `_` and `.`";
        return Err(format!("{what}, and at most {TOPIC_MAX} of them"));
    }
    if hosts.contains('@') {
        return Err("who logs in to Kafka stands behind `#`, as `user`".to_owned());
    }
    let mut brokers = Vec::new();
    for broker in hosts.split(',') {
        let broker: Authority = broker.parse().map_err(|_| "the address cannot be read")?;
        brokers.push(format!("{}:{}", broker.host(), broker.port_u16().unwrap_or(KAFKA_PORT)));
    }
    let scheme = if scheme == "kafka+tls" { "tls" } else { "kafka" };
    let first = brokers.first().cloned().unwrap_or_default();
    Ok((format!("{scheme}://{}/{topic}", brokers.join(",")), first))
}

/// A name from what identifies an output, without anything that could be a secret.
fn derived(scheme: &str, host: &str) -> String {
    let whole = if host.is_empty() { scheme.to_owned() } else { format!("{scheme}-{host}") };
    let sound = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    whole.chars().map(|one| if sound(one) { one } else { '-' }).take(NAME_MAX).collect()
}

fn size(text: &str) -> Result<u64, String> {
    let of = |unit: &str| text.strip_suffix(unit)?.parse::<u32>().ok();
    let bytes = of("KiB").map(|count| u64::from(count) << 10);
    let bytes = bytes.or_else(|| of("MiB").map(|count| u64::from(count) << 20));
    let bytes = bytes.or_else(|| of("GiB").map(|count| u64::from(count) << 30));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| "`rotate` is a size as `100MiB`".to_owned())
}

/// The severity of this name.
pub(crate) fn severity(word: &str) -> Option<Severity> {
    Severity::ALL.iter().copied().find(|one| one.as_str() == word)
}

/// The first name that two of them share: each has a cursor of its own.
pub(crate) fn twice(all: &[Target]) -> Option<&str> {
    let later = |(number, one): (usize, &Target)| {
        all.iter().skip(number + 1).any(|other| other.name == one.name)
    };
    let mut numbered = all.iter().enumerate();
    numbered.find(|(number, one)| later((*number, one))).map(|(_, one)| one.name.as_str())
}

/// The whole text.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Target {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn an_address_says_where_and_what_is_behind_it_says_how() {
        let file = read("file:/var/log/a.json#rotate=3MiB&keep=2&min=high");
        assert_eq!((file.kind, file.address.as_str()), (Kind::File, "/var/log/a.json"));
        assert_eq!((file.rotate, file.keep, file.least), (3 << 20, 2, Severity::High));
        assert_eq!(file.name, "file-a.json");
        let siem = read("syslog+tls://siem.example#format=cef&ca=/etc/ca.pem");
        assert_eq!((siem.address.as_str(), siem.form), ("siem.example:6514", Form::Cef));
        assert_eq!(siem.ca.as_deref(), Some(Path::new("/etc/ca.pem")));
        let otlp = read("otlp+http://127.0.0.1:4318/v1/logs");
        assert_eq!(otlp.address, "http://127.0.0.1:4318/v1/logs");
        assert_eq!(read("nats+tls://broker/alerts.x").address, "tls://broker/alerts.x");
        let kafka = read("kafka+tls://broker/alerts#user=aegis&token-file=/etc/s&ca=/etc/ca.pem");
        assert_eq!(kafka.address, "tls://broker:9092/alerts");
        let login = kafka.login.unwrap();
        assert_eq!((login.user.as_str(), login.sasl), ("aegis", Sasl::ScramSha512));
        let several = read("kafka://one:19092,two,[::1]:9/a.b");
        assert_eq!(several.address, "kafka://one:19092,two:9092,[::1]:9/a.b");
        assert_eq!(several.name, "kafka-one-19092");
        assert_eq!(read("journald:").address, JOURNAL);
        assert_eq!(read(&siem.to_string()), siem, "as the guard hands it on");
    }

    #[test]
    fn a_secret_in_an_address_is_shown_nowhere() {
        let hook = read("https://hooks.example/a?token=secret#format=falco&min=low");
        assert_eq!(hook.address, "https://hooks.example/a?token=secret");
        assert_eq!(format!("{hook:?}"), "Target(https-hooks.example)");
        let wrong = "https://hooks example/?token=secret".parse::<Target>().unwrap_err();
        assert_eq!(wrong, "the address cannot be read");
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        for (text, reason) in [
            ("siem.example", "begins with one of file, journald"),
            ("ftp://siem.example", "begins with one of"),
            ("file:alerts", "no whole path"),
            ("file:/a/../b", "no whole path"),
            ("file:/a#ca=/b", "no `ca` here, but name, format, min, rotate, keep"),
            ("file:/a#min=high&min=low", "twice"),
            ("file:/a#rotate=0MiB", "a size as"),
            ("file:/a#keep=0", "from 1 to 100"),
            ("file:/a#format=xml", "xml"),
            ("file:/a#name=a/b", "`name` has letters"),
            ("file:/a#min=loud", "a severity"),
            ("syslog+udp://siem/path", "no path"),
            ("nats://broker", "one subject"),
            ("nats://broker/alerts.*", "one subject"),
            ("kafka://broker", "one topic"),
            ("kafka://broker/alerts/host", "one topic"),
            ("kafka://broker/alerts?x", "one topic"),
            ("kafka://broker/..", "one topic"),
            ("kafka:///alerts", "cannot be read"),
            ("kafka://one,/alerts", "cannot be read"),
            ("kafka://one two/alerts", "cannot be read"),
            ("kafka://me:secret@broker/alerts", "as `user`"),
            ("kafka://broker/alerts#user=me", "both `user` and `token-file`"),
            ("kafka://broker/alerts#token-file=/etc/s", "both `user` and `token-file`"),
            ("kafka://broker/alerts#sasl=plain", "there is none"),
            ("kafka+tls://broker/alerts#user=me&sasl=md5", "one of plain, scram-sha-256"),
            ("kafka://broker/alerts#user=me&sasl=plain&token-file=/etc/s", "not without `+tls`"),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn two_outputs_need_two_names() {
        let all = [read("file:/a/x"), read("file:/b/y"), read("file:/c/x")];
        assert_eq!(twice(&all), Some("file-x"));
        assert_eq!(twice(&[read("file:/a/x"), read("file:/c/x#name=other")]), None);
    }
}
