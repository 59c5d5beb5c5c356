//! Signatures and public keys in the formats of `minisign` and of OpenSSH, Ed25519 in both.

use std::fmt;

use base64ct::{Base64, Encoding};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, LineEnding, SshSig};

use crate::code::{Code, Refusal};
use crate::limits::{MAX_KEY, MAX_SIGNATURE};

/// What an SSH signature of a pack is for: a signature of mail or of a commit is none.
pub const NAMESPACE: &str = "kestrel-pack";
/// What an SSH signature of a key that follows another is for.
pub const KEY_NAMESPACE: &str = "kestrel-key";
/// How a signature of OpenSSH begins.
const SSH_BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
/// The line of a minisign file that is not signed. In one form, it can carry nothing.
const COMMENT: &str = "untrusted comment: kestrel pack";

/// Names a public key: the 16 digits that `minisign` prints, or a fingerprint of OpenSSH.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// As it is written in the operator's files. `minisign` leaves out zeros at the beginning.
    pub fn new(text: &str) -> KeyId {
        let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex {
            KeyId(format!("{:0>16}", text.to_ascii_uppercase()))
        } else {
            KeyId(text.to_owned())
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a key can have this name.
    pub(crate) fn is_sound(&self) -> bool {
        let is_upper_hex = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        (self.0.len() == 16 && self.0.bytes().all(is_upper_hex)) || self.0.starts_with("SHA256:")
    }

    /// Of the eight bytes that `minisign` shows as one number.
    fn minisign(bytes: &[u8]) -> Option<KeyId> {
        let number = u64::from_le_bytes(bytes.try_into().ok()?);
        Some(KeyId(format!("{number:016X}")))
    }

    fn ssh(key: &KeyData) -> KeyId {
        KeyId(key.fingerprint(HashAlg::Sha256).to_string())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A public key.
#[derive(Clone)]
pub(crate) struct PublicKey {
    pub(crate) id: KeyId,
    /// The point itself: one key is one key, whatever format it is in and whatever it is called.
    pub(crate) point: [u8; 32],
    form: Form,
}

#[derive(Clone)]
enum Form {
    Minisign(minisign_verify::PublicKey),
    Ssh(ssh_key::PublicKey),
}

impl PublicKey {
    /// Reads a file of either format.
    pub(crate) fn read(place: &str, bytes: &[u8]) -> Result<PublicKey, Refusal> {
        let wrong = |what: &str| Refusal::new(Code::Key, place, what);
        let text = str::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() as u64 <= MAX_KEY)
            .ok_or_else(|| wrong("not a short text"))?;
        if text.starts_with("ssh-") || text.starts_with("sk-") || text.starts_with("ecdsa-") {
            let key = ssh_key::PublicKey::from_openssh(text.trim_end())
                .map_err(|error| wrong(&error.to_string()))?;
            let KeyData::Ed25519(point) = key.key_data() else {
                return Err(wrong("of SSH keys only `ssh-ed25519` is taken"));
            };
            let (id, point) = (KeyId::ssh(key.key_data()), point.0);
            return Ok(PublicKey { id, point, form: Form::Ssh(key) });
        }
        let key = minisign_verify::PublicKey::decode(text)
            .map_err(|error| wrong(&format!("neither a key of minisign nor of SSH: {error}")))?;
        let raw = text.lines().nth(1).and_then(|line| Base64::decode_vec(line).ok());
        // Two bytes of the algorithm, eight of the number, the key.
        let parts = raw.as_deref().and_then(|raw| raw.get(2..)?.split_at_checked(8));
        let (Some(id), Some(Ok(point))) = (
            parts.and_then(|(id, _)| KeyId::minisign(id)),
            parts.map(|(_, point)| <[u8; 32]>::try_from(point)),
        ) else {
            return Err(wrong("not a key of minisign"));
        };
        Ok(PublicKey { id, point, form: Form::Minisign(key) })
    }
}

/// A signature that was read and not yet checked.
#[derive(Clone)]
pub(crate) struct Signature {
    /// The key that it says it is of.
    pub(crate) key: KeyId,
    form: SignatureForm,
    /// The same in the one form in which packs carry it.
    text: String,
}

#[derive(Clone)]
enum SignatureForm {
    Minisign(Box<minisign_verify::Signature>),
    Ssh(Box<SshSig>),
}

impl Signature {
    /// Reads one of either format.
    pub(crate) fn read(place: &str, bytes: &[u8]) -> Result<Signature, Refusal> {
        let wrong = |what: &str| Refusal::new(Code::Malformed, place, what);
        let text = str::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() as u64 <= MAX_SIGNATURE)
            .ok_or_else(|| wrong("not a short text"))?;
        if text.starts_with(SSH_BEGIN) {
            let signature = SshSig::from_pem(text).map_err(|error| wrong(&error.to_string()))?;
            let text =
                signature.to_pem(LineEnding::LF).map_err(|error| wrong(&error.to_string()))?;
            let key = KeyId::ssh(signature.public_key());
            return Ok(Signature { key, form: SignatureForm::Ssh(Box::new(signature)), text });
        }
        let signature = minisign_verify::Signature::decode(text)
            .map_err(|error| wrong(&format!("neither of minisign nor of SSH: {error}")))?;
        let mut lines = text.lines().skip(1);
        let (Some(first), Some(trusted), Some(second)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(wrong("a line is missing"));
        };
        let raw = Base64::decode_vec(first).map_err(|error| wrong(&error.to_string()))?;
        let key = raw.get(2..10).and_then(KeyId::minisign).ok_or_else(|| wrong("too short"))?;
        let text = format!("{COMMENT}\n{first}\n{trusted}\n{second}\n");
        Ok(Signature { key, form: SignatureForm::Minisign(Box::new(signature)), text })
    }

    /// The form in which a pack of one file carries it.
    pub(crate) fn canonical(&self) -> &str {
        &self.text
    }

    /// The ending of a file that holds it.
    pub(crate) fn extension(&self) -> &'static str {
        match self.form {
            SignatureForm::Minisign(_) => "minisig",
            SignatureForm::Ssh(_) => "sshsig",
        }
    }

    /// What its signer added, under the signature: for people.
    pub(crate) fn comment(&self) -> &str {
        match &self.form {
            SignatureForm::Minisign(signature) => signature.trusted_comment(),
            SignatureForm::Ssh(_) => "",
        }
    }

    /// Checks it over these bytes; an SSH signature must have been made for `namespace`.
    pub(crate) fn check(
        &self,
        place: &str,
        key: &PublicKey,
        bytes: &[u8],
        namespace: &str,
    ) -> Result<(), Refusal> {
        let refuse = |code, what: &str| Err(Refusal::new(code, place, what));
        match (&self.form, &key.form) {
            (SignatureForm::Minisign(signature), Form::Minisign(key)) => {
                match key.verify(bytes, signature, false) {
                    Ok(()) => Ok(()),
                    Err(minisign_verify::Error::UnexpectedAlgorithm) => {
                        refuse(Code::Legacy, "made over the bytes themselves, not over their hash")
                    }
                    Err(error) => refuse(Code::BadSignature, &error.to_string()),
                }
            }
            (SignatureForm::Ssh(signature), Form::Ssh(key)) => {
                if signature.namespace() != namespace {
                    let what = format!("made for `{}`, not `{namespace}`", signature.namespace());
                    return refuse(Code::Namespace, &what);
                }
                match key.verify(namespace, bytes, signature) {
                    Ok(()) => Ok(()),
                    Err(error) => refuse(Code::BadSignature, &error.to_string()),
                }
            }
            _ => refuse(Code::BadSignature, "the key is of another format"),
        }
    }
}
