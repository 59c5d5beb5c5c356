//! From paths to tables. Each step is a type, so that none can be left out: bytes that were not
//! verified meet no parser, and what was not compiled is not staged.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use files::{Text, Trust};
use lang::Code;
use lang::policy::Policies;
use model::capability::Capability;
use model::policy::{Mode, Operations, Place, Policy, Verdict};
use model::program::Response;
use policy::{Compiled, Options};
use sha2::{Digest, Sha256};

use super::POLICIES_DIR;
use super::bundles::{self, Vouch};
use super::deploy::Stop;

/// Extensions of policy files.
pub(crate) const EXTENSIONS: &[&str] = &["yaml", "yml", "toml"];

/// Why policies are not put in force: findings, at least one of which is an error, with the texts
/// that they are about.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Policies);

impl Refused {
    fn file(code: Code, file: &str, message: String) -> Refused {
        let mut found = Policies::default();
        found.note_file(code, file, message);
        Refused(found)
    }

    /// How many errors there are.
    pub(crate) fn errors(&self) -> usize {
        self.0.diagnostics.iter().filter(|one| one.is_error()).count()
    }
}

/// Texts of files, of which nothing is known but that they are not too large.
#[derive(Debug)]
pub(crate) struct Untrusted {
    texts: Vec<Text>,
}

/// Texts that are those that were meant.
#[derive(Debug)]
pub(crate) struct Verified {
    texts: Vec<Text>,
    /// The signed bundles that some of them came in.
    bundles: Vec<bundles::Source>,
}

/// Policies without a mistake, and their tables.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The texts that it was read from.
    pub(crate) texts: Vec<Text>,
    /// The policies, findings about them and their sources.
    pub(crate) loaded: Policies,
    /// The tables.
    pub(crate) compiled: Compiled,
    /// The signed bundles that some of them came in.
    pub(crate) bundles: Vec<bundles::Source>,
    /// How they were compiled.
    pub(crate) options: Options,
    /// Seconds since 1970 at which one of the texts ends; [`i64::MAX`] if none does.
    pub(crate) until: i64,
    /// Operations whose absence is accepted.
    pub(crate) accepted: Operations,
    /// How long the texts took to read.
    pub(crate) reading: Duration,
    /// How long the tables took to make.
    pub(crate) compiling: Duration,
}

/// Digests that an operator expects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// Of the one file that is given.
    pub(crate) sha256: Option<String>,
    /// Lines as `sha256sum` writes them.
    pub(crate) list: Option<String>,
}

/// The paths that were given, or else the usual place.
pub(crate) fn paths(given: &[PathBuf]) -> Vec<PathBuf> {
    if given.is_empty() { vec![PathBuf::from(POLICIES_DIR)] } else { given.to_vec() }
}

/// A path from the root, without links and detours on the way. Its own name stays, also of a link: lists of
/// digests have it. What is not there is told of as it was named.
pub(crate) fn whole(path: &Path) -> PathBuf {
    let whole = match (path.parent(), path.file_name()) {
        (Some(way), Some(name)) => {
            let way = if way.as_os_str().is_empty() { Path::new(".") } else { way };
            files::real(way).map(|way| way.join(name))
        }
        _ => files::real(path),
    };
    whole.unwrap_or_else(|_| path.to_owned())
}

/// SHA-256 of all texts one after the other: of one file, its own.
pub(crate) fn digest(texts: &[Text]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.text.as_bytes());
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

impl Untrusted {
    /// Reads files with all their limits.
    pub(crate) fn read(paths: &[PathBuf], trust: Trust) -> Result<Untrusted, Box<Refused>> {
        let (texts, errors) = files::read_all(paths, EXTENSIONS, trust);
        let mut found = Policies::default();
        for error in &errors {
            let message = error.to_string();
            let file = message.split(": ").next().unwrap_or_default().to_owned();
            found.note_file(Code::Unreadable, &file, message);
        }
        if errors.is_empty() && texts.is_empty() {
            let given = paths.first().map_or_else(String::new, |path| path.display().to_string());
            let message = format!("{given} holds no policy file (*.yaml, *.yml, *.toml)");
            found.note_file(Code::Unreadable, &given, message);
        }
        if found.diagnostics.is_empty() {
            Ok(Untrusted { texts })
        } else {
            Err(Box::new(Refused(found)))
        }
    }

    /// Holds the texts against digests, if any are expected.
    pub(crate) fn verify(self, expected: &Expected) -> Result<Verified, Box<Refused>> {
        if let Some(wanted) = &expected.sha256 {
            let found = digest(&self.texts);
            let first = self.texts.first().map_or("", |text| text.name.as_str());
            if self.texts.len() != 1 {
                let message = "--sha256 is the digest of one file; give --sha256-file for several";
                return Err(Refused::file(Code::Digest, first, message.to_owned()).into());
            }
            if !found.eq_ignore_ascii_case(wanted.trim_start_matches("sha256:")) {
                let message = format!("the file has the SHA-256 {found}, and {wanted} was meant");
                return Err(Refused::file(Code::Digest, first, message).into());
            }
        }
        if let Some(list) = &expected.list {
            for text in &self.texts {
                listed(text, list)?;
            }
        }
        Ok(Verified { texts: self.texts, bundles: Vec::new() })
    }
}

/// Whether a list of digests has the file with its digest.
fn listed(text: &Text, list: &str) -> Result<(), Box<Refused>> {
    let found = digest(std::slice::from_ref(text));
    let name = |path: &str| Path::new(path).file_name().map(std::ffi::OsStr::to_owned);
    let mut of_file = list.lines().filter_map(|line| {
        let (digest, path) = line.split_once([' ', '\t'])?;
        let path = path.trim_start_matches([' ', '*']);
        (path == text.name || name(path) == name(&text.name)).then_some(digest)
    });
    let message = match of_file.next() {
        Some(wanted) if wanted.eq_ignore_ascii_case(&found) => return Ok(()),
        Some(wanted) => format!("the file has the SHA-256 {found}, and {wanted} was meant"),
        None => format!("the list of digests has no line for {}", text.name),
    };
    Err(Refused::file(Code::Digest, &text.name, message).into())
}

impl Verified {
    /// Texts from the store: they were verified when they came there.
    pub(crate) fn again((texts, bundles): (Vec<Text>, Vec<bundles::Source>)) -> Verified {
        Verified { texts, bundles }
    }

    /// Texts of signed bundles, and beside them those of plain files.
    pub(crate) fn bundled(
        read: bundles::Read,
        (trust, expected): (Trust, &Expected),
    ) -> Result<Verified, Box<Refused>> {
        let bundles::Read { mut texts, sources, plain } = read;
        if !plain.is_empty() || texts.is_empty() {
            let plain = Untrusted::read(&paths(&plain), trust)?.verify(expected)?;
            texts.extend(plain.texts);
        }
        Ok(Verified { texts, bundles: sources })
    }

    /// With this text in the place of the one of that name, or without it.
    pub(crate) fn with(mut self, name: &str, text: Option<Text>) -> Verified {
        self.texts.retain(|one| one.name != name);
        self.texts.extend(text);
        self
    }

    /// Reads and compiles the policies.
    pub(crate) fn compile(self, options: &Options) -> Result<Ready, Box<Refused>> {
        let start = Instant::now();
        let pairs = self.texts.iter().map(|text| (text.name.clone(), text.text.clone()));
        let mut loaded = lang::policy::load(pairs).with_includes();
        if loaded.has_errors() {
            return Err(Box::new(Refused(loaded)));
        }
        self.withhold(&mut loaded);
        if options.mode == Mode::Audit {
            // Nothing is carried out that the operator did not ask for when the agent was started.
            loaded.policies.iter_mut().for_each(|policy| policy.mode = None);
        }
        let reading = start.elapsed();
        match policy::compile(&loaded.policies, options) {
            Ok(compiled) => {
                let (texts, bundles, options) = (self.texts, self.bundles, *options);
                Ok(Ready {
                    texts,
                    loaded,
                    compiled,
                    bundles,
                    options,
                    until: i64::MAX,
                    accepted: Operations::default(),
                    reading,
                    compiling: start.elapsed().saturating_sub(reading),
                })
            }
            Err(error) => {
                not_compiled(&mut loaded, &error);
                Err(Box::new(Refused(loaded)))
            }
        }
    }
}

impl Verified {
    /// Takes out what rules of packs deny without being granted that, or end without that.
    fn withhold(&self, loaded: &mut Policies) {
        for policy in loaded.policies.iter_mut().filter(|one| one.name == lang::policy::RULES) {
            policy.rules.retain(|rule| {
                let may = bundles::may(&self.bundles, &rule.place.file, &rule.id);
                let ends = rule.verdict == Verdict::Kill;
                may.permits(Response::DENY) && (!ends || may.has(Capability::Kill))
            });
        }
    }
}

/// Says at the rule, if the error names one, why there are no tables.
fn not_compiled(loaded: &mut Policies, error: &policy::Error) {
    use policy::Error;
    let message = format!("{} ({})", error, error.code());
    let (rule, word) = match error {
        Error::Pattern { rule, error } => (rule.as_str(), error.pattern.as_str()),
        Error::Prefix { rule, .. } | Error::Capability { rule, .. } => (rule.as_str(), ""),
        Error::TooMany { .. } | Error::TooComplex { .. } | Error::Table { .. } => ("", ""),
    };
    if let Some(place) = place_of(&loaded.policies, rule) {
        let words = (message, String::new(), None);
        loaded.note(Code::NotCompiled, &place, (rule, word), words);
    } else {
        let file = loaded.sources.first().map(|one| one.name.clone()).unwrap_or_default();
        loaded.note_file(Code::NotCompiled, &file, message);
    }
}

fn place_of(policies: &[Policy], id: &str) -> Option<Place> {
    let rules = policies.iter().flat_map(|one| &one.rules).map(|one| (&one.id, &one.place));
    let lists = policies.iter().flat_map(|one| &one.allow_lists).map(|one| (&one.id, &one.place));
    rules.chain(lists).find(|(one, _)| *one == id).map(|(_, place)| place.clone())
}

impl Ready {
    /// All steps for commands that only look: anybody's files, no digests.
    pub(crate) fn look(given: &[PathBuf], vouch: &Vouch) -> Result<Ready, Stop> {
        let read = bundles::look(given, vouch).map_err(Stop::Unverified)?;
        let how = (Trust::Anyone, &Expected::default());
        Ok(Verified::bundled(read, how)?.compile(&looking())?)
    }
}

/// How policies are compiled to be looked at: as if they were enforced now.
pub(crate) fn looking() -> Options {
    Options { generation: 0, mode: Mode::Enforce, now: now() }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, text: &str) -> Text {
        Text { name: name.to_owned(), text: text.to_owned() }
    }

    /// SHA-256 of `a`.
    const A: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

    fn verified(texts: &[Text], expected: &Expected) -> Option<String> {
        let refused = Untrusted { texts: texts.to_vec() }.verify(expected).err()?;
        let found = &refused.0.diagnostics[0];
        assert_eq!(found.code, Code::Digest);
        Some(found.message.clone())
    }

    #[test]
    fn a_digest_must_be_that_of_the_file() {
        let one = [text("/p/a.yaml", "a")];
        let sha256 = |hash: &str| Expected { sha256: Some(hash.to_owned()), list: None };
        assert_eq!(digest(&one), A);
        for right in [A, &A.to_uppercase(), &format!("sha256:{A}")] {
            assert_eq!(verified(&one, &sha256(right)), None, "{right}");
        }
        let wrong = verified(&one, &sha256(&"0".repeat(64))).unwrap();
        assert!(wrong.contains(A) && wrong.contains("was meant"), "{wrong}");
        let two = [text("a", "a"), text("b", "b")];
        assert!(verified(&two, &sha256(A)).unwrap().contains("one file"));
    }

    #[test]
    fn a_path_is_whole_and_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("d")).unwrap();
        std::fs::write(real.join("d/a.yaml"), "").unwrap();
        std::os::unix::fs::symlink("d/a.yaml", real.join("link.yaml")).unwrap();
        std::os::unix::fs::symlink("d", real.join("way")).unwrap();
        assert_eq!(whole(&real.join("way/../way/a.yaml")), real.join("d/a.yaml"));
        assert_eq!(whole(&real.join("link.yaml")), real.join("link.yaml"));
        let here = std::env::current_dir().unwrap();
        assert_eq!(whole(Path::new("Cargo.toml")), here.join("Cargo.toml"));
        assert_eq!(whole(Path::new(".")), here);
        assert_eq!(whole(Path::new("none/a")), Path::new("none/a"));
    }

    #[test]
    fn a_list_of_digests_must_have_every_file() {
        let list = |list: &str| Expected { sha256: None, list: Some(list.to_owned()) };
        let one = [text("/p/a.yaml", "a")];
        assert_eq!(verified(&one, &list(&format!("{A}  a.yaml\n"))), None);
        assert_eq!(verified(&one, &list(&format!("{A} */p/a.yaml\n"))), None);
        let other = verified(&one, &list(&format!("{A}  b.yaml\n"))).unwrap();
        assert!(other.contains("no line for /p/a.yaml"), "{other}");
        let wrong = verified(&one, &list(&format!("{}  a.yaml\n", "0".repeat(64)))).unwrap();
        assert!(wrong.contains("was meant"), "{wrong}");
    }
}
