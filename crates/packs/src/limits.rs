//! Bounds of packs. Each is far above what people publish and far below what hurts.

/// Bytes of a pack in one file. All public rules of Sigma and Elastic together have a third of it.
pub const MAX_PACK: u64 = 64 << 20;
/// Bytes of a manifest: the entries of [`MAX_FILES`] files and as many rules.
pub const MAX_MANIFEST: u64 = 4 << 20;
/// Bytes of one file.
pub const MAX_FILE: u64 = files::MAX_BYTES;
/// Files of a pack, the manifest and signatures not counted.
pub const MAX_FILES: usize = 10_000;
/// Rules of a pack.
pub const MAX_RULES: usize = 10_000;
/// Signatures of a pack: more people than that do not sign one.
pub const MAX_SIGNATURES: usize = 16;
/// Bytes of a signature: formats of Ed25519 need 400.
pub const MAX_SIGNATURE: u64 = 4 << 10;
/// Bytes of the name of a file.
pub const MAX_NAME: usize = 240;
/// Parts of the name of a file.
pub const MAX_DEPTH: usize = files::MAX_DEPTH;
/// Bytes of an id of a pack, which is printed in messages.
pub const MAX_ID: usize = 100;
/// Bytes of an id of a rule; those of others are UUIDs, rarely sentences.
pub const MAX_RULE_ID: usize = 200;
/// The largest serial: any reader of JSON keeps numbers up to here exactly.
pub const MAX_SERIAL: u64 = (1 << 53) - 1;
/// Files of a directory of keys.
pub const MAX_KEYS: usize = 256;
/// Bytes of a public key.
pub const MAX_KEY: u64 = 4 << 10;
/// Keys one after the other, each introduced by the one before.
pub const MAX_CHAIN: usize = 8;
/// Bytes of the operator's trust file and of the record of installed packs.
pub const MAX_CONFIG: u64 = 1 << 20;
/// Refusals of one kind of check that are told: beyond that they stop helping.
pub const MAX_REFUSALS: usize = 50;
