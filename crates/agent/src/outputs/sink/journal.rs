//! journald, by its native protocol: an entry is a datagram of fields; one that is too large for that is a sealed file
//! in memory whose descriptor is sent.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::{Refusal, Sent, Sink};
use crate::outputs::item::{Form, Item, syslog_severity};
use crate::outputs::target::Target;

/// Fields of an entry, and where in an alert they come from.
const FIELDS: &[(&str, &str)] = &[
    ("AEGISBPF_RULE", "/rule/id"),
    ("AEGISBPF_SEVERITY", "/severity"),
    ("AEGISBPF_ACTION", "/event/action"),
    ("AEGISBPF_KIND", "/event/kind"),
    ("AEGISBPF_EXECUTABLE", "/process/executable"),
    ("AEGISBPF_ENTITY_ID", "/process/entity_id"),
    ("AEGISBPF_USER", "/user/name"),
    ("AEGISBPF_CONTAINER", "/container/id"),
];
/// What journald must accept as a whole; nobody may change it afterwards.
const SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE).union(SealFlags::SEAL);

/// The socket of journald.
#[derive(Debug)]
pub(super) struct Journal {
    path: String,
    form: Form,
    open: Option<UnixDatagram>,
}

impl Journal {
    pub(super) fn new(target: &Target) -> Journal {
        Journal { path: target.address.clone(), form: target.form, open: None }
    }

    fn put(&mut self, item: &Item) -> std::io::Result<()> {
        let socket = match self.open.take() {
            Some(socket) => socket,
            None => connect(&self.path)?,
        };
        let entry = entry(item, self.form);
        match socket.send(&entry) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => {
                hand(&socket, &entry)?;
            }
            // A journald that was started again has another socket: the next try finds it.
            Err(error) => return Err(error),
        }
        self.open = Some(socket);
        Ok(())
    }
}

impl Sink for Journal {
    fn send(&mut self, items: &[Item]) -> Sent {
        Sent::each(items, |item| {
            let put = self.put(item).or_else(|_| self.put(item));
            put.map_err(|error| Refusal::Later(format!("{}: {error}", self.path)))
        })
    }
}

fn connect(path: &str) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    // A journal that cannot keep up must not hold the thread for ever.
    socket.set_write_timeout(Some(std::time::Duration::from_secs(10)))?;
    Ok(socket)
}

fn entry(item: &Item, form: Form) -> Vec<u8> {
    let mut entry = Vec::new();
    let priority = syslog_severity(item).to_string();
    let form = form.of(item);
    let message = item.text("/message").unwrap_or("alert");
    for (name, value) in [
        ("MESSAGE", message),
        ("PRIORITY", priority.as_str()),
        ("SYSLOG_IDENTIFIER", "aegisbpf"),
        ("AEGISBPF_ID", item.id.as_str()),
        ("AEGISBPF_DOCUMENT", form.as_str()),
    ] {
        field(&mut entry, name, value);
    }
    for (name, pointer) in FIELDS {
        if let Some(value) = item.text(pointer) {
            field(&mut entry, name, value);
        }
    }
    if let Some(pid) = item.document.get("process").and_then(|process| process.get("pid")) {
        field(&mut entry, "AEGISBPF_PID", &pid.to_string());
    }
    entry
}

/// A value is told with its length: nothing in it can look like another field.
fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend(name.as_bytes());
    entry.push(b'\n');
    entry.extend((value.len() as u64).to_le_bytes());
    entry.extend(value.as_bytes());
    entry.push(b'\n');
}

/// Hands over the descriptor of a file in memory.
fn hand(socket: &UnixDatagram, entry: &[u8]) -> std::io::Result<()> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory: OwnedFd = rustix::fs::memfd_create("aegisbpf-alert", flags)?;
    let mut file = std::fs::File::from(memory);
    file.write_all(entry)?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [file.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&[])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}
