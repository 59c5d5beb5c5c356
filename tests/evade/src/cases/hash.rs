//! Rules know programs by what they hold: nothing else about a program counts, and all of it does.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::deeds::write_mapped;
use rustix::fs::{MemfdFlags, SealFlags};

use super::Case;
use super::exec::{execute, run};

const BUSYBOX: &str = "/bin/busybox";
/// A program that is listed, and one that is not, under names that scripts have.
const LISTED: &str = "bin/listed/true";
const OTHER: &str = "bin/other/true";
/// A script that says nothing of its directory.
const S: &[u8] = b"#!/bin/busybox true\n";
const SCRIPT: &[u8] = b"#!/lab/bin/listed/true\n";
const OTHER_SCRIPT: &[u8] = b"#!/lab/bin/other/true\n";
/// Why only LSM programs see it.
const UNNAMED: &str = "nobody is asked before a file that is in memory only is executed";
/// Bytes behind a program, which it does not know of.
const TAIL: usize = 8;
/// Runs of a program that is replaced meanwhile.
const RUNS: usize = 200;

/// A program that is told apart only by its last bytes.
fn program(tail: [u8; TAIL]) -> io::Result<Vec<u8>> {
    let mut bytes = fs::read(BUSYBOX)?;
    bytes.extend(tail);
    Ok(bytes)
}

/// What a rule denies.
fn e() -> io::Result<Vec<u8>> {
    program(*b"denied e")
}

fn listed() -> io::Result<Vec<u8>> {
    program(*b"listed e")
}

/// Names of hashes in the policy, and what has them.
pub(crate) fn named() -> io::Result<Vec<(&'static str, Vec<u8>)>> {
    Ok(vec![
        ("HASH_OF_E", e()?),
        ("HASH_OF_DENIED_SCRIPT", S.to_vec()),
        ("HASH_OF_LISTED", listed()?),
        ("HASH_OF_SCRIPT", SCRIPT.to_vec()),
        ("HASH_OF_OTHER_SCRIPT", OTHER_SCRIPT.to_vec()),
    ])
}

/// Programs that belong to no case.
pub(crate) fn furnish(lab: &Path) -> io::Result<()> {
    for program in [LISTED, OTHER] {
        let path = lab.join(program);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
    }
    put(&lab.join(LISTED), &listed()?)?;
    put(&lab.join(OTHER), &program(*b"another!")?)
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn at_e(at: &Path) -> PathBuf {
    at.join("open/e")
}

fn busybox(path: &Path) -> io::Result<()> {
    run(Command::new(path).arg0("busybox").arg("true"))
}

/// What must go through for whomever: its error is no denial.
fn must(done: io::Result<()>, what: &str) -> io::Result<()> {
    done.map_err(|error| io::Error::other(format!("{what}: {error}")))
}

/// Changes the last bytes of a file, where it is.
fn rewrite(path: &Path, tail: [u8; TAIL]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let end = file.metadata()?.len();
    file.write_all_at(&tail, end.saturating_sub(TAIL as u64))
}

/// The same by memory that shows the file.
fn remap(path: &Path, tail: [u8; TAIL]) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let end = file.metadata()?.len();
    write_mapped(&file, end.saturating_sub(TAIL as u64), &tail)
}

/// The last bytes become zeros, and nobody has the file open meanwhile.
fn cut(path: &Path) -> io::Result<()> {
    let whole = i64::try_from(fs::metadata(path)?.len()).map_err(io::Error::other)?;
    nix::unistd::truncate(path, whole - 8)?;
    nix::unistd::truncate(path, whole)?;
    Ok(())
}

/// What is listed runs; edited like this it does not.
fn edited(at: &Path, edit: fn(&Path) -> io::Result<()>) -> io::Result<()> {
    // Twice: the second time its hash may be remembered.
    must(busybox(&at_e(at)), "what is listed, first")?;
    must(busybox(&at_e(at)), "what is listed, again")?;
    edit(&at_e(at))?;
    busybox(&at_e(at))
}

/// A program in memory only, which nobody can change any more if that is asked for.
fn unnamed(bytes: &[u8], sealed: bool) -> io::Result<File> {
    let file = rustix::fs::memfd_create("program", MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    if sealed {
        let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, all)?;
    }
    Ok(file)
}

/// Runs a name under which two programs change places all the time. The one that is not listed says
/// so when it runs, by how it ends; the last denial is the error.
fn replaced(at: &Path) -> io::Result<()> {
    let (name, other, spare) = (at_e(at), at.join("open/other"), at.join("open/spare"));
    let over = AtomicBool::new(false);
    let mut denied = None;
    let mut ran = 0;
    let mut wrong = 0;
    std::thread::scope(|scope| {
        let swaps = scope.spawn(|| -> io::Result<()> {
            while !over.load(Ordering::Relaxed) {
                // There always is one of the two.
                let (from, to) = (&spare, &name);
                for program in [&other, &at.join("open/listed")] {
                    fs::hard_link(program, from)?;
                    fs::rename(from, to)?;
                }
            }
            Ok(())
        });
        for _ in 0..RUNS {
            let mut command = Command::new(&name);
            command.arg0("busybox").arg("true").stdin(Stdio::null());
            match command.stdout(Stdio::null()).stderr(Stdio::null()).status() {
                Ok(status) if status.success() => ran += 1,
                Ok(_) => wrong += 1,
                Err(error) => denied = Some(error),
            }
        }
        over.store(true, Ordering::Relaxed);
        swaps.join().unwrap_or_else(|_| Err(io::Error::other("the thread died")))
    })?;
    match denied {
        None if ran + wrong == RUNS && wrong > 0 => Ok(()),
        Some(error) if ran > 0 && wrong == 0 => Err(error),
        _ => Err(io::Error::other(format!("{ran} ran, {wrong} wrong, last denied {denied:?}"))),
    }
}

/// What a rule denies, and another one.
pub(super) fn programs(at: &Path) -> io::Result<()> {
    prepared(at)?;
    put(&at.join("open/other"), &listed()?)
}

fn prepared(at: &Path) -> io::Result<()> {
    put(&at_e(at), &e()?)
}

fn prepared_listed(at: &Path) -> io::Result<()> {
    put(&at_e(at), &listed()?)
}

pub(super) const CASES: &[Case] = &[
    Case::new("hash", "run", "no-hash", |at| busybox(&at_e(at))).after(prepared),
    Case::new("hash", "run a copy under another name", "no-hash", |at| {
        fs::copy(at_e(at), at.join("open/copy"))?;
        busybox(&at.join("open/copy"))
    })
    .after(prepared),
    Case::new("hash", "run once it is what the rule says", "no-hash", |at| {
        rewrite(&at_e(at), *b"not that")?;
        must(busybox(&at_e(at)), "what the rule does not say")?;
        must(busybox(&at_e(at)), "what the rule does not say, again")?;
        rewrite(&at_e(at), *b"denied e")?;
        busybox(&at_e(at))
    })
    .after(prepared),
    Case::new("hash", "a sealed file without a name", "no-hash", |_| {
        execute(&unnamed(&e()?, true)?)
    })
    .beyond(UNNAMED),
    Case::new("hash", "a file without a name", "no-hash", |_| execute(&unnamed(&e()?, false)?))
        .beyond(UNNAMED),
    Case::new("hash", "run a script", "no-hash", |at| run(&mut Command::new(at.join("open/s"))))
        .after(|at| put(&at.join("open/s"), S)),
    Case::new("hash", "as the interpreter of a script", "no-hash", |at| {
        run(&mut Command::new(at.join("open/s")))
    })
    .after(|at| {
        // Its name says what it is to do.
        let interpreter = at.join("open/true");
        put(&interpreter, &e()?)?;
        put(&at.join("open/s"), format!("#!{}\n", interpreter.display()).as_bytes())
    }),
    Case::new("hash", "a listed one, edited in place", "only-hashed", |at| {
        edited(at, |path| rewrite(path, *b"another!"))
    })
    .after(prepared_listed)
    .hashed(),
    Case::new("hash", "a listed one, edited by memory", "only-hashed", |at| {
        edited(at, |path| remap(path, *b"another!"))
    })
    .after(prepared_listed)
    .hashed(),
    Case::new("hash", "a listed one, edited by its size", "only-hashed", |at| edited(at, cut))
        .after(prepared_listed)
        .hashed(),
    Case::new("hash", "written after the rule", "only-hashed", |at| {
        put(&at.join("open/late"), &program(*b"late one")?)?;
        busybox(&at.join("open/late"))
    })
    .hashed(),
    Case::new("hash", "replaced while it is run", "only-hashed", replaced)
        .after(|at| {
            prepared_listed(at)?;
            put(&at.join("open/listed"), &listed()?)?;
            fs::copy("/proc/self/exe", at.join("open/other")).map(drop)
        })
        .hashed(),
    Case::new("hash", "what is listed in a file that can be written", "only-hashed", |_| {
        execute(&unnamed(&listed()?, false)?)
    })
    .beyond(UNNAMED)
    .hashed(),
    Case::new("hash", "a listed script of another interpreter", "only-hashed", |at| {
        must(run(&mut Command::new(at.join("open/s"))), "a listed script of a listed interpreter")?;
        run(&mut Command::new(at.join("open/other")))
    })
    .after(|at| {
        put(&at.join("open/s"), SCRIPT)?;
        put(&at.join("open/other"), OTHER_SCRIPT)
    })
    .hashed(),
];
