//! `kestrel pack sign`
//!
//! The bytes that are signed are those of a manifest whose files were compared with it first: nobody
//! signs what is not there.

use std::io::{self, Cursor, Write};
use std::path::Path;

use base64ct::{Base64, Encoding};
use minisign::{PublicKey, SecretKey, SecretKeyBox};
use packs::{
    Bundle, Code, Compiled, Judge, Level, Purpose, Refusal, Ring, Trust, Untrusted, Verified,
    limits,
};

use super::build::replace;
use super::cli::With;
use super::{complain, engine};
use crate::output::{Status, style};

/// What the line of a minisign signature says that is not signed.
const COMMENT: &str = "kestrel pack";
/// How a secret key without a password names the function that makes a key of one.
const NO_PASSWORD: [u8; 2] = [0, 0];

/// Signs a directory (one file more) or a file (which is replaced).
pub(super) fn run(pack: &Path, with: &With) -> io::Result<Status> {
    let made = own(pack).and_then(|own| {
        let bytes = signature(&own, with).map_err(|one| vec![one])?;
        let (name, text) = packs::signature_file(&bytes).map_err(|one| vec![one])?;
        if pack.is_dir() {
            return Ok((pack.join(name), text.into_bytes()));
        }
        let whole = own.to_file_with(text.as_bytes()).map_err(|one| vec![one])?;
        Ok((pack.to_owned(), whole))
    });
    match made {
        Err(refused) => Ok(complain(&refused)),
        Ok((path, bytes)) => {
            replace(&path, &bytes)?;
            let name = style::NAME;
            writeln!(anstream::stdout(), "{name}{}{name:#}: signed", path.display())?;
            Ok(Status::Fine)
        }
    }
}

/// A pack of whoever runs this, whose signatures need not be known.
///
/// It is compiled, too: nobody signs a manifest that says less than the rules do.
pub(super) fn own(path: &Path) -> Result<Verified, Vec<Refusal>> {
    let (ring, engine) = (Ring::default(), engine()?);
    let now = jiff::Timestamp::now();
    let (place, strict, unsigned) = (Level::Local, false, true);
    let judge = Judge { ring: &ring, now, engine: &engine, place, strict, unsigned };
    let opened = Untrusted::open(path, files::Trust::Anyone).map_err(|refusal| vec![refusal])?;
    let verified = opened.verify(&judge)?;
    match verified.manifest().kind {
        Purpose::Rules => verified.compile(&Trust::default()).map(Compiled::into_verified),
        Purpose::Policy => verified.policies().map(Bundle::into_verified),
    }
}

fn signature(own: &Verified, with: &With) -> Result<Vec<u8>, Refusal> {
    if let Some(path) = &with.signature {
        return read(path, limits::MAX_SIGNATURE);
    }
    let Some(path) = &with.key else {
        return Err(Refusal::new(Code::Key, "--key", "neither a key nor a signature is given"));
    };
    let place = path.display().to_string();
    let wrong = |error: minisign::PError| Refusal::new(Code::Key, &place, error);
    let text = String::from_utf8_lossy(&read(path, limits::MAX_KEY)?).into_owned();
    let key = unlocked(&text).map_err(wrong)?;
    let manifest = own.manifest();
    // Signed with the rest: whoever looks at the signature alone sees what it is of.
    let trusted = format!("{} {} serial {}", manifest.id, manifest.version, manifest.serial);
    let over = || Cursor::new(own.manifest_bytes());
    let made = minisign::sign(None, &key, over(), Some(&trusted), Some(COMMENT)).map_err(wrong)?;
    // A key whose halves do not belong together signs what nobody can verify.
    let public = PublicKey::from_secret_key(&key).map_err(wrong)?;
    minisign::verify(&public, &made, over(), true, false, false).map_err(wrong)?;
    Ok(made.into_string().into_bytes())
}

/// A key with a password asks for it. One without is read by us: the tool of that name leaves its
/// checksum empty, and the library wants one.
fn unlocked(text: &str) -> minisign::Result<SecretKey> {
    let raw = text.lines().nth(1).and_then(|line| Base64::decode_vec(line).ok());
    match raw {
        Some(raw) if raw.get(2..4) == Some(&NO_PASSWORD) => SecretKey::from_bytes(&raw),
        _ => SecretKeyBox::from_string(text)?.into_secret_key(None),
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Refusal> {
    files::read_bytes(path, limit, files::Trust::Anyone)
        .map_err(|error| Refusal::new(Code::Unreadable, &path.display().to_string(), error))
}
