//! Packs: rules from somebody else, with what they need, under a signature.
//!
//! A pack goes through three types, and no way leads around one of them:
//! [`Untrusted`] (bytes; only the outer form and the signatures are looked at), [`Verified`] (the
//! manifest is the signer's, the files are those of the manifest), [`Compiled`] (the rules are those
//! of the manifest, read and need no more than it says, and each has what it may do).
//!
//! No clock and no environment: the time, the keys and the engine's version are given.
//!
//! | module | does |
//! |---|---|
//! | `code` | why something is refused, each reason with its code |
//! | `limits` | bounds |
//! | `frame` | a pack in one file |
//! | `name`, `digest`, `manifest` | what is signed |
//! | `signature`, `keys`, `vouch` | formats of minisign and SSH; known keys; whose word is enough |
//! | `trust`, `level` | what the operator grants, and what each level of trust allows |
//! | `untrusted`, `verified`, `compiled` | the three types |
//! | `bundle` | policies in the same envelope |
//! | `rule`, `script`, `diff` | what a reviewer reads |
//! | `installed` | no way back to an older version |
//! | `make` | the author's side |
#![forbid(unsafe_code)]

mod bundle;
mod code;
mod compiled;
mod diff;
mod digest;
mod frame;
mod installed;
mod keys;
mod level;
pub mod limits;
mod make;
mod manifest;
mod name;
mod rule;
mod script;
mod signature;
#[cfg(test)]
mod tests;
mod trust;
mod untrusted;
mod verified;
mod vouch;

pub use bundle::{Bundle, FILE, Purpose, is_pack};
pub use code::{Code, Refusal, unread};
pub use compiled::{Admitted, Compiled};
pub use diff::{Change as Changed, Diff};
pub use digest::Sha256;
pub use installed::{Change, Installed, Record};
pub use keys::Ring;
pub use level::{Level, Terms, table};
pub use make::{Made, SOURCE, make, signature_file};
pub use manifest::{FileEntry, Kind, Manifest, RuleEntry};
pub use name::MANIFEST;
pub use rule::{Cost, RuleView};
pub use script::{ScriptView, beside, grant as grant_scripts};
pub use semver::Version;
pub use signature::{KEY_NAMESPACE, KeyId, NAMESPACE};
pub use trust::{Grant, KeyTerms, Subject, Trust};
pub use untrusted::{Judge, Untrusted};
pub use verified::Verified;
pub use vouch::Signer;
