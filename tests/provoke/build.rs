//! Compiles the BPF program that `provoke act bpf` loads.

use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), String> {
    println!("cargo:rerun-if-changed=probe.bpf.c");
    println!("cargo:rerun-if-env-changed=CLANG");
    let directory = std::env::var_os("OUT_DIR").map(PathBuf::from).ok_or("no OUT_DIR")?;
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang-19".to_owned());
    let status = Command::new(&clang)
        .args([
            "-target",
            "bpf",
            "-mcpu=v3",
            "-O2",
            "-g",
            "-Wall",
            "-Werror",
            "-c",
            "probe.bpf.c",
            "-o",
        ])
        .arg(directory.join("probe.bpf.o"))
        .status()
        .map_err(|error| format!("{clang}: {error}; install clang-19 or set CLANG"))?;
    if status.success() { Ok(()) } else { Err(format!("{clang} failed: {status}")) }
}
