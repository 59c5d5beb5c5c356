//! One policy document: `apiVersion`, `kind`, `metadata`, `spec`.

use std::collections::HashSet;

use model::policy::{
    AllowList, Errno, Exception, Mode, Object, Operation, Operations, Place, Policy, Rule, Subject,
    Trigger, Verdict,
};
use model::program::Severity;

use super::limits::MAX_RULES;
use super::subject::{self, Named};
use super::tree::{Keys, Node, Value};
use super::{includes, object};
use crate::diagnostic::{Code, Diagnostic, Span, nearest};

/// What `apiVersion` must say.
pub const API_VERSION: &str = "aegisbpf.io/v1";
/// What `kind` must say.
pub const KIND: &str = "Policy";

/// Verdicts, by the key that holds the operations.
const VERDICTS: [(&str, Verdict); 4] = [
    ("allow", Verdict::Allow),
    ("deny", Verdict::Deny(Errno::Perm)),
    ("kill", Verdict::Kill),
    ("audit", Verdict::Audit),
];

pub(super) const SEVERITIES: [(&str, Severity); 5] = [
    ("informational", Severity::Informational),
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

const ERRNOS: [(&str, Errno); 4] = [
    ("EPERM", Errno::Perm),
    ("EACCES", Errno::Access),
    ("ENOENT", Errno::NoEntry),
    ("ECONNREFUSED", Errno::Refused),
];

/// Reads documents of one file.
pub(super) struct Reader<'t> {
    file: &'t str,
    /// Where each line ends.
    lines: Vec<usize>,
    pub(super) found: Vec<Diagnostic>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(file: &'t str, text: &str) -> Self {
        Reader { file, lines: memchr_lines(text), found: Vec::new() }
    }

    fn place(&self, span: &Span) -> Place {
        let line = self.lines.partition_point(|end| *end < span.start) + 1;
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        Place { file: self.file.to_owned(), line, bytes: span.clone() }
    }

    /// The policy, unless anything in it is wrong.
    pub(super) fn policy(&mut self, node: &Node) -> Option<Policy> {
        let before = self.found.len();
        let mut keys = Keys::of(node, &mut self.found)?;
        constant(&mut keys, "apiVersion", API_VERSION);
        constant(&mut keys, "kind", KIND);
        let (metadata, spec) = (keys.require("metadata"), keys.require("spec"));
        self.found.append(&mut keys.finish());
        let mut policy = Policy::default();
        if let Some(name) = metadata.and_then(|node| self.metadata(node)) {
            policy.name = name;
        }
        if let Some(node) = spec {
            self.spec(node, &mut policy);
        }
        (self.found.len() == before).then_some(policy)
    }

    fn metadata(&mut self, node: &Node) -> Option<String> {
        let mut keys = Keys::of(node, &mut self.found)?;
        let name = keys.require("name").and_then(|_| keys.text("name")).map(str::to_owned);
        if let Some(name) = &name
            && !is_name(name)
            && let Some(place) = keys.get("name")
        {
            keys.found.push(place.wrong("a name of small letters, digits, `-` and `.`"));
        }
        keys.text("description");
        // What other tools write there is theirs.
        for key in ["labels", "annotations", "namespace"] {
            keys.get(key);
        }
        self.found.append(&mut keys.finish());
        name
    }

    fn spec(&mut self, node: &Node, policy: &mut Policy) {
        let Some(mut keys) = Keys::of(node, &mut self.found) else { return };
        policy.mode = keys.word("mode", &[("audit", Mode::Audit), ("enforce", Mode::Enforce)]);
        let named = keys.get("subjects").map(|node| subject::named(node, &mut self.found));
        let named = named.unwrap_or_default();
        let (rules, lists) = (list(&mut keys, "rules"), list(&mut keys, "allowOnly"));
        if rules.is_empty() && lists.is_empty() {
            let message = "the policy has no rule";
            keys.found.push(Diagnostic::new(Code::MissingKey, node.span.clone(), message));
        }
        self.found.append(&mut keys.finish());
        if rules.len() + lists.len() > MAX_RULES {
            let message = format!("the policy has more than {MAX_RULES} rules");
            self.found.push(Diagnostic::new(Code::Limit, node.span.clone(), message));
            return;
        }
        let mut ids = HashSet::new();
        for node in lists {
            self.allow_list(node, &named, &mut ids, policy);
        }
        for node in rules {
            let rule = self.rule(node, &named, &mut ids);
            policy.rules.extend(rule);
        }
    }

    fn rule(&mut self, node: &Node, named: &Named, ids: &mut HashSet<String>) -> Option<Rule> {
        let before = self.found.len();
        let mut keys = Keys::of(node, &mut self.found)?;
        let id = identifier(&mut keys, ids);
        let subject = subject_of(&mut keys, named);
        let (verdict, operations) = verdict(&mut keys, node);
        let objects = object::read(&mut keys, operations, named);
        let severity = keys.word("severity", &SEVERITIES).unwrap_or(Severity::Medium);
        let message = keys.text("message").map(str::to_owned);
        let exception = exception(&mut keys, verdict);
        let after = trigger(&mut keys, named);
        self.found.append(&mut keys.finish());
        if self.found.len() > before {
            return None;
        }
        Some(Rule {
            id: id?,
            subject,
            operations,
            objects,
            verdict: verdict?,
            severity,
            message,
            exception,
            after,
            place: self.place(&node.span),
        })
    }

    fn allow_list(
        &mut self,
        node: &Node,
        named: &Named,
        ids: &mut HashSet<String>,
        policy: &mut Policy,
    ) {
        let Some(mut keys) = Keys::of(node, &mut self.found) else { return };
        let id = identifier(&mut keys, ids);
        keys.require("subject");
        let subject = subject_of(&mut keys, named);
        let operations = operations(&mut keys, "operations", true);
        let errno = keys.word("errno", &ERRNOS).unwrap_or_default();
        let place = self.place(&node.span);
        for (name, node) in keys.texts("include") {
            let list = id.as_deref().unwrap_or_default();
            if let Some(rules) = includes::rules(name, list, &subject, operations) {
                policy.rules.extend(rules);
                continue;
            }
            let message = format!("there is no include `{name}`");
            let all = includes::NAMES.join("`, `");
            let help = nearest(name, includes::NAMES.iter().copied())
                .map_or(format!("there are `{all}`"), |one| format!("`{one}` is one"));
            let found = Diagnostic::new(Code::BadValue, node.span.clone(), message);
            keys.found.push(found.help(help));
        }
        self.found.append(&mut keys.finish());
        policy.allow_lists.extend(id.map(|id| AllowList { id, subject, operations, errno, place }));
    }
}

fn memchr_lines(text: &str) -> Vec<usize> {
    text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect()
}

fn constant(keys: &mut Keys<'_>, key: &'static str, wanted: &str) {
    let Some(node) = keys.require(key) else { return };
    if node.text() != Some(wanted) {
        let said = node.text().unwrap_or("something else").to_owned();
        keys.found.push(
            Diagnostic::new(
                Code::PolicyVersion,
                node.span.clone(),
                format!("`{key}` is `{said}`, this version reads `{wanted}`"),
            )
            .help(format!("write `{key}: {wanted}`")),
        );
    }
}

fn list<'n>(keys: &mut Keys<'n>, key: &'static str) -> &'n [Node] {
    let Some(node) = keys.get(key) else { return &[] };
    if !matches!(node.value, Value::List(_)) {
        keys.found.push(node.wrong("a list"));
        return &[];
    }
    node.each()
}

/// Small letters, digits, `-` and `.`, as Kubernetes wants of a name.
fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 253
        && name.bytes().all(|byte| inner(byte) || byte == b'-' || byte == b'.')
        && name.bytes().next().is_some_and(inner)
        && name.bytes().last().is_some_and(inner)
}

fn identifier(keys: &mut Keys<'_>, ids: &mut HashSet<String>) -> Option<String> {
    let node = keys.require("id")?;
    let id = keys.text("id")?;
    if !is_name(id) {
        keys.found.push(node.wrong("a name of small letters, digits, `-` and `.`"));
        return None;
    }
    if !ids.insert(id.to_owned()) {
        let message = format!("two rules are called `{id}`");
        keys.found.push(Diagnostic::new(Code::DuplicateId, node.span.clone(), message));
    }
    Some(id.to_owned())
}

fn subject_of(keys: &mut Keys<'_>, named: &Named) -> Subject {
    let Some(node) = keys.get("subject") else { return Subject::default() };
    subject::read(node, named, &mut keys.found).unwrap_or_default()
}

/// Which of `allow`, `deny`, `kill`, `audit` the rule has, and its operations.
fn verdict(keys: &mut Keys<'_>, node: &Node) -> (Option<Verdict>, Operations) {
    let given: Vec<_> = VERDICTS
        .iter()
        .filter_map(|(key, verdict)| Some((*key, *verdict, keys.place(key)?)))
        .collect();
    for (key, _) in VERDICTS {
        keys.get(key);
    }
    let errno = keys.word("errno", &ERRNOS);
    let (key, verdict) = match given.as_slice() {
        [(key, verdict, _)] => (*key, *verdict),
        [] => {
            keys.found.push(
                Diagnostic::new(Code::MissingKey, node.span.clone(), "the rule has no verdict")
                    .help("write one of `allow`, `deny`, `kill`, `audit` with the operations, as `deny: [read, write]`"),
            );
            return (None, Operations::default());
        }
        [_, (_, _, second), ..] => {
            let message = "a rule has one verdict";
            keys.found.push(Diagnostic::new(Code::BadValue, second.clone(), message));
            return (None, Operations::default());
        }
    };
    let verdict = match (verdict, errno) {
        (Verdict::Deny(_), Some(errno)) => Verdict::Deny(errno),
        (_, Some(_)) => {
            let place = keys.place("errno").unwrap_or_default();
            let message = "only `deny` returns an error of choice";
            keys.found.push(Diagnostic::new(Code::BadValue, place, message));
            verdict
        }
        _ => verdict,
    };
    (Some(verdict), operations(keys, key, true))
}

/// The operations of a key; a few words stand for many.
fn operations(keys: &mut Keys<'_>, key: &'static str, required: bool) -> Operations {
    if required {
        keys.require(key);
    }
    let mut all = Operations::default();
    for (word, node) in keys.texts(key) {
        if let Some(more) = operation(word) {
            all = Operations(all.0 | more.0);
            continue;
        }
        let near = nearest(word, Operation::ALL.iter().map(|one| one.name()));
        let message = format!("there is no operation `{word}`");
        keys.found.push(
            Diagnostic::new(Code::BadValue, node.span.clone(), message)
                .help_if(near.map(|near| format!("`{near}` is one"))),
        );
    }
    all
}

fn operation(word: &str) -> Option<Operations> {
    match word {
        "file" => Some(object::FILE),
        "network" => Some(object::NETWORK),
        _ => Operation::ALL
            .iter()
            .find(|one| one.name() == word)
            .map(|one| Operations::default().with(*one)),
    }
}

fn exception(keys: &mut Keys<'_>, verdict: Option<Verdict>) -> Option<Exception> {
    let until = keys.get("until");
    let (reason, author) = (keys.text("reason"), keys.text("author"));
    let node = until?;
    let time = node.text().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let Some(time) = time else {
        keys.found.push(node.wrong("a time with its zone, as `2026-12-24T18:00:00Z`"));
        return None;
    };
    if verdict.is_some_and(|verdict| verdict != Verdict::Allow) {
        let message = "only a rule that allows can be an exception";
        keys.found.push(Diagnostic::new(Code::BadValue, node.span.clone(), message));
    }
    let (Some(reason), Some(author)) = (reason, author) else {
        keys.found.push(
            Diagnostic::new(
                Code::MissingKey,
                node.span.clone(),
                "an exception needs `reason` and `author`",
            )
            .help("whoever finds it later will ask why, and whom"),
        );
        return None;
    };
    Some(Exception {
        until: time.as_second(),
        reason: reason.to_owned(),
        author: author.to_owned(),
    })
}

/// `after`: operations with objects, written as in a rule, or a rule whose first steps the engine
/// follows.
fn trigger(keys: &mut Keys<'_>, named: &Named) -> Option<Trigger> {
    let node = keys.get("after")?;
    let mut found = Vec::new();
    let mut inner = Keys::of(node, &mut found)?;
    let sequence = inner.text("sequence").map(str::to_owned);
    let operations = operations(&mut inner, "operations", sequence.is_none());
    let objects = object::read(&mut inner, operations, named);
    let is_deed = !operations.is_empty() || objects != [Object::Any];
    if sequence.is_some() && is_deed {
        let message = "`sequence` names a rule that says itself what comes first";
        let place = inner.place("sequence").unwrap_or_default();
        inner.found.push(Diagnostic::new(Code::BadValue, place, message));
    }
    found.append(&mut inner.finish());
    keys.found.append(&mut found);
    let objects = if sequence.is_some() { Vec::new() } else { objects };
    Some(Trigger { operations, objects, sequence })
}
