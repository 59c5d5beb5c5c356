//! Fields of what is acted on: files, addresses, names that are looked up.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::field::{self, FieldId};
use model::names;
use model::op::Kind;
use model::value::Value;
use model::wire::{Body, PROVIDER_FANOTIFY, RecFile, RecNet};

use super::{View, id, integer, list, nonzero, push_bits, text, word};
use crate::process::base_name;
use crate::scratch::Made;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// Access mode bits of an open: anything but `O_RDONLY`.
const O_WRITE: u32 = 0o3;
const SET_ID_BITS: u32 = 0o6000;

impl View<'_> {
    /// `file.`, `source.`, `destination.`, `network.` and `dns.`
    pub(super) fn object(&self, field: FieldId) -> Value<'_> {
        match self.record.body() {
            Body::File(file) => self.of_file(field, file),
            Body::Net(net) => self.of_net(field, net),
            _ => Value::Null,
        }
    }

    fn of_file(&self, field: FieldId, file: &RecFile) -> Value<'_> {
        let path = self.record.bytes(file.path);
        let moves = matches!(self.kind(), Kind::Rename | Kind::Link | Kind::Mount);
        let old = if moves { self.record.bytes(file.old_path) } else { &[] };
        // A source that knows the inode's attributes always knows the type in the mode.
        let known = |value| if file.mode == 0 { Value::Null } else { value };
        match field {
            field::FILE_PATH => text(path),
            field::FILE_NAME => text(base_name(path)),
            field::FILE_DIRECTORY => text(directory(path)),
            field::FILE_EXTENSION => text(extension(path)),
            field::FILE_TYPE => word(names::file_type(file.mode)),
            field::FILE_INODE => nonzero(file.ino),
            field::FILE_SIZE => known(integer(file.size)),
            field::FILE_MODE => known(integer(u64::from(file.mode & 0o7777))),
            field::FILE_EXT_SETUID => known(Value::Bool(file.mode & SET_ID_BITS != 0)),
            field::FILE_UID => known(id(file.uid)),
            field::FILE_GID => known(id(file.gid)),
            field::FILE_EXT_ORIGINAL_PATH => text(old),
            field::FILE_EXT_ORIGINAL_NAME => text(base_name(old)),
            field::FILE_EXT_ORIGINAL_EXTENSION => text(extension(old)),
            field::FILE_EXT_CHANGED if self.kind() == Kind::Attr => {
                list(self.scratch.made(Made::FileChanged, |buffer| {
                    push_bits(buffer, file.changed.into(), names::ATTRIBUTES);
                }))
            }
            field::FILE_EXT_OPEN_WRITE if self.kind() == Kind::Open => {
                // fanotify does not tell how a file was opened.
                if u32::from(self.header.provider) == PROVIDER_FANOTIFY {
                    return Value::Null;
                }
                Value::Bool(file.open_flags & O_WRITE != 0)
            }
            field::FILE_EXT_FILESYSTEM if matches!(self.kind(), Kind::Mount | Kind::Umount) => {
                text(self.record.bytes(file.name))
            }
            _ => Value::Null,
        }
    }

    fn of_net(&self, field: FieldId, net: &RecNet) -> Value<'_> {
        let kind = self.kind();
        let local = End { ip: address(net.family, net.saddr), port: net.sport };
        let remote = End { ip: address(net.family, net.daddr), port: net.dport };
        // A socket that waits may wait on all addresses; elsewhere that means not known yet.
        let waits = matches!(kind, Kind::Bind | Kind::Listen);
        let local = if waits { local } else { local.specified() };
        let remote = remote.specified();
        let (source, destination) =
            if kind == Kind::Accept { (remote, local) } else { (local, remote) };
        match field {
            field::SOURCE_IP => source.ip.map_or(Value::Null, Value::Ip),
            field::SOURCE_PORT => nonzero(source.port.into()),
            field::SOURCE_ADDRESS => self.address(Made::SourceAddress, source),
            field::DESTINATION_IP => destination.ip.map_or(Value::Null, Value::Ip),
            field::DESTINATION_PORT => nonzero(destination.port.into()),
            field::DESTINATION_ADDRESS => self.address(Made::DestinationAddress, destination),
            field::NETWORK_DIRECTION => match kind {
                Kind::Connect | Kind::Send | Kind::Dns => Value::str("egress"),
                Kind::Accept => Value::str("ingress"),
                _ => Value::Null,
            },
            field::NETWORK_TRANSPORT => word(names::transport(net.protocol)),
            field::NETWORK_TYPE => match source.ip.or(destination.ip) {
                Some(IpAddr::V4(_)) => Value::str("ipv4"),
                Some(IpAddr::V6(_)) => Value::str("ipv6"),
                None => Value::Null,
            },
            field::DNS_QUESTION_NAME if kind == Kind::Dns => text(self.record.bytes(net.name)),
            field::DNS_QUESTION_TYPE if kind == Kind::Dns => word(names::dns_type(net.dns_type)),
            _ => Value::Null,
        }
    }

    fn address(&self, made: Made, end: End) -> Value<'_> {
        let Some(ip) = end.ip else { return Value::Null };
        text(self.scratch.made(made, |buffer| {
            // Writing to memory cannot fail.
            write!(buffer, "{ip}").unwrap_or_default();
        }))
    }
}

/// One end of a connection.
#[derive(Clone, Copy)]
struct End {
    ip: Option<IpAddr>,
    port: u16,
}

impl End {
    fn specified(self) -> End {
        End { ip: self.ip.filter(|ip| !ip.is_unspecified()), ..self }
    }
}

/// IPv4 that an IPv6 socket carries is shown as what it is.
fn address(family: u16, bytes: [u8; 16]) -> Option<IpAddr> {
    match family {
        AF_INET => {
            let four = bytes.first_chunk::<4>().copied()?;
            Some(IpAddr::V4(Ipv4Addr::from(four)))
        }
        AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()),
        _ => None,
    }
}

/// What precedes the last slash; the root keeps its own.
fn directory(path: &[u8]) -> &[u8] {
    match memchr::memrchr(b'/', path) {
        Some(0) => path.get(..1).unwrap_or_default(),
        Some(at) => path.get(..at).unwrap_or_default(),
        None => &[],
    }
}

/// What follows the last dot of the last component; empty if there is no dot.
fn extension(path: &[u8]) -> &[u8] {
    let name = base_name(path);
    let dot = memchr::memrchr(b'.', name);
    dot.and_then(|dot| name.get(dot + 1..)).unwrap_or_default()
}
