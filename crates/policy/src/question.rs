//! Requests in words: `open /etc/shadow as nginx`, `connect 192.0.2.1:443 as /usr/bin/curl user=web`.

use std::net::{IpAddr, Ipv4Addr};

use model::names;
use model::policy::{Container, Object, Operation, Peer, Subject};

use crate::actor::{Actor, Identity};
use crate::compile::Compiled;
use crate::network::Endpoint;
use crate::tables::Labels;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked for.
    pub operation: Operation,
    /// Of what.
    pub target: Target,
    /// Who asks; the executable may be a bare name still.
    pub actor: Actor,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file.
    Path(String),
    /// A peer.
    Peer(Endpoint),
    /// A peer by its name only.
    Name(String, Endpoint),
    /// A capability.
    Capability(u8),
    /// Another process.
    Process(Box<Actor>),
    /// Nothing that policies name.
    Nothing,
}

/// Words for operations, besides their names.
const VERBS: &[(&str, Operation)] = &[
    ("open", Operation::Read),
    ("cat", Operation::Read),
    ("modify", Operation::Write),
    ("remove", Operation::Delete),
    ("unlink", Operation::Delete),
    ("move", Operation::Rename),
    ("chmod", Operation::Attributes),
    ("chown", Operation::Attributes),
    ("exec", Operation::Execute),
    ("run", Operation::Execute),
    ("start", Operation::Execute),
    ("map", Operation::MapCode),
    ("trace", Operation::Ptrace),
    ("kill", Operation::Signal),
    ("use", Operation::Capability),
];

/// Words that may stand between others and say nothing.
const FILLERS: [&str; 6] = ["to", "from", "on", "the", "file", "for"];

/// Protocols by name.
const PROTOCOLS: [(&str, u16); 5] =
    [("tcp", 6), ("udp", 17), ("sctp", 132), ("icmp", 1), ("mptcp", 262)];

/// The address of a name that was not looked up: one for documents.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

impl Question {
    /// Reads a question. What is wrong is said in a sentence.
    pub fn parse(text: &str) -> Result<Question, String> {
        let words = split(text)?;
        let mut words = words.iter().map(String::as_str).peekable();
        let verb = words.next().ok_or(HOW)?;
        let mut operation = verb_of(verb).ok_or_else(|| {
            let all: Vec<&str> = Operation::ALL.iter().map(|one| one.name()).collect();
            format!("`{verb}` is no operation; there are open, {}", all.join(", "))
        })?;
        let mut object = None;
        let mut actor = Actor::default();
        while let Some(word) = words.next() {
            match word {
                "as" | "by" => {
                    let name = words.next().ok_or("`as` needs a program: `as nginx`")?;
                    name.clone_into(&mut actor.executable);
                }
                "writing" if operation == Operation::Read => operation = Operation::Write,
                "reading" if operation == Operation::Read => {}
                "login" => actor.login = true,
                "armed" => actor.armed = true,
                _ if FILLERS.contains(&word) => {}
                _ => match word.split_once('=') {
                    Some((key, value)) if KEYS.contains(&key) => detail(&mut actor, key, value)?,
                    _ if object.is_none() => object = Some(word.to_owned()),
                    _ => return Err(format!("`{word}` cannot be understood; {HOW}")),
                },
            }
        }
        let target = target(operation, object)?;
        Ok(Question { operation, target, actor })
    }

    /// The labels of what it is about.
    pub fn labels(&self, compiled: &Compiled) -> Labels {
        let tables = &compiled.tables;
        match &self.target {
            Target::Path(path) => tables.label_path(path.as_bytes()),
            Target::Peer(peer) => tables.label_peer(peer, self.operation, &[]),
            Target::Name(name, peer) => {
                tables.label_peer(peer, self.operation, &compiled.classes_of(name))
            }
            Target::Capability(number) => tables.label_capability(*number),
            Target::Process(actor) => tables.label_process(&compiled.process(actor)),
            Target::Nothing => Labels::default(),
        }
    }

    /// An object of a rule that is about exactly this.
    pub fn object(&self) -> Object {
        match &self.target {
            Target::Path(path) => Object::Path(escape(path)),
            Target::Peer(peer) => {
                let length = if peer.address.is_ipv4() { 32 } else { 128 };
                let ports = (peer.port != 0).then_some((peer.port, peer.port));
                let network = Some((peer.address, length));
                Object::Peer(Peer { network, ports, protocol: Some(peer.protocol) })
            }
            Target::Name(name, peer) => {
                let ports = (peer.port != 0).then_some((peer.port, peer.port));
                Object::Domain { name: name.clone(), ports }
            }
            Target::Capability(number) => Object::Capability(*number),
            Target::Process(actor) => Object::Process(Box::new(Subject {
                executables: vec![escape(&actor.executable)],
                ..Subject::default()
            })),
            Target::Nothing => Object::Any,
        }
    }
}

/// How a question is asked.
pub const HOW: &str = "ask as in `open /etc/shadow as nginx user=www-data`";

/// Details of a process.
const KEYS: [&str; 9] =
    ["user", "group", "unit", "cgroup", "container", "image", "ancestor", "script", "hash"];

fn detail(actor: &mut Actor, key: &str, value: &str) -> Result<(), String> {
    let value = value.to_owned();
    match key {
        "user" => actor.user = Identity::of(&value),
        "group" => actor.groups.push(Identity::of(&value)),
        "unit" => actor.cgroup = format!("/system.slice/{value}"),
        "cgroup" => actor.cgroup = value,
        "container" => actor.container.get_or_insert_with(Container::default).name = Some(value),
        "image" => actor.container.get_or_insert_with(Container::default).image = Some(value),
        "ancestor" => actor.ancestors.push(value),
        "script" => actor.script = Some(value),
        _ => actor.hash = Some(hash(&value).ok_or("`hash` needs 64 hexadecimal digits")?),
    }
    Ok(())
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// The operation that a word stands for.
pub fn verb_of(word: &str) -> Option<Operation> {
    let named = Operation::ALL.iter().find(|one| one.name() == word).copied();
    named.or_else(|| VERBS.iter().find(|one| one.0 == word).map(|one| one.1))
}

fn target(operation: Operation, object: Option<String>) -> Result<Target, String> {
    use Operation::{Accept, Bind, Capability, Connect, Listen, Ptrace, Receive, Send, Signal};
    let name = operation.name();
    match operation {
        Connect | Bind | Listen | Accept | Send | Receive => {
            peer(&object.ok_or_else(|| format!("{name} needs an address: `192.0.2.1:443`"))?)
        }
        Capability => {
            let word = object.ok_or("which capability? `use CAP_SYS_ADMIN`")?;
            let number = names::capability_number(&word);
            number.map(Target::Capability).ok_or_else(|| format!("`{word}` is no capability"))
        }
        Ptrace | Signal => Ok(object.map_or(Target::Nothing, |executable| {
            Target::Process(Box::new(Actor { executable, ..Actor::default() }))
        })),
        Operation::RawSocket
        | Operation::LoadModule
        | Operation::Bpf
        | Operation::Namespace
        | Operation::IoUring => Ok(Target::Nothing),
        _ => match object {
            Some(path) if path.starts_with('/') => Ok(Target::Path(path)),
            Some(path) => Err(format!("`{path}` is no absolute path")),
            None if operation == Operation::Mount => Ok(Target::Nothing),
            None => Err(format!("{name} needs a path; {HOW}")),
        },
    }
}

/// `address[:port][/protocol]` or `name[:port][/protocol]`.
fn peer(text: &str) -> Result<Target, String> {
    let wrong = || {
        format!("`{text}` is no address: write `192.0.2.1:443`, `[2001:db8::1]:443/udp` or a name")
    };
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, word)) => {
            let named = PROTOCOLS.iter().find(|one| one.0 == word).map(|one| one.1);
            (rest, named.or_else(|| word.parse().ok()).ok_or_else(wrong)?)
        }
        None => (text, 6),
    };
    let (host, port) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (host, tail) = inner.split_once(']').ok_or_else(wrong)?;
            (host, tail.strip_prefix(':'))
        }
        None if rest.matches(':').count() > 1 => (rest, None),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(0), str::parse).map_err(|_| wrong())?;
    if let Ok(address) = host.parse() {
        return Ok(Target::Peer(Endpoint { address, port, protocol }));
    }
    if host.is_empty() || !host.contains('.') && host != "localhost" {
        return Err(wrong());
    }
    Ok(Target::Name(host.to_ascii_lowercase(), Endpoint { address: UNKNOWN, port, protocol }))
}

/// A path as a pattern that fits only it.
pub fn escape(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for letter in path.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// Words; quotes hold a word with spaces together.
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in text.chars() {
        match quote {
            Some(end) if letter == end => quote = None,
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            None if letter.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_as_they_are_said() {
        let ask = |text: &str| Question::parse(text).unwrap();
        let open = ask("open /etc/shadow as nginx user=www-data unit=nginx.service login");
        assert_eq!(open.operation, Operation::Read);
        assert_eq!(open.target, Target::Path("/etc/shadow".to_owned()));
        assert_eq!(open.actor.executable, "nginx");
        assert_eq!(open.actor.user, Identity::of("www-data"));
        assert_eq!(open.actor.cgroup, "/system.slice/nginx.service");
        assert!(open.actor.login);
        assert_eq!(ask("open '/a b' for writing").operation, Operation::Write);
        assert_eq!(ask("open '/a b' for writing").target, Target::Path("/a b".to_owned()));
        let Target::Peer(peer) = ask("connect to [2001:db8::1]:53/udp").target else { panic!() };
        assert_eq!(
            (peer.address, peer.port, peer.protocol),
            ("2001:db8::1".parse().unwrap(), 53, 17)
        );
        let Target::Name(name, peer) = ask("connect Example.org:443").target else { panic!() };
        assert_eq!((name.as_str(), peer.port, peer.protocol), ("example.org", 443, 6));
        assert_eq!(ask("use CAP_SYS_ADMIN").target, Target::Capability(21));
        assert_eq!(ask("load-module").target, Target::Nothing);
    }

    #[test]
    fn what_cannot_be_understood_is_said() {
        for (text, why) in [
            ("", "ask as in"),
            ("frob /x", "no operation"),
            ("open x", "no absolute path"),
            ("open", "needs a path"),
            ("open /x as", "needs a program"),
            ("open /x /y", "`/y` cannot"),
            ("connect", "needs an address"),
            ("connect 192.0.2.1:http", "no address"),
            ("use CAP_NONE", "no capability"),
            ("open '/x", "not closed"),
            ("open /x hash=12", "64 hexadecimal"),
        ] {
            let error = Question::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_pattern_of_a_path_fits_only_that_path() {
        let pattern = escape("/a*b/[c]");
        assert!(crate::tests::glob::fits(&pattern, b"/a*b/[c]"));
        assert!(!crate::tests::glob::fits(&pattern, b"/axb/c"));
    }
}
