//! Signs a release: the digests of the BPF objects inside the agent, by a key of minisign. Key and signature go into a
//! section that the executable keeps for them; from then on it loads nothing else (`kernel::embedded`).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::{VERSION, emptied, folder};
use crate::sh;

/// The program that has BPF objects inside.
pub(crate) const SIGNED: &str = "aegisbpf";
/// Where it keeps room for key and signature.
const SECTION: &str = ".aegisbpf.sig";
/// Names the file of the secret key, where no `--sign-key` does.
const VARIABLE: &str = "AEGISBPF_SIGN_KEY";

/// The key that the environment names.
pub(super) fn key_of_environment() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from)
}

/// Signs what a program that was built has inside, and puts that into it; what its section holds then.
pub(crate) fn seal(program: &Path, key: &Path) -> Result<Vec<u8>> {
    let scratch = emptied(folder()?.join("signing"))?;
    let at = |name: &str| scratch.join(name);
    fs::write(at("list"), sh::capture(sh::cmd(program).args(["version", "--objects"]))?)?;
    minisign(key, &["-S", "-m"], &at("list"), |sign| {
        sign.arg("-x").arg(at("sig")).args(["-c", "BPF objects of aegisbpf"]);
        // No time, so that signing again gives the same bytes.
        sign.args(["-t", &format!("aegisbpf {VERSION}")]);
    })?;
    minisign(key, &["-R", "-p"], &at("pub"), |_| ())?;
    let public = fs::read_to_string(at("pub"))?;
    let public = public.lines().nth(1).context("minisign wrote no public key")?;
    let slot = padded(
        &format!("{public}\n{}", fs::read_to_string(at("sig"))?),
        room(program, &at("room"))?,
    )?;
    fs::write(at("slot"), &slot)?;
    let mut put = sh::cmd("objcopy");
    put.arg("--update-section").arg(section(&at("slot"))).arg(program);
    sh::run(&mut put)?;
    Ok(slot)
}

/// A command of minisign with this secret key, whose password it may ask for.
fn minisign(
    key: &Path,
    flags: &[&str],
    file: &Path,
    more: impl FnOnce(&mut std::process::Command),
) -> Result<()> {
    let mut command = sh::cmd("minisign");
    command.stdin(Stdio::inherit()).arg("-q").arg("-s").arg(key).args(flags).arg(file);
    more(&mut command);
    sh::run(&mut command).with_context(|| format!("cannot sign with {}", key.display()))
}

/// Bytes that the program keeps for it.
fn room(program: &Path, dumped: &Path) -> Result<usize> {
    let mut dump = sh::cmd("objcopy");
    dump.arg("--dump-section").arg(section(dumped)).arg(program).arg("/dev/null");
    sh::run(&mut dump)
        .with_context(|| format!("{} keeps no room for a signature", program.display()))?;
    Ok(fs::metadata(dumped)?.len().try_into()?)
}

/// As objcopy wants a section and a file.
fn section(file: &Path) -> OsString {
    let mut word = OsString::from(format!("{SECTION}="));
    word.push(file);
    word
}

/// The text with blanks behind it, as long as the section is.
fn padded(text: &str, room: usize) -> Result<Vec<u8>> {
    ensure!(text.len() <= room, "key and signature take {} bytes of {room}", text.len());
    let mut slot = text.as_bytes().to_vec();
    slot.resize(room, b' ');
    Ok(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fills_its_room_and_does_not_exceed_it() {
        assert_eq!(padded("ab", 4).unwrap(), b"ab  ");
        let error = padded("abcde", 4).unwrap_err().to_string();
        assert!(error.contains("5 bytes of 4"), "{error}");
    }
}
