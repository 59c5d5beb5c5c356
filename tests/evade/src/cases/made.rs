//! A rule denies reading what a program made: whatever becomes of the file, and however it was made.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::mount::{MsFlags, mount, umount};
use nix::sys::stat::Mode;
use rustix::fs::{AtFlags, CWD, MemfdFlags, OFlags};

use super::Case;
use super::disk::{HOST, busybox};
use super::exec::run;
use super::file::{bytes, input, read};
use super::layered::overlay;
use crate::lab::{FREE, MAKER, TOUCHER};

/// A filesystem whose files the kernel forgets, and what it lies on; without such the case is absent.
const DISK_BYTES: usize = 1 << 20;
/// Files that are made while policies are replaced, at most.
const MANY: usize = 5_000;
/// Between two of them: several come in each replacement.
const PAUSE: Duration = Duration::from_millis(2);

fn made(at: &Path) -> PathBuf {
    at.join("open/made")
}

/// Has the program make something whose files are told apart.
pub(crate) fn have(what: &str, at: &Path) -> io::Result<()> {
    let mut command = Command::new(MAKER);
    let done = command.args(["make", what]).arg(at).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    if done.status.success() { Ok(()) } else { Err(io::Error::other(format!("{what}: {said}"))) }
}

/// `evade make WHAT DIRECTORY`: what the program makes.
pub(crate) fn make(what: &str, at: &Path) -> io::Result<()> {
    let mode = Mode::from_bits_truncate(0o644);
    match what {
        "file" => fs::write(made(at), "text\n"),
        "directory" => fs::create_dir(made(at)),
        "pipe" => Ok(nix::unistd::mkfifo(&made(at), mode)?),
        "unnamed" => {
            let mut options = OpenOptions::new();
            let flags = i32::try_from(OFlags::TMPFILE.bits()).map_err(io::Error::other)?;
            let mut file = options.write(true).custom_flags(flags).open(at.join("open"))?;
            file.write_all(b"text\n")?;
            let name = format!("/proc/self/fd/{}", file.as_raw_fd());
            Ok(rustix::fs::linkat(CWD, name, CWD, made(at), AtFlags::SYMLINK_FOLLOW)?)
        }
        "memory" => {
            let mut file = File::from(rustix::fs::memfd_create("made", MemfdFlags::empty())?);
            file.write_all(b"text\n")?;
            println!("{}", file.as_raw_fd());
            io::stdin().lines().next();
            Ok(())
        }
        "program" => fs::copy("/bin/busybox", made(at)).map(drop),
        "child" => {
            let mut command = Command::new("/bin/busybox");
            let status = command.arg("cp").arg(at.join("open/f")).arg(made(at)).status()?;
            if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
        }
        "many" => {
            println!("ready");
            let over = std::thread::spawn(|| io::stdin().lines().next());
            for number in 0..MANY {
                if over.is_finished() {
                    break;
                }
                fs::write(at.join(number.to_string()), "text\n")?;
                std::thread::sleep(PAUSE);
            }
            over.join().map(drop).map_err(|_| io::Error::other("the thread died"))
        }
        "all" => {
            let mut number = 0_u32;
            while let Ok(()) = fs::write(at.join(number.to_string()), "text\n") {
                number += 1;
            }
            let last = fs::write(at.join(number.to_string()), "text\n");
            println!("{}", last.err().and_then(|error| error.raw_os_error()).unwrap_or_default());
            Ok(())
        }
        other => Err(io::Error::other(format!("nothing is called {other}"))),
    }
}

/// `evade tally DIRECTORY`: of how many files reading is denied, and how many are read.
pub(crate) fn tally(at: &Path) -> io::Result<()> {
    let (mut denied, mut went) = (0, 0);
    for entry in fs::read_dir(at)? {
        match File::open(entry?.path()) {
            Ok(_) => went += 1,
            Err(error) if error.raw_os_error() == Some(1) => denied += 1,
            Err(error) => return Err(error),
        }
    }
    println!("{denied} {went}");
    Ok(())
}

/// What is not denied to whomever: its error is no denial.
fn must(path: &Path) -> io::Result<()> {
    read(path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

/// A file that is in the memory of the program only.
fn in_memory(_: &Path) -> io::Result<Stdio> {
    let mut command = Command::new(MAKER);
    command.args(["make", "memory", "/"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut line = String::new();
    let out = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    BufReader::new(out).read_line(&mut line)?;
    let file = File::open(format!("/proc/{}/fd/{}", child.id(), line.trim()))?;
    drop(child.stdin.take());
    child.wait()?;
    Ok(file.into())
}

/// The device of a directory: two cases need one, for two processes each. They stay, as the guest goes.
fn device(at: &Path) -> &'static str {
    let name = at.to_string_lossy();
    match (name.contains("mounted"), name.ends_with("-covered")) {
        (false, false) => "/dev/loop1",
        (false, true) => "/dev/loop2",
        (true, false) => "/dev/loop3",
        (true, true) => "/dev/loop4",
    }
}

fn mount_disk(at: &Path) -> io::Result<()> {
    let device = Some(device(at));
    Ok(mount(device, &at.join("open"), Some("ext2"), MsFlags::empty(), None::<&str>)?)
}

/// What the program made on a disk, of which then nothing is left in memory.
fn on_disk(at: &Path, forget: fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let device = device(at);
    if !Path::new(device).exists() {
        return Ok(());
    }
    let image = Path::new("/tmp").join(at.file_name().unwrap_or_default());
    fs::write(&image, vec![0; DISK_BYTES])?;
    busybox(&["losetup", device, &image.to_string_lossy()])?;
    busybox(&["mke2fs", device])?;
    mount_disk(at)?;
    have("file", at)?;
    fs::write(at.join("open/other"), "text\n")?;
    rustix::fs::sync();
    forget(at)
}

fn mount_again(at: &Path) -> io::Result<()> {
    umount(&at.join("open"))?;
    mount_disk(at)
}

fn drop_caches(_: &Path) -> io::Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "3")
}

fn read_disk(at: &Path) -> io::Result<()> {
    if !Path::new(device(at)).exists() {
        return Err(io::Error::from_raw_os_error(19));
    }
    must(&at.join("open/other"))?;
    read(&made(at))
}

pub(super) const CASES: &[Case] = &[
    Case::new("made", "open", "no-made", |at| {
        for name in ["f", "copy", "again"] {
            must(&at.join("open").join(name))?;
        }
        read(&made(at))
    })
    .after(|at| {
        // What another makes under the same name is another's; so is a copy.
        have("file", at)?;
        fs::remove_file(made(at))?;
        fs::write(made(at), "text\n")?;
        fs::rename(made(at), at.join("open/again"))?;
        have("file", at)?;
        fs::copy(made(at), at.join("open/copy")).map(drop)
    }),
    Case::new("made", "renamed by another", "no-made", |at| read(&at.join("open/moved"))).after(
        |at| {
            have("file", at)?;
            fs::rename(made(at), at.join("open/moved"))
        },
    ),
    Case::new("made", "another name by another", "no-made", |at| read(&at.join("open/linked")))
        .after(|at| {
            have("file", at)?;
            fs::hard_link(made(at), at.join("open/linked"))?;
            fs::remove_file(made(at))
        }),
    Case::new("made", "written anew by another", "no-made", |at| read(&made(at))).after(|at| {
        have("file", at)?;
        fs::write(made(at), "other text\n")
    }),
    Case::new("made", "moved with its directory", "no-made", |at| {
        read(&at.join("listed/moved/made"))
    })
    .after(|at| {
        have("file", at)?;
        fs::rename(at.join("open"), at.join("listed/moved"))
    }),
    Case::new("made", "without a name, then a name", "no-made", |at| read(&made(at)))
        .after(|at| have("unnamed", at)),
    Case::new("made", "in memory only", "no-made", |_| {
        bytes(io::Read::read(&mut input()?, &mut [0; 4])?)
    })
    .given(in_memory),
    Case::new("made", "by a child of its maker", "no-made", |at| read(&made(at)))
        .after(|at| have("child", at)),
    Case {
        actors: [TOUCHER, FREE],
        ..Case::new("made", "run", "no-made-run", |at| {
            run(Command::new(made(at)).arg0("busybox").arg("true"))
        })
    }
    .after(|at| have("program", at)),
    Case::new("made", "a directory", "no-made", |at| fs::read_dir(made(at)).map(drop))
        .after(|at| have("directory", at)),
    Case::new("made", "a pipe", "no-made", |at| {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        OpenOptions::new().read(true).custom_flags(flags).open(made(at)).map(drop)
    })
    .after(|at| have("pipe", at)),
    Case::new("made", "through an overlay", "no-made", |at| read(&made(at))).after(|at| {
        overlay(&at.join("listed"), at)?;
        let merged = at.join("merged");
        mount(Some(&merged), &at.join("open"), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        have("file", at)
    }),
    Case::new("made", "below an overlay", "no-made", |at| read(&at.join("changed/made"))).after(
        |at| {
            overlay(&at.join("listed"), at)?;
            let merged = at.join("merged");
            mount(Some(&merged), &at.join("open"), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            have("file", at)
        },
    ),
    Case::new("made", "when the kernel has forgotten its inode", "no-made", read_disk)
        .after(|at| on_disk(at, drop_caches))
        .guest(HOST),
    Case::new("made", "when its filesystem was mounted again", "no-made", read_disk)
        .after(|at| on_disk(at, mount_again))
        .guest(HOST),
];
