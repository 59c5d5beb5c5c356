//! What is shown of a pack.

use std::fmt::Write as _;
use std::io::{self, Write};

use model::escape::escaped;
use model::script::Script;
use packs::{Admitted, Change, Cost, ScriptView, Verified};
use serde_json::{Value, json};

use crate::output::style;

/// What the pack is, and who vouches for it.
pub(super) fn head(verified: &Verified) -> Value {
    let manifest = verified.manifest();
    let signers = verified
        .signers()
        .iter()
        .map(|signer| json!({ "key": signer.key.as_str(), "comment": signer.comment }));
    let others: Vec<&str> = verified.other_keys().iter().map(packs::KeyId::as_str).collect();
    json!({
        "id": manifest.id,
        "kind": manifest.kind.as_str(),
        "version": manifest.version.to_string(),
        "serial": manifest.serial,
        "not_after": manifest.not_after.to_string(),
        "min_engine": manifest.min_engine.to_string(),
        "manifest_sha256": verified.digest().to_string(),
        "level": verified.level().as_str(),
        "signers": signers.collect::<Vec<_>>(),
        "signatures_not_counted": others,
    })
}

/// One rule.
pub(super) fn rule(rule: &Admitted) -> Value {
    let view = &rule.view;
    json!({
        "id": view.id,
        "name": view.name,
        "file": view.file,
        "kind": view.kind.as_str(),
        "severity": view.severity,
        "attack": view.attack,
        "query": view.query,
        "fields": view.fields,
        "responses": view.responses,
        "response_ttl": view.response_ttl,
        "needs": view.needs.words(),
        "may": rule.may.words(),
        "refused": rule.refused.as_ref().map(ToString::to_string),
        "placement": view.place.as_str(),
        "cost": cost(view.cost),
        "scripts": view.scripts,
    })
}

/// One script: what a reviewer reads before its code. `code` is the script itself.
pub(super) fn script(view: &ScriptView, code: &Script) -> Value {
    let ScriptView { budget, .. } = view;
    let patterns = |all: &[(String, String)]| -> Value {
        all.iter().map(|(name, text)| (name.clone(), escaped(text))).collect()
    };
    json!({
        "name": view.name,
        "kind": view.kind.as_str(),
        "file": view.file,
        "size": view.size,
        "sha256": view.sha256.to_string(),
        "imports": script::imports(code),
        "functions": view.functions,
        "fields": view.fields,
        "regexes": patterns(&view.regexes),
        "globs": patterns(&view.globs),
        "asks": view.asks.words(),
        "may": view.may.words(),
        "budget": {
            "work": budget.work,
            "memory": budget.memory,
            "entries": budget.entries,
            "bytes": budget.bytes,
            "alerts": budget.alerts,
            "violations": budget.violations,
        },
    })
}

/// The same for people.
pub(super) fn script_in_words(
    out: &mut impl Write,
    view: &ScriptView,
    code: &Script,
) -> io::Result<()> {
    let (name, kind) = (style::NAME, view.kind.as_str());
    let ScriptView { size, budget, may, asks, .. } = view;
    writeln!(out, "\n{name}script {}{name:#} ({kind}, {size} bytes)", view.name)?;
    writeln!(out, "  {}, SHA-256 {}", view.file, view.sha256)?;
    writeln!(out, "  imports   {}", list(&script::imports(code)))?;
    writeln!(out, "  asked     {}", list(&view.functions))?;
    writeln!(out, "  reads     {}", list(&view.fields))?;
    for (what, all) in [("regex", &view.regexes), ("glob", &view.globs)] {
        for (name, text) in all {
            writeln!(out, "  {what:<9} {name}: {}", escaped(text))?;
        }
    }
    writeln!(out, "  asks for  {asks}; may {may}")?;
    let kib = |bytes: usize| bytes >> 10;
    writeln!(
        out,
        "  budget    {} units of work a call, {} KiB, {} entries of {} KiB, {} alerts a minute, {} \
         violations",
        budget.work,
        kib(budget.memory),
        budget.entries,
        kib(budget.bytes),
        budget.alerts,
        budget.violations
    )
}

/// What is counted of its cost.
pub(super) fn cost(cost: Cost) -> Value {
    json!({
        "predicates": cost.predicates,
        "wildcards": cost.wildcards,
        "regexes": cost.regexes,
        "steps": cost.steps,
        "questions": cost.questions,
    })
}

/// The same for people.
pub(super) fn cost_in_words(cost: Cost) -> String {
    let Cost { predicates, wildcards, regexes, steps, questions } = cost;
    let mut text = format!(
        "{predicates} predicates, {wildcards} wildcard patterns, {regexes} regular expressions, \
         {steps} remembered steps"
    );
    if questions > 0 {
        _ = write!(text, ", {questions} questions to scripts");
    }
    text
}

/// Who vouches, as the rest of a line.
pub(super) fn signers(pack: &Verified) -> String {
    let mut text = String::new();
    for signer in pack.signers() {
        // Writing to a text does not fail.
        _ = write!(text, ", signed by {}", signer.key);
        if !signer.comment.is_empty() {
            _ = write!(text, " ({})", signer.comment);
        }
    }
    for key in pack.other_keys() {
        _ = write!(text, ", not counted: {key}");
    }
    text
}

/// A list, or a word for none.
pub(super) fn list<S: AsRef<str>>(all: &[S]) -> String {
    if all.is_empty() {
        return "none".to_owned();
    }
    all.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// All files of a pack.
pub(super) fn files(pack: &Verified) -> Value {
    let one = |file: &packs::FileEntry| json!({ "path": file.path, "size": file.size, "sha256": file.sha256.to_string() });
    pack.manifest().files.iter().map(one).collect()
}

/// What a pack would change here, for people.
pub(super) fn change(out: &mut impl Write, change: Option<&Change>) -> io::Result<()> {
    let Some(change) = change else { return Ok(()) };
    let word = change.as_str();
    match change.before() {
        None => writeln!(out, "installed: {word}"),
        Some(old) => {
            writeln!(out, "installed: {word}, before {} (serial {})", old.version, old.serial)
        }
    }
}

/// From which version to which.
pub(super) fn both(out: &mut impl Write, old: &Verified, new: &Verified) -> io::Result<()> {
    let (was, is, name) = (old.manifest(), new.manifest(), style::NAME);
    writeln!(
        out,
        "{name}{}{name:#} {} (serial {}) -> {name}{}{name:#} {} (serial {})",
        was.id, was.version, was.serial, is.id, is.version, is.serial
    )
}
