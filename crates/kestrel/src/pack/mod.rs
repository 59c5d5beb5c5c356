//! `kestrel pack`: making, signing, checking and reviewing of packs.

mod build;
mod cli;
mod policies;
mod review;
mod show;
mod sign;
mod verify;

use std::io;
use std::path::Path;

use packs::{
    Bundle, Code, Compiled, Judge, Level, Purpose, Refusal, Ring, Trust, Untrusted, Verified,
};
use script::Refused;
use semver::Version;
use serde_json::{Value, json};

use crate::output::{self, Status};
pub(crate) use cli::Pack;
use cli::{Judged, PackCommand};

/// Runs one of the commands.
pub(crate) fn run(pack: Pack) -> io::Result<Status> {
    match pack.command {
        PackCommand::Build { directory, file } => build::run(&directory, file.as_deref()),
        PackCommand::Sign { pack, with } => sign::run(&pack, &with),
        PackCommand::Verify(given) => verify::run(&given),
        PackCommand::Inspect { pack, judged, output } => review::inspect(&pack, &judged, output),
        PackCommand::Diff { old, new, judged, output } => review::diff(&old, &new, &judged, output),
    }
}

/// The version that packs are held against.
fn engine() -> Result<Version, Vec<Refusal>> {
    let version = env!("CARGO_PKG_VERSION");
    Version::parse(version).map_err(|error| vec![Refusal::new(Code::Engine, version, error)])
}

/// What the operator's files say.
struct Judges {
    trust: Trust,
    ring: Ring,
    engine: Version,
}

impl Judges {
    fn open(given: &Judged) -> Result<Judges, Vec<Refusal>> {
        let trust = match &given.trust {
            None => Trust::default(),
            Some(path) => Trust::open(path).map_err(|refusal| vec![refusal])?,
        };
        let ring = match &given.keys {
            None => Ring::read(&[], &trust)?,
            Some(path) => Ring::open(path, &trust)?,
        };
        Ok(Judges { trust, ring, engine: engine()? })
    }

    /// Opens and verifies. A pack that only its directory vouches for must be nobody else's.
    fn verify(
        &self,
        path: &Path,
        given: &Judged,
        read: files::Trust,
    ) -> Result<Verified, Vec<Refusal>> {
        let judge = Judge {
            ring: &self.ring,
            now: given.at.unwrap_or_else(jiff::Timestamp::now),
            engine: &self.engine,
            place: if given.unsigned { Level::Local } else { Level::Untrusted },
            strict: given.strict,
            unsigned: given.unsigned,
        };
        Untrusted::open(path, read).map_err(|refusal| vec![refusal])?.verify(&judge)
    }

    /// The same, read: for who only looks at it.
    fn look(&self, path: &Path, given: &Judged) -> Result<Looked, Vec<Refusal>> {
        self.read(self.verify(path, given, files::Trust::Anyone)?, given)
    }

    /// Reads what was verified.
    fn read(&self, verified: Verified, given: &Judged) -> Result<Looked, Vec<Refusal>> {
        match verified.manifest().kind {
            Purpose::Rules => {
                verified.compile(&self.trust).map(|rules| Looked::Rules(Box::new(rules)))
            }
            Purpose::Policy => policies(verified, given).map(|all| Looked::Policies(Box::new(all))),
        }
    }
}

/// What a pack holds.
enum Looked {
    Rules(Box<Compiled>),
    Policies(Box<Bundle>),
}

/// Policies as the agent takes them; without a signature, as their author looks at them.
fn policies(verified: Verified, given: &Judged) -> Result<Bundle, Vec<Refusal>> {
    let bundle = verified.policies()?;
    if given.unsigned { Ok(bundle) } else { bundle.trusted() }
}

/// Says on standard error why something was refused.
fn complain(refusals: &[Refusal]) -> Status {
    for refusal in refusals {
        output::complain(&refusal.to_string());
    }
    Status::Findings
}

/// A script that cannot be run, as a refusal of the pack that brings it.
fn unsound(script: Refused, place: &str) -> Refusal {
    let Refused { code, message, help, .. } = script;
    Refusal::new(Code::Rule, place, format!("{code}: {message}; {help}"))
}

/// Refusals as JSON.
fn refusals<'a>(all: impl IntoIterator<Item = &'a Refusal>) -> Value {
    let one = |refusal: &Refusal| {
        json!({
            "code": refusal.code.as_str(),
            "title": refusal.code.title(),
            "place": refusal.place,
            "message": refusal.message,
            "help": refusal.code.help(),
        })
    };
    all.into_iter().map(one).collect()
}
