//! `kestrel pack inspect` and `kestrel pack diff`: what a reviewer reads before a pack is used.

use std::io::{self, Write};
use std::path::Path;

use model::script::Script;
use packs::{Admitted, Changed, Code, Compiled, Diff, Refusal, ScriptView};
use serde_json::{Value, json};

use super::cli::Judged;
use super::{Judges, Looked, complain, policies, refusals, show};
use crate::cli::Form;
use crate::output::{self, Status, style};

/// Shows one pack.
pub(super) fn inspect(path: &Path, given: &Judged, form: Form) -> io::Result<Status> {
    let pack = match Judges::open(given).and_then(|judges| judges.look(path, given)) {
        Ok(Looked::Rules(pack)) => pack,
        Ok(Looked::Policies(bundle)) => return policies::inspect(&bundle, form),
        Err(refused) => return refuse(&refused, form),
    };
    match form {
        Form::Json => output::json(&inspected(&pack))?,
        Form::Text => inspected_text(&pack)?,
    }
    Ok(Status::Fine)
}

/// Shows what changes from one to the other.
pub(super) fn diff(old: &Path, new: &Path, given: &Judged, form: Form) -> io::Result<Status> {
    let both = Judges::open(given)
        .and_then(|judges| Ok((judges.look(old, given)?, judges.look(new, given)?)));
    let (old, new) = match both {
        Ok((Looked::Rules(old), Looked::Rules(new))) => (old, new),
        Ok((Looked::Policies(old), Looked::Policies(new))) => {
            return policies::diff(&old, &new, form);
        }
        Ok(_) => {
            let what = "one has rules, the other policies";
            return refuse(&[Refusal::new(Code::Purpose, &new.display().to_string(), what)], form);
        }
        Err(refused) => return refuse(&refused, form),
    };
    let diff = Diff::new(&old, &new);
    match form {
        Form::Json => output::json(&compared(&old, &new, &diff))?,
        Form::Text => compared_text(&old, &new, &diff)?,
    }
    Ok(Status::Fine)
}

fn refuse(refused: &[Refusal], form: Form) -> io::Result<Status> {
    if form == Form::Json {
        output::json(&json!({ "refusals": refusals(refused) }))?;
        return Ok(Status::Findings);
    }
    Ok(complain(refused))
}

fn inspected(pack: &Compiled) -> Value {
    let manifest = pack.verified().manifest();
    let mut shown = show::head(pack.verified());
    let more = [
        ("capabilities", json!(manifest.capabilities)),
        ("needs", json!(pack.needs().words())),
        ("fields", json!(manifest.fields)),
        ("attack", json!(pack.attack())),
        ("cost", show::cost(pack.cost())),
        ("files", show::files(pack.verified())),
        ("rules", pack.rules().iter().map(show::rule).collect()),
        ("scripts", scripts(pack).map(|(view, code)| show::script(view, code)).collect()),
    ];
    if let Some(all) = shown.as_object_mut() {
        all.extend(more.map(|(key, value)| (key.to_owned(), value)));
    }
    shown
}

fn inspected_text(pack: &Compiled) -> io::Result<()> {
    let verified = pack.verified();
    let manifest = verified.manifest();
    let mut out = anstream::stdout().lock();
    let name = style::NAME;
    writeln!(
        out,
        "{name}{} {}{name:#}, serial {}",
        manifest.id, manifest.version, manifest.serial
    )?;
    let size: u64 = manifest.files.iter().map(|file| file.size).sum();
    let lines = [
        ("level", format!("{}{}", verified.level().as_str(), show::signers(pack.verified()))),
        ("until", manifest.not_after.to_string()),
        ("engine", format!("{} or later", manifest.min_engine)),
        ("asks for", show::list(&manifest.capabilities)),
        ("needs", pack.needs().to_string()),
        ("reads", show::list(&manifest.fields)),
        ("ATT&CK", show::list(&pack.attack().into_iter().collect::<Vec<_>>())),
        ("cost", show::cost_in_words(pack.cost())),
        ("files", format!("{}, {size} bytes", manifest.files.len())),
        ("manifest", verified.digest().to_string()),
    ];
    for (what, value) in lines {
        writeln!(out, "{what:<9} {value}")?;
    }
    for Admitted { view, may, refused } in pack.rules() {
        let (id, kind) = (&view.id, view.kind.as_str());
        writeln!(out, "\n{name}{id}{name:#}: {} ({kind}, {})", view.name, view.severity)?;
        writeln!(out, "  {}, {}", view.file, view.place.as_str())?;
        for line in view.query.lines() {
            writeln!(out, "  | {line}")?;
        }
        writeln!(out, "  needs {}; may {may}", view.needs)?;
        if let Some(why) = refused {
            let bad = style::BAD;
            writeln!(out, "  {bad}not loaded{bad:#}: {why}")?;
        }
    }
    scripts(pack).try_for_each(|(view, code)| show::script_in_words(&mut out, view, code))
}

/// What is told of each script, and the script.
fn scripts(pack: &Compiled) -> impl Iterator<Item = (&ScriptView, &Script)> {
    pack.scripts().iter().zip(&pack.program().scripts)
}

/// The parts of a difference that are lists of what came and went.
fn parts(diff: &Diff) -> [(&'static str, &Changed); 7] {
    [
        ("rule", &diff.rules),
        ("script", &diff.scripts),
        ("capability", &diff.capabilities),
        ("field", &diff.fields),
        ("attack", &diff.attack),
        ("signer", &diff.signers),
        ("file", &diff.files),
    ]
}

fn compared(old: &Compiled, new: &Compiled, diff: &Diff) -> Value {
    let lists = parts(diff).map(|(what, change)| {
        (what.to_owned(), json!({ "added": change.added, "removed": change.removed }))
    });
    let changed = diff.changed.iter().map(|(id, what)| {
        let [before, after] = [old, new].map(|pack| by_id(pack, id).map(show::rule));
        json!({ "id": id, "what": what, "before": before, "after": after })
    });
    let mut shown = json!({
        "old": show::head(old.verified()),
        "new": show::head(new.verified()),
        "changed_rules": changed.collect::<Vec<_>>(),
        "changed_files": diff.changed_files,
        "changed_scripts": diff.changed_scripts.iter()
            .map(|(name, what)| json!({ "name": name, "what": what }))
            .collect::<Vec<_>>(),
        "cost": { "old": show::cost(old.cost()), "new": show::cost(new.cost()) },
    });
    if let Some(all) = shown.as_object_mut() {
        all.extend(lists);
    }
    shown
}

fn compared_text(old: &Compiled, new: &Compiled, diff: &Diff) -> io::Result<()> {
    let (good, bad) = (style::GOOD, style::BAD);
    let mut out = anstream::stdout().lock();
    show::both(&mut out, old.verified(), new.verified())?;
    if diff.is_empty() {
        return writeln!(out, "nothing that a rule does has changed");
    }
    for (what, change) in parts(diff) {
        for one in &change.added {
            writeln!(out, "{good}+{good:#} {what} {one}")?;
        }
        for one in &change.removed {
            writeln!(out, "{bad}-{bad:#} {what} {one}")?;
        }
    }
    for name in &diff.changed_files {
        writeln!(out, "~ file {name}")?;
    }
    for (id, what) in &diff.changed {
        writeln!(out, "~ rule {id}: {}", what.join(", "))?;
        if !what.contains(&"query") {
            continue;
        }
        for (mark, pack) in [("-", old), ("+", new)] {
            let query = by_id(pack, id).map(|rule| rule.view.query.as_str()).unwrap_or_default();
            for line in query.lines() {
                writeln!(out, "    {mark} {line}")?;
            }
        }
    }
    for (name, what) in &diff.changed_scripts {
        writeln!(out, "~ script {name}: {}", what.join(", "))?;
    }
    let (before, after) = (old.cost(), new.cost());
    if before != after {
        writeln!(out, "cost: {}", show::cost_in_words(before))?;
        writeln!(out, "  ->  {}", show::cost_in_words(after))?;
    }
    Ok(())
}

fn by_id<'a>(pack: &'a Compiled, id: &str) -> Option<&'a Admitted> {
    pack.rules().iter().find(|rule| rule.view.id == id)
}
