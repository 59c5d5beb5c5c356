//! The part of a compact line that says what the process did.

use model::op::Kind;
use serde_json::Value as Json;

use super::compact::Doc;
use super::escape::{PIECE_MAX, argument, piece};

/// What the operation was about; empty when there is nothing to add.
pub(crate) fn of(doc: Doc<'_>, kind: Option<Kind>) -> String {
    let text = |name: &str| doc.text(name).unwrap_or_default();
    match kind {
        Some(Kind::Exec) => arguments(doc),
        Some(Kind::Exit) => format!("exit {}", text("process.exit_code")),
        Some(Kind::Setuid) => change(&text("user.changes.id"), &text("process.user.id")),
        Some(Kind::Setgid) => change("", &text("process.group.id")),
        Some(Kind::Memfd) => text("process.Ext.memfd.name"),
        Some(Kind::Rename | Kind::Link) => {
            change(&text("file.Ext.original.path"), &text("file.path"))
        }
        Some(Kind::Attr) => attributes(doc),
        Some(Kind::Mount) => {
            let source = text("file.Ext.original.path");
            spaced(&[&source, "on", &text("file.path"), &text("file.Ext.filesystem")])
        }
        Some(Kind::Open) if doc.get("file.Ext.open.write") == Some(&Json::Bool(true)) => {
            spaced(&[&text("file.path"), "for writing"])
        }
        Some(Kind::Connect | Kind::Accept | Kind::Send | Kind::Close) => {
            let ends = change(&endpoint(doc, "source"), &endpoint(doc, "destination"));
            spaced(&[&ends, &text("network.transport")])
        }
        Some(Kind::Bind | Kind::Listen) => {
            spaced(&[&endpoint(doc, "source"), &text("network.transport")])
        }
        Some(Kind::Dns) => spaced(&[&text("dns.question.name"), &text("dns.question.type")]),
        Some(Kind::Ptrace) => target(doc),
        Some(Kind::Signal) => {
            spaced(&["signal", &text("process.Ext.signal.number"), "to", &target(doc)])
        }
        Some(Kind::Module) => {
            spaced(&[&text("process.Ext.load_module.name"), &text("process.Ext.load_module.path")])
        }
        Some(Kind::Bpf) => {
            spaced(&[&text("process.Ext.bpf.program.name"), &text("process.Ext.bpf.program.id")])
        }
        Some(Kind::Namespace) => words(doc.list("process.Ext.namespace.changed")),
        _ => text("file.path"),
    }
}

/// `old -> new`, or only the new when the old is not known.
fn change(old: &str, new: &str) -> String {
    if old.is_empty() { new.to_owned() } else { format!("{old} -> {new}") }
}

fn spaced(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

fn words(list: &[Json]) -> String {
    let words: Vec<String> = list.iter().filter_map(Json::as_str).map(piece).collect();
    words.join(" ")
}

fn arguments(doc: Doc<'_>) -> String {
    let mut line = String::new();
    for word in doc.list("process.args").iter().filter_map(Json::as_str) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&argument(word));
        if line.chars().count() > PIECE_MAX {
            line.push_str(" …");
            break;
        }
    }
    line
}

fn attributes(doc: Doc<'_>) -> String {
    let changed = words(doc.list("file.Ext.changed"));
    let mode = doc.get("file.mode").and_then(Json::as_u64).filter(|_| changed.contains("mode"));
    let mode = mode.map(|mode| format!("{:o}", mode & 0o7777)).unwrap_or_default();
    spaced(&[&doc.text("file.path").unwrap_or_default(), &changed, &mode])
}

/// `127.0.0.1:80` or `[::1]:80`
fn endpoint(doc: Doc<'_>, side: &str) -> String {
    let Some(ip) = doc.text(&format!("{side}.ip")) else { return String::new() };
    let ip = if ip.contains(':') { format!("[{ip}]") } else { ip };
    match doc.text(&format!("{side}.port")) {
        Some(port) => format!("{ip}:{port}"),
        None => ip,
    }
}

/// The process that is acted on.
fn target(doc: Doc<'_>) -> String {
    let pid = doc
        .text("process.Ext.target.pid")
        .or_else(|| doc.text("process.Ext.ptrace.child_pid"))
        .unwrap_or_default();
    match doc.text("process.Ext.target.name") {
        Some(name) => format!("{name}({pid})"),
        None => pid,
    }
}
