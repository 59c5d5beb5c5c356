//! Who a rule is about.

use std::collections::HashMap;

use model::policy::{Container, Subject};

use super::object;
use super::tree::{Keys, Node, Value};
use crate::diagnostic::{Code, Diagnostic, nearest};

/// Subjects that a policy gives a name, so that rules can share them.
pub(super) type Named = HashMap<String, Subject>;

/// The `subjects` of a policy.
pub(super) fn named(node: &Node, found: &mut Vec<Diagnostic>) -> Named {
    let Value::Map(keys) = &node.value else {
        found.push(node.wrong("a map of names to subjects"));
        return Named::new();
    };
    let mut all = Named::new();
    for (key, value) in keys {
        if let Some(subject) = inline(value, found)
            && all.insert(key.name.clone(), subject).is_some()
        {
            let message = format!("the subject `{}` is given twice", key.name);
            found.push(Diagnostic::new(Code::DuplicateId, key.span.clone(), message));
        }
    }
    all
}

/// A subject by name or in place.
pub(super) fn read(node: &Node, named: &Named, found: &mut Vec<Diagnostic>) -> Option<Subject> {
    let Some(name) = node.text() else { return inline(node, found) };
    let subject = named.get(name).cloned();
    if subject.is_none() {
        let near = nearest(name, named.keys().map(String::as_str));
        found.push(
            Diagnostic::new(
                Code::BadValue,
                node.span.clone(),
                format!("no subject is called `{name}`"),
            )
            .help(near.map_or_else(
                || "name it under `spec.subjects`, or write it here as a map".to_owned(),
                |near| format!("`{near}` is one"),
            )),
        );
    }
    subject
}

fn inline(node: &Node, found: &mut Vec<Diagnostic>) -> Option<Subject> {
    let mut keys = Keys::of(node, found)?;
    let before = found.len();
    let mut subject = Subject {
        executables: object::patterns(&mut keys, "executable"),
        hashes: object::hashes(&mut keys, "hash"),
        scripts: object::patterns(&mut keys, "script"),
        users: names(&mut keys, "user"),
        groups: names(&mut keys, "group"),
        cgroups: owned(keys.texts("cgroup")),
        units: owned(keys.texts("unit")),
        containers: Vec::new(),
        ancestors: object::patterns(&mut keys, "ancestor"),
        descendants: false,
        login_session: keys.flag("loginSession"),
    };
    subject.containers = containers(&mut keys);
    let descendants = keys.flag("descendants");
    if subject == Subject::default() {
        keys.found.push(
            Diagnostic::new(Code::MissingKey, node.span.clone(), "the subject names nobody")
                .help("leave `subject` out to mean every process"),
        );
    }
    subject.descendants = descendants.unwrap_or_default();
    for (text, node) in keys.texts("cgroup") {
        if !text.starts_with('/') {
            keys.found.push(node.wrong("the path of a cgroup, from `/`"));
        }
    }
    for (text, node) in keys.texts("unit") {
        if !text.contains('.') {
            keys.found.push(node.wrong("the full name of a unit, as `nginx.service`"));
        }
    }
    found.append(&mut keys.finish());
    (found.len() == before).then_some(subject)
}

/// Users and groups may be numbers.
fn names(keys: &mut Keys<'_>, key: &'static str) -> Vec<String> {
    let mut all = Vec::new();
    for node in keys.get(key).map_or(&[][..], Node::each) {
        match &node.value {
            Value::Text(name) if !name.is_empty() => all.push(name.clone()),
            Value::Int(number) if u32::try_from(*number).is_ok() => all.push(number.to_string()),
            _ => keys.found.push(node.wrong("a name or a number, or a list of such")),
        }
    }
    all
}

fn containers(keys: &mut Keys<'_>) -> Vec<Container> {
    let mut all = Vec::new();
    for node in keys.get("container").map_or(&[][..], Node::each) {
        if let Some(name) = node.text() {
            all.push(Container { name: Some(name.to_owned()), ..Container::default() });
            continue;
        }
        let Some(mut inner) = Keys::of(node, &mut keys.found) else { continue };
        let name = inner.text("name").map(str::to_owned);
        let image = inner.text("image").map(str::to_owned);
        let labels = labels(&mut inner);
        let container = Container { name, image, labels };
        if container == Container::default() {
            let message = "the container is not described";
            inner.found.push(
                Diagnostic::new(Code::MissingKey, node.span.clone(), message)
                    .help("give `name`, `image` or `labels`"),
            );
        }
        keys.found.append(&mut inner.finish());
        all.push(container);
    }
    all
}

fn labels(keys: &mut Keys<'_>) -> Vec<(String, String)> {
    let Some(node) = keys.get("labels") else { return Vec::new() };
    let Value::Map(pairs) = &node.value else {
        keys.found.push(node.wrong("a map of labels"));
        return Vec::new();
    };
    let mut all = Vec::new();
    for (key, value) in pairs {
        match value.text() {
            Some(text) => all.push((key.name.clone(), text.to_owned())),
            None => keys.found.push(value.wrong("text")),
        }
    }
    all
}

fn owned(texts: Vec<(&str, &Node)>) -> Vec<String> {
    texts.into_iter().map(|(text, _)| text.to_owned()).collect()
}
