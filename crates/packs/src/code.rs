//! Why a pack was refused, as data. Each reason has a code of its own, which is never reused; codes
//! of packs begin at E100, those of rule text (`lang`) are below.

use std::fmt;

use files::ReadError;
use model::escape::escaped;

macro_rules! codes {
    ($($name:ident, $code:literal, $title:literal, $help:literal;)*) => {
        /// Kinds of refusals.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $title] $name),* }

        impl Code {
            /// All codes, in order.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// `E` and three digits; never reused.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code),* }
            }

            /// What the code stands for, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title),* }
            }

            /// What to do.
            pub fn help(self) -> &'static str {
                match self { $(Code::$name => $help),* }
            }
        }
    };
}

codes! {
    Unreadable, "E100", "a file cannot be read", "check the path and its permissions";
    NotAPack, "E101", "not a pack", "give a directory with `manifest.json`, or a file made by `kestrel pack build`";
    Format, "E102", "a format of another version", "use a version of this program that knows it";
    Truncated, "E103", "the file ends too early", "fetch it again";
    Trailing, "E104", "bytes after the end", "fetch it again; nothing may follow the last file";
    TooLarge, "E105", "too large", "split the pack";
    TooMany, "E106", "too many", "split the pack";
    NotRegular, "E107", "a link or a special file", "put the file itself in its place";
    Writable, "E108", "others can change it", "make it belong to root, and take away write permission of group and others";
    Traversal, "E110", "a name that leaves the pack", "name files by plain parts with `/` between them, without `.`, `..` or a leading `/`";
    Character, "E111", "a character that names do not have", "use letters, digits, `.`, `_`, `-` and `/`";
    NotAscii, "E112", "a name that can be written in several ways", "use ASCII: other letters have more than one form";
    Folded, "E113", "two names differ only in case", "give one of them another name";
    Reserved, "E114", "a name that is the pack's own", "give the file another name than `manifest.json` and what begins so";
    LongName, "E115", "a name that is too long or too deep", "shorten it";
    ExtraFile, "E116", "a file that the manifest does not list", "remove it, or build the pack again";
    MissingFile, "E117", "a file is missing", "fetch the pack again";
    Size, "E118", "a file has another size than signed", "fetch the pack again";
    Digest, "E119", "a file is not the one that was signed", "fetch the pack again; tell its author if it stays so";
    Manifest, "E120", "the manifest is not well formed", "build the pack again";
    NotCanonical, "E121", "the manifest is not in its one form", "build the pack again and sign what comes out";
    Value, "E122", "a value that cannot be", "mend it in `pack.toml` and build the pack again";
    UnknownCapability, "E123", "no such capability", "use a version of this program that knows it";
    NoSignature, "E130", "no signature", "sign it, or take it from somebody who does";
    Malformed, "E131", "a signature that cannot be read", "fetch the pack again, or sign it again";
    UnknownKey, "E132", "signed by a key that is not known here", "if you trust its owner, put the public key into the directory of keys";
    BadSignature, "E133", "the signature does not fit", "do not use the pack: the manifest or the signature was changed";
    Revoked, "E134", "signed by a key that was revoked", "take a pack that was signed again with another key";
    KeyExpired, "E135", "signed by a key whose time is over", "take a pack that was signed again with a newer key";
    TooFew, "E136", "too few signatures", "have it signed by more of those whose keys are here";
    Namespace, "E137", "a signature made for something else", "sign with `ssh-keygen -Y sign -n kestrel-pack`";
    Legacy, "E138", "a signature of the old kind", "sign with `minisign -S` of version 0.10 or later, without `-l`";
    Key, "E139", "a key that cannot be used", "mend or remove the file";
    Expired, "E140", "the pack's time is over", "take a newer version of the pack";
    RollBack, "E141", "older than the one installed", "take the newer one, or say `--force` (`aegisbpf rules accept` and `policy apply`: `--older`) if the older one is meant";
    Equivocation, "E142", "same serial as the one installed, another content", "do not use it: its author signed two packs as one";
    Engine, "E143", "needs a newer version of this program", "update, or take an older version of the pack";
    Configuration, "E144", "trust or state file cannot be used", "mend the file";
    Owner, "E145", "of another owner than the one installed", "do not use it unless its owner changed; then say `--force` (`aegisbpf rules accept` and `policy apply`: `--older`)";
    Purpose, "E146", "signed as something else", "load packs of rules with `aegisbpf run --packs`, put policies in force with `aegisbpf policy apply`";
    Stranger, "E147", "policies of somebody who is not trusted", "have them signed by a trusted key, or trust the one that signed them";
    Plain, "E148", "not a signed pack", "give a pack or bundle that is signed; this agent was told to take no other";
    Accepted, "E149", "no such pack to accept", "name a pack that is refused as older, of the same serial or of another owner; `aegisbpf rules` lists what is left out";
    Kind, "E150", "rules of a kind that is not run at this level", "have the pack signed by a trusted key, or take one whose rules are of other kinds";
    Rule, "E151", "a rule with an error", "mend the rule: `kestrel check` shows the place";
    NotListed, "E152", "rules and manifest disagree", "build the pack again";
    Field, "E153", "a rule reads a field that the manifest does not declare", "declare it in `pack.toml`, or leave `fields` out to have them found";
    NotAsked, "E154", "a rule needs what the manifest does not ask for", "ask for it in `pack.toml`, or leave `capabilities` out to have them found";
    NotGranted, "E155", "a rule needs what was not granted", "grant it in the trust file if you want it to do so";
    Level, "E156", "a rule needs what no rule from there may", "have the pack signed by a trusted key, or do without the rule";
    Costly, "E157", "a regular expression without a bound on its cost", "mend it (W009 of `kestrel check`), or have the pack signed by a trusted key";
}

/// Why something was refused: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// What kind.
    pub code: Code,
    /// The file, name or key that it is about; escaped, since strangers choose names.
    pub place: String,
    /// What is wrong, in one line.
    pub message: String,
}

impl Refusal {
    /// A refusal of a thing.
    pub fn new(code: Code, place: &str, message: impl fmt::Display) -> Refusal {
        Refusal { code, place: escaped(place), message: escaped(&message.to_string()) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { code, place, message } = self;
        write!(out, "[{}] {place}: {message}; {}", code.as_str(), code.help())
    }
}

/// What the reader of files says, in our terms.
pub fn unread(error: &ReadError) -> Refusal {
    let (code, path, message) = match error {
        ReadError::Io { path, source } => (Code::Unreadable, path, source.to_string()),
        ReadError::NotRegular { path } => {
            (Code::NotRegular, path, "neither a file nor a directory".to_owned())
        }
        ReadError::Untrusted { path, owner, mode } | ReadError::Open { path, owner, mode } => {
            (Code::Writable, path, format!("owner {owner}, mode {mode:o}"))
        }
        ReadError::TooMuch { path, limit, what: what @ "bytes" } => {
            (Code::TooLarge, path, format!("more than {limit} {what}"))
        }
        ReadError::TooMuch { path, limit, what } => {
            (Code::TooMany, path, format!("more than {limit} {what}"))
        }
        ReadError::NotText { path, at } => (Code::Value, path, format!("not UTF-8 (byte {at})")),
    };
    Refusal::new(code, path, message)
}
