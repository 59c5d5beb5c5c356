//! A rule denies reading: descriptors that others opened, and ways around names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::deeds;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::Case;
use super::file::{bytes, given_read, input, read, secret};

/// Descriptors from before the policy.
static KEPT: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

fn keep(at: &Path) -> io::Result<()> {
    let file = File::open(secret(at))?;
    KEPT.lock().map_err(|_| io::Error::other("poisoned"))?.insert(at.to_owned(), file);
    Ok(())
}

fn kept(at: &Path) -> io::Result<Stdio> {
    let mut kept = KEPT.lock().map_err(|_| io::Error::other("poisoned"))?;
    Ok(kept.remove(at).ok_or_else(|| io::Error::other("nothing was kept"))?.into())
}

/// A socket with a message that waits in it, which carries a descriptor of the file.
fn sent(at: &Path) -> io::Result<Stdio> {
    let kind = SocketType::STREAM;
    let (from, to) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    let file = File::open(secret(at))?;
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    with.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(&from, &[IoSlice::new(b"x")], &mut with, SendFlags::empty())?;
    Ok(to.into())
}

/// The descriptor that the message on standard input carries.
fn received() -> io::Result<File> {
    let socket: OwnedFd = input()?.into();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 1];
    recvmsg(&socket, &mut [IoSliceMut::new(&mut text)], &mut with, RecvFlags::empty())?;
    let mut files = with.drain().filter_map(|one| match one {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    let file = files.next().and_then(|mut files| files.next());
    file.map(File::from).ok_or_else(|| io::Error::other("no descriptor came"))
}

/// Opens through a link that another thread changes all the time, until the protected file was met.
fn race(at: &Path) -> io::Result<()> {
    let link = at.join("open/link");
    let (targets, ended) = ([at.join("open/f"), secret(at)], AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for target in targets.iter().cycle() {
                let next = at.join("open/next");
                let changed = symlink(target, &next).and_then(|()| fs::rename(&next, &link));
                if changed.is_err() || ended.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let met = loop {
            match fs::read(&link) {
                Ok(text) if text == b"secret\n" => break Ok(()),
                Err(error) if error.kind() != io::ErrorKind::NotFound => break Err(error),
                _ => {}
            }
        };
        ended.store(true, Ordering::Relaxed);
        met
    })
}

/// From Linux 6.14 on, reading asks only where a mark was when the file was opened.
const OPENED: &str = "what was opened before the first mark on its filesystem is read freely from \
                      Linux 6.14 on";

pub(super) const CASES: &[Case] = &[
    Case::new("passed", "a descriptor from before the rule", "no-read", |_| {
        bytes(input()?.read(&mut [0; 4])?)
    })
    .early(keep)
    .given(kept)
    .beyond(OPENED),
    Case::new("passed", "a descriptor over a socket", "no-read", |_| {
        bytes(received()?.read(&mut [0; 4])?)
    })
    .given(sent),
    Case::new("passed", "a descriptor, read through a ring", "no-read", |_| {
        bytes(deeds::ring_read(&input()?)?)
    })
    .given(given_read),
    Case::new("passed", "opened for a child", "no-read", |at| {
        let given = File::open(secret(at))?;
        let mut child = Command::new("/bin/busybox");
        let status = child.arg("cat").stdin(given).stdout(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("{status}"))) }
    }),
    Case::new("passed", "opened through a ring", "no-read", |at| {
        bytes(deeds::ring_open(&secret(at))?.read(&mut [0; 4])?)
    }),
    Case::new("passed", "opened by its handle", "no-read", |at| {
        deeds::open_by_handle(&secret(at), &File::open(at)?).map(drop)
    }),
    Case::new("passed", "the root of another process", "no-read", |at| {
        let mut other = Command::new("/bin/busybox").args(["sleep", "60"]).spawn()?;
        let by = format!("/proc/{}/root{}", other.id(), secret(at).display());
        let met = read(Path::new(&by));
        other.kill()?;
        other.wait()?;
        met
    }),
    Case::new("passed", "a symlink that changes while it is opened", "no-read", race).after(|at| {
        fs::write(secret(at), "secret\n")?;
        symlink(at.join("open/f"), at.join("open/link"))
    }),
];
