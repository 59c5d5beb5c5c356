//! What the event was about that completed a match: what is moved aside or denied.

use std::net::SocketAddr;

use model::wire::PATH_MAX_BYTES;

use super::{ProtoError, Reader, put_len};

/// Bytes of an address with its port, as text.
const PEER_MAX: usize = 64;

/// The object of an event. Paths are bytes: a name that is no text must not be a way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    /// None that is known.
    None,
    /// A file.
    File {
        /// Its path.
        path: Vec<u8>,
        /// Its inode, 0 if it is not known.
        inode: u64,
        /// Path of the program that acted on it; empty if it is not known.
        by: Vec<u8>,
    },
    /// Another host.
    Peer(SocketAddr),
    /// The program that the process executes.
    Program(Vec<u8>),
}

impl Object {
    /// Adds it to a message.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Object::None => out.push(0),
            Object::File { path, inode, by } => {
                out.push(1);
                out.extend(inode.to_le_bytes());
                put_bytes(out, path);
                put_bytes(out, by);
            }
            Object::Peer(peer) => {
                out.push(2);
                put_bytes(out, peer.to_string().as_bytes());
            }
            Object::Program(path) => {
                out.push(3);
                put_bytes(out, path);
            }
        }
    }

    /// Takes it out of a message, each field checked.
    pub(super) fn take(reader: &mut Reader<'_>) -> Result<Object, ProtoError> {
        match reader.byte()? {
            0 => Ok(Object::None),
            1 => {
                let inode = u64::from_le_bytes(reader.number()?);
                let path = path(reader)?.ok_or(ProtoError::Field("path"))?;
                let by = self::path(reader)?.unwrap_or_default();
                Ok(Object::File { path, inode, by })
            }
            2 => {
                let text = reader.text(PEER_MAX, "peer")?;
                text.parse().map(Object::Peer).map_err(|_| ProtoError::Field("peer"))
            }
            3 => path(reader)?.map(Object::Program).ok_or(ProtoError::Field("path")),
            _ => Err(ProtoError::Field("object")),
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend(bytes);
}

/// A path from the root; none if it is empty.
fn path(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, ProtoError> {
    let len = reader.len(PATH_MAX_BYTES as usize, "path")?;
    match reader.take(len)? {
        [] => Ok(None),
        path if path.starts_with(b"/") && !path.contains(&0) => Ok(Some(path.to_vec())),
        _ => Err(ProtoError::Field("path")),
    }
}
