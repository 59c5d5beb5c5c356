//! `aegisbpf quarantine`: files moved aside and given back by the word of an operator, whether an agent
//! runs or not.

use std::fs::symlink_metadata;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::audit::Audit;
use crate::cli::Output;
use crate::cli::quarantine::{DeleteArgs, ListArgs, QuarantineCommand, RestoreArgs, TakeArgs};
use crate::exit::{Exit, Failure};
use crate::guard::quarantine::{
    Expected, Identity, Limits, Record, Refusal, Vault, is_there, settle,
};
use crate::policy::store::Who;
use crate::render::escape::piece;

/// Runs the command that was asked for.
pub(crate) fn run(command: &QuarantineCommand) -> Result<Exit, Failure> {
    crate::guard::privilege_for("moving files of others needs root")?;
    match command {
        QuarantineCommand::List(args) => list(args),
        QuarantineCommand::Take(args) => take(args),
        QuarantineCommand::Restore(args) => restore(args),
        QuarantineCommand::Delete(args) => delete(args),
    }
}

fn failure(refusal: &Refusal) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {refusal}", refusal.code()))
}

/// Opens the vault; what a crash left there is told and written down.
fn open(state: &Path, limits: Limits, audit: &Audit) -> Result<Vault, Failure> {
    let (vault, messages) = settle(state, limits, audit).map_err(|refusal| failure(&refusal))?;
    for message in messages {
        writeln!(anstream::stderr(), "aegisbpf: {}", piece(&message))?;
    }
    Ok(vault)
}

/// Writes down what is about to be done; it is not done if that cannot be.
fn announce(audit: &Audit, action: &str, about: Json) -> Result<(), Failure> {
    let failed = |error: capture::audit::LogError| {
        Failure::new(Exit::Failed, format!("nothing was done: {error}"))
            .help("what is done must be in the audit log first")
    };
    audit.write(action, about).map(|_| ()).map_err(failed)
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let state = &args.vault.state_dir;
    // Looking makes nothing.
    let (records, unreadable) = if is_there(state) {
        let vault = open(state, Limits::default(), &Audit::at(state))?;
        vault.list().map_err(|refusal| failure(&refusal))?
    } else {
        Default::default()
    };
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => {
            let document = json!({ "files": records, "unreadable": unreadable });
            writeln!(out, "{document:#}")?;
        }
        Output::Text => {
            for record in &records {
                writeln!(out, "{}", line(record))?;
            }
            for id in &unreadable {
                writeln!(out, "{id}  its record cannot be read")?;
            }
        }
    }
    Ok(if unreadable.is_empty() { Exit::Ok } else { Exit::Failed })
}

fn line(record: &Record) -> String {
    let meta = &record.meta;
    let time = jiff::Timestamp::from_second(record.taken_at).unwrap_or_default();
    let links = match meta.links {
        0 | 1 => String::new(),
        links => format!("  {links} names"),
    };
    let holders = record.holders.named.len() as u64 + record.holders.more;
    let holders = match holders {
        0 => String::new(),
        holders => format!("  held by {holders}"),
    };
    format!(
        "{}  {time}  {:04o} {}:{}  {} bytes  {}{links}{holders}",
        record.id,
        meta.mode,
        meta.uid,
        meta.gid,
        meta.size,
        piece(&record.shown)
    )
}

/// An id that no other command has: who asked, when.
fn fresh() -> String {
    let now = jiff::Timestamp::now();
    format!("{}-{}", now.as_millisecond(), std::process::id())
}

fn take(args: &TakeArgs) -> Result<Exit, Failure> {
    let audit = Audit::at(&args.vault.state_dir);
    let limits = Limits {
        protected: args.protect.clone(),
        file_bytes: args.max_bytes,
        files: args.max_files,
        ..Limits::default()
    };
    let vault = open(&args.vault.state_dir, limits, &audit)?;
    let id = args.id.clone().unwrap_or_else(fresh);
    let device = || args.device.or_else(|| Some(symlink_metadata(&args.path).ok()?.dev()));
    let file = args.inode.and_then(|ino| Some(Identity { dev: device()?, ino }));
    let path = args.path.to_string_lossy();
    let about = json!({ "who": Who::me(), "id": id, "path": path, "reason": args.reason });
    announce(&audit, "quarantine-take", about)?;
    match vault.take(&id, &args.path, Expected { file, size: None }) {
        Ok(record) => {
            let about = json!({
                "id": id, "file": record.file, "way": record.way, "digest": record.digest,
                "links": record.meta.links, "holders": record.holders,
            });
            audit.note("quarantine-taken", about);
            writeln!(anstream::stdout(), "{id}")?;
            Ok(Exit::Ok)
        }
        Err(refusal) => refused(&audit, "quarantine-take-refused", &id, &refusal),
    }
}

fn restore(args: &RestoreArgs) -> Result<Exit, Failure> {
    let audit = Audit::at(&args.vault.state_dir);
    let vault = open(&args.vault.state_dir, Limits::default(), &audit)?;
    let to = args.to.as_ref().map(|to| to.to_string_lossy());
    let about = json!({ "who": Who::me(), "id": args.id, "to": to, "reason": args.reason });
    announce(&audit, "quarantine-restore", about)?;
    match vault.restore(&args.id, args.to.as_deref(), args.changed) {
        Ok((record, path)) => {
            let path = path.to_string_lossy();
            audit.note("quarantine-restored", json!({ "id": record.id, "path": path }));
            writeln!(anstream::stdout(), "{}", piece(&path))?;
            Ok(Exit::Ok)
        }
        Err(refusal) => refused(&audit, "quarantine-restore-refused", &args.id, &refusal),
    }
}

fn delete(args: &DeleteArgs) -> Result<Exit, Failure> {
    let audit = Audit::at(&args.vault.state_dir);
    let vault = open(&args.vault.state_dir, Limits::default(), &audit)?;
    let about = json!({ "who": Who::me(), "id": args.id, "reason": args.reason });
    announce(&audit, "quarantine-delete", about)?;
    match vault.delete(&args.id) {
        Ok(record) => {
            let about = json!({ "id": record.id, "path": record.shown, "digest": record.digest });
            audit.note("quarantine-deleted", about);
            writeln!(anstream::stdout(), "{} is no more", piece(&record.shown))?;
            Ok(Exit::Ok)
        }
        Err(refusal) => refused(&audit, "quarantine-delete-refused", &args.id, &refusal),
    }
}

fn refused(audit: &Audit, action: &str, id: &str, refusal: &Refusal) -> Result<Exit, Failure> {
    let about = json!({ "id": id, "code": refusal.code(), "message": refusal.to_string() });
    audit.note(action, about);
    Err(failure(refusal))
}
