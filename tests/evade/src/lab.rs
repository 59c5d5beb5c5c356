//! Where the cases work: two directories for each, a policy, and the kernel half.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kernel::enforce::{Denials, Enforcer, Generation, Options, Pin};
use model::wire::RecDenial;
use policy::Compiled;
use sha2::{Digest, Sha256};
use zerocopy::FromBytes;

use crate::cases::{Case, cgroup, hash};
use crate::tables;

/// A filesystem of its own, so that paths go on behind a mount point.
pub(crate) const LAB: &str = "/lab";
/// Whom the rules are about.
pub(crate) const COVERED: &str = "/lab/bin/covered";
/// The same program, whom no rule is about.
pub(crate) const FREE: &str = "/lab/bin/free";
/// The same program, which may run and map only what is listed.
pub(crate) const LIMITED: &str = "/lab/bin/limited";
/// The same program, which may run only what is listed: no interpreter.
pub(crate) const STRICT: &str = "/lab/bin/strict";
/// The same program, which may run only what has a hash that is listed.
pub(crate) const HASHED: &str = "/lab/bin/hashed";
/// The same program, which loses rights by what it does.
pub(crate) const TOUCHER: &str = "/lab/bin/toucher";
/// The same program, whose children are known by it.
pub(crate) const PARENT: &str = "/lab/bin/parent";
/// The same program, which may not act on the system.
pub(crate) const CONFINED: &str = "/lab/bin/confined";
/// The same program, whose files are told apart.
pub(crate) const MAKER: &str = "/lab/bin/maker";
/// The same program, which is acted on.
pub(crate) const VICTIM: &str = "/lab/bin/victim";
/// Bytes of tables: small, so that reloads are fast.
pub(crate) const BLOB_BYTES: u32 = 256 << 10;
/// Files that are remembered by who made them: few, so that the table is full soon.
pub(crate) const FILES: u32 = 8 << 10;
/// In records: no rule decided.
pub(crate) const NO_RULE: u32 = u32::MAX;
/// How long a record may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often is looked whether something holds.
const POLL: Duration = Duration::from_millis(20);

/// What is in force while the cases run, with names in the place of hashes.
const POLICY: &str = include_str!("policy.yaml");

/// What is in force while the cases run.
pub(crate) fn policy() -> Result<String> {
    let mut text = POLICY.to_owned();
    for (name, content) in hash::named()? {
        let mut digits = String::new();
        for byte in Sha256::digest(content) {
            write!(digits, "{byte:02x}")?;
        }
        text = text.replace(name, &digits);
    }
    Ok(text)
}

/// The kernel half with the policy in force.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) enforcer: Enforcer,
    pub(crate) compiled: Compiled,
    pub(crate) tables: Vec<u8>,
    pub(crate) rules: BTreeMap<String, u32>,
}

/// Options of all loaders of the suite.
pub(crate) fn options() -> Options {
    Options { blob_bytes: BLOB_BYTES, files: FILES, ..Options::default() }
}

/// The directory of a case for one of the two.
pub(crate) fn directory(case: &Case, who: &str) -> PathBuf {
    let name: String =
        case.id().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    Path::new(LAB).join(format!("{name}-{who}"))
}

/// Names the cgroup in which the cases work, below the root of all.
pub(crate) const SCRATCH: &str = "EVADE_CGROUP";

/// Where the cases make their cgroups.
pub(crate) fn cgroups() -> PathBuf {
    let root = Path::new("/sys/fs/cgroup");
    std::env::var_os(SCRATCH).map_or_else(|| root.to_owned(), PathBuf::from)
}

/// Moves this process to the cgroup in which the cases work, if it is not everywhere.
pub(crate) fn enter() -> io::Result<()> {
    if std::env::var_os(SCRATCH).is_none() {
        return Ok(());
    }
    fs::write(cgroups().join("cgroup.procs"), "0")
}

/// The directories and programs that the policy is about.
pub(crate) fn furnish(cases: &[&Case]) -> Result<()> {
    fs::create_dir_all(LAB)?;
    nix::mount::mount(
        Some("tmpfs"),
        LAB,
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        Some("mode=755"),
    )
    .context("mounting the laboratory")?;
    fs::create_dir(Path::new(LAB).join("bin"))?;
    for program in
        [COVERED, FREE, LIMITED, STRICT, HASHED, TOUCHER, PARENT, CONFINED, VICTIM, MAKER]
    {
        fs::copy("/proc/self/exe", program).with_context(|| format!("copying to {program}"))?;
    }
    hash::furnish(Path::new(LAB)).context("making programs that rules know by their hash")?;
    for group in [cgroup::BOXED, cgroup::FOLLOWED, cgroup::OTHER] {
        fs::create_dir_all(cgroups().join(group)).with_context(|| format!("making {group}"))?;
    }
    for case in cases {
        for who in ["covered", "free"] {
            let at = directory(case, who);
            for below in ["unreadable", "unwritable", "unrunnable", "uncode", "open", "listed"] {
                fs::create_dir_all(at.join(below))?;
                fs::write(at.join(below).join("f"), "text\n")?;
            }
            if case.early {
                (case.prepare)(&at).with_context(|| format!("preparing {}", case.name))?;
            }
        }
    }
    Ok(())
}

/// Labels of the files that have more than one name.
fn pins(compiled: &Compiled, at: &Path, found: &mut Vec<(File, Vec<u32>)>) -> Result<()> {
    for entry in fs::read_dir(at)? {
        let path = entry?.path();
        let about = match fs::symlink_metadata(&path) {
            // A case has such; nobody can give a name to what nobody can name.
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => continue,
            about => about?,
        };
        if about.is_dir() {
            pins(compiled, &path, found)?;
        } else if about.is_file() && about.nlink() > 1 {
            let labels = compiled.tables.label_path(path.as_os_str().as_encoded_bytes());
            if !labels.as_slice().is_empty() {
                found.push((File::open(&path)?, labels.as_slice().to_vec()));
            }
        }
    }
    Ok(())
}

impl Lab {
    /// Loads the programs and puts the policy in force.
    pub(crate) fn open() -> Result<Lab> {
        Lab::with(&policy()?)
    }

    /// The same with another policy.
    pub(crate) fn with(text: &str) -> Result<Lab> {
        let compiled = tables::compiled(text, 1)?;
        let mut enforcer = Enforcer::open(options()).context("loading the programs")?;
        let tables = compiled.tables.encode()?;
        apply(&mut enforcer, &compiled, &tables)?;
        let active = enforcer.active()?.context("nothing is in force")?;
        ensure!(active.tables == tables, "the tables read back are not those that were given");
        ensure!(active.generation == 1, "the generation read back is {}", active.generation);
        let rules = tables::numbers(&compiled);
        Ok(Lab { enforcer, compiled, tables, rules })
    }
}

/// Puts tables in force, with all that belongs to them.
pub(crate) fn apply(enforcer: &mut Enforcer, compiled: &Compiled, tables: &[u8]) -> Result<()> {
    let mut files = Vec::new();
    pins(compiled, Path::new(LAB), &mut files)?;
    let pins =
        files.iter().map(|(file, labels)| Pin { file: file.as_fd(), labels: labels.clone() });
    let generation = Generation {
        tables,
        mounts: tables::mounts(&compiled.tables)?,
        ids: tables::ids(compiled),
        pins: pins.collect(),
        ..Generation::default()
    };
    enforcer.apply(&generation).context("putting the policy in force")
}

/// A process that does the deed of a case.
pub(crate) fn actor(program: &str, case: &Case, at: &Path) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(["do", &case.id()]).arg(at).stdout(Stdio::piped()).stderr(Stdio::null());
    match case.given {
        Some(given) => command.stdin(given(at).context("opening what is passed on")?),
        None => command.stdin(Stdio::null()),
    };
    command.spawn().with_context(|| format!("starting {program}"))
}

/// What a process said it came to: `ok`, or the number of an error.
pub(crate) fn outcome(mut child: Child) -> Result<(u32, String)> {
    let pid = child.id();
    let mut said = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut said)?;
    }
    let status = child.wait()?;
    let last = said.lines().last().unwrap_or_default().to_owned();
    Ok((pid, if last.is_empty() { format!("silent, {status}") } else { last }))
}

/// Waits until something holds of an agent, or of what else is looked at.
pub(crate) fn until<T>(
    of: &mut T,
    what: &str,
    patience: Duration,
    mut holds: impl FnMut(&mut T) -> Result<bool>,
) -> Result<()> {
    let end = Instant::now() + patience;
    while !holds(of)? {
        ensure!(Instant::now() < end, "not within {patience:?}: {what}");
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Waits for a record of a process that names one of these rules.
pub(crate) fn told(
    denials: &mut Denials<'_>,
    pid: u32,
    wanted: u32,
    seen: &mut Vec<RecDenial>,
) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for bytes in denials.next(Duration::from_millis(50))? {
            let record = RecDenial::read_from_prefix(&bytes).ok().context("a short record")?.0;
            seen.push(record);
        }
        // A deed may have children of its own, which come after it.
        if seen.iter().any(|one| one.rule == wanted && one.h.pid >= pid) {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
    }
}

/// Tells that it runs, and waits for the end of its input.
pub(crate) fn wait() -> Result<()> {
    println!("waiting");
    io::copy(&mut io::stdin(), &mut io::sink()).context("waiting")?;
    Ok(())
}

/// Holds the policy in force until it is killed; tells when it is there.
pub(crate) fn hold(_directory: &Path) -> Result<()> {
    let lab = Lab::open()?;
    println!("held {}", lab.tables.len());
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}
