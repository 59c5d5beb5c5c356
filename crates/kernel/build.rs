//! Compiles the BPF programs with clang and links them into one object, which is embedded.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use sha2::{Digest, Sha256};

/// Compilers in order of preference. Older ones than 15 fail on some of the CO-RE code.
const CLANGS: &[&str] =
    &["clang-19", "clang-20", "clang-18", "clang-17", "clang-16", "clang-15", "clang"];
/// The oldest major version that compiles everything here.
const OLDEST: u32 = 15;
/// Its own object: the tiny programs that find out what this kernel loads and attaches.
const PROBE: &str = "probe";
/// Its own object: what sees the answers of name servers, only while policies name domains.
const ANSWERS: &str = "answers";
/// Its own object: what cuts a cgroup off the network, only while somebody asks for it.
const ISOLATE: &str = "isolate";
/// Compiled for its checks of the wire format only.
const ABI: &str = "abi";

/// Linked first, so loaded first: old kernels refuse some of these, and the loader begins again.
const DOUBTFUL: &[&str] = &["net", "accept", "inject"];

/// Linked last, so loaded last: they keep the verifier busiest, and each program that a kernel
/// refuses makes the loader begin again.
const HEAVY: &[&str] = &["lsm_mount", "tasks", "lsm_file", "life"];

/// What names of sources begin with that need no LSM hook.
const FALLBACK: &str = "enforce_cgroup";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-env-changed=CLANG");
    let clang = find_clang()?;
    let mut linker = libbpf_rs::Linker::new(out.join("sensors.bpf.o"))?;
    for source in sources(Path::new("bpf"))? {
        let name = source.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let name = name.trim_end_matches(".bpf.c").to_owned();
        let object = out.join(format!("{name}.o"));
        compile(&clang, &source, &object, name == ABI)?;
        match name.as_str() {
            PROBE | ANSWERS | ISOLATE => {
                fs::copy(&object, out.join(format!("{name}.bpf.o")))?;
            }
            ABI => {}
            _ => linker.add_file(&object)?,
        }
    }
    linker.link()?;
    enforcers(&clang, &out)?;
    digests(&out)
}

/// Beside each object that is embedded, what it is known by.
fn digests(out: &Path) -> Result<()> {
    for name in ["sensors", PROBE, ANSWERS, ISOLATE, "enforce", "fallback"] {
        let digest = Sha256::digest(fs::read(out.join(format!("{name}.bpf.o")))?);
        let mut hex = String::new();
        for byte in digest {
            write!(hex, "{byte:02x}")?;
        }
        fs::write(out.join(format!("{name}.sha256")), hex)?;
    }
    Ok(())
}

/// The programs that decide: those for LSM hooks in one object, those that every kernel loads in
/// another.
fn enforcers(clang: &str, out: &Path) -> Result<()> {
    let mut lsm = libbpf_rs::Linker::new(out.join("enforce.bpf.o"))?;
    let mut fallback = libbpf_rs::Linker::new(out.join("fallback.bpf.o"))?;
    for source in sources(Path::new("bpf/enforce"))? {
        let name = source.file_stem().and_then(|n| n.to_str()).unwrap_or_default();
        let object = out.join(format!("{name}.o"));
        compile(clang, &source, &object, false)?;
        let into = if name.starts_with(FALLBACK) { &mut fallback } else { &mut lsm };
        into.add_file(&object)?;
    }
    lsm.link()?;
    fallback.link()?;
    Ok(())
}

/// The BPF sources in a fixed order, so that the linked object is reproducible.
fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".bpf.c") {
            found.push(path);
        }
    }
    let place = |list: &[&str], name: &str| list.iter().position(|listed| *listed == name);
    let rank = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let name = name.strip_suffix(".bpf.c").unwrap_or(name);
        match (place(DOUBTFUL, name), place(HEAVY, name)) {
            (Some(at), _) => (0, at),
            (None, None) => (1, 0),
            (None, Some(at)) => (2, at),
        }
    };
    found.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
    Ok(found)
}

fn compile(clang: &str, source: &Path, object: &Path, padded: bool) -> Result<()> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let define = match arch.as_str() {
        "x86_64" => "-D__TARGET_ARCH_x86",
        "aarch64" => "-D__TARGET_ARCH_arm64",
        other => return Err(format!("no BPF build for the architecture {other}").into()),
    };
    let headers = env::var("DEP_BPF_INCLUDE")?;
    let mut command = Command::new(clang);
    command.args(["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", "-Wextra", "-Werror"]);
    // Before 5.13 the verifier takes a loop only when it closes by a jump: keep blocks in the
    // order of the source, or some loops close by falling through to their head.
    command.args(["-mllvm", "-disable-block-placement"]);
    // Hooks have the kernel's signatures, also where an argument is of no use.
    command.args(["-Wno-unused-parameter", define, "-Ibpf"]);
    command.arg(format!("-Ibpf/vmlinux/{arch}")).arg("-isystem").arg(headers);
    if padded {
        command.arg("-Wpadded");
    }
    let status = command.arg("-c").arg(source).arg("-o").arg(object).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{clang} could not compile {}", source.display()).into())
}

fn find_clang() -> Result<String> {
    let wanted = env::var("CLANG").ok();
    for name in wanted.iter().map(String::as_str).chain(CLANGS.iter().copied()) {
        if major_version(name).is_some_and(|major| major >= OLDEST) {
            return Ok(name.to_owned());
        }
    }
    Err(format!(
        "no clang of version {OLDEST} or newer was found to compile the BPF programs; \
         install it with: apt-get install clang-19 (or set CLANG to its path)"
    )
    .into())
}

/// From "Debian clang version 19.1.7 (3)", 19.
fn major_version(clang: &str) -> Option<u32> {
    let output = Command::new(clang).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split("version ").nth(1)?;
    version.split('.').next()?.trim().parse().ok()
}
