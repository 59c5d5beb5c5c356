//! `cargo xtask fuzz`: libFuzzer over the parsers and the engine, on the stable compiler.
//!
//! The coverage passes are LLVM's and need no nightly: the flags below put them into the crates of this
//! workspace. What these depend on is what the release has, and is built once for both. What is found is written to `target/fuzz/findings`; once fixed, it
//! belongs into `fuzz/regressions`, where ordinary tests run it again.

mod report;
mod seeds;

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use self::report::Report;
use crate::outcome::Outcome;
use crate::sh;

/// Seconds of a target unless they are given.
const SECONDS: u64 = 60;
/// Seconds of a target where all are only shown to work.
const SMOKE_SECONDS: u64 = 4;
/// Bytes of an input; the longest published rule has fewer.
const MAX_LEN: usize = 16 << 10;
/// Seconds after which one input is a finding: parsers answer in time proportional to its length.
const SLOWEST: u64 = 10;
/// MiB beyond which one input is a finding.
const MEMORY_MIB: u64 = 1_024;

/// Stands before the compiler for crates of the workspace; what runs while others are built stays as it is.
const WRAPPER: &str = r#"#!/bin/sh
case " $* " in
*" --crate-name build_script_"* | *" --crate-type proc-macro "*) exec "$@" ;;
*) exec "$@" FLAGS ;;
esac
"#;
/// Edges, counters and the operands of comparisons, as libFuzzer reads them.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    targets: Vec<String>,
    seconds: u64,
}

/// `xtask fuzz [TARGET…] [--minutes N | --seconds N | --smoke]`
pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    let wanted = parse(args)?;
    if sh::find("c++").is_none() {
        println!("SKIP fuzz: no c++, which builds libFuzzer");
        println!("{}", Outcome::SKIP);
        return Ok(ExitCode::SUCCESS);
    }
    let all = targets()?;
    if let Some(unknown) = wanted.targets.iter().find(|name| !all.contains(name)) {
        bail!("no target `{unknown}`; there are: {}", all.join(" "));
    }
    build()?;
    let mut total = Outcome::default();
    println!("{}", report::HEAD);
    for name in &all {
        if wanted.targets.is_empty() || wanted.targets.contains(name) {
            let report = one(name, wanted.seconds)?;
            println!("{report}");
            total += if report.clean() { Outcome::PASS } else { Outcome::FAIL };
        }
    }
    println!("{total}");
    Ok(if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn parse(args: &[String]) -> Result<Wanted> {
    let mut wanted = Wanted { targets: Vec::new(), seconds: SECONDS };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || -> Result<u64> {
            let value = args.next().with_context(|| format!("{arg} needs a number"))?;
            value.parse().with_context(|| format!("{arg} {value}"))
        };
        match arg.as_str() {
            "--minutes" => wanted.seconds = number()?.saturating_mul(60),
            "--seconds" => wanted.seconds = number()?,
            "--smoke" => wanted.seconds = SMOKE_SECONDS,
            flag if flag.starts_with('-') => bail!("no option `{flag}`"),
            name => wanted.targets.push(name.to_owned()),
        }
    }
    if wanted.seconds == 0 {
        bail!("at least one second");
    }
    Ok(wanted)
}

/// Each target has a directory of inputs that it must pass; a test of the crate holds the two
/// together.
fn targets() -> Result<Vec<String>> {
    let directory = sh::at("fuzz/regressions");
    let entries = std::fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Where it keeps what it knows and finds.
fn place() -> PathBuf {
    sh::target().join("fuzz")
}

fn build() -> Result<()> {
    let mut cargo = sh::cargo();
    // As the workspace is built, so that what all depend on is the same.
    cargo.args(["build", "--release", "--workspace", "--bin", "fuzz-target"]);
    cargo.args(["--features", "fuzz/libfuzzer"]).env("RUSTC_WORKSPACE_WRAPPER", wrapper()?);
    sh::run(&mut cargo).context("cannot build the fuzzer")
}

/// Writes the wrapper. Its name goes by what is in it: cargo knows it by its name.
fn wrapper() -> Result<PathBuf> {
    let text = WRAPPER.replace("FLAGS", &FLAGS.join(" "));
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let path = place().join(format!("rustc-{:016x}", hasher.finish()));
    std::fs::create_dir_all(place())?;
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Runs a target until its time is over or something is found.
fn one(name: &str, seconds: u64) -> Result<Report> {
    let (corpus, findings) = (place().join("corpus").join(name), place().join("findings"));
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&findings)?;
    let given = seeds::write(name, &place().join("seeds").join(name))?;
    let log = place().join(format!("{name}.log"));
    let file = File::create(&log).with_context(|| log.display().to_string())?;
    let mut fuzzer: Command = sh::cmd(sh::target().join("release/fuzz-target"));
    fuzzer.env("FUZZ_TARGET", name).arg(&corpus).arg(&given);
    fuzzer.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={SLOWEST}"));
    fuzzer.arg(format!("-max_len={MAX_LEN}")).arg(format!("-rss_limit_mb={MEMORY_MIB}"));
    fuzzer.arg(format!("-artifact_prefix={}/{name}-", findings.display()));
    fuzzer.arg("-print_final_stats=1").arg("-use_value_profile=1");
    let words = sh::at("fuzz/dictionaries").join(format!("{}.dict", dictionary(name)));
    if words.is_file() {
        fuzzer.arg(format!("-dict={}", words.display()));
    }
    fuzzer.stdout(Stdio::null()).stderr(file);
    let status = fuzzer.status().with_context(|| format!("cannot start {}", sh::show(&fuzzer)))?;
    let text = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
    Ok(Report::read(name, status.success(), &text))
}

/// Targets that read the same language share their words.
fn dictionary(target: &str) -> &str {
    match target {
        "sigma_yaml" => "sigma",
        "document" | "pack" => "json",
        "record" | "recording" => "none",
        "script" => "luau",
        _ => "eql",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn time_is_given_in_minutes_or_seconds() {
        let wanted = parse(&words("record --minutes 10 document")).unwrap();
        assert_eq!(wanted, Wanted { targets: words("record document"), seconds: 600 });
        assert_eq!(parse(&[]).unwrap().seconds, SECONDS);
        assert_eq!(parse(&words("--smoke")).unwrap().seconds, SMOKE_SECONDS);
        for (wrong, why) in [
            ("--minutes", "needs a number"),
            ("--seconds x", "--seconds x"),
            ("--seconds 0", "at least one"),
            ("--hours 1", "no option `--hours`"),
        ] {
            let error = format!("{:#}", parse(&words(wrong)).unwrap_err());
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn each_target_has_inputs() {
        let all = targets().unwrap();
        assert!(all.contains(&"eql_elastic".to_owned()) && all.contains(&"record".to_owned()));
    }

    #[test]
    fn dictionaries_are_what_libfuzzer_reads() {
        let mut read = 0;
        for entry in std::fs::read_dir(sh::at("fuzz/dictionaries")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                assert!(line.len() > 2 && line.starts_with('"') && line.ends_with('"'), "{line}");
                read += 1;
            }
        }
        assert!(read > 100, "{read} words");
    }
}
