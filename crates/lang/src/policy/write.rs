//! Policies as text again: what was read, with names of subjects resolved and includes written out.

use model::names;
use model::policy::{
    AllowList, Container, Errno, Mode, Object, Operations, Peer, Policy, Rule, Subject, Trigger,
    Verdict,
};
use serde_json::{Map, Value, json};

use super::document::{API_VERSION, KIND, SEVERITIES};

/// A policy as a document of the schema.
pub fn document(policy: &Policy) -> Value {
    let mut spec = Map::new();
    if let Some(mode) = policy.mode {
        let word = if mode == Mode::Enforce { "enforce" } else { "audit" };
        spec.insert("mode".into(), word.into());
    }
    if !policy.rules.is_empty() {
        spec.insert("rules".into(), policy.rules.iter().map(rule).collect());
    }
    if !policy.allow_lists.is_empty() {
        spec.insert("allowOnly".into(), policy.allow_lists.iter().map(list).collect());
    }
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": { "name": policy.name },
        "spec": spec,
    })
}

/// A rule, as an element of `rules`.
pub fn rule(rule: &Rule) -> Value {
    let mut map = Map::new();
    map.insert("id".into(), rule.id.as_str().into());
    who(&mut map, &rule.subject);
    if let Some(after) = &rule.after {
        map.insert("after".into(), trigger(after));
    }
    let (key, errno) = match rule.verdict {
        Verdict::Allow => ("allow", None),
        Verdict::Deny(errno) => ("deny", Some(errno)),
        Verdict::Kill => ("kill", None),
        Verdict::Audit => ("audit", None),
    };
    map.insert(key.into(), words(rule.operations));
    objects(&mut map, &rule.objects);
    errno_of(&mut map, errno);
    let severity = SEVERITIES.iter().find(|one| one.1 == rule.severity);
    map.extend(severity.map(|one| ("severity".to_owned(), one.0.into())));
    if let Some(message) = &rule.message {
        map.insert("message".into(), message.as_str().into());
    }
    if let Some(exception) = &rule.exception {
        let until = jiff::Timestamp::from_second(exception.until);
        let until = until.map_or_else(|_| String::new(), |time| time.to_string());
        map.insert("until".into(), until.into());
        map.insert("reason".into(), exception.reason.as_str().into());
        map.insert("author".into(), exception.author.as_str().into());
    }
    Value::Object(map)
}

fn list(list: &AllowList) -> Value {
    let mut map = Map::new();
    map.insert("id".into(), list.id.as_str().into());
    map.insert("subject".into(), subject(&list.subject));
    map.insert("operations".into(), words(list.operations));
    errno_of(&mut map, Some(list.errno));
    Value::Object(map)
}

fn errno_of(map: &mut Map<String, Value>, errno: Option<Errno>) {
    let word = match errno {
        None | Some(Errno::Perm) => return,
        Some(Errno::Access) => "EACCES",
        Some(Errno::NoEntry) => "ENOENT",
        Some(Errno::Refused) => "ECONNREFUSED",
    };
    map.insert("errno".into(), word.into());
}

fn trigger(after: &Trigger) -> Value {
    let mut map = Map::new();
    if let Some(rule) = &after.sequence {
        map.insert("sequence".into(), rule.as_str().into());
        return Value::Object(map);
    }
    map.insert("operations".into(), words(after.operations));
    objects(&mut map, &after.objects);
    Value::Object(map)
}

fn words(operations: Operations) -> Value {
    operations.iter().map(|one| Value::from(one.name())).collect()
}

fn who(map: &mut Map<String, Value>, whom: &Subject) {
    if *whom != Subject::default() {
        map.insert("subject".into(), subject(whom));
    }
}

/// A subject as a map.
pub fn subject(subject: &Subject) -> Value {
    let mut map = Map::new();
    let hashes: Vec<String> = subject.hashes.iter().map(hex).collect();
    let lists = [
        ("executable", &subject.executables),
        ("hash", &hashes),
        ("script", &subject.scripts),
        ("user", &subject.users),
        ("group", &subject.groups),
        ("cgroup", &subject.cgroups),
        ("unit", &subject.units),
        ("ancestor", &subject.ancestors),
    ];
    for (key, all) in lists {
        texts(&mut map, key, all);
    }
    if !subject.containers.is_empty() {
        map.insert("container".into(), subject.containers.iter().map(container).collect());
    }
    if let Some(login) = subject.login_session {
        map.insert("loginSession".into(), login.into());
    }
    if subject.descendants {
        map.insert("descendants".into(), true.into());
    }
    Value::Object(map)
}

fn container(one: &Container) -> Value {
    let mut map = Map::new();
    for (key, text) in [("name", &one.name), ("image", &one.image)] {
        map.extend(text.as_deref().map(|text| (key.to_owned(), text.into())));
    }
    if !one.labels.is_empty() {
        let labels = one.labels.iter().map(|(key, text)| (key.clone(), text.as_str().into()));
        map.insert("labels".into(), Value::Object(labels.collect()));
    }
    Value::Object(map)
}

/// One text alone, several as a list, none not at all.
fn texts(map: &mut Map<String, Value>, key: &str, all: &[String]) {
    let value = match all {
        [] => return,
        [one] => one.as_str().into(),
        many => many.iter().map(|one| Value::from(one.as_str())).collect(),
    };
    map.insert(key.to_owned(), value);
}

fn objects(map: &mut Map<String, Value>, objects: &[Object]) {
    let mut each: [(&str, Vec<Value>); 7] = [
        ("files", Vec::new()),
        ("hashes", Vec::new()),
        ("createdBy", Vec::new()),
        ("peers", Vec::new()),
        ("domains", Vec::new()),
        ("capabilities", Vec::new()),
        ("processes", Vec::new()),
    ];
    for object in objects {
        let Some((key, value)) = object_text(object) else { continue };
        each.iter_mut().filter(|one| one.0 == key).for_each(|one| one.1.push(value.clone()));
    }
    for (key, all) in each.into_iter().filter(|one| !one.1.is_empty()) {
        map.insert(key.to_owned(), Value::Array(all));
    }
}

/// The key of an object and how it is written; nothing for "whatever it is".
pub fn object_text(object: &Object) -> Option<(&'static str, Value)> {
    Some(match object {
        Object::Any => return None,
        Object::Path(text) => ("files", text.as_str().into()),
        Object::Hash(hash) => ("hashes", hex(hash).into()),
        Object::CreatedBy(whom) => ("createdBy", subject(whom)),
        Object::Peer(one) => ("peers", peer(one).into()),
        Object::Domain { name, ports } => {
            ("domains", format!("{name}{}", ports_text(*ports)).into())
        }
        Object::Capability(number) => {
            let name = names::capability(*number).unwrap_or("CAP_NONE");
            ("capabilities", name.into())
        }
        Object::Process(whom) => ("processes", subject(whom)),
    })
}

fn hex(hash: &[u8; 32]) -> String {
    let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn ports_text(ports: Option<(u16, u16)>) -> String {
    match ports {
        None => String::new(),
        Some((first, last)) if first == last => format!(":{first}"),
        Some((first, last)) => format!(":{first}-{last}"),
    }
}

/// `address[/length][:ports][/protocol]`.
fn peer(peer: &Peer) -> String {
    let ports = ports_text(peer.ports);
    let protocol = peer.protocol.map(|number| format!("/{number}")).unwrap_or_default();
    let address = match peer.network {
        None => "*".to_owned(),
        Some((address, length)) => {
            let text = format!("{address}/{length}");
            if address.is_ipv4() || ports.is_empty() && protocol.is_empty() {
                text
            } else {
                format!("[{text}]")
            }
        }
    };
    // A slash after an address is the length of its network: the colon says that it is a protocol.
    let colon = if ports.is_empty() && !protocol.is_empty() && !address.starts_with('[') {
        ":"
    } else {
        ""
    };
    format!("{address}{colon}{ports}{protocol}")
}

/// Documents as YAML, one after the other.
pub fn yaml(documents: &[Value]) -> String {
    let mut text = String::new();
    for (at, document) in documents.iter().enumerate() {
        if at > 0 {
            text.push_str("---\n");
        }
        block(document, 0, &mut text);
    }
    text
}

/// The members of a map or list, each on lines of its own.
fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (at, (key, value)) in map.iter().enumerate() {
                // The first key of an element of a list stands behind its dash.
                if at > 0 || !text.ends_with("- ") {
                    text.push_str(&indent);
                }
                text.extend([&*scalar(key), ":"]);
                member(value, depth + 1, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                text.extend([&*indent, "- "]);
                match item {
                    Value::Object(map) if !map.is_empty() => block(item, depth + 1, text),
                    other => text.extend([&*flow(other), "\n"]),
                }
            }
        }
        other => text.extend([&*flow(other), "\n"]),
    }
}

fn member(value: &Value, depth: usize, text: &mut String) {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => items.iter().any(Value::is_object),
        _ => false,
    };
    if nested {
        text.push('\n');
        block(value, depth, text);
    } else {
        text.extend([" ", &*flow(value), "\n"]);
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A text as it is where that can mean nothing else, else in quotes as JSON has them.
fn scalar(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'/');
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if starts && text.bytes().all(plain) && !words.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}
