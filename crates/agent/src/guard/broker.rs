//! Does for the worker what takes privileges: opens the operator's files, binds the control socket, writes
//! its lines into the audit log. On a thread of its own, so that the worker never waits for a program that
//! is being loaded.
//!
//! The worker may be anybody's by now. It is lent what it reads anyway: files that are named in the
//! options or lie below directories that are, for reading. Lines of the log are only of kinds that are
//! the worker's to tell, so many a minute, and never change what stands there.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use files::{Directory, ReadError, Trust};
use serde_json::{Value as Json, json};

use super::runtime::socket_path;
use super::user::User;
use crate::audit::Audit;
use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::operator;
use crate::proto::ProtoError;
use crate::proto::broker::{Errand, Outcome, receive_errand, send_outcome};
use crate::worker::{look, rule_places, suppression_places};

/// What lines of the audit log begin with that the worker writes.
const KINDS: &[&str] = &[
    "rules-",
    "pack-",
    "script-",
    "suppression",
    "key-",
    "trust-changed",
    "mode-changed",
    "action-refused",
];
/// Lines of the worker in a minute: packs of all directories are fewer.
const NOTES_MAX: u32 = 2_000;
const MINUTE: Duration = Duration::from_mins(1);
/// Endings of what plain rules may name beside them.
const BESIDE: &[&str] = &["wasm", "wat", "lua", "luau"];

/// What is done for workers, the same for each.
#[derive(Debug)]
pub(super) struct Broker {
    args: RunArgs,
    places: Vec<PathBuf>,
    user: User,
    audit: Arc<Audit>,
}

impl Broker {
    /// By these options.
    pub(super) fn new(args: &RunArgs, user: User, audit: Arc<Audit>) -> Broker {
        let mut places = rule_places(args);
        places.extend(operator::places(args.keys.as_deref(), args.trust.as_deref()));
        places.extend(suppression_places(args));
        places.extend(args.redact.clone());
        Broker { args: args.clone(), places, user, audit }
    }

    /// Serves the other end of this socket until it is closed, on a thread that ends then.
    pub(super) fn start(self: &Arc<Self>, socket: OwnedFd) -> Result<JoinHandle<()>, Failure> {
        let own = Arc::clone(self);
        let started = Builder::new().name("broker".to_owned()).spawn(move || {
            let served = own.serve(&socket);
            if let Err(error) = served
                && !matches!(error, ProtoError::Gone)
            {
                tracing::error!(%error, "the worker is served no more: it does not speak as ours do");
            }
        });
        started.map_err(|error| {
            Failure::new(Exit::Internal, format!("cannot start a thread: {error}"))
        })
    }

    fn serve(&self, socket: &OwnedFd) -> Result<(), ProtoError> {
        let mut quota = Quota { since: Instant::now(), lines: 0, left_out: 0 };
        loop {
            let outcome = match receive_errand(socket)? {
                Errand::Note(action, about) => {
                    self.note(&action, &about, &mut quota)?;
                    continue;
                }
                Errand::Open(path) => self.open(&path),
                Errand::Look => Outcome::Number(look(&self.args)),
                Errand::Listen => self.listen().map_or_else(Outcome::Reason, Outcome::Fd),
            };
            send_outcome(socket, &outcome)?;
        }
    }

    fn open(&self, path: &Path) -> Outcome {
        let opened = self.places.iter().find_map(|place| lent(place, path));
        match opened {
            Some(Ok(fd)) => Outcome::Fd(fd),
            Some(Err(ReadError::Io { source, .. })) => {
                Outcome::System(source.raw_os_error().unwrap_or(nix::libc::EIO))
            }
            Some(Err(ReadError::Untrusted { path, owner, mode })) => {
                Outcome::Untrusted(path, owner, mode)
            }
            Some(Err(ReadError::NotRegular { path })) => Outcome::NotRegular(path),
            Some(Err(other)) => Outcome::Reason(other.to_string()),
            None => {
                tracing::error!(path = %path.display(), "the worker wants a file that no option names");
                Outcome::Reason("no option names it".to_owned())
            }
        }
    }

    /// The control socket: root may change something, members of the group may read, and the kernel
    /// lets nobody else in.
    fn listen(&self) -> Result<OwnedFd, String> {
        let path = socket_path(&self.args.runtime_dir);
        let unusable = |error: std::io::Error| {
            format!("cannot open the control socket {}: {error}", path.display())
        };
        // A worker that was killed leaves its socket behind; our lock says that it is ours.
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(unusable(error));
        }
        let listener = UnixListener::bind(&path).map_err(unusable)?;
        let mode = if self.user.readers.is_some() { 0o660 } else { 0o600 };
        std::os::unix::fs::chown(&path, None, self.user.readers).map_err(unusable)?;
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, mode).map_err(unusable)?;
        Ok(listener.into())
    }

    fn note(&self, action: &str, about: &[u8], quota: &mut Quota) -> Result<(), ProtoError> {
        let is_ours = KINDS.iter().any(|kind| action.starts_with(kind));
        let about = serde_json::from_slice(about).ok().filter(Json::is_object);
        let (true, Some(about)) = (is_ours, about) else {
            return Err(ProtoError::Field("line of the audit log"));
        };
        let (is_room, left_out) = quota.take(Instant::now());
        if left_out > 0 {
            self.audit.note("worker-lines-left-out", json!({ "lines": left_out }));
        }
        if is_room {
            self.audit.note(action, about);
        }
        Ok(())
    }
}

/// Opens a path that is this place or lies below it; none if it does not.
fn lent(place: &Path, path: &Path) -> Option<Result<OwnedFd, ReadError>> {
    if place == path {
        return Some(files::lend(path));
    }
    if let Ok(below) = path.strip_prefix(place)
        && is_plain(below)
    {
        return Some(within(place, below));
    }
    // What a rule file names lies beside it or below: scripts, and nothing else.
    let parent = place.parent()?;
    let below = path.strip_prefix(parent).ok().filter(|below| is_plain(below))?;
    let is_script = below.extension().is_some_and(|end| BESIDE.iter().any(|one| end == *one));
    let is_file = || files::metadata(place).is_ok_and(|about| about.is_file());
    (is_script && is_file()).then(|| within(parent, below))
}

fn within(place: &Path, below: &Path) -> Result<OwnedFd, ReadError> {
    // A rule file that was named without a directory lies in the one where the agent was started.
    let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
    let shown = || place.join(below).display().to_string();
    let name = below.to_str().ok_or_else(|| ReadError::NotText { path: shown(), at: 0 })?;
    Directory::open(place, Trust::Owner)?.lend(name)
}

/// Whether it goes down and nowhere else.
fn is_plain(below: &Path) -> bool {
    below.components().all(|part| matches!(part, Component::Normal(_)))
}

/// How much of the log a worker may fill.
struct Quota {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Quota {
    /// Whether a line has room, and how many had none in the minute that has ended.
    fn take(&mut self, now: Instant) -> (bool, u64) {
        let mut told = 0;
        if now.duration_since(self.since) >= MINUTE {
            (self.since, self.lines) = (now, 0);
            told = std::mem::take(&mut self.left_out);
        }
        self.lines = self.lines.saturating_add(1);
        let is_room = self.lines <= NOTES_MAX;
        self.left_out += u64::from(!is_room);
        (is_room, told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_options_name_is_lent() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("rules")).unwrap();
        for name in ["rules/a.toml", "secret", "one.toml", "one.lua", "two.key"] {
            std::fs::write(at(name), name).unwrap();
        }
        std::os::unix::fs::symlink(at("secret"), at("rules/link.toml")).unwrap();
        let opens = |place: &str, path: PathBuf| lent(&at(place), &path).map(|fd| fd.is_ok());
        assert_eq!(opens("rules", at("rules/a.toml")), Some(true));
        assert_eq!(opens("rules", at("rules")), Some(true));
        assert_eq!(opens("rules", at("secret")), None, "it lies beside the directory");
        assert_eq!(opens("rules", at("rules/../secret")), None);
        assert_eq!(opens("rules", at("rules/link.toml")), Some(false), "a link leads out of it");
        assert_eq!(opens("one.toml", at("one.lua")), Some(true), "a script beside a rule file");
        assert_eq!(opens("one.toml", at("two.key")), None, "what is no script");
        assert_eq!(opens("rules", at("one.lua")), None, "beside a directory");
    }

    #[test]
    fn a_worker_fills_no_disk_with_lines() {
        let start = Instant::now();
        let mut quota = Quota { since: start, lines: 0, left_out: 0 };
        for _ in 0..NOTES_MAX {
            assert_eq!(quota.take(start), (true, 0));
        }
        assert_eq!(quota.take(start), (false, 0));
        assert_eq!(quota.take(start + MINUTE), (true, 1), "and it is told how many were left out");
    }
}
