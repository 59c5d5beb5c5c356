//! `aegisbpf quarantine` killed at random moments: a file is in its place or in quarantine, and always
//! whole; whoever comes next explains and finishes what was cut off.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{AGENT, root};

/// Times that an act is cut off.
const KILLS: u32 = 100;
/// Bytes of the file: enough that the act takes a while.
const SIZE: usize = 3 << 20;

struct Vault {
    state: TempDir,
    files: TempDir,
}

impl Vault {
    /// A vault, and a file in a directory of this one.
    fn new(files: &str) -> Vault {
        let scratch = |dir| tempfile::Builder::new().prefix("quarantine-").tempdir_in(dir).unwrap();
        let vault = Vault { state: scratch("/tmp"), files: scratch(files) };
        let bytes: Vec<u8> = (0..SIZE).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect();
        fs::write(vault.file(), bytes).unwrap();
        fs::set_permissions(vault.file(), fs::Permissions::from_mode(0o4751)).unwrap();
        vault
    }

    fn file(&self) -> PathBuf {
        self.files.path().join("file")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(AGENT);
        command.arg("quarantine").args(words).arg("--state-dir").arg(self.state.path());
        command.stdin(Stdio::null());
        command
    }

    fn ask(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Ids in quarantine, and what had to be settled first.
    fn list(&self) -> (Vec<String>, String) {
        let output = self.ask(&["list", "-o", "json"]);
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(list["unreadable"].as_array().unwrap().len(), 0, "each has a record");
        let ids = list["files"].as_array().unwrap().iter();
        let ids = ids.map(|file| file["id"].as_str().unwrap().to_owned()).collect();
        (ids, String::from_utf8(output.stderr).unwrap())
    }

    fn take(&self) -> Vec<String> {
        let path = self.file();
        ["take", path.to_str().unwrap(), "--reason", "a test"].map(str::to_owned).to_vec()
    }

    /// Kills the act at a moment of its own length.
    fn cut(&self, words: &[String], after: Duration) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut child =
            self.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// What must be the same in the end.
fn seen(path: &Path) -> (Vec<u8>, [i64; 6]) {
    let about = fs::metadata(path).unwrap();
    let figures = [
        i64::from(about.mode()),
        i64::from(about.uid()),
        about.mtime(),
        about.mtime_nsec(),
        about.atime(),
        about.atime_nsec(),
    ];
    (fs::read(path).unwrap(), figures)
}

/// Moments that are spread over the whole of an act and a little beyond, the same in each run.
fn moment(round: u32, whole: Duration) -> Duration {
    let spread = f64::from(round.wrapping_mul(2_654_435_761) >> 16) / 65_536.0;
    whole.mul_f64(spread * 1.1)
}

/// Cuts acts off, and settles each; how often a moment was met at which there was something to settle.
fn cut_often(vault: &Vault) -> u32 {
    // Reading sets the time of the last access: once, as long as the file does not change.
    let noatime = |path: &Path| {
        let before = fs::metadata(path).unwrap().accessed().unwrap();
        let seen = seen(path);
        let file = fs::File::open(path).unwrap();
        file.set_times(fs::FileTimes::new().set_accessed(before)).unwrap();
        seen
    };
    let before = noatime(&vault.file());
    let start = Instant::now();
    let output = vault.ask(&vault.take().iter().map(String::as_str).collect::<Vec<_>>());
    let whole = start.elapsed();
    let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    vault.ask(&["restore", &id, "--reason", "a test"]);
    assert_eq!(noatime(&vault.file()), before, "the control: nobody was killed");
    let mut met = 0;
    for round in 0..KILLS {
        let (held, _) = vault.list();
        let words = match held.first() {
            None => vault.take(),
            Some(id) => ["restore", id, "--reason", "a test"].map(str::to_owned).to_vec(),
        };
        vault.cut(&words, moment(round, whole));
        let (held, settled) = vault.list();
        met += u32::from(settled.contains("was cut off"));
        assert!(!settled.contains("cannot be settled"), "{settled}");
        let there = vault.file().exists();
        assert_eq!(there, held.is_empty(), "in one place: {held:?}, {settled}");
        assert_eq!(vault.list().1, "", "it is settled once");
        if there {
            assert_eq!(noatime(&vault.file()), before, "round {round}: {settled}");
        }
        let names = fs::read_dir(vault.files.path()).unwrap().count();
        assert_eq!(names, usize::from(there), "nothing is left beside it");
    }
    for id in vault.list().0 {
        vault.ask(&["restore", &id, "--reason", "a test"]);
    }
    assert_eq!(noatime(&vault.file()), before);
    met
}

fn audit_is_sound(vault: &Vault) {
    let state = vault.state.path().to_str().unwrap();
    let output =
        Command::new(AGENT).args(["audit", "verify", "--state-dir", state]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_file_that_is_moved_survives_kills() {
    if !root("a_file_that_is_moved_survives_kills") {
        return;
    }
    let vault = Vault::new("/tmp");
    let met = cut_often(&vault);
    assert!(met >= 5, "only {met} of {KILLS} kills met an act");
    audit_is_sound(&vault);
}

#[test]
fn a_file_that_is_copied_survives_kills() {
    if !root("a_file_that_is_copied_survives_kills") {
        return;
    }
    let vault = Vault::new("/dev/shm");
    let met = cut_often(&vault);
    assert!(met >= 5, "only {met} of {KILLS} kills met an act");
    audit_is_sound(&vault);
}
