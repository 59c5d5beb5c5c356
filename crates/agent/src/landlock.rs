//! Where in the file system a process may read and write, whatever its user may (Landlock), beside the
//! lists of system calls: those see no paths.
//!
//! A kernel without Landlock runs the agent all the same; the status says so.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::seccomp::Kind;
use crate::worker;

/// What is asked of the kernel; an older one does as much of it as it can.
const ABI_MAX: ABI = ABI::V6;
/// What they read of the host: names of users and time zones, rules of packages, processes, cgroups.
const HOST: &[&str] = &["/etc", "/usr", "/proc", "/sys"];

/// What a process may still reach.
#[derive(Debug, Default)]
struct Reach {
    reads: Vec<PathBuf>,
    writes: Vec<PathBuf>,
    /// Whether it makes connections.
    network: bool,
}

/// Confines the calling thread, and all that it starts: a process that reads rules. The worker keeps what it
/// keeps in its own directory, and has the guard open what operators name; the others look for
/// themselves and keep nothing. The version of Landlock that holds; none if the kernel has none.
pub(crate) fn reader_of_rules(args: &RunArgs, kind: Kind) -> Result<Option<u32>, Failure> {
    let mut reach = Reach { reads: HOST.iter().map(PathBuf::from).collect(), ..Reach::default() };
    if kind == Kind::Worker {
        reach.writes.push(args.state_dir.clone());
    } else {
        reach.reads.push(args.state_dir.clone());
        reach.reads.extend(worker::read_places(args));
    }
    hold(&reach)
}

/// The same for a process that runs as nobody.
pub(crate) fn nobody(kind: Kind) -> Result<Option<u32>, Failure> {
    let asks = matches!(kind, Kind::Resolve | Kind::Post | Kind::Sender);
    // Where the modules of the resolver look is the host's business.
    let reads = if asks { vec!["/".into()] } else { Vec::new() };
    hold(&Reach { reads, writes: Vec::new(), network: asks })
}

fn hold(reach: &Reach) -> Result<Option<u32>, Failure> {
    restrict(reach).map_err(|error| {
        let message = format!("cannot confine a process by Landlock: {error}");
        Failure::new(Exit::Internal, message).help("without `--seccomp` the agent runs unconfined")
    })
}

fn restrict(reach: &Reach) -> Result<Option<u32>, RulesetError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(ABI_MAX))?;
    if !reach.network {
        rules = rules.handle_access(AccessNet::from_all(ABI_MAX))?;
    }
    let held = rules
        .scope(Scope::from_all(ABI_MAX))?
        .create()?
        .add_rules(path_beneath_rules(existing(&reach.reads), reading))?
        .add_rules(path_beneath_rules(existing(&reach.writes), reading | changing()))?
        .restrict_self()?;
    Ok(match held.landlock {
        LandlockStatus::Available { effective_abi, .. } => Some(effective_abi as u32),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => None,
    })
}

/// Files and directories are made, written, renamed and removed; no devices, no links, no programs.
fn changing() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

/// What is there; who is given a name that leads nowhere is told by whoever opens it.
fn existing(paths: &[PathBuf]) -> impl Iterator<Item = &Path> {
    paths.iter().map(PathBuf::as_path).filter(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::TcpListener;
    use std::process::Command;

    /// What becomes of a try.
    type Outcome = Result<(), ErrorKind>;

    /// All tries, by name, in a thread that is confined or not.
    fn tries(confined: bool, scratch: &Path) -> Option<Vec<(&'static str, Outcome)>> {
        let (inside, outside) = (scratch.join("state"), scratch.join("other"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        let reach = Reach {
            reads: vec![scratch.join("rules")],
            writes: vec![inside.clone()],
            network: false,
        };
        let all = move || {
            if confined {
                hold(&reach).unwrap()?;
            }
            let told = |result: std::io::Result<()>| result.map_err(|error| error.kind());
            let write = |place: &Path| std::fs::write(place.join("new"), "x");
            let read = |place: &Path| std::fs::read(place.join("old")).map(drop);
            let listen = || TcpListener::bind("127.0.0.1:0").map(drop);
            let connect = || std::net::TcpStream::connect(address).map(drop);
            Some(vec![
                ("its state", told(write(&inside))),
                ("its rules", told(read(&scratch.join("rules")))),
                ("changed rules", told(write(&scratch.join("rules")))),
                ("another's file", told(read(&outside))),
                ("a file beside", told(write(&outside))),
                ("a program", told(Command::new("/bin/true").status().map(drop))),
                ("a port", told(listen())),
                ("a connection", told(connect())),
            ])
        };
        std::thread::scope(|scope| scope.spawn(all).join().unwrap())
    }

    #[test]
    fn a_confined_thread_reads_its_rules_writes_its_state_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["state", "rules", "other"] {
            std::fs::create_dir(scratch.path().join(name)).unwrap();
            std::fs::write(scratch.path().join(name).join("old"), "x").unwrap();
        }
        let free = tries(false, scratch.path()).unwrap();
        assert!(free.iter().all(|(_, outcome)| outcome.is_ok()), "the control: {free:?}");
        let Some(held) = tries(true, scratch.path()) else {
            println!("SKIP a_confined_thread_…: this kernel has no Landlock");
            return;
        };
        let refused = |name: &str| held.iter().find(|one| one.0 == name).unwrap().1;
        for name in ["its state", "its rules"] {
            assert_eq!(refused(name), Ok(()), "{name}");
        }
        for name in ["changed rules", "another's file", "a file beside", "a program"] {
            assert_eq!(refused(name), Err(ErrorKind::PermissionDenied), "{name}");
        }
        // Ports came with version 4.
        if hold(&Reach { reads: vec!["/".into()], writes: vec!["/".into()], network: true })
            .unwrap()
            .is_some_and(|version| version >= 4)
        {
            for name in ["a port", "a connection"] {
                assert_eq!(refused(name), Err(ErrorKind::PermissionDenied), "{name}");
            }
        }
    }
}
