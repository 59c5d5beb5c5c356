//! The agent in the sandbox of its unit, made of the same capabilities and mounts: where no service manager runs, nothing else
//! is known to make one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::deeds::{ask, outcome};
use crate::lab::{Lab, root, until};
use crate::policies::document;
use crate::prevention::Scene;

const PATIENCE: Duration = Duration::from_secs(30);
/// Somebody whose directory it is.
const OTHER: u32 = 65_534;
/// What runs as its owner.
const MODE: u32 = 0o4755;

/// A file of the packages.
fn packaged(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd").join(name);
    fs::read_to_string(path).unwrap()
}

/// The value of a setting, if the unit has it.
fn setting<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

/// A command as units with these texts run it, the later one overriding: a read-only view of `files`, unless it says
/// otherwise, and no capabilities but its own.
fn confined(command: &Command, units: &[&str], files: &Path) -> Command {
    let all: Vec<&str> =
        units.iter().flat_map(|unit| setting(unit, "CapabilityBoundingSet")).collect();
    let plus = |name: &str| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase());
    let bounding: String = all.iter().flat_map(|line| line.split_whitespace()).map(plus).collect();
    let last = units.iter().filter_map(|unit| setting(unit, "ProtectSystem").pop()).next_back();
    let closed = match last {
        Some("strict") => {
            format!("mount --bind {0} {0} && mount -o remount,bind,ro {0} && ", files.display())
        }
        other => {
            assert_eq!(other, Some("no"), "no sandbox that this test knows");
            String::new()
        }
    };
    let mut inside = Command::new("unshare");
    inside.args(["--mount", "--propagation", "slave", "/bin/sh", "-c"]);
    inside
        .arg(format!("{closed}exec setpriv --no-new-privs --bounding-set -all{bounding} -- \"$@\""))
        .arg("sh");
    inside.arg(command.get_program()).args(command.get_args());
    inside
}

/// A program of somebody else, in a directory of his, and an agent in the sandbox of these units whose rule takes it: what
/// came of that.
fn taken(lab: &Lab, units: &[&str], act: impl FnOnce(&Path, &Value, &Value)) {
    let owned = tempfile::Builder::new().prefix("sandbox-").tempdir_in("/tmp").unwrap();
    let program: PathBuf = owned.path().join("miner");
    fs::copy("/bin/true", &program).unwrap();
    chown(&program, Some(OTHER), Some(OTHER)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(MODE)).unwrap();
    chown(owned.path(), Some(OTHER), Some(OTHER)).unwrap();
    fs::set_permissions(owned.path(), fs::Permissions::from_mode(0o755)).unwrap();
    lab.rule("takes", &program.display().to_string());
    let rule = lab.path("rules/takes.toml");
    let text = fs::read_to_string(&rule).unwrap();
    fs::write(&rule, text.replace("severity =", "response = [\"quarantine\"]\nseverity ="))
        .unwrap();
    let mut plain = lab.command();
    plain.arg("--state-dir").arg(lab.path("state")).arg("--enforce");
    let agent = lab.launch(confined(&plain, units, owned.path()));
    assert!(Command::new(&program).status().unwrap().success());
    let (decided, came) = outcome(lab, "do");
    act(&program, &decided["seq"], &came);
    assert!(agent.stop().success());
}

#[test]
fn rules_take_no_file_in_the_units_sandbox_and_the_outcome_says_what_lets_them() {
    if !root("rules_take_no_file_in_the_units_sandbox_and_the_outcome_says_what_lets_them") {
        return;
    }
    let unit = packaged("aegisbpf.service");
    taken(&Lab::new(), &[&unit], |program, _, came| {
        let reason = came["reason"].as_str().unwrap_or_default();
        assert_eq!(came["outcome"], "failed", "{came}");
        assert!(reason.contains("read-only for this process"), "{came}");
        assert!(reason.contains("examples/quarantine.conf"), "{came}");
        let about = fs::metadata(program).unwrap();
        assert_eq!((about.mode() & 0o7777, about.uid()), (MODE, OTHER), "it is as it was");
    });
}

#[test]
fn with_what_comes_beside_the_unit_they_do_and_give_it_back_as_it_was() {
    if !root("with_what_comes_beside_the_unit_they_do_and_give_it_back_as_it_was") {
        return;
    }
    let (unit, more) = (packaged("aegisbpf.service"), packaged("quarantine.conf"));
    assert_eq!(setting(&more, "RestrictSUIDSGID"), ["no"], "else the mode cannot be given back");
    let lab = Lab::new();
    taken(&lab, &[&unit, &more], |program, id, came| {
        assert_eq!(came["outcome"], "done", "{came}");
        assert!(!program.exists(), "it is taken");
        let rolled = ask(&lab, &["actions", "rollback", &id.to_string(), "--reason", "a test"]);
        assert!(rolled.status.success(), "{rolled:?}");
        until("it is back", PATIENCE, || {
            fs::metadata(program).is_ok_and(|it| (it.mode() & 0o7777, it.uid()) == (MODE, OTHER))
        });
    });
}

#[test]
fn from_the_units_mounts_policies_hold_for_the_files_of_the_host() {
    if !root("from_the_units_mounts_policies_hold_for_the_files_of_the_host") {
        return;
    }
    let scene = Scene::new();
    let files = tempfile::Builder::new().prefix("sandbox-").tempdir_in("/tmp").unwrap();
    let [kept, other] = ["kept", "other"].map(|name| files.path().join(name));
    fs::write(&kept, "text").unwrap();
    fs::create_dir(files.path().join("all")).unwrap();
    let program = scene.lab.path("x");
    let rules = format!(
        "  rules: [{{id: a, subject: {{executable: {}}}, deny: read, files: [{}, {}/all/**]}}]\n",
        program.display(),
        kept.display(),
        files.path().display()
    );
    let policy = scene.policy("p.yaml", &document("p", &rules));
    let mut plain = scene.lab.command();
    plain.arg("--state-dir").arg(scene.lab.path("state"));
    plain.args(["--on-exit", "release", "--enforce", "--policy"]).arg(policy);
    let unit = packaged("aegisbpf.service");
    let agent = scene.lab.launch(confined(&plain, &[&unit], files.path()));
    // Made where the agent sees it by another mount than everybody else does.
    let late = files.path().join("all/late");
    for file in [&other, &late] {
        fs::write(file, "text").unwrap();
    }
    let read = |program: &Path, file: &Path| {
        let script = format!("read line < {}; [ \"$line\" = text ]", file.display());
        Command::new(program).args(["-c", &script]).output().unwrap()
    };
    for file in [&kept, &late] {
        let refused = read(&program, file);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("not permitted"), "{file:?}: {said}");
        let control = read(Path::new("/bin/bash"), file);
        assert!(String::from_utf8_lossy(&control.stderr).is_empty(), "the control: {control:?}");
    }
    let control = read(&program, &other);
    assert!(String::from_utf8_lossy(&control.stderr).is_empty(), "the control: {control:?}");
    assert!(agent.stop().success());
}
