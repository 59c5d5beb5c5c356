//! Who the worker is, and who may ask it.

use nix::errno::Errno;
use nix::unistd::{Group, User as Known};

use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};

/// The user and the group that packages make.
const NAME: &str = "aegisbpf";
/// User and group of who has nothing: for a host without that user.
pub(crate) const NOBODY: u32 = 65_534;

/// The worker's user, and the group whose members may read the control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// What it is called.
    pub(crate) name: String,
    /// Its number.
    pub(crate) uid: u32,
    /// Its group; it has no other.
    pub(crate) gid: u32,
    /// Whose members may ask, beside root; none: root alone.
    pub(crate) readers: Option<u32>,
}

impl User {
    /// Who was named, or else `aegisbpf` if it exists, or else nobody; `readers` may ask him.
    pub(crate) fn find(args: &RunArgs, readers: Option<u32>) -> Result<User, Failure> {
        let name = args.user.as_deref().unwrap_or(NAME);
        let known = found("user", name, Known::from_name(name))?;
        let Some(known) = known else {
            if args.user.is_some() {
                return Err(missing("user", name));
            }
            tracing::warn!("this host has no user `{NAME}`: the worker runs as nobody");
            return Ok(User { name: "nobody".to_owned(), uid: NOBODY, gid: NOBODY, readers });
        };
        if known.uid.is_root() || known.gid.as_raw() == 0 {
            let message = format!("the worker cannot run as `{name}`: it reads rules of strangers");
            return Err(Failure::new(Exit::Usage, message)
                .help("name a user without privileges, or none: --user NAME"));
        }
        Ok(User { name: known.name, uid: known.uid.as_raw(), gid: known.gid.as_raw(), readers })
    }
}

/// The group that was named, or else `aegisbpf` if it exists.
pub(super) fn readers(args: &RunArgs) -> Result<Option<u32>, Failure> {
    match &args.group {
        Some(name) => group(name)?.ok_or_else(|| missing("group", name)).map(Some),
        None => group(NAME),
    }
}

fn group(name: &str) -> Result<Option<u32>, Failure> {
    let known = found("group", name, Group::from_name(name))?;
    Ok(known.map(|known| known.gid.as_raw()))
}

fn missing(what: &str, name: &str) -> Failure {
    Failure::new(Exit::Usage, format!("this host has no {what} `{name}`"))
        .help(format!("name one that exists: --{what} NAME"))
}

/// Where a host has no such table at all, the C library tells an error.
fn found<T>(what: &str, name: &str, found: nix::Result<Option<T>>) -> Result<Option<T>, Failure> {
    match found {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        Err(error) => {
            let message = format!("the {what} `{name}` cannot be looked up: {error}");
            Err(Failure::new(Exit::Internal, message))
        }
        Ok(found) => Ok(found),
    }
}
