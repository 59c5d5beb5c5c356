//! The command line of `kestrel pack`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::cli::Form;

const BUILD: &str = "\
The directory has the rules and a `pack.toml` with `id`, `version` and `serial`; `not_after`,
`min_engine`, `capabilities` and `fields` are found or chosen unless it tells them.

Examples:
  kestrel pack build acme/                     writes acme/manifest.json
  kestrel pack build acme/ --file acme.kpack   the same in one file, with its signatures";
const SIGN: &str = "\
Examples:
  kestrel pack sign acme/ --key minisign.key
  ssh-keygen -Y sign -n kestrel-pack -f ~/.ssh/id_ed25519 acme/manifest.json
  kestrel pack sign acme.kpack --signature manifest.json.sig";
const VERIFY: &str = "\
Examples:
  kestrel pack verify acme.kpack --keys /etc/aegisbpf/keys
  kestrel pack verify acme.kpack --keys keys/ --state packs.json --record";
const INSPECT: &str = "\
Examples:
  kestrel pack inspect acme.kpack --keys keys/
  kestrel pack inspect acme/ --unsigned -o json | jq '.rules[].needs'";
const DIFF: &str = "\
Examples:
  kestrel pack diff installed.kpack new.kpack --keys keys/";

/// `kestrel pack`
#[derive(Debug, Args)]
pub(crate) struct Pack {
    #[command(subcommand)]
    pub(crate) command: PackCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PackCommand {
    /// Write the manifest of a directory of rules, and the pack as one file
    #[command(after_help = BUILD)]
    Build {
        /// The directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Write the whole pack into this file, too
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Sign a pack, or add a signature that another tool made
    #[command(after_help = SIGN)]
    Sign {
        /// The pack: a directory or a file
        pack: PathBuf,
        #[command(flatten)]
        with: With,
    },
    /// Check signatures, files and rules of a pack, and what its rules may do
    #[command(after_help = VERIFY)]
    Verify(Verify),
    /// Show what a pack reads, needs and costs, and who signed it
    #[command(after_help = INSPECT)]
    Inspect {
        /// The pack: a directory or a file
        pack: PathBuf,
        #[command(flatten)]
        judged: Judged,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
    /// Show what changes from one version of a pack to the next
    #[command(after_help = DIFF)]
    Diff {
        /// The version that is installed
        old: PathBuf,
        /// The version that is to take its place
        new: PathBuf,
        #[command(flatten)]
        judged: Judged,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
}

/// What it is signed with.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct With {
    /// A secret key of minisign; its password is asked for
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// A signature of the manifest by `minisign` or `ssh-keygen`
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,
}

/// `kestrel pack verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The pack: a directory or a file
    pub(crate) pack: PathBuf,
    #[command(flatten)]
    pub(crate) judged: Judged,
    /// Record of installed packs: an older version than the one in it is refused
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Note this pack there as installed, if nothing is wrong with it
    #[arg(long, requires = "state")]
    pub(crate) record: bool,
    /// Take an older version than the one that is installed, or one of another owner
    #[arg(long, requires = "state")]
    pub(crate) force: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Form,
}

/// By what a pack is judged.
#[derive(Debug, Args)]
pub(crate) struct Judged {
    /// Directory of public keys (`*.pub`)
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// The trust file: threshold, revoked keys, grants
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// Treat it as untrusted, whoever signed it
    #[arg(long)]
    pub(crate) strict: bool,
    /// Take it by its author's word: without a signature, or with those of keys that are not known
    #[arg(long)]
    pub(crate) unsigned: bool,
    /// Judge as of this time and not as of now
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<Timestamp>,
}
