//! `cargo xtask guests`: the guests that a run of all tests has time for, kernels and whole systems in one queue.
//!
//! Those that take longest are booted first, so that no processor waits at the end; while the first ones run, what
//! whole systems need is made.

use std::sync::OnceLock;

use anyhow::{Result, bail};

use super::debian::{Found, Mirror};
use super::guest::{self, Boot};
use super::report::{self, Row, Verdict};
use super::system::{self, Common, System};
use super::{Extent, boot_all, boots, cache, count, image, one, payload, qemu, wanted};
use crate::outcome::Outcome;
use crate::sh;

/// Those of [`system::SYSTEMS`] that there is time for.
const SYSTEMS: &[&str] = &["life", "selinux", "apparmor"];

/// A guest that waits for its turn.
enum Guest<'a> {
    /// A kernel, on which operations are provoked and tricks are tried.
    Kernel(&'a Boot, Result<Found>),
    /// What prevention costs is counted.
    Count,
    /// A whole system.
    System(&'static System),
}

impl Guest<'_> {
    /// About how long it takes, beside another one.
    fn minutes(&self) -> u32 {
        match self {
            Guest::Kernel(boot, _) if !guest::prevents(&boot.version) => 1,
            Guest::Kernel(boot, _) if boot.crowded => 5,
            Guest::Kernel(..) => 8,
            Guest::Count => 3,
            Guest::System(_) => 4,
        }
    }
}

/// Boots all of them and prints a row for each.
pub(crate) fn test() -> Result<Outcome> {
    let cache = cache()?;
    let mirror = Mirror::new(&cache);
    if let Err(reason) = qemu(&mirror) {
        println!("SKIP guests: {reason:#}");
        return Ok(Outcome::SKIP);
    }
    sh::build_release()?;
    let payload = payload(&Extent::Smoke)?;
    let boots = boots(&wanted(&mirror, &[]), &Extent::Smoke);
    let kernel = |boot| Guest::Kernel(boot, mirror.kernel(&boot.version));
    let mut queue: Vec<Guest> = boots.iter().map(kernel).collect();
    queue.push(Guest::Count);
    let mut outcome = Outcome::default();
    let kernel = match system::possible(&mirror) {
        Ok(()) => mirror.kernel(system::KERNEL)?,
        Err(reason) => Found::Unavailable(format!("{reason:#}")),
    };
    if let Found::Unavailable(reason) = &kernel {
        println!("SKIP systems: {reason}");
        outcome += Outcome::SKIP;
    } else {
        let few = |system: &&System| SYSTEMS.contains(&system.name);
        queue.extend(system::SYSTEMS.iter().filter(few).map(Guest::System));
    }
    queue.sort_by_key(|guest| std::cmp::Reverse(guest.minutes()));
    let made: OnceLock<Result<Common>> = OnceLock::new();
    let common = || {
        made.get_or_init(|| match &kernel {
            Found::Kernel(kernel) => Common::make(kernel.clone(), cache.clone(), true),
            Found::Unavailable(reason) => bail!("{reason}"),
        })
    };
    let boot = |guest| match guest {
        Guest::Kernel(boot, found) => one(found, &payload, &cache, boot),
        Guest::Count => count::gate(),
        Guest::System(system) => match common() {
            Ok(common) => common.one(system),
            Err(error) => Row::new(system.name, Verdict::Failed(format!("{error:#}"))),
        },
    };
    let rows = std::thread::scope(|scope| {
        if matches!(kernel, Found::Kernel(_)) {
            scope.spawn(common);
        }
        boot_all(queue, boot)
    });
    outcome += report::table("guests", &rows);
    Ok(outcome)
}

/// Fetches what they boot, which needs no build of ours.
pub(crate) fn fetch() -> Result<()> {
    let cache = cache()?;
    let mirror = Mirror::new(&cache);
    qemu(&mirror)?;
    for boot in boots(&wanted(&mirror, &[]), &Extent::Smoke) {
        mirror.kernel(&boot.version)?;
    }
    system::possible(&mirror)?;
    image::image(&cache)?;
    Ok(())
}
