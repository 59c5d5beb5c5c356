//! What a rule is about: files, peers, names, capabilities, processes.

use std::net::IpAddr;

use model::names;
use model::policy::{Object, Operation, Operations, Peer};

use super::limits::{MAX_OBJECTS, MAX_PATTERN};
use super::subject::{self, Named};
use super::tree::{Keys, Node};
use crate::diagnostic::{Code, Diagnostic};

/// Operations on files.
pub(super) const FILE: Operations = set(&[
    Operation::Read,
    Operation::Write,
    Operation::Create,
    Operation::Delete,
    Operation::Rename,
    Operation::Link,
    Operation::Attributes,
    Operation::Execute,
    Operation::MapCode,
]);
/// Operations on sockets with an address.
pub(super) const NETWORK: Operations = set(&[
    Operation::Connect,
    Operation::Bind,
    Operation::Listen,
    Operation::Accept,
    Operation::Send,
    Operation::Receive,
]);
const CONTENT: Operations = set(&[Operation::Execute, Operation::MapCode]);
const PROCESS: Operations = set(&[Operation::Ptrace, Operation::Signal]);
const CAPABILITY: Operations = set(&[Operation::Capability]);

const fn set(all: &[Operation]) -> Operations {
    let mut sum = Operations(0);
    let mut rest = all;
    while let [one, more @ ..] = rest {
        sum = sum.with(*one);
        rest = more;
    }
    sum
}

/// The keys that name objects, each with the operations that can be about them.
const KINDS: [(&str, Operations); 7] = [
    ("files", FILE),
    ("hashes", CONTENT),
    ("createdBy", FILE),
    ("peers", NETWORK),
    ("domains", NETWORK),
    ("capabilities", CAPABILITY),
    ("processes", PROCESS),
];

/// All objects of a rule; `Any` if it names none. Complains about operations that cannot be about
/// what is named.
pub(super) fn read(keys: &mut Keys<'_>, operations: Operations, named: &Named) -> Vec<Object> {
    let mut objects: Vec<Object> = patterns(keys, "files").into_iter().map(Object::Path).collect();
    objects.extend(hashes(keys, "hashes").into_iter().map(Object::Hash));
    for (key, object) in
        [("createdBy", Object::CreatedBy as fn(_) -> _), ("processes", Object::Process)]
    {
        let mut found = Vec::new();
        let nodes = keys.get(key).map_or(&[][..], Node::each);
        for node in nodes {
            objects.extend(subject::read(node, named, &mut found).map(Box::new).map(object));
        }
        keys.found.append(&mut found);
    }
    each(keys, "peers", &mut objects, peer);
    each(keys, "domains", &mut objects, domain);
    each(keys, "capabilities", &mut objects, |text| {
        names::capability_number(text)
            .map(Object::Capability)
            .ok_or_else(|| "a capability, as `CAP_SYS_ADMIN`".to_owned())
    });
    fitting(keys, operations);
    if objects.len() > MAX_OBJECTS {
        let place = KINDS.iter().find_map(|(key, _)| keys.place(key)).unwrap_or(0..0);
        let message =
            format!("the rule names {} objects, the limit is {MAX_OBJECTS}", objects.len());
        keys.found.push(Diagnostic::new(Code::Limit, place, message));
    }
    if objects.is_empty() { vec![Object::Any] } else { objects }
}

/// Each operation needs a key that can be its object, if the rule has any such key; each key an
/// operation.
fn fitting(keys: &mut Keys<'_>, operations: Operations) {
    let given: Vec<_> =
        KINDS.iter().filter_map(|(key, fits)| Some((*key, keys.place(key)?, *fits))).collect();
    for (key, place, fits) in &given {
        if operations.0 & fits.0 == 0 && !operations.is_empty() {
            let words: Vec<&str> = fits.iter().map(Operation::name).collect();
            keys.found.push(
                Diagnostic::new(
                    Code::BadValue,
                    place.clone(),
                    format!("no operation of the rule can be about `{key}`"),
                )
                .help(format!("`{key}` goes with {}", words.join(", "))),
            );
        }
    }
    let covered = given.iter().fold(0, |sum, (_, _, fits)| sum | fits.0);
    let Some((_, place, _)) = given.first().filter(|_| operations.0 & covered != 0) else {
        return;
    };
    for operation in operations.iter().filter(|one| covered & (1 << *one as u8) == 0) {
        keys.found.push(
            Diagnostic::new(
                Code::BadValue,
                place.clone(),
                format!("nothing that the rule names can be the object of `{}`", operation.name()),
            )
            .help("write a rule of its own for this operation"),
        );
    }
}

fn each(
    keys: &mut Keys<'_>,
    key: &'static str,
    objects: &mut Vec<Object>,
    read: impl Fn(&str) -> Result<Object, String>,
) {
    for (text, node) in keys.texts(key) {
        match read(text) {
            Ok(object) => objects.push(object),
            Err(wanted) => keys.found.push(node.wrong(&wanted)),
        }
    }
}

/// Path patterns: absolute, or in any directory.
pub(super) fn patterns(keys: &mut Keys<'_>, key: &'static str) -> Vec<String> {
    let mut all = Vec::new();
    for (text, node) in keys.texts(key) {
        if text.len() > MAX_PATTERN {
            let message = format!("a path has at most {MAX_PATTERN} bytes");
            keys.found.push(Diagnostic::new(Code::Limit, node.span.clone(), message));
        } else if text.starts_with('/') || text.starts_with("**/") {
            all.push(text.to_owned());
        } else {
            keys.found.push(
                node.wrong("an absolute path, or a pattern that starts with `**/`")
                    .help(format!("`**/{text}` is this name in any directory")),
            );
        }
    }
    all
}

/// SHA-256 as 64 hexadecimal digits.
pub(super) fn hashes(keys: &mut Keys<'_>, key: &'static str) -> Vec<[u8; 32]> {
    let mut all = Vec::new();
    for (text, node) in keys.texts(key) {
        let mut hash = [0; 32];
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let right = digits.len() == 64
            && hash.iter_mut().zip(digits.as_bytes().chunks(2)).all(|(byte, pair)| {
                let pair = std::str::from_utf8(pair).unwrap_or_default();
                *byte = u8::from_str_radix(pair, 16).unwrap_or_default();
                pair.bytes().all(|digit| digit.is_ascii_hexdigit())
            });
        if right {
            all.push(hash);
        } else {
            keys.found.push(node.wrong("a SHA-256 of 64 hexadecimal digits"));
        }
    }
    all
}

/// `[address[/length]][:port[-port]][/protocol]`, with brackets around an IPv6 address that has a
/// port, or `*` for all.
fn peer(text: &str) -> Result<Object, String> {
    let wanted = || {
        "an address, as `10.0.0.0/8`, `192.0.2.1:443`, `[2001:db8::/32]:80-90` or `:53/udp`"
            .to_owned()
    };
    let (address, rest) = split(text).ok_or_else(wanted)?;
    let (ports, protocol) = match rest.split_once('/') {
        Some((ports, protocol)) => (ports, Some(protocol_number(protocol).ok_or_else(wanted)?)),
        None => (rest, None),
    };
    let network = match address {
        "" | "*" => None,
        address => Some(network(address).ok_or_else(wanted)?),
    };
    let ports = if ports.is_empty() { None } else { Some(port_range(ports).ok_or_else(wanted)?) };
    Ok(Object::Peer(Peer { network, ports, protocol }))
}

/// The address, and what follows its colon; without a port the protocol may follow a second slash.
fn split(text: &str) -> Option<(&str, &str)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(ports) => Some((address, ports)),
            None => rest
                .is_empty()
                .then_some((address, ""))
                .or(rest.starts_with('/').then_some((address, rest))),
        };
    }
    if text.matches(':').count() > 1 {
        return Some((text, ""));
    }
    Some(text.split_once(':').unwrap_or((text, "")))
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(full);
    (length <= full && hosts_are_zero(address, length)).then_some((address, length))
}

/// An address with bits behind its length is a typing error: `10.1.2.3/8` may mean either.
fn hosts_are_zero(address: IpAddr, length: u8) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.to_bits().checked_shl(u32::from(length)).unwrap_or_default() == 0
        }
        IpAddr::V6(address) => {
            address.to_bits().checked_shl(u32::from(length)).unwrap_or_default() == 0
        }
    }
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

fn protocol_number(text: &str) -> Option<u16> {
    const NAMES: [(&str, u16); 8] = [
        ("icmp", 1),
        ("tcp", 6),
        ("udp", 17),
        ("dccp", 33),
        ("icmpv6", 58),
        ("sctp", 132),
        ("udplite", 136),
        ("mptcp", 262),
    ];
    let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    named.or_else(|| text.parse().ok())
}

/// `name[:port[-port]]`.
fn domain(text: &str) -> Result<Object, String> {
    let wanted = || "a DNS name, as `example.org`, `*.example.org` or `example.org:443`".to_owned();
    let (name, ports) = text.split_once(':').unwrap_or((text, ""));
    let ports = if ports.is_empty() { None } else { Some(port_range(ports).ok_or_else(wanted)?) };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let bare = name.strip_prefix("*.").unwrap_or(&name);
    let right = name.len() <= 253
        && !bare.is_empty()
        && bare.parse::<IpAddr>().is_err()
        && bare.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        });
    if right { Ok(Object::Domain { name, ports }) } else { Err(wanted()) }
}
