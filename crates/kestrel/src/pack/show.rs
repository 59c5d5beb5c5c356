//! What is shown of a pack.

use std::fmt::Write as _;
use std::io::{self, Write};

use packs::{Admitted, Change, Cost, Verified};
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
        "needs": view.needs.words(),
        "may": rule.may.words(),
        "refused": rule.refused.as_ref().map(ToString::to_string),
        "placement": view.place.as_str(),
        "cost": cost(view.cost),
    })
}

/// What is counted of its cost.
pub(super) fn cost(cost: Cost) -> Value {
    json!({
        "predicates": cost.predicates,
        "wildcards": cost.wildcards,
        "regexes": cost.regexes,
        "steps": cost.steps,
    })
}

/// The same for people.
pub(super) fn cost_in_words(cost: Cost) -> String {
    let Cost { predicates, wildcards, regexes, steps } = cost;
    format!(
        "{predicates} predicates, {wildcards} wildcard patterns, {regexes} regular expressions, \
         {steps} remembered steps"
    )
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
