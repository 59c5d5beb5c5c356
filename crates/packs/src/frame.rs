//! A pack in one file (`NAME.kpack`).
//!
//! ```text
//! magic (8)  version (4)  bytes of the manifest (4)  number of signatures (4)  bytes of each (4 …)
//! manifest   signatures   the files in the order of the manifest, nothing between and after
//! ```
//!
//! Numbers are little-endian. There are no names, no offsets and no compression: the sizes of the
//! files are in the manifest, which is read only when its signature was found to be good. So all
//! that a stranger's bytes meet is a slice that is cut at numbers which were compared with limits.

use crate::code::{Code, Refusal};
use crate::limits::{MAX_MANIFEST, MAX_PACK, MAX_SIGNATURE, MAX_SIGNATURES};

/// How a pack begins: not text, and broken by whatever changes line ends.
pub(crate) const MAGIC: &[u8; 8] = b"\x89KPACK\r\n";
const VERSION: u32 = 1;

/// The parts of a file, none of them looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) manifest: &'a [u8],
    pub(crate) signatures: Vec<&'a [u8]>,
    /// The files, one after the other.
    pub(crate) files: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Cuts a file; `place` is what it is called in a refusal.
    pub(crate) fn read(place: &str, bytes: &'a [u8]) -> Result<Frame<'a>, Refusal> {
        if bytes.len() as u64 > MAX_PACK {
            let what = format!("more than {MAX_PACK} bytes");
            return Err(Refusal::new(Code::TooLarge, place, what));
        }
        let mut rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| Refusal::new(Code::NotAPack, place, "does not begin as packs do"))?;
        let version = number(place, &mut rest)?;
        if version != VERSION {
            let what = format!("version {version}, known is {VERSION}");
            return Err(Refusal::new(Code::Format, place, what));
        }
        let manifest = number(place, &mut rest)?;
        bounded(place, "bytes of the manifest", manifest, MAX_MANIFEST, Code::TooLarge)?;
        let count = number(place, &mut rest)?;
        bounded(place, "signatures", count, MAX_SIGNATURES as u64, Code::TooMany)?;
        let mut sizes = Vec::new();
        for _ in 0..count {
            let size = number(place, &mut rest)?;
            bounded(place, "bytes of a signature", size, MAX_SIGNATURE, Code::TooLarge)?;
            sizes.push(size);
        }
        let manifest = cut(place, &mut rest, manifest)?;
        let signatures: Result<_, _> =
            sizes.into_iter().map(|size| cut(place, &mut rest, size)).collect();
        Ok(Frame { manifest, signatures: signatures?, files: rest })
    }

    /// Puts the parts together. A part above its limit is refused.
    pub(crate) fn write(&self, place: &str) -> Result<Vec<u8>, Refusal> {
        let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX);
        let count = u32::try_from(self.signatures.len()).unwrap_or(u32::MAX);
        let mut bytes = MAGIC.to_vec();
        for number in [VERSION, length(self.manifest), count] {
            bytes.extend(number.to_le_bytes());
        }
        for signature in &self.signatures {
            bytes.extend(length(signature).to_le_bytes());
        }
        bytes.extend(self.manifest);
        self.signatures.iter().for_each(|signature| bytes.extend(*signature));
        bytes.extend(self.files);
        // What could not be read again is not written.
        Frame::read(place, &bytes)?;
        Ok(bytes)
    }
}

fn number(place: &str, rest: &mut &[u8]) -> Result<u32, Refusal> {
    let (bytes, after) = rest.split_first_chunk().ok_or_else(|| short(place))?;
    *rest = after;
    Ok(u32::from_le_bytes(*bytes))
}

fn bounded(place: &str, what: &str, count: u32, limit: u64, code: Code) -> Result<(), Refusal> {
    if u64::from(count) > limit {
        return Err(Refusal::new(code, place, format!("{count} {what}, the limit is {limit}")));
    }
    Ok(())
}

fn cut<'a>(place: &str, rest: &mut &'a [u8], size: u32) -> Result<&'a [u8], Refusal> {
    let at = usize::try_from(size).unwrap_or(usize::MAX);
    let (part, after) = rest.split_at_checked(at).ok_or_else(|| short(place))?;
    *rest = after;
    Ok(part)
}

fn short(place: &str) -> Refusal {
    Refusal::new(Code::Truncated, place, "it ends within what its beginning announces")
}
