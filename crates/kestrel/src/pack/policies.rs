//! Bundles of policies: what `verify`, `inspect` and `diff` show of them.
//!
//! What a policy means on a host is shown there: `aegisbpf policy lint`, `plan` and `diff` take bundles.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use model::policy::{Mode, Policy};
use packs::{Bundle, Change, Refusal, Sha256, Verified};
use serde_json::{Value, json};

use super::show;
use crate::cli::Form;
use crate::output::{self, Status, style};

/// What is shown of a bundle that was verified, and of what it changes here.
pub(super) fn verified(bundle: &Bundle, change: Option<&Change>, form: Form) -> io::Result<Status> {
    let pack = bundle.verified();
    let count = bundle.policies().policies.len();
    if form == Form::Json {
        let mut shown = show::head(pack);
        if let Some(all) = shown.as_object_mut() {
            all.insert("verified".to_owned(), json!(true));
            all.insert("policies".to_owned(), json!(count));
            all.insert("change".to_owned(), json!(change.map(Change::as_str)));
            all.insert("refusals".to_owned(), super::refusals(std::iter::empty::<&Refusal>()));
        }
        output::json(&shown)?;
        return Ok(Status::Fine);
    }
    let manifest = pack.manifest();
    let (name, good) = (style::NAME, style::GOOD);
    let mut out = anstream::stdout().lock();
    let (id, version, serial) = (&manifest.id, &manifest.version, manifest.serial);
    writeln!(
        out,
        "{name}{id}{name:#} {version}, serial {serial}: {good}verified{good:#}, {count} policies"
    )?;
    writeln!(out, "level {}{}", pack.level().as_str(), show::signers(pack))?;
    show::change(&mut out, change)?;
    Ok(Status::Fine)
}

/// Shows one bundle.
pub(super) fn inspect(bundle: &Bundle, form: Form) -> io::Result<Status> {
    let pack = bundle.verified();
    let policies = &bundle.policies().policies;
    if form == Form::Json {
        let mut shown = show::head(pack);
        if let Some(all) = shown.as_object_mut() {
            all.insert("files".to_owned(), show::files(pack));
            all.insert("policies".to_owned(), policies.iter().map(policy).collect());
        }
        output::json(&shown)?;
        return Ok(Status::Fine);
    }
    let manifest = pack.manifest();
    let name = style::NAME;
    let size: u64 = manifest.files.iter().map(|file| file.size).sum();
    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "{name}{}{name:#} {}, serial {}",
        manifest.id, manifest.version, manifest.serial
    )?;
    writeln!(out, "holds     policies")?;
    writeln!(out, "level     {}{}", pack.level().as_str(), show::signers(pack))?;
    writeln!(out, "until     {}", manifest.not_after)?;
    writeln!(out, "engine    {} or later", manifest.min_engine)?;
    writeln!(out, "files     {}, {size} bytes", manifest.files.len())?;
    writeln!(out, "manifest  {}", pack.digest())?;
    for policy in policies {
        let (rules, lists) = (policy.rules.len(), policy.allow_lists.len());
        let title = model::escape::escaped(&policy.name);
        writeln!(
            out,
            "\n{name}{title}{name:#}: {rules} rules, {lists} allow lists, {}",
            mode(policy)
        )?;
        for rule in &policy.rules {
            let id = model::escape::escaped(&rule.id);
            writeln!(out, "  {id} ({})", rule.severity.as_str())?;
        }
    }
    Ok(Status::Fine)
}

fn mode(policy: &Policy) -> &'static str {
    match policy.mode {
        None => "mode of the host",
        Some(Mode::Audit) => "only reported",
        Some(Mode::Enforce) => "carried out where the host enforces",
    }
}

fn policy(policy: &Policy) -> Value {
    let rules = policy.rules.iter().map(|rule| {
        json!({ "id": rule.id, "severity": rule.severity.as_str(), "message": rule.message })
    });
    json!({
        "name": policy.name,
        "mode": policy.mode.map(|mode| if mode == Mode::Audit { "audit" } else { "enforce" }),
        "rules": rules.collect::<Vec<_>>(),
        "allow_lists": policy.allow_lists.len(),
    })
}

/// Shows which files and policies changed from one version to the next.
pub(super) fn diff(old: &Bundle, new: &Bundle, form: Form) -> io::Result<Status> {
    let [was, is] = [old, new].map(|bundle| names(bundle));
    let (before, after) = (files(old.verified()), files(new.verified()));
    let changed: Vec<&str> = after
        .iter()
        .filter(|(name, digest)| before.get(*name).is_some_and(|old| old != *digest))
        .map(|(name, _)| *name)
        .collect();
    let [was_files, is_files]: [BTreeSet<&str>; 2] =
        [&before, &after].map(|files| files.keys().copied().collect());
    let lists = [("policy", &was, &is), ("file", &was_files, &is_files)];
    if form == Form::Json {
        let mut shown = json!({
            "old": show::head(old.verified()),
            "new": show::head(new.verified()),
            "changed_files": changed,
        });
        for (what, was, is) in lists {
            let (added, removed): (Vec<_>, Vec<_>) =
                (is.difference(was).collect(), was.difference(is).collect());
            if let Some(shown) = shown.as_object_mut() {
                shown.insert(what.to_owned(), json!({ "added": added, "removed": removed }));
            }
        }
        output::json(&shown)?;
        return Ok(Status::Fine);
    }
    let mut out = anstream::stdout().lock();
    show::both(&mut out, old.verified(), new.verified())?;
    let (good, bad) = (style::GOOD, style::BAD);
    for (what, was, is) in lists {
        for one in is.difference(was) {
            writeln!(out, "{good}+{good:#} {what} {}", model::escape::escaped(one))?;
        }
        for one in was.difference(is) {
            writeln!(out, "{bad}-{bad:#} {what} {}", model::escape::escaped(one))?;
        }
    }
    for name in changed {
        writeln!(out, "~ file {name}")?;
    }
    writeln!(out, "what that means for requests: aegisbpf policy diff OLD NEW")?;
    Ok(Status::Fine)
}

fn names(bundle: &Bundle) -> BTreeSet<&str> {
    bundle.policies().policies.iter().map(|policy| policy.name.as_str()).collect()
}

fn files(pack: &Verified) -> BTreeMap<&str, Sha256> {
    pack.manifest().files.iter().map(|file| (file.path.as_str(), file.sha256)).collect()
}
