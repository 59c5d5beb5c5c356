//! `cargo xtask vm-test [KVER…]`: the agent in its best tier, on real kernels.
//!
//! Each kernel is a Debian cloud kernel booted under plain qemu with an initramfs made here. In it
//! `provoke host` performs every operation that `aegisbpf doctor` lists and checks the resulting
//! event field by field, `evade guest` tries what must not get around prevention, `evade own` meddles
//! with what belongs to the agent, and `evade agent` runs the agent with policies as an operator does. The same tricks are tried once more with a kernel
//! that preempts everywhere, beside others on the same CPU. What a whole run finds becomes
//! `docs/evasion.md`. The guest needs no disk and no network: all that
//! goes in is in the initramfs, all that comes out is the serial log.

pub(crate) mod count;
mod cpio;
mod debian;
mod evasion;
pub(crate) mod few;
mod guest;
mod image;
mod report;
pub(crate) mod system;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::outcome::Outcome;
use crate::sh;
use debian::{Found, Mirror};
use guest::{Boot, Payload};
use report::{Row, Verdict};

/// Kernels tried when none is named; the newest of the mirror is added to them.
const DEFAULT_KERNELS: &[&str] = &["5.10", "6.1", "6.12"];
/// Oldest major version of qemu that boots all of them reliably under emulation.
const QEMU_MIN: u32 = 8;
/// Guests that run at the same time. Most of a guest's time is one CPU verifying BPF programs.
const AT_ONCE: usize = 2;
/// How much is done in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What a run of all tests has time for: policies are replaced 60 times under load, about one a
    /// second under emulation.
    Smoke,
    /// 1,000 times; and the agent itself carries policies out: killed, replaced and meddled with in all
    /// ways, where the short form has some.
    Whole,
    /// Of the evasion suite the cases whose name has this word, without other processes that hammer.
    Only(String),
}

/// A guest boots in seconds; the cases and a thousand reloads take some minutes under emulation, and an
/// agent that is replaced by another build lets the kernel verify all programs each time.
const GUEST_TIMEOUT: Duration = Duration::from_hours(2);

/// Runs the guest matrix and prints one row per kernel. `AEGIS_VM_CACHE` names the directory that
/// keeps the kernels, `target/vm` by default.
pub(crate) fn test(kernels: &[String], extent: &Extent) -> Result<Outcome> {
    let cache = cache()?;
    let mirror = Mirror::new(&cache);
    if let Err(reason) = qemu(&mirror) {
        println!("SKIP vm-test: {reason:#}");
        return Ok(Outcome::SKIP);
    }
    // What is shipped is what is tested: the release build, which `xtask test` has made already.
    sh::build_release()?;
    let payload = payload(extent)?;
    let all = kernels.is_empty() && *extent == Extent::Whole;
    let boots = boots(&wanted(&mirror, kernels), extent);
    let found = boots.iter().map(|boot| (boot, mirror.kernel(&boot.version))).collect();
    let mut rows = boot_all(found, |(boot, found)| one(found, &payload, &cache, boot));
    if *extent == Extent::Smoke {
        let row = count::gate();
        println!("{}", row.line());
        rows.push(row);
    }
    let mut outcome = report::table("vm-test", &rows);
    if all {
        outcome += evasion::document(&boots, &cache)?;
    }
    Ok(outcome)
}

/// What goes into the guests that are kernels.
fn payload(extent: &Extent) -> Result<Payload> {
    let mut programs: Vec<_> = ["aegisbpf", "provoke", "evade"].map(sh::release).into();
    // Without it the cases that clone a file say that nothing here can.
    programs.extend(sh::find("mkfs.xfs"));
    Payload::new(&programs, extent.clone())
}

/// The directory that keeps the kernels.
fn cache() -> Result<PathBuf> {
    let cache = std::env::var_os("AEGIS_VM_CACHE")
        .map_or_else(|| sh::target().join("vm"), |directory| sh::at(PathBuf::from(directory)));
    std::fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    Ok(cache)
}

/// The kernel that is crowded in the short form, instead of being left alone.
const CROWDED: &str = "6.12";

/// How each kernel is booted.
fn boots(kernels: &[String], extent: &Extent) -> Vec<Boot> {
    let boot =
        |version: &String, crowded| Boot { version: version.clone(), crowded, counts: false };
    let of = |version: &String| match extent {
        Extent::Smoke => vec![boot(version, version == CROWDED)],
        Extent::Whole | Extent::Only(_) if guest::prevents(version) => {
            vec![boot(version, false), boot(version, true)]
        }
        Extent::Whole | Extent::Only(_) => vec![boot(version, false)],
    };
    kernels.iter().flat_map(of).collect()
}

/// Boots guests, [`AT_ONCE`] at a time, in this order; each row is printed when it is known.
fn boot_all<T: Send>(guests: Vec<T>, boot: impl Fn(T) -> Row + Sync) -> Vec<Row> {
    let waiting = Mutex::new(guests.into_iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let boot = || {
        let mut rows = Vec::new();
        while let Some(guest) = next() {
            let row = boot(guest);
            println!("{}", row.line());
            rows.push(row);
        }
        rows
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(boot)).collect();
        threads
            .into_iter()
            .flat_map(|thread| {
                let died = |_| vec![Row::new("?", Verdict::Failed("its thread died".to_owned()))];
                thread.join().unwrap_or_else(died)
            })
            .collect()
    })
}

/// The kernels to try: those named, else the defaults and the newest.
fn wanted(mirror: &Mirror, named: &[String]) -> Vec<String> {
    if !named.is_empty() {
        return named.to_vec();
    }
    let mut kernels: Vec<String> = DEFAULT_KERNELS.iter().map(|k| (*k).to_owned()).collect();
    match mirror.newest() {
        Ok(newest) if !kernels.contains(&newest) => kernels.push(newest),
        Ok(_) => {}
        Err(error) => println!("SKIP newest kernel: {error:#}"),
    }
    kernels
}

/// Boots and judges one kernel; whatever goes wrong becomes its row.
fn one(found: Result<Found>, payload: &Payload, cache: &Path, boot: &Boot) -> Row {
    let name = boot.name();
    let kernel = match found {
        Ok(Found::Kernel(kernel)) => kernel,
        Ok(Found::Unavailable(reason)) => return Row::new(&name, Verdict::Skipped(reason)),
        Err(error) => return Row::new(&name, Verdict::Failed(format!("{error:#}"))),
    };
    match guest::run(&kernel, payload, cache, boot, GUEST_TIMEOUT) {
        Ok(log) => report::judge(&name, &log, payload.suites(boot)),
        Err(error) => Row::new(&name, Verdict::Failed(format!("{error:#}"))),
    }
}

/// Makes sure that a qemu is there that is new enough.
fn qemu(mirror: &Mirror) -> Result<()> {
    match qemu_major() {
        Some(major) if major >= QEMU_MIN => return Ok(()),
        found => {
            let found = found.map_or("none".to_owned(), |major| format!("version {major}"));
            println!("vm-test: qemu >= {QEMU_MIN} is needed ({found} here), trying backports");
        }
    }
    mirror.install_backport("qemu-system-x86")?;
    match qemu_major() {
        Some(major) if major >= QEMU_MIN => Ok(()),
        _ => bail!("qemu-system-x86_64 >= {QEMU_MIN} could not be installed"),
    }
}

/// Major version of the machine's qemu.
fn qemu_major() -> Option<u32> {
    let text = sh::capture(sh::cmd("qemu-system-x86_64").arg("--version")).ok()?;
    let (_, rest) = text.split_once("version ")?;
    rest.split('.').next()?.parse().ok()
}
