//! The bytes of a file: digests and copies whose cost is what the file has on disk, not its length.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, ftruncate, seek};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::record::hex;

/// Piece that is read at once; a piece without a byte but zeros is the same as a hole.
const BLOCK: usize = 64 << 10;

/// SHA-256 of the length of a file and of each block of 64 KiB that is not all zeros, with its place
/// before it. So it is the same whether zeros are stored or a hole, and a file of a terabyte that has
/// one page costs one page: nobody keeps us busy by making a file longer.
pub(super) fn digest(file: &File) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let length = file.metadata()?.len();
    hash.update(length.to_le_bytes());
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    let mut sparse = true;
    while at < length {
        if sparse {
            let Some(data) = next_data(file, at)? else { break };
            at = data - data % BLOCK as u64;
        }
        let read = read_at(file, &mut block, at)?;
        let Some(bytes) = block.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        sparse = bytes.iter().all(|byte| *byte == 0);
        if !sparse {
            hash.update(at.to_le_bytes());
            hash.update(bytes);
        }
        at += BLOCK as u64;
    }
    Ok(hex(&hash.finalize()))
}

/// Copies a file into an empty one; what is a hole there is one here.
pub(super) fn copy(from: &File, to: &File) -> std::io::Result<()> {
    let length = from.metadata()?.len();
    ftruncate(to, length)?;
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    while let Some(data) = next_data(from, at)? {
        at = data;
        let end = match seek(from, SeekFrom::Hole(data)) {
            Ok(end) => end.min(length),
            Err(Errno::INVAL | Errno::NXIO) => length,
            Err(error) => return Err(error.into()),
        };
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
            let room = block.get_mut(..most).unwrap_or_default();
            let read = read_at(from, room, at)?;
            if read == 0 {
                return Ok(());
            }
            to.write_all_at(room.get(..read).unwrap_or_default(), at)?;
            at += read as u64;
        }
        if at >= length {
            break;
        }
    }
    Ok(())
}

/// Where the next data is, from a place on; a filesystem that knows no holes has data everywhere.
fn next_data(file: &File, at: u64) -> std::io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL) => Ok(Some(at)),
        Err(error) => Err(error.into()),
    }
}

/// Reads until the block is full or the file ends.
fn read_at(file: &File, block: &mut [u8], at: u64) -> std::io::Result<usize> {
    let mut read = 0;
    while let Some(room) = block.get_mut(read..).filter(|room| !room.is_empty()) {
        match file.read_at(room, at + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
